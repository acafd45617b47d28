"""Zero-bounded log-sum-exp and pairwise rank-based loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import Loss
from sk_quadrant.losses._functions import log_sigmoid
from sk_quadrant.losses._links import LogitLink
from sk_quadrant.losses._validation import check_finite, check_positive

if TYPE_CHECKING:
    from torch import Tensor

ABSENT = -1e30  # stands for log(0): finite, so that no infinity meets a zero in backward


@dataclass(frozen=True)
class ZLPR(Loss):
    r"""Zero-bounded log-sum-exp and pairwise rank-based loss, for hard and soft targets.

    .. math::
        \ell(s, t) = \frac{1}{\tau} \log\Bigl(e^b + \sum_j (1 - t_j) e^{u_j}\Bigr)
                   + \frac{1}{\tau} \log\Bigl(e^b + \sum_j t_j e^{-u_j}\Bigr), \quad u_j = \tau (s_j - s_0)

    It ranks every present label above the threshold :math:`s_0` and every absent label below, over the whole label set
    of a row at once.

    **Link**: :math:`\eta = \sigma(2 \tau (s - s_0))`. Exact when the targets are probabilities (soft targets), for
    every temperature, threshold and bound. For 0/1 targets no link of one score exists; this one is close when there
    are many independent labels or the bound is large, and `CalibratedMultiLabelClassifierCV` gives probabilities
    otherwise.

    **Threshold**: natural :math:`s_0`, a cut for predicting the set; it is Bayes-optimal for soft targets.

    Use it when labels exclude each other, when sets of a few labels among many are to be ranked first, or with soft
    targets.

    Parameters
    ----------
    temperature : float, default=1.0
        Scale :math:`\tau > 0` of the scores.
    threshold : float, default=0.0
        The score :math:`s_0` that separates present from absent labels.
    bound : float, default=0.0
        The exponent b. As it grows the loss, times :math:`e^b`, becomes the exponential loss, whose link is exact for
        0/1 targets as well.

    References
    ----------
    .. [1] J. Su, M. Zhu, A. Murtadha, S. Pan, B. Wen, Y. Liu, "ZLPR: a novel loss for multi-label classification",
       2022. :arxiv:`2208.02955`
    .. [2] J. Su, "Soft label version of the multi-label softmax cross-entropy", 2022. https://kexue.fm/archives/9064

    Examples
    --------
    >>> import torch
    >>> loss = ZLPR()
    >>> value = loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    >>> round(float(value.exp()), 4)  # log(1 + 1) + log(1 + 1)
    4.0
    """

    name: ClassVar[str] = "zlpr"

    temperature: float = 1.0
    threshold: float = 0.0
    bound: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_finite(self, "threshold")
        check_finite(self, "bound")

    @property
    def link(self) -> LogitLink:
        """Logistic link of slope 2 temperature around the threshold."""
        return LogitLink(slope=2 * self.temperature, center=self.threshold)

    def per_sample(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each row; weights multiply the terms of the two sums. See `Loss.per_sample`."""
        present, absent = self._terms(scores, targets, mask, weight)
        return (_bounded_logsumexp(present, self.bound) + _bounded_logsumexp(absent, self.bound)) / self.temperature

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row and its derivative in closed form; see `Loss.values_and_gradient`."""
        present, absent = self._terms(scores, targets, mask, weight)
        values = (_bounded_logsumexp(present, self.bound) + _bounded_logsumexp(absent, self.bound)) / self.temperature
        return values[:, None], _shares(absent, self.bound) - _shares(present, self.bound)

    def curvature(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the second derivative with respect to each score; see `Loss.curvature`."""
        present, absent = (_shares(terms, self.bound) for terms in self._terms(scores, targets, mask, weight))
        return self.temperature * (present * (1 - present) + absent * (1 - absent))

    def _terms(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the exponents in the two sums: of the labels as present, of the labels as absent."""
        log_present, log_absent = self._log_shares(targets, mask, weight)
        u = self.temperature * (scores - self.threshold)
        return _where_finite(log_present, -u), _where_finite(log_absent, u)

    def _log_shares(self, targets: Tensor, mask: Tensor | None, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log(t) and log(1 - t) with the weights in them, `ABSENT` where they are minus infinity."""
        one, zero = targets == 1, targets == 0
        inside = targets.masked_fill(one | zero, 0.5)
        log_present = inside.log().masked_fill(one, 0).masked_fill(zero, ABSENT)
        log_absent = (-inside).log1p().masked_fill(zero, 0).masked_fill(one, ABSENT)
        if weight is not None:
            log_weight = weight.masked_fill(weight == 0, 1).log().masked_fill(weight == 0, ABSENT)
            log_present, log_absent = log_present + log_weight, log_absent + log_weight
        if mask is not None:
            log_present, log_absent = (
                log_present.masked_fill(~mask, ABSENT),
                log_absent.masked_fill(~mask, ABSENT),
            )
        return log_present, log_absent


def _where_finite(log_share: Tensor, u: Tensor) -> Tensor:
    """Return log_share + u, `ABSENT` where the share is nothing or the score minus infinity."""
    nothing = (log_share <= ABSENT / 2) | (u == -math.inf)
    return (log_share.masked_fill(nothing, ABSENT) + u.masked_fill(nothing, 0)).clamp(min=ABSENT)


def _bounded_logsumexp(terms: Tensor, bound: float) -> Tensor:
    """Return log(e^bound + sum exp(terms)) over labels, with full relative accuracy when it is small."""
    total: Tensor = bound - log_sigmoid(bound - terms.logsumexp(dim=1))
    return total


def _shares(terms: Tensor, bound: float) -> Tensor:
    """Return exp(terms) / (e^bound + sum exp(terms)), the derivative of `_bounded_logsumexp`."""
    # exp(terms - total) would be wrong in float32 at terms of 1e7, whose neighbours are 1 apart
    return terms.softmax(dim=1) * (terms.logsumexp(dim=1, keepdim=True) - bound).sigmoid()
