r"""The terms of losses with a focus on hard labels, :math:`\phi(z) = -\sigma(-z)^\gamma \log \sigma(z)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sk_quadrant.losses._base import reuse
from sk_quadrant.losses._links import power, softplus

if TYPE_CHECKING:
    from torch import Tensor


def focal_term(right: Tensor, wrong: Tensor, surprise: Tensor, gamma: float, *, sign: int) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\phi` and its derivative, :math:`\pm\sigma(-z)^\gamma (\gamma\,\sigma(z) s + \sigma(-z))`.

    Parameters
    ----------
    right, wrong, surprise : Tensor
        :math:`\sigma(z)`, :math:`\sigma(-z)` and :math:`s = -\log \sigma(z)`, which is overwritten unless derivatives
        are recorded.
    gamma : float
    sign : {-1, 1}
        -1 for a present label, whose z is the score, and 1 for an absent one, whose z is minus the score.
    """
    focus = power(wrong, gamma)
    if reuse(surprise) is None:
        value = surprise * focus
        return value, sign * (focus * wrong).addcmul(right, value, value=gamma)
    value = surprise.mul_(focus)
    slope = (focus * wrong).addcmul_(right, value, value=gamma)
    return value, slope if sign > 0 else slope.neg_()


def surprises(scores: Tensor, opposite: Tensor) -> tuple[Tensor, Tensor]:
    """Return -log sigmoid(s) and -log sigmoid(-s) of scores s and their opposite -s."""
    if reuse(scores) is None:
        return softplus(opposite), softplus(scores)
    # -log sigmoid(s) = max(-s, 0) + log(1 + e^-|s|)
    rest = scores.abs().neg_().exp_().log1p_()  # one logarithm for both; autograd would be wrong at 0
    return opposite.relu().add_(rest), scores.relu().add_(rest)


def focal_curvature(margins: Tensor, gamma: float) -> Tensor:
    r"""Return the second derivative of :math:`\phi`, 0 where it is negative."""
    wrong, right, surprise = (-margins).sigmoid(), margins.sigmoid(), softplus(-margins)
    # right * surprise is small where surprise is large, and bounds the product with gamma
    # phi'' = w^gamma [(1 + 2 gamma) r w + gamma r (gamma r - w) (-log r)], r = sigmoid(z), w = sigmoid(-z)
    bend = right * wrong * (1 + 2 * gamma) + gamma * (right * surprise) * (gamma * right - wrong)
    curvature: Tensor = (power(wrong, gamma) * bend).clamp(min=0)
    return curvature
