"""Batches of training data: shuffled, gathered in chunks of many batches, and split into views."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_quadrant._solvers.own_modules import split_values
from sk_quadrant._solvers.tensors import SparseRows, split_targets

if TYPE_CHECKING:
    from sk_quadrant._solvers.mini_batch.data import BatchData
    from sk_quadrant.losses import Loss

CHUNK_ELEMENTS = 2**21  # numbers gathered at a time, 8 MiB in single precision: a compromise of memory and speed


class Chunk:
    """Rows of many batches.

    Parameters
    ----------
    features, y
        Features and targets, as `BatchData.rows` returns them.
    sizes : list of int
        Rows of each batch.
    counts : list of int
        Number of rows of each batch over all processes.
    has_ones : bool
        Whether the last column of the features is one of ones.
    """

    def __init__(
        self, features: Any, y: dict[str, Tensor], sizes: list[int], counts: list[int], *, has_ones: bool
    ) -> None:
        self.features, self.y, self.sizes, self.counts, self.has_ones = features, y, sizes, counts, has_ones
        self.X = features[:, :-1] if has_ones else features
        self.targets, self.mask, self.label_weight, self.row_weight = split_targets(y)

    @property
    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Features and targets of each batch, as views; targets without masks and weights are a tensor."""
        y = self.targets if len(self.y) == 1 else self.y
        return zip(split_values(self.X, self.sizes), split_values(y, self.sizes), strict=True)

    def total_loss(self, loss: Loss) -> float:
        """Return the losses of `scores`, summed over rows."""
        losses = loss.per_sample(self.scores, self.targets, self.mask, self.label_weight)
        return float((losses if self.row_weight is None else losses * self.row_weight).sum(dtype=torch.float64))

    @cached_property
    def scores(self) -> Tensor:
        """Memory for the scores of all rows."""
        return torch.empty_like(self.targets)

    @cached_property
    def views(self) -> list[tuple[Any, ...]]:
        """Of each batch the features, scores, targets, mask, label weights, and row weights as a column."""
        columns = (self.mask, self.label_weight, None if self.row_weight is None else self.row_weight[:, None])
        parts = (self.features, self.scores, self.targets, *columns)
        empty = [None] * len(self.sizes)
        return list(zip(*(empty if part is None else part.split(self.sizes) for part in parts), strict=True))


class Mixture:
    """Convex combinations of each row with another one of its batch, one random share per batch (mixup [1]_).

    Weights are combined as well. For a loss that is linear in the targets the loss of a combination is the combination
    of the losses, also with weights, and with labels that are known in one of the two rows only.

    Parameters
    ----------
    sizes : list of int
        Rows of each batch.
    alpha : float
        The share of the row itself has a Beta(alpha, alpha) distribution.
    rng : Generator

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018.
       :arxiv:`1710.09412`
    """

    def __init__(self, sizes: list[int], alpha: float, rng: np.random.Generator) -> None:
        batch = np.repeat(np.arange(len(sizes)), sizes)
        self.share = rng.beta(alpha, alpha, len(sizes))[batch]
        self.partners = np.lexsort((rng.random(len(batch)), batch))  # a permutation within each batch

    def of(self, chunk: Chunk) -> Chunk:
        """Return the combinations of a chunk's rows."""
        features, is_weighted = chunk.features, chunk.mask is not None or chunk.label_weight is not None
        rows = torch.ones_like(chunk.targets[:, :1]) if chunk.row_weight is None else chunk.row_weight[:, None]
        labels = torch.ones_like(chunk.targets) if chunk.label_weight is None else chunk.label_weight
        labels = labels if chunk.mask is None else labels * chunk.mask
        y = {"targets": self._mix(chunk.targets, rows * labels)}
        if is_weighted:
            # in proportion to the weights of rows: then label weight times row weight is the mixture of these products
            y["label_weight"] = self._mix(labels, rows)
            y["mask"] = y["label_weight"] > 0
        if chunk.row_weight is not None:
            y["row_weight"] = self._mix(rows, torch.ones_like(rows))[:, 0]
        if isinstance(features, SparseRows):
            mixed: Any = features.mixed_with(self.partners, self.share)
        else:
            mixed = self._mix(features, torch.ones_like(rows))
        return Chunk(mixed, y, chunk.sizes, chunk.counts, has_ones=chunk.has_ones)

    def _mix(self, values: Tensor, weight: Tensor) -> Tensor:
        """Return combinations of values (n_rows, n_columns) with weights of that shape, or one per row."""
        share = torch.from_numpy(self.share).to(values)[:, None]
        partners = torch.from_numpy(self.partners).to(values.device)
        # (c w_1 v_1 + (1 - c) w_2 v_2) / (c w_1 + (1 - c) w_2): unknown targets, of weight 0, have no influence
        own, other = share * weight, (1 - share) * weight[partners]
        total = own + other
        return (own * values + other * values[partners]) / total.where(total > 0, 1)


class Batches:
    """Batches of all rows of training data, in an order that depends on a seed and the number of the epoch alone.

    Parameters
    ----------
    data : BatchData
    size : int
        Largest number of rows of a batch. Sizes differ by one row at most: the rows of a small last batch would get
        too much weight, since each step follows the mean over a batch.
    device : torch.device
    seed : int or None, default=None
        Source of the order, None to keep the order of the data.
    mixup_alpha : float, default=0.0
        If positive, each row is mixed with another one of its batch (see `Mixture`).

    Attributes
    ----------
    epoch : int
        Number of the epoch, set by the caller before each pass.
    """

    def __init__(
        self, data: BatchData, size: int, device: Any, *, seed: int | None = None, mixup_alpha: float = 0.0
    ) -> None:
        self.data, self.device, self.seed, self.mixup_alpha = data, device, seed, mixup_alpha
        self.sizes = equal_sizes(len(data), size)
        self.epoch = 0
        self._chunks: dict[tuple[int, ...], Chunk] = {}  # by the sizes of their batches

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Any]:
        for chunk in self.chunks():
            yield from chunk.batches

    def chunks(self, *, reuse: bool = False) -> Iterator[Chunk]:
        """Yield the rows of many batches at once.

        Parameters
        ----------
        reuse : bool, default=False
            Whether chunks may reuse the memory of earlier chunks, also of earlier epochs.
        """
        order, start = self._order(), 0
        rng = np.random.default_rng([self.seed or 0, self.epoch, 1]) if self.mixup_alpha else None
        # the number of rows of a batch that are in this process varies if there are several
        reuse &= self.data.exchange is None and self.data.has_ones and torch.device(self.device).type == "cpu"
        for sizes in self._sizes_of_chunks():
            rows = order[start : start + sum(sizes)]
            start += len(rows)
            chunk = self._chunk(rows, sizes, reuse=reuse)
            yield chunk if rng is None else Mixture(sizes, self.mixup_alpha, rng).of(chunk)

    def _sizes_of_chunks(self) -> list[list[int]]:
        """Return the sizes of the batches that are gathered together, at least one each time."""
        n = max(1, int(CHUNK_ELEMENTS / self.data.elements_per_row / self.sizes[0]))
        return [self.sizes[k : k + n] for k in range(0, len(self.sizes), n)]

    def _order(self) -> NDArray[np.intp]:
        if self.seed is None:
            return np.arange(len(self.data))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.data))

    def _chunk(self, rows: NDArray[np.intp], sizes: list[int], *, reuse: bool) -> Chunk:
        chunk = self._chunks.get(tuple(sizes)) if reuse else None
        if chunk is not None:
            self.data.rows(rows, self.device, out=(chunk.features, chunk.y))
            return chunk
        here, sizes_here = self.data.in_process(rows, sizes)
        chunk = Chunk(*self.data.rows(here, self.device), sizes_here, sizes, has_ones=self.data.has_ones)
        if reuse:
            self._chunks[tuple(sizes)] = chunk
        return chunk


def equal_sizes(n_rows: int, largest: int) -> list[int]:
    """Return numbers of rows, as few and as equal as possible."""
    # ceil(n_rows / largest) parts; the first ones have one row more
    rows, larger = divmod(n_rows, n_parts := -(-n_rows // largest))
    return [rows + 1] * larger + [rows] * (n_parts - larger)
