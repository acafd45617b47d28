"""Training data for skorch: features and targets, taken a batch at a time without a Python loop over rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag
from torch.utils.data import Dataset

from sk_quadrant._targets import Targets
from sk_quadrant.losses._base import split_weight


def as_tensor(array: NDArray[Any], dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    """Return a tensor that shares the memory of an array where that is possible, also of a read-only one."""
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # the tensors of data are only read
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array, dtype=dtype, device=device)


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

    def to(self, device: Any, *_: Any, **__: Any) -> SparseRows:
        """Return these rows on a device."""
        moved = object.__new__(SparseRows)
        moved.shape = self.shape
        moved.indices, moved.offsets = self.indices.to(device), self.offsets.to(device)
        moved.values = self.values.to(device)
        return moved


class TrainingData(Dataset[Any]):
    """Features and targets of all rows.

    Parameters
    ----------
    X : ndarray or sparse CSR matrix of shape (n_samples, n_features)
        Features of dtype float32 or float64.
    targets : Targets
    """

    def __init__(self, X: Any, targets: Targets) -> None:
        self.X, self.targets = X, targets
        self.dtype = torch.float32 if X.dtype == np.float32 else torch.float64
        weight = None if targets.weight is None else torch.as_tensor(targets.weight, dtype=self.dtype)
        mask = None if targets.mask is None else torch.as_tensor(targets.mask)
        self._row_weight, self._label_weight = split_weight(weight, mask)
        self.mean_weight = 1.0 if self._row_weight is None else float(self._row_weight.mean(dtype=torch.float64))
        self._values = targets.values.tocsr() if sparse.issparse(targets.values) else targets.values

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Tensor]]:
        return self.rows(np.array([index]))

    def rows(self, index: Any) -> tuple[Any, dict[str, Tensor]]:
        """Return the rows of an index array or slice, and the dict of their targets that the criterion takes."""
        return self._features(index), self._targets(index)

    def _features(self, index: Any) -> Tensor | SparseRows:
        rows = self.X[index]
        return SparseRows(rows, self.dtype) if sparse.issparse(rows) else as_tensor(rows)

    def _targets(self, index: Any) -> dict[str, Tensor]:
        values = self._values[index]
        dense: NDArray[Any] = values.toarray() if sparse.issparse(values) else values
        batch = {"targets": torch.as_tensor(dense).to(self.dtype)}
        if self.targets.mask is not None:
            batch["mask"] = torch.as_tensor(self.targets.mask[index])
        if self._label_weight is not None:
            batch["label_weight"] = self._label_weight[index]
        if self._row_weight is not None:
            batch["row_weight"] = self._row_weight[index] / self.mean_weight
        return batch
