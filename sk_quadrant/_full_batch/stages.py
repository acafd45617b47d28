"""The stages of a minimisation, each of which goes on with the labels that the one before has left.

First in single precision, where that is faster: its solution stands if the gradient in double precision agrees. Then in
the precision of the data. Last, for hard labels, with the Hessian of each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from sk_quadrant._full_batch.minimizer import Minimizer, Trace
from sk_quadrant._full_batch.objective import Evaluation, Objective, take_labels
from sk_quadrant._full_batch.preconditioner import Metric, OwnMetric
from sk_quadrant._full_batch.problem import Rough

ATTAINABLE = 3000  # rounding units: the relative accuracy of coefficients beyond which a step is noise
ATTAINABLE_ROUGHLY = 30  # the same where double precision has the last word
DISAGREEMENT = 0.1  # part of tol by which the gradients in single and double precision may differ
PATIENCE = 40, 80  # least and most iterations with the shared metric before the labels left get their own
AT_LEAST = 20  # of them in the precision of the data
MAX_OWN_COLUMNS = 1000  # a Hessian takes n d^2 operations, its factor d^3 / 3
OWN_ELEMENTS = 2**22  # Hessians held at a time: 32 MiB


@dataclass(frozen=True)
class Options:
    """How far to go; see `Minimizer`. A tolerance below 3000 rounding units of the data counts as that."""

    tol: float
    max_iter: int
    memory: int
    verbose: int


class Course:
    """A minimisation over a block of labels on its way.

    Parameters
    ----------
    objective : Objective
    theta : Tensor of shape (n_labels, n_columns)
        Start.
    options : Options

    Attributes
    ----------
    theta : Tensor of shape (n_labels, n_columns)
        Where it has come.
    reached : bool Tensor of shape (n_labels,)
        Which labels have reached the tolerance.
    relative_to : Tensor of shape (n_groups,) or None
        What the tolerance is relative to: the objective at the start.
    trace : Trace or None
        What has happened, None before the first stage.
    """

    def __init__(self, objective: Objective, theta: Tensor, options: Options) -> None:
        self.objective, self.theta, self.options = objective, theta, options
        self.tol = max(options.tol, ATTAINABLE * torch.finfo(theta.dtype).eps)
        self.reached = torch.zeros(objective.n_labels, dtype=torch.bool, device=theta.device)
        self.relative_to: Tensor | None = None
        self.trace: Trace | None = None

    def run(self, metric: Metric, rough: Rough | None) -> Trace:
        """Go through all stages that are needed and return what happened."""
        n_columns = self.objective.design.n_columns
        has_own_metric = self.objective.has_hessian and n_columns <= MAX_OWN_COLUMNS
        least, most = PATIENCE
        patience = min(max(n_columns // 4, least), most) if has_own_metric else self.options.max_iter
        if rough is not None:
            self._in_single_precision(rough, max_iter=min(patience, self.options.max_iter))
        if self._goes_on():
            patience = max(patience - self._steps_taken(), AT_LEAST)
            self._with_shared_metric(metric, max_iter=min(patience, self._steps_left()))
        if self._goes_on() and has_own_metric:
            self._with_own_metric()
        assert self.trace is not None
        self.trace.converged = bool(self.reached.all())
        return self.trace

    def _goes_on(self) -> bool:
        interrupted = self.trace is not None and self.trace.interrupted
        return not (interrupted or self._steps_left() == 0 or self.reached.all())

    def _steps_taken(self) -> int:
        return 0 if self.trace is None else self.trace.n_iter

    def _steps_left(self) -> int:
        return self.options.max_iter - self._steps_taken()

    def _in_single_precision(self, rough: Rough, *, max_iter: int) -> None:
        objective = replace(self.objective, design=rough.design)
        tol = max(self.tol, ATTAINABLE_ROUGHLY * torch.finfo(torch.float32).eps)
        single = self._minimizer(objective, rough.metric, self.theta.float(), tol=tol, max_iter=max_iter, noise=0.0)
        try:
            self.trace = single.run()
        except FloatingPointError:  # beyond the range of single precision
            return
        self.theta, self.relative_to = single.solution.to(self.theta.dtype), single.relative_to
        if self.trace.interrupted:
            return
        point = self.objective.evaluate(self.theta, "mean")
        self.trace.values[-1] = float(point.values.sum())
        if tol == self.tol:
            self.reached = single.reached & self._agrees(single.gradient, point)

    def _agrees(self, gradient: Tensor, point: Evaluation) -> Tensor:
        """Return for which labels a gradient differs too little from the right one, at the same point, to matter.

        The difference moves the optimum by a Newton step, whose decrement is largest where only the penalty is curved.
        """
        assert point.curvature is not None
        assert self.relative_to is not None
        n_features = self.objective.design.n_features
        difference = (point.gradient - gradient).masked_fill_(point.curvature.isinf(), 0)
        decrement = difference[:, :n_features].square().sum(dim=1) / self.objective.penalty
        decrement += (difference[:, n_features:].square() / point.curvature[:, n_features:]).sum(dim=1)
        if not self.objective.loss.labelwise:
            decrement = decrement.sum(dim=0, keepdim=True)
        agrees = decrement / 2 <= (DISAGREEMENT * self.tol) ** 2 * self.relative_to
        return agrees.expand(self.objective.n_labels)

    def _with_shared_metric(self, metric: Metric, *, max_iter: int) -> None:
        trace = self._go_on((~self.reached).nonzero()[:, 0], metric, max_iter=max_iter)
        self.trace = trace if self.trace is None else self.trace.then(trace)

    def _with_own_metric(self) -> None:
        assert self.trace is not None
        traces, max_iter = [], self._steps_left()
        left = (~self.reached).nonzero()[:, 0]
        for labels in torch.split(left, max(1, OWN_ELEMENTS // self.objective.design.n_columns**2)):
            traces.append(self._go_on(labels, OwnMetric(), max_iter=max_iter))
            if traces[-1].interrupted:
                break
        self.trace = self.trace.then(reduce(Trace.beside, traces))

    def _go_on(self, labels: Tensor, metric: Metric, *, max_iter: int) -> Trace:
        """Minimise further over some labels and return what happened."""
        objective, theta, scale = self.objective, self.theta, self.relative_to
        if len(labels) < objective.n_labels:
            objective, theta = objective.take(labels), take_labels(theta, labels)
            scale = None if scale is None else scale[labels]
        minimizer = self._minimizer(objective, metric, theta, tol=self.tol, max_iter=max_iter, scale=scale)
        trace = minimizer.run()
        self.theta[labels], self.reached[labels] = minimizer.solution, minimizer.reached
        if self.relative_to is None:
            self.relative_to = minimizer.relative_to
        return trace

    def _minimizer(self, objective: Objective, metric: Metric, theta: Tensor, **how: Any) -> Minimizer:
        memory, verbose = self.options.memory, self.options.verbose
        return Minimizer(objective, metric, theta, memory=memory, verbose=verbose, **how)
