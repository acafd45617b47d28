"""Types of arrays, masked arrays, blocks of rows, equal parts and sparse results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import get_config

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.intp]


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Yield slices of `size` rows that cover all rows; the last may be shorter.

    `sklearn.utils.gen_batches` validates its arguments, which takes longer than the prediction of a row.
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def equal_slices(n: int, n_parts: int) -> list[slice]:
    """Return consecutive slices that cover n items, whose sizes differ by one at most."""
    return [slice(n * k // n_parts, n * (k + 1) // n_parts) for k in range(n_parts)]


def masked_as_nan(array: Any) -> Any:
    """Return an array with NaN at masked entries, None for objects and text; anything else unchanged."""
    if not (isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array)):
        return array
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    missing = np.nan if array.dtype.kind in "fc" else None
    return np.where(np.ma.getmaskarray(array), missing, array.data)


def follow_sparse_interface(values: Any) -> Any:
    """Return sparse matrices as sparse arrays if ``sklearn.set_config(sparse_interface="sparray")`` asks for them.

    Anything else is returned as it is: with "spmatrix", the default, and where scikit-learn does not know the setting,
    what follows from sparse arrays stays a sparse array.
    """
    if not sparse.isspmatrix(values) or get_config().get("sparse_interface") != "sparray":
        return values
    return getattr(sparse, f"{values.format}_array")(values)
