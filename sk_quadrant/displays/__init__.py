"""Pictures of multi-label losses and classifiers, after scikit-learn's displays."""

from sk_quadrant.displays._calibration import LabelCalibrationDisplay
from sk_quadrant.displays._confusion import LabelConfusionDisplay
from sk_quadrant.displays._decision_region import DecisionRegionDisplay
from sk_quadrant.displays._history import LearningHistoryDisplay
from sk_quadrant.displays._loss import LossDisplay
from sk_quadrant.displays._ranking_curves import LabelPrecisionRecallDisplay, LabelRocCurveDisplay
from sk_quadrant.displays._search import SearchDisplay
from sk_quadrant.displays._threshold import ThresholdDisplay

__all__ = [
    "DecisionRegionDisplay",
    "LabelCalibrationDisplay",
    "LabelConfusionDisplay",
    "LabelPrecisionRecallDisplay",
    "LabelRocCurveDisplay",
    "LearningHistoryDisplay",
    "LossDisplay",
    "SearchDisplay",
    "ThresholdDisplay",
]
