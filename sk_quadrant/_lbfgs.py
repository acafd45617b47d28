"""Preconditioned L-BFGS for many labels at once, as a PyTorch optimizer.

One two-loop recursion whose inner products are taken per group. For a labelwise loss every label is a group: it has
its own curvature pairs, step length and stop, while all labels share the two matrix products of an iteration. For a
set-wise loss all labels are one group, which makes it the usual L-BFGS.

References
----------
.. [1] J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition, Springer 2006, chapter 7.
   :doi:`10.1007/978-0-387-40065-5`
.. [2] A. S. Lewis, M. L. Overton, "Nonsmooth optimization via quasi-Newton methods", Mathematical Programming 141, 2013
   (the line search). :doi:`10.1007/s10107-012-0514-2`
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from sk_quadrant._objective import Objective, take_labels
from sk_quadrant._preconditioner import Metric, Preconditioner
from sk_quadrant._problem import Problem

DECREASE, FLATNESS = 1e-4, 0.9  # weak Wolfe conditions
REFRESH = frozenset({1, 2, 4, 8, 16})  # iterations after which the preconditioner takes the curvature anew
COMPACT = 0.25  # share of finished labels that makes dropping them worth the copying
MAX_TRIALS = 30
IMPATIENT = 8  # trials after which a decrease alone is good enough


@dataclass
class Trace:
    """What happened during a minimisation.

    Attributes
    ----------
    n_iter : int
        Iterations of the slowest label.
    converged : bool
        Whether every label reached the tolerance.
    values : list of float
        Objective, summed over labels, at the start and after each iteration.
    interrupted : bool
        Whether the user stopped it.
    """

    n_iter: int = 0
    converged: bool = True
    values: list[float] = field(default_factory=list)
    interrupted: bool = False


class Pair(NamedTuple):
    """A curvature pair: a step, the change of the gradient along it, and 1 / <step, change> (0: not to be used)."""

    step: Tensor
    change: Tensor
    inverse: Tensor


class Minimizer:
    """A minimisation over a block of labels, which shrinks as labels finish.

    Parameters
    ----------
    objective : Objective
    metric : Metric
    theta : Tensor of shape (n_labels, n_columns)
        Start.
    tol : float
        A group stops when its estimated distance to the optimum, half its squared Newton decrement, is at most tol^2
        times its objective at the start.
    max_iter : int
    memory : int
        Number of curvature pairs.
    """

    def __init__(
        self,
        objective: Objective,
        metric: Metric,
        theta: Tensor,
        *,
        tol: float,
        max_iter: int,
        memory: int,
        verbose: int = 0,
    ) -> None:
        self.objective, self.metric, self.theta = objective, metric, theta
        self.tol, self.max_iter = tol, max_iter
        self.per_label = objective.loss.labelwise
        self.pairs: deque[Pair] = deque(maxlen=memory)
        self.solution = theta.clone()
        self.labels = torch.arange(objective.n_labels, device=theta.device)  # the labels still worked on
        n_groups = objective.n_labels if self.per_label else 1
        self.done = torch.zeros(n_groups, dtype=torch.bool, device=theta.device)
        self.finished_value = 0.0
        self.verbose = verbose
        self.trace = Trace()

    def run(self) -> Trace:
        """Minimise; the result is in `solution`."""
        try:
            self._iterate()
        except KeyboardInterrupt:
            self.trace.interrupted = True
        self._store(~self.done)
        return self.trace

    def _iterate(self) -> None:
        self._evaluate_start()
        for iteration in range(1, self.max_iter + 1):
            direction = self._direction()
            slope = self._inner(self.point.gradient, direction)
            self._finish(-slope / 2 <= self.tol**2 * self.scale)
            if self.done.all():
                break
            if self._compact_pays():
                direction, slope = self._compact(direction, slope)
            self._step(direction, slope, refresh=iteration in REFRESH)
            self.trace.n_iter = iteration
            self.trace.values.append(float(self.point.values.sum()) + self.finished_value)
            if self.verbose:
                self._report()
        else:
            self.trace.converged = False

    def _report(self) -> None:
        groups = f", {int((~self.done).sum())} labels left" if self.per_label else ""
        print(f"iteration {self.trace.n_iter}: objective {self.trace.values[-1]:.8g}{groups}", flush=True)

    def _evaluate_start(self) -> None:
        self.point = self.objective.evaluate(self.theta, self.metric.curvature)
        if not self.point.values.isfinite().all():
            raise FloatingPointError("the loss is not finite at the start of the fit")
        self._precondition()
        self.scale = self.point.values.abs().clamp(min=torch.finfo(torch.float64).tiny)
        if self.per_label and self.objective.mean is not None:
            self.done |= self.objective.constant_labels()  # their optimum is at infinity: they keep their start
        self.trace.values.append(float(self.point.values.sum()))

    def _precondition(self) -> None:
        assert self.point.curvature is not None
        self.preconditioner = Preconditioner(self.metric, self.point.curvature, self.objective.alpha)

    def _inner(self, a: Tensor, b: Tensor) -> Tensor:
        """Return inner products, one per group."""
        products: Tensor = torch.linalg.vecdot(a, b).double()
        return products if self.per_label else products.sum(dim=0, keepdim=True)

    def _direction(self) -> Tensor:
        """Return the quasi-Newton direction by the two-loop recursion [1]_."""
        q = self.point.gradient.clone()
        factors = []
        for pair in reversed(self.pairs):
            factor = pair.inverse * self._inner(pair.step, q)
            q.addcmul_(pair.change, factor.to(q.dtype)[:, None], value=-1)
            factors.append(factor)
        q = self.preconditioner.solve(q)
        for pair, factor in zip(self.pairs, reversed(factors), strict=True):
            factor = factor - pair.inverse * self._inner(pair.change, q)
            q.addcmul_(pair.step, factor.to(q.dtype)[:, None])
        return q.neg_()

    def _step(self, direction: Tensor, slope: Tensor, *, refresh: bool) -> None:
        """Move along the direction by a line search and remember the curvature pair."""
        start, begin = self.theta, self.point
        failed = self._search(direction, slope, self.metric.curvature if refresh else None)
        step, change = self.theta - start, self.point.gradient - begin.gradient
        product, size = self._inner(step, change), self._inner(step, step) * self._inner(change, change)
        usable = product > torch.finfo(change.dtype).eps * size.sqrt()
        self.pairs.append(Pair(step, change, product.reciprocal().where(usable, 0.0)))
        if refresh:
            self._precondition()
        if failed.any():
            self._give_up(failed, slope)

    def _search(self, direction: Tensor, slope: Tensor, curvature: Literal["mean", "diagonal"] | None) -> Tensor:
        """Move every group by a step that satisfies the weak Wolfe conditions [2]_ and return which found none.

        All groups try the unit step together; those it does not suit try others while the rest wait.
        """
        start, begin = self.theta, self.point
        bracket = Bracket(begin.values, slope, torch.finfo(direction.dtype).eps)
        self.theta = start + direction * self._spread(~self.done)
        self.point = self.objective.evaluate(self.theta, curvature)
        pending = bracket.judge(~self.done, self.point.values, self._inner(self.point.gradient, direction))
        while pending.any() and bracket.trials < MAX_TRIALS:
            labels = pending.nonzero()[:, 0] if self.per_label else torch.arange(len(self.labels))
            step = self._spread(bracket.step)[labels]
            self.theta[labels] = take_labels(start, labels) + step * take_labels(direction, labels)
            part = self.objective.take(labels) if self.per_label else self.objective
            self.point.put(labels, part.evaluate(take_labels(self.theta, labels), curvature))
            pending = bracket.judge(pending, self.point.values, self._inner(self.point.gradient, direction))
        if pending.any():
            lost = self._spread(pending)
            self.theta = start.where(lost, self.theta)
            self.point = begin.where(pending, lost, self.point)
        return pending

    def _spread(self, groups: Tensor) -> Tensor:
        """Return values of groups as a column over labels, shape (n_labels, 1)."""
        column = groups[:, None].expand(len(self.labels), 1)
        return column if groups.dtype == torch.bool else column.to(self.theta.dtype)

    def _give_up(self, failed: Tensor, slope: Tensor) -> None:
        """Finish the groups in which no decrease was found: at the precision of the arithmetic, or not converged."""
        if failed.any():
            noise = 1e3 * torch.finfo(self.theta.dtype).eps * self.scale
            self.trace.converged &= bool((-slope[failed] <= noise[failed]).all())
            self._finish(failed)

    def _finish(self, finished: Tensor) -> None:
        self._store(finished & ~self.done)
        self.done = self.done | finished

    def _store(self, groups: Tensor) -> None:
        rows = groups.expand(len(self.labels)) if not self.per_label else groups
        self.solution[self.labels[rows]] = self.theta[rows]

    def _compact_pays(self) -> bool:
        return self.per_label and float(self.done.double().mean()) > COMPACT

    def _compact(self, direction: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Drop the finished labels from all that is held."""
        self.finished_value += float(self.point.values[self.done].sum())
        keep = (~self.done).nonzero()[:, 0]
        self.objective, self.preconditioner = self.objective.take(keep), self.preconditioner.take(keep)
        self.point, self.theta = self.point.take(keep), take_labels(self.theta, keep)
        self.labels, self.scale, self.done = self.labels[keep], self.scale[keep], self.done[keep]
        pairs = [Pair(take_labels(s, keep), take_labels(y, keep), r[keep]) for s, y, r in self.pairs]
        self.pairs = deque(pairs, maxlen=self.pairs.maxlen)
        return take_labels(direction, keep), slope[keep]


class Bracket:
    """Step lengths of a line search, one a group, with the interval that is known to hold a good one.

    Attributes
    ----------
    step : double Tensor of shape (n_groups,)
        The step to try next, at first 1.
    trials : int
        Number of steps judged.
    """

    def __init__(self, values: Tensor, slope: Tensor, eps: float) -> None:
        self.values, self.slope, self.noise = values, slope, 4 * eps * values.abs()
        self.step, self.low = torch.ones_like(slope), torch.zeros_like(slope)
        self.high = torch.full_like(slope, math.inf)
        self.trials = 0

    def judge(self, pending: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
        """Return which of the pending groups need another step, given objective and slope at the present one."""
        self.trials += 1
        enough = values <= self.values + DECREASE * self.step * self.slope + self.noise
        flat = slopes >= FLATNESS * self.slope
        pending = pending & ~(enough & (flat | (self.trials > IMPATIENT)))
        self.low = self.step.where(pending & enough, self.low)
        self.high = self.step.where(pending & ~enough, self.high)
        secant = self.step * self.slope / (self.slope - slopes)
        self.step = self._inside(secant.where(secant > 0, math.inf)).where(pending, self.step)
        return pending

    def _inside(self, step: Tensor) -> Tensor:
        """Move proposed steps into the bracket, away from its ends."""
        bounded = self.high.isfinite()
        width = (self.high - self.low).where(bounded, 0.0)
        middle = (self.low + self.high) / 2
        closed = torch.clamp(step, self.low + 0.1 * width, self.high - 0.1 * width).where(step.isfinite(), middle)
        opened = torch.clamp(step, 1.5 * self.low, 10 * self.low)
        return closed.where(bounded, opened)


class LBFGS(Optimizer):
    """Full-batch solver of linear models: one `step` is the whole fit.

    Parameters
    ----------
    params : iterable of Parameter
        The weights, (n_labels, n_features), and the intercepts, (n_labels,), if there are any.
    lr : float, default=1.0
        Only 1, the step of a quasi-Newton method, is allowed.
    tol, max_iter, memory
        See `Minimizer`.
    warm_start : bool, default=False
        Start at the values of the parameters rather than at zero weights.
    verbose : int, default=0
        Whether to print a line per iteration.

    Attributes
    ----------
    trace : Trace
        What happened during the last step, over all labels.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        *,
        tol: float = 1e-4,
        max_iter: int = 200,
        memory: int = 5,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        if lr != 1:
            raise ValueError(f"lr must be 1 for the lbfgs solver, whose line search finds the step, got {lr}.")
        options = {"tol": tol, "max_iter": max_iter, "memory": memory, "warm_start": warm_start, "verbose": verbose}
        super().__init__(params, options)
        self.trace = Trace()

    @torch.no_grad()
    def step(self, closure: Problem) -> Tensor:  # type: ignore[override]
        """Minimise the problem, write the solution to the parameters, and return the objective there."""
        (group,) = self.param_groups
        coef, *rest = group["params"]
        intercept = rest[0] if rest else None
        traces = []
        for labels in closure.blocks():
            start = None
            if group["warm_start"]:
                start = closure.adopt(coef[labels], None if intercept is None else intercept[labels])
            theta, trace = _minimise(closure.objective(labels), closure.metric, start, group)
            traces.append(trace)
            coef[labels], solved = closure.publish(theta)
            if intercept is not None:
                intercept[labels] = solved
            if trace.interrupted:
                break
        self.trace = _joined(traces)
        return torch.tensor(self.trace.values[-1])


def _minimise(
    objective: Objective, metric: Metric, start: Tensor | None, group: dict[str, Any]
) -> tuple[Tensor, Trace]:
    """Minimise over a block of labels, through the loss's continuation, and return theta and the trace."""
    theta = objective.start()
    if start is not None:
        constant = objective.constant_labels()[:, None]
        theta = theta.where(constant, start)
    traces = []
    for loss in objective.loss.continuation():
        minimizer = Minimizer(
            replace(objective, loss=loss), metric, theta,
            tol=group["tol"], max_iter=group["max_iter"], memory=group["memory"], verbose=group["verbose"],
        )  # fmt: skip
        traces.append(minimizer.run())
        theta = minimizer.solution
    return theta, Trace(
        sum(trace.n_iter for trace in traces),
        traces[-1].converged,
        [value for trace in traces for value in trace.values],
        any(trace.interrupted for trace in traces),
    )


def _joined(traces: list[Trace]) -> Trace:
    """Return the trace of all blocks of labels together; a block that has finished counts with its last value."""
    length = max(len(trace.values) for trace in traces)
    padded = [trace.values + trace.values[-1:] * (length - len(trace.values)) for trace in traces]
    return Trace(
        max(trace.n_iter for trace in traces),
        all(trace.converged for trace in traces),
        [sum(values) for values in zip(*padded, strict=True)],
        any(trace.interrupted for trace in traces),
    )
