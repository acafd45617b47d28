"""Sums over all rows, wherever they are: the one place where the solver meets the data.

The solver asks for sums by methods of `Shard`. In memory a sum is that of the one shard; for files it is a loop over
chunks, on a cluster a sum over workers, under ``torchrun`` an all-reduce. The solver does not know which.
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

from sk_quadrant._solvers.full_batch.shard import EvaluationPoint, LossSums, Query, Shard, Sums, sum_over
from sk_quadrant._solvers.tensors import torch_dtype

if TYPE_CHECKING:
    from sk_quadrant._rows.parts import Chunks, Schema
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant._solvers.full_batch.design import Design


class BlockSums(Protocol):
    """Sums over all rows for a block of labels; see `Block` for what they are."""

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
        Where sums arrive.
    dense : bool
        Whether features are dense.
    largest : int
        Rows of the largest shard.
    """

    n_features: int
    n_labels: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")
    dense: bool
    largest: int

    @abstractmethod
    def total(self, query: Query, *arguments: Any) -> Sums:
        """Return the sum of a query, a method of `Shard`, over all shards."""

    def block(self, labels: Tensor) -> BlockSums:
        """Return the sums for a block of labels."""
        return ReducedBlock(self, labels)

    def design(self) -> Design | None:
        """Return the design of the rows if all are in this process, else None."""
        return None

    def size(self) -> tuple[int, int, float, int]:
        """Return the number of rows, of values that a product goes through, the sum of weights, how many are not 0."""
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

    def _tensors(self, query: Query, *arguments: Any) -> tuple[Tensor, ...]:
        return tuple(part for part in self.total(query, *arguments) if part is not None)


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
    """Sums over rows that are all in this process: those of one shard.

    Parameters
    ----------
    shard : Shard
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        design, rows = shard.design, shard.rows
        self.n_features, self.n_labels, self.largest = rows.n_features, rows.n_labels, len(rows)
        self.dtype, self.device, self.dense = design.dtype, design.device, design.dense

    def total(self, query: Query, *arguments: Any) -> Sums:
        """Return the sums of the shard."""
        return query(self.shard, *arguments)

    def block(self, labels: Tensor) -> BlockSums:
        """Return the targets of a block of labels beside the design."""
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
    """Sums over rows that are in several places, about which a schema is known.

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

    def total(self, query: Query, *arguments: Any) -> Sums:
        """Return the sum over all shards."""
        return sum_over(self.shards, query, arguments)


def chunk_sums(chunks: Chunks, schema: Schema, *, fit_intercept: bool) -> SequentialSums:
    """Return the sums over rows on disk."""
    return SequentialSums(schema, ChunkShards(chunks, schema, fit_intercept, torch.device("cpu")))


def local_sums(rows: TrainingRows, *, fit_intercept: bool, device: torch.device) -> LocalSums:
    """Return the sums over rows in memory."""
    return LocalSums(Shard(rows, fit_intercept=fit_intercept, device=device))
