"""The full-batch solver: blocks of labels that fit in memory, each minimised in stages."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_quadrant._progress import Progress
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.full_batch.coefficients import DenseCoefficients
from sk_quadrant._solvers.full_batch.monitor import Monitor
from sk_quadrant._solvers.full_batch.normal_equations import NormalEquations
from sk_quadrant._solvers.full_batch.objective import Objective
from sk_quadrant._solvers.full_batch.preconditioner import SharedHessian, choose_hessian
from sk_quadrant._solvers.full_batch.rare_columns import RareColumns
from sk_quadrant._solvers.full_batch.row_space import MAX_ROWS, row_space
from sk_quadrant._solvers.full_batch.row_span import RowSpan
from sk_quadrant._solvers.full_batch.space import Space
from sk_quadrant._solvers.full_batch.stages import Minimization, Options, SinglePrecision
from sk_quadrant._solvers.full_batch.sums import LocalSums, RowSums, local_sums
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.threads import until_interrupted
from sk_quadrant._targets.weights import check_known

if TYPE_CHECKING:
    from sk_quadrant._rows.parts import ShardedRows
    from sk_quadrant._solvers.full_batch.coefficients import Coefficients
    from sk_quadrant._solvers.full_batch.design import Design
    from sk_quadrant.losses import Loss

Observe: TypeAlias = "Callable[[Callable[[], Any]], None]"

BLOCK_ELEMENTS = 2**24  # parameters, or scores of sparse data, of a block of labels: 64 MiB in single precision
CACHED_ELEMENTS = 2**19  # weights that stay in cache while those of sparse rows are gathered
WIDE = 0.5  # rows for each column below which their span is small
MILD = 2.0  # C times the mean squared length of rows up to which few steps of L-BFGS are enough
WORTH_SINGLE = 2**20  # multiplications in a product for which a design in single precision pays
FEWEST, MOST = 64, 256  # labels in a block of sparse data: a row of weights should fill some cache lines
MEMORY = 5, 10  # fewest and most curvature pairs
WORTH_THREADS = 2**23  # work of a pass over the rows for which labels are divided among threads
FEWEST_IN_THREAD = 32  # labels for which a thread pays: products with few columns take longer for each
VALUES_PER_SCORE = 8  # stored values whose product takes as long as the loss of a score
PAIR_ELEMENTS = 2**21  # parameters in all steps of curvature pairs, if more than the fewest: 8 MiB in single precision


@dataclass(frozen=True)
class LabelProblems:
    """The objectives of all blocks of labels, with what they share.

    Attributes
    ----------
    rows : RowSums
    space : Space
    loss : Loss
    penalty : double Tensor of shape (n_labels,)
        1 / C of each label.
    in_single : (Space, Design) or None
        The features in single precision, for the first steps, where that is faster.
    spans : tuple of RowSpan
        The span of sparse rows, in single precision first where that is possible.
    equations : NormalEquations or None
        The linear systems of a quadratic loss.
    by_multipliers : bool
        Whether the loss is a hinge or modified Huber, of sparse rows, for `multipliers`.
    """

    rows: RowSums
    space: Space
    loss: Loss
    penalty: Tensor
    in_single: tuple[Space, Design] | None
    spans: tuple[RowSpan, ...]
    equations: NormalEquations | None
    by_multipliers: bool
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(
        cls,
        rows: RowSums,
        loss: Loss,
        *,
        C: float | NDArray[np.float64],
        fit_intercept: bool,
        by_multipliers: bool = False,
    ) -> LabelProblems:
        """Prepare what all labels share; the method of multipliers needs the sparse rows themselves."""
        space = Space.of(rows, fit_intercept=fit_intercept)
        design = rows.design()
        if design is not None and not by_multipliers and (reduced := row_space(design, space)) is not None:
            coordinates, space = reduced
            rows = cast("LocalSums", rows).with_design(coordinates)
        penalty = torch.from_numpy(1 / np.broadcast_to(np.asarray(C, dtype=np.float64), rows.n_labels)).to(rows.device)
        single = _in_single_precision(rows, space)
        spans: tuple[RowSpan, ...] = ()
        if design is not None and not space.dense:
            size = space.total_weight / space.n_features
            spans = tuple(RowSpan(part, size=size) for part in (single and single[1], design) if part)
        equations = NormalEquations.of(space, rows, penalty) if loss.quadratic else None
        return cls(rows, space, loss, penalty, single, spans, equations, by_multipliers and bool(spans))

    @property
    def parallel(self) -> bool:
        """Whether blocks of labels may be solved in threads; passes over dense rows are divided by rows."""
        in_memory = self.rows.design() is not None and self.rows.device.type == "cpu"
        return in_memory and self.loss.labelwise and not self.space.dense

    @cached_property
    def hessian(self) -> SharedHessian:
        """Approximation of the Hessians, for steps outside the span of the rows."""
        return choose_hessian(self.space, self.rows)

    @cached_property
    def single(self) -> SinglePrecision | None:
        """The problem in single precision, None for corners, which need double precision."""
        if self.in_single is None or len(self.loss.continuation()) > 1:
            return None
        return SinglePrecision(*self.in_single, self.hessian.single())

    def blocks(self, *, fewest: bool) -> list[Tensor]:
        """Return the indices of the labels of each block, frequent labels first for a labelwise loss.

        The blocks depend on the work, not on the number of threads; with `fewest` they are as many as memory needs.
        """
        n_labels = self.rows.n_labels
        if not self.loss.labelwise:
            return [torch.arange(n_labels)]
        order = np.argsort(-self.rows.frequency(), kind="stable")
        size = labels_per_block(self.rows.largest, self.space.n_columns, sparse=not self.space.dense)
        if self.parallel and not fewest:
            return self._even_blocks(order, math.ceil(n_labels / size))
        return [torch.from_numpy(order[start : start + size]) for start in range(0, n_labels, size)]

    def _even_blocks(self, order: NDArray[np.intp], n_blocks: int) -> list[Tensor]:
        """Return pairs of blocks that take equally long, one block if there is little work, or few labels."""
        work = self.space.n_values + VALUES_PER_SCORE * self.space.n_rows
        worth = work * len(order) >= WORTH_THREADS and len(order) >= 2 * FEWEST_IN_THREAD
        if n_blocks == 1 and not worth:
            return [torch.from_numpy(order)]
        pairs = np.array_split(order, math.ceil(n_blocks / 2))
        return [torch.from_numpy(pair[first::2].copy()) for pair in pairs for first in (0, 1) if first < len(pair)]

    def memory(self, n_labels: int) -> int:
        """Return the number of curvature pairs: more save products of sparse rows, and take passes over parameters."""
        fewest, most = MEMORY
        if self.space.dense:
            return fewest
        return min(most, max(fewest, PAIR_ELEMENTS // (n_labels * self.space.n_columns)))

    def objective(self, labels: Tensor) -> Objective:
        """Return the objective of some labels."""
        return Objective(self.space, self.rows.block(labels), self.loss.take(labels), self.penalty[labels])

    def minimize(self, objective: Objective, theta: Tensor, options: Options) -> tuple[Tensor, Trace]:
        """Minimise over a block of labels, through the continuation of the loss, and return theta and the trace."""
        if self.by_multipliers:
            minimization = Minimization(objective, theta, options)
            minimization.with_multipliers([span.design for span in self.spans])
            return minimization.theta, minimization.summary()
        traces = []
        stages = objective.loss.continuation()
        corners = len(stages) > 1 or objective.loss.dual is not None
        for loss in stages:
            minimization = Minimization(replace(objective, loss=loss), theta, options)
            minimization.solve_equations(self.equations)
            minimization.in_row_span(self.spans)
            if minimization.is_unfinished():
                with self.lock:  # one thread computes what all share
                    hessian, single = self.hessian, None if minimization.traces else self.single
                minimization.run(hessian, single, corners=corners)
            traces.append(minimization.summary())
            theta = minimization.theta
            if traces[-1].interrupted:
                break
        trace = reduce(Trace.then, traces)
        if len(stages) > 1:  # the values before are those of smoothed losses
            trace.values[-1] = float(objective.evaluate(theta).values.sum())
        return theta, trace


def _suits_multipliers(rows: TrainingRows, loss: Loss, C: NDArray[np.float64], *, cold: bool) -> bool:
    """Return whether to take the method of multipliers: for losses with a dual, hard targets and sparse rows.

    Smooth losses of short rows with many more columns are faster in the span of the rows, from a cold start.
    """
    soft = rows.targets.is_soft or rows.label_smoothing > 0
    if not rows.is_sparse or loss.dual is None or soft or not np.isfinite(C).all():
        return False
    n, n_columns = rows.X.shape
    if not (cold and loss.dual[1] > 0 and MAX_ROWS < n <= WIDE * n_columns):
        return True
    return bool(np.max(C) * np.vdot(rows.X.data, rows.X.data) > MILD * n)


def labels_per_block(n_rows: int, n_columns: int, *, sparse: bool) -> int:
    """Return the number of labels in a block."""
    size = BLOCK_ELEMENTS // n_columns
    if sparse:
        size = min(size, BLOCK_ELEMENTS // n_rows, max(CACHED_ELEMENTS // n_columns, FEWEST), MOST)
    return max(1, size)


def _in_single_precision(rows: RowSums, space: Space) -> tuple[Space, Design] | None:
    """Return the features in single precision, None if that is slower or not possible."""
    design = rows.design()
    if design is None:
        return None
    if design.n_values * rows.n_labels < WORTH_SINGLE or (single := space.single()) is None:
        return None
    return single, design.single()


@torch.no_grad()
def minimize(
    rows: TrainingRows | ShardedRows,
    loss: Loss,
    coef: Coefficients,
    intercept: Tensor | None,
    *,
    C: float | NDArray[np.float64],
    tol: float,
    max_iter: int,
    warm_start: bool = False,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> Trace:
    """Minimise the penalised loss of all labels and write the solution to the parameters.

    Parameters
    ----------
    rows : TrainingRows or ShardedRows
    loss : Loss
    coef : Coefficients
        Weights, which are overwritten.
    intercept : Tensor of shape (n_labels,) or None
    C, tol, max_iter
        Parameters of the estimator.
    warm_start : bool, default=False
        Start at the values of the parameters rather than at zero weights.
    progress : Progress or None, default=None
        Where to show how far it has come.
    observe : callable or None, default=None
        Called after each iteration, or each block of labels where there are several, with a function that returns the
        present weights and intercepts, as tensors. It may raise a KeyboardInterrupt to stop.

    Returns
    -------
    Trace
        What happened, over all labels, with the objective as a mean over the weight of the rows.
    """
    fit_intercept = intercept is not None
    rare, by_multipliers = None, False
    if isinstance(rows, TrainingRows):
        if (rare := RareColumns.of(rows.X)) is not None:
            rows = replace(rows, X=rare.X)
        by_multipliers = _suits_multipliers(rows, loss, np.asarray(C), cold=not warm_start)
        sums: RowSums = local_sums(rows, fit_intercept=fit_intercept, device=coef.device)
    else:
        sums = rows.row_sums(fit_intercept=fit_intercept)
        check_known(*sums.known_weight())
    problems = LabelProblems.of(sums, loss, C=C, fit_intercept=fit_intercept, by_multipliers=by_multipliers)
    progress = progress or Progress(0, "")
    blocks = problems.blocks(fewest=observe is not None)
    parallel = problems.parallel and len(blocks) > 1 and not progress.is_on and observe is None
    stop = threading.Event()
    traces: list[Trace] = []
    solved = 0

    def solve(labels: Tensor) -> tuple[Tensor, Tensor, Trace]:
        if stop.is_set():
            raise KeyboardInterrupt
        place = partial(_with_block, problems.space, labels, coef=coef, intercept=intercept, rare=rare)
        within = observe if len(blocks) == 1 else partial(_check, stop) if parallel else None
        monitor = Monitor(progress, within, place, solved / sums.n_labels, len(labels) / sums.n_labels)
        options = Options(tol=tol, max_iter=max_iter, memory=problems.memory(len(labels)), monitor=monitor)
        objective = problems.objective(labels)
        theta = objective.start()
        if warm_start:
            theta = _warm_start(problems.space, objective, theta, labels, coef, intercept, rare)
        return labels, *problems.minimize(objective, theta, options)

    for labels, theta, trace in until_interrupted(solve, blocks, stop, parallel=parallel):
        traces.append(trace)
        _publish(problems.space, labels, theta, coef, intercept, rare)
        solved += len(labels)
        if trace.converged:
            progress.step(solved / sums.n_labels, note=f"{solved} of {sums.n_labels} labels")
        if trace.interrupted or (len(blocks) > 1 and _is_stopped(observe, coef, intercept)):
            stop.set()
            trace.interrupted = True
    if not traces:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    if solved < sums.n_labels:
        traces[-1].interrupted = True
    return reduce(Trace.beside, traces).per_row(problems.space.total_weight)


def _check(stop: threading.Event, _: Any) -> None:
    """Stop if the user has stopped another block."""
    if stop.is_set():
        raise KeyboardInterrupt


def _with_block(
    space: Space,
    labels: Tensor,
    theta: Tensor,
    *,
    coef: Coefficients,
    intercept: Tensor | None,
    rare: RareColumns | None,
) -> tuple[Tensor, Tensor | None]:
    """Return copies of weights and intercepts, with the present ones of a block of labels."""
    present, biases = _copies(coef, intercept)
    _publish(space, labels, theta, DenseCoefficients(present), biases, rare)
    return present, biases


def _copies(coef: Coefficients, intercept: Tensor | None) -> tuple[Tensor, Tensor | None]:
    whole = torch.arange(coef.n_labels, device=coef.device)
    return coef.take(whole).clone(), None if intercept is None else intercept.clone()


def _is_stopped(observe: Observe | None, coef: Coefficients, intercept: Tensor | None) -> bool:
    """Report a block of labels to the observer, and return whether to stop."""
    if observe is None:
        return False
    try:
        observe(partial(_copies, coef, intercept))
    except KeyboardInterrupt:
        return True
    return False


def _publish(
    space: Space,
    labels: Tensor,
    theta: Tensor,
    coef: Coefficients,
    intercept: Tensor | None,
    rare: RareColumns | None,
) -> None:
    """Write weights and intercepts, for some labels at a time so that temporary arrays fit in memory."""
    size = max(1, BLOCK_ELEMENTS // coef.n_features)
    for some, parameters in zip(torch.split(labels, size), torch.split(theta, size), strict=True):
        weights, solved = space.publish(parameters)
        coef.put(some, weights, rare)
        if intercept is not None and solved is not None:
            intercept[some] = solved


def _warm_start(
    space: Space,
    objective: Objective,
    theta: Tensor,
    labels: Tensor,
    coef: Coefficients,
    intercept: Tensor | None,
    rare: RareColumns | None,
) -> Tensor:
    """Return the better start of each label: the constant one, or the present weights and intercept."""
    before = coef.take(labels) if rare is None else rare.reduce(coef.take(labels))
    present = space.theta_of(before, intercept[labels] if intercept is not None else None)
    return theta.where(_is_better(objective, theta, present), present)


def _is_better(objective: Objective, constant: Tensor, present: Tensor) -> Tensor:
    """Return, as a column, for which labels the constant start is better than the present model.

    After a change of the data the present model may lie far from the optimum, where the loss has no curvature.
    """
    gain = objective.evaluate(present).values - objective.evaluate_constant(constant).values
    better = ~(gain <= 0)
    return (better | objective.constant_labels())[:, None] if objective.loss.labelwise else better[:, None]
