"""Rows that are held in several places: a full-batch fit asks each of them for sums, which add up to those of all rows.

What goes out is the parameters, what comes back has their size, and neither grows with the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sk_quadrant._full_batch.design import Columns, plain_design
from sk_quadrant._full_batch.objective import Objective, RowObjective, Sums, TargetBlock
from sk_quadrant._full_batch.problem import Problem, RowProblem, Rows
from sk_quadrant._inputs.data import TrainingData
from sk_quadrant._inputs.weights import known_weight
from sk_quadrant.losses import Loss

Answer = tuple[Tensor | None, ...]
Query = Callable[..., Answer]
REMEMBERED = 2  # a line search goes to and fro between the labels of a block and some of them


class Shard:
    """The rows of one place, which answer questions by sums over them.

    Parameters
    ----------
    data : TrainingData
    fit_intercept : bool
    device : torch.device
    """

    def __init__(self, data: TrainingData, *, fit_intercept: bool, device: torch.device) -> None:
        self.rows = Rows(data, fit_intercept=fit_intercept, device=device, design=plain_design)
        self.design = self.rows.design
        self._blocks: dict[bytes, TargetBlock] = {}

    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> Shard:
        """Return the same rows with mean and variance of the features over all places."""
        shard: Shard = object.__new__(type(self))
        shard.rows, shard._blocks = self.rows, {}
        moments = (None if part is None else part.to(self.design.device) for part in (mean, variance))
        shard.design = self.design.with_moments(*moments)
        return shard

    def size(self) -> Answer:
        """Return the number of rows, of values, and the sum of weights."""
        return (
            torch.tensor([self.design.n_rows, self.design.n_values, self.design.total_weight], dtype=torch.float64),
        )

    def known_weight(self) -> Answer:
        """Return how many targets are known, and the sum of their weights."""
        return tuple(torch.tensor(part, dtype=torch.float64) for part in known_weight(self.rows.data.targets))

    def label_counts(self) -> Answer:
        """Return the unweighted sum of each label's known targets, and how many are known."""
        targets = self.rows.data.targets
        known = np.full(targets.n_labels, targets.n_samples) if targets.mask is None else targets.mask.sum(axis=0)
        return torch.from_numpy(targets.frequency() * known), torch.from_numpy(known.astype(np.float64))

    def first_sums(self) -> Answer:
        """Return the weighted sums of the features."""
        return (self.design.power_sums(1),)

    def square_sums(self) -> Answer:
        """Return the weighted sums of the squared features."""
        return (self.design.square_sums(),)

    def coupling_sums(self, step: int) -> Answer:
        """Return weighted sums of outer products and powers of the features; see `Design.coupling_sums`."""
        return self.design.coupling_sums(step)

    def target_sums(self, labels: Tensor) -> Answer:
        """Return the weighted sums of targets and the weights; see `Objective.target_sums`."""
        return self._targets(labels).sums(self.design.row_weight)

    def sums(
        self,
        labels: Tensor,
        loss: Loss,
        theta: Tensor,
        curvature: Literal["mean", "diagonal"] | None = None,
        constant: bool = False,
    ) -> Answer:
        """Return the sums of an evaluation; see `Objective.sums`."""
        sums = self._objective(labels, loss).sums(theta, curvature, constant=constant)
        return sums.values, sums.gradient, sums.curvature, sums.squares, sums.firsts

    def hessian_sums(self, labels: Tensor, loss: Loss, theta: Tensor) -> Answer:
        """Return the Hessian of each label; see `Objective.hessian_sums`."""
        return (self._objective(labels, loss).hessian_sums(theta),)

    def _objective(self, labels: Tensor, loss: Loss) -> RowObjective:
        return RowObjective(self.design, self._targets(labels), loss, penalty=0.0)

    def _targets(self, labels: Tensor) -> TargetBlock:
        key, labels = labels.cpu().numpy().tobytes(), labels.cpu()
        block = self._blocks.pop(key, None) or self.rows.targets(labels)
        while len(self._blocks) >= REMEMBERED:
            self._blocks.pop(next(iter(self._blocks)))
        self._blocks[key] = block
        return block

    def __sizeof__(self) -> int:
        """Return the bytes of the rows, by which a scheduler judges what it would cost to move them."""
        data = self.rows.data
        parts = [data.X, data.targets.values, data.targets.mask, data.targets.weight]
        return object.__sizeof__(self) + sum(_n_bytes(part) for part in parts)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the targets that can be taken again."""
        return vars(self) | {"_blocks": {}}


def _n_bytes(array: Any) -> int:
    if array is None:
        return 0
    return int(array.nbytes) if hasattr(array, "nbytes") else int(array.data.nbytes + array.indices.nbytes)


def ask(shard: Shard, query: Query, arguments: Iterable[Any]) -> Answer:
    """Return a shard's answer, computed on its device, on the CPU."""
    device = shard.design.device
    moved = (part.to(device) if isinstance(part, Tensor) else part for part in arguments)
    return tuple(None if part is None else part.cpu() for part in query(shard, *moved))


def add(answers: Iterable[Answer]) -> Answer:
    """Return the sum of answers to the same query, which need not exist all at once; None is zero."""
    total: Answer | None = None
    for answer in answers:
        total = answer if total is None else tuple(_plus(*parts) for parts in zip(total, answer, strict=True))
    assert total is not None
    return total


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


class Partitions(Dataset[Any], ABC):
    """Rows that are held in several places, from the point of view of the one who fits.

    Attributes
    ----------
    n_features, n_labels : int
    array_dtype : numpy.dtype
        Of the features.
    dense : bool
        Whether features are dense.
    block_rows : int
        Rows of the largest shard.
    n_rows : int
    """

    n_features: int
    n_labels: int
    array_dtype: np.dtype[Any]
    dense: bool
    block_rows: int
    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the features."""
        return torch.float32 if self.array_dtype == np.float32 else torch.float64

    @abstractmethod
    def total(self, query: Query, *arguments: Any) -> Answer:
        """Return the sum of all shards' answers to a query, a method of `Shard`."""

    @abstractmethod
    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> Partitions:
        """Return the same rows with mean and variance of the features over all places."""

    def problem(self, loss: Loss, *, C: float, fit_intercept: bool) -> PartitionedProblem:
        """Return the training problem of all rows."""
        return PartitionedProblem(self, loss, C=C, fit_intercept=fit_intercept)


class PartitionedColumns(Columns):
    """Columns of a design whose rows are held in several places; see `Columns`.

    Parameters
    ----------
    partitions : Partitions
    fit_intercept : bool
    """

    def __init__(self, partitions: Partitions, *, fit_intercept: bool) -> None:
        super().__init__(
            partitions.n_features, fit_intercept=fit_intercept, dtype=partitions.dtype, device=torch.device("cpu")
        )
        self.dense, self.feature_major = partitions.dense, not partitions.dense
        (size,) = partitions.total(Shard.size)
        assert size is not None
        self.n_rows, self.n_values, self.total_weight = int(size[0]), int(size[1]), float(size[2])
        if fit_intercept:
            (firsts,) = partitions.total(Shard.first_sums)
            assert firsts is not None
            self.mean = firsts / self.total_weight
        partitions = partitions.with_moments(self.mean, None)
        (squares,) = partitions.total(Shard.square_sums)
        assert squares is not None
        self.set_variance(squares)
        self.partitions = partitions.with_moments(self.mean, self.variance)

    def coupling(self, step: int = 1) -> tuple[Tensor, float] | None:
        """Return mean outer product and largest kurtosis; see `Columns.coupling`."""
        sums = self.partitions.total(Shard.coupling_sums, step)
        return self.mean_coupling(*(part for part in sums if part is not None))


@dataclass(frozen=True)
class LabelIndex:
    """A block of labels by their numbers.

    Attributes
    ----------
    index : int Tensor of shape (n_labels,)
    """

    index: Tensor

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.index)

    def take(self, labels: Tensor) -> LabelIndex:
        """Return some of the labels."""
        return LabelIndex(self.index[labels])


@dataclass(frozen=True)
class PartitionedObjective(Objective):
    """Objective of rows that are held in several places; see `Objective`.

    Parameters
    ----------
    design : PartitionedColumns
    targets : LabelIndex
    loss, penalty
        See `Objective`.
    """

    design: PartitionedColumns
    targets: LabelIndex

    def target_sums(self) -> tuple[Tensor, Tensor]:
        """Return sums over rows; see `Objective.target_sums`."""
        total, weight = self.design.partitions.total(Shard.target_sums, self.targets.index)
        assert total is not None
        assert weight is not None
        return total, weight

    def sums(
        self, theta: Tensor, curvature: Literal["mean", "diagonal"] | None = None, *, constant: bool = False
    ) -> Sums:
        """Return sums over rows; see `Objective.sums`."""
        values, *others = self.design.partitions.total(
            Shard.sums, self.targets.index, self.loss, theta, curvature, constant
        )
        assert values is not None
        return Sums(values, *others)

    def hessian_sums(self, theta: Tensor) -> Tensor:
        """Return sums over rows; see `Objective.hessian_sums`."""
        (hessian,) = self.design.partitions.total(Shard.hessian_sums, self.targets.index, self.loss, theta)
        assert hessian is not None
        return hessian


class PartitionedProblem(Problem):
    """Problem of rows that are held in several places; see `Problem`.

    Parameters
    ----------
    partitions : Partitions
    loss : Loss
    C : float
    fit_intercept : bool
    """

    design: PartitionedColumns

    def __init__(self, partitions: Partitions, loss: Loss, *, C: float, fit_intercept: bool) -> None:
        columns = PartitionedColumns(partitions, fit_intercept=fit_intercept)
        total, known = partitions.total(Shard.label_counts)
        assert total is not None
        assert known is not None
        frequency = (total / known.clamp(min=1)).numpy()
        super().__init__(columns, loss, C=C, frequency=frequency, block_rows=partitions.block_rows)

    def objective(self, labels: Tensor) -> PartitionedObjective:
        """Return the objective of some labels."""
        return PartitionedObjective(self.design, LabelIndex(labels), self.loss, self.penalty)


class LocalPartitions(Partitions):
    """Shards in this process.

    Parameters
    ----------
    shards : list of Shard
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        first = shards[0]
        self.n_features, self.n_labels = first.design.n_features, first.rows.data.targets.n_labels
        self.array_dtype, self.dense = first.rows.data.X.dtype, first.design.dense
        self.block_rows = max(shard.design.n_rows for shard in shards)
        self.n_rows = sum(shard.design.n_rows for shard in shards)

    def total(self, query: Query, *arguments: Any) -> Answer:
        """Return the sum of all answers; see `Partitions.total`."""
        return add(ask(shard, query, arguments) for shard in self.shards)

    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> LocalPartitions:
        """Return the same rows with given moments; see `Partitions.with_moments`."""
        return LocalPartitions([shard.with_moments(mean, variance) for shard in self.shards])

    def __sizeof__(self) -> int:
        """Return the bytes of all rows; see `Shard.__sizeof__`."""
        return object.__sizeof__(self) + sum(shard.__sizeof__() for shard in self.shards)


def pose(
    data: TrainingData | Partitions, loss: Loss, *, C: float, fit_intercept: bool, device: torch.device
) -> Problem:
    """Return the training problem of data at hand or held in several places."""
    if isinstance(data, Partitions):
        return data.problem(loss, C=C, fit_intercept=fit_intercept)
    return RowProblem(data, loss, C=C, fit_intercept=fit_intercept, device=device)
