"""Binary cross-entropy on a shifted sigmoid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._functions import log_sigmoid
from sk_quadrant.losses._links import ShiftedLogitLink
from sk_quadrant.losses._validation import check_interval

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ShiftedSigmoidBCE(LabelwiseLoss):
    r"""Binary cross-entropy on the modified sigmoid :math:`1 / (c + e^{-s})`, to see where a threshold comes from.

    .. math:: \ell(s, t) = -t \log p - (1 - t) \log(1 - p), \quad p = \frac{1}{c + e^{-s}}

    **Link**: the modified sigmoid itself, with values in (0, 1/c). It estimates :math:`\min(\eta, 1/c)`: probabilities
    above 1/c cannot be expressed.

    **Threshold**: natural 0, where the modified sigmoid is 1/(1 + c): one third for c = 2, although the data have not
    changed. There is no Bayes threshold for c >= 2, since no score reaches a probability above 1/2.

    Use it to learn why the threshold of multi-label classification is 0.5: because the sigmoid is 0.5 at 0.

    Parameters
    ----------
    offset : float, default=2.0
        The constant c >= 1; 1 gives the sigmoid.

    Examples
    --------
    >>> loss = ShiftedSigmoidBCE(offset=2)
    >>> round(float(loss.link.inverse(loss.threshold)), 4)
    0.3333
    """

    name: ClassVar[str] = "shifted_sigmoid_bce"
    convex: ClassVar[bool] = False

    offset: float = 2.0

    def __post_init__(self) -> None:
        check_interval(self, "offset", 1, math.inf, brackets="[)")

    @property
    def link(self) -> ShiftedLogitLink:
        """Link of the shifted sigmoid."""
        return ShiftedLogitLink(offset=self.offset)

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row and label; see `LabelwiseLoss.per_label`."""
        shifted = scores + math.log(self.offset)  # c p = sigmoid(s + log c)
        present: Tensor = math.log(self.offset) - log_sigmoid(shifted)
        absent: Tensor = -(-shifted.sigmoid() / self.offset).log1p()
        return targets * present + (1 - targets) * absent
