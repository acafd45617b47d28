r"""Line search: step lengths that satisfy the weak Wolfe conditions, one for each group of labels.

Along a direction p from theta, with :math:`\phi(\alpha) = f(\theta + \alpha p)`, a step is accepted if

.. math:: \phi(\alpha) \le \phi(0) + c_1 \alpha \phi'(0), \qquad \phi'(\alpha) \ge c_2 \phi'(0).

The first asks for a decrease, the second that the slope has flattened, so that the curvature pair of the step is
positive. A bracket (low, high) is kept in which low satisfies the first condition and high does not; the next step is
the zero of the secant of the slopes, safeguarded by the bracket, and its middle once secants have not helped. This is
the bisection of [1]_ with interpolation, which terminates also where the loss has corners.

References
----------
.. [1] A. S. Lewis, M. L. Overton, "Nonsmooth optimization via quasi-Newton methods", Mathematical Programming 141,
   2013. :doi:`10.1007/s10107-012-0514-2`
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Evaluate: TypeAlias = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]

DECREASE, FLATNESS = 1e-4, 0.9  # c_1 and c_2
MAX_TRIALS = 30
MAX_SECANTS = 8  # trials after which a decrease is sufficient, and brackets are halved


class Line(NamedTuple):
    """A direction: the changes of scores along it, and its products with the weights and with itself."""

    moves: Tensor
    products: Tensor
    squares: Tensor


class Bracket:
    """Step lengths of a line search, one for each group, with an interval that contains a good one.

    Attributes
    ----------
    step : double Tensor of shape (n_groups,)
        The next step to try, initially 1.
    trials : int
        Number of steps tried.
    """

    def __init__(self, values: Tensor, slope: Tensor, eps: float) -> None:
        self.values, self.slope, self.noise = values, slope, 4 * eps * values.abs()
        self.step, self.low = torch.ones_like(slope), torch.zeros_like(slope)
        self.high = torch.full_like(slope, math.inf)
        self.trials = 0

    def update(self, pending: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
        """Return which of the pending groups need another step, given objective and slope at the present one."""
        self.trials += 1
        # the noise allows for rounding in values: near the optimum it exceeds the required decrease
        enough = values <= self.values + DECREASE * self.step * self.slope + self.noise
        flat = slopes >= FLATNESS * self.slope
        pending = pending & ~(enough & (flat | (self.trials > MAX_SECANTS)))
        if not pending.any():
            return pending
        self.low = self.step.where(pending & enough, self.low)
        self.high = self.step.where(pending & ~enough, self.high)
        # the zero of the line through (0, phi'(0)) and (step, phi'(step))
        # is not positive if the slope has become steeper: then only the bracket limits the step
        secant = self.step * self.slope / (self.slope - slopes)
        self.step = self._inside(secant.where(secant > 0, math.inf)).where(pending, self.step)
        return pending

    def _inside(self, step: Tensor) -> Tensor:
        """Move proposed steps into the bracket, away from its ends."""
        bounded = self.high.isfinite()
        width = (self.high - self.low).where(bounded, 0.0)
        middle = (self.low + self.high) / 2
        trusted = step.isfinite() & (self.trials <= MAX_SECANTS)  # secants alone may shrink the bracket too slowly
        # a tenth of the bracket away from its ends, so that each trial shortens it
        closed = torch.clamp(step, self.low + 0.1 * width, self.high - 0.1 * width).where(trusted, middle)
        # without an upper end: extrapolation, within limits
        opened = torch.clamp(step, 1.5 * self.low, 10 * self.low)
        return closed.where(bounded, opened)


def search(bracket: Bracket, pending: Tensor, evaluate: Evaluate, *, per_label: bool) -> Tensor:
    """Search steps of the pending groups, and return which found none.

    All groups are evaluated at the first step; later, those that need other steps are evaluated without the rest.

    Parameters
    ----------
    bracket : Bracket
    pending : bool Tensor of shape (n_groups,)
    evaluate : callable
        ``evaluate(step, labels)`` returns objective and slope of all groups, given the steps of all and the labels that
        have moved, None for all labels.
    per_label : bool
        Whether each label is a group.
    """
    values = bracket.values
    while pending.any() and bracket.trials < MAX_TRIALS:
        labels = pending.nonzero()[:, 0] if per_label and bracket.trials else None
        values, slopes = evaluate(bracket.step.where(pending, 0.0), labels)
        pending = bracket.update(pending, values, slopes)
    if pending.any() and values[pending].isnan().any():
        raise FloatingPointError("the loss became NaN, also after the shortest steps")
    return pending


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return inner products, double (n_labels,)."""
    return (a * b).sum(dim=1).double()
