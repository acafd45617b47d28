"""The penalised objective of a block of labels: value, gradient and curvature in one pass over the rows.

Parameters are held as theta of shape (n_labels, n_features + fit_intercept), the intercept last. With an intercept the
features count as centred by their mean, without being copied: theta's intercept is the score of the mean row, which
decouples it from the weights. `Problem.publish` undoes this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sk_quadrant._design import Design
from sk_quadrant.losses import Loss


@dataclass(frozen=True)
class TargetBlock:
    """Targets of a block of labels in label-major order, so that labels can be taken without a strided copy.

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

    def take(self, labels: Tensor) -> TargetBlock:
        """Return the targets of some labels."""
        return TargetBlock(*(None if part is None else part[labels] for part in self._parts()))  # type: ignore[arg-type]

    def rows(self, rows: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return values, mask and weight of some rows, each (n_block_rows, n_labels), as losses take them."""
        values, mask, weight = (None if part is None else part[:, rows].T for part in self._parts())
        assert values is not None
        return values.to(dtype), mask, weight

    def frequency(self, row_weight: Tensor | None) -> Tensor:
        """Return the weighted mean of each label's known targets and the weight behind it, as (2, n_labels)."""
        weight = torch.ones_like(self.values, dtype=torch.float64) if self.weight is None else self.weight.double()
        if row_weight is not None:
            weight = weight * row_weight
        if self.mask is not None:
            weight = weight * self.mask
        total = weight.sum(dim=1)
        return torch.stack([(weight * self.values).sum(dim=1) / total.clamp(min=1e-300), total])

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


def take_labels(matrix: Tensor, labels: Tensor) -> Tensor:
    """Return some rows of a matrix in its memory order."""
    if matrix.stride(0) < matrix.stride(1):
        return matrix.T.index_select(1, labels).T
    return matrix.index_select(0, labels)


@dataclass(frozen=True)
class Objective:
    """Penalised weighted mean loss of a linear model, ``sum(w * l) / sum(w) + alpha / 2 * ||coef||^2``.

    Parameters
    ----------
    design : Design
    targets : TargetBlock
    loss : Loss
    alpha : float
        Strength of the penalty, 1 / (C * sum(w)).
    row_weight : Tensor of shape (n_rows,) or None
    mean : Tensor of shape (n_features,) or None
        Mean of the features, None without an intercept.
    variance : Tensor of shape (n_features,)
        Mean square of the features, centred if there is an intercept; 0 for features that are constant up to
        rounding.
    """

    design: Design
    targets: TargetBlock
    loss: Loss
    alpha: float
    row_weight: Tensor | None
    mean: Tensor | None
    variance: Tensor

    @property
    def n_labels(self) -> int:
        """Number of labels in the block."""
        return self.targets.values.shape[0]

    @property
    def n_columns(self) -> int:
        """Number of parameters of a label."""
        return self.design.n_features + (self.mean is not None)

    @property
    def has_hessian(self) -> bool:
        """Whether `hessian` can be had: each label has one, from dense rows."""
        return self.loss.labelwise and self.design.columns(slice(0, 1), self.mean) is not None

    @property
    def total_weight(self) -> float:
        """Sum of the row weights."""
        return float(self.design.n_rows if self.row_weight is None else self.row_weight.sum(dtype=torch.float64))

    def take(self, labels: Tensor) -> Objective:
        """Return the objective of some of the labels, for a labelwise loss."""
        return replace(self, targets=self.targets.take(labels))

    def start(self) -> Tensor:
        """Return theta of the model without features: weights zero, intercepts fitted to the label frequencies."""
        theta = self.design.zeros(self.n_labels, self.n_columns)
        if self.mean is not None:
            theta[:, -1] = self.constant_scores().to(theta)
        return theta

    def constant_scores(self) -> Tensor:
        """Return the best scores that do not depend on features.

        A label seen n times and always absent (or present) has no best finite score; its frequency counts as
        1 / (2 n + 2) (or one minus that), the Krichevsky-Trofimov estimate.
        """
        frequency, weight = self.targets.frequency(self.row_weight).cpu().numpy()
        smallest = 0.5 / (weight + 1)
        return torch.from_numpy(
            np.asarray(self.loss.constant_scores(np.clip(frequency, smallest, 1 - smallest)), dtype=np.float64)
        )

    def constant_labels(self) -> Tensor:
        """Return which labels have one and the same target in all their rows, or no row at all."""
        frequency, _ = self.targets.frequency(self.row_weight)
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
        coef, shift = self._split(theta)
        sums = _Sums(self, curvature)
        for rows in self.design.row_blocks(self.n_labels):
            sums.add(rows, coef, shift)
        return sums.finish(coef)

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the estimated Hessian of each label of a labelwise loss, double (n_labels, n_columns, n_columns)."""
        coef, shift = self._split(theta)
        hessian = torch.zeros(self.n_labels, self.n_columns, self.n_columns, dtype=torch.float64, device=theta.device)
        for rows in self.design.row_blocks(self.design.n_features):
            curvature = self.loss.curvature(self._scores(coef, shift, rows).T, *self.targets.rows(rows, theta.dtype))
            if self.row_weight is not None:
                curvature = curvature * self.row_weight[rows, None]
            columns = self.design.columns(rows, self.mean)
            assert columns is not None
            columns = columns * self._varies()
            for label in range(self.n_labels):
                hessian[label] += (columns * curvature[:, label, None]).T @ columns
        hessian /= self.total_weight
        hessian.diagonal(dim1=1, dim2=2)[:, : self.design.n_features] += self.alpha
        return hessian

    def _varies(self) -> Tensor:
        """Return 1 for the columns of theta that do anything, 0 for those of constant features."""
        varies = (self.variance > 0).to(self.variance)
        return varies if self.mean is None else torch.cat([varies, varies.new_ones(1)])

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights, and the shift of the scores of features that are not centred."""
        coef = theta[:, : self.design.n_features]
        return coef, None if self.mean is None else theta[:, -1] - coef @ self.mean

    def _scores(self, coef: Tensor, shift: Tensor | None, rows: slice) -> Tensor:
        scores = self.design.scores(coef, rows)
        return scores if shift is None else scores.add_(shift[:, None])


class _Sums:
    """Running sums over blocks of rows of what an `Evaluation` needs."""

    def __init__(self, objective: Objective, curvature: Literal["mean", "diagonal"] | None) -> None:
        self.objective, self.wanted = objective, curvature
        design, n_labels = objective.design, objective.n_labels
        n_groups = n_labels if objective.loss.labelwise else 1
        self.values = torch.zeros(n_groups, dtype=torch.float64, device=design.device)
        self.gradient = design.zeros(n_labels, objective.n_columns)
        self.residual = torch.zeros(n_labels, dtype=design.dtype, device=design.device)
        self.curvature_sum = torch.zeros_like(self.residual)
        if curvature == "diagonal":
            self.squares = design.zeros(n_labels, design.n_features)
            self.firsts = design.zeros(n_labels, design.n_features)

    def add(self, rows: slice, coef: Tensor, shift: Tensor | None) -> None:
        objective = self.objective
        scores = objective._scores(coef, shift, rows)
        block = objective.targets.rows(rows, scores.dtype)
        values, gradient = objective.loss.values_and_gradient(scores.T, *block)
        if objective.row_weight is not None:
            row_weight = objective.row_weight[rows, None]
            values, gradient = values * row_weight, gradient * row_weight
        self.values += values.sum(dim=0, dtype=torch.float64)
        self.residual += gradient.sum(dim=0)
        objective.design.accumulate(rows, gradient.T, self.gradient[:, : objective.design.n_features])
        if self.wanted is not None:
            self._add_curvature(rows, scores, block)

    def _add_curvature(self, rows: slice, scores: Tensor, block: tuple[Tensor, Tensor | None, Tensor | None]) -> None:
        curvature = self.objective.loss.curvature(scores.T, *block)
        if self.objective.row_weight is not None:
            curvature = curvature * self.objective.row_weight[rows, None]
        self.curvature_sum += curvature.sum(dim=0)
        if self.wanted == "diagonal":
            self.objective.design.accumulate(rows, curvature.T, self.squares, power=2)
            if self.objective.mean is not None:
                self.objective.design.accumulate(rows, curvature.T, self.firsts)

    def finish(self, coef: Tensor) -> Evaluation:
        objective, n_features = self.objective, self.objective.design.n_features
        alpha, total = objective.alpha, objective.total_weight
        penalty = 0.5 * alpha * (coef * coef).sum(dim=1, dtype=torch.float64)
        values = self.values / total + (penalty if objective.loss.labelwise else penalty.sum())
        weights = self.gradient[:, :n_features]
        if objective.mean is not None:
            weights -= self.residual[:, None] * objective.mean
            self.gradient[:, -1] = self.residual
        self.gradient /= total
        weights += alpha * coef
        return Evaluation(values, self.gradient, self._finish_curvature(total))

    def _finish_curvature(self, total: float) -> Tensor | None:
        if self.wanted is None:
            return None
        objective = self.objective
        diagonal = objective.design.zeros(objective.n_labels, objective.n_columns)
        weights = diagonal[:, : objective.design.n_features]
        weights += self._curvature_of_weights()
        if objective.mean is not None:
            diagonal[:, -1] = self.curvature_sum
        diagonal /= total
        weights += objective.alpha
        weights.masked_fill_(objective.variance == 0, math.inf)  # a constant feature is not to move
        return diagonal

    def _curvature_of_weights(self) -> Tensor:
        total, mean = self.curvature_sum[:, None], self.objective.mean
        if self.wanted == "mean":
            return total * self.objective.variance
        if mean is None:
            return self.squares
        centred = self.squares + mean * (total * mean - 2 * self.firsts)
        return torch.maximum(centred, torch.finfo(centred.dtype).eps * self.squares)
