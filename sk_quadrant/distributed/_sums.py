"""Sums over the rows of all ranks: for the full batch, and for gradients and losses of mini-batches.

All-reduce gives each rank the same bits, so that all ranks run the same solver and take the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_quadrant._rows.parts import Schema
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.full_batch.shard import Shard, ShardMethod, SumTensors, sum_over
from sk_quadrant._solvers.full_batch.sums import ShardedSums
from sk_quadrant._solvers.mini_batch.data import BatchData
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
        super().__init__(schema, shards)
        self.ranks = ranks

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


class RankExchange:
    """Sums of gradients and losses over ranks; see `Exchange`.

    All exchanges have the same size; the last number is the count of failed ranks, so that a rank can fail at any time.

    Parameters
    ----------
    ranks : Ranks
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def open(self, gradients: list[Tensor]) -> None:
        """Register the gradients; see `Exchange.open`."""
        self.gradients = gradients
        self.sent = gradients[0].new_zeros(sum(gradient.numel() for gradient in gradients) + 2)

    def sum_gradients(self) -> None:
        """Sum the gradients; see `Exchange.sum_gradients`."""
        torch.cat([gradient.flatten() for gradient in self.gradients], out=self.sent[:-2])
        sums = self._sum()[:-2].split([gradient.numel() for gradient in self.gradients])  # type: ignore[no-untyped-call]
        for gradient, total in zip(self.gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))

    def sum_losses(self, compute: Callable[[], float]) -> float:
        """Sum losses; see `Exchange.sum_losses`."""
        error, loss = None, 0.0
        try:
            loss = compute()
        except Exception as caught:
            if self.ranks.broken:
                raise
            error = caught
        self.sent[-2] = loss
        return float(self._sum(error)[-2])

    def _sum(self, error: Exception | None = None) -> Tensor:
        self.sent[-1] = float(error is not None)
        sums = self.ranks.sum(self.sent)
        if sums[-1]:
            self.ranks.give_up(error)
        return sums


class RankData(BatchData):
    """Rows of this rank as a part of the concatenated rows of all ranks; see `BatchData`.

    Parameters
    ----------
    rows : TrainingRows
        Rows of this rank.
    exchange : RankExchange
    counts : list of int
        Rows of each rank.
    chosen : ndarray of shape (n_chosen,), default=None
        Indices among all rows, None for all.
    """

    def __init__(
        self, rows: TrainingRows, exchange: RankExchange, counts: list[int], chosen: NDArray[np.intp] | None = None
    ) -> None:
        super().__init__(rows)
        self.exchange: RankExchange = exchange
        self.ranks, self.counts, self.chosen = exchange.ranks, counts, chosen
        self.first = sum(counts[: self.ranks.rank])
        self.mean_weight = float(self.ranks.sum(self._own_weight())) / len(self)

    def _own_weight(self) -> Tensor:
        rows, _ = self.in_process(np.arange(len(self)), [len(self)])
        weight = torch.ones(len(rows)) if self.row_weight is None else self.row_weight[torch.from_numpy(rows)]
        return weight.sum(dtype=torch.float64)

    def __len__(self) -> int:
        return sum(self.counts) if self.chosen is None else len(self.chosen)

    def in_process(self, rows: NDArray[np.intp], sizes: list[int]) -> tuple[NDArray[np.intp], list[int]]:
        """Return which rows are on this rank; see `BatchData.in_process`."""
        rows = (rows if self.chosen is None else self.chosen[rows]) - self.first
        is_here = (rows >= 0) & (rows < self.X.shape[0])
        batch = np.repeat(np.arange(len(sizes)), sizes)[is_here]
        return rows[is_here], np.bincount(batch, minlength=len(sizes)).tolist()

    def presence(self) -> NDArray[np.bool_]:
        """Return which labels are present in the rows of all ranks; see `BatchData.presence`."""
        packed = self.ranks.gather(np.packbits(super().presence(), axis=1))  # a bit for each label and row
        n_labels = self.training_rows.n_labels
        return np.unpackbits(np.concatenate(packed), axis=1, count=n_labels).astype(bool)

    def of(self, rows: TrainingRows, index: NDArray[np.intp] | None = None) -> RankData:
        """Return other rows, or some of those of all ranks; see `BatchData.of`."""
        return RankData(rows, self.exchange, self.counts, index)
