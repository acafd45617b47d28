"""Training rows as tensors, gathered many at a time without a Python loop over rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.utils.data import Dataset

from sk_quadrant._rows.training import smooth
from sk_quadrant._rows.validation import Division
from sk_quadrant._solvers.own_modules import as_values
from sk_quadrant._solvers.tensors import SparseRows, as_tensor, torch_dtype
from sk_quadrant._targets.stratification import hold_out
from sk_quadrant.losses.weighting import split_weight

if TYPE_CHECKING:
    from sk_quadrant._rows.training import TrainingRows


class BatchData(Dataset[Any]):
    """Features and targets of all rows, or of some of them without a copy.

    Parameters
    ----------
    rows : TrainingRows
    index : ndarray of shape (n_rows,), default=None
        Indices of the rows, None for all.
    precision : torch.dtype, default=None
        Precision of a module of the user, whose rows are of type `InputRows`; None for other models.

    Attributes
    ----------
    exchange : object or None
        Sums of gradients and losses over the processes that hold the rows, None if all rows are in this process. Its
        methods are those of `sk_quadrant.distributed`, whose ranks train the same model.
    validation : BatchData, Division or None
        Validation rows of early stopping, or the split that gives them; None to draw them.
    mean_weight : float
        Mean weight of the rows.
    """

    exchange: Any = None
    validation: BatchData | Division | None = None

    def __init__(
        self, rows: TrainingRows, index: NDArray[np.intp] | None = None, *, precision: torch.dtype | None = None
    ) -> None:
        self.training_rows, self.index, self.precision = rows, index, precision
        self.X, targets = rows.X, rows.targets
        self.has_ones = precision is None and not sparse.issparse(self.X)
        self.dtype = torch_dtype(rows.dtype) if precision is None else torch.promote_types(precision, torch.float32)
        weight = None if targets.weight is None else as_tensor(targets.weight, dtype=self.dtype)
        self.mask = None if targets.mask is None else as_tensor(targets.mask)
        self.row_weight, self.label_weight = split_weight(weight, self.mask)
        chosen = slice(None) if index is None else torch.from_numpy(index)
        self.mean_weight = 1.0 if self.row_weight is None else float(self.row_weight[chosen].mean(dtype=torch.float64))
        self.values = targets.values.tocsr() if sparse.issparse(targets.values) else as_tensor(targets.values)

    def __len__(self) -> int:
        return len(self.training_rows) if self.index is None else len(self.index)

    @property
    def elements_per_row(self) -> float:
        """Count of numbers in a row of features and targets."""
        if self.precision is not None:
            features = self.X.numbers_per_row
        else:
            features = self.X.nnz / max(1, self.X.shape[0]) if sparse.issparse(self.X) else self.X.shape[1]
        return float(features + self.training_rows.n_labels)

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays that the data consists of."""
        own = self.training_rows.arrays() + ([] if self.index is None else [self.index])
        if isinstance(self.validation, Division):
            return [*own, self.validation.train, self.validation.test]
        return own if self.validation is None else own + self.validation.arrays()

    def of(self, rows: TrainingRows, index: NDArray[np.intp] | None = None) -> BatchData:
        """Return other rows, or some of them, in the same form."""
        return type(self)(rows, index, precision=self.precision)

    def divide(self, fraction: float, seed: int) -> tuple[BatchData, BatchData]:
        """Return training rows and validation rows; a fraction is held out if there are no validation rows yet."""
        if isinstance(self.validation, BatchData):
            return self, self.validation
        division = self.validation or Division(*hold_out(self.presence(), fraction, seed))
        rows = self.training_rows
        train, test = self.of(rows, division.train), self.of(replace(rows, label_smoothing=0.0), division.test)
        if self.exchange is None:
            train.check_known("to train on")
            test.check_known("for the validation of early_stopping")
        return train, test

    def check_known(self, where: str) -> None:
        """Raise a ValueError unless a label of some of the rows is known, with a positive weight."""
        targets, rows = self.training_rows.targets, self.index
        known = targets.known(rows)
        if targets.weight is not None:
            known = known & (targets.weight[rows].reshape(len(known), -1) > 0)
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

    def rows(self, index: NDArray[np.intp], device: Any, out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """Return features and targets of some rows as new tensors.

        Parameters
        ----------
        index : ndarray of shape (n_rows,)
        device : torch.device
        out : tuple, default=None
            An earlier result for the same number of rows of dense features, to be overwritten.

        Returns
        -------
        features : Tensor of shape (n_rows, n_features + 1) or SparseRows of shape (n_rows, n_features)
            Dense features have a last column of ones, for the intercept. Inputs of a module of the user are as it takes
            them.
        targets : dict of Tensor
            "targets" and, if there are any, "mask" and "label_weight" of the same shape, and "row_weight" of shape
            (n_rows,), with mean 1 over all rows.
        """
        index = index if self.index is None else self.index[index]
        features, targets = None if out is None else out[0], self._targets(index, device)
        if out is not None:
            for name, part in out[1].items():
                part.copy_(targets[name])
        return self._features(index, device, features), targets

    def _features(self, index: NDArray[np.intp], device: Any, out: Any) -> Any:
        if self.precision is not None:
            return as_values(self.X[index].values, self.precision, device)
        if sparse.issparse(self.X):
            return SparseRows(self.X[index], self.dtype).to(device)
        features = as_tensor(self.X)
        if out is None:
            out = torch.ones(len(index), self.X.shape[1] + 1, dtype=self.dtype, device=features.device)
        torch.index_select(features, 0, torch.from_numpy(index).to(features.device), out=out[:, :-1])
        return out.to(device)

    def _targets(self, index: NDArray[np.intp], device: Any) -> dict[str, Tensor]:
        rows = torch.from_numpy(index)
        if isinstance(self.values, Tensor):
            targets = self.values.index_select(0, rows).to(self.dtype)
        else:
            targets = torch.from_numpy(self.values[index].toarray()).to(self.dtype)
        if smoothing := self.training_rows.label_smoothing:
            targets = smooth(targets, smoothing)
        y = {"targets": targets}
        for name in ("mask", "label_weight", "row_weight"):
            part = getattr(self, name)
            if part is not None:
                y[name] = part.index_select(0, rows)
        if "row_weight" in y:
            y["row_weight"] /= self.mean_weight
        return {name: part.to(device) for name, part in y.items()}
