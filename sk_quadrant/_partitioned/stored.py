"""Rows on disk, read chunk by chunk each time they are needed, so that memory holds one chunk."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.validation import _num_samples

from sk_quadrant._partitioned.partitions import Answer, Partitions, Query, Shard, add, ask
from sk_quadrant._partitioned.reading import Agreement, Part, read_part

if TYPE_CHECKING:
    from torch import Tensor


class StoredRows:
    """Arrays on disk as parts of a few rows.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
    sample_weight : float, array-like or None
    chunk_size : int
        Rows of a part.
    missing_labels : {"error", "ignore"}
    """

    def __init__(self, X: Any, y: Any, sample_weight: Any, *, chunk_size: int, missing_labels: str) -> None:
        if y is None:
            raise ValueError("The estimator requires y to be passed, but the target y is None.")
        if isinstance(sample_weight, Real):
            sample_weight = np.full(_num_samples(X), sample_weight)
        self.arrays = tuple(None if array is None else _sliceable(array) for array in (X, y, sample_weight))
        self.chunk_size, self.missing_labels = chunk_size, missing_labels
        check_consistent_length(*self.arrays)
        self.n_rows = _num_samples(self.arrays[0])

    def __iter__(self) -> Iterator[Part]:
        for start in range(0, self.n_rows, self.chunk_size):
            rows = slice(start, min(start + self.chunk_size, self.n_rows))
            X, y, weight = (None if array is None else _safe_indexing(array, rows) for array in self.arrays)
            yield read_part(X, y, weight, missing_labels=self.missing_labels)
            for array in self.arrays:
                release(array)


def _sliceable(array: Any) -> Any:
    """Return an array, DataFrame or CSR matrix."""
    if sparse.issparse(array):
        return array.tocsr()
    return array if hasattr(array, "shape") else np.asarray(array)


class StoredPartitions(Partitions):
    """Shards that are made anew for each question; see `Partitions`.

    Parameters
    ----------
    rows : StoredRows
    agreement : Agreement
    mean, variance : Tensor of shape (n_features,) or None
    """

    def __init__(
        self, rows: StoredRows, agreement: Agreement, mean: Tensor | None = None, variance: Tensor | None = None
    ) -> None:
        self.rows, self.agreement, self.moments = rows, agreement, (mean, variance)
        self.n_rows, self.block_rows = rows.n_rows, min(rows.chunk_size, rows.n_rows)
        self.n_features, self.n_labels = agreement.head.shape[1], agreement.encoding.n_labels
        self.array_dtype, self.dense = agreement.dtype, not agreement.is_sparse

    def shards(self) -> Iterator[Shard]:
        """Yield one shard after another."""
        for part in self.rows:
            yield self.agreement.shard(part).with_moments(*self.moments)

    def total(self, query: Query, *arguments: Any) -> Answer:
        """Return the sum of all answers; see `Partitions.total`."""
        return add(ask(shard, query, arguments) for shard in self.shards())

    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> StoredPartitions:
        """Return the same rows with given moments; see `Partitions.with_moments`."""
        return StoredPartitions(self.rows, self.agreement, mean, variance)


def release(array: Any) -> None:
    """Let the pages of a file that an array is mapped to leave memory; they are read again when they are needed."""
    if sparse.issparse(array):
        for part in (array.data, array.indices, array.indptr):
            release(part)
        return
    mode = None
    while array is not None and not isinstance(array, mmap.mmap):
        mode, array = getattr(array, "mode", mode), getattr(array, "base", None)
    if (
        array is not None and mode in ("r", "r+") and hasattr(mmap, "MADV_DONTNEED")
    ):  # in mode "c" changes would be lost
        array.madvise(mmap.MADV_DONTNEED)
