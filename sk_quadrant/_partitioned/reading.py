"""Rows read part by part: each part says what it holds, all agree on one encoding, then each becomes a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import _get_feature_names, check_array

from sk_quadrant._inputs.targets import (
    LabelEncoding,
    Targets,
    as_classes,
    count_classes,
    is_label_matrix,
    read_targets,
    recognise,
)
from sk_quadrant._inputs.weights import read_weight, settle_class_weight, weigh_classes
from sk_quadrant._targets import masked_as_nan

if TYPE_CHECKING:
    from sk_quadrant._inputs.data import TrainingData
    from sk_quadrant._partitioned.partitions import Shard


@dataclass(frozen=True)
class Part:
    """Some of the rows, checked by themselves.

    Attributes
    ----------
    X : ndarray or sparse CSR matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,) or Targets
        Classes, or the targets of a label matrix.
    sample_weight : array-like or None
    description : Description
    """

    X: Any
    y: NDArray[Any] | Targets
    sample_weight: Any
    description: Description


@dataclass(frozen=True)
class Description:
    """What a part holds.

    Attributes
    ----------
    n_rows : int
    head : {array, sparse matrix, DataFrame} of shape (0, n_features)
        X as it came, without its rows.
    dtype : numpy.dtype
        Precision of the features.
    is_sparse : bool
        Whether X is sparse.
    encoding : LabelEncoding or None
        Of a label matrix.
    classes : ndarray of shape (n_classes,)
        Classes of a 1-D y.
    counts : ndarray of shape (n_labels,) or (n_classes,)
        Sum of the known targets of each label, or rows of each class.
    n_known : ndarray of shape (n_labels,) or int
        How many targets are known.
    is_soft : bool
        Whether a target is strictly between 0 and 1.
    """

    n_rows: int
    head: Any
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    is_sparse: bool = False
    encoding: LabelEncoding | None = None
    classes: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    counts: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    n_known: Any = 0
    is_soft: bool = False


def describe(part: Part) -> Description:
    """Return what a part holds."""
    return part.description


def read_part(X: Any, y: Any, sample_weight: Any, *, missing_labels: str) -> Part:
    """Return some rows, checked by themselves; there may be none.

    Raises
    ------
    ValueError
        If X, y and sample_weight have different numbers of rows, or hold what an estimator does not take.
    """
    lengths = [part.shape[0] for part in (X, y, sample_weight) if part is not None]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"X, y and sample_weight must be cut into blocks of the same rows, got blocks of {lengths} rows. Rechunk "
            "them alike."
        )
    if not lengths[0]:
        return Part(X, np.empty(0), None, Description(0, X))
    head = X[:0]
    X = check_array(
        masked_as_nan(X), accept_sparse="csr", dtype=[np.float64, np.float32], accept_large_sparse=True, input_name="X"
    )
    about = {"n_rows": X.shape[0], "head": head, "dtype": X.dtype, "is_sparse": sparse.issparse(X)}
    if is_label_matrix(y):
        encoding, targets = read_targets(y, missing_labels=missing_labels)
        known = np.full(targets.n_labels, targets.n_samples) if targets.mask is None else targets.mask.sum(axis=0)
        counts = targets.frequency() * known
        return Part(X, targets, sample_weight, Description(
            **about, encoding=encoding, counts=counts, n_known=known, is_soft=targets.is_soft
        ))  # fmt: skip
    y = as_classes(y)
    classes, counts = count_classes(y)
    return Part(
        X, y, sample_weight, Description(**about, classes=classes, counts=counts.astype(np.float64), n_known=len(y))
    )


@dataclass(frozen=True)
class Agreement:
    """What all parts have in common, and how they are to be trained on.

    Attributes
    ----------
    head : {array, sparse matrix, DataFrame} of shape (0, n_features)
    encoding : LabelEncoding
    dtype : numpy.dtype
    is_sparse, is_soft : bool
    class_weight : dict, list of dict or None
        With numbers in place of "balanced".
    label_smoothing : float
    fit_intercept : bool
    """

    head: Any
    encoding: LabelEncoding
    dtype: np.dtype[Any]
    is_sparse: bool
    is_soft: bool
    class_weight: Any
    label_smoothing: float
    fit_intercept: bool

    @classmethod
    def of(
        cls, descriptions: Sequence[Description], *, class_weight: Any, label_smoothing: float, fit_intercept: bool
    ) -> Agreement:
        """Return what descriptions, some of which may be of no rows, have in common.

        Raises
        ------
        ValueError
            If there are no rows, or if parts differ in features, labels or kind.
        """
        parts = [part for part in descriptions if part.n_rows]
        if not parts:
            raise ValueError("X must have at least 1 row, got none in any block.")
        _check_alike(parts)
        encoding, counts = _merge_labels(parts)
        n_known = np.sum([part.n_known for part in parts], axis=0)
        return cls(
            head=parts[0].head,
            encoding=encoding,
            dtype=np.result_type(*(part.dtype for part in parts)),
            is_sparse=parts[0].is_sparse,
            is_soft=any(part.is_soft for part in parts),
            class_weight=settle_class_weight(class_weight, encoding, counts, n_known),
            label_smoothing=label_smoothing,
            fit_intercept=fit_intercept,
        )

    def targets(self, part: Part) -> Targets:
        """Return the weighted targets of a part."""
        targets = part.y if isinstance(part.y, Targets) else self.encoding.encode(part.y, missing_labels="error")
        return weigh_classes(targets, self.encoding, self.class_weight, read_weight(part.sample_weight, targets))

    def data(self, part: Part) -> TrainingData:
        """Return a part as it is trained on."""
        from sk_quadrant._inputs.data import TrainingData

        X = part.X.astype(self.dtype, copy=False)
        return TrainingData(X, self.targets(part), label_smoothing=self.label_smoothing)

    def shard(self, part: Part, device: str = "cpu") -> Shard:
        """Return a part as a shard."""
        from sk_quadrant._devices import resolve_device
        from sk_quadrant._partitioned.partitions import Shard

        return Shard(self.data(part), fit_intercept=self.fit_intercept, device=resolve_device(device))


def _check_alike(parts: Sequence[Description]) -> None:
    """Raise a ValueError unless all parts have the features of the first, in the same kind of container."""
    first = parts[0]
    names = _get_feature_names(first.head)
    for part in parts[1:]:
        if part.head.shape[1] != first.head.shape[1]:
            raise ValueError(
                f"All blocks of X must have the same features, got {first.head.shape[1]} and {part.head.shape[1]}."
            )
        if part.is_sparse != first.is_sparse:
            raise ValueError("Blocks of X must be all dense or all sparse, got both.")
        if not np.array_equal(names, _get_feature_names(part.head)):
            raise ValueError(
                f"All blocks of X must have the same columns, got {names} and {_get_feature_names(part.head)}."
            )


def _merge_labels(parts: Sequence[Description]) -> tuple[LabelEncoding, NDArray[np.float64]]:
    """Return the encoding of all parts, and the sums of their targets or classes."""
    first = parts[0].encoding
    if any((part.encoding is None) != (first is None) for part in parts):
        raise ValueError(
            "Blocks of y must be of one kind, got classes in some and soft or unknown labels in others. Pass classes "
            "1-D, and a single label as a DataFrame."
        )
    if first is None:
        encoding = recognise(np.concatenate([part.classes for part in parts]))
        counts = np.zeros(len(encoding.classes))
        for part in parts:
            counts[np.searchsorted(encoding.classes, part.classes)] += part.counts
        return encoding, counts
    for part in parts:
        assert part.encoding is not None
        first.check_same(part.encoding)
    return first, np.sum([part.counts for part in parts], axis=0)
