r"""The stages of a minimisation; each stage continues with the labels that have not converged.

1. Single precision, where that is faster. Its solution is kept if the gradient in double precision agrees: a difference
   :math:`\delta` of gradients moves the optimum by a Newton step, whose decrement is at most
   :math:`\delta^\top \delta\, C / 2`, since the Hessian of a convex loss is at least that of the penalty.
2. The precision of the data, with the shared approximation of the Hessian.
3. Newton steps, for the remaining labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.lbfgs import Minimizer, reference
from sk_quadrant._solvers.full_batch.multipliers import HingeRows, Iterate, MultiplierMinimizer
from sk_quadrant._solvers.full_batch.newton import LabelHessian
from sk_quadrant._solvers.full_batch.row_span import RowSpan, RowSpanMinimizer, RowSpanObjective
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.design import Design, SparseDesign
    from sk_quadrant._solvers.full_batch.monitor import Monitor
    from sk_quadrant._solvers.full_batch.normal_equations import NormalEquations
    from sk_quadrant._solvers.full_batch.objective import Evaluation, Objective
    from sk_quadrant._solvers.full_batch.preconditioner import HessianApproximation, SharedHessian
    from sk_quadrant._solvers.full_batch.row_span import Point
    from sk_quadrant._solvers.full_batch.shard import Block
    from sk_quadrant._solvers.full_batch.space import Space

ATTAINABLE = 3000  # rounding units: smaller relative changes of coefficients are rounding
ATTAINABLE_IN_SINGLE = 30  # the same in single precision, which double precision checks
DISAGREEMENT = 0.1  # allowed difference of gradients in single and double precision, as a share of tol
PATIENCE = 8, 80  # fewest and most iterations with the shared Hessian before Newton steps
STEP_WORK = 2**26  # multiplications of a product that take as long as the small operations of an iteration
FACTOR_WORK = 400  # rows whose outer products take as long as the factor of their sum
MAX_HESSIAN_COLUMNS = 1000  # a Hessian takes n d^2 operations, its factor d^3 / 3
HESSIAN_ELEMENTS = 2**22  # Hessians held at a time: 32 MiB


@dataclass(frozen=True)
class Options:
    """Stopping criteria; see `Minimizer`. The tolerance is at least 3000 rounding units of the data."""

    tol: float
    max_iter: int
    memory: int
    monitor: Monitor


class SinglePrecision(NamedTuple):
    """The features and the shared Hessian in single precision."""

    space: Space
    design: Design
    hessian: SharedHessian


class Minimization:
    """A minimisation over a block of labels, stage by stage.

    Parameters
    ----------
    objective : Objective
    theta : Tensor of shape (n_labels, n_columns)
        Start.
    options : Options

    Attributes
    ----------
    theta : Tensor of shape (n_labels, n_columns)
        Current parameters.
    reached : bool Tensor of shape (n_labels,)
        Which labels have reached the tolerance.
    relative_to : Tensor of shape (n_groups,) or None
        Objective at the start, to which the tolerance is relative.
    traces : list of Trace
        One for each stage.
    """

    def __init__(self, objective: Objective, theta: Tensor, options: Options) -> None:
        self.objective, self.theta, self.options = objective, theta, options
        self.tol = max(options.tol, ATTAINABLE * torch.finfo(theta.dtype).eps)
        self.reached = torch.zeros(objective.n_labels, dtype=torch.bool, device=theta.device)
        self.relative_to: Tensor | None = None
        self.traces: list[Trace] = []

    def run(self, hessian: HessianApproximation, single: SinglePrecision | None, *, corners: bool = False) -> None:
        """Run the stages, in the space of the features, of a loss with or without corners in its values or slopes."""
        has_hessian = self.objective.has_hessian and self.objective.space.n_columns <= MAX_HESSIAN_COLUMNS
        patience = self._patience(corners) if has_hessian else self.options.max_iter
        if single is not None:
            self._in_single_precision(single, max_iter=min(patience, self.options.max_iter))
        if self.is_unfinished() and self._steps_taken() < patience:
            left = min(patience, self.options.max_iter) - self._steps_taken()
            self._with_shared_hessian(hessian, max_iter=left)
        if self.is_unfinished() and has_hessian:
            self._with_newton_steps()

    def _patience(self, corners: bool) -> int:
        """Return the number of iterations with the shared Hessian before Newton steps: three of these take as long.

        It is more where the Hessian changes much, at corners and without convexity, and without a penalty, where a
        Newton step has rounding errors in weights that the data do not determine.
        """
        objective, (least, most) = self.objective, PATIENCE
        if corners or not (objective.loss.convex and (objective.penalty > 0).all()):
            least = most // 2
        return min(max(3 * self._newton_cost(), least), most)

    def _newton_cost(self) -> int:
        """Return the number of iterations with the shared Hessian that take as long as the Hessians of all labels."""
        space, n_labels = self.objective.space, self.objective.n_labels
        hessian = space.n_columns**2 * (space.n_rows + FACTOR_WORK) * n_labels
        return hessian // (2 * space.n_values * n_labels + STEP_WORK)

    def summary(self) -> Trace:
        """Return the trace of all stages."""
        trace = reduce(Trace.then, self.traces)
        trace.converged = bool(self.reached.all())
        return trace

    def is_unfinished(self) -> bool:
        """Return whether a label has not reached the tolerance, with iterations left."""
        interrupted = any(trace.interrupted for trace in self.traces)
        return not (interrupted or self._steps_left() == 0 or self.reached.all())

    def _steps_taken(self) -> int:
        return sum(trace.n_iter for trace in self.traces)

    def _steps_left(self) -> int:
        return self.options.max_iter - self._steps_taken()

    def solve_equations(self, equations: NormalEquations | None) -> None:
        """Solve for the optimum of a quadratic loss, if all labels have the same rows."""
        objective = self.objective
        block = objective.rows
        targets = getattr(block, "targets", None)
        if equations is None or targets is None or targets.mask is not None or targets.weight is not None:
            return
        n_features = objective.space.n_features
        started = self.theta[:, :n_features].any()
        first = objective.evaluate(self.theta) if started else objective.evaluate_constant(self.theta)
        step = equations.solve(first.gradient[:, :n_features], objective.penalty)
        if objective.space.fit_intercept:
            step = step.masked_fill(objective.constant_labels()[:, None], 0.0)
        self.theta[:, :n_features] -= step.to(self.theta.dtype)
        last = objective.evaluate(self.theta)
        left = last.gradient[:, :n_features]
        decrement = torch.linalg.vecdot(left.double(), equations.solve(left, objective.penalty)) / 2
        self.relative_to = first.values
        self.reached = decrement <= self.tol**2 * reference(last.values, first.values, objective.penalty)
        if objective.space.fit_intercept:
            self.reached |= objective.constant_labels()
        self.traces.append(Trace(1, values=[float(first.values.sum()), float(last.values.sum())]))
        if (monitor := self.options.monitor).is_on:
            objective_at_end = self.traces[-1].values[-1]
            line = f"iteration 1: objective {objective_at_end:.8g}"
            monitor.step(float(self.reached.double().mean()), objective_at_end, line, lambda: self.theta)

    def with_multipliers(self, designs: Sequence[Design]) -> None:
        """Minimise a loss with a dual by the method of multipliers, in single precision first where possible.

        Rows in single precision are continued in double precision where they do not reach the tolerance.
        """
        objective, space = self.objective, self.objective.space
        constant = objective.constant_labels() if space.fit_intercept else torch.zeros_like(self.reached)
        length = max(float(space.variance.sum()), torch.finfo(torch.float32).tiny)
        state: Iterate | None = None
        left: deque[Design] = deque(designs)
        while left:
            design = cast("SparseDesign", left.popleft())
            more_digits = not left and design.dtype == torch.float32 and design.device.type != "mps"
            block = replace(cast("Block", objective.rows), design=design)
            rows = HingeRows.of(block, objective.loss, 1 / objective.penalty)
            minimizer = MultiplierMinimizer(
                rows,
                self._start_of_multipliers(rows, constant, length) if state is None else state.to(design.dtype),
                constant,
                length=length,
                tol=self.tol,
                max_iter=self._steps_left(),
                monitor=self._monitor(torch.arange(len(constant)), self._theta_of_state),
            )
            try:
                trace = minimizer.run()
            except FloatingPointError:  # beyond the range of single precision
                if more_digits:
                    left.append(design.double())
                if not left:
                    raise
                continue
            if self.traces:
                self.traces[-1].values[-1] = trace.values[0]
            self.traces.append(trace)
            state = minimizer.solution
            self.reached = minimizer.reached
            if trace.interrupted:
                break
            if more_digits and self.is_unfinished():
                left.append(design.double())
        self.theta = self._theta_of_state(minimizer.solution)

    def _start_of_multipliers(self, rows: HingeRows, constant: Tensor, length: float) -> Iterate:
        """Return the first iterate: at zero intercepts if weights are zero, but for constant labels."""
        weights, shift = self.objective.space.split(self.theta)
        cold = not weights.any()
        intercept = weights.new_zeros(len(weights)) if shift is None else shift
        intercept = intercept.where(constant, 0.0) if cold else intercept
        dtype = rows.design.dtype
        return Iterate.start(rows, weights.to(dtype, copy=True), intercept.to(dtype), length, cold=cold)

    def _theta_of_state(self, state: Iterate) -> Tensor:
        """Return the parameters of a state of the method of multipliers."""
        state = state.to(self.theta.dtype)
        return self.objective.space.theta_of(state.weights, state.intercept)

    def _suits_row_span(self, span: RowSpan) -> bool:
        """Whether the span of the rows contains the optimum and the start, and is faster."""
        objective = self.objective
        if span.size >= 1:
            return False
        started = self.theta[:, : objective.space.n_features].any()
        penalty = objective.penalty
        same = objective.loss.labelwise or bool((penalty == penalty[0]).all())
        return objective.loss.convex and same and bool((penalty > 0).all()) and not started

    def in_row_span(self, spans: Sequence[RowSpan]) -> None:
        """Minimise in the span of the rows if that is faster, first in single precision where possible."""
        if not (spans and self.is_unfinished() and self._suits_row_span(spans[-1])):
            return
        before: tuple[Point, Tensor] | None = None  # solution, and its labels
        for span in spans:
            labels = (~self.reached).nonzero()[:, 0]
            minimizer = self._row_span_minimizer(span, labels, before)
            try:
                self.traces.append(minimizer.run())
            except FloatingPointError:  # beyond the range of single precision
                continue
            before = minimizer.solution, labels
            self._take_from_row_span(minimizer, labels)
            if not self.is_unfinished():
                break

    def _row_span_minimizer(
        self, span: RowSpan, labels: Tensor, before: tuple[Point, Tensor] | None
    ) -> RowSpanMinimizer:
        """Return the minimiser over some labels, which continues from a solution of these and other labels."""
        objective, fit_intercept = self.objective, self.objective.space.fit_intercept
        block = replace(cast("Block", objective.rows), design=span.design)
        local = RowSpanObjective(block, objective.loss, 1 / objective.penalty)
        if len(labels) < objective.n_labels:
            local = local.take(labels)
        start = None if before is None else before[0]
        if before is not None and objective.loss.labelwise:
            start = before[0].take(torch.searchsorted(before[1], labels))
        constant = objective.constant_labels() if fit_intercept else torch.zeros_like(self.reached)
        attainable = ATTAINABLE_IN_SINGLE * torch.finfo(torch.float32).eps if span.design.dtype == torch.float32 else 0
        return RowSpanMinimizer(
            span,
            local,
            self.theta[labels, -1] if fit_intercept else None,
            constant[labels],
            start=start,
            tol=max(self.tol, attainable),
            max_iter=self._steps_left(),
            monitor=self._monitor(labels, lambda point: self._theta_of(span, point, labels)),
        )

    def _take_from_row_span(self, minimizer: RowSpanMinimizer, labels: Tensor) -> None:
        """Take the solution, and check it in the precision of the data."""
        C, solution = 1 / self.objective.penalty, minimizer.solution
        if self.relative_to is None:
            self.relative_to = minimizer.relative_to / (C if self.objective.loss.labelwise else C[:1])
        self.theta[labels] = self._theta_of(minimizer.span, solution, labels)
        if not minimizer.trace.interrupted and self.tol >= minimizer.tol:
            self.reached[labels] = minimizer.reached & self._confirms(minimizer, labels)

    def _theta_of(self, span: RowSpan, point: Point, labels: Tensor) -> Tensor:
        """Return the parameters of some labels at a point in the span of the rows."""
        space, theta = self.objective.space, take_labels(self.theta, labels).clone()
        theta[:, : space.n_features] = span.combination(point.rows).to(theta.dtype)
        if space.fit_intercept:
            theta[:, -1] = point.intercept.to(theta.dtype)
        return theta

    def _monitor(self, labels: Tensor, convert: Callable[[Any], Tensor]) -> Monitor:
        """Return the progress reports of some labels; `convert` returns parameters, given a solution."""

        def place(solution: Any) -> Tensor:
            theta = self.theta.clone()
            theta[labels] = convert(solution).to(theta.dtype)
            return theta

        return self.options.monitor.part(len(labels) / self.objective.n_labels, place)

    def _confirms(self, minimizer: RowSpanMinimizer, labels: Tensor) -> Tensor:
        """Return for which labels the derivatives in the precision of the data agree with those of the minimiser.

        A difference d of gradients moves the optimum by a Newton step of decrement d'd / 2 at most, since the Hessian
        is at least the identity.
        """
        solution, design = minimizer.solution, cast("Block", self.objective.rows).design
        if solution.scores.dtype == self.theta.dtype:
            return torch.ones_like(minimizer.reached)
        coef, shift = self.objective.space.split(take_labels(self.theta, labels))
        scores = design.raw_scores(coef, slice(0, design.n_rows))
        if shift is not None:
            scores = scores + shift[:, None]
        losses, residuals = minimizer.whole_objective.with_design(design).evaluate(scores)
        decrement = minimizer.squared_norm(residuals - solution.residuals) / 2
        values = losses + minimizer.grouped(solution.norms) / 2
        return self._is_small(decrement, values, minimizer.relative_to).expand(len(labels))

    def _is_small(self, decrement: Tensor, values: Tensor, start: Tensor) -> Tensor:
        """Return where a decrement is negligible, relative to the objective at the start and now."""
        return decrement <= self.tol**2 * torch.minimum(DISAGREEMENT**2 * start, values.abs())

    def _in_single_precision(self, single: SinglePrecision, *, max_iter: int) -> None:
        rows = replace(self.objective.rows, design=single.design)  # type: ignore[type-var]
        objective = replace(self.objective, space=single.space, rows=rows)
        tol = max(self.tol, ATTAINABLE_IN_SINGLE * torch.finfo(torch.float32).eps)
        monitor = self._monitor(torch.arange(objective.n_labels), lambda theta: theta)
        options = {"tol": tol, "max_iter": max_iter, "noise": 0.0, "monitor": monitor}
        minimizer = self._minimizer(objective, single.hessian, self.theta.float(), **options)
        try:
            trace = minimizer.run()
        except FloatingPointError:  # beyond the range of single precision
            return
        self.theta, self.relative_to = minimizer.solution.to(self.theta.dtype), minimizer.relative_to
        self.traces.append(trace)
        if trace.interrupted:
            return
        point = self.objective.evaluate(self.theta, "mean")
        trace.values[-1] = float(point.values.sum())
        if tol == self.tol:
            difference = point.gradient - minimizer.gradient
            self.reached = minimizer.reached & self._is_negligible(difference, point, minimizer.relative_to)

    def _is_negligible(self, difference: Tensor, point: Evaluation, relative_to: Any) -> Tensor:
        """Return for which labels a difference of gradients is negligible.

        It moves the optimum by a Newton step, whose decrement is largest where only the penalty has curvature.
        """
        curvature, n_features = cast("Tensor", point.curvature), self.objective.space.n_features
        difference = difference.masked_fill_(curvature.isinf(), 0)
        decrement = difference[:, :n_features].square().sum(dim=1) / self.objective.penalty
        decrement += (difference[:, n_features:].square() / curvature[:, n_features:]).sum(dim=1)
        if not self.objective.loss.labelwise:
            decrement = decrement.sum(dim=0, keepdim=True)
        return self._is_small(decrement / 2, point.values, relative_to).expand(self.objective.n_labels)

    def _with_shared_hessian(self, hessian: HessianApproximation, *, max_iter: int) -> None:
        self.traces.append(self._continue((~self.reached).nonzero()[:, 0], hessian, max_iter=max_iter))

    def _with_newton_steps(self) -> None:
        traces, max_iter = [], self._steps_left()
        hessian = LabelHessian(every=min(1 + self._newton_cost(), 3))
        left = (~self.reached).nonzero()[:, 0]
        for labels in torch.split(left, max(1, HESSIAN_ELEMENTS // self.objective.space.n_columns**2)):
            traces.append(self._continue(labels, hessian, max_iter=max_iter))
            if traces[-1].interrupted:
                break
        self.traces.append(reduce(Trace.beside, traces))

    def _continue(self, labels: Tensor, hessian: HessianApproximation, *, max_iter: int) -> Trace:
        """Continue with some labels and return the trace."""
        objective, theta, scale = self.objective, self.theta, self.relative_to
        if len(labels) < objective.n_labels:
            objective, theta = objective.take(labels), take_labels(theta, labels)
            scale = None if scale is None else scale[labels]
        monitor = self._monitor(labels, lambda part: part)
        minimizer = self._minimizer(
            objective, hessian, theta, tol=self.tol, max_iter=max_iter, scale=scale, monitor=monitor
        )
        trace = minimizer.run()
        self.theta[labels], self.reached[labels] = minimizer.solution, minimizer.reached
        if self.relative_to is None:
            self.relative_to = minimizer.relative_to
        return trace

    def _minimizer(self, objective: Objective, hessian: HessianApproximation, theta: Tensor, **how: Any) -> Minimizer:
        return Minimizer(objective, hessian, theta, memory=self.options.memory, **how)
