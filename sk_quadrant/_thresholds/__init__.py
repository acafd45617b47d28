"""Thresholds and rules around any multi-label classifier: given, or tuned by cross-validation."""

from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV
from sk_quadrant._thresholds.fixed import FixedThresholdMultiLabelClassifier

__all__ = ["FixedThresholdMultiLabelClassifier", "TunedThresholdMultiLabelClassifierCV"]
