"""Hinge loss of linear support vector machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import Loss
from sk_quadrant.losses._margin import MarginLoss

if TYPE_CHECKING:
    from torch import Tensor

# In the end the hinge objective exceeds its minimum by 0.01 to 0.3 times the last width, relatively (on real data).
WIDTHS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Hinge(MarginLoss):
    r"""Hinge loss, that of the linear support vector machine.

    .. math:: \ell(s, t) = t \max(0, 1 - s) + (1 - t) \max(0, 1 + s)

    **Link**: none, so there is no ``predict_proba``. The expected loss is minimal at -1 below a probability of 1/2 and
    at 1 above, so a score says on which side of 1/2 the probability is and not how far.

    **Threshold**: natural 0, which is the Bayes-optimal cut for the Hamming loss.

    Use it to compare with ``LinearSVC(loss="hinge")``, or where only decisions matter and outliers should not. With
    probabilities in mind use `ModifiedHuber`, or calibrate the scores with `CalibratedMultiLabelClassifierCV`.

    References
    ----------
    .. [1] C. Cortes, V. Vapnik, "Support-vector networks", Machine Learning 20, 1995. :doi:`10.1007/BF00994018`

    Examples
    --------
    >>> import torch
    >>> Hinge()(torch.tensor([[0.25]]), torch.tensor([[1.0]]))
    tensor(0.7500)
    >>> Hinge().link is None
    True
    """

    name: ClassVar[str] = "hinge"

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hinge and a subgradient, 0 in the corner."""
        values = (1 - margins).relu()
        return values, -(values > 0).to(values.dtype)

    def margin_curvature(self, margins: Tensor) -> Tensor:
        """Return the squared derivative; the second one is zero almost everywhere."""
        return (margins < 1).to(margins.dtype)

    def continuation(self) -> Sequence[Loss]:
        """Return ever narrower smoothed hinges: L-BFGS gets stuck in the corner of the hinge itself."""
        return tuple(_SmoothedHinge(width) for width in WIDTHS)


@dataclass(frozen=True)
class _SmoothedHinge(MarginLoss):
    """Hinge whose corner is a parabola for margins in [1 - width, 1 + width]; it is higher by width / 4 at most.

    References
    ----------
    .. [1] O. Chapelle, "Training a support vector machine in the primal", Neural Computation 19, 2007.
       :doi:`10.1162/neco.2007.19.5.1155`
    """

    name: ClassVar[str] = "hinge"

    width: float = 1.0

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smoothed hinge and its derivative."""
        shortfall = 1 - margins
        inside = shortfall.clamp(-self.width, self.width)
        slopes = (inside + self.width) / (-2 * self.width)
        return slopes * slopes * self.width + (shortfall - inside).relu(), slopes

    def margin_curvature(self, margins: Tensor) -> Tensor:
        """Return the second derivative."""
        return ((1 - margins).abs() <= self.width).to(margins.dtype) / (2 * self.width)
