r"""The full-batch solver: blocks of labels that fit in memory, each minimised in stages.

It minimises the penalised loss of linear scores, with the weights v of the rows,

.. math:: \min_{W, b} \sum_i v_i\, \ell(W x_i + b, t_i) + \sum_j \frac{1}{2 C_j} \lVert w_j \rVert^2 ,

which is a sum over labels for a labelwise loss, so that each block is a problem of its own.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cached_property, partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_quadrant._progress import Progress
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.full_batch.coefficients import DenseCoefficients
from sk_quadrant._solvers.full_batch.design import SparseDesign
from sk_quadrant._solvers.full_batch.monitor import Monitor
from sk_quadrant._solvers.full_batch.normal_equations import NormalEquations
from sk_quadrant._solvers.full_batch.objective import Objective
from sk_quadrant._solvers.full_batch.preconditioner import SharedHessian, choose_hessian
from sk_quadrant._solvers.full_batch.row_space import MAX_ROWS, row_space
from sk_quadrant._solvers.full_batch.shard import RowSums, Shard
from sk_quadrant._solvers.full_batch.space import Space
from sk_quadrant._solvers.full_batch.stages import Minimization
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


class LabelProblems:
    """The objectives of all blocks of labels, with what they share.

    Parameters
    ----------
    rows : RowSums
    loss : Loss
    C : float or ndarray of shape (n_labels,)
    fit_intercept : bool
    by_multipliers : bool, default=False
        Whether to take the method of multipliers, which needs the sparse rows themselves.

    Attributes
    ----------
    rows : RowSums
        Sums over the rows, or over their coordinates in the space that they span.
    space : Space
    penalty : double Tensor of shape (n_labels,)
        1 / C of each label.
    in_single : (Space, Design) or None
        The features in single precision, for the first steps, where that is faster.
    designs : list of SparseDesign
        Sparse rows in memory, in single precision first where that is faster.
    parallel : bool
        Whether blocks of labels may be solved in threads; passes over dense rows are divided by rows.
    """

    def __init__(
        self,
        rows: RowSums,
        loss: Loss,
        *,
        C: float | NDArray[np.float64],
        fit_intercept: bool,
        by_multipliers: bool = False,
    ) -> None:
        space = Space.of(rows, fit_intercept=fit_intercept)
        if isinstance(rows, Shard) and not by_multipliers and (reduced := row_space(rows.design, space)) is not None:
            coordinates, space = reduced
            rows = rows.with_design(coordinates)
        self.rows, self.space, self.loss, self.by_multipliers = rows, space, loss, by_multipliers
        inverse = 1 / np.broadcast_to(np.asarray(C, dtype=np.float64), rows.n_labels)
        self.penalty = torch.from_numpy(inverse).to(rows.device)
        self.in_single = _in_single_precision(rows, space)
        designs = (self.in_single and self.in_single[1], rows.design)
        self.designs = [design for design in designs if isinstance(design, SparseDesign)]
        self.parallel = bool(self.designs) and rows.device.type == "cpu" and loss.labelwise
        self.lock = threading.Lock()

    @cached_property
    def hessian(self) -> SharedHessian | NormalEquations:
        """Hessians of a quadratic loss where they are cheap, or an approximation; in the space of features."""
        exact = NormalEquations.of(self.space, self.rows, self.penalty) if self.loss.quadratic else None
        return exact or choose_hessian(self.space, self.rows)

    def blocks(self, *, fewest: bool) -> list[Tensor]:
        """Return the indices of the labels of each block, frequent labels first for a labelwise loss.

        The blocks depend on the work, not on the number of threads; with `fewest` they are as many as memory needs.
        """
        n_labels = self.rows.n_labels
        if not self.loss.labelwise:
            return [torch.arange(n_labels)]
        total, known = self.rows.total(Shard.label_counts)
        order = np.argsort(-(total / known.clamp(min=1)).numpy(), kind="stable")
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
        # every second label of a pair of blocks: both have the same mix of frequencies
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
    design = rows.design
    if design is None or design.n_values * rows.n_labels < WORTH_SINGLE or (single := space.single()) is None:
        return None
    return single, design.to(torch.float32)


class Parameters(NamedTuple):
    """Weights and intercepts of all labels, which are read and written in blocks.

    Attributes
    ----------
    coef : Coefficients
    intercept : Tensor of shape (n_labels,) or None
    """

    coef: Coefficients
    intercept: Tensor | None

    def put(self, space: Space, labels: Tensor, theta: Tensor) -> None:
        """Write the parameters of some labels, few at a time so that temporary arrays fit in memory."""
        size = max(1, BLOCK_ELEMENTS // self.coef.n_features)
        for some, parameters in zip(torch.split(labels, size), torch.split(theta, size), strict=True):
            weights, solved = space.publish(parameters)
            self.coef.put(some, weights)
            if self.intercept is not None and solved is not None:
                self.intercept[some] = solved

    def take(self, space: Space, labels: Tensor) -> Tensor:
        """Return the parameters of some labels, as theta."""
        return space.theta_of(self.coef.take(labels), None if self.intercept is None else self.intercept[labels])

    def copies(self, *block: Any) -> tuple[Tensor, Tensor | None]:
        """Return copies of weights and intercepts, with the present ones of a block of labels, as for `put`."""
        weights = self.coef.take(torch.arange(self.coef.n_labels, device=self.coef.device)).clone()
        copied = Parameters(DenseCoefficients(weights), None if self.intercept is None else self.intercept.clone())
        if block:
            copied.put(*block)
        return weights, copied.intercept


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
    progress: Progress,
    warm_start: bool = False,
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
    progress : Progress
        Where to show how far it has come.
    observe : callable or None, default=None
        Called after each iteration, or each block of labels where there are several, with a function that returns the
        present weights and intercepts, as tensors. It may raise a KeyboardInterrupt to stop.

    Returns
    -------
    Trace
        What happened, over all labels, with the objective as a mean over the weight of the rows.
    """
    fit_intercept, by_multipliers = intercept is not None, False
    if isinstance(rows, TrainingRows):
        by_multipliers = _suits_multipliers(rows, loss, np.asarray(C), cold=not warm_start)
        sums: RowSums = Shard(rows, fit_intercept=fit_intercept, device=coef.device)
    else:
        sums = rows.row_sums(fit_intercept=fit_intercept)
        check_known(*(float(part) for part in sums.total(Shard.known_weight)))
    problems = LabelProblems(sums, loss, C=C, fit_intercept=fit_intercept, by_multipliers=by_multipliers)
    space, parameters = problems.space, Parameters(coef, intercept)
    blocks = problems.blocks(fewest=observe is not None)
    parallel = problems.parallel and len(blocks) > 1 and not progress.is_on and observe is None
    stop = threading.Event()
    traces: list[Trace] = []
    solved = 0

    def stop_with_others(_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    def solve(labels: Tensor) -> tuple[Tensor, Tensor, Trace]:
        stop_with_others(labels)
        within = observe if len(blocks) == 1 else stop_with_others if parallel else None
        place = partial(parameters.copies, space, labels)
        monitor = Monitor(progress, within, place, solved / sums.n_labels, len(labels) / sums.n_labels)
        objective = problems.objective(labels)
        theta = objective.start()
        if warm_start:
            theta = _better_start(objective, theta, parameters.take(space, labels))
        minimization = Minimization(problems, objective, theta, tol=tol, max_iter=max_iter, monitor=monitor)
        trace = minimization.run()
        return labels, minimization.theta, trace

    for labels, theta, trace in until_interrupted(solve, blocks, stop, parallel=parallel):
        traces.append(trace)
        parameters.put(space, labels, theta)
        solved += len(labels)
        if trace.converged:
            progress.step(solved / sums.n_labels, note=f"{solved} of {sums.n_labels} labels")
        if len(blocks) > 1 and observe is not None and not trace.interrupted:
            try:
                observe(parameters.copies)
            except KeyboardInterrupt:
                trace.interrupted = True
        if trace.interrupted:
            stop.set()
    if not traces:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    if solved < sums.n_labels:
        traces[-1].interrupted = True
    trace = reduce(Trace.beside, traces)
    # per unit of weight, as a mean over the rows
    trace.values = [value / space.total_weight for value in trace.values]
    return trace


def _better_start(objective: Objective, constant: Tensor, present: Tensor) -> Tensor:
    """Return the better start of each label: without weights, or the present model.

    After a change of the data the present model may lie far from the optimum, where the loss has no curvature.
    """
    gain = objective.evaluate(present).values - objective.evaluate(constant, constant=True).values
    # also where the present model gives NaN
    better = ~(gain <= 0)
    if objective.loss.labelwise:
        better = better | objective.constant_labels
    return constant.where(better[:, None], present)
