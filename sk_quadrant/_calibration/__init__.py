"""Probabilities of any multi-label classifier, calibrated by cross-validation."""

from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import MAPS, METHODS, CalibrationMap
from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV

__all__ = ["MAPS", "METHODS", "CalibratedMultiLabelClassifierCV", "CalibrationMap", "CalibrationSet"]
