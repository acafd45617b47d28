"""Batches of training data: shuffled, gathered in chunks of many batches, and split into views."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sk_quadrant._solvers.tensors import SparseRows, split_targets, without_ones

if TYPE_CHECKING:
    from sk_quadrant._solvers.mini_batch.data import BatchData
    from sk_quadrant.losses import Loss

CHUNK_ELEMENTS = 2**21  # numbers gathered at a time, 8 MiB in single precision: a compromise of memory and speed


class Chunk:
    """Rows of many batches.

    Parameters
    ----------
    features, y
        Features, dense ones with a column of ones, and targets, as `BatchData.rows` returns them.
    sizes : list of int
        Rows of each batch.
    counts : list of int or None, default=None
        Number of rows of each batch over all processes, None if all are in this process.
    """

    def __init__(self, features: Any, y: Any, sizes: list[int], counts: list[int] | None = None) -> None:
        self.features, self.y, self.sizes = features, y, sizes
        self.counts = sizes if counts is None else counts
        self.X = without_ones(features)
        self.targets, self.mask, self.label_weight, self.row_weight = split_targets(y)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Features and targets of each batch, as views."""
        return zip(self.X.split(self.sizes), self._split_y(), strict=True)

    def total_loss(self, loss: Loss) -> float:
        """Return the losses of `scores`, summed over rows."""
        losses = loss.per_sample(self.scores, self.targets, self.mask, self.label_weight)
        return float((losses if self.row_weight is None else losses * self.row_weight).sum(dtype=torch.float64))

    def _split_y(self) -> list[Any]:
        if not isinstance(self.y, dict):
            return list(self.y.split(self.sizes))
        groups = zip(*(part.split(self.sizes) for part in self.y.values()), strict=True)
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
        return Chunk(self._mix_features(chunk.features), self._mix_targets(chunk), chunk.sizes)

    def _mix_features(self, features: Any) -> Any:
        if isinstance(features, SparseRows):
            return features.mixed_with(self.partners, self.share)
        return self._mix(features, torch.ones_like(features[:, 0]))

    def _mix(self, values: Tensor, weight: Tensor) -> Tensor:
        """Return weighted combinations of values, (n_rows, n_columns) or (n_rows,), with weights of that shape."""
        share = torch.from_numpy(self.share).to(values).reshape(-1, *[1] * (values.ndim - 1))
        partners = torch.from_numpy(self.partners).to(values.device)
        weight = weight.reshape(*weight.shape, *[1] * (values.ndim - weight.ndim))
        own, other = share * weight, (1 - share) * weight[partners]
        total = own + other
        return (own * values + other * values[partners]) / total.where(total > 0, 1)

    def _mix_targets(self, chunk: Chunk) -> Any:
        rows = torch.ones_like(chunk.targets[:, 0]) if chunk.row_weight is None else chunk.row_weight
        ones = torch.ones_like(rows)
        y = {"targets": chunk.targets}
        if chunk.mask is None and chunk.label_weight is None:
            y["targets"] = self._mix(chunk.targets, rows)
        else:
            labels = torch.ones_like(chunk.targets) if chunk.label_weight is None else chunk.label_weight
            labels = labels if chunk.mask is None else labels * chunk.mask
            y["targets"] = self._mix(chunk.targets, rows[:, None] * labels)
            y["label_weight"] = self._mix(labels, rows)
            y["mask"] = y["label_weight"] > 0
        if chunk.row_weight is not None:
            y["row_weight"] = self._mix(rows, ones)
        return y if len(y) > 1 else y["targets"]


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
        for sizes in self._sizes_of_chunks():
            rows = order[start : start + sum(sizes)]
            start += len(rows)
            gather = self._overwrite if reuse and self._is_reusable() else self._gather
            chunk = gather(*self.data.in_process(rows, sizes), sizes)
            yield chunk if rng is None else Mixture(sizes, self.mixup_alpha, rng).of(chunk)

    def _sizes_of_chunks(self) -> list[list[int]]:
        """Return the sizes of the batches that are gathered together, at least one each time."""
        n = max(1, int(CHUNK_ELEMENTS / self.data.elements_per_row / self.sizes[0]))
        return [self.sizes[k : k + n] for k in range(0, len(self.sizes), n)]

    def _order(self) -> NDArray[np.intp]:
        if self.seed is None:
            return np.arange(len(self.data))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.data))

    def _is_reusable(self) -> bool:
        # the number of rows of a batch that are in this process varies if there are several
        return (
            self.data.exchange is None and not sparse.issparse(self.data.X) and torch.device(self.device).type == "cpu"
        )

    def _gather(self, rows: NDArray[np.intp], sizes: list[int], counts: list[int]) -> Chunk:
        features, y = self.data.rows(rows)
        y = {key: part.to(self.device) for key, part in y.items()} if isinstance(y, dict) else y.to(self.device)
        return Chunk(features.to(self.device), y, sizes, counts)

    def _overwrite(self, rows: NDArray[np.intp], sizes: list[int], counts: list[int]) -> Chunk:
        chunk = self._chunks.get(tuple(sizes))
        if chunk is None:
            chunk = self._chunks[tuple(sizes)] = self._gather(rows, sizes, counts)
        else:
            self.data.rows(rows, out=(chunk.features, chunk.y))
        return chunk


def equal_sizes(n_rows: int, largest: int) -> list[int]:
    """Return numbers of rows, as few and as equal as possible."""
    rows, larger = divmod(n_rows, n_parts := -(-n_rows // largest))
    return [rows + 1] * larger + [rows] * (n_parts - larger)
