r"""The terms of losses with a focus on hard labels, :math:`\phi(z) = -\sigma(-z)^\gamma \log \sigma(z)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sk_quadrant.losses._functions import power, reuse, softplus

if TYPE_CHECKING:
    from torch import Tensor


def focal_term(right: Tensor, wrong: Tensor, surprise: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\phi` and its absolute derivative, :math:`\sigma(-z)^\gamma (\gamma\,\sigma(z) s + \sigma(-z))`.

    Parameters
    ----------
    right, wrong, surprise : Tensor
        :math:`\sigma(z)`, :math:`\sigma(-z)` and :math:`s = -\log \sigma(z)`, which is overwritten unless derivatives
        are recorded.
    gamma : float
    """
    focus = power(wrong, gamma)
    value = torch.mul(surprise, focus, out=reuse(surprise))
    slope = focus * wrong
    return value, torch.addcmul(slope, right, value, value=gamma, out=reuse(slope))


def mixed(present: tuple[Tensor, Tensor], absent: tuple[Tensor, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return a loss and its derivative, given the terms of present and absent labels and their absolute derivatives."""
    (value, rise), (other, fall) = present, absent
    slope = torch.neg(rise, out=reuse(rise))
    return (
        torch.lerp(other, value, targets, out=reuse(other)),
        torch.lerp(fall, slope, targets, out=reuse(fall)),
    )


def surprises(scores: Tensor, opposite: Tensor) -> tuple[Tensor, Tensor]:
    """Return -log sigmoid(s) and -log sigmoid(-s) of scores s and their opposite -s."""
    if reuse(scores) is None:
        return softplus(opposite), softplus(scores)
    rest = scores.abs().neg_().exp_().log1p_()  # one logarithm for both; autograd would be wrong at 0
    return opposite.relu().add_(rest), scores.relu().add_(rest)


def focal_curvature(margins: Tensor, gamma: float) -> Tensor:
    r"""Return the second derivative of :math:`\phi`, 0 where it is negative."""
    wrong, right, surprise = (-margins).sigmoid(), margins.sigmoid(), softplus(-margins)
    # right * surprise is small where surprise is large, and bounds the product with gamma
    bend = right * wrong * (1 + 2 * gamma) + gamma * (right * surprise) * (gamma * right - wrong)
    curvature: Tensor = (power(wrong, gamma) * bend).clamp(min=0)
    return curvature
