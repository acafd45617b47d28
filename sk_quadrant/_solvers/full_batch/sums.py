"""Sums over all training rows, in memory, on disk or in several processes.

The solver reads the data through the methods of `RowSums` only. In memory there is one shard; on disk the sum is a loop
over chunks, on a cluster a sum over workers, under ``torchrun`` an all-reduce. The code of the solver is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_quadrant._solvers.full_batch.shard import EvaluationPoint, LossSums, Shard, ShardMethod, SumTensors, sum_over
from sk_quadrant._solvers.tensors import torch_dtype

if TYPE_CHECKING:
    from sk_quadrant._rows.parts import Chunks, Schema
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant._solvers.full_batch.design import Design


class BlockSums(Protocol):
    """Sums over all rows for a block of labels; `Block` defines them."""

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        ...

    def take(self, labels: Tensor) -> BlockSums:
        """Return some of the labels."""
        ...

    def target_sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return sums of targets, weights and positive weights."""
        ...

    def loss_sums(self, at: EvaluationPoint) -> LossSums:
        """Return the sums of an evaluation."""
        ...

    def hessian_sums(self, at: EvaluationPoint, mean: Tensor | None, varies: Tensor) -> Tensor:
        """Return the Hessians without penalty."""
        ...


class RowSums(ABC):
    """Sums over all rows.

    Attributes
    ----------
    n_features, n_labels : int
    dtype : torch.dtype
        Precision of the features.
    device : torch.device
        Device of the sums.
    dense : bool
        Whether features are dense.
    largest : int
        Number of rows of the largest shard.
    """

    n_features: int
    n_labels: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")
    dense: bool
    largest: int

    @abstractmethod
    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sum of a method of `Shard` over all shards."""

    def block(self, labels: Tensor) -> BlockSums:
        """Return the sums for a block of labels."""
        return ReducedBlock(self, labels)

    def design(self) -> Design | None:
        """Return the design if all rows are in the memory of this process, None otherwise."""
        return None

    def size(self) -> tuple[int, int, float, int]:
        """Return the numbers of rows and of stored values, the sum of weights, and the number of positive weights."""
        n_rows, n_values, total_weight, n_weighted = self._tensors(Shard.size)[0].tolist()
        return int(n_rows), int(n_values), total_weight, int(n_weighted)

    def frequency(self) -> NDArray[np.float64]:
        """Return the unweighted mean target of each label over its known rows."""
        total, known = self._tensors(Shard.label_counts)
        return np.asarray((total / known.clamp(min=1)).numpy())

    def known_weight(self) -> tuple[float, float]:
        """Return the number of known targets, and the sum of their weights."""
        n_known, weight = self._tensors(Shard.known_weight)
        return float(n_known), float(weight)

    def feature_sums(self) -> Tensor:
        """Return the weighted sums of the features."""
        return self._tensors(Shard.feature_sums)[0]

    def square_sums(self, mean: Tensor | None) -> Tensor:
        """Return the weighted sums of the squared features; see `Design.square_sums`."""
        return self._tensors(Shard.square_sums, mean)[0]

    def coupling_sums(self, mean: Tensor | None, step: int) -> tuple[Tensor, ...]:
        """Return sums of outer products and powers of the features; see `Design.coupling_sums`."""
        return self._tensors(Shard.coupling_sums, mean, step)

    def _tensors(self, method: ShardMethod, *arguments: Any) -> tuple[Tensor, ...]:
        return tuple(part for part in self.total(method, *arguments) if part is not None)


@dataclass(frozen=True)
class ReducedBlock:
    """Sums for a block of labels, by a reduction over shards; see `BlockSums`.

    Attributes
    ----------
    rows : RowSums
    labels : int Tensor of shape (n_labels,)
        Numbers of the labels.
    """

    rows: RowSums
    labels: Tensor

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.labels)

    def take(self, labels: Tensor) -> ReducedBlock:
        """Return some of the labels."""
        return replace(self, labels=self.labels[labels])

    def target_sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return sums of targets, weights and positive weights; see `Block.target_sums`."""
        total, weight, n_weighted = self.rows.total(Shard.target_sums, self.labels)
        return total, weight, n_weighted  # type: ignore[return-value]

    def loss_sums(self, at: EvaluationPoint) -> LossSums:
        """Return the sums of an evaluation; see `Block.loss_sums`."""
        return LossSums(*self.rows.total(Shard.loss_sums, self.labels, at))  # type: ignore[arg-type]

    def hessian_sums(self, at: EvaluationPoint, mean: Tensor | None, varies: Tensor) -> Tensor:
        """Return Hessians without penalty; see `Block.hessian_sums`."""
        (hessian,) = self.rows.total(Shard.hessian_sums, self.labels, at, mean, varies)
        return hessian  # type: ignore[return-value]


class LocalSums(RowSums):
    """Sums over rows in the memory of this process, which are one shard.

    Parameters
    ----------
    shard : Shard
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        design, rows = shard.design, shard.rows
        self.n_features, self.n_labels, self.largest = rows.n_features, rows.n_labels, len(rows)
        self.dtype, self.device, self.dense = design.dtype, design.device, design.dense

    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sums of the shard."""
        return method(self.shard, *arguments)

    def block(self, labels: Tensor) -> BlockSums:
        """Return the design with the targets of a block of labels."""
        return self.shard.block(labels)

    def design(self) -> Design:
        """Return the design of the rows."""
        return self.shard.design

    def with_design(self, design: Design) -> LocalSums:
        """Return the same rows with features in other coordinates."""
        shard = copy(self.shard)
        shard.design = design
        other = LocalSums(shard)
        other.n_features = design.n_features
        return other


class ShardedSums(RowSums):
    """Sums over rows in several shards.

    Parameters
    ----------
    schema : Schema
    """

    def __init__(self, schema: Schema) -> None:
        self.n_features, self.n_labels, self.largest = schema.n_features, schema.n_labels, schema.largest
        self.dtype, self.dense = torch_dtype(schema.dtype), not schema.is_sparse


@dataclass(frozen=True)
class ChunkShards:
    """Shards of rows on disk. Every iteration reads them again, one at a time.

    Attributes
    ----------
    chunks : Chunks
    schema : Schema
    fit_intercept : bool
    device : torch.device
    """

    chunks: Chunks
    schema: Schema
    fit_intercept: bool
    device: torch.device

    def __iter__(self) -> Iterator[Shard]:
        for part in self.chunks:
            yield Shard(self.schema.rows(part), fit_intercept=self.fit_intercept, device=self.device)


class SequentialSums(ShardedSums):
    """Sums over the shards of this process, one shard after another.

    Parameters
    ----------
    schema : Schema
    shards : iterable of Shard
        A list, or `ChunkShards`; each sum iterates over it once.
    """

    def __init__(self, schema: Schema, shards: Iterable[Shard]) -> None:
        super().__init__(schema)
        self.shards = shards

    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sum over all shards."""
        return sum_over(self.shards, method, arguments)


def chunk_sums(chunks: Chunks, schema: Schema, *, fit_intercept: bool) -> SequentialSums:
    """Return the sums over rows on disk."""
    return SequentialSums(schema, ChunkShards(chunks, schema, fit_intercept, torch.device("cpu")))


def local_sums(rows: TrainingRows, *, fit_intercept: bool, device: torch.device) -> LocalSums:
    """Return the sums over rows in memory."""
    return LocalSums(Shard(rows, fit_intercept=fit_intercept, device=device))
