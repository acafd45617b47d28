"""Arrays and sparse matrices as tensors."""

from __future__ import annotations

import warnings
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag


def as_tensor(array: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    """Return a tensor that shares the memory of an array, or tensor, where that is possible."""
    if isinstance(array, Tensor):
        return array.to(device=device, dtype=dtype)
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):  # PyTorch has no such strides
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # the tensors of data are only read
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array, dtype=dtype, device=device)


def torch_dtype(dtype: Any) -> torch.dtype:
    """Return the precision to compute with arrays of a NumPy dtype."""
    return torch.float32 if dtype == np.float32 else torch.float64


def take_labels(values: Any, labels: Tensor | slice | None) -> Any:
    """Return some labels of a tensor, in its memory order, of a tuple or list of such values, or by their `take`.

    None stays None, and without `labels` all are taken. Tensors of a slice of labels are views.
    """
    if labels is None or values is None:
        return values
    if isinstance(values, Tensor):
        if isinstance(labels, slice):
            return values[labels]
        if values.ndim == 2 and values.stride(0) < values.stride(1):
            return values.T.index_select(1, labels).T
        return values.index_select(0, labels)
    if isinstance(values, list):
        return [take_labels(part, labels) for part in values]
    if isinstance(values, tuple):
        return type(values)(*(take_labels(part, labels) for part in values))
    return values.take(labels)


class SparseRows:
    """Rows of a sparse matrix as the tensors of a sparse product.

    Parameters
    ----------
    X : sparse CSR matrix of shape (n_rows, n_features)
    dtype : torch.dtype
    """

    def __init__(self, X: Any, dtype: torch.dtype) -> None:
        self.shape = X.shape
        self.indices = torch.as_tensor(X.indices)
        self.offsets = torch.as_tensor(X.indptr)
        self.values = torch.as_tensor(X.data, dtype=dtype)

    def __len__(self) -> int:
        return int(self.shape[0])

    def times(self, dense: Tensor) -> Tensor:
        """Return the product with a dense matrix of shape (n_features, n_columns), differentiable in it."""
        return embedding_bag(
            self.indices, dense, self.offsets, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def to_dense(self) -> Tensor:
        """Return these rows as a dense tensor."""
        return self.times(torch.eye(self.shape[1], dtype=self.values.dtype, device=self.values.device))

    def transposed_times(self, dense: Tensor) -> Tensor:
        """Return the product of the transposed rows, which must be on the CPU, with (n_rows, n_columns)."""
        parts = (self.values.numpy(), self.indices.numpy(), self.offsets.numpy())
        columns = SparseRows(sparse.csr_matrix(parts, shape=self.shape).T.tocsr(), self.values.dtype)
        return columns.times(dense)

    def mixed_with(self, partners: NDArray[np.intp], share: NDArray[np.float64]) -> SparseRows:
        """Return each row times its share plus a partner row times one minus the share."""
        parts = (self.values.numpy(), self.indices.numpy(), self.offsets.numpy())
        X = sparse.csr_matrix(parts, shape=self.shape)
        return SparseRows((sparse.diags(share) @ X + sparse.diags(1 - share) @ X[partners]).tocsr(), self.values.dtype)

    def split(self, sizes: list[int]) -> list[SparseRows]:
        """Return the rows in groups of these sizes."""
        bounds = [0, *accumulate(sizes)]
        starts = self.offsets[bounds].tolist()
        return [
            self._with(
                (sizes[k], self.shape[1]),
                self.indices[starts[k] : starts[k + 1]],
                self.offsets[bounds[k] : bounds[k + 1] + 1] - starts[k],
                self.values[starts[k] : starts[k + 1]],
            )
            for k in range(len(sizes))
        ]

    def to(self, device: Any, *_: Any, **__: Any) -> SparseRows:
        """Return these rows on a device."""
        return self._with(self.shape, self.indices.to(device), self.offsets.to(device), self.values.to(device))

    @staticmethod
    def _with(shape: tuple[int, int], indices: Tensor, offsets: Tensor, values: Tensor) -> SparseRows:
        rows = object.__new__(SparseRows)
        rows.shape, rows.indices, rows.offsets, rows.values = shape, indices, offsets, values
        return rows


def split_targets(y: Any) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return targets, mask, weights of labels and weights of rows of a batch, None where there are none."""
    if isinstance(y, Tensor):
        return y, None, None, None
    return y["targets"], y.get("mask"), y.get("label_weight"), y.get("row_weight")
