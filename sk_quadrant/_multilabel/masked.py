"""Masked arrays."""

from sk_quadrant._targets.masked import masked_as_nan

__all__ = ["masked_as_nan"]
