"""Binary cross-entropy of logits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss, reuse
from sk_quadrant.losses._links import LogitLink, softplus

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BCEWithLogits(LabelwiseLoss):
    r"""Binary cross-entropy of logits, the loss of logistic regression.

    .. math:: \ell(s, t) = -w\,t \log \sigma(s) - (1 - t) \log \sigma(-s)

    with :math:`\sigma` the sigmoid and w the weight of positives.

    **Link**: :math:`\eta = \sigma(s - \log w)`. The weight raises every score by :math:`\log w`; the link subtracts it
    again, so that probabilities stay correct.

    **Threshold**: natural 0, a probability of :math:`1 / (1 + w)`; Bayes :math:`\log w`. For w = 1 they are equal and
    optimal for the Hamming loss.

    Use it by default.

    Other names: log loss, logistic loss, ``torch.nn.BCEWithLogitsLoss``, ``torch.nn.MultiLabelSoftMarginLoss``, the
    loss of ``problem_type="multi_label_classification"`` in transformers.

    Parameters
    ----------
    pos_weight : float or array-like of shape (n_labels,), default=1.0
        Weight w > 0 of the positive term, one for all labels or one for each, as in PyTorch. Above 1 the natural
        threshold finds more labels.

    See Also
    --------
    SigmoidBCE : The same formula, computed from probabilities.
    Focal : Less weight on labels that are already right.
    ZLPR : Loss of the whole label set of a row.

    Notes
    -----
    Without masks and weights, calling the loss calls PyTorch's kernel. It rounds the loss of a label at a score s to
    the precision of s; `per_sample` has full relative accuracy.

    References
    ----------
    .. [1] D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20,
       1958. :doi:`10.1111/j.2517-6161.1958.tb00292.x`

    Examples
    --------
    >>> import math
    >>> import torch
    >>> loss = BCEWithLogits(pos_weight=3.0)
    >>> loss(torch.zeros(1, 1), torch.ones(1, 1)) / math.log(2)
    tensor(3.)
    >>> float(loss.link.inverse(loss.threshold))  # 1 / (1 + 3)
    0.25
    """

    name: ClassVar[str] = "bce_with_logits"
    intervals: ClassVar[Mapping[str, str]] = {"pos_weight": "(0, inf)"}
    one_for_each_label: ClassVar[str | None] = "pos_weight"

    pos_weight: float | Sequence[float] = 1.0

    @property
    def link(self) -> LogitLink:
        """Logistic link around log(pos_weight)."""
        weight = self.pos_weight
        return LogitLink(center=tuple(map(math.log, weight)) if isinstance(weight, Sequence) else math.log(weight))

    def total(self, scores: Tensor, targets: Tensor) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        weight = self._values_of("pos_weight", scores)
        if isinstance(weight, Real):
            weight = None if weight == 1 else scores.new_full((), float(weight))
        return binary_cross_entropy_with_logits(scores, targets, reduction="sum", pos_weight=weight)

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        weight = self._values_of("pos_weight", scores)
        if self.pos_weight == 1:
            if reuse(scores) is None:
                mixture: Tensor = softplus(scores).lerp(softplus(-scores), targets)
                return mixture
            # max(s, 0) - t s + log(1 + e^-|s|)
            beyond = scores.abs().neg_().exp_().log1p_()  # faster than softplus
            return scores.relu().addcmul_(targets, scores, value=-1).add_(beyond)
        loss: Tensor = (weight * targets) * softplus(-scores) + (1 - targets) * softplus(scores)
        return loss

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.per_label(scores, targets), self.per_label_gradient(scores, targets)

    def per_label_gradient(self, scores: Tensor, targets: Tensor) -> Tensor:
        # needs no logarithm
        weight, probabilities = self._values_of("pos_weight", scores), scores.sigmoid()
        if self.pos_weight == 1:
            return probabilities.sub_(targets) if reuse(scores) is not None else probabilities - targets
        slope: Tensor = (1 - targets) * probabilities - (weight * targets) * (1 - probabilities)
        return slope

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        weight, probabilities = self._values_of("pos_weight", scores), scores.sigmoid()
        # p (1 - p), times w for a present label
        variance = probabilities.addcmul(probabilities, probabilities, value=-1)
        return variance if self.pos_weight == 1 else (1 + (weight - 1) * targets) * variance
