"""Hill loss, for labels that are absent because nobody annotated them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MixtureLoss
from sk_quadrant.losses._links import HillLink, softplus

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Hill(MixtureLoss):
    r"""Hill loss: absent labels of large scores count less, since they may be present ones that nobody annotated.

    .. math::
        \ell(s, t) = -t\,(1 - p_m)^\gamma \log p_m + (1 - t) (\lambda - p)\,p^2, \quad
        p = \sigma(s),\; p_m = \sigma(s - m)

    with :math:`\sigma` the sigmoid. The derivative for an absent label, :math:`p^2 q (2 \lambda - 3 p)` with
    :math:`q = 1 - p`, has the shape of a hill: it falls again for large scores.

    **Link**: :math:`\eta = B / (A + B)`, with the absolute derivatives A and B of a present and of an absent label,

    .. math:: A = (1 - p_m)^\gamma (1 - p_m - \gamma\,p_m \log p_m), \quad B = p^2 q (2 \lambda - 3 p)

    The probability is that of being annotated.

    **Threshold**: natural 0, a probability of 0.19618 with the default parameters; Bayes 2.70124.

    Use it when many present labels are missing from the annotations.

    Parameters
    ----------
    margin : float, default=1.0
        The margin m in [0, 1.5] of present labels.
    gamma : float, default=2.0
        Focus on hard present labels, >= 2.
    lambda_ : float, default=1.5
        The constant :math:`\lambda \ge 1.5`; at 1.5 the derivative for an absent label falls to 0 for large scores.

    See Also
    --------
    NegativeTolerant : Convex loss with less weight on absent labels.
    Asymmetric : Absent labels of low scores are ignored.

    Notes
    -----
    The ranges of the parameters are those in which the expected loss has one minimum, so that there is a link.

    References
    ----------
    .. [1] Y. Zhang, Y. Cheng, X. Huang, F. Wen, R. Feng, Y. Li, Y. Guo, "Simple and robust loss design for multi-label
       learning with missing labels", 2021. :arxiv:`2112.07368`

    Examples
    --------
    >>> import torch
    >>> loss = Hill()
    >>> loss(torch.zeros(1, 1), torch.zeros(1, 1))  # (1.5 - 0.5) / 4
    tensor(0.2500)
    >>> round(float(loss.link.inverse(loss.threshold)), 5)
    0.19618
    """

    name: ClassVar[str] = "hill"
    convex: ClassVar[bool] = False
    intervals: ClassVar[Mapping[str, str]] = {"margin": "[0, 1.5]", "gamma": "[2, inf)", "lambda_": "[1.5, inf)"}

    margin: float = 1.0
    gamma: float = 2.0
    lambda_: float = 1.5

    @property
    def link(self) -> HillLink:
        """Link of the Hill loss."""
        return HillLink(margin=self.margin, gamma=self.gamma, lambda_=self.lambda_)

    def present_and_absent(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from sk_quadrant.losses._focusing import focal_term

        shifted = scores - self.margin
        present = focal_term(shifted.sigmoid(), (-shifted).sigmoid(), softplus(-shifted), self.gamma, sign=-1)
        p, q = scores.sigmoid(), (-scores).sigmoid()
        # (lambda - p) p^2, and p^2 q (2 lambda - 3 p), whose last factor would cancel at large scores for lambda = 1.5
        square = p * p
        return *present, (self.lambda_ - 1 + q) * square, square * q * (2 * self.lambda_ - 3 + 3 * q)

    def curvatures(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        from sk_quadrant.losses._focusing import focal_curvature

        p, q, rest = scores.sigmoid(), (-scores).sigmoid(), 2 * self.lambda_ - 3
        # d/ds of p^2 q (rest + 3 q), with dp/ds = p q = -dq/ds
        absent = p * p * q * (rest * (2 * q - p) + 6 * q * (q - p))
        return focal_curvature(scores - self.margin, self.gamma), absent.clamp(min=0)
