"""Squared error of targets -1 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._links import ClippedLinearLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SquaredError(LabelwiseLoss):
    r"""Squared error of targets -1 and 1, the loss of ``RidgeClassifier``.

    .. math:: \ell(s, t) = (s - (2 t - 1))^2 / 2

    **Link**: :math:`\eta = \mathrm{clip}((s + 1) / 2, 0, 1)`, as for the squared hinge.

    **Threshold**: natural and Bayes 0, Bayes-optimal for the Hamming loss.

    Use it when speed matters: all labels have the same Hessian, and one factorisation solves for all of them.

    Other names: least squares, least-squares support vector machine, ridge classification.

    A linear model with it equals ``RidgeClassifier(alpha=1 / C)``. Scores beyond -1 and 1 of the right sign are
    penalised as well, so outliers move its boundary more than that of `SquaredHinge`.

    See Also
    --------
    SquaredHinge : No penalty for scores beyond -1 and 1 of the right sign.

    References
    ----------
    .. [1] R. Rifkin, G. Yeo, T. Poggio, "Regularized least-squares classification", in Advances in Learning Theory:
       Methods, Model and Applications, IOS Press, 2003.

    Examples
    --------
    >>> import torch
    >>> loss = SquaredError()
    >>> loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]))  # (0.25 + 2.25) / 2
    tensor(1.2500)
    >>> float(loss.link.inverse(0.5))
    0.75
    """

    name: ClassVar[str] = "squared_error"
    quadratic: ClassVar[bool] = True
    link: ClassVar[ClippedLinearLink] = ClippedLinearLink()

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        return self.per_label_and_gradient(scores, targets)[0]

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        errors = scores - (2 * targets - 1)
        return 0.5 * errors * errors, errors

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        return scores.new_ones(scores.shape)
