r"""Preconditioned L-BFGS for many labels at once.

The direction is :math:`-H_k g` with the inverse Hessian that the two-loop recursion [1]_ builds from a preconditioner
and the last curvature pairs :math:`s_i = \theta_{i+1} - \theta_i`, :math:`y_i = g_{i+1} - g_i`:

.. math:: H_{i+1} = (I - \rho_i s_i y_i^\top) H_i (I - \rho_i y_i s_i^\top) + \rho_i s_i s_i^\top,
   \qquad \rho_i = 1 / y_i^\top s_i.

Its inner products are taken per group. For a labelwise loss every label is a group: it has its own curvature pairs,
step length and stop, while all labels share the two matrix products of an iteration. For a set-wise loss all labels are
one group, which makes it the usual L-BFGS.

A group stops when half its squared Newton decrement :math:`g^\top H g / 2`, which estimates the distance of the
objective to the optimum, is at most tol^2 of the objective. Where the objective is small relative to the start, as on
separable data with a weak penalty, rows that leave the margin can make H far too small. A convex objective then also
has to satisfy a bound: the penalty makes it strongly convex, so that [2]_, equation 9.9,

.. math:: f(\theta) - f^* \le \frac{C}{2} \lVert \nabla_w f \rVert^2.

References
----------
.. [1] J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition, Springer 2006, chapter 7.
   :doi:`10.1007/978-0-387-40065-5`
.. [2] S. Boyd, L. Vandenberghe, "Convex Optimization", Cambridge University Press 2004.
   :doi:`10.1017/CBO9780511804441`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.line_search import Bracket, search
from sk_quadrant._solvers.full_batch.minimizer import SEPARABLE, LabelMinimizer, Limits
from sk_quadrant._solvers.full_batch.objective import Evaluation
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.newton import LabelHessian
    from sk_quadrant._solvers.full_batch.normal_equations import NormalEquations
    from sk_quadrant._solvers.full_batch.objective import Objective
    from sk_quadrant._solvers.full_batch.preconditioner import SharedHessian
    from sk_quadrant._solvers.full_batch.shard import Curvature

HessianApproximation: TypeAlias = "SharedHessian | LabelHessian | NormalEquations"

SMALL = 0.1  # share of the objective at the start below which the loss may be flat
FALL = 0.5  # share of its slope that a last step may leave


class Pair(NamedTuple):
    """A curvature pair: a step, the change of the gradient along it, and 1 / <step, change>, or 0 to ignore it."""

    step: Tensor
    change: Tensor
    inverse: Tensor


class Solution(NamedTuple):
    """Parameters, and the gradient there."""

    theta: Tensor
    gradient: Tensor


class Minimizer(LabelMinimizer):
    """A minimisation in the space of the features; see `LabelMinimizer`.

    Parameters
    ----------
    objective : Objective
    hessian : HessianApproximation
    theta : Tensor of shape (n_labels, n_columns)
        Start.
    limits : Limits
        A group stops when its estimated distance to the optimum, half its squared Newton decrement, is at most tol^2
        times the objective.
    memory : int
        Number of curvature pairs.
    scale : Tensor of shape (n_groups,), default=None
        Value to which the tolerance is relative, by default the objective at the start.
    noise : float, default=None
        A group in which no step decreases the objective has converged if its slope is at most this times the scale and
        small relative to the objective. By default a power of the rounding unit.
    """

    solution: Solution
    BY_LABEL = ("objective", "preconditioner", "scale", "theta", "point", "damping", "pairs")

    def __init__(
        self,
        objective: Objective,
        hessian: HessianApproximation,
        theta: Tensor,
        *,
        limits: Limits,
        memory: int,
        scale: Tensor | None = None,
        noise: float | None = None,
    ) -> None:
        n_labels, per_label = objective.n_labels, objective.loss.labelwise
        super().__init__(n_labels, limits, per_label=per_label, device=theta.device)
        self.objective, self.hessian, self.theta = objective, hessian, theta
        self.noise = torch.finfo(theta.dtype).eps ** 0.7 if noise is None else noise  # 1e-11, in single precision 1e-5
        self.memory, self.pairs = memory, list[Pair]()
        self.solution = Solution(theta.clone(), torch.zeros_like(theta))
        self.damping = torch.ones(self.n_groups, dtype=torch.float64, device=theta.device)
        self.relative_to = scale

    @property
    def parameters(self) -> Tensor:
        """Theta of the solution; see `LabelMinimizer.parameters`."""
        return self.solution.theta

    def _iterate(self) -> None:
        self._evaluate_start()
        for iteration in range(1, self.max_iter + 1):
            direction = self._direction()
            slope = self._inner(self.point.gradient, direction)
            if slope.isnan().any():
                raise FloatingPointError("the gradient of the loss became NaN")
            # -slope = g'Hg is the squared Newton decrement: half of it estimates the distance to the optimum
            close = (-slope / 2 <= self.smallest * self._reference() * self.damping) & ~self.done
            if close.any():
                close = self._certain(close)
                self._finish(self._confirmed(close, direction, slope) if self.pairs else close)
            if self.done.all():
                break
            direction, slope = self._drop_finished(direction, slope)
            self._step(direction, slope, refresh=self.hessian.is_due(iteration))
            self.trace.n_iter = iteration
            self._accept(Solution(self.theta, self.point.gradient))
            if self.monitor.is_on:
                self._report(-slope / 2 / (self._reference() * self.damping))

    def _confirmed(self, close: Tensor, direction: Tensor, slope: Tensor) -> Tensor:
        """Return which groups that seem close to their optimum would reach it by the next step.

        A curvature pair has the curvature along a past step. Where the loss has become small and flat, as hinges are
        beyond the margin, the present curvature may be much smaller, and step and decrement are then too small.
        """
        asked = close & (self.point.values < SMALL * self.scale)
        if self.objective.loss.quadratic or not asked.any():
            return close
        objective, theta = self.objective, self.theta
        if self.per_label:
            objective, theta, direction = take_labels([objective, theta, direction], asked.nonzero()[:, 0])
        # along a Newton step the slope of a quadratic function falls to 0
        gradient = objective.evaluate(theta + direction).gradient
        confirmed = close.clone()
        confirmed[asked] &= self._inner(gradient, direction) >= FALL * slope[asked]
        return confirmed

    def _certain(self, close: Tensor) -> Tensor:
        """Return which groups that seem close to their optimum satisfy the bound, where the estimate may fail."""
        objective, point = self.objective, self.point
        if not (objective.loss.convex and (close & (point.values < SEPARABLE * self.scale)).any()):
            return close
        weights = point.gradient[:, : objective.space.n_features]
        # f - f* <= C / 2 |g_w|^2, the penalty being 1 / C
        squares = self.grouped(torch.linalg.vecdot(weights, weights).double() / objective.penalty)
        return close & self._is_certain(squares / 2)

    def _objectives(self) -> Tensor:
        return self.point.values

    def _reference(self) -> Tensor:
        """Return the value to which the distance to the optimum is relative: the objective.

        Without a penalty separable data have no optimum: then it is at least 1% of the objective at the start.
        """
        penalized = self.objective.penalty > 0
        least = self.scale.masked_fill(penalized if self.per_label else penalized.all(), 0.0)
        return torch.maximum(self.point.values.abs(), SEPARABLE * least)

    def _evaluate_start(self) -> None:
        constant = not self.theta[:, : self.objective.space.n_features].any()
        curvature = "mean" if constant else self.hessian.curvature
        self.point = self.objective.evaluate(self.theta, curvature, constant=constant)
        if not self.point.values.isfinite().all():
            raise FloatingPointError("the loss is not finite at the start of the fit")
        self.preconditioner = self.hessian.precondition(self.objective, self.theta, self.point)
        if self.relative_to is None:
            self.relative_to = self.point.values.abs().clamp(min=torch.finfo(torch.float64).tiny)
        self.scale = self.relative_to
        if self.per_label:
            self._finish(self.objective.constant_labels)  # they keep the start
        self._accept(Solution(self.theta, self.point.gradient))

    def _damp(self, pair: Pair) -> None:
        """Scale the steps of a diagonal preconditioner by the curvature of the last pair.

        The decrement is scaled, too, so that as an estimate it is no better than before.
        """
        if self.preconditioner.couples:
            return
        expected = self._inner(pair.change, self.preconditioner.solve(pair.change))
        shorter = (pair.inverse * expected).reciprocal().clamp(max=1.0)  # [1]_, equation 7.20
        self.damping = shorter.where(pair.inverse > 0, 1.0)

    def _inner(self, a: Tensor, b: Tensor) -> Tensor:
        """Return inner products, one per group."""
        return self.grouped(torch.linalg.vecdot(a, b).double())

    def _direction(self) -> Tensor:
        """Return the quasi-Newton direction by the two-loop recursion [1]_."""
        q = self.point.gradient.clone()
        factors = []
        # alpha_i = rho_i s_i'q, q <- q - alpha_i y_i, from the newest pair to the oldest
        for pair in reversed(self.pairs):
            factor = pair.inverse * self._inner(pair.step, q)
            q.addcmul_(pair.change, factor.to(q.dtype)[:, None], value=-1)
            factors.append(factor)
        # r = H_0 q, with the preconditioner as the inverse Hessian before any pair
        q = self.preconditioner.solve(q).mul_(self._column(self.damping))
        # r <- r + s_i (alpha_i - rho_i y_i'r), from the oldest pair to the newest
        for pair, factor in zip(self.pairs, reversed(factors), strict=True):
            factor = factor - pair.inverse * self._inner(pair.change, q)
            q.addcmul_(pair.step, factor.to(q.dtype)[:, None])
        return q.neg_()

    def _step(self, direction: Tensor, slope: Tensor, *, refresh: bool) -> None:
        """Move along the direction by a line search and remember the curvature pair."""
        start, begin = self.theta, self.point
        if len(self.pairs) == self.memory:
            del self.pairs[0]  # the search needs memory
        failed = self._search(direction, slope, self.hessian.curvature if refresh else None)
        step = self.theta - start
        change = torch.sub(self.point.gradient, begin.gradient, out=begin.gradient)
        # a pair without positive curvature s'y, beyond rounding, would make H_k indefinite
        product, size = self._inner(step, change), self._inner(step, step) * self._inner(change, change)
        usable = product > torch.finfo(change.dtype).eps * size.sqrt()
        self.pairs.append(Pair(step, change, product.reciprocal().where(usable, 0.0)))
        if refresh:
            self.preconditioner = self.hessian.precondition(self.objective, self.theta, self.point)
        self._damp(self.pairs[-1])
        if failed.any():
            self._give_up(failed, slope)

    def _search(self, direction: Tensor, slope: Tensor, curvature: Curvature) -> Tensor:
        """Move every group by a step that satisfies the weak Wolfe conditions and return which found none."""
        start, begin = self.theta, self.point

        def evaluate(step: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
            column = self._column(step)
            if labels is None:
                self.theta = start.addcmul(direction, column)
                self.point = self.objective.evaluate(self.theta, curvature)
            else:
                self.theta[labels] = take_labels(start, labels) + column[labels] * take_labels(direction, labels)
                part = self.objective.take(labels).evaluate(take_labels(self.theta, labels), curvature)
                for whole, some in zip(self.point, part, strict=True):
                    if whole is not None and some is not None:
                        whole[labels] = some
            return self.point.values, self._inner(self.point.gradient, direction)

        bracket = Bracket(begin.values, slope, torch.finfo(direction.dtype).eps)
        failed = search(bracket, ~self.done, evaluate, per_label=self.per_label)
        if failed.any():
            lost = self.spread(failed)[:, None]
            self.theta = start.where(lost, self.theta)
            values, gradient, diagonal = self.point
            self.point = Evaluation(begin.values.where(failed, values), begin.gradient.where(lost, gradient), diagonal)
        return failed

    def _column(self, groups: Tensor) -> Tensor:
        """Return values of groups as a column over labels, shape (n_labels, 1)."""
        return self.spread(groups).to(self.theta.dtype)[:, None]
