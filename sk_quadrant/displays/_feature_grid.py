"""Grid over two features of a data set; the other features are held constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.utils import _safe_indexing

from sk_quadrant._arrays import FloatArray, row_blocks
from sk_quadrant.displays._labels import find_column

VALUES_AT_ONCE = 10_000_000  # 80 MB in float64


def take_two_features(X: Any, features: Any, names: list[str]) -> tuple[list[int], FloatArray]:
    """Return the columns of two features given by name or number, and their values, shape (n_samples, 2)."""
    if len(names) < 2:
        raise ValueError(f"X must have at least 2 features, got {len(names)}.")
    if len(features) != 2 or features[0] == features[1]:
        raise ValueError(f"features must be two different names or columns of X, got {features}.")
    columns = [find_column(feature, names, parameter="features") for feature in features]
    values = _safe_indexing(X.tocsr() if sparse.issparse(X) else X, columns, axis=1)
    return columns, np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float64)


def make_grid(values: FloatArray, resolution: int) -> list[FloatArray]:
    """Return a grid over two features, 5% wider than their values on each side."""
    if resolution < 2:
        raise ValueError(f"grid_resolution must be at least 2, got {resolution}.")
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    margin = np.where(high > low, 0.05 * (high - low), 0.5)
    return list(np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T))


def hold_features(X: Any, held: Any, names: list[str]) -> Any:
    """Return one row: the requested values of features, else their medians or most frequent values."""
    row = typical_row(X)
    if held is not None and not isinstance(held, Mapping):
        if len(held) != len(names):
            raise ValueError(f"held must hold one value a feature: expected {len(names)}, got {len(held)}.")
        held = dict(enumerate(held))
    cells = row.iloc if hasattr(row, "iloc") else row
    for feature, value in (held or {}).items():
        cells[0, find_column(feature, names, parameter="held")] = value
    return row


def typical_row(X: Any) -> Any:
    """Return a row with the median of each feature of numbers, the most frequent one of other values."""
    if not hasattr(X, "iloc"):
        is_number = X.dtype != object
        imputer = SimpleImputer(strategy="median" if is_number else "most_frequent")
        return imputer.fit(X.astype(np.float64) if is_number else X).statistics_[np.newaxis]
    row = X.iloc[:1].reset_index(drop=True)
    numbers, others = X.select_dtypes("number"), X.select_dtypes(exclude="number")
    row[numbers.columns] = numbers.median().to_frame().T
    row[others.columns] = others.mode().iloc[:1].astype(others.dtypes)
    return row


def grid_rows(row: Any, columns: Sequence[int], grid: Sequence[FloatArray], *, as_sparse: bool) -> Iterator[Any]:
    """Yield the points of a grid as rows with all features, some at once."""
    points = np.column_stack([values.ravel() for values in grid])
    for block in row_blocks(len(points), max(1, VALUES_AT_ONCE // row.shape[1])):
        rows = _safe_indexing(row, np.zeros(len(points[block]), dtype=np.intp))
        if hasattr(rows, "iloc"):
            rows = rows.reset_index(drop=True)
            for j, values in zip(columns, points[block].T, strict=True):
                rows.isetitem(j, values)
        else:
            rows[:, columns] = points[block]
        yield sparse.csr_matrix(rows) if as_sparse else rows
