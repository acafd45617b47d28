"""Loss, penalty, thresholds and calibration chosen by cross-validation in one fit."""

from sk_quadrant._cross_validation.classifier import QuadrantMultiLabelClassifierCV

__all__ = ["QuadrantMultiLabelClassifierCV"]
