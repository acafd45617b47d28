"""Exponential loss of boosting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._links import LogitLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Exponential(LabelwiseLoss):
    r"""Exponential loss, that of AdaBoost.

    .. math:: \ell(s, t) = t\,e^{-s} + (1 - t)\,e^{s}

    **Link**: :math:`\eta = \sigma(2 s)` with :math:`\sigma` the sigmoid.

    **Threshold**: natural and Bayes 0, Bayes-optimal for the Hamming loss.

    Use it on clean data: the loss of a wrong label grows exponentially with its distance from the threshold.

    Beyond scores of 88 in single precision (709 in double) it is infinite. It explains the link of `ZLPR`: let N be the
    sum of :math:`e^{s}` over absent labels and P the sum of :math:`e^{-s}` over present labels. This loss is N + P, and
    ZLPR is log(1 + N) + log(1 + P).

    See Also
    --------
    ZLPR : Loss of the same link, which grows linearly.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "Additive logistic regression: a statistical view of boosting",
       Annals of Statistics 28, 2000. :doi:`10.1214/aos/1016218223`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = Exponential()
    >>> loss(torch.zeros(1, 4), torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
    tensor(4.)
    >>> round(float(loss.link.link(0.9) / math.log(3)), 4)  # odds of 9: half the log-odds is log 3
    1.0
    """

    name: ClassVar[str] = "exponential"
    link: ClassVar[LogitLink] = LogitLink(slope=2.0)

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        return self.per_label_and_gradient(scores, targets)[0]

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        # scores of 0 where their factor is 0: 0 * inf is NaN
        present = targets * (-scores.masked_fill(targets == 0, 0)).exp()
        absent = (1 - targets) * scores.masked_fill(targets == 1, 0).exp()
        return present + absent, absent - present

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        return self.per_label(scores, targets)  # (exp(s))'' = exp(s)
