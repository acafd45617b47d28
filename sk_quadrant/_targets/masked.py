"""Masked arrays: what is masked is missing, and so it is NaN."""

from __future__ import annotations

from typing import Any

import numpy as np


def masked_as_nan(array: Any) -> Any:
    """Return an array with NaN, or None among objects and text, for what is masked, and anything else as it is."""
    if not (isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array)):
        return array
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    missing = np.nan if array.dtype.kind in "fc" else None
    return np.where(np.ma.getmaskarray(array), missing, array.data)
