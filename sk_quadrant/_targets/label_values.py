"""Values of labels, such as thresholds: one number for all labels, one for each, or read by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._namespaces import in_numpy
from sk_quadrant._targets.label_names import listed, plain_names


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
        return dict(zip(plain_names(values.columns), np.asarray(values)[0].tolist(), strict=True))
    if hasattr(values, "index") and hasattr(values, "to_numpy") and np.ndim(values) == 1:
        keys = plain_names(values.index)
        return dict(zip(keys, values.to_numpy().tolist(), strict=True)) if len(set(keys)) == len(keys) else None
    return None


def _in_order(named: dict[Any, Any], names: Any, n_labels: int, name: str) -> list[Any]:
    expected = plain_names(names) if names is not None else list(range(n_labels))
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
