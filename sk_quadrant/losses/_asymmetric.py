"""Asymmetric loss: focal loss with separate focus for present and absent labels, and a margin for absent ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MixtureLoss, reuse
from sk_quadrant.losses._links import AsymmetricLink, power, softplus

if TYPE_CHECKING:
    from torch import Tensor


TINY = 1e-30  # smallest p_m, above 0 in every precision: p_m is a divisor


@dataclass(frozen=True)
class Asymmetric(MixtureLoss):
    r"""Asymmetric loss: focal loss with separate focus for present and absent labels; easy absent ones are ignored.

    .. math::
        \ell(s, t) = -t\,q^{\gamma_+} \log p - (1 - t)\,p_m^{\gamma_-} \log(1 - p_m), \quad
        p = \sigma(s),\; q = 1 - p,\; p_m = \max(p - m, 0)

    with :math:`\sigma` the sigmoid.

    **Link**: :math:`\eta = B / (A + B)`, with the absolute derivatives A and B of a present and of an absent label,

    .. math::
        A = q^{\gamma_+} (q - \gamma_+\,p \log p), \quad
        B = p\,q \Bigl[\frac{p_m^{\gamma_-}}{1 - p_m} - \gamma_-\,p_m^{\gamma_- - 1} \log(1 - p_m)\Bigr]

    With a margin m, every score below :math:`\mathrm{logit}\,m` has probability zero. The plain sigmoid is wrong here:
    for sparse labels it is much too high.

    **Threshold**: natural 0, a probability of only 0.14729 with the default parameters; Bayes 0.56865. The natural
    threshold finds more of the rare labels (F1), the Bayes threshold makes fewer errors (Hamming loss).

    Use it when few of many labels are present and misses cost more than false alarms.

    Other names: ASL, ``AsymmetricLoss``, ``timm.loss.AsymmetricLossMultiLabel``.

    Parameters
    ----------
    gamma_pos : float, default=1.0
        Focus on hard present labels, >= 0. At 0, with a margin, probabilities have a supremum below 1,
        `AsymmetricLink.high`.
    gamma_neg : float, default=4.0
        Focus on hard absent labels, >= 0.
    clip : float, default=0.05
        The margin m in [0, 1).

    See Also
    --------
    Focal : The same focus for present and absent labels, without a margin.
    Hill : Loss for labels that are missing from the annotations.

    Notes
    -----
    By default the reference code treats the factors in front of the logarithms as constants in the gradient. The result
    is not the gradient of any loss, and a score of zero then has probability 0.069. Here the gradient is exact.

    References
    ----------
    .. [1] T. Ridnik, E. Ben-Baruch, N. Zamir, A. Noy, I. Friedman, M. Protter, L. Zelnik-Manor, "Asymmetric loss for
       multi-label classification", ICCV 2021. :arxiv:`2009.14119`

    Examples
    --------
    >>> import torch
    >>> loss = Asymmetric()
    >>> loss(torch.tensor([[-3.0]]), torch.tensor([[0.0]]))  # sigmoid(-3) = 0.047 is below the margin
    tensor(0.)
    >>> round(float(loss.link.inverse(loss.threshold)), 5)
    0.14729
    """

    name: ClassVar[str] = "asymmetric"
    intervals: ClassVar[Mapping[str, str]] = {"gamma_pos": "[0, inf)", "gamma_neg": "[0, inf)", "clip": "[0, 1)"}

    gamma_pos: float = 1.0
    gamma_neg: float = 4.0
    clip: float = 0.05

    @property
    def convex(self) -> bool:
        """Whether the loss is convex: only with the parameters of cross-entropy."""
        return self.gamma_pos == self.gamma_neg == self.clip == 0

    @property
    def link(self) -> AsymmetricLink:
        """Link of the asymmetric loss."""
        return AsymmetricLink(gamma_pos=self.gamma_pos, gamma_neg=self.gamma_neg, clip=self.clip)

    def present_and_absent(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from sk_quadrant.losses._focusing import focal_term

        opposite = -scores
        p, q = scores.sigmoid(), opposite.sigmoid()
        present = focal_term(p, q, softplus(opposite), self.gamma_pos, sign=-1)
        if self.clip:
            return *present, *self._absent(p, q)
        return *present, *focal_term(q, p, softplus(scores), self.gamma_neg, sign=1)

    def curvatures(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        from sk_quadrant.losses._focusing import focal_curvature

        present = focal_curvature(scores, self.gamma_pos)
        return present, self._absent_curvature(scores) if self.clip else focal_curvature(-scores, self.gamma_neg)

    def _absent(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of an absent label and its derivative, with a margin."""
        import torch

        gamma = self.gamma_neg
        excess, rest, surprise = self._beyond_margin(p, q, smallest=0 if gamma >= 1 else TINY)
        # p_m^(gamma - 1) [gamma L + p_m / (1 - p_m)] with L = -log(1 - p_m)
        pull = power(excess, gamma - 1)
        bracket = torch.add(excess / rest, surprise, alpha=gamma)
        slope = torch.mul(bracket, pull, out=reuse(bracket))
        slope = torch.mul(torch.mul(slope, p, out=reuse(slope)), q, out=reuse(slope))
        value = torch.mul(torch.mul(surprise, pull, out=reuse(surprise)), excess, out=reuse(surprise))
        # below the margin the derivative is 0, which is not what its formula gives for gamma < 1
        return value, slope if gamma >= 1 else slope.masked_fill(p <= self.clip, 0)

    def _absent_curvature(self, scores: Tensor) -> Tensor:
        """Return the second derivative of the loss of an absent label, 0 where it is negative."""
        p, q = scores.sigmoid(), (-scores).sigmoid()
        gamma = self.gamma_neg
        excess, rest, surprise = self._beyond_margin(p, q, smallest=TINY)
        # V = p_m^gamma L with L = -log(1 - p_m), and its derivatives with respect to p,
        # gamma p_m^(gamma - 1) L + p_m^gamma / (1 - p_m),
        # gamma (gamma - 1) p_m^(gamma - 2) L + 2 gamma p_m^(gamma - 1) / (1 - p_m) + p_m^gamma / (1 - p_m)^2
        focus, pull = power(excess, gamma), gamma * power(excess, gamma - 1)
        first = pull * surprise + focus / rest
        # L / p_m stays bounded where p_m^(gamma - 2) does not
        second = (gamma - 1) * pull * (surprise / excess) + 2 * pull / rest + focus / rest**2
        # dp/ds = p q, so that d2V/ds2 = p q [(q - p) V' + p q V'']
        curvature: Tensor = p * q * ((q - p) * first + p * q * second)
        return curvature.clamp(min=0).masked_fill(p <= self.clip, 0)

    def _beyond_margin(self, p: Tensor, q: Tensor, *, smallest: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return p_m, 1 - p_m and -log(1 - p_m)."""
        # 1 - (p - m) = q + m, without cancellation at large scores
        rest = (q + self.clip).clamp(max=1)
        return (p - self.clip).clamp(min=smallest), rest, -rest.log()
