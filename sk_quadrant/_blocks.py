"""Blocks of rows: the one way to go through rows a part at a time."""

from __future__ import annotations

from collections.abc import Iterator


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Yield slices of a size that cover all rows; the last may be shorter, and there is none without rows.

    `sklearn.utils.gen_batches` validates its arguments, which takes longer than the prediction of a row.
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
