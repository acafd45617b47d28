"""Hinge loss of linear support vector machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import Loss, MarginLoss

if TYPE_CHECKING:
    from torch import Tensor

# The relative excess of the final hinge objective over its minimum is 0.01 to 0.3 times the last width (on real data).
WIDTHS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Hinge(MarginLoss):
    r"""Hinge loss, that of the linear support vector machine.

    .. math:: \ell(s, t) = t \max(0, 1 - s) + (1 - t) \max(0, 1 + s)

    **Link**: none, so there is no ``predict_proba``. The expected loss is minimal at -1 for probabilities below 1/2 and
    at 1 above: a score shows the side of 1/2, not the probability.

    **Threshold**: natural 0, Bayes-optimal for the Hamming loss.

    Use it when only decisions matter and some labels are wrong, as ``LinearSVC(loss="hinge")``. For probabilities use
    `ModifiedHuber`, or calibrate the scores with `CalibratedMultiLabelClassifierCV`.

    Other names: L1 loss of support vector machines, ``SGDClassifier(loss="hinge")``.

    See Also
    --------
    SquaredHinge : Smooth, with probabilities.
    ModifiedHuber : Smooth, with probabilities and a bounded gradient.

    References
    ----------
    .. [1] Corinna Cortes, V. Vapnik, "Support-vector networks", Machine Learning 20, 1995. :doi:`10.1007/BF00994018`

    Examples
    --------
    >>> import torch
    >>> Hinge()(torch.tensor([[0.25]]), torch.tensor([[1.0]]))
    tensor(0.7500)
    >>> Hinge().link is None
    True
    """

    name: ClassVar[str] = "hinge"
    dual: ClassVar[tuple[float, float] | None] = (1.0, 0.0)

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        values = (1 - margins).relu()
        return values, -values.sign()  # a subgradient, 0 at the kink

    def continuation(self) -> Sequence[Loss]:
        # L-BFGS does not converge at the kink of the hinge
        return tuple(_SmoothedHinge(width) for width in WIDTHS)


@dataclass(frozen=True)
class _SmoothedHinge(MarginLoss):
    """Hinge with a parabola for margins in [1 - width, 1 + width] in place of the kink, at most width / 4 above it.

    References
    ----------
    .. [1] O. Chapelle, "Training a support vector machine in the primal", Neural Computation 19, 2007.
       :doi:`10.1162/neco.2007.19.5.1155`
    """

    name: ClassVar[str] = "hinge"

    width: float = 1.0

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        shortfall = 1 - margins
        # (1 - m + width)^2 / (4 width) in the parabola, 1 - m for smaller margins
        inside = shortfall.clamp(-self.width, self.width)
        slopes = (inside + self.width) / (-2 * self.width)
        return slopes * slopes * self.width + (shortfall - inside).relu(), slopes

    def margin_curvature(self, margins: Tensor) -> Tensor:
        return ((1 - margins).abs() <= self.width).to(margins.dtype) / (2 * self.width)
