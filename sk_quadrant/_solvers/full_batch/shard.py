"""Shards of the training rows, and sums over their rows.

A full-batch fit needs sums over rows only: of features and their squares, of targets, of losses and their derivatives.
Each method of `Shard` returns such sums as a tuple of tensors; the total is the sum over all shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from sk_quadrant._arrays import row_blocks
from sk_quadrant._solvers.full_batch.design import BLOCK_ELEMENTS, Design, design_of, mirrored, triangle_blocks
from sk_quadrant._solvers.tensors import as_tensor, take_labels, torch_dtype
from sk_quadrant._solvers.threads import in_threads
from sk_quadrant.losses.weighting import split_weight, weighted

if TYPE_CHECKING:
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant.losses import Loss

SumTensors = tuple[Tensor | None, ...]
ShardMethod = Callable[..., SumTensors]
Curvature = Literal["mean", "diagonal"] | None
REMEMBERED = 2  # a line search alternates between the labels of a block and some of them
PANEL_ELEMENTS = 2**18  # derivatives of all rows, for a panel of labels, that stay in cache in products with columns
NARROWEST = 64  # labels in a panel: a row of weights should fill some cache lines


class EvaluationPoint(NamedTuple):
    """A loss, the parameters of the scores ``X @ coef.T + shift``, and which derivatives are needed.

    Attributes
    ----------
    loss : Loss
    coef : Tensor of shape (n_labels, n_features)
        Weights of the raw features.
    shift : Tensor of shape (n_labels,) or None
    curvature : {"mean", "diagonal"} or None
        "mean" sums second derivatives per label, "diagonal" also their products with squared features.
    constant : bool
        Whether the weights are known to be zero.
    centred : bool
        Whether squares will be centred, which needs `LossSums.firsts`.
    """

    loss: Loss
    coef: Tensor
    shift: Tensor | None
    curvature: Curvature = None
    constant: bool = False
    centred: bool = False

    def panel(self, labels: slice) -> EvaluationPoint:
        """Return the same of some of the labels, for a labelwise loss."""
        loss, coef = self.loss.take(range(labels.start, labels.stop)), self.coef[labels].T.contiguous().T
        return self._replace(loss=loss, coef=coef, shift=None if self.shift is None else self.shift[labels])

    def to(self, device: torch.device) -> EvaluationPoint:
        """Return the same on a device."""
        return self._replace(coef=self.coef.to(device), shift=None if self.shift is None else self.shift.to(device))


class LossSums(NamedTuple):
    """Sums over rows for an evaluation of the objective.

    Attributes
    ----------
    values : double Tensor of shape (n_labels,), or (1,) for a set-wise loss
    gradient : Tensor of shape (n_labels, n_columns)
        With respect to weights of features that are not centred.
    curvature : Tensor of shape (n_labels,) or None
        Second derivatives with respect to the scores.
    squares, firsts : Tensor of shape (n_labels, n_columns) or None
        Second derivatives times squared features, and times features, not centred.
    """

    values: Tensor
    gradient: Tensor
    curvature: Tensor | None = None
    squares: Tensor | None = None
    firsts: Tensor | None = None

    @classmethod
    def beside(cls, panels: Sequence[LossSums]) -> LossSums:
        """Return the sums of all labels, given those of panels of labels."""
        return cls(*(None if parts[0] is None else _beside(parts) for parts in zip(*panels, strict=True)))  # type: ignore[arg-type]


def _beside(parts: Sequence[Tensor]) -> Tensor:
    """Return parts for several labels as one, in their memory order."""
    return torch.cat([part.T for part in parts], dim=-1).T if parts[0].ndim == 2 else torch.cat(list(parts))


@dataclass(frozen=True)
class BlockTargets:
    """Targets of a block of labels, in the same memory order as their scores.

    Attributes
    ----------
    values : Tensor of shape (n_labels, n_rows)
        Targets; unknown ones are 0. Hard targets may be uint8.
    mask : bool Tensor of shape (n_labels, n_rows) or None
        True where the target is known.
    weight : Tensor of shape (n_labels, n_rows) or None
        Relative weights of the labels within their row.
    """

    values: Tensor
    mask: Tensor | None = None
    weight: Tensor | None = None

    def take(self, labels: Tensor) -> BlockTargets:
        """Return the targets of some labels."""
        mask, weight = (None if part is None else take_labels(part, labels) for part in (self.mask, self.weight))
        return BlockTargets(take_labels(self.values, labels), mask, weight)

    @property
    def are_classes(self) -> bool:
        """Whether all targets are known, hard, and of the weight of their row."""
        return self.values.dtype == torch.uint8 and self.mask is None and self.weight is None

    def panel(self, labels: slice) -> BlockTargets:
        """Return the targets of consecutive labels, which share memory with these."""
        mask, weight = (None if part is None else part[labels] for part in (self.mask, self.weight))
        return BlockTargets(self.values[labels], mask, weight)

    def rows(self, rows: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return values, mask and weight of some rows, each (n_block_rows, n_labels), as losses take them."""
        mask, weight = (None if part is None else part[:, rows].T for part in (self.mask, self.weight))
        return self.values[:, rows].T.to(dtype), mask, None if weight is None else weight.to(dtype)

    def sums(self, row_weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weighted sum of each label's known targets, the sum of their weights, and how many are positive.

        Each is double, of shape (n_labels,).
        """
        if row_weight is None and self.weight is None and self.mask is None:
            # sums of integers are twice as fast
            exact = torch.int32 if self.values.dtype == torch.uint8 else torch.float64
            total = self.values.sum(dim=1, dtype=exact).double()
            n_known = torch.full_like(total, self.values.shape[1])
            return total, n_known, n_known
        weight = torch.ones_like(self.values, dtype=torch.float64) if self.weight is None else self.weight.double()
        if row_weight is not None:
            weight = weight * row_weight
        if self.mask is not None:
            weight = weight * self.mask
        return (weight * self.values).sum(dim=1), weight.sum(dim=1), (weight > 0).sum(dim=1).double()


@dataclass(frozen=True)
class Block:
    """The rows of a shard with the targets of a block of labels.

    Attributes
    ----------
    design : Design
    targets : BlockTargets
    """

    design: Design
    targets: BlockTargets

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.targets.values.shape[0]

    def take(self, labels: Tensor) -> Block:
        """Return some of the labels."""
        return Block(self.design, self.targets.take(labels))

    def target_sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return sums of targets, weights and positive weights; see `BlockTargets.sums`."""
        return self.targets.sums(self.design.row_weight)

    def loss_sums(self, at: EvaluationPoint) -> LossSums:
        """Return the sums of an evaluation, in one pass over the rows for each panel of labels."""
        if (n_panels := self._n_panels(at)) == 1:
            parts = self.design.parts(self.n_labels)
            return LossSums(*add(in_threads(partial(self._sums_of, at), parts)))  # type: ignore[arg-type]
        n = self.n_labels
        panels = [slice(n * k // n_panels, n * (k + 1) // n_panels) for k in range(n_panels)]
        return LossSums.beside(
            [Block(self.design, self.targets.panel(labels)).loss_sums(at.panel(labels)) for labels in panels]
        )

    def _n_panels(self, at: EvaluationPoint) -> int:
        """Return the number of groups of labels; products with sparse columns gather the derivatives of all rows."""
        if self.design.dense or self.design.device.type != "cpu" or not at.loss.labelwise:
            return 1
        size = max(NARROWEST, PANEL_ELEMENTS // max(1, self.design.n_rows))
        return max(1, round(self.n_labels / size))

    def _sums_of(self, at: EvaluationPoint, blocks: Iterable[slice]) -> LossSums:
        """Return the sums of an evaluation over some blocks of rows."""
        n_groups = self.n_labels if at.loss.labelwise else 1
        values = torch.zeros(n_groups, dtype=torch.float64, device=at.coef.device)
        total = None if at.curvature is None else at.coef.new_zeros(self.n_labels)
        gradients = self.design.feature_sums(self.n_labels)
        powers = (2, 1) if at.centred else (2,)
        squares = self.design.feature_sums(self.n_labels, powers=powers) if at.curvature == "diagonal" else None
        constant = self._two_values(at) if at.constant and self.targets.are_classes and at.loss.labelwise else None
        for rows in blocks:
            targets = self.targets.rows(rows, at.coef.dtype)
            if constant is None:
                losses, derivatives, *second = _derivatives(at, self._scores(at, rows).T, targets)
            else:
                losses, derivatives, *second = ((targets[0] * rise).add_(absent) for absent, rise in constant)
            values += self._weighted(rows, losses).sum(dim=0)
            gradients.add(rows, self._weighted(rows, derivatives).T)
            if total is not None:
                curvature = self._weighted(rows, second[0]).T
                total += curvature.sum(dim=1)
                if squares is not None:
                    squares.add(rows, curvature)
        (gradient,) = gradients.totals()
        return LossSums(values, gradient, total, *([] if squares is None else squares.totals()))

    def _two_values(self, at: EvaluationPoint) -> list[tuple[Tensor, Tensor]]:
        """Return loss and derivatives of absent labels, and what present ones have more, at constant scores."""
        targets = at.coef.new_tensor([[0.0], [1.0]]).expand(2, self.n_labels)
        scores = torch.zeros_like(targets) if at.shift is None else at.shift.expand_as(targets)
        return [(absent, present - absent) for absent, present in _derivatives(at, scores, (targets, None, None))]

    def hessian_sums(self, at: EvaluationPoint, mean: Tensor | None, varies: Tensor) -> Tensor:
        """Return the sum of ``h_ij x_i x_i'`` over the rows i, double (n_labels, n_columns, n_columns).

        Parameters
        ----------
        at : EvaluationPoint
        mean : Tensor of shape (n_features,) or None
            Mean that is subtracted from the features.
        varies : Tensor of shape (n_columns,)
            1, or 0 for a feature that is constant.
        """
        p = len(varies)
        hessian = torch.zeros(self.n_labels, p, p, dtype=torch.float64, device=at.coef.device)
        for rows in self.design.blocks(p):
            targets = self.targets.rows(rows, at.coef.dtype)
            curvature = self._weighted(rows, at.loss.curvature(self._scores(at, rows).T, *targets))
            columns = self.design.augmented(rows, mean) * varies
            for labels in row_blocks(self.n_labels, max(1, BLOCK_ELEMENTS // (1 + columns.numel()))):
                weighed = columns * curvature.T[labels, :, None]
                for some in triangle_blocks(p):
                    hessian[labels, some, some.start :] += weighed[:, :, some].mT @ columns[:, some.start :]
        return mirrored(hessian)

    def _scores(self, at: EvaluationPoint, rows: slice) -> Tensor:
        """Return the scores of a block of rows, shape (n_labels, n_block_rows)."""
        if at.constant:
            scores = at.coef.new_zeros(self.n_labels, rows.stop - rows.start)
        else:
            scores = self.design.raw_scores(at.coef, rows)
        return scores if at.shift is None else scores.add_(at.shift[:, None])

    def _weighted(self, rows: slice, values: Tensor) -> Tensor:
        """Return values of a block of rows, (n_block_rows, n), times the row weights."""
        weight = self.design.row_weight
        return values if weight is None else weighted(values, None, weight[rows, None])


def _derivatives(at: EvaluationPoint, scores: Tensor, targets: Any) -> list[Tensor]:
    """Return the losses, their first derivatives, and the second ones if they are needed."""
    second = [] if at.curvature is None else [at.loss.curvature(scores, *targets)]
    return [*at.loss.values_and_gradient(scores, *targets), *second]


class Shard:
    """Training rows in one place: their design, and targets of any of the labels.

    Parameters
    ----------
    rows : TrainingRows
    fit_intercept : bool
    device : torch.device
    """

    def __init__(self, rows: TrainingRows, *, fit_intercept: bool, device: torch.device) -> None:
        self.rows = rows
        weight = None if rows.targets.weight is None else as_tensor(rows.targets.weight)
        mask = None if rows.targets.mask is None else as_tensor(rows.targets.mask)
        row_weight, label_weight = split_weight(weight, mask)
        dtype = torch_dtype(rows.dtype)
        self.label_weight = None if label_weight is None else label_weight.to(dtype)
        self.design = design_of(
            rows.X,
            None if row_weight is None else row_weight.to(device, dtype),
            fit_intercept=fit_intercept,
            dtype=dtype,
            device=device,
        )
        self._blocks: dict[bytes, Block] = {}

    def block(self, labels: Tensor) -> Block:
        """Return the rows with the targets of some labels."""
        index, mask = labels.numpy(), self.rows.targets.mask
        return Block(self.design, BlockTargets(
            self._by_label(as_tensor(self.rows.label_columns(index))),
            None if mask is None else self._by_label(as_tensor(mask[:, index])),
            None if self.label_weight is None else self._by_label(self.label_weight[:, labels]),
        ))  # fmt: skip

    def _by_label(self, columns: Tensor) -> Tensor:
        """Return the transpose of a matrix, in the memory order of scores, on the device."""
        ordered = columns.T.contiguous() if self.design.dense else columns.contiguous().T
        return ordered.to(self.design.device)

    def size(self) -> SumTensors:
        """Return the number of rows, of values, the sum of weights, and the number of positive weights."""
        design = self.design
        n_weighted = int((design.weights > 0).sum())
        return (torch.tensor([design.n_rows, design.n_values, design.total_weight, n_weighted], dtype=torch.float64),)

    def known_weight(self) -> SumTensors:
        """Return the number of known targets, and the sum of their weights."""
        return tuple(torch.tensor(part, dtype=torch.float64) for part in self.rows.targets.known_weight())

    def label_counts(self) -> SumTensors:
        """Return the unweighted sum of each label's known targets, and their number."""
        targets = self.rows.targets
        return torch.from_numpy(targets.counts()), torch.from_numpy(targets.n_known()).double()

    def feature_sums(self) -> SumTensors:
        """Return the weighted sums of the features."""
        return (self.design.power_sums(1),)

    def square_sums(self, mean: Tensor | None) -> SumTensors:
        """Return the weighted sums of the squared features; see `Design.square_sums`."""
        return (self.design.square_sums(mean),)

    def coupling_sums(self, mean: Tensor | None, step: int) -> SumTensors:
        """Return weighted sums of outer products and powers of the features; see `Design.coupling_sums`."""
        return self.design.coupling_sums(mean, step)

    def target_sums(self, labels: Tensor) -> SumTensors:
        """Return sums for some labels; see `Block.target_sums`."""
        return self._remembered_block(labels).target_sums()

    def loss_sums(self, labels: Tensor, at: EvaluationPoint) -> SumTensors:
        """Return sums for some labels; see `Block.loss_sums`."""
        return self._remembered_block(labels).loss_sums(at)

    def hessian_sums(self, labels: Tensor, at: EvaluationPoint, mean: Tensor | None, varies: Tensor) -> SumTensors:
        """Return sums for some labels; see `Block.hessian_sums`."""
        return (self._remembered_block(labels).hessian_sums(at, mean, varies),)

    def _remembered_block(self, labels: Tensor) -> Block:
        key, labels = labels.cpu().numpy().tobytes(), labels.cpu()
        block = self._blocks.pop(key, None) or self.block(labels)
        while len(self._blocks) >= REMEMBERED:
            self._blocks.pop(next(iter(self._blocks)))
        self._blocks[key] = block
        return block

    def __sizeof__(self) -> int:
        """Return the bytes of the rows, from which a scheduler estimates the cost of a transfer."""
        return object.__sizeof__(self) + self.rows.nbytes

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the cached blocks."""
        return vars(self) | {"_blocks": {}}


def sum_over(shards: Iterable[Shard], method: ShardMethod, arguments: Iterable[Any]) -> SumTensors:
    """Return the sum of a method of `Shard` over shards; only one shard has to be in memory at a time."""
    arguments = list(arguments)
    return add(_shard_sums(shard, method, arguments) for shard in shards)


def _shard_sums(shard: Shard, method: ShardMethod, arguments: Iterable[Any]) -> SumTensors:
    """Return the sums of a shard, computed on its device, on the CPU."""
    device = shard.design.device
    moved = (part.to(device) if isinstance(part, Tensor | EvaluationPoint) else part for part in arguments)
    return tuple(None if part is None else part.cpu() for part in method(shard, *moved))


def add(parts: Iterable[SumTensors]) -> SumTensors:
    """Return the sum of the results of a method for one or more shards; None counts as zero."""
    return reduce(lambda total, part: tuple(map(_plus, total, part)), parts)


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
