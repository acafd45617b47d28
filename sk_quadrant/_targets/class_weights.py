"""Class weights as one number per class, or two numbers per label."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray


def class_weights(counts: NDArray[np.float64], classes: NDArray[Any], class_weight: Any) -> NDArray[np.float64]:
    """Return the weight of each class of a 1-D y, shape (n_classes,).

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Number of rows of each class.
    classes : ndarray of shape (n_classes,)
    class_weight : dict or "balanced"
        "balanced" is ``n_samples / (n_classes * counts)`` with the classes that occur, as in scikit-learn.

    Raises
    ------
    ValueError
        If a class weight is not a number, is negative, or has an unknown class.
    """
    if isinstance(class_weight, Mapping):
        names = classes.tolist()
        if not set(names) <= class_weight.keys():  # a fold may lack some classes
            _check_keys(class_weight, names)
        return _read(class_weight, names)
    if class_weight != "balanced":
        raise ValueError(f"class_weight must be 'balanced', a dict or None for a 1-D y, got {class_weight!r}.")
    return np.where(counts > 0, counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1e-300)), 1.0)


def label_weights(frequency: NDArray[np.float64], class_weight: Any, names: Any = None) -> NDArray[np.float64]:
    """Return the weights of absent and of present entries of each label, shape (n_labels, 2).

    Parameters
    ----------
    frequency : ndarray of shape (n_labels,)
        Mean known target of each label.
    class_weight : dict {0: w0, 1: w1}, "balanced", or a list of n_labels, or a dict by label name, of these or None
        "balanced" is n / (2 n_0) and n / (2 n_1) for each label. Labels that are missing from a dict have weight 1.
    names : array-like of shape (n_labels,) or None, default=None
        Names of the labels, None for their numbers.

    Raises
    ------
    ValueError
        If a weight is not a number, is negative, has an unknown class or label, or the list has another length.
    """
    n_labels = len(frequency)
    if isinstance(class_weight, Mapping) and any(
        isinstance(value, Mapping) or value == "balanced" for value in class_weight.values()
    ):
        names = list(range(n_labels)) if names is None else list(names)
        _check_keys(class_weight, names)
        class_weight = [class_weight.get(name) for name in names]
    each = [class_weight] * n_labels if isinstance(class_weight, str | Mapping) else list(class_weight)
    if len(each) != n_labels:
        raise ValueError(f"class_weight must be one for all or a list of {n_labels}, got {len(each)}.")
    return np.array([_weights_of_label(one, share) for one, share in zip(each, frequency, strict=True)])


def _weights_of_label(class_weight: Any, frequency: float) -> NDArray[np.float64]:
    if class_weight is None:
        return np.ones(2)
    if isinstance(class_weight, Mapping):
        _check_keys(class_weight, [0, 1])
        return _read(class_weight, [0, 1])
    if class_weight != "balanced":
        raise ValueError(f"class_weight must be 'balanced', a dict, a list of these or None, got {class_weight!r}.")
    # n / (2 n_c) with n_c rows of class c, as in scikit-learn
    share = np.array([1 - frequency, frequency])
    return np.asarray(np.where(share > 0, 0.5 / np.maximum(share, 1e-300), 1.0))


def _read(class_weight: Mapping[Any, float], classes: list[Any]) -> NDArray[np.float64]:
    """Return the weight of each class, 1 where none is given."""
    for value in class_weight.values():
        if not (isinstance(value, Real) and 0 <= value < np.inf):
            raise ValueError(f"class_weight must hold finite numbers that are not negative, got {value!r}.")
    return np.array([class_weight.get(key, 1.0) for key in classes], dtype=np.float64)


def _check_keys(class_weight: Mapping[Any, float], classes: list[Any]) -> None:
    if unknown := [key for key in class_weight if key not in classes]:
        raise ValueError(f"class_weight must have keys among {classes}, got {unknown}.")
