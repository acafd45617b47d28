"""Thresholds and rules around any multi-label classifier: given, or tuned by cross-validation."""

from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV
from sk_quadrant._thresholds.fixed import FixedThresholdMultiLabelClassifier
from sk_quadrant._thresholds.held_out import constant_as_infinite, fixed_thresholds, rows_held_out
from sk_quadrant._thresholds.rules import Rule
from sk_quadrant._thresholds.scoring import Scoring, is_of_predictions
from sk_quadrant._thresholds.search import tune_thresholds

__all__ = [
    "FixedThresholdMultiLabelClassifier",
    "Rule",
    "Scoring",
    "TunedThresholdMultiLabelClassifierCV",
    "constant_as_infinite",
    "fixed_thresholds",
    "is_of_predictions",
    "rows_held_out",
    "tune_thresholds",
]
