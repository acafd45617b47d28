"""Probabilities of any multi-label classifier, calibrated by cross-validation.

The estimator is in `classifier`; here is what other rooms share with it.
"""

from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import MAPS, METHODS, CalibrationMap, LogisticMap
