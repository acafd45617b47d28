"""Checks of the parameters of a loss."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np


def check_interval(loss: Any, name: str, low: float, high: float, *, brackets: str = "[]") -> None:
    """Raise unless the parameter is a real number in the interval, closed at ends with a square bracket."""
    value = getattr(loss, name)
    allowed = f"a real number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{type(loss).__name__}: {name} must be {allowed}, got {value!r}.")
    if not _are_inside([value], low, high, brackets):
        raise ValueError(f"{type(loss).__name__}: {name} must be {allowed}, got {float(value)!r}.")


def check_positive(loss: Any, name: str) -> None:
    """Raise unless the parameter is a finite number above 0."""
    check_interval(loss, name, 0, math.inf, brackets="()")


def check_finite(loss: Any, name: str) -> None:
    """Raise unless the parameter is a finite number."""
    check_interval(loss, name, -math.inf, math.inf, brackets="()")


def check_per_label(loss: Any, name: str, low: float, high: float, *, brackets: str) -> None:
    """Raise unless the parameter is a number in the interval or a sequence of them, which becomes a tuple of floats."""
    value = getattr(loss, name)
    if isinstance(value, Real):
        check_interval(loss, name, low, high, brackets=brackets)
        return
    interval = f"{brackets[0]}{low:g}, {high:g}{brackets[1]}"
    allowed = (
        f"{type(loss).__name__}: {name} must be a real number in {interval}, or a sequence with one for each label"
    )
    if isinstance(value, str | bytes) or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
        raise TypeError(f"{allowed}, got {value!r}.")
    if hasattr(value, "to_numpy") and list(getattr(value, "index", ())) not in ([], list(range(len(value)))):
        raise ValueError(
            f"{type(loss).__name__}: {name} is read by position, because a loss does not know the names of labels, got "
            f"names {list(value.index)!r:.200}. Pass {name}[y.columns].to_numpy()."
        )
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1 or not numbers.size:
        kind = TypeError if numbers.dtype.kind not in "iuf" else ValueError
        raise kind(f"{allowed}, got {value!r:.200}.")
    if not _are_inside(numbers, low, high, brackets):
        raise ValueError(f"{allowed}, got {value!r:.200}.")
    if not isinstance(value, tuple) or not all(type(number) is float for number in value):
        object.__setattr__(loss, name, tuple(numbers.astype(float).tolist()))


def _are_inside(values: Any, low: float, high: float, brackets: str) -> bool:
    numbers = np.asarray(values, dtype=float)
    above = numbers >= low if brackets[0] == "[" else numbers > low
    below = numbers <= high if brackets[1] == "]" else numbers < high
    return bool((above & below).all())
