"""Binary cross-entropy of probabilities: a sigmoid, then the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._links import LogitLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SigmoidBCE(LabelwiseLoss):
    r"""Sigmoid followed by the binary cross-entropy of probabilities, to compare with `BCEWithLogits`.

    .. math:: \ell(s, t) = -t \max(\log p, -100) - (1 - t) \max(\log(1 - p), -100), \quad p = \sigma(s)

    The formula is that of `BCEWithLogits`, the arithmetic differs: where p rounds to 0 or 1 the loss is clamped to 100,
    as in ``torch.nn.BCELoss``, and its gradient is exactly zero, so training never corrects a confident wrong score. In
    single precision this dead zone begins at a score of 17 for absent labels.

    **Link**: :math:`\eta = \sigma(s)`.

    **Threshold**: natural and Bayes 0.

    Use it to learn why cross-entropy is computed from scores; use `BCEWithLogits` for everything else.

    Other names: ``torch.nn.BCELoss`` after a sigmoid.

    See Also
    --------
    BCEWithLogits : The same formula, computed from scores.
    ShiftedSigmoidBCE : Binary cross-entropy on another sigmoid.

    References
    ----------
    .. [1] PyTorch documentation of ``torch.nn.BCELoss`` and ``torch.nn.BCEWithLogitsLoss``.

    Examples
    --------
    >>> import torch
    >>> SigmoidBCE()(torch.tensor([[17.0]]), torch.tensor([[0.0]]))  # BCEWithLogits: 17
    tensor(100.)
    """

    name: ClassVar[str] = "sigmoid_bce"
    link: ClassVar[LogitLink] = LogitLink()

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        from torch.nn.functional import binary_cross_entropy

        probabilities = scores.sigmoid()
        lost = probabilities.isnan()  # binary_cross_entropy refuses NaN as outside [0, 1]
        values = binary_cross_entropy(probabilities.masked_fill(lost, 0.5), targets, reduction="none")
        return values.masked_fill(lost, math.nan)

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        probabilities = scores.sigmoid()  # of the exact formula, which is not clamped
        return probabilities * (1 - probabilities)
