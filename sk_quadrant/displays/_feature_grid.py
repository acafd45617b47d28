"""Grid over two features of a data set; the other features are held constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.sparsefuncs import csc_median_axis_0

from sk_quadrant._arrays import FloatArray, row_blocks
from sk_quadrant.displays._labels import find_column

VALUES_AT_ONCE = 10_000_000  # 80 MB in float64


@dataclass(frozen=True)
class FeatureGrid:
    """Points over two features of X, in the container type of X.

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        Data.
    columns : tuple of (int, int)
        The two features.
    held : list of length n_features
        Values of all features; those of the two are not used.
    xx0, xx1 : ndarray of shape (resolution, resolution)
        The grid.
    """

    X: Any
    columns: tuple[int, int]
    held: list[Any]
    xx0: FloatArray
    xx1: FloatArray

    def chunks(self) -> Iterator[Any]:
        """Yield all points, row by row of the grid, as rows with all features."""
        points = np.column_stack([self.xx0.ravel(), self.xx1.ravel()])
        to_rows = self._to_frame if hasattr(self.X, "iloc") else self._to_array
        for chunk in row_blocks(len(points), max(1, VALUES_AT_ONCE // len(self.held))):
            yield to_rows(points[chunk])

    def _to_array(self, points: FloatArray) -> Any:
        dtype = object if self.X.dtype == object else np.float64  # of words
        rows = np.tile(np.array(self.held, dtype=dtype), (len(points), 1))
        rows[:, list(self.columns)] = points
        return sparse.csr_matrix(rows) if sparse.issparse(self.X) else rows

    def _to_frame(self, points: FloatArray) -> Any:
        """Return a DataFrame with the column names of X and, except for numbers, the dtypes of X."""
        rows = self.X.iloc[np.zeros(len(points), dtype=np.intp)].reset_index(drop=True)
        for j, value in enumerate(self.held):
            known = rows.iloc[:, j]
            values = points[:, self.columns.index(j)] if j in self.columns else np.full(len(points), value)
            dtype = values.dtype if np.issubdtype(values.dtype, np.number) else known.dtype
            rows.isetitem(j, type(known)(values, dtype=dtype))
        return rows


def make_grid(X: Any, features: Any, held: Any, *, resolution: int) -> FeatureGrid:
    """Return a grid 5% wider than the data on each side; features not in `held` have their medians."""
    if resolution < 2:
        raise ValueError(f"grid_resolution must be at least 2, got {resolution}.")
    names = feature_names(X)
    if len(names) < 2:
        raise ValueError(f"X must have at least 2 features, got {len(names)}.")
    if len(features) != 2 or features[0] == features[1]:
        raise ValueError(f"features must be two different names or columns of X, got {features}.")
    columns = (_find_feature(features[0], names), _find_feature(features[1], names))
    xx0, xx1 = np.meshgrid(*(_span(column_of(X, j), resolution) for j in columns))
    return FeatureGrid(X, columns, _held_values(X, held, names), xx0, xx1)


def feature_names(X: Any) -> list[str]:
    """Return the names of the columns of X."""
    columns = getattr(X, "columns", None)
    return [f"feature {j}" for j in range(X.shape[1])] if columns is None else [str(name) for name in columns]


def column_of(X: Any, j: int) -> NDArray[Any]:
    """Return one feature."""
    if hasattr(X, "tocsc"):
        return np.asarray(X.tocsc()[:, [j]].toarray().ravel())
    return np.asarray(X.iloc[:, j] if hasattr(X, "iloc") else X[:, j])


def _find_feature(feature: Any, names: list[str]) -> int:
    return find_column(feature, names, parameter="features", matrix="X")


def _span(values: NDArray[Any], resolution: int) -> FloatArray:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, resolution)


def _held_values(X: Any, held: Any, names: list[str]) -> list[Any]:
    """Return one value per feature: the requested one, else the median."""
    if held is None or isinstance(held, Mapping):
        values = _typical_values(X)
        for feature, value in (held or {}).items():
            values[_find_feature(feature, names)] = value
        return values
    if len(held) != len(names):
        raise ValueError(f"held must hold one value a feature: expected {len(names)}, got {len(held)}.")
    return list(held)


def _typical_values(X: Any) -> list[Any]:
    """Return the median of each feature of numbers, the most frequent one of other values."""
    if sparse.issparse(X):
        return list(csc_median_axis_0(sparse.csc_matrix(X)))
    if not hasattr(X, "iloc") and np.issubdtype(X.dtype, np.number):
        return list(np.nanmedian(X, axis=0))
    return [_typical_value(column_of(X, j)) for j in range(X.shape[1])]


def _typical_value(values: NDArray[Any]) -> Any:
    """Return the median of numbers, the most frequent one of other values."""
    if np.issubdtype(values.dtype, np.number):
        return np.nanmedian(values)
    known, counts = np.unique(values.astype(str), return_counts=True)
    return next(value for value in values if str(value) == known[counts.argmax()])
