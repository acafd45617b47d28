"""Negative-tolerant loss of the distribution-balanced loss, for long-tailed labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MixtureLoss
from sk_quadrant.losses._links import NegativeTolerantLink, softplus

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NegativeTolerant(MixtureLoss):
    r"""Negative-tolerant loss: cross-entropy that stops pushing absent labels down early, for long-tailed labels.

    .. math::
        \ell(s, t) = t \log(1 + e^{-u}) + (1 - t) \frac{1}{\lambda} \log(1 + e^{\lambda u}), \quad u = s - \nu

    It is the negative-tolerant regularisation of the distribution-balanced loss; the re-balanced weights of that loss
    are weights of labels here.

    **Link**: :math:`\eta = \sigma(\lambda u) / (\sigma(\lambda u) + \sigma(-u))` with :math:`\sigma` the sigmoid.

    **Threshold**: natural 0, a probability of 1/2 for :math:`\nu = 0`; Bayes :math:`\nu`.

    Use it when most labels are rare and absent labels dominate the training.

    Other names: negative-tolerant regularization (NTR), a part of the distribution-balanced loss (DB loss).

    Parameters
    ----------
    scale : float, default=2.0
        The scale :math:`\lambda > 0` of the scores of absent labels; 1 gives `BCEWithLogits`.
    shift : float or array-like of shape (n_labels,), default=0.0
        The shift :math:`\nu`, one for all labels or one for each. The papers take
        :math:`\nu_j = \kappa \log(1 / f_j - 1) / \lambda` with the frequencies :math:`f_j` of the labels and
        :math:`\kappa = 0.05`: rare labels are predicted above a higher score of cross-entropy.

    See Also
    --------
    BCEWithLogits : The loss for a scale of 1 and no shift.
    Hill : Loss for labels that are missing from the annotations.

    References
    ----------
    .. [1] T. Wu, Q. Huang, Z. Liu, Y. Wang, D. Lin, "Distribution-balanced loss for multi-label classification in
       long-tailed datasets", ECCV 2020. :arxiv:`2007.09654`
    .. [2] Y. Huang, B. Giledereli, A. Köksal, A. Özgür, E. Ozkirimli, "Balancing methods for multi-label text
       classification with long-tailed class distribution", EMNLP 2021. :arxiv:`2109.04712`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = NegativeTolerant(scale=2.0)
    >>> loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])) / math.log(2)  # 1 + 1/2
    tensor(1.5000)
    >>> NegativeTolerant(shift=[0.0, 0.5]).bayes_threshold
    array([0. , 0.5])
    """

    name: ClassVar[str] = "negative_tolerant"
    intervals: ClassVar[Mapping[str, str]] = {"scale": "(0, inf)", "shift": "(-inf, inf)"}
    one_for_each_label: ClassVar[str | None] = "shift"

    scale: float = 2.0
    shift: float | Sequence[float] = 0.0

    @property
    def link(self) -> NegativeTolerantLink:
        """Link of the negative-tolerant loss."""
        return NegativeTolerantLink(scale=self.scale, shift=self.shift)

    def present_and_absent(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        u = scores - self._values_of("shift", scores)
        stretched = self.scale * u
        absent: Tensor = softplus(stretched) / self.scale
        # (log(1 + e^(lambda u)) / lambda)' = sigmoid(lambda u)
        return softplus(-u), -(-u).sigmoid(), absent, stretched.sigmoid()

    def curvatures(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        u = scores - self._values_of("shift", scores)
        right, stretched = u.sigmoid(), (self.scale * u).sigmoid()
        return right * (1 - right), self.scale * stretched * (1 - stretched)
