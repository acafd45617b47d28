"""The penalised objective of a block of labels: value, gradient and curvature in one pass over the rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from sk_quadrant._full_batch.design import Columns, Design, Gathering
from sk_quadrant.losses import Loss
from sk_quadrant.losses._base import weighted


@dataclass(frozen=True)
class TargetBlock:
    """Targets of a block of labels, in the memory order of their scores.

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

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.values.shape[0]

    def take(self, labels: Tensor) -> TargetBlock:
        """Return the targets of some labels."""
        return TargetBlock(*(None if part is None else take_labels(part, labels) for part in self._parts()))  # type: ignore[arg-type]

    def rows(self, rows: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return values, mask and weight of some rows, each (n_block_rows, n_labels), as losses take them."""
        values, mask, weight = (None if part is None else part[:, rows].T for part in self._parts())
        assert values is not None
        return values.to(dtype), mask, None if weight is None else weight.to(dtype)

    def sums(self, row_weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of each label's known targets, and that of their weights, double (n_labels,) each."""
        if row_weight is None and self.weight is None and self.mask is None:
            total = self.values.sum(dim=1, dtype=torch.float64)
            return total, torch.full_like(total, self.values.shape[1])
        weight = torch.ones_like(self.values, dtype=torch.float64) if self.weight is None else self.weight.double()
        if row_weight is not None:
            weight = weight * row_weight
        if self.mask is not None:
            weight = weight * self.mask
        return (weight * self.values).sum(dim=1), weight.sum(dim=1)

    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.values, self.mask, self.weight


@dataclass(frozen=True)
class Evaluation:
    """What the objective returns at a point.

    Attributes
    ----------
    values : double Tensor of shape (n_groups,)
        Objective of each label, or of all labels together for a set-wise loss.
    gradient : Tensor of shape (n_labels, n_columns)
    curvature : Tensor of shape (n_labels, n_columns) or None
        Estimated diagonal of the Hessian.
    """

    values: Tensor
    gradient: Tensor
    curvature: Tensor | None = None

    def take(self, labels: Tensor) -> Evaluation:
        """Return the evaluation of some labels, each of which is a group."""
        curvature = None if self.curvature is None else take_labels(self.curvature, labels)
        return Evaluation(self.values[labels], take_labels(self.gradient, labels), curvature)

    def put(self, labels: Tensor, other: Evaluation) -> None:
        """Overwrite some labels with another evaluation."""
        self.values[labels if len(self.values) == len(self.gradient) else slice(None)] = other.values
        self.gradient[labels] = other.gradient
        if self.curvature is not None and other.curvature is not None:
            self.curvature[labels] = other.curvature

    def where(self, groups: Tensor, labels: Tensor, other: Evaluation) -> Evaluation:
        """Return this evaluation for some groups, whose labels are given as a column, and another elsewhere."""
        return Evaluation(
            self.values.where(groups, other.values), self.gradient.where(labels, other.gradient), other.curvature
        )


@dataclass
class Sums:
    """Sums over rows of what an `Evaluation` needs, which add up over parts of the rows.

    Attributes
    ----------
    values : double Tensor of shape (n_groups,)
    gradient : Tensor of shape (n_labels, n_columns) or None
        With respect to weights of features that are not centred; None for zero.
    curvature : Tensor of shape (n_labels,) or None
        Second derivatives with respect to the scores.
    squares, firsts : Tensor of shape (n_labels, n_columns) or None
        Second derivatives times squared features, and times features, not centred.
    """

    values: Tensor
    gradient: Tensor | None = None
    curvature: Tensor | None = None
    squares: Tensor | None = None
    firsts: Tensor | None = None


def take_labels(matrix: Tensor, labels: Tensor) -> Tensor:
    """Return some rows of a matrix in its memory order."""
    if matrix.stride(0) < matrix.stride(1):
        return matrix.T.index_select(1, labels).T
    return matrix.index_select(0, labels)


class Labels(Protocol):
    """A block of labels."""

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        ...

    def take(self, labels: Tensor) -> Labels:
        """Return some of the labels."""
        ...


@dataclass(frozen=True)
class Objective(ABC):
    """Weighted sum of losses of a linear model and its penalty, ``sum(w * l) + penalty / 2 * ||coef||^2``.

    It needs the rows for three sums over them only, which a subclass has to know.

    Parameters
    ----------
    design : Columns
    targets : Labels
    loss : Loss
    penalty : float
        1 / C.
    """

    design: Columns
    targets: Labels
    loss: Loss
    penalty: float

    @abstractmethod
    def target_sums(self) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of each label's known targets, and that of their weights, double (n_labels,) each."""

    @abstractmethod
    def sums(
        self, theta: Tensor, curvature: Literal["mean", "diagonal"] | None = None, *, constant: bool = False
    ) -> Sums:
        """Return the sums over rows that an evaluation at theta needs; see `evaluate`.

        Parameters
        ----------
        theta : Tensor of shape (n_labels, n_columns)
        curvature : {"mean", "diagonal"} or None
        constant : bool, default=False
            Whether the weights of theta are known to be zero.
        """

    @abstractmethod
    def hessian_sums(self, theta: Tensor) -> Tensor:
        """Return the Hessian of each label without penalty, a sum over rows; see `hessian`."""

    @property
    def n_labels(self) -> int:
        """Number of labels in the block."""
        return self.targets.n_labels

    @property
    def has_hessian(self) -> bool:
        """Whether `hessian` can be had: each label has one, from dense rows."""
        return self.loss.labelwise and self.design.dense

    def take(self, labels: Tensor) -> Objective:
        """Return the objective of some of the labels, for a labelwise loss."""
        return replace(self, targets=self.targets.take(labels))

    def start(self) -> Tensor:
        """Return theta of the model without features: weights zero, intercepts fitted to the label frequencies."""
        theta = self.design.zeros(self.n_labels)
        if self.design.fit_intercept:
            theta[:, -1] = self.constant_scores().to(theta)
        return theta

    def constant_scores(self) -> Tensor:
        """Return the best scores that do not depend on features.

        A label seen n times and always absent (or present) has no best finite score; its frequency counts as
        1 / (2 n + 2) (or one minus that), the Krichevsky-Trofimov estimate.
        """
        frequency, weight = (part.cpu().numpy() for part in self.frequency())
        smallest = 0.5 / (weight + 1)
        scores = self.loss.constant_scores(np.clip(frequency, smallest, 1 - smallest))
        return torch.from_numpy(np.asarray(scores, dtype=np.float64))

    def frequency(self) -> tuple[Tensor, Tensor]:
        """Return the weighted mean of each label's known targets, and the weight behind it, (n_labels,) each."""
        total, weight = self.target_sums()
        return total / weight.clamp(min=1e-300), weight

    def constant_labels(self) -> Tensor:
        """Return which labels have one and the same target in all their rows, or no row at all."""
        frequency, _ = self.frequency()
        constant: Tensor = (frequency == 0) | (frequency == 1)
        return constant

    def evaluate(self, theta: Tensor, curvature: Literal["mean", "diagonal"] | None = None) -> Evaluation:
        """Return values and gradient at theta, and the curvature if asked for.

        Parameters
        ----------
        theta : Tensor of shape (n_labels, n_columns)
        curvature : {"mean", "diagonal"} or None
            "mean" takes the curvature of a label as the same in all rows, "diagonal" has the exact sum, at the price
            of two more products.
        """
        return self.finish(self.sums(theta, curvature), theta)

    def evaluate_constant(self, theta: Tensor) -> Evaluation:
        """Return the evaluation, with mean curvature, at a theta without weights: it saves the product for scores."""
        return self.finish(self.sums(theta, "mean", constant=True), theta)

    def finish(self, sums: Sums, theta: Tensor) -> Evaluation:
        """Return the evaluation at theta, given its sums over all rows, which are overwritten."""
        assert sums.gradient is not None
        design, penalty, coef = self.design, self.penalty, theta[:, : self.design.n_features]
        gradient = design.centre(sums.gradient)
        gradient[:, : design.n_features].add_(coef, alpha=penalty)
        norms = 0.5 * penalty * torch.linalg.vecdot(coef, coef).double()
        values = sums.values + (norms if self.loss.labelwise else norms.sum())
        return Evaluation(values, gradient, None if sums.curvature is None else self._diagonal(sums))

    def _diagonal(self, sums: Sums) -> Tensor:
        """Return the diagonal of the Hessian; infinite for a constant feature, which is not to move."""
        design = self.design
        assert sums.curvature is not None
        if sums.squares is not None:
            diagonal = design.centred_squares(sums.squares, sums.firsts)
        else:
            diagonal = design.zeros(self.n_labels)
            diagonal[:, : design.n_features] = sums.curvature[:, None] * design.variance
            if design.fit_intercept:
                diagonal[:, -1] = sums.curvature
        weights = diagonal[:, : design.n_features]
        weights += self.penalty
        weights.masked_fill_(design.variance == 0, math.inf)
        return diagonal

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the estimated Hessian of each label of a labelwise loss, double (n_labels, n_columns, n_columns)."""
        hessian = self.hessian_sums(theta)
        hessian.diagonal(dim1=1, dim2=2)[:, : self.design.n_features] += self.penalty
        return hessian


@dataclass(frozen=True)
class RowObjective(Objective):
    """Objective of rows that are at hand.

    Parameters
    ----------
    design : Design
    targets : TargetBlock
    loss, penalty
        See `Objective`.
    """

    design: Design
    targets: TargetBlock

    def target_sums(self) -> tuple[Tensor, Tensor]:
        """Return sums over rows; see `Objective.target_sums`."""
        return self.targets.sums(self.design.row_weight)

    def sums(
        self, theta: Tensor, curvature: Literal["mean", "diagonal"] | None = None, *, constant: bool = False
    ) -> Sums:
        """Return sums over rows; see `Objective.sums`."""
        coef, shift = self.design.split(theta)
        n_groups = self.n_labels if self.loss.labelwise else 1
        sums = Sums(torch.zeros(n_groups, dtype=torch.float64, device=theta.device))
        if curvature is not None:
            sums.curvature = torch.zeros(self.n_labels, dtype=theta.dtype, device=theta.device)
        gradients = self.design.gathering(self.n_labels)
        powers = (2,) if self.design.mean is None else (2, 1)
        curvatures = self.design.gathering(self.n_labels, powers=powers) if curvature == "diagonal" else None
        for rows in self.design.row_blocks(self.n_labels):
            scores = self._constant(shift, rows) if constant else self.scores(coef, shift, rows)
            self._add(sums, rows, scores, gradients, curvatures)
        (sums.gradient,) = gradients.totals()
        if curvatures is not None:
            sums.squares, *firsts = curvatures.totals()
            sums.firsts = firsts[0] if firsts else None
        return sums

    def _constant(self, shift: Tensor | None, rows: slice) -> Tensor:
        """Return the scores of a block of rows without weights."""
        scores = torch.zeros(self.n_labels, rows.stop - rows.start, dtype=self.design.dtype, device=self.design.device)
        return scores if shift is None else scores.add_(shift[:, None])

    def _add(self, sums: Sums, rows: slice, scores: Tensor, gradients: Gathering, curvatures: Gathering | None) -> None:
        """Add the part of a block of rows, given their scores."""
        block = self.targets.rows(rows, scores.dtype)
        values, gradient = self.loss.values_and_gradient(scores.T, *block)
        sums.values += self.weigh(rows, values).sum(dim=0)
        gradients.add(rows, self.weigh(rows, gradient).T)
        if sums.curvature is None:
            return
        curvature = self.weigh(rows, self.loss.curvature(scores.T, *block)).T
        sums.curvature += curvature.sum(dim=1)
        if curvatures is not None:
            curvatures.add(rows, curvature)

    def scores(self, coef: Tensor, shift: Tensor | None, rows: slice) -> Tensor:
        """Return the scores of a block of rows, shape (n_labels, n_block_rows)."""
        scores = self.design.raw_scores(coef, rows)
        return scores if shift is None else scores.add_(shift[:, None])

    def weigh(self, rows: slice, values: Tensor) -> Tensor:
        """Return values of a block of rows, (n_block_rows, n), times the row weights."""
        weight = self.design.row_weight
        return values if weight is None else weighted(values, None, weight[rows, None])

    def hessian_sums(self, theta: Tensor) -> Tensor:
        """Return sums over rows; see `Objective.hessian_sums`."""
        design, (coef, shift) = self.design, self.design.split(theta)
        p = design.n_columns
        hessian = torch.zeros(self.n_labels, p, p, dtype=torch.float64, device=theta.device)
        varies = torch.ones(p, dtype=theta.dtype, device=theta.device)
        varies[: design.n_features] = design.variance > 0
        for rows in design.row_blocks(p):
            block = self.targets.rows(rows, theta.dtype)
            curvature = self.weigh(rows, self.loss.curvature(self.scores(coef, shift, rows).T, *block))
            columns = design.augmented(rows) * varies
            for label in range(self.n_labels):
                hessian[label] += (columns * curvature[:, label, None]).T @ columns
        return hessian
