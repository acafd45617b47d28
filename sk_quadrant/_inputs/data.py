"""Training data: features and targets of rows, taken many at a time without a Python loop over rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag
from torch.utils.data import Dataset

from sk_quadrant._inputs.targets import Targets
from sk_quadrant.losses._base import split_weight


def as_tensor(array: NDArray[Any], dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    """Return a tensor that shares the memory of an array where that is possible, also of a read-only one."""
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):  # PyTorch counts in whole entries
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

    def to_dense(self) -> Tensor:
        """Return these rows as a dense tensor, for layers as narrow as they are."""
        return self.times(torch.eye(self.shape[1], dtype=self.values.dtype, device=self.values.device))

    def transposed_times(self, dense: Tensor) -> Tensor:
        """Return the product of the transposed rows, which must be on the CPU, with (n_rows, n_columns)."""
        parts = (self.values.numpy(), self.indices.numpy(), self.offsets.numpy())
        columns = SparseRows(sparse.csr_matrix(parts, shape=self.shape).T.tocsr(), self.values.dtype)
        return columns.times(dense)

    def mixed_with(self, partners: NDArray[np.intp], share: NDArray[np.float64]) -> SparseRows:
        """Return each row times a share plus another of these rows times the rest."""
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


class Exchange(Protocol):
    """Sums over several processes that train the same model, each on rows of its own."""

    def open(self, gradients: list[Tensor]) -> None:
        """Name the tensors that are to be summed in each step."""
        ...

    def sum_gradients(self) -> None:
        """Replace the gradients by their sums over processes."""
        ...

    def sum_losses(self, compute: Callable[[], float]) -> float:
        """Return the sum over processes of what each computes; an error in one of them is one in all."""
        ...


class TrainingData(Dataset[Any]):
    """Features and targets of all rows, or of some of them without a copy.

    Parameters
    ----------
    X : ndarray or sparse CSR matrix of shape (n_samples, n_features)
        Features of dtype float32 or float64.
    targets : Targets
    index : ndarray of shape (n_rows,), default=None
        The rows this is about, None for all.
    label_smoothing : float, default=0.0
        Share of 1/2 that is mixed into the targets when they are trained on.

    Attributes
    ----------
    exchange : Exchange or None
        Where the sums over rows that other processes hold come from, None if all rows are here.
    """

    exchange: Exchange | None = None

    def __init__(
        self, X: Any, targets: Targets, index: NDArray[np.intp] | None = None, *, label_smoothing: float = 0.0
    ) -> None:
        self.X, self.targets, self.index, self.label_smoothing = X, targets, index, label_smoothing
        self.dtype = torch.float32 if X.dtype == np.float32 else torch.float64
        weight = None if targets.weight is None else as_tensor(targets.weight, dtype=self.dtype)
        self._mask = None if targets.mask is None else as_tensor(targets.mask)
        self._row_weight, self._label_weight = split_weight(weight, self._mask)
        rows = slice(None) if index is None else torch.from_numpy(index)
        self.mean_weight = 1.0 if self._row_weight is None else float(self._row_weight[rows].mean(dtype=torch.float64))
        self._values = targets.values.tocsr() if sparse.issparse(targets.values) else as_tensor(targets.values)

    def __len__(self) -> int:
        return int(self.X.shape[0]) if self.index is None else len(self.index)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        features, targets = self.rows(np.array([index]))
        return without_ones(features), targets

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.X.shape[1])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.targets.n_labels

    @property
    def array_dtype(self) -> np.dtype[Any]:
        """Precision of the features as NumPy has it."""
        dtype: np.dtype[Any] = self.X.dtype
        return dtype

    @property
    def total_weight(self) -> float:
        """Sum of the row weights."""
        return self.mean_weight * len(self)

    @property
    def elements_per_row(self) -> float:
        """Numbers that a row of features and targets holds."""
        features = self.X.nnz / max(1, self.X.shape[0]) if sparse.issparse(self.X) else self.X.shape[1]
        return float(features + self.targets.n_labels)

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays that the data consists of."""
        X, values = self.X, self.targets.values
        features = [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]
        targets = [values.data, values.indices, values.indptr] if sparse.issparse(values) else [values]
        known = [part for part in (self.targets.mask, self.targets.weight, self.index) if part is not None]
        return [*features, *targets, *known]

    def presence(self) -> NDArray[np.bool_]:
        """Return which labels are known to be present, shape (n_rows, n_labels)."""
        values = self.targets.values
        dense: NDArray[Any] = values.toarray() if sparse.issparse(values) else values
        present = dense >= 0.5
        return present if self.targets.mask is None else present & self.targets.mask

    def at_hand(self, rows: NDArray[np.intp], sizes: list[int]) -> tuple[NDArray[np.intp], list[int]]:
        """Return which rows of some batches are in this process, and how many of each batch.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,)
            Rows of one batch after the other.
        sizes : list of int
            Rows of each batch.
        """
        return rows, sizes

    def subset(self, index: NDArray[np.intp], *, label_smoothing: float) -> TrainingData:
        """Return some of the rows; nothing but the index is copied."""
        rows = index if self.index is None else self.index[index]
        return TrainingData(self.X, self.targets, rows, label_smoothing=label_smoothing)

    def label_columns(self, labels: NDArray[np.intp]) -> NDArray[Any]:
        """Return the targets of some labels in all rows, (n_samples, n_columns), as they are trained on."""
        values = self.targets.values
        columns = values[:, labels].toarray() if sparse.issparse(values) else values[:, labels]
        if self.label_smoothing:
            columns = smooth(columns.astype(self.X.dtype), self.label_smoothing)
        return np.asarray(columns)

    def rows(self, index: NDArray[np.intp], out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """Return features and targets of some rows as tensors of their own.

        Parameters
        ----------
        index : ndarray of shape (n_rows,)
        out : tuple, default=None
            What this has returned for as many rows of dense features, to be overwritten.

        Returns
        -------
        features : Tensor of shape (n_rows, n_features + 1) or SparseRows of shape (n_rows, n_features)
            Dense features have a last column of ones, for the intercept.
        targets : Tensor of shape (n_rows, n_labels) or dict
            With masks or weights a dict of "targets" and what there is of "mask" and "label_weight", of the same shape,
            and "row_weight", (n_rows,), which has mean 1 over all rows.
        """
        rows = index if self.index is None else self.index[index]
        if sparse.issparse(self.X):
            return SparseRows(self.X[rows], self.dtype), self._targets(rows)
        if out is None:
            out = torch.ones(len(rows), self.X.shape[1] + 1, dtype=self.dtype), self._targets(rows)
        else:
            overwrite(out[1], self._targets(rows))
        torch.index_select(as_tensor(self.X), 0, torch.from_numpy(rows), out=out[0][:, :-1])
        return out

    def _targets(self, index: NDArray[np.intp]) -> Any:
        rows = torch.from_numpy(index)
        if isinstance(self._values, Tensor):
            targets = self._values.index_select(0, rows).to(self.dtype)
        else:
            targets = torch.from_numpy(self._values[index].toarray()).to(self.dtype)
        if self.label_smoothing:
            targets = smooth(targets, self.label_smoothing)
        batch = {"targets": targets}
        if self._mask is not None:
            batch["mask"] = self._mask.index_select(0, rows)
        if self._label_weight is not None:
            batch["label_weight"] = self._label_weight.index_select(0, rows)
        if self._row_weight is not None:
            batch["row_weight"] = self._row_weight.index_select(0, rows) / self.mean_weight
        return batch if len(batch) > 1 else targets


def smooth(targets: Any, amount: float) -> Any:
    """Return targets moved towards 1/2."""
    return targets * (1 - amount) + amount / 2


def without_ones(features: Any) -> Any:
    """Return features as the model takes them."""
    return features if isinstance(features, SparseRows) else features[:, :-1]


def overwrite(y: Any, new: Any) -> None:
    """Write targets, a tensor or a dict of tensors, over others."""
    if isinstance(y, dict):
        for key, part in y.items():
            part.copy_(new[key])
    else:
        y.copy_(new)
