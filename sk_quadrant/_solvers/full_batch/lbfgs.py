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

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.line_search import MAX_TRIALS, Bracket
from sk_quadrant._solvers.full_batch.monitor import Monitor, progress_to_tolerance
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.objective import Objective
    from sk_quadrant._solvers.full_batch.preconditioner import HessianApproximation
    from sk_quadrant._solvers.full_batch.shard import Curvature

COMPACT = 0.25  # share of finished labels above which dropping them pays for the copies


SMALL = 0.1  # share of the objective at the start below which the loss may be flat
FALL = 0.5  # share of its slope that a last step may leave
SEPARABLE = 0.01  # share of the objective at the start below which an estimate of the distance has to be confirmed
CERTAIN = 1e-3  # distance to the optimum, relative to the objective, that is confirmed


def reference(values: Tensor, start: Tensor, penalty: Tensor) -> Tensor:
    """Return the value to which the distance to the optimum is relative: the objective.

    Without a penalty separable data have no optimum: then it is at least 1% of the objective at the start.
    """
    least = torch.zeros_like(start).where((penalty > 0).all() if len(penalty) > len(start) else penalty > 0, start)
    return torch.maximum(values.abs(), SEPARABLE * least)


def is_certain(bound: Tensor, values: Tensor, start: Tensor, smallest: float = 0.0) -> Tensor:
    """Return which groups have a large objective, or a bound that confirms that they are close to the optimum.

    Parameters
    ----------
    bound : Tensor of shape (n_groups,)
        Upper bound of the distance of the objective to the optimum.
    values, start : Tensor of shape (n_groups,)
        The objective now and at the start.
    smallest : float, default=0
        Relative distance that is sufficient, if more than 1e-3.
    """
    return (values.abs() >= SEPARABLE * start) | (bound <= max(CERTAIN, smallest) * values.abs())


class Pair(NamedTuple):
    """A curvature pair: a step, the change of the gradient along it, and 1 / <step, change>, or 0 to ignore it."""

    step: Tensor
    change: Tensor
    inverse: Tensor


class Minimizer:
    """A minimisation over a block of labels; labels that have converged are dropped.

    Parameters
    ----------
    objective : Objective
    hessian : HessianApproximation
    theta : Tensor of shape (n_labels, n_columns)
        Start.
    tol : float
        A group stops when its estimated distance to the optimum, half its squared Newton decrement, is at most tol^2
        times the objective.
    max_iter : int
    memory : int
        Number of curvature pairs.
    scale : Tensor of shape (n_groups,), default=None
        Value to which the tolerance is relative, by default the objective at the start.
    noise : float, default=None
        A group in which no step decreases the objective has converged if its slope is at most this times the scale and
        small relative to the objective. By default a power of the rounding unit.
    monitor : Monitor or None, default=None
        Progress reports.

    Attributes
    ----------
    solution : Tensor of shape (n_labels, n_columns)
    gradient : Tensor of shape (n_labels, n_columns)
        Gradient at the solution, unless the user stopped it.
    reached : bool Tensor of shape (n_labels,)
        Which labels have reached the tolerance.
    relative_to : Tensor of shape (n_groups,)
        Value to which the tolerance is relative.
    """

    def __init__(
        self,
        objective: Objective,
        hessian: HessianApproximation,
        theta: Tensor,
        *,
        tol: float,
        max_iter: int,
        memory: int,
        scale: Tensor | None = None,
        noise: float | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        self.objective, self.hessian, self.theta = objective, hessian, theta
        self.max_iter, self.smallest = max_iter, tol**2
        self.noise = torch.finfo(theta.dtype).eps ** 0.7 if noise is None else noise  # 1e-11, in single precision 1e-5
        self.per_label = objective.loss.labelwise
        self.pairs: deque[Pair] = deque(maxlen=memory)
        self.solution, self.gradient = theta.clone(), torch.zeros_like(theta)
        self.labels = torch.arange(objective.n_labels, device=theta.device)  # labels that have not been dropped
        n_groups = objective.n_labels if self.per_label else 1
        self.done = torch.zeros(n_groups, dtype=torch.bool, device=theta.device)
        self.damping = torch.ones(n_groups, dtype=torch.float64, device=theta.device)
        self.finished_value = 0.0
        self.reached = torch.zeros(objective.n_labels, dtype=torch.bool, device=theta.device)
        self.relative_to = scale
        self.monitor, self.n_groups = monitor, n_groups
        self.trace = Trace()
        self.accepted: tuple[Tensor, Tensor, Tensor] | None = None  # labels, done and theta of the last iteration

    def run(self) -> Trace:
        """Minimise; the result is in `solution`.

        Raises
        ------
        KeyboardInterrupt
            If the user stops it before the start is evaluated. Later, the last iteration is the result.
        """
        try:
            self._iterate()
        except KeyboardInterrupt:
            if self.accepted is None:
                raise
            self.labels, self.done, self.theta = self.accepted
            self.trace.interrupted = True
        self._store(torch.ones_like(self.done))
        self.trace.converged = bool(self.reached.all())
        return self.trace

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
            if self._compact_pays():
                direction, slope = self._compact(direction, slope)
            self._step(direction, slope, refresh=self.hessian.is_due(iteration))
            self.trace.n_iter = iteration
            self._accept()
            if self.monitor is not None and self.monitor.is_on:
                self._report(self.monitor, -slope / 2)

    def _confirmed(self, close: Tensor, direction: Tensor, slope: Tensor) -> Tensor:
        """Return which groups that seem close to their optimum would reach it by the next step.

        A curvature pair has the curvature along a past step. Where the loss has become small and flat, as hinges are
        beyond the margin, the present curvature may be much smaller, and step and decrement are then too small.
        """
        asked = close & (self.point.values < SMALL * self.scale)
        if self.objective.loss.quadratic or not asked.any():
            return close
        labels = asked.nonzero()[:, 0] if self.per_label else torch.arange(len(self.labels))
        part, moves = self.objective.take(labels) if self.per_label else self.objective, take_labels(direction, labels)
        gradient = part.evaluate(take_labels(self.theta, labels) + moves).gradient
        confirmed = close.clone()
        confirmed[asked] &= self._inner(gradient, moves) >= FALL * slope[asked]
        return confirmed

    def _certain(self, close: Tensor) -> Tensor:
        """Return which groups that seem close to their optimum satisfy the bound, where the estimate may fail."""
        objective, point = self.objective, self.point
        if not (objective.loss.convex and (close & (point.values < SEPARABLE * self.scale)).any()):
            return close
        weights = point.gradient[:, : objective.space.n_features]
        squares = self._grouped(torch.linalg.vecdot(weights, weights).double() / objective.penalty)
        return close & is_certain(squares / 2, self._reference(), self.scale, self.smallest)

    def _reference(self) -> Tensor:
        return reference(self.point.values, self.scale, self.objective.penalty)

    def _accept(self) -> None:
        self.trace.values.append(float(self.point.values.sum()) + self.finished_value)
        self.accepted = self.labels, self.done, self.theta

    def _report(self, monitor: Monitor, decrement: Tensor) -> None:
        """Report an iteration; the decrement is the estimated distance to the optimum before it."""
        groups = f", labels left: {int((~self.done).sum())}" if self.per_label else ""
        objective = self.trace.values[-1]
        line = f"iteration {self.trace.n_iter}: objective {objective:.8g}{groups}"
        distance = decrement / (self._reference() * self.damping)
        share = progress_to_tolerance(distance, self.done, self.smallest, self.n_groups)
        monitor.step(share, objective, line, self._present)

    def _present(self) -> Tensor:
        self._store(torch.ones_like(self.done))
        return self.solution

    def _evaluate_start(self) -> None:
        if self.theta[:, : self.objective.space.n_features].any():
            self.point = self.objective.evaluate(self.theta, self.hessian.curvature)
        else:
            self.point = self.objective.evaluate_constant(self.theta)
        if not self.point.values.isfinite().all():
            raise FloatingPointError("the loss is not finite at the start of the fit")
        self._precondition()
        if self.relative_to is None:
            self.relative_to = self.point.values.abs().clamp(min=torch.finfo(torch.float64).tiny)
        self.scale = self.relative_to
        if self.per_label and self.objective.space.fit_intercept:
            self._finish(self.objective.constant_labels())  # their optimum is at infinity; they keep the start
        self._accept()

    def _precondition(self) -> None:
        self.preconditioner = self.hessian.precondition(self.objective, self.theta, self.point)

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
        return self._grouped(torch.linalg.vecdot(a, b).double())

    def _grouped(self, values: Tensor) -> Tensor:
        """Return sums over the labels of each group."""
        return values if self.per_label else values.sum(dim=0, keepdim=True)

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
        q = self.preconditioner.solve(q).mul_(self._spread(self.damping))
        # r <- r + s_i (alpha_i - rho_i y_i'r), from the oldest pair to the newest
        for pair, factor in zip(self.pairs, reversed(factors), strict=True):
            factor = factor - pair.inverse * self._inner(pair.change, q)
            q.addcmul_(pair.step, factor.to(q.dtype)[:, None])
        return q.neg_()

    def _step(self, direction: Tensor, slope: Tensor, *, refresh: bool) -> None:
        """Move along the direction by a line search and remember the curvature pair."""
        start, begin = self.theta, self.point
        if len(self.pairs) == self.pairs.maxlen:
            self.pairs.popleft()  # the search needs memory
        failed = self._search(direction, slope, self.hessian.curvature if refresh else None)
        step = self.theta - start
        change = torch.sub(self.point.gradient, begin.gradient, out=begin.gradient)
        # a pair without positive curvature s'y, beyond rounding, would make H_k indefinite
        product, size = self._inner(step, change), self._inner(step, step) * self._inner(change, change)
        usable = product > torch.finfo(change.dtype).eps * size.sqrt()
        self.pairs.append(Pair(step, change, product.reciprocal().where(usable, 0.0)))
        if refresh:
            self._precondition()
        self._damp(self.pairs[-1])
        if failed.any():
            self._give_up(failed, slope)

    def _search(self, direction: Tensor, slope: Tensor, curvature: Curvature) -> Tensor:
        """Move every group by a step that satisfies the weak Wolfe conditions and return which found none.

        All groups try the unit step first; those that need other steps are evaluated without the rest.
        """
        start, begin = self.theta, self.point
        bracket = Bracket(begin.values, slope, torch.finfo(direction.dtype).eps)
        self.theta = start.addcmul(direction, self._spread((~self.done).double()))
        self.point = self.objective.evaluate(self.theta, curvature)
        pending = bracket.update(~self.done, self.point.values, self._inner(self.point.gradient, direction))
        while pending.any() and bracket.trials < MAX_TRIALS:
            labels = pending.nonzero()[:, 0] if self.per_label else torch.arange(len(self.labels))
            step = self._spread(bracket.step)[labels]
            self.theta[labels] = take_labels(start, labels) + step * take_labels(direction, labels)
            part = self.objective.take(labels) if self.per_label else self.objective
            self.point.put(labels, part.evaluate(take_labels(self.theta, labels), curvature))
            pending = bracket.update(pending, self.point.values, self._inner(self.point.gradient, direction))
        if pending.any():
            if self.point.values[pending].isnan().any():
                raise FloatingPointError("the loss became NaN, also after the shortest steps")
            lost = self._spread(pending)
            self.theta = start.where(lost, self.theta)
            self.point = begin.where(pending, lost, self.point)
        return pending

    def _spread(self, groups: Tensor) -> Tensor:
        """Return values of groups as a column over labels, shape (n_labels, 1)."""
        column = groups[:, None].expand(len(self.labels), 1)
        return column if groups.dtype == torch.bool else column.to(self.theta.dtype)

    def _give_up(self, failed: Tensor, slope: Tensor) -> None:
        """Finish the groups in which no decrease was found: converged up to rounding, or not converged."""
        self._finish(failed & (-slope <= (self.noise * self.scale).minimum(CERTAIN * self._reference())))
        self._finish(failed, reached=False)

    def _finish(self, finished: Tensor, *, reached: bool = True) -> None:
        finished = finished & ~self.done
        if not finished.any():
            return
        self.done = self.done | finished
        self.reached[self._members(finished)] |= reached

    def _store(self, groups: Tensor) -> None:
        labels, here = self._members(groups), groups.expand(len(self.labels))
        self.solution[labels] = self.theta[here]
        if not self.trace.interrupted:
            self.gradient[labels] = self.point.gradient[here]

    def _members(self, groups: Tensor) -> Tensor:
        """Return the labels, as numbered in the whole block, of some groups."""
        return self.labels[groups.expand(len(self.labels))]

    def _compact_pays(self) -> bool:
        return self.per_label and float(self.done.double().mean()) > COMPACT

    def _compact(self, direction: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Store the finished labels and drop them from all tensors."""
        self._store(self.done)
        self.finished_value += float(self.point.values[self.done].sum())
        keep = (~self.done).nonzero()[:, 0]
        self.objective, self.preconditioner = self.objective.take(keep), self.preconditioner.take(keep)
        self.point, self.theta = self.point.take(keep), take_labels(self.theta, keep)
        self.labels, self.done = self.labels[keep], self.done[keep]
        self.scale, self.damping = self.scale[keep], self.damping[keep]
        pairs = [Pair(take_labels(s, keep), take_labels(y, keep), r[keep]) for s, y, r in self.pairs]
        self.pairs = deque(pairs, maxlen=self.pairs.maxlen)
        return take_labels(direction, keep), slope[keep]
