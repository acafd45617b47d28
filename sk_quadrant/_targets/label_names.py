"""Names of labels: columns of y sorted into the order of fit, and values of labels read by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._namespaces import in_numpy


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
    expected, given = _plain(names), _plain(found)
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
    names, others = _plain(names), _plain(others)
    return names == others or (len(names) == len(others) and (_is_unnamed(names) or _is_unnamed(others)))


def read_label_values(values: Any, names: Any, n_labels: int, *, name: str) -> NDArray[np.float64]:
    """Return one number for each label.

    Parameters
    ----------
    values : float, array-like of shape (n_labels,), or Series, mapping or one-row DataFrame with label names
        One number for all labels, or one for each. What has names is read by name, in any order.
    names : array-like of shape (n_labels,) or None
        Names of the labels, None if they have none.
    n_labels : int
    name : str
        Name of the parameter in error messages.

    Returns
    -------
    ndarray of shape (n_labels,)
        A new array of dtype float64.

    Raises
    ------
    ValueError
        If the shape does not fit, or names are not those of the labels; the message shows both lists.

    Examples
    --------
    >>> import pandas as pd
    >>> read_label_values(pd.Series({"ad": 0.9, "spam": 0.1}), ["spam", "ad"], 2, name="threshold")
    array([0.1, 0.9])
    """
    values = in_numpy(values)
    named = _named_values(values)
    if named is not None:
        values = _in_order(named, names, n_labels, name)
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one number or have shape ({n_labels},), got {values!r}.") from None
    if numbers.shape not in ((), (n_labels,)):
        raise ValueError(f"{name} must be one number or have shape ({n_labels},), got {numbers.shape}.")
    return np.broadcast_to(numbers, n_labels).copy()


def _named_values(values: Any) -> dict[Any, Any] | None:
    """Return values by name, None if they have no names."""
    if isinstance(values, Mapping):
        return dict(values)
    if hasattr(values, "columns") and len(values) == 1:
        return dict(zip(_plain(values.columns), np.asarray(values)[0].tolist(), strict=True))
    if hasattr(values, "index") and hasattr(values, "to_numpy") and np.ndim(values) == 1:
        keys = _plain(values.index)
        return dict(zip(keys, values.to_numpy().tolist(), strict=True)) if len(set(keys)) == len(keys) else None
    return None


def _in_order(named: dict[Any, Any], names: Any, n_labels: int, name: str) -> list[Any]:
    expected = _plain(names) if names is not None else list(range(n_labels))
    if set(named) != set(expected) and set(named) == set(range(n_labels)):
        expected = list(range(n_labels))  # numbers are positions where they are not names
    if set(named) == set(expected):
        return [named[label] for label in expected]
    if names is None:
        raise ValueError(
            f"{name} has the names {listed(named)}, but the labels have none. Pass y as a DataFrame with these "
            f"columns, or {name} as an array of shape ({n_labels},)."
        )
    raise ValueError(f"{name} must have one value for each of the labels {listed(expected)}, got {listed(named)}.")


def _is_unnamed(names: Sequence[Any]) -> bool:
    """Whether names are 0, 1, 2, ..., the default of pandas."""
    return all(isinstance(each, Number) for each in names) and list(names) == list(range(len(names)))


def _plain(names: Any) -> list[Any]:
    return np.asarray(names, dtype=object).tolist() if not isinstance(names, list) else names


def listed(names: Any, most: int = 20) -> str:
    """Return names as a message lists them, shortened if there are many."""
    each = names.tolist() if hasattr(names, "tolist") else list(names)
    return str(each) if len(each) <= most else f"{str(each[:most])[:-1]}, ...] ({len(each)} in all)"
