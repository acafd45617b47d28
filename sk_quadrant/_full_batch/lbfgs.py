"""The full-batch solver as a PyTorch optimizer: label block by label block."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sk_quadrant._full_batch.minimizer import Trace
from sk_quadrant._full_batch.objective import Objective
from sk_quadrant._full_batch.problem import Problem
from sk_quadrant._full_batch.stages import Course, Options


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

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take parameters, with the options where they have none of their own.

        The method of PyTorch imports its compiler, which takes each process that fits for the first time a second.
        """
        self.param_groups.append({**self.defaults, **param_group, "params": list(param_group["params"])})

    @torch.no_grad()
    def step(self, closure: Problem) -> Tensor:  # type: ignore[override]
        """Minimise the problem, write the solution to the parameters, and return the objective there."""
        (group,) = self.param_groups
        coef, *rest = group["params"]
        intercept = rest[0] if rest else None
        traces: list[Trace] = []
        for labels in closure.blocks():
            try:
                theta, trace = self._solve(closure, labels)
            except KeyboardInterrupt:
                if not traces:
                    raise
                traces[-1].interrupted = True
                break
            traces.append(trace)
            coef[labels], solved = closure.design.publish(theta)
            if intercept is not None:
                intercept[labels] = solved
            if trace.interrupted:
                break
        self.trace = reduce(Trace.beside, traces).per_row(closure.design.total_weight)
        return torch.tensor(self.trace.values[-1])

    def _solve(self, problem: Problem, labels: Tensor) -> tuple[Tensor, Trace]:
        """Return theta of a block of labels and what happened."""
        (group,) = self.param_groups
        coef, *rest = group["params"]
        objective = problem.objective(labels)
        theta = objective.start()
        if group["warm_start"]:
            present = problem.design.adopt(coef[labels], rest[0][labels] if rest else None)
            theta = theta.where(_is_better(objective, theta, present), present)
        options = Options(**{name: group[name] for name in ("tol", "max_iter", "memory", "verbose")})
        return _minimise(problem, objective, theta, options)


def _is_better(objective: Objective, constant: Tensor, present: Tensor) -> Tensor:
    """Return, as a column, for which labels the constant start is to be preferred to the present model.

    A model that is far off, because the data have changed, may lie where the loss has no curvature left to go by.
    """
    gain = objective.evaluate(present).values - objective.evaluate_constant(constant).values
    better = ~(gain <= 0)
    return (better | objective.constant_labels())[:, None] if objective.loss.labelwise else better[:, None]


def _minimise(problem: Problem, objective: Objective, theta: Tensor, options: Options) -> tuple[Tensor, Trace]:
    """Minimise over a block of labels, through the loss's continuation, and return theta and the trace."""
    traces = []
    for loss in objective.loss.continuation():
        course = Course(replace(objective, loss=loss), theta, options)
        traces.append(course.run(problem.metric, problem.rough))
        theta = course.theta
        if traces[-1].interrupted:
            break
    return theta, reduce(Trace.then, traces)
