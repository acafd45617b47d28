"""The training problem of a linear model: data, loss and penalty, cut into blocks of labels that fit in memory.

It is the closure that a full-batch solver is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_quadrant._full_batch.design import Columns, Design, as_design
from sk_quadrant._full_batch.objective import Objective, RowObjective, TargetBlock
from sk_quadrant._full_batch.preconditioner import SharedMetric, choose_metric
from sk_quadrant._inputs.data import TrainingData, as_tensor
from sk_quadrant.losses import Loss
from sk_quadrant.losses._base import split_weight

BLOCK_ELEMENTS = 2**24  # parameters, or scores of sparse data, of a block of labels: 64 MiB in single precision
CACHED_ELEMENTS = 2**19  # weights that stay in cache while those of sparse rows are gathered
WORTH_SINGLE = 2**20  # multiplications in a product for which a design in single precision pays
FEWEST, MOST = 64, 256  # labels of sparse data to gather together: a row of weights should fill some cache lines


DesignMaker = Callable[..., Design]


class Rows:
    """Rows of training data at hand: their design, and the targets of any of their labels.

    Parameters
    ----------
    data : TrainingData
    fit_intercept : bool
    device : torch.device
    design : callable, default=as_design
        Maker of the design.
    """

    def __init__(
        self, data: TrainingData, *, fit_intercept: bool, device: torch.device, design: DesignMaker = as_design
    ) -> None:
        self.data = data
        weight = None if data.targets.weight is None else as_tensor(data.targets.weight)
        mask = None if data.targets.mask is None else as_tensor(data.targets.mask)
        row_weight, label_weight = split_weight(weight, mask)
        self.label_weight = None if label_weight is None else label_weight.to(data.dtype)
        self.design = design(
            data.X,
            None if row_weight is None else row_weight.to(device, data.dtype),
            fit_intercept=fit_intercept,
            dtype=data.dtype,
            device=device,
        )

    def targets(self, labels: Tensor) -> TargetBlock:
        """Return the targets of some labels."""
        index, mask = labels.numpy(), self.data.targets.mask
        return TargetBlock(
            self._by_label(as_tensor(self.data.label_columns(index))),
            None if mask is None else self._by_label(as_tensor(mask[:, index])),
            None if self.label_weight is None else self._by_label(self.label_weight[:, labels]),
        )

    def _by_label(self, columns: Tensor) -> Tensor:
        """Return the transpose of a matrix, in the memory order of scores, on the device."""
        ordered = columns.contiguous().T if self.design.feature_major else columns.T.contiguous()
        return ordered.to(self.design.device)


def labels_per_block(n_rows: int, n_columns: int, *, sparse: bool) -> int:
    """Return how many labels are solved together."""
    size = BLOCK_ELEMENTS // n_columns
    if sparse:
        size = min(size, BLOCK_ELEMENTS // n_rows, max(CACHED_ELEMENTS // n_columns, FEWEST), MOST)
    return max(1, size)


class Rough(NamedTuple):
    """A design in single precision, and the metric there, in which steps are taken as long as they are good enough."""

    design: Design
    metric: SharedMetric

    @classmethod
    def of(cls, design: Design, metric: SharedMetric, n_labels: int) -> Rough | None:
        """Return a design and its metric in single precision, None if that is not worth it or not possible."""
        if design.n_values * n_labels < WORTH_SINGLE:
            return None
        single = design.in_single()
        return None if single is None else cls(single, metric.in_single())


class Problem(ABC):
    """Penalised weighted mean loss over all labels.

    Parameters
    ----------
    design : Columns
    loss : Loss
    C : float
        Inverse strength of the penalty, infinity for none.
    frequency : ndarray of shape (n_labels,)
        Mean target of each label.
    block_rows : int
        Largest number of rows whose scores exist at a time.

    Attributes
    ----------
    metric : Metric
    rough : Rough or None
        The same in single precision, for the first steps, where that is faster.
    """

    rough: Rough | None = None

    def __init__(
        self, design: Columns, loss: Loss, *, C: float, frequency: NDArray[np.float64], block_rows: int
    ) -> None:
        self.design, self.loss, self.penalty = design, loss, 1 / C
        self.frequency, self.block_rows = frequency, block_rows
        self.metric = choose_metric(design, len(frequency))

    def blocks(self) -> Iterator[Tensor]:
        """Yield the indices of the labels of each block, frequent labels first for a labelwise loss."""
        n_labels = len(self.frequency)
        if not self.loss.labelwise:
            yield torch.arange(n_labels)
            return
        order = np.argsort(-self.frequency, kind="stable")
        size = labels_per_block(self.block_rows, self.design.n_columns, sparse=self.design.feature_major)
        for start in range(0, n_labels, size):
            yield torch.from_numpy(order[start : start + size])

    @abstractmethod
    def objective(self, labels: Tensor) -> Objective:
        """Return the objective of some labels."""


class RowProblem(Problem):
    """Problem of rows that are at hand; see `Problem`.

    Parameters
    ----------
    data : TrainingData
    loss : Loss
    C : float
    fit_intercept : bool
    device : torch.device
    """

    def __init__(self, data: TrainingData, loss: Loss, *, C: float, fit_intercept: bool, device: torch.device) -> None:
        self.rows = Rows(data, fit_intercept=fit_intercept, device=device)
        super().__init__(
            self.rows.design, loss, C=C, frequency=data.targets.frequency(), block_rows=self.rows.design.n_rows
        )
        if len(loss.continuation()) == 1:  # corners call for double precision
            self.rough = Rough.of(self.rows.design, self.metric, len(self.frequency))

    def objective(self, labels: Tensor) -> RowObjective:
        """Return the objective of some labels."""
        return RowObjective(self.rows.design, self.rows.targets(labels), self.loss, self.penalty)
