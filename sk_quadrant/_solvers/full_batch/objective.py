r"""The penalised objective of a block of labels: value, gradient and curvature, from sums over the rows.

For label j with targets t and row weights v, and the whole label set at once for a set-wise loss,

.. math::
    f(\theta) = \sum_i v_i\, \ell(s_i, t_i) + \frac{1}{2 C_j} \lVert w \rVert^2, \qquad
    \nabla_w f = \sum_i v_i\, \ell'(s_i, t_i)\, (x_i - m) + \frac{w}{C_j}.

The rows enter through the sums of a `Block`, or `ReducedBlock`, only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.shard import BlockSums, Curvature, LossSums
    from sk_quadrant._solvers.full_batch.space import Space
    from sk_quadrant.losses import Loss


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
        """Return the same of consecutive labels, for a labelwise loss."""
        loss, coef = self.loss.take(range(labels.start, labels.stop)), self.coef[labels].T.contiguous().T
        return self._replace(loss=loss, coef=coef, shift=None if self.shift is None else self.shift[labels])

    def to(self, device: torch.device) -> EvaluationPoint:
        """Return the same on a device."""
        return self._replace(coef=self.coef.to(device), shift=None if self.shift is None else self.shift.to(device))


class Evaluation(NamedTuple):
    """Value, gradient and curvature of the objective at a point.

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


@dataclass(frozen=True)
class Objective:
    """Weighted sum of losses of a linear model and its penalty, ``sum(w * l) + sum_j penalty_j / 2 * ||coef_j||^2``.

    Parameters
    ----------
    space : Space
    rows : BlockSums
    loss : Loss
    penalty : double Tensor of shape (n_labels,)
        1 / C of each label.
    """

    space: Space
    rows: BlockSums
    loss: Loss
    penalty: Tensor

    @property
    def n_labels(self) -> int:
        """Number of labels in the block."""
        return self.rows.n_labels

    def take(self, labels: Tensor) -> Objective:
        """Return the objective of some of the labels, for a labelwise loss."""
        return replace(self, rows=self.rows.take(labels), loss=self.loss.take(labels), penalty=self.penalty[labels])

    def start(self) -> Tensor:
        """Return theta of the model without features: weights zero, intercepts fitted to the label frequencies."""
        theta = self.space.zeros(self.n_labels)
        if self.space.fit_intercept:
            theta[:, -1] = self.constant_scores().to(theta)
        return theta

    def constant_scores(self) -> Tensor:
        """Return the best scores that do not depend on features.

        A label with n targets that are all 0 (or all 1) has no finite optimum; its frequency is replaced by
        1 / (2 n + 2) (or one minus that), the Krichevsky-Trofimov estimate. So are smaller frequencies, except for a
        quadratic loss, where the result is the solution rather than a start. n is the total weight (a weight of 2 is a
        repeated row), or the number of positive weights if that is more, since weights may be scaled to sum to 1.
        """
        frequency, n = (part.cpu().numpy() for part in self.frequency)
        smallest = 0.5 / (n + 1)
        if self.loss.quadratic:
            smallest = np.where((frequency > 0) & (frequency < 1), 0.0, smallest)
        scores = self.loss.constant_scores(np.clip(frequency, smallest, 1 - smallest))
        return torch.from_numpy(np.asarray(scores, dtype=np.float64))

    @cached_property
    def frequency(self) -> tuple[Tensor, Tensor]:
        """Weighted mean of each label's known targets, and the number n behind it, (n_labels,) each."""
        total, weight, n_weighted = self.rows.target_sums()
        return total / weight.clamp(min=1e-300), torch.maximum(weight, n_weighted)

    @property
    def constant_labels(self) -> Tensor:
        """Labels with an intercept, and one target in all their rows or no row: their optimum is at infinity."""
        frequency, _ = self.frequency
        return ((frequency == 0) | (frequency == 1)) & self.space.fit_intercept

    def evaluate(self, theta: Tensor, curvature: Curvature = None, *, constant: bool = False) -> Evaluation:
        """Return values and gradient at theta, and the curvature if asked for.

        Parameters
        ----------
        theta : Tensor of shape (n_labels, n_columns)
        curvature : {"mean", "diagonal"} or None
            "mean" takes the curvature of a label as the same in all rows, "diagonal" has the exact sum, at the cost
            of two more products.
        constant : bool, default=False
            Whether the weights are known to be zero, which saves the product for the scores.
        """
        space, coef = self.space, theta[:, : self.space.n_features]
        centred = space.mean is not None
        sums = self.rows.loss_sums(EvaluationPoint(self.loss, *space.split(theta), curvature, constant, centred))
        # sum_i g_i (x_i - m) = sum_i g_i x_i - m sum_i g_i, with sum_i g_i in the column of the intercept
        gradient = space.centre(sums.gradient)
        gradient[:, : space.n_features].addcmul_(coef, self.penalty.to(coef.dtype)[:, None])
        norms = 0.5 * self.penalty * torch.linalg.vecdot(coef, coef).double()
        values = sums.values + (norms if self.loss.labelwise else norms.sum())
        return Evaluation(values, gradient, None if sums.curvature is None else self._diagonal(sums, sums.curvature))

    def _diagonal(self, sums: LossSums, curvature: Tensor) -> Tensor:
        """Return the diagonal of the Hessian; infinite for a constant feature, whose weight stays 0."""
        space = self.space
        if sums.squares is not None:
            diagonal = space.centred_squares(sums.squares, sums.firsts)
        else:
            diagonal = space.zeros(self.n_labels)
            # sum_i h_i (x_ik - m_k)^2 is about var(x_k) sum_i h_i
            diagonal[:, : space.n_features] = curvature[:, None] * space.variance
            if space.fit_intercept:
                diagonal[:, -1] = curvature
        weights = diagonal[:, : space.n_features]
        weights += self.penalty.to(weights.dtype)[:, None]
        weights.masked_fill_(space.variance == 0, math.inf)
        return diagonal

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the estimated Hessian of each label of a labelwise loss, double (n_labels, n_columns, n_columns).

        It is ``sum_i h_ij x_i x_i' + I / C`` with the curvatures h_ij of the rows.
        """
        space = self.space
        varies = torch.ones(space.n_columns, dtype=theta.dtype, device=theta.device)
        varies[: space.n_features] = space.variance > 0
        hessian = self.rows.hessian_sums(EvaluationPoint(self.loss, *space.split(theta)), space.mean, varies)
        hessian.diagonal(dim1=1, dim2=2)[:, : space.n_features] += self.penalty[:, None]
        return hessian
