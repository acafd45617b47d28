"""Multi-label losses, each with its link and its threshold."""

from sk_quadrant.losses._base import LabelwiseLoss, Loss
from sk_quadrant.losses._bce_with_logits import BCEWithLogits
from sk_quadrant.losses._links import ClippedLinearLink, Link, LogitLink, ShiftedLogitLink
from sk_quadrant.losses._shifted_sigmoid_bce import ShiftedSigmoidBCE
from sk_quadrant.losses._sigmoid_bce import SigmoidBCE
from sk_quadrant.losses._zlpr import ZLPR

LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (BCEWithLogits, SigmoidBCE, ShiftedSigmoidBCE, ZLPR)}

__all__ = [
    "LOSSES",
    "ZLPR",
    "BCEWithLogits",
    "ClippedLinearLink",
    "LabelwiseLoss",
    "Link",
    "LogitLink",
    "Loss",
    "ShiftedLogitLink",
    "ShiftedSigmoidBCE",
    "SigmoidBCE",
]
