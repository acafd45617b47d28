"""Names of labels: columns of y sorted into the order of fit."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray


def column_names(y: Any) -> NDArray[np.object_] | None:
    """Return the columns of a DataFrame, None for anything else."""
    return np.asarray(y.columns, dtype=object) if hasattr(y, "columns") else None


def align_labels(y: Any, names: Any, *, name: str = "y", of: str = "fit") -> Any:
    """Return a DataFrame with its columns in the order of label names, and anything else as it is.

    The default names of pandas, 0 to ``n_labels - 1``, match any other names.

    Parameters
    ----------
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        Values of labels: y, weights, probabilities.
    names : array-like of shape (n_labels,) or None
        Names of the labels in fit, None if they had none.
    name : str, default="y"
        Name of `y`, for the error message.
    of : str, default="fit"
        Source of the names, for the error message.

    Raises
    ------
    ValueError
        If `y` has other columns; the message shows both lists.
    """
    found = column_names(y)
    if names is None or found is None:
        return y
    expected, given = plain_names(names), plain_names(found)
    if given == expected:
        return y
    if len(set(expected)) == len(expected) and sorted(map(repr, given)) == sorted(map(repr, expected)):
        return y[expected]
    if are_compatible(given, expected):
        return y
    raise ValueError(
        f"{name} must have the labels of {of} as columns, {listed(expected)}, in any order, got {listed(given)}."
    )


def are_compatible(names: Any, others: Any) -> bool:
    """Whether names of labels are the same in the same order, or one of them is None."""
    if names is None or others is None:
        return True
    names, others = plain_names(names), plain_names(others)
    return names == others or (len(names) == len(others) and (_is_unnamed(names) or _is_unnamed(others)))


def _is_unnamed(names: Sequence[Any]) -> bool:
    """Whether names are 0, 1, 2, ..., the default of pandas."""
    return all(isinstance(each, Number) for each in names) and list(names) == list(range(len(names)))


def plain_names(names: Any) -> list[Any]:
    """Return names as a list."""
    return np.asarray(names, dtype=object).tolist() if not isinstance(names, list) else names


def listed(names: Any, most: int = 20) -> str:
    """Return names as a message lists them, shortened if there are many."""
    each = names.tolist() if hasattr(names, "tolist") else list(names)
    return str(each) if len(each) <= most else f"{str(each[:most])[:-1]}, ...] ({len(each)} in all)"
