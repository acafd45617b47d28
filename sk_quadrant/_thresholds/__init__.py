"""Thresholds and rules for any multi-label classifier: given, or tuned by cross-validation."""
