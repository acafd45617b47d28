r"""The stages of a minimisation; each stage continues with the labels that have not converged.

1. Single precision, where that is faster. Its solution is kept if the gradient in double precision agrees: a difference
   :math:`\delta` of gradients moves the optimum by a Newton step, whose decrement is at most
   :math:`\delta^\top \delta\, C / 2`, since the Hessian of a convex loss is at least that of the penalty ([1]_,
   section 9.1.2).
2. The precision of the data, with the shared approximation of the Hessian.
3. Newton steps, for the remaining labels.

References
----------
.. [1] S. Boyd, L. Vandenberghe, "Convex Optimization", Cambridge University Press 2004.
   :doi:`10.1017/CBO9780511804441`
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.lbfgs import Minimizer
from sk_quadrant._solvers.full_batch.minimizer import LabelMinimizer, Limits
from sk_quadrant._solvers.full_batch.multipliers import HingeRows, Iterate, MultiplierMinimizer
from sk_quadrant._solvers.full_batch.newton import LabelHessian
from sk_quadrant._solvers.full_batch.preconditioner import SharedHessian
from sk_quadrant._solvers.full_batch.row_span import RowSpan, RowSpanMinimizer, ScoreLosses
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.design import Design, SparseDesign
    from sk_quadrant._solvers.full_batch.lbfgs import HessianApproximation
    from sk_quadrant._solvers.full_batch.monitor import Monitor
    from sk_quadrant._solvers.full_batch.objective import Evaluation, Objective
    from sk_quadrant._solvers.full_batch.shard import Block
    from sk_quadrant._solvers.full_batch.solve import LabelProblems
    from sk_quadrant._solvers.full_batch.space import Space
    from sk_quadrant.losses import Loss

ATTAINABLE = 3000  # rounding units: smaller relative changes of coefficients are rounding
ATTAINABLE_IN_SINGLE = 30  # the same in single precision, which double precision checks
DISAGREEMENT = 0.1  # allowed difference of gradients in single and double precision, as a share of tol
PATIENCE = 8, 80  # fewest and most iterations with the shared Hessian before Newton steps
STEP_WORK = 2**26  # multiplications of a product that take as long as the small operations of an iteration
FACTOR_WORK = 400  # rows whose outer products take as long as the factor of their sum
MAX_HESSIAN_COLUMNS = 1000  # a Hessian takes n d^2 operations, its factor d^3 / 3
HESSIAN_ELEMENTS = 2**22  # Hessians held at a time: 32 MiB


class Minimization:
    """A minimisation over a block of labels, stage by stage.

    Parameters
    ----------
    shared : LabelProblems
        What all blocks of labels share.
    objective : Objective
    theta : Tensor of shape (n_labels, n_columns)
        Start.
    tol : float
        It is at least 3000 rounding units of the data.
    max_iter : int
    monitor : Monitor

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

    def __init__(
        self,
        shared: LabelProblems,
        objective: Objective,
        theta: Tensor,
        *,
        tol: float,
        max_iter: int,
        monitor: Monitor,
    ) -> None:
        self.shared, self.objective, self.theta, self.monitor = shared, objective, theta, monitor
        self.tol, self.max_iter = max(tol, ATTAINABLE * torch.finfo(theta.dtype).eps), max_iter

    def _begin(self, loss: Loss) -> None:
        """Prepare the stages for a loss of the continuation, from the present parameters."""
        self.objective = replace(self.objective, loss=loss)
        self.reached = torch.zeros(self.objective.n_labels, dtype=torch.bool, device=self.theta.device)
        self.relative_to: Tensor | None = None
        self.traces: list[Trace] = []

    def run(self) -> Trace:
        """Minimise, through the continuation of the loss, and return the trace."""
        whole, traces = self.objective, []
        losses = [whole.loss] if self.shared.by_multipliers else whole.loss.continuation()
        has_corners = len(losses) > 1 or whole.loss.dual is not None
        for loss in losses:
            self._begin(loss)
            if self.shared.by_multipliers:
                self._with_multipliers()
            elif self._suits_row_span():
                self._in_row_span()
            if self._steps_left() and not self.shared.by_multipliers:
                self._in_feature_space(has_corners=has_corners)
            traces.append(reduce(Trace.then, self.traces))
            traces[-1].converged = bool(self.reached.all())
            if traces[-1].interrupted:
                break
        trace = reduce(Trace.then, traces)
        if len(losses) > 1:  # the values before are those of smoothed losses
            trace.values[-1] = float(whole.evaluate(self.theta).values.sum())
        return trace

    def _in_feature_space(self, *, has_corners: bool) -> None:
        """Take the stages in the space of the features, of a loss with or without corners in its values or slopes."""
        objective, shared = self.objective, self.shared
        with shared.lock:  # one thread computes what all share
            hessian = shared.hessian
        small = objective.space.dense and objective.space.n_columns <= MAX_HESSIAN_COLUMNS
        has_hessian = objective.loss.labelwise and small
        patience = min(self._patience(has_corners), self.max_iter) if has_hessian else self.max_iter
        is_smooth = len(shared.loss.continuation()) == 1  # corners need double precision
        if shared.in_single is not None and is_smooth and isinstance(hessian, SharedHessian) and not self.traces:
            self._in_single_precision(*shared.in_single, hessian.single(), max_iter=patience)
        if self._steps_left() and (left := patience - self._steps_taken()) > 0:
            self.traces.append(self._continue((~self.reached).nonzero()[:, 0], hessian, max_iter=left))
        if self._steps_left() and has_hessian:
            self._with_newton_steps()

    def _patience(self, has_corners: bool) -> int:
        """Return the number of iterations with the shared Hessian before Newton steps: three of these take as long.

        It is more where the Hessian changes much, at corners and without convexity, and without a penalty, where a
        Newton step has rounding errors in weights that the data do not determine.
        """
        objective, (least, most) = self.objective, PATIENCE
        if has_corners or not (objective.loss.convex and (objective.penalty > 0).all()):
            least = most // 2
        return min(max(3 * self._newton_cost(), least), most)

    def _newton_cost(self) -> int:
        """Return the number of iterations with the shared Hessian that take as long as the Hessians of all labels."""
        space, n_labels = self.objective.space, self.objective.n_labels
        # multiplications: n d^2 and a factor for each label, against two products with the rows for an iteration
        hessian = space.n_columns**2 * (space.n_rows + FACTOR_WORK) * n_labels
        return hessian // (2 * space.n_values * n_labels + STEP_WORK)

    def _steps_taken(self) -> int:
        return sum(trace.n_iter for trace in self.traces)

    def _steps_left(self) -> int:
        """Return the number of iterations left, 0 if the user has stopped, or all labels have reached the tolerance."""
        ended = any(trace.interrupted for trace in self.traces) or bool(self.reached.all())
        return 0 if ended else self.max_iter - self._steps_taken()

    def _attempt(self, minimizer: LabelMinimizer, labels: Tensor, *, is_last: bool = False) -> bool:
        """Minimise over some labels and take the solution, unless it is beyond the range of single precision."""
        try:
            trace = self._run(minimizer, labels)
        except FloatingPointError:
            if is_last:
                raise
            return False
        self.traces.append(trace)
        return True

    def _run(self, minimizer: LabelMinimizer, labels: Tensor) -> Trace:
        """Minimise over some labels, take the solution, and return the trace."""
        trace = minimizer.run()
        self.theta[labels] = minimizer.parameters.to(self.theta.dtype)
        self.reached[labels] = minimizer.reached
        if self.relative_to is None:
            self.relative_to = minimizer.relative_to
        return trace

    def _with_multipliers(self) -> None:
        """Minimise a loss with a dual by the method of multipliers, in double precision where single is not enough."""
        objective, space, labels = self.objective, self.objective.space, torch.arange(self.objective.n_labels)
        # the mean squared length of the centred rows is the sum of the variances
        length = max(float(space.variance.sum()), torch.finfo(torch.float32).tiny)
        state: Iterate | None = None
        for design in self._in_growing_precision():
            block = replace(cast("Block", objective.rows), design=design)
            rows, constant = HingeRows.of(block, objective.loss, 1 / objective.penalty), objective.constant_labels
            at = Iterate.start(rows, space, self.theta, constant, length) if state is None else state.to(design.dtype)
            minimizer = MultiplierMinimizer(
                rows,
                at,
                constant,
                space=space,
                length=length,
                limits=self._limits(labels),
            )
            before = self.traces[-1:]
            if self._attempt(minimizer, labels, is_last=design.dtype == torch.float64 or design.device.type == "mps"):
                state = minimizer.solution
                for trace in before:
                    trace.values[-1] = self.traces[-1].values[0]
                if not self._steps_left():
                    break

    def _in_growing_precision(self) -> Iterator[SparseDesign]:
        """Yield the sparse rows, in single precision where possible, and in double precision."""
        yield from self.shared.designs
        last = self.shared.designs[-1]
        if last.dtype == torch.float32 and last.device.type != "mps":
            yield last.to(torch.float64)

    def _suits_row_span(self) -> bool:
        """Whether the span of the rows contains the optimum and the start, and is faster."""
        objective, space, penalty = self.objective, self.objective.space, self.objective.penalty
        if not self.shared.designs or space.n_counted >= space.n_features:
            return False
        same = objective.loss.labelwise or bool((penalty == penalty[0]).all())
        started = self.theta[:, : space.n_features].any()
        return objective.loss.convex and same and bool((penalty > 0).all()) and not started

    def _in_row_span(self) -> None:
        """Minimise in the span of the rows, first in single precision where possible."""
        objective = self.objective
        labels, start = torch.arange(objective.n_labels), None
        for design in self.shared.designs:
            before, labels = labels, (~self.reached).nonzero()[:, 0]
            minimizer = RowSpanMinimizer(
                RowSpan(design),
                self._score_losses(design, labels),
                self.theta[labels],
                objective.constant_labels[labels],
                space=objective.space,
                start=None if start is None else take_labels(start, torch.searchsorted(before, labels)),
                limits=self._limits(labels, dtype=design.dtype),
            )
            if self._attempt(minimizer, labels):
                start = minimizer.solution
                if not self.traces[-1].interrupted:
                    self.reached[labels] &= self._confirms(minimizer, labels)
                if not self._steps_left():
                    break

    def _score_losses(self, design: Design, labels: Tensor) -> ScoreLosses:
        """Return the losses of some labels as functions of the scores, in the precision of a design."""
        block, loss = replace(cast("Block", self.objective.rows), design=design), self.objective.loss
        losses = ScoreLosses(block, loss, 1 / self.objective.penalty)
        return take_labels(losses, labels if len(labels) < block.n_labels else None)  # type: ignore[no-any-return]

    def _limits(self, labels: Tensor, max_iter: int | None = None, *, dtype: torch.dtype = torch.float64) -> Limits:
        """Return the limits of a minimisation over some labels in a precision, by default of all iterations left."""

        def place(parameters: Tensor) -> Tensor:
            theta = self.theta.clone()
            theta[labels] = parameters.to(theta.dtype)
            return theta

        tol = max(self.tol, ATTAINABLE_IN_SINGLE * torch.finfo(dtype).eps)
        monitor = self.monitor.part(len(labels) / self.objective.n_labels, place)
        return Limits(tol, self._steps_left() if max_iter is None else max_iter, monitor)

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
        score_losses = self._score_losses(design, labels)
        losses, residuals = score_losses.evaluate(scores)
        decrement = minimizer.squared_norm(residuals - solution.residuals) / 2
        values = losses + minimizer.grouped(solution.norms) / 2
        C = score_losses.C[: len(values)]
        return self._is_small(decrement / C, values / C, minimizer)

    def _is_small(self, decrement: Tensor, values: Tensor, minimizer: LabelMinimizer) -> Tensor:
        """Return where a decrement is negligible, relative to the objective at the start of a minimiser and now."""
        small = decrement <= self.tol**2 * torch.minimum(
            DISAGREEMENT**2 * cast("Tensor", minimizer.relative_to), values.abs()
        )
        return (small & (self.tol**2 >= minimizer.smallest)).expand(len(minimizer.reached))

    def _in_single_precision(self, space: Space, design: Design, hessian: SharedHessian, *, max_iter: int) -> None:
        rows, labels = replace(cast("Block", self.objective.rows), design=design), torch.arange(self.objective.n_labels)
        minimizer = Minimizer(
            replace(self.objective, space=space, rows=rows),
            hessian,
            self.theta.float(),
            limits=self._limits(labels, max_iter, dtype=torch.float32),
            memory=self.shared.memory(len(labels)),
            noise=0.0,
        )
        if self._attempt(minimizer, labels) and not self.traces[-1].interrupted:
            point = self.objective.evaluate(self.theta, "mean")
            self.traces[-1].values[-1] = float(point.values.sum())
            self.reached &= self._is_negligible(point.gradient - minimizer.solution.gradient, point, minimizer)

    def _is_negligible(self, difference: Tensor, point: Evaluation, minimizer: Minimizer) -> Tensor:
        """Return for which labels a difference of gradients is negligible.

        It moves the optimum by a Newton step, whose decrement is largest where only the penalty has curvature.
        """
        curvature, n_features = cast("Tensor", point.curvature), self.objective.space.n_features
        difference = difference.masked_fill_(curvature.isinf(), 0)
        # d' H^-1 d <= C |d_w|^2 + d_a^2 / H_aa if H has no entries between weights and intercept; see `space`
        decrement = difference[:, :n_features].square().sum(dim=1) / self.objective.penalty
        decrement += (difference[:, n_features:].square() / curvature[:, n_features:]).sum(dim=1)
        if not self.objective.loss.labelwise:
            decrement = decrement.sum(dim=0, keepdim=True)
        return self._is_small(decrement / 2, point.values, minimizer)

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
        some = labels if len(labels) < self.objective.n_labels else None
        objective, theta, scale = take_labels([self.objective, self.theta, self.relative_to], some)
        minimizer = Minimizer(
            objective,
            hessian,
            theta,
            limits=self._limits(labels, max_iter),
            memory=self.shared.memory(self.objective.n_labels),
            scale=scale,
        )
        return self._run(minimizer, labels)
