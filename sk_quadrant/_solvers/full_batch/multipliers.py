r"""Hinge losses of sparse rows: Newton's method in the method of multipliers.

With margins m the hinge, the squared hinge and modified Huber are maxima over a dual variable,

.. math:: h(m) = \max_{0 \le p \le u}\; p (1 - m) - \tfrac{q}{2} p^2,

with u = 1, q = 0 for the hinge, :math:`u = \infty`, q = 1/2 for the squared hinge, and u = 4, q = 1/2 for modified
Huber. The method of multipliers [1]_ stays close to the last dual variables :math:`\alpha`,

.. math:: \psi(m) = \max_{0 \le p \le u}\; p (1 - m) - \tfrac{q}{2} p^2 - \frac{(p - \alpha)^2}{2 \kappa},
   \qquad p = \operatorname{clip}\Bigl(\frac{\alpha + \kappa (1 - m)}{1 + q \kappa}, 0, u\Bigr), \qquad \psi' = -p.

An outer iteration minimises :math:`\sum_i c_i\, \psi(m_i) + \lVert w \rVert^2 / 2`, with the costs c = C v of the rows
of weight v, and ends with :math:`\alpha \leftarrow p`. A label does so once the gradient g is small relative to the
change of the dual variables [1]_, criterion (B'),

.. math:: \tfrac12 \lVert g \rVert^2 \le \delta^2 \sum_i \frac{c_i}{2 \kappa} (p_i - \alpha_i)^2.

The second derivatives :math:`d_i = c_i \kappa / (1 + q \kappa)` are those of the rows between the bounds of their dual
variables, a few percent of all rows of a text; the others have d = 0. The function is piecewise quadratic, and Newton's
method ends as soon as it has found these rows [2]_. Its step solves

.. math:: (I + X^\top D X)\, \dot w + X^\top d\, \dot a = -g, \qquad d^\top X \dot w + 1^\top d\, \dot a = -g_a.

The intercept is eliminated, which centres the rows by their mean with weights d, and conjugate gradients solve the
rest roughly [3]_: whenever they stop, the step descends. An iteration takes one product with X and one with its
transpose, for all labels together, and keeps four vectors over the features.

A large :math:`\kappa` makes outer iterations few, and Newton's systems ill-conditioned. It grows while a label needs
one or two Newton steps an outer iteration: its rows between the bounds are then known.

A label stops at a small duality gap. Since :math:`w - g` is the combination of rows with the coefficients
:math:`c_i p_i y_i`, the gap is a sum without cancellation, up to the share of the intercept, which is estimated by its
Newton step,

.. math:: \sum_i c_i \Bigl(h(m_i) + \tfrac{q}{2} p_i^2 - p_i (1 - m_i)\Bigr) + \tfrac12 \lVert g \rVert^2.

With a weak penalty :math:`\lVert g \rVert^2 / 2` is far more than can be gained. So a label stops, too, where the gap
is small with the decrease of the quadratic model and the proximal term in its place: :math:`\psi` is at most h.

References
----------
.. [1] R. T. Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm in convex
   programming", Mathematics of Operations Research 1, 1976. :doi:`10.1287/moor.1.2.97`
.. [2] S. S. Keerthi, D. DeCoste, "A modified finite Newton method for fast solution of large scale linear SVMs",
   Journal of Machine Learning Research 6, 2005. https://jmlr.org/papers/v6/keerthi05a.html
.. [3] X. Li, D. Sun, K.-C. Toh, "A highly efficient semismooth Newton augmented Lagrangian method for solving Lasso
   problems", SIAM Journal on Optimization 28, 2018. :doi:`10.1137/16M1097572`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.line_search import Line, inner
from sk_quadrant._solvers.full_batch.minimizer import DROP, LabelMinimizer, Limits
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.design import SparseDesign
    from sk_quadrant._solvers.full_batch.shard import Block
    from sk_quadrant._solvers.full_batch.space import Space
    from sk_quadrant.losses import Loss

FIRST, LARGE, GROWTH = 2.0, 10.0, 2.0  # kappa C, for rows of length 1; it grows to LARGE in any case
LARGEST = 1e4
KNOWN = 1000.0  # the same where a warm start has the dual variables
START = 0.5  # largest kappa at the start, where margins are 0: all rows are between the bounds
STEEP = 50.0  # slope of the dual variables at the corner of a hinge, as a warm start takes them from margins
DELTA = 0.7
FORCING = 0.3  # conjugate gradients end when they have reduced the residual to this share
MOST_PRODUCTS = 20  # of conjugate gradients in a Newton step
ENOUGH_SLOPE = 0.3  # share of the slope that may be left after a line search
MOST_TRIALS = 10
PATIENCE = 10  # Newton steps in an outer iteration after which single precision is not enough
DIGITS = 1e-4  # share of the objective at which scores are computed again
CORNER = 0.02  # times tol is the relative duality gap at which the hinge stops, since it converges linearly


@dataclass(frozen=True)
class HingeRows:
    """Rows with hard targets of some labels, and a hinge loss; tensors have the memory order of products.

    Attributes
    ----------
    design : SparseDesign
    C : double Tensor of shape (n_labels,)
    signs : Tensor of shape (n_labels, n_rows)
        1 where the label is present, -1 elsewhere.
    costs : Tensor of shape (n_labels, n_rows) or (n_labels, 1)
        C times weights, 0 for unknown labels.
    largest, quadratic : float
        u and q of the loss.
    """

    design: SparseDesign
    C: Tensor
    signs: Tensor
    costs: Tensor
    largest: float
    quadratic: float

    @classmethod
    def of(cls, block: Block, loss: Loss, C: Tensor) -> HingeRows:
        """Return the rows of a block of labels, given C of each."""
        design = cast("SparseDesign", block.design)
        targets, mask, weight = block.targets_of(slice(0, design.n_rows), design.dtype)
        costs = C.to(design.dtype)[:, None]
        for factor in (design.row_weight, None if weight is None else weight.T, None if mask is None else mask.T):
            costs = costs if factor is None else costs * factor
        largest, quadratic = cast("tuple[float, float]", loss.dual)
        return cls(design, C, (2 * targets - 1).T, costs, largest, quadratic)

    def unit(self, length: float) -> Tensor:
        """Return kappa C = 1 for rows of a squared length, per label: a row of weight 2 counts as a repeated one."""
        # C kappa |x|^2 is the curvature of a row where q kappa is small; that of the penalty is 1
        return (1 / (length * self.C)).to(self.signs.dtype)

    def take(self, labels: Tensor) -> HingeRows:
        """Return the rows with some of the labels."""
        C, signs, costs = take_labels([self.C, self.signs, self.costs], labels)
        return replace(self, C=C, signs=signs, costs=costs)

    def scores(self, weights: Tensor) -> Tensor:
        """Return the products of weights with the rows."""
        return self.design.raw_scores(weights, slice(0, self.design.n_rows))

    def best(self, shortfall: Tensor) -> Tensor:
        """Return the p of h, given 1 - m."""
        if not self.quadratic:
            return (shortfall > 0) * self.largest
        # p (1 - m) - q / 2 p^2 is largest at p = (1 - m) / q, or at the nearest bound
        return (shortfall / self.quadratic).clamp_(0, self.largest)

    def losses(self, shortfall: Tensor) -> Tensor:
        """Return h, given 1 - m."""
        p = self.best(shortfall)
        # h = p (1 - m - q / 2 p)
        return (shortfall - (self.quadratic / 2) * p).mul_(p)

    def gaps(self, shortfall: Tensor, p: Tensor) -> Tensor:
        """Return h(m) + q p^2 / 2 - p (1 - m), given 1 - m, without cancellation."""
        # with p* the best p: (p* - p) [1 - m - q p* + q / 2 (p* - p)]
        best = self.best(shortfall)
        apart = best - p
        return shortfall.sub(best, alpha=self.quadratic).add_(apart, alpha=self.quadratic / 2).mul_(apart)

    def dual(self, alpha: Tensor, kappa: Tensor, shortfall: Tensor) -> Tensor:
        """Return p, given 1 - m."""
        # clip((alpha + kappa (1 - m)) / (1 + q kappa), 0, u)
        p = torch.addcmul(alpha, kappa[:, None], shortfall)
        return (p if not self.quadratic else p.div_(1 + self.quadratic * kappa[:, None])).clamp_(0, self.largest)

    def curvature(self, p: Tensor, kappa: Tensor) -> Tensor:
        """Return d, given p."""
        # at a bound p is constant and psi'' = 0
        between = (p > 0) & (p < self.largest)
        return between * (self.costs * (kappa / (1 + self.quadratic * kappa))[:, None])


class Iterate(NamedTuple):
    """Parameters and dual variables of some labels.

    Attributes
    ----------
    weights : Tensor of shape (n_labels, n_features)
    intercept : Tensor of shape (n_labels,)
    alpha : Tensor of shape (n_labels, n_rows)
    kappa : Tensor of shape (n_labels,)
    """

    weights: Tensor
    intercept: Tensor
    alpha: Tensor
    kappa: Tensor

    @classmethod
    def start(cls, rows: HingeRows, space: Space, theta: Tensor, constant: Tensor, length: float) -> Iterate:
        """Return the iterate at some parameters, given constant labels and the mean squared length of the centred rows.

        At weights of zero other labels have zero intercepts, and the dual variables are 0. Elsewhere these are those
        that belong to the margins; those of a hinge close to its corner are unknown.
        """
        coef, shift = space.split(theta)
        weights, unit = coef.to(rows.signs.dtype, copy=True), rows.unit(length)
        intercept = weights.new_zeros(len(weights)) if shift is None else shift.to(weights.dtype)
        if not weights.any():
            intercept = intercept.where(constant, 0.0)
            return cls(weights, intercept, torch.zeros_like(rows.signs), (FIRST * unit).clamp(max=START))
        shortfall = 1 - rows.signs * (rows.scores(weights) + intercept[:, None])
        if rows.quadratic:
            # the dual variables of a smooth loss follow from its margins
            return cls(weights, intercept, shortfall.relu_().div_(rows.quadratic), KNOWN * unit)
        # the hinge has 0 beyond its corner and 1 before it; near the corner a steep line is a guess
        return cls(weights, intercept, shortfall.mul_(STEEP).add_(0.5).clamp_(0, rows.largest), LARGE * unit)

    def to(self, dtype: torch.dtype) -> Iterate:
        """Return a copy in a precision."""
        return Iterate(*(part.to(dtype, copy=True) for part in self))


class IterateEvaluation(NamedTuple):
    """What is known at an iterate.

    Attributes
    ----------
    shortfall, p, curvature : Tensor of shape (n_labels, n_rows)
        1 - m, p and d.
    weights, intercept : Tensor of shape (n_labels, n_features) and (n_labels,)
        Derivatives.
    primal, distance, decrement : double Tensor of shape (n_labels,)
        C times the objective, the duality gap but for the gradient, and the share of the gradient in it.
    """

    shortfall: Tensor
    p: Tensor
    curvature: Tensor
    weights: Tensor
    intercept: Tensor
    primal: Tensor
    distance: Tensor
    decrement: Tensor


class MultiplierMinimizer(LabelMinimizer):
    """A minimisation by the method of multipliers; see `LabelMinimizer`. Its objectives are times C.

    Parameters
    ----------
    rows : HingeRows
    state : Iterate
        Start, which is overwritten.
    constant : bool Tensor of shape (n_labels,)
        Labels whose optimum is at infinity; they keep the start.
    space : Space
        Space of the features.
    length : float
        Mean squared length of the centred rows.
    limits : Limits
        A label stops when the duality gap is at most tol^2 times the objective, or .02 tol times that of the hinge.
        Iterations are Newton steps.

    Attributes
    ----------
    state, solution : Iterate
    """

    solution: Iterate
    BY_LABEL = ("rows", "state", "at", "scores", "norms", "computed_at", "steps")

    def __init__(
        self,
        rows: HingeRows,
        state: Iterate,
        constant: Tensor,
        *,
        space: Space,
        length: float,
        limits: Limits,
    ) -> None:
        super().__init__(len(constant), limits)
        self.smallest = max(self.smallest, 0 if rows.quadratic else CORNER * limits.tol)
        self.rows, self.state, self.space, self.length = rows, state, space, length
        self.solution = state
        self.eps = torch.finfo(rows.signs.dtype).eps
        self._finish(constant)
        self.steps = torch.zeros(len(constant), dtype=torch.int64)  # Newton steps in the outer iteration
        self.computed_at: Tensor | None  # the objective where scores and norms were last computed
        self._compute_scores()

    @property
    def parameters(self) -> Tensor:
        """Theta of the solution; see `LabelMinimizer.parameters`."""
        state = self.solution.to(self.space.dtype)
        return self.space.theta_of(state.weights, state.intercept)

    def _iterate(self) -> None:
        while True:
            self._evaluate()
            self._accept(self.state)
            if self.trace.n_iter and self.monitor.is_on:
                self._report(self._gap() / self.at.primal)
            self._stop((self._gap() <= self._tolerance()) | self.close)
            if self.done.all() or self.trace.n_iter == self.max_iter:
                break
            self._drop_finished()
            self._update_multipliers()
            self._newton_step()
            self.steps += 1
            self.trace.n_iter += 1

    def _evaluate(self) -> None:
        """Compute the derivatives, the objective and the duality gap at the present state."""
        rows, state = self.rows, self.state
        shortfall = 1 - rows.signs * self.scores
        primal = total(rows.losses(shortfall).mul_(rows.costs)) + self.norms / 2
        if self.computed_at is None:
            self.computed_at = primal
        if (primal < DIGITS * self.computed_at).any():  # scores, a sum over steps, have lost digits
            self._compute_scores()
            self._evaluate()
            return
        p = rows.dual(state.alpha, state.kappa, shortfall)
        curvature, (weights, intercept) = rows.curvature(p, state.kappa), self._gradient(p)
        # the Hessian is at least the identity among weights, and the curvature of the rows for the intercept
        decrement = (squares(weights) + intercept.double() ** 2 / self._intercept_curvature(curvature)) / 2
        distance = total(rows.gaps(shortfall, p).mul_(rows.costs))
        self.at = IterateEvaluation(shortfall, p, curvature, weights, intercept, primal, distance, decrement)
        if not self._gap().isfinite().all():
            raise FloatingPointError("the gradient of the loss became infinite or NaN")

    def _compute_scores(self) -> None:
        self.scores = self.rows.scores(self.state.weights) + self.state.intercept[:, None]
        self.norms, self.computed_at = squares(self.state.weights), None
        self.close = torch.zeros_like(self.done)  # labels whose last step was estimated to end within the tolerance

    def _gradient(self, p: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the derivatives with respect to weights and intercepts, given p of all labels or of some."""
        rows, weights = take_labels([self.rows, self.state.weights], labels)
        # g = w - sum_i c_i p_i y_i x_i and g_a = -sum_i c_i p_i y_i
        sums = rows.design.backward((p * rows.signs).mul_(rows.costs))
        d = rows.design.n_features
        return weights - sums[:, :d], -sums[:, -1] if rows.design.fit_intercept else sums.new_zeros(len(sums))

    def _intercept_curvature(self, curvature: Tensor) -> Tensor:
        """Return the curvature of the rows, at least that of one of weight 1: none may be between the bounds."""
        kappa = self.state.kappa
        one = self.rows.C.to(kappa.dtype) * kappa / (1 + self.rows.quadratic * kappa)
        return curvature.sum(dim=1).maximum(one).double()

    def _objectives(self) -> Tensor:
        return self.at.primal / self.rows.C

    def _reference(self) -> Tensor:
        return self.at.primal

    def _gap(self) -> Tensor:
        return self.at.distance + self.at.decrement

    def _tolerance(self) -> Tensor:
        """Return the duality gap at which a label stops."""
        return self.smallest * self.at.primal

    def _update_multipliers(self) -> None:
        """Start an outer iteration for the labels that are close enough to their minimum."""
        rows, state, at = self.rows, self.state, self.at
        # criterion (B'): |g|^2 / 2 <= delta^2 sum_i c_i (p_i - alpha_i)^2 / (2 kappa)
        ready = (at.decrement <= DELTA**2 * self._change()) & ~self.done
        labels = ready.nonzero()[:, 0]
        if not len(labels):
            return
        some, p, shortfall = take_labels([rows, at.p, at.shortfall], labels)
        state.alpha[labels] = p
        state.kappa[labels] = kappa = self._next_kappa(labels)
        # alpha <- p; the margins stay, and p, d and the gradient follow from the new alpha and kappa
        at.p[labels] = p = some.dual(p, kappa, shortfall)
        at.weights[labels], at.intercept[labels] = self._gradient(p, labels)
        at.curvature[labels] = some.curvature(p, kappa)
        at.distance[labels] = total(some.gaps(shortfall, p).mul_(some.costs))
        self.steps[labels] = 0

    def _change(self) -> Tensor:
        """Return the proximal terms."""
        # sum_i c_i (p_i - alpha_i)^2 / (2 kappa)
        squares = (self.at.p - self.state.alpha).square_().mul_(self.rows.costs)
        return total(squares) / (2 * self.state.kappa)

    def _next_kappa(self, labels: Tensor) -> Tensor:
        """Return kappa of the next outer iteration of some labels; see the notes above."""
        kappa = self.state.kappa[labels]
        unit = self.rows.unit(self.length)[labels]
        steps = self.steps[labels]
        # few Newton steps: the rows between the bounds are known, and a larger kappa saves outer iterations
        growth = torch.where(steps <= 1, GROWTH, torch.where(steps == 2, GROWTH**0.5, 1.0)).to(kappa.dtype)
        growth = growth.where(kappa >= LARGE * unit, GROWTH)
        return growth * kappa if self.rows.quadratic else (growth * kappa).minimum(LARGEST * unit)

    def _newton_step(self) -> None:
        """Move to the minimum of the quadratic model, or as far as the slope along this way falls."""
        direction, along, solved = self._direction()
        moves = self.rows.scores(direction) + along[:, None]
        products, lengths = inner(self.state.weights, direction), squares(direction)
        slope = inner(self.at.weights, direction) + self.at.intercept.double() * along.double()
        # half the slope is the decrease of the quadratic model, of which rough equations may miss the other half
        self.close = solved & (self.at.distance + self._change() - slope <= self._tolerance())
        step = self._search(Line(moves, products, lengths), slope)
        column = step.to(moves.dtype)[:, None]
        self.scores.addcmul_(moves, column)
        self.state.weights.addcmul_(direction, column)
        self.state.intercept.add_(along * column[:, 0])
        # |w + t z|^2 = |w|^2 + 2 t w'z + t^2 |z|^2 for the direction z
        self.norms += 2 * step * products + step**2 * lengths

    def _direction(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the Newton step of weights and intercept, and whether the equations are solved to their tolerance."""
        design, at = self.rows.design, self.at
        centre = torch.zeros_like(at.weights)
        total_curvature = self._intercept_curvature(at.curvature).to(centre.dtype)
        if design.fit_intercept:
            # m = X'd / 1'd. The second equation gives a = -g_a / 1'd - m'w for the steps w and a; the first becomes
            # (I + (X - 1 m')' D (X - 1 m')) w = -g + m g_a
            centre = design.backward(at.curvature)[:, :-1] / total_curvature[:, None]
        right = torch.addcmul(-at.weights, centre, at.intercept[:, None]).masked_fill_(self.done[:, None], 0.0)
        x, solved = NewtonSystem(at.curvature, centre).solve(design, right)
        along = -at.intercept / total_curvature - inner(centre, x).to(centre.dtype)
        return x, along.masked_fill(self.done | (not design.fit_intercept), 0.0), solved

    def _search(self, line: Line, start: Tensor) -> Tensor:
        """Return step lengths at most 1 that leave a small share of the slope at the start, by false position."""
        allowed = ENOUGH_SLOPE * start.abs()
        step = torch.ones_like(start)
        # the function is convex: only a positive slope at the full step tells that it has gone too far
        last = self._slope(line, step)
        labels = (last > allowed).nonzero()[:, 0]
        low, high = torch.zeros_like(step)[labels], step[labels]
        at_low, at_high = start[labels], last[labels]
        for trial in range(MOST_TRIALS):
            if not len(labels):
                break
            margin = (high - low) * (0.02 if trial else 0.0)
            # the zero of the line through the slopes at both ends
            between = (low - at_low * (high - low) / (at_high - at_low)).clamp(low + margin, high - margin)
            step[labels] = between
            slope = self._slope(line, between, labels)
            left = (slope.abs() > allowed[labels]).nonzero()[:, 0]
            too_far = slope > 0
            high, at_high = torch.where(too_far, between, high)[left], torch.where(too_far, slope, at_high)[left]
            low, at_low = torch.where(too_far, low, between)[left], torch.where(too_far, at_low, slope)[left]
            labels = labels[left]
        return step.masked_fill(self.done | ~(start < 0), 0.0)

    def _slope(self, line: Line, step: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the slope at some step lengths, of all labels or of some."""
        parts = [self.rows, self.state.alpha, self.state.kappa, self.scores, line]
        rows, alpha, kappa, scores, line = take_labels(parts, labels)
        p = rows.dual(alpha, kappa, 1 - rows.signs * torch.addcmul(scores, line.moves, step.to(scores.dtype)[:, None]))
        # phi'(t) = w'z + t |z|^2 - sum_i c_i p_i(t) y_i (x_i'z + z_a) for the direction (z, z_a)
        return line.products + step * line.squares - total(p.mul_(rows.signs).mul_(rows.costs).mul_(line.moves))

    def _stop(self, close: Tensor) -> None:
        """Finish the labels that have reached the tolerance, and give up those that rounding keeps from it."""
        alpha, at = self.state.alpha, self.at
        alpha.copy_(at.p.where(close[:, None], alpha))
        self._finish(close)
        if alpha.dtype == torch.float32:
            rounding = self.eps * (at.primal if self.rows.quadratic else 4 * total(at.p * self.rows.costs))
            self._finish((self._gap() <= rounding) | (self.steps > PATIENCE), reached=False)


class NewtonSystem(NamedTuple):
    """Newton's equations of some labels for the weights, without the intercepts.

    Attributes
    ----------
    curvature : Tensor of shape (n_labels, n_rows)
        d.
    centre : Tensor of shape (n_labels, n_features)
        Mean of the rows with weights d, 0 without intercepts.
    """

    curvature: Tensor
    centre: Tensor

    def times(self, design: SparseDesign, p: Tensor) -> Tensor:
        """Return (I + (X - 1 m')' D (X - 1 m')) p."""
        z = design.raw_scores(p, slice(0, design.n_rows)).mul_(self.curvature)
        sums = design.backward(z)
        if design.fit_intercept:  # X'D z - m 1'D z, since X'D 1 = m 1'D 1
            return torch.addcmul(p, self.centre, sums[:, -1:], value=-1).add_(sums[:, :-1])
        return sums.add_(p)

    def solve(self, design: SparseDesign, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the solution of conjugate gradients, and which labels have reduced the residual enough.

        These drop out.
        """
        solution, solved = torch.zeros_like(right), torch.ones(len(right), dtype=torch.bool)
        labels, x, r, p, system = torch.arange(len(right)), torch.zeros_like(right), right, right.clone(), self
        # conjugate gradients, for all labels at once: M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for
        # solving linear systems", Journal of Research of the National Bureau of Standards 49, 1952.
        # :doi:`10.6028/jres.049.044`
        size = squares(r)
        goal = FORCING**2 * size
        for _ in range(MOST_PRODUCTS):
            live = size > goal
            if not live.any():
                break
            if float(live.double().mean()) <= 1 - DROP:
                solution[labels] = x
                keep = live.nonzero()[:, 0]
                labels, size, goal, live, *rest = take_labels([labels, size, goal, live, x, r, p, system], keep)
                x, r, p, system = rest
            q = system.times(design, p)
            # r'r / p'Ap
            step = (size / inner(p, q)).where(live, 0.0).to(p.dtype)[:, None]
            x.addcmul_(p, step)
            r = r.addcmul(q, step, value=-1)
            before, size = size, squares(r)
            # p <- r + (r'r of now / r'r before) p
            p.mul_((size / before).where(live, 0.0).to(p.dtype)[:, None]).add_(r)
        solution[labels], solved[labels] = x, size <= goal
        return solution, solved


def squares(a: Tensor) -> Tensor:
    """Return squared lengths, double (n_labels,)."""
    return inner(a, a)


def total(a: Tensor) -> Tensor:
    """Return sums over the rows, double (n_labels,)."""
    return a.sum(dim=1).double()
