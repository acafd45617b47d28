"""Probabilities of any multi-label classifier, calibrated by cross-validation."""

from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV

__all__ = ["CalibratedMultiLabelClassifierCV"]
