"""Probabilities of any multi-label classifier, calibrated by cross-validation."""
