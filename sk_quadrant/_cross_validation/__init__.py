"""Loss, penalty, thresholds and calibration chosen by cross-validation in one fit."""
