"""Thresholds of any multi-label classifier, tuned by cross-validation."""

from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV

__all__ = ["TunedThresholdMultiLabelClassifierCV"]
