"""Zero-bounded log-sum-exp and pairwise rank-based loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import Loss
from sk_quadrant.losses._functions import softplus
from sk_quadrant.losses._links import LogitLink
from sk_quadrant.losses._validation import check_finite, check_positive
from sk_quadrant.losses.weighting import known, weighted

if TYPE_CHECKING:
    from torch import Tensor

FAR = 1e30  # in place of an infinite score: 0 * inf and inf - inf are NaN


@dataclass(frozen=True)
class ZLPR(Loss):
    r"""Zero-bounded log-sum-exp and pairwise rank-based loss, for hard and soft targets.

    .. math::
        \ell(s, t) = \frac{1}{\tau} \log\Bigl(e^b + \sum_j (1 - t_j) e^{u_j}\Bigr)
                   + \frac{1}{\tau} \log\Bigl(e^b + \sum_j t_j e^{-u_j}\Bigr), \quad u_j = \tau (s_j - s_0)

    It ranks all present labels of a row above the threshold :math:`s_0` and all absent labels below.

    **Link**: :math:`\eta = \sigma(2 \tau (s - s_0))`. Exact for soft targets (probabilities), at every temperature,
    threshold and bound. For 0/1 targets no link of a single score exists. This one is close for many independent labels
    or a large bound; `CalibratedMultiLabelClassifierCV` gives probabilities otherwise.

    **Threshold**: natural :math:`s_0`, to predict the set of labels; Bayes-optimal for soft targets.

    Use it when labels exclude each other, to rank the few present labels first among many, and with soft targets. For
    0/1 targets calibrate its probabilities.

    Parameters
    ----------
    temperature : float, default=1.0
        Scale :math:`\tau > 0` of the scores.
    threshold : float, default=0.0
        The score :math:`s_0` that separates present from absent labels.
    bound : float, default=0.0
        The exponent b. For large b the loss times :math:`e^b` approaches the exponential loss, with a link that is
        exact for 0/1 targets as well.

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
        """Return the loss of each row; weights multiply the terms of both sums. See `Loss.per_sample`."""
        values, _ = self._values_and_shares(scores, targets, mask, weight)
        return values[:, 0]

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row and its derivative in closed form; see `Loss.values_and_gradient`."""
        values, (present, absent) = self._values_and_shares(scores, targets, mask, weight)
        return values, absent - present

    def curvature(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the second derivative with respect to each score; see `Loss.curvature`."""
        _, (present, absent) = self._values_and_shares(scores, targets, mask, weight)
        return self.temperature * (present * (1 - present) + absent * (1 - absent))

    def _values_and_shares(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the loss of each row, (n_samples, 1), and the share of each label in the two sums."""
        scores, targets = known(scores, targets, mask)
        u = (self.temperature * (scores - self.threshold)).clamp(-FAR, FAR)
        sums = _sum_of_exponentials if _are_near(u, self.bound) else _sum_of_far_exponentials
        present, present_shares = sums(-u, weighted(targets, mask, weight), self.bound)
        absent, absent_shares = sums(u, weighted(1 - targets, mask, weight), self.bound)
        return (present + absent) / self.temperature, (present_shares, absent_shares)


def _are_near(exponents: Tensor, bound: float) -> bool:
    """Return whether exponentials and their sums are certainly within the range of the precision."""
    if exponents.device.type != "cpu" or not exponents.numel():  # the answer of another device takes a synchronisation
        return False
    limit = 60 if exponents.dtype.itemsize == 4 else 600
    return float(exponents.detach().abs().amax()) + abs(bound) < limit


def _sum_of_exponentials(exponents: Tensor, factors: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return log(e^bound + sum factor exp(exponent)), as a column, and its derivative, the share of each term."""
    terms = factors * exponents.exp()
    total = terms.sum(dim=1, keepdim=True)
    return bound + (total * math.exp(-bound)).log1p(), terms / (total + math.exp(bound))


def _sum_of_far_exponentials(exponents: Tensor, factors: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return the same as `_sum_of_exponentials`, without overflow."""
    top = exponents.detach().where(factors > 0, -FAR).amax(dim=1, keepdim=True)
    terms = factors * (exponents - top).clamp(max=0).exp()  # only exponents of factor 0 are above the top
    total = terms.sum(dim=1, keepdim=True)
    log_total = top + total.masked_fill(total == 0, 1).log()  # -FAR for an empty sum
    values: Tensor = bound + softplus(log_total - bound)  # with full relative accuracy where it is small
    return values, terms / (total + (bound - top).exp())
