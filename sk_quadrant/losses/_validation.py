"""Checks of the parameters of a loss."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any


def check_interval(loss: Any, name: str, low: float, high: float, *, brackets: str = "[]") -> None:
    """Raise unless the parameter is a real number in the interval, closed at ends with a square bracket."""
    value = getattr(loss, name)
    allowed = f"a real number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{type(loss).__name__}: {name} must be {allowed}, got {value!r}.")
    value = float(value)
    above = low <= value if brackets[0] == "[" else low < value
    below = value <= high if brackets[1] == "]" else value < high
    if math.isnan(value) or not (above and below):
        raise ValueError(f"{type(loss).__name__}: {name} must be {allowed}, got {value!r}.")


def check_positive(loss: Any, name: str) -> None:
    """Raise unless the parameter is a finite number above 0."""
    check_interval(loss, name, 0, math.inf, brackets="()")


def check_finite(loss: Any, name: str) -> None:
    """Raise unless the parameter is a finite number."""
    check_interval(loss, name, -math.inf, math.inf, brackets="()")
