"""Labels of a display: their values, their names, and the ones to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]


def read_labels(y: Any, *, parameter: str, missing: bool = False) -> Floats:
    """Return 0/1 labels as a dense array of shape (n_samples, n_labels); `missing` allows NaN for unknown ones."""
    values = read_matrix(y, parameter=parameter)
    allowed = (values == 0) | (values == 1) | (missing & np.isnan(values))
    if not allowed.all():
        raise ValueError(
            f"{parameter} must hold 0 and 1{', or NaN where unknown' if missing else ''}, got {values[~allowed][0]:g}."
        )
    return values


def read_matrix(y: Any, *, parameter: str) -> Floats:
    """Return numbers as a dense array of shape (n_samples, n_labels); a vector is one label."""
    try:
        values = np.asarray(y.toarray() if hasattr(y, "toarray") else y).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{parameter} must be a matrix of numbers of shape (n_samples, n_labels), got {type(y).__name__}; "
            "MultiLabelBinarizer makes one from lists of labels."
        ) from error
    if values.ndim == 1:
        values = values[:, np.newaxis]
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{parameter} must be of shape (n_samples, n_labels) and not empty, got shape {values.shape}.")
    return values


def check_same_shape(**matrices: NDArray[Any]) -> None:
    """Raise unless the two named matrices have the same shape."""
    (first, a), (second, b) = matrices.items()
    if a.shape != b.shape:
        raise ValueError(f"{first} and {second} must have the same shape, got {a.shape} and {b.shape}.")


def name_labels(label_names: Sequence[Any] | None, n_labels: int, *, y: Any = None, fitted: Any = None) -> list[str]:
    """Return the names given, else the columns of y or the names seen in fit, else numbered names."""
    if label_names is not None:
        if len(label_names) != n_labels:
            raise ValueError(f"label_names must hold one name a label: expected {n_labels}, got {len(label_names)}.")
        return [str(name) for name in label_names]
    known = [[str(name) for name in names] for names in (getattr(y, "columns", None), fitted) if names is not None]
    if len(known) == 2 and known[0] != known[1]:
        raise ValueError(
            f"The columns of y must be the labels the estimator was fitted on, in their order; got {known[0]}, "
            f"expected {known[1]}."
        )
    return known[0] if known else [f"label {j}" for j in range(n_labels)]


def choose_labels(
    labels: Any,
    names: list[str],
    *,
    importance: NDArray[Any],
    important: str,
    max_labels: int,
    may_be_empty: bool = False,
) -> tuple[Indices, str]:
    """Return the columns to show and a note on how they were chosen.

    They are the requested `labels`, else all labels, else the `max_labels` with the highest `importance`, which the
    note describes as the most `important`.
    """
    if max_labels < 1:
        raise ValueError(f"max_labels must be at least 1, got {max_labels}.")
    if labels is not None:
        if len(labels) == 0 and not may_be_empty:
            raise ValueError("labels must hold at least one name or column, got none.")
        columns = [find_column(label, names, parameter="labels", matrix="labels") for label in labels]
        return np.array(columns, dtype=np.intp), ""
    if len(names) <= max_labels:
        return np.arange(len(names)), ""
    note = f"{max_labels} of {len(names)} labels: {important}"
    return np.argsort(-importance, kind="stable")[:max_labels], note


def find_column(member: Any, names: list[str], *, parameter: str, matrix: str) -> int:
    """Return the column of a label or a feature given by its name or its number."""
    if isinstance(member, str):
        if member not in names:
            raise ValueError(
                f"{parameter} must be names or columns of {matrix}, got {member!r}; there is no such name."
            )
        return names.index(member)
    if not 0 <= member < len(names):
        raise ValueError(f"{parameter} must be names or columns between 0 and {len(names) - 1}, got {member}.")
    return int(member)
