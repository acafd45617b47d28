"""Modified Huber loss: a squared hinge that grows linearly for badly wrong scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MarginLoss
from sk_quadrant.losses._links import ClippedLinearLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModifiedHuber(MarginLoss):
    r"""Modified Huber loss, a squared hinge that grows linearly for badly wrong scores.

    .. math::
        \ell(s, t) = t\,\phi(s) + (1 - t)\,\phi(-s), \quad
        \phi(z) = \begin{cases} \max(0, 1 - z)^2 & z \ge -1 \\ -4z & z < -1 \end{cases}

    **Link**: :math:`\eta = \mathrm{clip}((s + 1) / 2, 0, 1)`, as for the squared hinge.

    **Threshold**: natural and Bayes 0, Bayes-optimal for the Hamming loss.

    Use it when some labels are wrong: the gradient of a wrong label is bounded. Unlike `Hinge` it has probabilities.

    Other names: ``SGDClassifier(loss="modified_huber")``.

    See Also
    --------
    SquaredHinge : The same near the threshold, with an unbounded gradient.
    Hinge : The hinge itself, without probabilities.

    References
    ----------
    .. [1] T. Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms",
       ICML 2004. :doi:`10.1145/1015330.1015332`

    Examples
    --------
    >>> import torch
    >>> loss = ModifiedHuber()
    >>> loss.per_label(torch.tensor([0.5, -0.5, -3.0]), torch.ones(3))
    tensor([ 0.2500,  2.2500, 12.0000])
    >>> float(loss.link.inverse(0.5))
    0.75
    """

    name: ClassVar[str] = "modified_huber"
    dual: ClassVar[tuple[float, float] | None] = (4.0, 0.5)
    link: ClassVar[ClippedLinearLink] = ClippedLinearLink()

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        shortfall = (1 - margins).relu()
        # x^2 up to x = 1 - m = 2, then its tangent 4 x - 4 = -4 m
        bounded = shortfall.clamp(max=2)
        return bounded * (2 * shortfall - bounded), -2 * bounded

    def margin_curvature(self, margins: Tensor) -> Tensor:
        return 2 * (margins.abs() < 1).to(margins.dtype)
