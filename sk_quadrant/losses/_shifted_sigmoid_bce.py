"""Binary cross-entropy on a shifted sigmoid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._links import ShiftedLogitLink, softplus

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ShiftedSigmoidBCE(LabelwiseLoss):
    r"""Binary cross-entropy on the shifted sigmoid :math:`1 / (c + e^{-s})`, to see that the loss sets the threshold.

    .. math:: \ell(s, t) = -t \log p - (1 - t) \log(1 - p), \quad p = \frac{1}{c + e^{-s}}

    **Link**: the shifted sigmoid itself, with values in (0, 1/c). It estimates :math:`\min(\eta, 1/c)`: no score has a
    probability of 1/c or more.

    **Threshold**: natural 0, where the shifted sigmoid is 1/(1 + c): one third for c = 2, on the same data. There is no
    Bayes threshold for c >= 2, since no score has a probability above 1/2.

    Use it to learn why 0.5 is the usual threshold: the sigmoid is 0.5 at a score of 0.

    Parameters
    ----------
    offset : float, default=2.0
        The constant c >= 1; 1 gives the sigmoid.

    See Also
    --------
    SigmoidBCE : The loss for an offset of 1.
    BCEWithLogits : The loss to use in practice.

    References
    ----------
    .. [1] PyTorch documentation of ``torch.nn.BCELoss``, which takes the values of the shifted sigmoid.

    Examples
    --------
    >>> loss = ShiftedSigmoidBCE(offset=2)
    >>> round(float(loss.link.inverse(loss.threshold)), 4)
    0.3333
    """

    name: ClassVar[str] = "shifted_sigmoid_bce"
    intervals: ClassVar[Mapping[str, str]] = {"offset": "[1, inf)"}

    offset: float = 2.0

    @property
    def convex(self) -> bool:
        """Whether the loss is convex: only for the sigmoid itself."""
        return self.offset == 1

    @property
    def link(self) -> ShiftedLogitLink:
        """Link of the shifted sigmoid."""
        return ShiftedLogitLink(offset=self.offset)

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        return self.per_label_and_gradient(scores, targets)[0]

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        log_offset = math.log(self.offset)
        shifted = scores + log_offset  # c p = sigmoid(s + log c) =: a
        a, log_rest = shifted.sigmoid(), -softplus(shifted)  # log(1 - a)
        p, log_q = a / self.offset, self._add_offset(log_rest) - log_offset  # q = 1 - p = (1 - a + c - 1) / c
        present = log_offset + softplus(-shifted)
        absent = (-log_q).where(p >= 0.5, -(-p.clamp(max=0.5)).log1p())  # a small p is lost in log_q
        # (-log p)' = -(1 - a), and (-log q)' = p' / q = p (1 - a) / q
        rise, fall = -(-shifted).sigmoid(), p * (log_rest - log_q).exp()
        return targets * present + (1 - targets) * absent, targets * rise + (1 - targets) * fall

    def _add_offset(self, log_rest: Tensor) -> Tensor:
        """Return log(exp(log_rest) + c - 1)."""
        return log_rest if self.offset == 1 else log_rest.logaddexp(log_rest.new_tensor(math.log(self.offset - 1)))
