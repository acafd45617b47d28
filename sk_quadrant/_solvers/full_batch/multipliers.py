r"""Hinge losses by the method of multipliers, in the span of the rows.

With margins m the hinge and the squared hinge of weight c are maxima over a dual variable,

.. math:: h(m) = \max_{0 \le p \le u}\; p (1 - m) - \tfrac{q}{2} p^2,

with u = 1, q = 0 for the hinge and :math:`u = \infty`, q = 1/2 for the squared hinge. Their corner, or with a weak
penalty their curvature, makes the primal problem hard. The method of multipliers [1]_ stays close to the last dual
variables :math:`\alpha`,

.. math:: \psi(m) = \max_{0 \le p \le u}\; p (1 - m) - \tfrac{q}{2} p^2 - \frac{(p - \alpha)^2}{2 \kappa},
   \qquad p = \operatorname{clip}\Bigl(\frac{\alpha + \kappa (1 - m)}{1 + q \kappa}, 0, u\Bigr), \qquad \psi' = -p,

and minimises :math:`\sum_i C v_i\, \psi(m_i) + \lVert w \rVert^2 / 2`, whose Hessian exceeds the identity by
:math:`\kappa C` times that of the rows only. Then :math:`\alpha \leftarrow p` starts the next outer iteration. A label
does so once the distance to its minimum is small relative to the change of the dual variables [1]_, criterion (B'),

.. math:: \tfrac12 \lVert g \rVert^2 \le \delta^2 \sum_i \frac{C v_i}{2 \kappa} (p_i - \alpha_i)^2.

Since :math:`w - g` is the combination of rows with the coefficients :math:`C v_i p_i y_i`, the duality gap is a sum
without cancellation, up to the share of the intercept,

.. math:: \sum_i C v_i \Bigl(h(m_i) + \tfrac{q}{2} p_i^2 - p_i (1 - m_i)\Bigr) + \tfrac12 \lVert g \rVert^2.

References
----------
.. [1] R. T. Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm in convex
   programming", Mathematics of Operations Research 1, 1976. :doi:`10.1287/moor.1.2.97`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.row_span import RowSpanMinimizer, RowSpanObjective
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from typing_extensions import Self

    from sk_quadrant.losses import Loss

FIRST, LARGEST, GROWTH = 2.0, 10.0, 1.5  # kappa C, for rows of length 1
DELTA = 0.5
CORNER = 0.02  # times tol is the relative duality gap at which the hinge stops, since it converges linearly


@dataclass(frozen=True)
class MultiplierObjective(RowSpanObjective):
    """The losses with a proximal term around dual variables; see `RowSpanObjective`.

    Attributes
    ----------
    alpha : Tensor of shape (n_labels, n_rows)
    kappa : double Tensor of shape (n_labels,)
    length : float
        Mean squared length of the centred rows.
    largest, quadratic : float
        u and q of the loss.
    """

    alpha: Tensor
    kappa: Tensor
    length: float
    largest: float
    quadratic: float

    def take(self, labels: Tensor) -> Self:
        """Return the objective of some labels."""
        return replace(super().take(labels), alpha=take_labels(self.alpha, labels), kappa=self.kappa[labels])

    def signs_and_weights(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return -1 or 1, and C v, like the scores; v includes weights of labels, 0 for unknown ones."""
        targets, mask, weight = self.block.targets.rows(slice(0, scores.shape[1]), scores.dtype)
        weights = self.C.to(scores.dtype)[:, None]
        if self.block.design.row_weight is not None:
            weights = weights * self.block.design.row_weight
        if weight is not None:
            weights = weights * weight.T
        if mask is not None:
            weights = weights * mask.T
        return (2 * targets - 1).T, weights

    def _dual(self, shortfall: Tensor) -> Tensor:
        """Return p, given 1 - m."""
        kappa = self.kappa.to(shortfall.dtype)[:, None]
        p = torch.addcmul(self.alpha.to(shortfall.dtype), kappa, shortfall)
        return (p if not self.quadratic else p / (1 + self.quadratic * kappa)).clamp_(0, self.largest)

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums and derivatives; see `RowSpanObjective.evaluate`."""
        signs, weights = self.signs_and_weights(scores)
        shortfall = 1 - signs * scores
        p = self._dual(shortfall)
        values = p * shortfall - (p - self.alpha.to(p.dtype)) ** 2 / (2 * self.kappa.to(p.dtype)[:, None])
        if self.quadratic:
            values -= self.quadratic / 2 * p * p
        return (values * weights).sum(dim=1).double(), p.mul_(signs).mul_(weights).neg_()

    def curvature(self, scores: Tensor) -> Tensor:
        """Return second derivatives; see `RowSpanObjective.curvature`."""
        signs, weights = self.signs_and_weights(scores)
        p, kappa = self._dual(1 - signs * scores), self.kappa.to(scores.dtype)[:, None]
        return ((p > 0) & (p < self.largest)) * weights * kappa / (1 + self.quadratic * kappa)

    def progress(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the dual variables, and per label the proximal term, the loss, and its distance to the dual."""
        signs, weights = self.signs_and_weights(scores)
        shortfall = 1 - signs * scores
        p, quadratic = self._dual(shortfall), self.quadratic
        turn = (weights * (p - self.alpha) ** 2).sum(dim=1).double() / (2 * self.kappa)
        positive = shortfall.relu()
        losses = positive if not quadratic else positive * positive / (2 * quadratic)
        distance = losses - p * shortfall if not quadratic else losses - p * shortfall + quadratic / 2 * p * p
        return p, turn, (weights * losses).sum(dim=1).double(), (weights * distance).sum(dim=1).double()


class MultiplierMinimizer(RowSpanMinimizer):
    """Outer iterations of the method of multipliers around the steps of `RowSpanMinimizer`."""

    objective: MultiplierObjective
    largest, growth = LARGEST, GROWTH

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relative_to = self.scale = self.objective.progress(self.point.scores)[2]

    def _intercept_curvature(self, scores: Tensor) -> Tensor:
        """Return the second derivative; at least the rows of the rarer class count as between the bounds."""
        signs, weights = self.objective.signs_and_weights(scores)
        sides = [(weights * (signs == side)).sum(dim=1).double() for side in (-1, 1)]
        return super()._intercept_curvature(scores).maximum(self.objective.kappa * sides[0].minimum(sides[1]))

    def _prepare(self) -> None:
        """Start an outer iteration for the labels that are close enough to their minimum."""
        latest = len(self.gradients) - 1
        squares = self.gram[:, latest, latest]
        p, turn, losses, distance = self.objective.progress(self.point.scores)
        self.primal = losses + self.point.norms / 2
        self.gap = distance + squares / 2
        ready = (squares / 2 <= DELTA**2 * turn) & ~self.done & (self.gap > self._largest_gap())
        labels = ready.nonzero()[:, 0]
        if not len(labels):
            return
        objective = self.objective
        objective.alpha[labels] = take_labels(p, labels)
        kappa = objective.kappa.clone()
        kappa[labels] = (self.growth * kappa[labels]).minimum(self.largest / objective.length / objective.C[labels])
        self.objective = objective = replace(objective, kappa=kappa)
        self.point.losses[labels], residuals = objective.take(labels).evaluate(take_labels(self.point.scores, labels))
        self.point.residuals[labels] = residuals
        self._add_gradient(labels)

    def _compact(self, coefficients: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        self.gap, self.primal = self.gap[~self.done], self.primal[~self.done]
        return super()._compact(coefficients, slope)

    def _largest_gap(self) -> Tensor:
        return self._largest_share() * self.primal

    def _largest_share(self) -> float:
        return self.tol**2 if self.objective.quadratic else max(self.tol**2, CORNER * self.tol)

    def _is_close(self, slope: Tensor) -> Tensor:
        """Return which labels have a small duality gap."""
        return self.gap <= self._largest_gap()

    def _distance(self, slope: Tensor) -> tuple[Tensor, float]:
        """Return the relative duality gap, and its tolerance."""
        return self.gap / self.primal, self._largest_share()

    def _objectives(self) -> Tensor:
        """Return the objective of each label, with the loss itself."""
        _, _, losses, _ = self.objective.progress(self.point.scores)
        return (losses + self.point.norms / 2) / self.objective.C


def is_kinked(loss: Loss) -> bool:
    """Return whether a loss is the hinge, rather than the squared hinge."""
    return loss.dual is not None and loss.dual[1] == 0


def needs_multipliers(objective: RowSpanObjective, length: float) -> bool:
    """Return whether a hinge of hard targets has a corner, or more curvature than the first outer iteration."""
    if not objective.has_dual or is_kinked(objective.loss):
        return objective.has_dual
    _, quadratic = objective.loss.dual or (0.0, 1.0)
    return float(objective.C.max()) * length > quadratic * FIRST


def multiplier_objective(
    objective: RowSpanObjective, length: float, residuals: Tensor | None = None
) -> MultiplierObjective:
    """Return the objective around dual variables of 0, or those that give the residuals."""
    block = objective.block
    alpha = torch.zeros_like(block.targets.values, dtype=block.design.dtype)
    kappa = (FIRST if residuals is None else LARGEST) / length / objective.C
    largest, quadratic = objective.loss.dual or (1.0, 0.0)
    found = MultiplierObjective(block, objective.loss, objective.C, alpha, kappa, length, largest, quadratic)
    if residuals is not None:
        _, weights = found.signs_and_weights(alpha)
        alpha += (residuals.abs() / weights.clamp(min=torch.finfo(alpha.dtype).tiny)).where(weights > 0, 0.0)
    return found
