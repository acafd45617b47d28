"""Poly-1 loss: cross-entropy with another first polynomial coefficient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MarginLoss
from sk_quadrant.losses._links import Poly1Link, softplus

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Poly1(MarginLoss):
    r"""Poly-1 loss: cross-entropy plus :math:`\varepsilon` times the probability of being wrong.

    .. math:: \ell(s, t) = t\,\phi(s) + (1 - t)\,\phi(-s), \quad \phi(z) = -\log \sigma(z) + \varepsilon\,\sigma(-z)

    with :math:`\sigma` the sigmoid. Cross-entropy is the series :math:`\sum_k \sigma(-z)^k / k`; this loss changes its
    first coefficient to :math:`1 + \varepsilon`. It is convex for :math:`|\varepsilon| \le 1`.

    **Link**: :math:`\mathrm{logit}\,\eta = s + \log\frac{1 + \varepsilon\,\sigma(-s)}{1 + \varepsilon\,\sigma(s)}`.
    The plain sigmoid is over-confident for :math:`\varepsilon > 0`.

    **Threshold**: natural and Bayes 0, Bayes-optimal for the Hamming loss.

    Use it to tune one parameter around `BCEWithLogits`: :math:`\varepsilon > 0` gives more weight to labels near the
    threshold, :math:`\varepsilon < 0` less.

    Other names: PolyLoss.

    Parameters
    ----------
    epsilon : float, default=1.0
        The coefficient :math:`\varepsilon \ge -1`; 0 gives `BCEWithLogits`. Below -1 the loss would be
        smaller for wrong scores.

    See Also
    --------
    BCEWithLogits : The loss for epsilon = 0.
    Focal : Another change of cross-entropy with one parameter.

    References
    ----------
    .. [1] Z. Leng, M. Tan, C. Liu, E. D. Cubuk, X. Shi, S. Cheng, D. Anguelov, "PolyLoss: a polynomial expansion
       perspective of classification loss functions", ICLR 2022. :arxiv:`2204.12511`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = Poly1(epsilon=2.0)
    >>> round(float(loss(torch.zeros(1, 1), torch.ones(1, 1))) - math.log(2), 4)  # epsilon / 2
    1.0
    >>> loss.convex
    False
    """

    name: ClassVar[str] = "poly1"
    intervals: ClassVar[Mapping[str, str]] = {"epsilon": "[-1, inf)"}

    epsilon: float = 1.0

    @property
    def convex(self) -> bool:
        """Whether the loss is convex: for epsilon <= 1."""
        return self.epsilon <= 1

    @property
    def link(self) -> Poly1Link:
        """Link of the Poly-1 loss."""
        return Poly1Link(epsilon=self.epsilon)

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        # -log r + eps w has the derivative -w - eps r w, since r' = r w = -w'
        wrong, right = (-margins).sigmoid(), margins.sigmoid()
        values: Tensor = self.epsilon * wrong + softplus(-margins)
        return values, -wrong * (1 + self.epsilon * right)

    def margin_curvature(self, margins: Tensor) -> Tensor:
        right = margins.sigmoid()
        # r w (1 + eps (r - w))
        return (right * (1 - right) * (1 + self.epsilon * (2 * right - 1))).clamp(min=0)
