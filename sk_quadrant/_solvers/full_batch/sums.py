"""Sums over training rows on disk or in several processes.

The solver reads the data through `RowSums.total` only. In memory there is one shard; on disk the sum is a loop over
chunks, on a cluster a sum over workers, under ``torchrun`` an all-reduce. The code of the solver is the same, since the
objective, its gradient and its Hessian have this summation form [1]_.

References
----------
.. [1] C.-T. Chu et al., "Map-reduce for machine learning on multicore", NIPS 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.shard import ReducedBlock, RowSums, Shard, ShardMethod, SumTensors, sum_over
from sk_quadrant._solvers.tensors import torch_dtype

if TYPE_CHECKING:
    from sk_quadrant._rows.parts import Chunks, Schema


class ShardedSums(RowSums):
    """Sums over rows in several shards.

    Parameters
    ----------
    schema : Schema
    shards : iterable of Shard, default=()
        Shards of this process: a list, or `ChunkShards`. Each sum iterates over them once, one shard after another.
    """

    def __init__(self, schema: Schema, shards: Iterable[Shard] = ()) -> None:
        self.shards = shards
        self.n_features, self.n_labels, self.largest = schema.n_features, schema.n_labels, schema.largest
        self.dtype, self.dense = torch_dtype(schema.dtype), not schema.is_sparse

    def block(self, labels: Tensor) -> ReducedBlock:
        """Return the sums for a block of labels."""
        return ReducedBlock(self, labels)

    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sum over the shards of this process."""
        return sum_over(self.shards, method, arguments)


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


def chunk_sums(chunks: Chunks, schema: Schema, *, fit_intercept: bool) -> ShardedSums:
    """Return the sums over rows on disk."""
    return ShardedSums(schema, ChunkShards(chunks, schema, fit_intercept, torch.device("cpu")))
