"""Thresholds and rules for any multi-label classifier: given, or tuned by cross-validation.

The estimators are in `classifier` and `fixed`; this module exports the parts for other packages.
"""

from sk_quadrant._thresholds.held_out import constant_as_infinite, fixed_thresholds, rows_held_out
from sk_quadrant._thresholds.rules import Rule
from sk_quadrant._thresholds.scoring import Scoring, is_of_predictions
from sk_quadrant._thresholds.search import tune_thresholds
