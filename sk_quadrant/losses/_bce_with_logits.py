"""Binary cross-entropy of logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._functions import softplus
from sk_quadrant.losses._links import LogitLink
from sk_quadrant.losses._validation import check_positive

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BCEWithLogits(LabelwiseLoss):
    r"""Binary cross-entropy of logits, the loss of logistic regression.

    .. math:: \ell(s, t) = -w\,t \log \sigma(s) - (1 - t) \log \sigma(-s)

    with :math:`\sigma` the sigmoid and w the weight of positives.

    **Link**: :math:`\eta = \sigma(s - \log w)`. The weight raises every score by :math:`\log w`; the link subtracts it
    again, so that probabilities stay correct.

    **Threshold**: natural 0, a probability of :math:`1 / (1 + w)`; Bayes :math:`\log w`. For w = 1 they are equal and
    optimal for the Hamming loss.

    Use it by default.

    Parameters
    ----------
    pos_weight : float, default=1.0
        Weight w > 0 of the positive term, as in PyTorch. Above 1 the natural threshold finds more labels.

    References
    ----------
    .. [1] D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20,
       1958. :doi:`10.1111/j.2517-6161.1958.tb00292.x`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = BCEWithLogits(pos_weight=3.0)
    >>> loss(torch.zeros(1, 1), torch.ones(1, 1)) / math.log(2)
    tensor(3.)
    >>> float(loss.link.inverse(loss.threshold))  # 1 / (1 + 3)
    0.25
    """

    name: ClassVar[str] = "bce_with_logits"

    pos_weight: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, "pos_weight")

    @property
    def link(self) -> LogitLink:
        """Logistic link around log(pos_weight)."""
        return LogitLink(center=math.log(self.pos_weight))

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row and label; see `LabelwiseLoss.per_label`."""
        loss: Tensor = self.pos_weight * targets * softplus(-scores) + (1 - targets) * softplus(scores)
        return loss

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and its derivative in closed form."""
        if self.pos_weight == 1:
            values = scores.relu().addcmul_(targets, scores, value=-1).add_(softplus(scores.abs().neg_()))
            return values, scores.sigmoid().sub_(targets)
        probabilities = scores.sigmoid()
        gradient = (1 - targets) * probabilities - self.pos_weight * targets * (1 - probabilities)
        return self.per_label(scores, targets), gradient

    def per_label_gradient(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative alone, which needs no logarithm."""
        if self.pos_weight == 1:
            return scores.sigmoid().sub_(targets)
        return self.per_label_and_gradient(scores, targets)[1]

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the second derivative."""
        probabilities = scores.sigmoid()
        variance = probabilities.addcmul(probabilities, probabilities, value=-1)
        return variance if self.pos_weight == 1 else (1 + (self.pos_weight - 1) * targets) * variance
