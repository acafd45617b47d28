"""Rows in parts: each part is checked by itself, summaries are merged into a schema, which makes training rows."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.validation import _get_feature_names, _num_samples, check_array

from sk_quadrant._arrays import masked_as_nan, row_blocks
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._targets.encodings import Encoding, read_targets, recognize
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.targets import Targets
from sk_quadrant._targets.weights import check_sample_weight, weight_targets


@dataclass(frozen=True)
class Summary:
    """Summary of a part: kind of features, labels or classes, and counts.

    Attributes
    ----------
    n_rows : int
    head : {array, sparse matrix, DataFrame} of shape (0, n_features)
        Empty slice of X.
    dtype : numpy.dtype
        Precision of the features.
    is_sparse : bool
        Whether X is sparse.
    encoding : Encoding or None
        Encoding of y, which holds some of the classes only if y is 1-D; None without rows.
    counts : ndarray of shape (n_classes,) or (n_labels, 2)
        Rows of each class, or absent and present known entries of each label.
    is_soft : bool
        Whether a target is strictly between 0 and 1.
    """

    n_rows: int
    head: Any
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    is_sparse: bool = False
    encoding: Encoding | None = None
    counts: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    is_soft: bool = False


@dataclass(frozen=True)
class Part:
    """A part of the rows, checked by itself.

    Attributes
    ----------
    X : ndarray or sparse CSR matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,) or Targets
        Classes, or the targets of a label matrix.
    sample_weight : array-like or None
    summary : Summary
    """

    X: Any
    y: NDArray[Any] | Targets
    sample_weight: Any
    summary: Summary


def read_part(X: Any, y: Any, sample_weight: Any, *, missing_labels: str) -> Part:
    """Return a part of the rows, checked by itself; it may be empty.

    Raises
    ------
    ValueError
        If X, y and sample_weight have different numbers of rows, or values that an estimator does not accept.
    """
    lengths = [part.shape[0] for part in (X, y, sample_weight) if part is not None]
    if len(set(lengths)) > 1:
        raise ValueError(f"X, y and sample_weight must have the same row chunks, got chunks of {lengths} rows.")
    if not lengths[0]:
        return Part(X, np.empty(0), None, Summary(0, X))
    head = X[:0]
    X = check_array(
        masked_as_nan(X), accept_sparse="csr", dtype=[np.float64, np.float32], accept_large_sparse=True, input_name="X"
    )
    labels = LabelArray(y)
    encoding, targets = read_targets(labels, missing_labels=missing_labels, min_classes=1)
    about = Summary(X.shape[0], head, X.dtype, sparse.issparse(X), encoding, encoding.count(targets), targets.is_soft)
    is_final = labels.is_matrix or labels.is_target_column  # other y are encoded when all classes are known
    return Part(X, targets if is_final else labels.classes(), sample_weight, about)


@dataclass(frozen=True)
class Schema:
    """Schema of all parts: features, encoding, number of rows, class weights.

    Attributes
    ----------
    head : {array, sparse matrix, DataFrame} of shape (0, n_features)
    encoding : Encoding
    dtype : numpy.dtype
        Precision of the features.
    is_sparse, is_soft : bool
    observed : ndarray of bool of shape (n_labels,)
        Labels with a known target.
    n_rows, largest : int
        Number of rows of all parts, and of the largest part.
    class_weight : ndarray or None
        Result of `Encoding.read_class_weight`.
    label_smoothing : float
    """

    head: Any
    encoding: Encoding
    dtype: np.dtype[Any]
    is_sparse: bool
    is_soft: bool
    observed: NDArray[np.bool_]
    n_rows: int
    largest: int
    class_weight: Any
    label_smoothing: float

    @classmethod
    def merge(cls, summaries: Sequence[Summary], *, class_weight: Any, label_smoothing: float) -> Schema:
        """Return the schema of parts, which may be empty.

        Raises
        ------
        ValueError
            If there are no rows, or if parts differ in features, labels or kind.
        """
        parts = [part for part in summaries if part.n_rows]
        if not parts:
            raise ValueError("X must have at least 1 row, got none in any block.")
        _check_alike(parts)
        encoding, counts = _merge_labels(parts)
        sizes = [part.n_rows for part in parts]
        return cls(
            head=parts[0].head,
            encoding=encoding,
            dtype=np.result_type(*(part.dtype for part in parts)),
            is_sparse=parts[0].is_sparse,
            is_soft=any(part.is_soft for part in parts),
            # one number for exclusive classes: a known class makes every label known
            observed=np.broadcast_to(counts.sum(axis=-1) > 0, encoding.n_labels),
            n_rows=sum(sizes),
            largest=max(sizes),
            class_weight=None if class_weight is None else encoding.read_class_weight(class_weight, counts),
            label_smoothing=label_smoothing,
        )

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.head.shape[1])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.encoding.n_labels

    def rows(self, part: Part) -> TrainingRows:
        """Return a part as training rows."""
        targets = part.y if isinstance(part.y, Targets) else self.encoding.encode(part.y, missing_labels="error")
        weight = check_sample_weight(
            part.sample_weight, targets.n_samples, targets.n_labels, names=self.encoding.label_names, allow_zeros=True
        )
        targets = weight_targets(targets, self.encoding, self.class_weight, weight)
        return TrainingRows(part.X.astype(self.dtype, copy=False), targets, self.encoding, self.label_smoothing)

    def no_rows(self) -> TrainingRows:
        """Return empty training rows."""
        shape = 0, self.n_features
        X = sparse.csr_matrix(shape, dtype=self.dtype) if self.is_sparse else np.empty(shape, self.dtype)
        targets = Targets(np.empty((0, self.n_labels), dtype=np.uint8))
        return TrainingRows(X, targets, self.encoding, self.label_smoothing)


def _check_alike(parts: Sequence[Summary]) -> None:
    """Raise a ValueError unless all parts have the same features, all dense or all sparse."""
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


def _merge_labels(parts: Sequence[Summary]) -> tuple[Encoding, NDArray[np.float64]]:
    """Return the encoding of all parts, and the sums of targets or counts of classes."""
    encodings = [part.encoding for part in parts if part.encoding is not None]
    if len({encoding.exclusive for encoding in encodings}) > 1:
        raise ValueError("Blocks of y must be of one kind, got one column in some and several in others.")
    if not encodings[0].exclusive:
        for other in encodings:
            encodings[0].check_same(other)
        return encodings[0], np.sum([part.counts for part in parts], axis=0)
    merged = recognize(np.concatenate([encoding.classes for encoding in encodings]))
    if any(part.is_soft or part.counts.sum() < part.n_rows for part in parts) and merged.classes.tolist() != [0, 1]:
        raise ValueError(
            "Blocks of y must be of one kind, got soft or unknown labels in some and the classes "
            f"{merged.classes.tolist()} in others."
        )
    counts = np.zeros(len(merged.classes))
    for part, encoding in zip(parts, encodings, strict=True):
        # a part may have some of the classes only
        np.add.at(counts, np.searchsorted(merged.classes, encoding.classes), part.counts)
    if merged.n_labels > 1:  # classes, whose column has a name of no label
        return merged, counts
    named = [replace(merged, label_names=encoding.label_names) for encoding in encodings]
    for other in named:
        named[0].check_same(other)
    return named[0], counts


@dataclass(frozen=True)
class ShardedRows(Schema):
    """Training rows that are not in memory: their schema, and access to sums and batches; see also `TrainingRows`.

    Attributes
    ----------
    row_sums : callable
        ``row_sums(fit_intercept=...)`` returns the sums over rows of a full-batch solver.
    batch_data : callable or None
        ``batch_data()`` returns the batches of a mini-batch solver.
    """

    namespace: ClassVar[Any] = None  # parts are of NumPy and SciPy
    row_sums: Callable[..., Any]
    batch_data: Callable[[], Any] | None = None

    @classmethod
    def of(
        cls, schema: Schema, row_sums: Callable[..., Any], batch_data: Callable[[], Any] | None = None
    ) -> ShardedRows:
        """Return the rows of a schema."""
        return cls(**vars(schema), row_sums=row_sums, batch_data=batch_data)

    def __len__(self) -> int:
        return self.n_rows


class Chunks:
    """Arrays, such as memory-mapped files, divided into parts that are read each time they are needed.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
    sample_weight : float, array-like or None
    chunk_size : int or None
        Number of rows of a part, None for all rows.
    missing_labels : {"error", "ignore"}
    """

    def __init__(self, X: Any, y: Any, sample_weight: Any, *, chunk_size: int | None, missing_labels: str) -> None:
        if y is None:
            raise ValueError("The estimator requires y to be passed, but the target y is None.")
        if isinstance(sample_weight, Real):
            sample_weight = np.full(_num_samples(X), sample_weight)
        self.arrays = tuple(None if array is None else _sliceable(array) for array in (X, y, sample_weight))
        check_consistent_length(*self.arrays)
        self.n_rows, self.missing_labels = _num_samples(self.arrays[0]), missing_labels
        self.chunk_size = max(1, self.n_rows) if chunk_size is None else chunk_size

    def __iter__(self) -> Iterator[Part]:
        for rows in row_blocks(self.n_rows, self.chunk_size):
            X, y, weight = (None if array is None else _safe_indexing(array, rows) for array in self.arrays)
            yield read_part(X, y, weight, missing_labels=self.missing_labels)
            for array in self.arrays:
                release_pages(array)


def _sliceable(array: Any) -> Any:
    """Return an array, DataFrame or CSR matrix."""
    if sparse.issparse(array):
        return array.tocsr()
    return array if hasattr(array, "shape") else np.asarray(array)


def release_pages(array: Any) -> None:
    """Free the memory of a memory-mapped array; its pages are read again when they are needed."""
    if sparse.issparse(array):
        for part in (array.data, array.indices, array.indptr):
            release_pages(part)
        return
    mode = None
    while array is not None and not isinstance(array, mmap.mmap):
        mode, array = getattr(array, "mode", mode), getattr(array, "base", None)
    if array is None or mode not in ("r", "r+"):  # in mode "c" changes would be lost
        return
    if hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
