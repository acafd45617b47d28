"""Focal loss: cross-entropy with less weight on well classified labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MixtureLoss
from sk_quadrant.losses._links import FocalLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Focal(MixtureLoss):
    r"""Focal loss: cross-entropy with less weight on well classified labels.

    .. math::
        \ell(s, t) = \alpha\,t\,\phi(s) + (1 - \alpha) (1 - t)\,\phi(-s), \quad
        \phi(z) = -\sigma(-z)^\gamma \log \sigma(z)

    with :math:`\sigma` the sigmoid; without alpha both terms have weight 1.

    **Link**:

    .. math::
        \mathrm{logit}\,\eta = (\gamma + 1) s + \log\frac{1 + \gamma h(s)}{1 + \gamma h(-s)} - \mathrm{logit}\,\alpha,
        \quad h(s) = e^{-s} \log(1 + e^s)

    Scores are closer to zero than those of `BCEWithLogits`, so the plain sigmoid is under-confident [2]_.

    **Threshold**: natural 0. Bayes 0 without alpha; -0.41037 for :math:`\alpha = 1/4`.

    Use it when most labels are easy, as with many rare ones, and the model is flexible. A linear model gains little.

    Other names: sigmoid focal loss, ``torchvision.ops.sigmoid_focal_loss`` (with ``alpha=0.25``).

    Parameters
    ----------
    gamma : float, default=2.0
        Focus on hard labels, >= 0; 0 gives `BCEWithLogits`.
    alpha : float or array-like of shape (n_labels,), default=None
        Weight of present labels in (0, 1), one for all labels or one for each; absent ones have 1 - alpha. None gives
        both weight 1.

    See Also
    --------
    Asymmetric : A separate focus for present and for absent labels.
    Poly1 : Another change of cross-entropy with one parameter.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal loss for dense object detection", ICCV 2017.
       :doi:`10.1109/ICCV.2017.324`
    .. [2] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul, M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021. :arxiv:`2011.09172`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = Focal(gamma=2.0)
    >>> round(float(loss(torch.zeros(1, 1), torch.ones(1, 1)) / math.log(2)), 4)  # (1/2) ** gamma
    0.25
    >>> round(float(Focal(alpha=0.25).link.inverse(0.0)), 4)
    0.75
    """

    name: ClassVar[str] = "focal"
    intervals: ClassVar[Mapping[str, str]] = {"gamma": "[0, inf)", "alpha": "(0, 1)"}
    one_for_each_label: ClassVar[str | None] = "alpha"

    gamma: float = 2.0
    alpha: float | Sequence[float] | None = None

    @property
    def convex(self) -> bool:
        """Whether the loss is convex: only for gamma = 0."""
        return self.gamma == 0

    @property
    def link(self) -> FocalLink:
        """Link of the focal loss."""
        return FocalLink(gamma=self.gamma, alpha=0.5 if self.alpha is None else self.alpha)

    def present_and_absent(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from sk_quadrant.losses._focusing import focal_term, surprises

        opposite = -scores
        p, q = scores.sigmoid(), opposite.sigmoid()
        present, absent = surprises(scores, opposite)
        present, rise = focal_term(p, q, present, self.gamma, sign=-1)
        absent, fall = focal_term(q, p, absent, self.gamma, sign=1)
        if self.alpha is None:
            return present, rise, absent, fall
        alpha = self._values_of("alpha", scores)
        return alpha * present, alpha * rise, (1 - alpha) * absent, (1 - alpha) * fall

    def curvatures(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        from sk_quadrant.losses._focusing import focal_curvature

        present, absent = focal_curvature(scores, self.gamma), focal_curvature(-scores, self.gamma)
        if self.alpha is None:
            return present, absent
        alpha = self._values_of("alpha", scores)
        return alpha * present, (1 - alpha) * absent
