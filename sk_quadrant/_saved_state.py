"""What is saved of an estimator: plain values and arrays, and the version that saved them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

import sk_quadrant

VERSION = "_sk_quadrant_version"


class SavedByOtherVersionWarning(InconsistentVersionWarning):  # type: ignore[misc]
    """Warning of an estimator that another version of this package has saved.

    Parameters
    ----------
    estimator_name : str
    current_version, original_version : str
        Versions of sk_quadrant.
    """

    def __init__(self, *, estimator_name: str, current_version: str, original_version: str) -> None:
        self.estimator_name = estimator_name
        self.current_version, self.original_version = current_version, original_version

    def __str__(self) -> str:
        return (
            f"{self.estimator_name} was saved by sk_quadrant {self.original_version} and is loaded by sk_quadrant "
            f"{self.current_version}. Its predictions may differ, or fail. Fit it again, or load it with the version "
            "that saved it."
        )


class SavedState:
    """Mixin of estimators whose saved state is made of plain values and arrays, in which nothing of the inside shows.

    A file then survives that private classes move, and is read by formats that allow few types. A subclass writes
    `_pack` and `_unpack`.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**self._pack(dict(state)), VERSION: sk_quadrant.__version__}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        state = dict(state)
        warn_of_version(type(self).__name__, str(state.pop(VERSION, "before 0.1")))
        self.__dict__.update(self._unpack(state))

    def _pack(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return a state in which own objects are replaced by plain values."""
        return state

    def _unpack(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return a state in which they are objects again."""
        return state


def warn_of_version(name: str, version: str) -> None:
    """Warn if what is loaded was saved by another version."""
    if version != sk_quadrant.__version__:
        warnings.warn(
            SavedByOtherVersionWarning(
                estimator_name=name, current_version=sk_quadrant.__version__, original_version=version
            ),
            stacklevel=3,
        )


def plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
