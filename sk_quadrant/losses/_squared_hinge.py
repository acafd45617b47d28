"""Squared hinge loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import MarginLoss
from sk_quadrant.losses._links import ClippedLinearLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SquaredHinge(MarginLoss):
    r"""Squared hinge loss, the default of ``LinearSVC``.

    .. math:: \ell(s, t) = t \max(0, 1 - s)^2 + (1 - t) \max(0, 1 + s)^2

    **Link**: :math:`\eta = \mathrm{clip}((s + 1) / 2, 0, 1)`.

    **Threshold**: natural and Bayes 0, Bayes-optimal for the Hamming loss.

    Use it on text and other data with many features, when decisions matter more than probabilities.

    Other names: L2 loss of support vector machines, ``LinearSVC(loss="squared_hinge")``.

    Probabilities are 0 or 1 beyond scores of -1 and 1. The gradient of wrong labels is unbounded; that of
    `ModifiedHuber` is bounded.

    See Also
    --------
    ModifiedHuber : The same near the threshold, with a bounded gradient.
    SquaredError : Quadratic everywhere, the fastest to train.

    References
    ----------
    .. [1] T. Zhang, "Statistical behavior and consistency of classification methods based on convex risk
       minimization", Annals of Statistics 32, 2004. :doi:`10.1214/aos/1079120130`

    Examples
    --------
    >>> import torch
    >>> loss = SquaredHinge()
    >>> loss(torch.tensor([[0.5]]), torch.tensor([[1.0]]))
    tensor(0.2500)
    >>> float(loss.link.inverse(0.5))
    0.75
    """

    name: ClassVar[str] = "squared_hinge"
    dual: ClassVar[tuple[float, float] | None] = (math.inf, 0.5)
    link: ClassVar[ClippedLinearLink] = ClippedLinearLink()

    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        shortfall = (1 - margins).clamp(0, torch.finfo(margins.dtype).max ** 0.5 / 4)  # its square is finite
        return shortfall * shortfall, -2 * shortfall

    def margin_curvature(self, margins: Tensor) -> Tensor:
        return 2 * (margins < 1).to(margins.dtype)
