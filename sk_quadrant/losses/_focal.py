"""Focal loss: cross-entropy with less weight on well classified labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._functions import power, softplus
from sk_quadrant.losses._links import FocalLink
from sk_quadrant.losses._margin import MarginLoss
from sk_quadrant.losses._validation import check_interval

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Focal(MarginLoss):
    r"""Focal loss: cross-entropy with less weight on well classified labels.

    .. math::
        \ell(s, t) = \alpha\,t\,\phi(s) + (1 - \alpha) (1 - t)\,\phi(-s), \quad
        \phi(z) = -\sigma(-z)^\gamma \log \sigma(z)

    with :math:`\sigma` the sigmoid; without alpha both terms have weight 1.

    **Link**:

    .. math::
        \mathrm{logit}\,\eta = (\gamma + 1) s + \log\frac{1 + \gamma h(s)}{1 + \gamma h(-s)} - \mathrm{logit}\,\alpha,
        \quad h(s) = e^{-s} \log(1 + e^s)

    Scores are closer to zero than those of `BCEWithLogits`, so the plain sigmoid is under-confident [2]_.

    **Threshold**: natural 0. Bayes 0 without alpha; -0.41037 for :math:`\alpha = 1/4`.

    Use it when most labels are easy, as with many rare ones, and the model is flexible. A linear model gains little.

    Parameters
    ----------
    gamma : float, default=2.0
        Focus on hard labels, >= 0; 0 gives `BCEWithLogits`.
    alpha : float, default=None
        Weight of present labels in (0, 1); absent ones have 1 - alpha. None gives both weight 1.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal loss for dense object detection", ICCV 2017.
       :doi:`10.1109/ICCV.2017.324`
    .. [2] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul, M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021. :arxiv:`2011.09172`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = Focal(gamma=2.0)
    >>> round(float(loss(torch.zeros(1, 1), torch.ones(1, 1)) / math.log(2)), 4)  # (1/2) ** gamma
    0.25
    >>> round(float(Focal(alpha=0.25).link.inverse(0.0)), 4)
    0.75
    """

    name: ClassVar[str] = "focal"

    gamma: float = 2.0
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_interval(self, "gamma", 0, math.inf, brackets="[)")
        if self.alpha is not None:
            check_interval(self, "alpha", 0, 1, brackets="()")

    @property
    def convex(self) -> bool:
        """Whether the loss is convex: only for gamma = 0."""
        return self.gamma == 0

    @property
    def link(self) -> FocalLink:
        """Link of the focal loss."""
        return FocalLink(gamma=self.gamma, alpha=0.5 if self.alpha is None else self.alpha)

    @property
    def class_weights(self) -> tuple[float, float]:
        """Weights of absent and of present labels."""
        return (1.0, 1.0) if self.alpha is None else (1 - self.alpha, self.alpha)

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and its derivative."""
        wrong, right, surprise = (-margins).sigmoid(), margins.sigmoid(), softplus(-margins)
        focus = power(wrong, self.gamma)
        return focus * surprise, -focus * (self.gamma * right * surprise + wrong)

    def margin_curvature(self, margins: Tensor) -> Tensor:
        """Return the second derivative, 0 where it is negative."""
        wrong, right, surprise = (-margins).sigmoid(), margins.sigmoid(), softplus(-margins)
        # right * surprise is small where surprise is large, and bounds the product with gamma
        bend = right * wrong * (1 + 2 * self.gamma) + self.gamma * (right * surprise) * (self.gamma * right - wrong)
        curvature: Tensor = (power(wrong, self.gamma) * bend).clamp(min=0)
        return curvature
