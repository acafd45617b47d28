r"""L-BFGS in the span of the rows, for sparse features with fewer rows than columns.

The weights that minimise a penalised loss are combinations of the rows [1]_. With C times the objective,

.. math:: F(w, a) = C \sum_i v_i\, \ell(s_i, t_i) + \tfrac12 \lVert w \rVert^2, \qquad s_i = w^\top (x_i - m) + a,

every gradient with respect to w is :math:`X_c^\top b` with :math:`b = \beta + C r`, where :math:`w = X_c^\top \beta`,
:math:`r_i = v_i \ell'(s_i, t_i)` and :math:`X_c` has the centred rows. So no vector over the columns is ever needed:

- A gradient is held as b and its scores :math:`z = X_c X_c^\top b`, one product with :math:`X^\top` and one with X.
  Inner products are :math:`\langle g_k, g_l \rangle = b_k^\top z_l`. Centring is a projection: of b, to the sum 0, and
  of z, to the weighted mean 0.
- Steps, changes of gradients and directions are combinations of gradients. L-BFGS [2]_ runs on their coefficients, with
  the small matrix of the inner products of gradients for its own inner products, in double precision. It keeps all
  pairs.
- Along a direction with the scores :math:`\dot z` the scores are :math:`s + \alpha \dot z`: a line search needs no
  products.
- The Hessian of F is at least the identity, so that no preconditioner is needed. The intercept
  :math:`a = \kappa \alpha` is scaled to a curvature of 1 at the start.

The inner products are taken per group: per label, or over all labels of a set-wise loss; see `lbfgs`.

References
----------
.. [1] B. Schölkopf, R. Herbrich, A. J. Smola, "A generalized representer theorem", COLT 2001.
   :doi:`10.1007/3-540-44581-1_27`
.. [2] J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition, Springer 2006, chapter 7.
   :doi:`10.1007/978-0-387-40065-5`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.lbfgs import CERTAIN, COMPACT, is_certain
from sk_quadrant._solvers.full_batch.line_search import MAX_TRIALS, Bracket
from sk_quadrant._solvers.full_batch.monitor import Monitor, progress_to_tolerance
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.tensors import take_labels
from sk_quadrant.losses.weighting import weighted

if TYPE_CHECKING:
    from typing_extensions import Self

    from sk_quadrant._solvers.full_batch.design import Design
    from sk_quadrant._solvers.full_batch.shard import Block
    from sk_quadrant.losses import Loss

MOST_GRADIENTS, FEWEST_GRADIENTS = 24, 6  # most that are kept: then L-BFGS restarts
ELEMENTS = 2**24  # in all gradients that are kept: 128 MiB in single precision


class Gradient(NamedTuple):
    """A gradient in the span of the rows.

    Attributes
    ----------
    rows : Tensor of shape (n_labels, n_rows)
        b: the gradient with respect to the weights is the combination of the centred rows with these coefficients.
    scores : Tensor of shape (n_labels, n_rows)
        z: its products with the centred rows.
    intercept : double Tensor of shape (n_labels,)
        Derivative with respect to the scaled intercept.
    """

    rows: Tensor
    scores: Tensor
    intercept: Tensor

    def take(self, labels: Tensor) -> Gradient:
        """Return the gradient of some labels."""
        return Gradient(take_labels(self.rows, labels), take_labels(self.scores, labels), self.intercept[labels])


@dataclass
class Point:
    """Parameters with their scores, losses and derivatives.

    Attributes
    ----------
    rows : Tensor of shape (n_labels, n_rows)
        beta: the weights are the combination of the centred rows with these coefficients.
    scores : Tensor of shape (n_labels, n_rows)
        Intercept included.
    intercept : double Tensor of shape (n_labels,)
        Score of the mean row.
    norms : double Tensor of shape (n_labels,)
        Squared norms of the weights.
    losses : double Tensor of shape (n_labels,), or (1,) for a set-wise loss
        Weighted sums of the losses.
    residuals : Tensor of shape (n_labels, n_rows)
        Weighted derivatives of the losses.
    """

    rows: Tensor
    scores: Tensor
    intercept: Tensor
    norms: Tensor
    losses: Tensor
    residuals: Tensor

    def take(self, labels: Tensor) -> Point:
        """Return the point of some labels, each of which is a group."""
        rows, scores, residuals = (take_labels(part, labels) for part in (self.rows, self.scores, self.residuals))
        return Point(rows, scores, self.intercept[labels], self.norms[labels], self.losses[labels], residuals)


class RowSpan:
    """The span of the centred rows.

    Parameters
    ----------
    design : Design
    size : float, default=0.0
        Number of rows, by their weights, per column.
    """

    def __init__(self, design: Design, *, size: float = 0.0) -> None:
        self.size = size
        self.design, self.rows = design, slice(0, design.n_rows)
        self.share = design.weights / design.weights.sum() if design.fit_intercept else None

    def combination(self, b: Tensor) -> Tensor:
        """Return the combinations of the centred rows, shape (n_labels, n_features)."""
        if self.share is not None:  # sum_i b_i (x_i - m) = sum_i (b_i - pi_i sum b) x_i with m = sum_i pi_i x_i
            b = b - b.sum(dim=1, keepdim=True) * self.share
        return self.design.backward(b)[:, : self.design.n_features]

    def scores(self, weights: Tensor) -> Tensor:
        """Return the products of weights with the centred rows, shape (n_labels, n_rows)."""
        z = self.design.raw_scores(weights, self.rows)
        return z if self.share is None else z.sub_((z @ self.share)[:, None])


@dataclass(frozen=True)
class RowSpanObjective:
    """The losses of a block of labels as functions of the scores.

    Attributes
    ----------
    block : Block
    loss : Loss
    C : double Tensor of shape (n_labels,)
    """

    block: Block
    loss: Loss
    C: Tensor

    def take(self, labels: Tensor) -> Self:
        """Return the objective of some labels."""
        return replace(self, block=self.block.take(labels), loss=self.loss.take(labels), C=self.C[labels])

    def with_design(self, design: Design) -> Self:
        """Return the objective of the same rows in another precision."""
        return replace(self, block=replace(self.block, design=design))

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return C times the sums of losses, double (n_groups,), and C times their derivatives, like the scores."""
        rows = slice(0, scores.shape[1])
        targets, row_weight = self.block.targets.rows(rows, scores.dtype), self.block.design.row_weight
        losses, derivatives = self.loss.values_and_gradient(scores.T, *targets)
        if row_weight is not None:
            weight = row_weight[:, None]
            losses, derivatives = weighted(losses, None, weight), weighted(derivatives, None, weight)
        C = self.C.to(scores.dtype)
        sums = losses.sum(dim=0).double()
        return sums * (self.C if self.loss.labelwise else self.C[:1]), (derivatives * C).T

    def curvature(self, scores: Tensor) -> Tensor:
        """Return C times the second derivatives of the losses, like the scores."""
        rows = slice(0, scores.shape[1])
        curvature = self.loss.curvature(scores.T, *self.block.targets.rows(rows, scores.dtype))
        row_weight = self.block.design.row_weight
        if row_weight is not None:
            curvature = weighted(curvature, None, row_weight[:, None])
        return (curvature * self.C.to(scores.dtype)).T


class RowSpanMinimizer:
    """A minimisation over a block of labels in the span of the rows; labels that have converged are dropped.

    Parameters
    ----------
    span : RowSpan
    objective : RowSpanObjective
    intercept : double Tensor of shape (n_labels,) or None
        Intercepts at the start, where the weights are zero.
    constant : bool Tensor of shape (n_labels,)
        Labels whose optimum is at infinity; they keep the start.
    start : Point or None, default=None
        Point to continue from, None for zero weights.
    tol : float
        A group stops when its estimated distance to the optimum is at most tol^2 times the objective; see `lbfgs`.
    max_iter : int
    monitor : Monitor or None, default=None
        Progress reports.

    Attributes
    ----------
    solution : Point
    whole_objective : RowSpanObjective
        Objective of all labels.
    reached : bool Tensor of shape (n_labels,)
        Which labels have reached the tolerance.
    relative_to : Tensor of shape (n_groups,)
        Value to which the tolerance is relative, C times an objective.
    """

    def __init__(
        self,
        span: RowSpan,
        objective: RowSpanObjective,
        intercept: Tensor | None,
        constant: Tensor,
        *,
        start: Point | None = None,
        tol: float,
        max_iter: int,
        monitor: Monitor | None = None,
    ) -> None:
        self.whole_objective = objective
        self.span, self.objective = span, objective
        self.tol, self.max_iter, self.monitor = tol, max_iter, monitor
        self.per_label = objective.loss.labelwise
        n_labels = len(objective.C)
        self.n_groups = n_labels if self.per_label else 1
        self.labels = torch.arange(n_labels)  # labels that have not been dropped
        self.most = min(MOST_GRADIENTS, max(FEWEST_GRADIENTS, ELEMENTS // (span.design.n_rows * n_labels)))
        self.point = self._start(intercept)
        self.solution = Point(**{name: part.clone() for name, part in vars(self.point).items()})
        self.reached = torch.zeros(n_labels, dtype=torch.bool)
        self.done = constant if self.per_label else torch.zeros(1, dtype=torch.bool)
        self.reached[constant] = self.per_label
        self.relative_to = self._values()
        self.scale = self.relative_to.clamp(min=torch.finfo(torch.float64).tiny)
        if start is not None:
            self.point = self._continue(start)
        self.noise = 8 * torch.finfo(self.point.scores.dtype).eps
        self.finished_value = 0.0
        self.intercept_scale = self.kappa
        self.trace = Trace()
        self._forget()

    def _start(self, intercept: Tensor | None) -> Point:
        """Return the point without weights, and set the scale of the intercepts."""
        design, C = self.span.design, self.objective.C
        order = (design.n_rows, len(C)) if not design.dense else (len(C), design.n_rows)
        zeros = torch.zeros(order, dtype=design.dtype)
        zeros = zeros if design.dense else zeros.T
        start = C.new_zeros(len(C)) if intercept is None else intercept.double()
        scores = zeros + start.to(zeros.dtype)[:, None]
        losses, residuals = self.objective.evaluate(scores)
        curvature = self._intercept_curvature(scores)
        self.kappa = torch.zeros_like(start) if intercept is None else curvature.clamp(min=1e-30).rsqrt()
        return Point(zeros, scores, start, torch.zeros_like(start), losses, residuals)

    def _continue(self, start: Point) -> Point:
        """Return a point of another precision, evaluated in this one."""
        dtype = self.point.rows.dtype
        rows = start.rows.to(dtype)
        scores = self.span.scores(self.span.combination(rows))
        norms = inner(rows, scores)
        scores = scores + start.intercept.to(dtype)[:, None]
        return Point(rows, scores, start.intercept, norms, *self.objective.evaluate(scores))

    def _intercept_curvature(self, scores: Tensor) -> Tensor:
        """Return a typical second derivative with respect to the intercepts."""
        return self.objective.curvature(scores).sum(dim=1).double()

    def _forget(self) -> None:
        """Restart: keep the present gradient only."""
        self.gradients: list[Gradient] = []
        n_groups = len(self.scale)
        self.gram = torch.zeros(n_groups, self.most, self.most, dtype=torch.float64)
        self.steps, self.changes = torch.zeros_like(self.gram), torch.zeros_like(self.gram)  # coefficients, by pair
        self.n_pairs = 0

    def run(self) -> Trace:
        """Minimise; see the attributes for the result.

        Raises
        ------
        FloatingPointError
            If the loss becomes infinite or NaN.
        KeyboardInterrupt
            If the user stops it before the first iteration. Later, the last iteration is the result.
        """
        self.trace.values.append(self._total())
        try:
            self._iterate()
        except KeyboardInterrupt:
            if not self.trace.n_iter:
                raise
            self.trace.interrupted = True
        self._store(~self.done)
        self.trace.converged = bool(self.reached.all())
        return self.trace

    def _iterate(self) -> None:
        for iteration in range(1, self.max_iter + 1):
            self._add_gradient()
            if iteration > 1 and len(self.gradients) > 1:
                self._add_change()
            self._prepare()
            coefficients = self._direction()
            slope = self._along(coefficients)
            if not slope.isfinite().all():
                raise FloatingPointError("the gradient of the loss became infinite or NaN")
            self._finish(self._is_close(slope))
            if self.done.all():
                break
            if self.per_label and float(self.done.double().mean()) > COMPACT:
                coefficients, slope = self._compact(coefficients, slope)
            self._step(coefficients, slope)
            self.trace.n_iter = iteration
            self.trace.values.append(self._total())
            if self.monitor is not None and self.monitor.is_on:
                self._report(self.monitor, slope)

    def _report(self, monitor: Monitor, slope: Tensor) -> None:
        """Report an iteration, given the slope at its start."""
        objective = self.trace.values[-1]
        distance, tol = self._distance(slope)
        share = progress_to_tolerance(distance, self.done, tol, self.n_groups)
        monitor.step(share, objective, f"iteration {self.trace.n_iter}: objective {objective:.8g}", self._present)

    def _present(self) -> Point:
        self._store(~self.done)
        return self.solution

    def _values(self) -> Tensor:
        """Return C times the objective of each group."""
        return self.point.losses + self.grouped(self.point.norms) / 2

    def _objectives(self) -> Tensor:
        """Return the objective of each group."""
        return self._values() / (self.objective.C if self.per_label else self.objective.C[:1])

    def _total(self) -> float:
        return float(self._objectives().sum()) + self.finished_value

    def grouped(self, products: Tensor) -> Tensor:
        """Return sums over the labels of each group."""
        return products if self.per_label else products.sum(dim=0, keepdim=True)

    def _spread(self, groups: Tensor) -> Tensor:
        """Return values of groups as values of labels."""
        return groups if self.per_label else groups.expand(len(self.labels))

    def _prepare(self) -> None:
        """Prepare the choice of a direction, given the last gradient."""

    def _is_close(self, slope: Tensor) -> Tensor:
        """Return which groups have reached the tolerance, given the slope along the direction of L-BFGS."""
        latest, values, smallest = len(self.gradients) - 1, self._values(), self.tol**2
        close = -slope / 2 <= smallest * values.abs()
        return close & is_certain(self.gram[:, latest, latest] / 2, values, self.scale, smallest)

    def _distance(self, slope: Tensor) -> tuple[Tensor, float]:
        """Return the estimated distance to the optimum, relative to the objective, and its tolerance."""
        return -slope / 2 / self._values().abs(), self.tol**2

    def _add_change(self) -> None:
        """Complete the last pair: the change from the gradient before the step to the last one."""
        self.changes[:, self.n_pairs, len(self.gradients) - 1] = 1.0
        self.changes[:, self.n_pairs, self.begin] = -1.0
        self.n_pairs += 1

    def _add_gradient(self, changed: Tensor | None = None) -> None:
        """Add the gradient at the present point, and its inner products.

        Parameters
        ----------
        changed : int Tensor or None, default=None
            Labels whose gradient has changed; None for all.
        """
        if len(self.gradients) == self.most:
            self._forget()
            changed = None
        b = self.point.rows + self.point.residuals
        if changed is None:
            z = self.span.scores(self.span.combination(b))
        else:
            z = self.gradients[-1].scores.clone()
            z[changed] = self.span.scores(self.span.combination(take_labels(b, changed)))
        intercept = self.kappa * self.point.residuals.sum(dim=1, dtype=torch.float64)
        self.gradients.append(Gradient(b, z, intercept))
        new = len(self.gradients) - 1
        for k, gradient in enumerate(self.gradients):
            product = self.grouped(inner(gradient.rows, z) + gradient.intercept * intercept)
            self.gram[:, k, new] = self.gram[:, new, k] = product

    def _direction(self) -> Tensor:
        """Return the coefficients of the L-BFGS direction, by the two-loop recursion [2]_, (n_groups, n_gradients)."""
        k = len(self.gradients)
        gram = self.gram[:, :k, :k]
        steps, changes = self.steps[:, : self.n_pairs, :k], self.changes[:, : self.n_pairs, :k]
        along_steps, along_changes = steps @ gram, changes @ gram  # <s_i, g_l>, <y_i, g_l>
        curved = (along_steps * changes).sum(dim=2)  # <s_i, y_i>
        rho = curved.reciprocal().where(curved > 0, 0.0)
        q = torch.zeros(len(gram), k, dtype=torch.float64)
        q[:, -1] = 1.0
        factors = []
        for i in reversed(range(self.n_pairs)):  # alpha_i = rho_i s_i'q, q <- q - alpha_i y_i
            factor = rho[:, i] * torch.linalg.vecdot(along_steps[:, i], q)
            q -= changes[:, i] * factor[:, None]
            factors.append(factor)
        if self.n_pairs:  # H_0 = s'y / y'y
            size = (along_changes[:, -1] * changes[:, -1]).sum(dim=1)
            q *= (curved[:, -1] / size).where(curved[:, -1] > 0, 1.0)[:, None]
        for i, factor in enumerate(reversed(factors)):  # r <- r + s_i (alpha_i - rho_i y_i'r)
            factor = factor - rho[:, i] * torch.linalg.vecdot(along_changes[:, i], q)
            q += steps[:, i] * factor[:, None]
        return -q

    def _along(self, coefficients: Tensor) -> Tensor:
        """Return the slope of each group along a direction."""
        k = len(self.gradients)
        slope: Tensor = torch.linalg.vecdot(self.gram[:, k - 1, :k], coefficients)
        return slope

    def _move(self, coefficients: Tensor) -> Gradient:
        """Return a direction with coefficients of gradients."""
        spread = self._spread(coefficients) if self.per_label else coefficients.expand(len(self.labels), -1)
        b, z = (_combine(parts, spread) for parts in zip(*((g.rows, g.scores) for g in self.gradients), strict=True))
        intercept = torch.stack([g.intercept for g in self.gradients], dim=1)
        return Gradient(b, z, torch.linalg.vecdot(intercept, spread))

    def _step(self, coefficients: Tensor, slope: Tensor) -> None:
        """Move along the direction by a line search and remember the step."""
        b, z, intercept = self._move(coefficients)
        intercept = intercept * self.kappa
        moves = z + intercept.to(z.dtype)[:, None]
        line = Line(moves, intercept, inner(self.point.rows, z), inner(b, z))
        first = torch.ones_like(slope)
        if not self.n_pairs:  # the step of Newton's method along the direction
            curvature = inner(self.objective.curvature(self.point.scores) * moves, moves) + line.squares
            first = (-slope / self.grouped(curvature)).where(~self.done, 1.0)
        step, failed = self._search(line, slope, first)
        step = step.where(~(failed | self.done), 0.0)
        column = self._spread(step)
        self.point.rows = self.point.rows.addcmul(b, column.to(b.dtype)[:, None])
        self.point.intercept = self.point.intercept + column * intercept
        self.point.norms = self.point.norms + 2 * column * line.products + column**2 * line.squares
        self.begin = len(self.gradients) - 1
        self.steps[:, self.n_pairs, : len(self.gradients)] = coefficients * step[:, None]
        if failed.any():
            self._finish(failed & (-slope <= (self.noise * self.scale).minimum(CERTAIN * self._values().abs())))
            self._finish(failed, reached=False)

    def _search(self, line: Line, slope: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Move the scores by steps that satisfy the weak Wolfe conditions, return them and which groups found none."""
        start = Point(**vars(self.point))
        bracket = Bracket(self._values(), slope, torch.finfo(line.moves.dtype).eps)
        bracket.step = first
        pending = ~self.done
        values, slopes, taken = self._values(), slope.clone(), torch.zeros_like(slope)
        scores, residuals, losses = start.scores, start.residuals, start.losses
        while pending.any() and bracket.trials < MAX_TRIALS:
            everybody = not self.per_label or bracket.trials == 0
            labels = torch.arange(len(self.labels)) if everybody else pending.nonzero()[:, 0]
            step = self._spread(bracket.step.where(pending, 0.0))[labels]
            part = self.objective if everybody else self.objective.take(labels)
            moves, at = (line.moves, start.scores) if everybody else (
                take_labels(line.moves, labels), take_labels(start.scores, labels)
            )  # fmt: skip
            at = at.addcmul(moves, step.to(at.dtype)[:, None])
            loss, residual = part.evaluate(at)
            products, squares = line.products[labels], line.squares[labels]
            value = loss + self.grouped(start.norms[labels] / 2 + step * products + step**2 * squares / 2)
            along = self.grouped(inner(residual, moves) + products + step * squares)
            if everybody:
                scores, residuals, losses, values, slopes = at, residual, loss, value, along
            else:
                scores[labels], residuals[labels], losses[labels] = at, residual, loss
                values[labels], slopes[labels] = value, along
            taken = bracket.step.where(pending, taken)
            pending = bracket.update(pending, values, slopes)
        if pending.any():
            if values[pending].isnan().any():
                raise FloatingPointError("the loss became NaN, also after the shortest steps")
            lost = self._spread(pending)[:, None]
            scores, residuals = start.scores.where(lost, scores), start.residuals.where(lost, residuals)
            losses = start.losses.where(pending, losses)
        self.point.scores, self.point.residuals, self.point.losses = scores, residuals, losses
        return taken, pending

    def _finish(self, finished: Tensor, *, reached: bool = True) -> None:
        finished = finished & ~self.done
        if not finished.any():
            return
        self._store(finished)
        self.done = self.done | finished
        self.reached[self.labels[self._spread(finished)]] |= reached

    def _store(self, groups: Tensor) -> None:
        here = self._spread(groups).nonzero()[:, 0]
        labels = self.labels[here]
        for name in ("rows", "scores", "intercept", "norms", "residuals"):
            getattr(self.solution, name)[labels] = take_labels_of(getattr(self.point, name), here)

    def squared_norm(self, residuals: Tensor) -> Tensor:
        """Return the squared norm of the part of the gradient that residuals make up, (n_groups,)."""
        b = residuals.to(self.solution.rows.dtype)
        intercept = self.intercept_scale * b.sum(dim=1, dtype=torch.float64)
        return self.grouped(inner(b, self.span.scores(self.span.combination(b))) + intercept**2)

    def _compact(self, coefficients: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Drop the finished labels from all tensors."""
        self.finished_value += float(self._objectives()[self.done].sum())
        keep = (~self.done).nonzero()[:, 0]
        self.objective, self.point = self.objective.take(keep), self.point.take(keep)
        self.gradients = [gradient.take(keep) for gradient in self.gradients]
        self.gram, self.kappa = self.gram[keep], self.kappa[keep]
        self.steps, self.changes = self.steps[keep], self.changes[keep]
        self.labels, self.done, self.scale = self.labels[keep], self.done[keep], self.scale[keep]
        return coefficients[keep], slope[keep]


class Line(NamedTuple):
    """A direction: the changes of scores and intercepts along it, and its products with the weights and with itself."""

    moves: Tensor
    intercept: Tensor
    products: Tensor
    squares: Tensor


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return inner products over the rows, double (n_labels,)."""
    return (a * b).sum(dim=1).double()


def _combine(parts: tuple[Tensor, ...], coefficients: Tensor) -> Tensor:
    """Return combinations of parts, each (n_labels, n_rows), with coefficients (n_labels, n_parts)."""
    columns = coefficients.to(parts[0].dtype)[:, :, None]
    total = parts[0] * columns[:, 0]
    for k, part in enumerate(parts[1:], start=1):
        total.addcmul_(part, columns[:, k])
    return total


def take_labels_of(values: Tensor, labels: Tensor) -> Tensor:
    """Return the values of some labels, which are rows of a matrix or entries of a vector."""
    return values[labels] if values.ndim == 1 else take_labels(values, labels)
