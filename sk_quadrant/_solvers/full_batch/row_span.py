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

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.line_search import Bracket, Line, inner, search
from sk_quadrant._solvers.full_batch.minimizer import LabelMinimizer, Limits
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.design import Design
    from sk_quadrant._solvers.full_batch.shard import Block
    from sk_quadrant._solvers.full_batch.space import Space
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


class Point(NamedTuple):
    """Parameters with their scores and derivatives.

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
    residuals : Tensor of shape (n_labels, n_rows)
        Weighted derivatives of the losses.
    """

    rows: Tensor
    scores: Tensor
    intercept: Tensor
    norms: Tensor
    residuals: Tensor


class RowSpan:
    """The span of the centred rows.

    Parameters
    ----------
    design : Design
    """

    def __init__(self, design: Design) -> None:
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
        # w'(x_i - m) = z_i - sum_k pi_k z_k
        return z if self.share is None else z.sub_((z @ self.share)[:, None])


class ScoreLosses(NamedTuple):
    """The losses of a block of labels, times C, as functions of the scores of all rows.

    Attributes
    ----------
    block : Block
    loss : Loss
    C : double Tensor of shape (n_labels,)
    """

    block: Block
    loss: Loss
    C: Tensor

    def evaluate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums of losses, double (n_groups,), and their derivatives, like the scores."""
        losses, derivatives, _ = self.block.derivatives(self.loss, scores.T, slice(0, scores.shape[1]))
        C = self.C if self.loss.labelwise else self.C[:1]
        return losses.sum(dim=0).double() * C, (derivatives * self.C.to(scores.dtype)).T

    def curvature(self, scores: Tensor) -> Tensor:
        """Return second derivatives, like the scores."""
        curvature = self.block.curvature(self.loss, scores.T, slice(0, scores.shape[1]))
        return (curvature * self.C.to(scores.dtype)).T


class RowSpanMinimizer(LabelMinimizer):
    """A minimisation in the span of the rows; see `LabelMinimizer`. Its objectives are times C.

    Parameters
    ----------
    span : RowSpan
    losses : ScoreLosses
    theta : Tensor of shape (n_labels, n_columns)
        Start, where the weights are zero.
    constant : bool Tensor of shape (n_labels,)
        Labels whose optimum is at infinity; they keep the start.
    space : Space
        Space of the features.
    start : Point or None, default=None
        Point to continue from, None for zero weights.
    limits : Limits
        A group stops when its estimated distance to the optimum is at most tol^2 times the objective; see `lbfgs`.

    Attributes
    ----------
    solution : Point
    """

    BY_LABEL = ("losses", "point", "values", "gradients", "gram", "kappa", "steps", "changes", "scale")
    solution: Point

    def __init__(
        self,
        span: RowSpan,
        losses: ScoreLosses,
        theta: Tensor,
        constant: Tensor,
        *,
        space: Space,
        start: Point | None = None,
        limits: Limits,
    ) -> None:
        n_labels, per_label = len(losses.C), losses.loss.labelwise
        super().__init__(n_labels, limits, per_label=per_label)
        self.span, self.losses, self.space = span, losses, space
        self.most = min(MOST_GRADIENTS, max(FEWEST_GRADIENTS, ELEMENTS // (self.span.design.n_rows * n_labels)))
        self.point, self.values = self._start(theta[:, -1] if space.fit_intercept else None)
        self.solution = Point(*(part.clone() for part in self.point))
        if per_label:
            self._finish(constant)
        self.relative_to = self._objectives()
        self.scale = self._values().clamp(min=torch.finfo(torch.float64).tiny)
        if start is not None:
            self.point, self.values = self._continue(start)
        self.noise = 8 * torch.finfo(self.point.scores.dtype).eps
        self._forget()

    def _start(self, intercept: Tensor | None) -> tuple[Point, Tensor]:
        """Return the point without weights and its sums of losses, and set the scale of the intercepts."""
        design, C = self.span.design, self.losses.C
        zeros = torch.zeros(design.n_rows, len(C), dtype=design.dtype).T
        start = torch.zeros_like(C) if intercept is None else intercept.double()
        scores = zeros + start.to(zeros.dtype)[:, None]
        values, residuals = self.losses.evaluate(scores)
        curvature = self.losses.curvature(scores).sum(dim=1).double()  # with respect to the intercepts
        # the second derivative with respect to alpha is kappa^2 C sum_i v_i l''(s_i) = 1
        self.kappa = torch.zeros_like(start) if intercept is None else curvature.clamp(min=1e-30).rsqrt()
        self.intercept_scale = self.kappa  # of all labels
        return Point(zeros, scores, start, torch.zeros_like(start), residuals), values

    def _continue(self, start: Point) -> tuple[Point, Tensor]:
        """Return a point of another precision and its sums of losses, evaluated in this one."""
        dtype = self.point.rows.dtype
        rows = start.rows.to(dtype)
        scores = self.span.scores(self.span.combination(rows))
        # |w|^2 = beta' X_c X_c' beta
        norms = inner(rows, scores)
        scores = scores + start.intercept.to(dtype)[:, None]
        values, residuals = self.losses.evaluate(scores)
        return Point(rows, scores, start.intercept, norms, residuals), values

    def _forget(self) -> None:
        """Restart: keep the present gradient only."""
        self.gradients: list[Gradient] = []
        self.gram = torch.zeros(len(self.scale), self.most, self.most, dtype=torch.float64)
        self.steps, self.changes = torch.zeros_like(self.gram), torch.zeros_like(self.gram)  # coefficients, by pair
        self.n_pairs = 0

    @property
    def parameters(self) -> Tensor:
        """Theta of the solution; see `LabelMinimizer.parameters`."""
        theta, space = self.space.zeros(len(self.reached)), self.space
        theta[:, : space.n_features] = self.span.combination(self.solution.rows)
        if space.fit_intercept:
            theta[:, -1] = self.solution.intercept
        return theta

    def _iterate(self) -> None:
        self._accept(self.point)
        for iteration in range(1, self.max_iter + 1):
            self._add_gradient()
            if iteration > 1 and len(self.gradients) > 1:  # completes the last pair by the change of the gradient
                self.changes[:, self.n_pairs, len(self.gradients) - 1] = 1.0
                self.changes[:, self.n_pairs, self.begin] = -1.0
                self.n_pairs += 1
            coefficients = self._direction()
            latest = len(self.gradients) - 1
            slope = torch.linalg.vecdot(self.gram[:, latest, : latest + 1], coefficients)
            if not slope.isfinite().all():
                raise FloatingPointError("the gradient of the loss became infinite or NaN")
            close = -slope / 2 <= self.smallest * self._reference()
            # F - F* <= |g|^2 / 2, the bound of `lbfgs` with a penalty of 1
            self._finish(close & self._is_certain(self.gram[:, latest, latest] / 2))
            if self.done.all():
                break
            coefficients, slope = self._drop_finished(coefficients, slope)
            self._step(coefficients, slope)
            self.trace.n_iter = iteration
            self._accept(self.point)
            if self.monitor.is_on:
                self._report(-slope / 2 / self._reference())

    def _values(self) -> Tensor:
        """Return C times the objective of each group."""
        return self.values + self.grouped(self.point.norms) / 2

    def _objectives(self) -> Tensor:
        return self._values() / (self.losses.C if self.per_label else self.losses.C[:1])

    def _reference(self) -> Tensor:
        return self._values().abs()

    def _add_gradient(self) -> None:
        """Add the gradient at the present point, and its inner products."""
        if len(self.gradients) == self.most:
            self._forget()
        # b = beta + C r, and z = X_c X_c' b
        b = self.point.rows + self.point.residuals
        z = self.span.scores(self.span.combination(b))
        intercept = self.kappa * self.point.residuals.sum(dim=1, dtype=torch.float64)
        self.gradients.append(Gradient(b, z, intercept))
        new = len(self.gradients) - 1
        for k, gradient in enumerate(self.gradients):
            # <g_k, g_l> = b_k' z_l, and the product of the derivatives of the intercepts
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

    def _step(self, coefficients: Tensor, slope: Tensor) -> None:
        """Move along the direction by a line search and remember the step."""
        rows, scores, intercepts = zip(*self.gradients, strict=True)
        spread = self.spread(coefficients)
        b, z = _combine(rows, spread), _combine(scores, spread)
        intercept = torch.linalg.vecdot(torch.stack(intercepts, dim=1), spread) * self.kappa
        moves = z + intercept.to(z.dtype)[:, None]
        # for the direction p = X_c' b: w'p = beta' z and |p|^2 = b' z
        line = Line(moves, inner(self.point.rows, z), inner(b, z))
        bracket = Bracket(self._values(), slope, torch.finfo(moves.dtype).eps)
        if not self.n_pairs:  # the step of Newton's method along the direction
            # -phi'(0) / phi''(0) with phi'' = C sum_i v_i l''(s_i) moves_i^2 + |p|^2
            curvature = inner(self.losses.curvature(self.point.scores) * moves, moves) + line.squares
            bracket.step = (-slope / self.grouped(curvature)).where(~self.done, 1.0)
        failed = self._search(line, bracket)
        step = bracket.step.masked_fill(failed | self.done, 0.0)
        column, point = self.spread(step), self.point
        self.point = point._replace(
            rows=point.rows.addcmul(b, column.to(b.dtype)[:, None]),
            intercept=point.intercept + column * intercept,
            norms=point.norms + 2 * column * line.products + column**2 * line.squares,
        )
        self.begin = len(self.gradients) - 1
        self.steps[:, self.n_pairs, : len(self.gradients)] = coefficients * step[:, None]
        if failed.any():
            self._give_up(failed, slope)

    def _search(self, line: Line, bracket: Bracket) -> Tensor:
        """Move the scores by steps that satisfy the weak Wolfe conditions, and return which groups found none."""
        start, before = self.point, self.values
        found: list[Tensor] = []  # scores, residuals, sums of losses, objectives and slopes

        def evaluate(step: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
            nonlocal found
            parts = [self.losses, line, start.scores, start.norms, self.spread(step)]
            losses, (moves, products, squares), scores, norms, length = take_labels(parts, labels)
            scores = scores.addcmul(moves, length.to(moves.dtype)[:, None])
            sums, residuals = losses.evaluate(scores)
            # phi(t) = C sum_i v_i l(s_i + t moves_i) + |w + t p|^2 / 2, and its derivative
            objectives = sums + self.grouped(norms / 2 + length * products + length**2 * squares / 2)
            slopes = self.grouped(inner(residuals, moves) + products + length * squares)
            trial = [scores, residuals, sums, objectives, slopes]
            if labels is None:
                found = trial
            else:
                for whole, part in zip(found, trial, strict=True):
                    whole[labels] = part
            return found[3], found[4]

        failed = search(bracket, ~self.done, evaluate, per_label=self.per_label)
        scores, residuals, self.values, *_ = found
        if failed.any():
            lost = self.spread(failed)[:, None]
            scores, residuals = start.scores.where(lost, scores), start.residuals.where(lost, residuals)
            self.values = before.where(failed, self.values)
        self.point = start._replace(scores=scores, residuals=residuals)
        return failed

    def squared_norm(self, residuals: Tensor) -> Tensor:
        """Return the squared norm of the part of the gradient that residuals make up, (n_groups,)."""
        b = residuals.to(self.solution.rows.dtype)
        intercept = self.intercept_scale * b.sum(dim=1, dtype=torch.float64)
        # |X_c' b|^2 = b' X_c X_c' b
        return self.grouped(inner(b, self.span.scores(self.span.combination(b))) + intercept**2)


def _combine(parts: tuple[Tensor, ...], coefficients: Tensor) -> Tensor:
    """Return combinations of parts, each (n_labels, n_rows), with coefficients (n_labels, n_parts)."""
    columns = coefficients.to(parts[0].dtype)[:, :, None]
    total = parts[0] * columns[:, 0]
    for k, part in enumerate(parts[1:], start=1):
        total.addcmul_(part, columns[:, k])
    return total
