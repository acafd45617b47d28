"""Simulated multi-label data whose probabilities are known."""

from sk_quadrant.datasets._quadrants import make_quadrants

__all__ = ["make_quadrants"]
