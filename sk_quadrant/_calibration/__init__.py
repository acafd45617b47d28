"""Probabilities of any multi-label classifier, calibrated by cross-validation.

The estimator is in `classifier`; this module exports the parts for other packages.
"""

from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import MAPS, METHODS, CalibrationMap, LogisticMap
