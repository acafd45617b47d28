"""Training rows as tensors, gathered many at a time without a Python loop over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.utils.data import Dataset

from sk_quadrant._rows.training import smooth
from sk_quadrant._rows.validation import Division
from sk_quadrant._solvers.own_modules import as_values, split_values
from sk_quadrant._solvers.tensors import SparseRows, as_tensor, torch_dtype, without_ones
from sk_quadrant._targets.stratification import hold_out
from sk_quadrant.losses.weighting import split_weight

if TYPE_CHECKING:
    from sk_quadrant._rows.training import TrainingRows


class Exchange(Protocol):
    """Sums over several processes that train the same model, each on its own rows."""

    def open(self, gradients: list[Tensor]) -> None:
        """Take the tensors that are summed in each step."""
        ...

    def sum_gradients(self) -> None:
        """Replace the gradients by their sums over processes."""
        ...

    def sum_losses(self, compute: Callable[[], float]) -> float:
        """Return the sum of a value over processes; an error in one process is raised in all."""
        ...


class BatchData(Dataset[Any]):
    """Features and targets of all rows, or of some of them without a copy.

    Parameters
    ----------
    rows : TrainingRows
    index : ndarray of shape (n_rows,), default=None
        Indices of the rows, None for all.
    label_smoothing : float, default=None
        Weight of 1/2 in the targets, None for the value of the rows.
    precision : torch.dtype, default=None
        Precision of a module, None for that of the rows.

    Attributes
    ----------
    exchange : Exchange or None
        Sums over the rows of other processes, None if all rows are in this process.
    validation : BatchData, Division or None
        Validation rows of early stopping, or the split that gives them; None to draw them.
    mean_weight : float
        Mean weight of the rows.
    """

    exchange: Exchange | None = None
    validation: BatchData | Division | None = None

    def __init__(
        self,
        rows: TrainingRows,
        index: NDArray[np.intp] | None = None,
        *,
        label_smoothing: float | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        self.training_rows, self.index, self.precision = rows, index, precision
        self.label_smoothing = rows.label_smoothing if label_smoothing is None else label_smoothing
        self.X, targets = rows.X, rows.targets
        self.dtype = torch_dtype(rows.dtype) if precision is None else torch.promote_types(precision, torch.float32)
        weight = None if targets.weight is None else as_tensor(targets.weight, dtype=self.dtype)
        self.mask = None if targets.mask is None else as_tensor(targets.mask)
        self.row_weight, self.label_weight = split_weight(weight, self.mask)
        chosen = slice(None) if index is None else torch.from_numpy(index)
        self.mean_weight = 1.0 if self.row_weight is None else float(self.row_weight[chosen].mean(dtype=torch.float64))
        self.values = targets.values.tocsr() if sparse.issparse(targets.values) else as_tensor(targets.values)

    def __len__(self) -> int:
        return len(self.training_rows) if self.index is None else len(self.index)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        features, targets = self.rows(np.array([index]))
        return without_ones(features), targets

    @property
    def total_weight(self) -> float:
        """Sum of the row weights."""
        return self.mean_weight * len(self)

    @property
    def elements_per_row(self) -> float:
        """Count of numbers in a row of features and targets."""
        features = self.X.nnz / max(1, self.X.shape[0]) if sparse.issparse(self.X) else self.X.shape[1]
        return float(features + self.training_rows.n_labels)

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays that the data consists of."""
        own = self.training_rows.arrays() + ([] if self.index is None else [self.index])
        if isinstance(self.validation, Division):
            return [*own, self.validation.train, self.validation.test]
        return own if self.validation is None else own + self.validation.arrays()

    def of(self, rows: TrainingRows, index: NDArray[np.intp] | None = None, **options: Any) -> BatchData:
        """Return other rows in the same form."""
        return type(self)(rows, index, precision=self.precision, **options)

    def divide(self, fraction: float, seed: int) -> tuple[BatchData, BatchData]:
        """Return training rows and validation rows; a fraction is held out if there are no validation rows yet."""
        if isinstance(self.validation, BatchData):
            return self, self.validation
        division = self.validation
        if division is None:
            division = Division(*hold_out(self.presence(), fraction, seed))
        parts = (
            self.subset(division.train, label_smoothing=self.label_smoothing),
            self.subset(division.test, label_smoothing=0.0),
        )
        for part, where in zip(parts, ("to train on", "for the validation of early_stopping"), strict=True):
            part.check_known(where)
        return parts

    def check_known(self, where: str) -> None:
        """Raise a ValueError unless a label of these rows is known, with a positive weight."""
        targets = self.training_rows.targets
        known = targets.known(self.index)
        if targets.weight is not None:
            weight = targets.weight if self.index is None else targets.weight[self.index]
            known = known & (weight.reshape(len(known), -1) > 0)
        if not known.any():
            raise ValueError(
                f"The {len(known)} rows {where} must have a known label with a positive weight, got none. Take another "
                "validation_fraction or random_state, or pass X_val and y_val."
            )

    def presence(self) -> NDArray[np.bool_]:
        """Return which labels are known to be present, shape (n_rows, n_labels)."""
        return self.training_rows.targets.present()

    def in_process(self, rows: NDArray[np.intp], sizes: list[int]) -> tuple[NDArray[np.intp], list[int]]:
        """Return the rows of some batches that are in this process, and their number in each batch.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,)
            Rows of all batches, one batch after another.
        sizes : list of int
            Rows of each batch.
        """
        return rows, sizes

    def subset(self, index: NDArray[np.intp], *, label_smoothing: float) -> BatchData:
        """Return some of the rows; nothing but the index is copied."""
        chosen = index if self.index is None else self.index[index]
        return self.of(self.training_rows, chosen, label_smoothing=label_smoothing)

    def rows(self, index: NDArray[np.intp], out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """Return features and targets of some rows as new tensors.

        Parameters
        ----------
        index : ndarray of shape (n_rows,)
        out : tuple, default=None
            An earlier result for the same number of rows of dense features, to be overwritten.

        Returns
        -------
        features : Tensor of shape (n_rows, n_features + 1) or SparseRows of shape (n_rows, n_features)
            Dense features have a last column of ones, for the intercept.
        targets : Tensor of shape (n_rows, n_labels) or dict
            With masks or weights a dict of "targets" and, if there are any, "mask" and "label_weight" of the same
            shape, and "row_weight" of shape (n_rows,), with mean 1 over all rows.
        """
        rows = index if self.index is None else self.index[index]
        if sparse.issparse(self.X):
            return SparseRows(self.X[rows], self.dtype), self._targets(rows)
        features = as_tensor(self.X)
        if out is None:
            shape = len(rows), self.X.shape[1] + 1
            out = torch.ones(shape, dtype=self.dtype, device=features.device), self._targets(rows)
        else:
            overwrite(out[1], self._targets(rows))
        torch.index_select(features, 0, torch.from_numpy(rows).to(features.device), out=out[0][:, :-1])
        return out

    def _targets(self, index: NDArray[np.intp]) -> Any:
        rows = torch.from_numpy(index)
        if isinstance(self.values, Tensor):
            targets = self.values.index_select(0, rows).to(self.dtype)
        else:
            targets = torch.from_numpy(self.values[index].toarray()).to(self.dtype)
        if self.label_smoothing:
            targets = smooth(targets, self.label_smoothing)
        batch = {"targets": targets}
        if self.mask is not None:
            batch["mask"] = self.mask.index_select(0, rows)
        if self.label_weight is not None:
            batch["label_weight"] = self.label_weight.index_select(0, rows)
        if self.row_weight is not None:
            batch["row_weight"] = self.row_weight.index_select(0, rows) / self.mean_weight
        return batch if len(batch) > 1 else targets


class ModuleData(BatchData):
    """Rows, of the type `InputRows`, for a module of the user, whose precision is that of floating inputs."""

    precision: torch.dtype

    @property
    def elements_per_row(self) -> float:
        """Count of numbers in a row of inputs and targets."""
        return float(self.X.numbers_per_row + self.training_rows.n_labels)

    def rows(self, index: NDArray[np.intp], out: Any = None) -> tuple[Any, Any]:
        """Return inputs and targets of some rows as new tensors; see `BatchData.rows`."""
        rows = index if self.index is None else self.index[index]
        return InputValues(as_values(self.X[rows].values, self.precision, None), len(rows)), self._targets(rows)


class InputValues:
    """Inputs of a module of the user for some rows, which chunks can split.

    Parameters
    ----------
    values : Tensor, array of str, or dict of Tensor
    n_rows : int
    """

    def __init__(self, values: Any, n_rows: int) -> None:
        self.values, self.n_rows = values, n_rows

    def __len__(self) -> int:
        return self.n_rows

    def split(self, sizes: list[int]) -> list[Any]:
        """Return the inputs of the module for groups of rows."""
        return split_values(self.values, sizes)

    def to(self, device: Any) -> InputValues:
        """Return these values on a device."""
        values = self.values
        if isinstance(values, dict):
            return InputValues({name: part.to(device) for name, part in values.items()}, self.n_rows)
        return InputValues(values.to(device) if isinstance(values, Tensor) else values, self.n_rows)


def overwrite(y: Any, new: Any) -> None:
    """Write targets, a tensor or a dict of tensors, over others."""
    if isinstance(y, dict):
        for key, part in y.items():
            part.copy_(new[key])
    else:
        y.copy_(new)
