"""Batches of training data: shuffled, gathered a chunk at a time, and cut into views."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sk_quadrant._data import TrainingData, without_ones

CHUNK_ELEMENTS = 2**21  # numbers gathered at a time, 8 MiB in single precision: bounds memory, and enough to be fast


class Chunk:
    """Rows of many batches.

    Parameters
    ----------
    features, y
        Features, dense ones with a column of ones, and targets, as `TrainingData.rows` returns them.
    size : int
        Rows of a batch; the last one may be smaller.
    """

    def __init__(self, features: Any, y: Any, size: int) -> None:
        self.features, self.y, self.size = features, y, size
        self.X = without_ones(features)
        self.targets, self.mask, self.label_weight, self.row_weight = split_targets(y)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.size)

    @property
    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Features and targets of each batch, as views."""
        return zip(self.X.split(self.size), self._split_y(), strict=True)

    def _split_y(self) -> list[Any]:
        if not isinstance(self.y, dict):
            return list(self.y.split(self.size))
        groups = zip(*(part.split(self.size) for part in self.y.values()), strict=True)
        return [dict(zip(self.y, group, strict=True)) for group in groups]

    @cached_property
    def scores(self) -> Tensor:
        """Memory for the scores of all rows."""
        return torch.empty_like(self.targets)

    @cached_property
    def views(self) -> list[tuple[Any, ...]]:
        """Of each batch the features, scores, targets, mask, label weights, and row weights as a column."""
        columns = (self.mask, self.label_weight, None if self.row_weight is None else self.row_weight[:, None])
        parts = (self.features, self.scores, self.targets, *columns)
        empty = [None] * len(self)
        return list(zip(*(empty if part is None else part.split(self.size) for part in parts), strict=True))


def split_targets(y: Any) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return targets, mask, weights of labels and weights of rows, None where there are none."""
    if isinstance(y, Tensor):
        return y, None, None, None
    return y["targets"], y.get("mask"), y.get("label_weight"), y.get("row_weight")


class Batches:
    """Batches of all rows of training data, in an order that depends on a seed and the number of the epoch alone.

    Parameters
    ----------
    data : TrainingData
    size : int
        Rows of a batch; the last one may be smaller.
    device : torch.device
    seed : int or None, default=None
        Source of the order, None to keep the order of the data.

    Attributes
    ----------
    epoch : int
        Number of the epoch, which whoever iterates sets.
    """

    def __init__(self, data: TrainingData, size: int, device: Any, *, seed: int | None = None) -> None:
        self.data, self.size, self.device, self.seed = data, size, device, seed
        self.epoch = 0
        self._chunks: dict[int, Chunk] = {}  # by number of rows

    def __len__(self) -> int:
        return -(-len(self.data) // self.size)

    def __iter__(self) -> Iterator[Any]:
        for chunk in self.chunks():
            yield from chunk.batches

    @property
    def rows_per_chunk(self) -> int:
        """Rows gathered together, a multiple of the batch size."""
        batches = int(CHUNK_ELEMENTS / self.data.elements_per_row / self.size)
        return max(1, batches) * self.size

    def chunks(self, *, reuse: bool = False) -> Iterator[Chunk]:
        """Yield the rows of many batches at once.

        Parameters
        ----------
        reuse : bool, default=False
            Whether the memory of a chunk may be that of one before, also of earlier epochs.
        """
        order = self._order()
        for start in range(0, len(order), self.rows_per_chunk):
            rows = order[start : start + self.rows_per_chunk]
            yield self._overwrite(rows) if reuse and self._is_reusable() else self._gather(rows)

    def _order(self) -> NDArray[np.intp]:
        if self.seed is None:
            return np.arange(len(self.data))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.data))

    def _is_reusable(self) -> bool:
        return not sparse.issparse(self.data.X) and torch.device(self.device).type == "cpu"

    def _gather(self, rows: NDArray[np.intp]) -> Chunk:
        features, y = self.data.rows(rows)
        y = {key: part.to(self.device) for key, part in y.items()} if isinstance(y, dict) else y.to(self.device)
        return Chunk(features.to(self.device), y, self.size)

    def _overwrite(self, rows: NDArray[np.intp]) -> Chunk:
        chunk = self._chunks.get(len(rows))
        if chunk is None:
            chunk = self._chunks[len(rows)] = self._gather(rows)
        else:
            self.data.rows(rows, out=(chunk.features, chunk.y))
        return chunk
