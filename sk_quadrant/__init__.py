"""Multi-label classification for scikit-learn in which the loss owns its link and its threshold.

Names are imported when they are first used, so that ``import sk_quadrant`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sk_quadrant import callbacks, datasets, displays, hierarchy, io, losses, metrics, model_selection
    from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV
    from sk_quadrant._classifier import QuadrantMultiLabelClassifier
    from sk_quadrant._cross_validation.classifier import QuadrantMultiLabelClassifierCV
    from sk_quadrant._model.fitted import FittedModel
    from sk_quadrant._targets.top_labels import top_k_labels
    from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV
    from sk_quadrant._thresholds.fixed import FixedThresholdMultiLabelClassifier
    from sk_quadrant.datasets import make_quadrants

__version__ = "0.1.0"

__all__ = [
    "CalibratedMultiLabelClassifierCV",
    "FittedModel",
    "FixedThresholdMultiLabelClassifier",
    "QuadrantMultiLabelClassifier",
    "QuadrantMultiLabelClassifierCV",
    "TunedThresholdMultiLabelClassifierCV",
    "callbacks",
    "datasets",
    "displays",
    "hierarchy",
    "io",
    "losses",
    "make_quadrants",
    "metrics",
    "model_selection",
    "top_k_labels",
]

_HOMES = {
    "CalibratedMultiLabelClassifierCV": "_calibration.classifier",
    "FittedModel": "_model.fitted",
    "FixedThresholdMultiLabelClassifier": "_thresholds.fixed",
    "QuadrantMultiLabelClassifier": "_classifier",
    "QuadrantMultiLabelClassifierCV": "_cross_validation.classifier",
    "TunedThresholdMultiLabelClassifierCV": "_thresholds.classifier",
    "make_quadrants": "datasets",
    "top_k_labels": "_targets.top_labels",
}


if not TYPE_CHECKING:  # which would let type checkers take any name for one of the package

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(f"sk_quadrant.{_HOMES[name]}"), name)
        if name in __all__:
            return import_module(f"sk_quadrant.{name}")
        raise AttributeError(f"module 'sk_quadrant' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
