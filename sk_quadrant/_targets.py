"""What y may be, and how it becomes targets of a loss and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d


@dataclass(frozen=True)
class Targets:
    """Targets of a multi-label loss, one column a label.

    Attributes
    ----------
    values : ndarray or sparse CSC array of shape (n_samples, n_labels)
        Hard targets as uint8, soft ones as floats; unknown ones are 0.
    mask : bool ndarray of shape (n_samples, n_labels) or None
        True where the target is known, None if all are.
    weight : float64 ndarray of shape (n_samples,) or (n_samples, n_labels), or None
        Sample weights and class weights together, None if all are 1.
    """

    values: Any
    mask: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.values.shape[1])

    @property
    def is_soft(self) -> bool:
        """Whether targets are probabilities rather than 0 and 1."""
        return bool(self.values.dtype.kind == "f")

    def frequency(self) -> NDArray[np.float64]:
        """Return the unweighted mean target of each label over its known rows."""
        known = self.n_samples if self.mask is None else self.mask.sum(axis=0)
        total = np.asarray(self.values.sum(axis=0, dtype=np.float64)).ravel()
        return np.asarray(total / np.maximum(known, 1), dtype=np.float64)


@dataclass(frozen=True)
class LabelEncoding:
    """What was seen in y, enough to read another y and to write predictions.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel"}
        1-D y of two classes (one column of targets), 1-D y of more (one column a class), or a matrix of labels.
    classes : ndarray of shape (n_classes,)
        Classes of a 1-D y, or ``arange(n_labels)``.
    sparse_output : bool
        Whether y was sparse, so that predictions are.
    label_names : ndarray of shape (n_labels,) of str or None
        Columns of a DataFrame y.
    """

    kind: str
    classes: NDArray[Any]
    sparse_output: bool = False
    label_names: NDArray[np.object_] | None = None

    @property
    def n_labels(self) -> int:
        """Number of columns of targets."""
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Any, *, missing_labels: str) -> Targets:
        """Return the targets of y.

        Raises
        ------
        ValueError
            If y is not of the kind seen first.
        """
        if self.kind == "multilabel":
            targets = encode_matrix(y, missing_labels=missing_labels)
            if targets.n_labels != self.n_labels:
                raise ValueError(f"y must have {self.n_labels} labels as in the first call, got {targets.n_labels}.")
            return targets
        y = column_or_1d(y, warn=True)
        unseen = np.setdiff1d(y, self.classes)
        if len(unseen):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. classes_ has {self.classes}, y has new {unseen}."
            )
        columns = self.classes[1:] if self.kind == "binary" else self.classes
        return Targets((y[:, None] == columns).astype(np.uint8))

    def decode(self, decisions: NDArray[np.bool_], scores: Any) -> Any:
        """Return the predicted classes of a 1-D y.

        Parameters
        ----------
        decisions : bool ndarray of shape (n_samples, n_columns)
            Whether each score is above its threshold; used for two classes.
        scores : ndarray of shape (n_samples, n_columns)
            Scores; used for more than two classes.
        """
        return self.classes[decisions[:, 0].astype(np.intp) if self.kind == "binary" else scores.argmax(axis=1)]

    def stack(self, blocks: Iterable[NDArray[np.bool_]]) -> Any:
        """Return the predicted label matrix, given the decisions of blocks of rows."""
        if self.sparse_output:
            return sparse.vstack([sparse.csr_matrix(block, dtype=np.int64) for block in blocks], format="csr")
        return np.concatenate([block.astype(np.int64) for block in blocks])

    def complete(self, probabilities: Any) -> Any:
        """Return the probabilities of all classes, given those of the columns of targets."""
        if self.kind == "binary":
            return np.hstack([1 - probabilities, probabilities])
        if self.kind == "multiclass":
            return probabilities / probabilities.sum(axis=1, keepdims=True)
        return probabilities


def read_targets(y: Any, *, missing_labels: str, classes: Any = None) -> tuple[LabelEncoding, Targets]:
    """Return the encoding of y and its targets.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
    missing_labels : {"error", "ignore"}
        What NaN in a label matrix means: a mistake, or an unknown label.
    classes : array-like, default=None
        All classes of a 1-D y, where y need not hold them all; for a label matrix ``arange(n_labels)``.

    Raises
    ------
    ValueError
        If y is not 0/1, not a probability, has one class only, or is not a classification target.
    """
    encoding = _recognise(y, classes)
    return encoding, encoding.encode(y, missing_labels=missing_labels)


def _recognise(y: Any, classes: Any) -> LabelEncoding:
    if is_label_matrix(y):
        n_labels = y.shape[1] if sparse.issparse(y) or hasattr(y, "columns") else np.asarray(y).shape[1]
        names = np.asarray(y.columns, dtype=object) if hasattr(y, "columns") else None
        return LabelEncoding("multilabel", np.arange(n_labels), sparse.issparse(y), names)
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    found = np.unique(y) if classes is None else np.unique(np.asarray(classes))
    if len(found) < 2:
        raise ValueError(f"y must have at least 2 classes, got 1 class: {found.tolist()}.")
    return LabelEncoding("binary" if len(found) == 2 else "multiclass", found)


def is_label_matrix(y: Any) -> bool:
    """Whether y is read as one column a label.

    A single column counts as 1-D unless it is sparse, a DataFrame, or holds floats that are no classes (soft, unknown).
    """
    if sparse.issparse(y) or hasattr(y, "columns"):
        return True
    values = np.asarray(y)
    if values.ndim != 2 or values.shape[1] != 1:
        return values.ndim == 2
    return bool(values.dtype.kind == "f" and not (values == np.floor(values)).all())


def encode_matrix(y: Any, *, missing_labels: str) -> Targets:
    """Return the targets of a label matrix."""
    if sparse.issparse(y):
        return _encode_sparse(y)
    y = _as_numbers(y)
    mask = None
    if y.dtype.kind == "f" and np.isnan(y).any():
        if missing_labels != "ignore":
            raise ValueError("Input y contains NaN. Pass missing_labels='ignore' if NaN means that a label is unknown.")
        mask = ~np.isnan(y)
        y = np.where(mask, y, 0)
    _check_range(y)
    if y.dtype.kind == "f" and not ((y == 0) | (y == 1)).all():
        return Targets(y, mask)
    return Targets(y.astype(np.uint8), mask)


def _as_numbers(y: Any) -> NDArray[Any]:
    """Return a label matrix as a numeric array, NaN where pandas has NA."""
    if hasattr(y, "to_numpy"):
        kinds = {getattr(dtype, "kind", "O") for dtype in getattr(y, "dtypes", [])}
        y = y.to_numpy() if kinds <= set("biuf") and not y.isna().any(axis=None) else y.to_numpy(float, na_value=np.nan)
    y = check_array(y, dtype=None, ensure_all_finite=False, input_name="y")
    if y.dtype.kind not in "biuf":
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"y must be numbers in [0, 1] when it has several columns, got {y.dtype} values."
            ) from None
    return np.asarray(y)


def _check_range(values: NDArray[Any]) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"y must be 0, 1 or a probability between them when it has several columns, got values from "
            f"{values.min()} to {values.max()}. Multiclass-multioutput targets are not supported."
        )


def _encode_sparse(y: Any) -> Targets:
    y = sparse.csc_array(y, copy=True)
    y.sum_duplicates()
    y.eliminate_zeros()
    if y.shape[0] == 0 or y.shape[1] == 0:
        raise ValueError(f"y must have at least one row and one label, got shape {y.shape}.")
    if not (y.data == 1).all():
        raise ValueError("Sparse y must hold 0 and 1 only. Pass soft or unknown targets as a dense array.")
    return Targets(y.astype(np.uint8))


def check_weight(sample_weight: Any, targets: Targets) -> NDArray[np.float64] | None:
    """Return sample weights as float64 of shape (n_samples,) or (n_samples, n_labels), None if there are none.

    Raises
    ------
    ValueError
        If the shape does not fit, a weight is negative or not finite, or all weights are zero.
    """
    if sample_weight is None:
        return None
    weight = check_array(
        np.full(targets.n_samples, sample_weight) if np.isscalar(sample_weight) else sample_weight,
        dtype=np.float64, ensure_2d=False, input_name="sample_weight",
    )  # fmt: skip
    shapes = (targets.n_samples,), (targets.n_samples, targets.n_labels)
    if weight.shape not in shapes:
        raise ValueError(f"sample_weight must have shape {shapes[0]} or {shapes[1]}, got {weight.shape}.")
    if (weight < 0).any():
        raise ValueError(f"sample_weight must not be negative, got a smallest value of {weight.min()}.")
    if not weight.any():
        raise ValueError("sample_weight must have a positive value, got zero for every sample.")
    return np.asarray(weight)


def weigh_classes(
    targets: Targets,
    encoding: LabelEncoding,
    class_weight: Mapping[Any, float] | str | Sequence[Mapping[int, float] | str] | None,
    weight: NDArray[np.float64] | None,
) -> Targets:
    """Return targets whose weight is the sample weight times the class weights.

    Parameters
    ----------
    targets : Targets
    encoding : LabelEncoding
    class_weight : dict, "balanced", list of such, or None
        Weights of the classes of a 1-D y. For a label matrix the weights of absence and presence, {0: w0, 1: w1}, the
        same for all labels or one for each; "balanced" takes n / (2 n_0) and n / (2 n_1) of each label.
    weight : ndarray or None
        Checked sample weights.
    """
    if class_weight is not None:
        factor = _class_factor(targets, encoding, class_weight)
        if weight is None:
            weight = factor
        else:
            weight = factor * (weight if factor.ndim == weight.ndim else weight.reshape(len(weight), -1))
    return Targets(targets.values, targets.mask, weight)


def _class_factor(targets: Targets, encoding: LabelEncoding, class_weight: Any) -> NDArray[np.float64]:
    values = targets.values.toarray() if sparse.issparse(targets.values) else targets.values
    if encoding.kind == "multilabel":
        absence, presence = _label_weights(targets, class_weight).T
        return np.asarray(absence + (presence - absence) * values, dtype=np.float64)
    index = values[:, 0].astype(np.intp) if encoding.kind == "binary" else values.argmax(axis=1)
    seen = np.unique(index)
    weights = np.ones(len(encoding.classes))
    y = encoding.classes[index]
    weights[seen] = compute_class_weight(class_weight, classes=encoding.classes[seen], y=y)
    return np.asarray(weights[index], dtype=np.float64)


def _label_weights(targets: Targets, class_weight: Any) -> NDArray[np.float64]:
    """Return the weights of absence and presence of each label, shape (n_labels, 2)."""
    each = [class_weight] * targets.n_labels if isinstance(class_weight, str | Mapping) else list(class_weight)
    if len(each) != targets.n_labels:
        raise ValueError(f"class_weight must be one for all or a list of {targets.n_labels}, got {len(each)}.")
    weights = np.ones((targets.n_labels, 2))
    frequency = targets.frequency()
    for j, one in enumerate(each):
        if isinstance(one, str):
            if one != "balanced":
                raise ValueError(f"class_weight must be 'balanced', a dict, a list of these or None, got {one!r}.")
            share = np.array([1 - frequency[j], frequency[j]])
            weights[j] = np.where(share > 0, 0.5 / np.maximum(share, 1e-300), 1.0)
        elif one is not None:
            if unknown := set(one) - {0, 1}:
                raise ValueError(f"class_weight of a label must have keys 0 and 1, got {sorted(unknown, key=str)}.")
            weights[j] = one.get(0, 1.0), one.get(1, 1.0)
    return weights
