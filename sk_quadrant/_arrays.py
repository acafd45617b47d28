"""Names of array types, and the one way to go through rows in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.intp]


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Yield slices of a size that cover all rows; the last may be shorter, and there is none without rows.

    `sklearn.utils.gen_batches` validates its arguments, which takes longer than the prediction of a row.
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
