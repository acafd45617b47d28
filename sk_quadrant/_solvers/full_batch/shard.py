"""Shards of the training rows, and sums over their rows.

A full-batch fit needs sums over rows only: of features and their squares, of targets, of losses and their derivatives.
Each method of `Shard` returns such sums as a tuple of tensors; the total is the sum over all shards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from sk_quadrant._arrays import equal_slices
from sk_quadrant._solvers.full_batch.design import design_of, mirrored
from sk_quadrant._solvers.tensors import as_tensor, take_labels, torch_dtype
from sk_quadrant._solvers.threads import in_threads
from sk_quadrant.losses.weighting import split_weight, weighted

if TYPE_CHECKING:
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant._solvers.full_batch.design import DenseDesign, Design
    from sk_quadrant._solvers.full_batch.objective import EvaluationPoint
    from sk_quadrant.losses import Loss

SumTensors: TypeAlias = tuple[Any, ...]  # tensors, or None
ShardMethod: TypeAlias = Callable[..., SumTensors]
Curvature = Literal["mean", "diagonal"] | None
PANEL_ELEMENTS = 2**18  # derivatives of all rows, for a panel of labels, that stay in cache in products with columns
NARROWEST = 64  # labels in a panel: a row of weights should fill some cache lines
REMEMBERED = 2  # a line search alternates between the labels of a block and some of them


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


class BlockTargets(NamedTuple):
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

    def take(self, labels: Tensor | slice) -> Block:
        """Return some of the labels; those of a slice share memory with these."""
        return Block(self.design, take_labels(self.targets, labels))

    def targets_of(self, rows: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return targets, mask and weight of some rows, each (n_block_rows, n_labels), as losses take them."""
        values, mask, weight = (None if part is None else part[:, rows].T for part in self.targets)
        return values.to(dtype), mask, None if weight is None else weight.to(dtype)  # type: ignore[union-attr]

    def target_sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weighted sum of each label's known targets, the sum of their weights, and how many are positive.

        Each is double, of shape (n_labels,).
        """
        (values, mask, label_weight), row_weight = self.targets, self.design.row_weight
        if row_weight is None and label_weight is None and mask is None:
            # sums of integers are twice as fast
            exact = torch.int32 if values.dtype == torch.uint8 else torch.float64
            total = values.sum(dim=1, dtype=exact).double()
            n_known = torch.full_like(total, values.shape[1])
            return total, n_known, n_known
        weight = torch.ones_like(values, dtype=torch.float64) if label_weight is None else label_weight.double()
        for factor in (row_weight, mask):
            weight = weight if factor is None else weight * factor
        return (weight * values).sum(dim=1), weight.sum(dim=1), (weight > 0).sum(dim=1).double()

    def loss_sums(self, at: EvaluationPoint) -> LossSums:
        """Return the sums of an evaluation, in one pass over the rows for each panel of labels."""
        if (n_panels := self._n_panels(at)) > 1:
            panels = equal_slices(self.n_labels, n_panels)
            sums = [self.take(labels).loss_sums(at.panel(labels)) for labels in panels]
            return LossSums(*(_side_by_side(parts) for parts in zip(*sums, strict=True)))
        parts = self.design.parts(self.n_labels)
        if len(parts) == 1:
            return self._sums_of(at, parts[0])
        return LossSums(*add(in_threads(partial(self._sums_of, at), parts)))

    def _n_panels(self, at: EvaluationPoint) -> int:
        """Return the number of panels of labels; products with sparse columns gather the derivatives of all rows."""
        if self.design.dense or self.design.device.type != "cpu" or not at.loss.labelwise:
            return 1
        size = max(NARROWEST, PANEL_ELEMENTS // max(1, self.design.n_rows))
        return max(1, round(self.n_labels / size))

    def _sums_of(self, at: EvaluationPoint, blocks: Iterable[slice]) -> LossSums:
        """Return the sums of an evaluation over some blocks of rows."""
        n_groups, needs_curvature = self.n_labels if at.loss.labelwise else 1, at.curvature is not None
        values = torch.zeros(n_groups, dtype=torch.float64, device=at.coef.device)
        total = at.coef.new_zeros(self.n_labels) if needs_curvature else None
        gradients = self.design.feature_sums(self.n_labels)
        powers = (2, 1) if at.centred else (2,)
        squares = self.design.feature_sums(self.n_labels, powers=powers) if at.curvature == "diagonal" else None
        two_values = self._two_values(at, curvature=needs_curvature)
        for rows in blocks:
            losses, slopes, curvature = self._derivatives_at(at, rows, two_values)
            values += losses.sum(dim=0)
            # sum_i v_i l'(s_i) [x_i, 1]
            gradients.add(rows, slopes.T)
            if total is not None and curvature is not None:
                total += curvature.T.sum(dim=1)
                if squares is not None:
                    # with h_i = v_i l''(s_i): sum_i h_i [x_i, 1]^2, and sum_i h_i [x_i, 1] to centre it
                    squares.add(rows, curvature.T)
        (gradient,) = gradients.totals()
        return LossSums(values, gradient, total, *([] if squares is None else squares.totals()))

    def _derivatives_at(
        self, at: EvaluationPoint, rows: slice, two_values: list[tuple[Any, Any]] | None
    ) -> tuple[Any, Any, Any]:
        """Return `derivatives` of a block of rows, from the two values of each label if there are no others."""
        if two_values is None:
            return self.derivatives(at.loss, self._scores(at, rows).T, rows, curvature=at.curvature is not None)
        targets, _, _ = self.targets_of(rows, at.coef.dtype)
        losses, slopes, curvature = (
            None if rise is None else self._weighted(rows, (targets * rise).add_(absent)) for absent, rise in two_values
        )
        return losses, slopes, curvature

    def _two_values(self, at: EvaluationPoint, *, curvature: bool) -> list[tuple[Any, Any]] | None:
        """Return loss and derivatives of absent labels, and what present ones have more, where scores are constant.

        The formulas of the loss are then computed for two rows instead of all. None if targets are not plain 0 and 1.
        """
        values, mask, weight = self.targets
        if not (at.constant and at.loss.labelwise) or values.dtype != torch.uint8 or (mask, weight) != (None, None):
            return None
        targets = at.coef.new_tensor([[0.0], [1.0]]).expand(2, self.n_labels)
        scores = torch.zeros_like(targets) if at.shift is None else at.shift.expand_as(targets)
        found = [
            *at.loss.values_and_gradient(scores, targets),
            at.loss.curvature(scores, targets) if curvature else None,
        ]
        return [(None, None) if both is None else (both[0], both[1] - both[0]) for both in found]

    def derivatives(
        self, loss: Loss, scores: Tensor, rows: slice, *, curvature: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return losses of a block of rows, their first derivatives, and the second ones if asked for.

        Each has the weights of the rows, and a row for each row, like the scores, which may be overwritten.
        """
        targets = self.targets_of(rows, scores.dtype)
        second = self._weighted(rows, loss.curvature(scores, *targets)) if curvature else None
        losses, first = loss.values_and_gradient(scores, *targets)
        return self._weighted(rows, losses), self._weighted(rows, first), second

    def curvature(self, loss: Loss, scores: Tensor, rows: slice) -> Tensor:
        """Return the second derivatives of the losses of a block of rows; see `derivatives`."""
        return self._weighted(rows, loss.curvature(scores, *self.targets_of(rows, scores.dtype)))

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
        design = cast("DenseDesign", self.design)
        for rows in design.blocks(p):
            curvature = self.curvature(at.loss, self._scores(at, rows).T, rows)
            design.add_outer_products(hessian, rows, curvature.T, mean, varies)
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


def _side_by_side(parts: Sequence[Any]) -> Any:
    """Return sums for panels of labels as one, in their memory order; None if there are none."""
    if parts[0] is None:
        return None
    return torch.cat([part.T for part in parts], dim=-1).T if parts[0].ndim == 2 else torch.cat(list(parts))


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
    design : Design or None
        Design of the rows if all are in the memory of this process.
    """

    n_features: int
    n_labels: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")
    dense: bool
    largest: int
    design: Design | None = None

    @abstractmethod
    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sum of a method of `Shard` over all shards."""

    @abstractmethod
    def block(self, labels: Tensor) -> BlockSums:
        """Return the sums for a block of labels."""


class Shard(RowSums):
    """Training rows in one place: their design, and targets of any of the labels.

    Parameters
    ----------
    rows : TrainingRows
    fit_intercept : bool
    device : torch.device
    """

    design: Design

    def __init__(self, rows: TrainingRows, *, fit_intercept: bool, device: torch.device) -> None:
        self.rows, self.device, self.dtype = rows, device, torch_dtype(rows.dtype)
        self.n_features, self.n_labels, self.largest = rows.n_features, rows.n_labels, len(rows)
        weight, mask = (None if part is None else as_tensor(part) for part in (rows.targets.weight, rows.targets.mask))
        row_weight, label_weight = split_weight(weight, mask)
        row_weight = None if row_weight is None else row_weight.to(device, self.dtype)
        self.label_weight = None if label_weight is None else label_weight.to(self.dtype)
        self.design = design_of(rows.X, row_weight, fit_intercept=fit_intercept, dtype=self.dtype, device=device)
        self.dense = self.design.dense
        self._blocks: dict[bytes, Block] = {}

    def with_design(self, design: Design) -> Shard:
        """Return the same rows with features in other coordinates."""
        other = copy(self)
        other.design, other.n_features = design, design.n_features
        return other

    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return a sum over the rows of this shard, which are all."""
        return method(self, *arguments)

    def block(self, labels: Tensor) -> Block:
        """Return the rows with the targets of some labels."""
        index, targets = labels.numpy(), self.rows.targets
        columns = (
            as_tensor(self.rows.label_columns(index)),
            None if targets.mask is None else as_tensor(targets.mask[:, index]),
            None if self.label_weight is None else self.label_weight[:, labels],
        )
        return Block(self.design, BlockTargets(*(None if part is None else self._by_label(part) for part in columns)))  # type: ignore[arg-type]

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
        return (self.design.backward(self.design.weights[None])[0, : self.n_features],)

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
    moved = (part.to(device) if hasattr(part, "to") else part for part in arguments)
    return tuple(None if part is None else part.cpu() for part in method(shard, *moved))


def add(parts: Iterable[SumTensors]) -> SumTensors:
    """Return the sum of the results of a method for one or more shards, each a tensor or None."""
    return reduce(lambda total, part: tuple(a if a is None else a + b for a, b in zip(total, part, strict=True)), parts)


class ReducedBlock(NamedTuple):
    """Sums for a block of labels, by a reduction over shards; see `Block`.

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
        return ReducedBlock(self.rows, self.labels[labels])

    def target_sums(self) -> SumTensors:
        """Return sums of targets, weights and positive weights; see `Block.target_sums`."""
        return self.rows.total(Shard.target_sums, self.labels)

    def loss_sums(self, at: EvaluationPoint) -> LossSums:
        """Return the sums of an evaluation; see `Block.loss_sums`."""
        return LossSums(*self.rows.total(Shard.loss_sums, self.labels, at))

    def hessian_sums(self, at: EvaluationPoint, mean: Tensor | None, varies: Tensor) -> Tensor:
        """Return Hessians without penalty; see `Block.hessian_sums`."""
        hessian: Tensor = self.rows.total(Shard.hessian_sums, self.labels, at, mean, varies)[0]
        return hessian


BlockSums: TypeAlias = Block | ReducedBlock
