"""The full-batch fit: every rank runs the same solver, on sums over the rows of all ranks.

All-reduce gives each rank the same bits, so that all ranks take the same steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from sk_quadrant._rows.parts import Schema
from sk_quadrant._solvers.full_batch.shard import Shard, ShardMethod, SumTensors, sum_over
from sk_quadrant._solvers.full_batch.sums import ShardedSums
from sk_quadrant.distributed._ranks import Ranks


class RankSums(ShardedSums):
    """Sums over the rows of all ranks; see `RowSums`.

    Parameters
    ----------
    ranks : Ranks
    schema : Schema
    shards : iterable of Shard
        Shards of this rank; each sum iterates over them once.
    """

    def __init__(self, ranks: Ranks, schema: Schema, shards: Iterable[Shard]) -> None:
        super().__init__(schema)
        self.ranks, self.shards = ranks, shards

    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sum over all ranks.

        Raises
        ------
        RuntimeError
            If a rank has failed, or computes another sum.
        """
        own = self.ranks.attempt(
            lambda: sum_over(self.shards, method, arguments), token=lambda sums: _token(method, sums)
        )
        return tuple(None if part is None else self.ranks.sum(part) for part in own)


def _token(method: ShardMethod, sums: SumTensors) -> int:
    """Return a hash of the method and shapes, which must be equal on all ranks."""
    shapes = [None if part is None else tuple(part.shape) for part in sums]
    return crc32(f"{getattr(method, '__name__', method)} {shapes}".encode())
