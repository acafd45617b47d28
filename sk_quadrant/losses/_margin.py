"""Losses of the margin, which is the score of a present label and minus the score of an absent one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sk_quadrant.losses._base import LabelwiseLoss

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class MarginLoss(LabelwiseLoss):
    r"""Loss of the form :math:`t\,\phi(s) + (1 - t)\,\phi(-s)`. Subclass it and write two functions of the margin."""

    @property
    def class_weights(self) -> tuple[float, float]:
        """Weights of absent and of present labels."""
        return 1.0, 1.0

    @abstractmethod
    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of margins and its derivative, both differentiable by autograd."""

    @abstractmethod
    def margin_curvature(self, margins: Tensor) -> Tensor:
        """Return a nonnegative estimate of the second derivative of the loss of margins."""

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row and label; see `LabelwiseLoss.per_label`."""
        return self.per_label_and_gradient(scores, targets)[0]

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and its derivative in closed form."""
        absent_weight, present_weight = self.class_weights
        present_share, absent_share = present_weight * targets, absent_weight * (1 - targets)
        if _are_hard(targets):
            values, slopes = self.margin_loss((2 * targets - 1) * scores)
            if absent_weight != 1 or present_weight != 1:
                values = (present_share + absent_share) * values
            return values, (present_share - absent_share) * slopes
        (present, rise), (absent, fall) = _both_sides(self.margin_loss, scores, targets)
        return present_share * present + absent_share * absent, present_share * rise - absent_share * fall

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return a nonnegative estimate of the second derivative."""
        absent_weight, present_weight = self.class_weights
        present, absent = _both_sides(self.margin_curvature, scores, targets)
        return present_weight * targets * present + absent_weight * (1 - targets) * absent


def _are_hard(targets: Tensor) -> bool:
    """Return whether all targets are 0 or 1, in one pass: t - t^2 is positive in between."""
    return float(targets.addcmul(targets, targets, value=-1).sum()) == 0


def _both_sides(function: Callable[[Tensor], T], scores: Tensor, targets: Tensor) -> tuple[T, T]:
    """Return a function of the margins of present and of absent labels, at margin 0 where their share is 0."""
    # the function may be infinite at the margin itself, and 0 * inf is NaN
    return function(scores.masked_fill(targets == 0, 0)), function(-scores.masked_fill(targets == 1, 0))
