"""Multi-label losses, each with its link and its threshold.

`LOSSES` is the only list of losses. A new one is a file and three lines here: the import, the entry in `LOSSES` and the
entry in `__all__`. Tests, documentation and import contracts follow from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sk_quadrant.losses._asymmetric import Asymmetric
from sk_quadrant.losses._base import LabelwiseLoss, Loss
from sk_quadrant.losses._bce_with_logits import BCEWithLogits
from sk_quadrant.losses._exponential import Exponential
from sk_quadrant.losses._focal import Focal
from sk_quadrant.losses._hill import Hill
from sk_quadrant.losses._hinge import Hinge
from sk_quadrant.losses._links import (
    AsymmetricLink,
    ClippedLinearLink,
    FocalLink,
    HillLink,
    Link,
    LogitLink,
    LogOddsLink,
    NegativeTolerantLink,
    Poly1Link,
    ShiftedLogitLink,
)
from sk_quadrant.losses._modified_huber import ModifiedHuber
from sk_quadrant.losses._negative_tolerant import NegativeTolerant
from sk_quadrant.losses._poly1 import Poly1
from sk_quadrant.losses._shifted_sigmoid_bce import ShiftedSigmoidBCE
from sk_quadrant.losses._sigmoid_bce import SigmoidBCE
from sk_quadrant.losses._squared_error import SquaredError
from sk_quadrant.losses._squared_hinge import SquaredHinge
from sk_quadrant.losses._zlpr import ZLPR

if TYPE_CHECKING:
    from sk_quadrant.losses._module import LossModule

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        BCEWithLogits,
        SigmoidBCE,
        ShiftedSigmoidBCE,
        ZLPR,
        Focal,
        Asymmetric,
        Poly1,
        SquaredHinge,
        ModifiedHuber,
        Hinge,
        Exponential,
        SquaredError,
        Hill,
        NegativeTolerant,
    )
}

__all__ = [
    "LOSSES",
    "ZLPR",
    "Asymmetric",
    "AsymmetricLink",
    "BCEWithLogits",
    "ClippedLinearLink",
    "Exponential",
    "Focal",
    "FocalLink",
    "Hill",
    "HillLink",
    "Hinge",
    "LabelwiseLoss",
    "Link",
    "LogOddsLink",
    "LogitLink",
    "Loss",
    "LossModule",
    "ModifiedHuber",
    "NegativeTolerant",
    "NegativeTolerantLink",
    "Poly1",
    "Poly1Link",
    "ShiftedLogitLink",
    "ShiftedSigmoidBCE",
    "SigmoidBCE",
    "SquaredError",
    "SquaredHinge",
]


if not TYPE_CHECKING:  # which would let type checkers take any name for one of the package

    def __getattr__(name: str) -> Any:
        """Import what needs PyTorch when it is asked for."""
        if name == "LossModule":
            from sk_quadrant.losses._module import LossModule

            return LossModule
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
