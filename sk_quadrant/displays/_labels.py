"""Labels of a display: their values, their names, and the ones to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from sk_quadrant._arrays import FloatArray, IndexArray, masked_as_nan
from sk_quadrant._targets.targets import read_matrix


def read_labels(y: Any, *, parameter: str, missing: bool = False) -> FloatArray:
    """Return 0/1 labels as a dense array of shape (n_samples, n_labels); `missing` allows NaN for unknown labels."""
    targets = read_matrix(_as_matrix(y), missing_labels="ignore", name=parameter)
    labels = np.where(targets.known(), targets.values, np.nan)
    allowed = (labels == 0) | (labels == 1) | (missing & np.isnan(labels))
    if not allowed.all():
        raise ValueError(
            f"{parameter} must hold 0 and 1{', or NaN where unknown' if missing else ''}, got {labels[~allowed][0]:g}."
            + (" Leave out rows with unknown labels." if np.isnan(labels[~allowed][0]) else "")
        )
    return np.asarray(labels, dtype=np.float64)


def _as_matrix(y: Any) -> Any:
    """Return y with one column per label; a vector is one label."""
    if sparse.issparse(y):
        return y.toarray()
    if hasattr(y, "to_frame"):  # a Series
        return y.to_frame()
    is_vector = y.ndim == 1 if hasattr(y, "ndim") else all(np.ndim(row) == 0 for row in y)
    return np.asarray(masked_as_nan(y))[:, np.newaxis] if is_vector else y


def read_scores(y_score: Any, *, parameter: str, truth: FloatArray) -> FloatArray:
    """Return finite numbers, which must have the shape of the labels."""
    scores = check_array(y_score, accept_sparse="csr", dtype=np.float64, ensure_2d=False, input_name=parameter)
    scores = scores.toarray() if sparse.issparse(scores) else scores.reshape(len(scores), -1)
    check_same_shape(y_true=truth, **{parameter: scores})
    return np.asarray(scores)


def check_same_shape(**matrices: NDArray[Any]) -> None:
    """Raise unless the two named matrices have the same shape."""
    (first, a), (second, b) = matrices.items()
    if a.shape != b.shape:
        raise ValueError(f"{first} and {second} must have the same shape, got {a.shape} and {b.shape}.")


def name_labels(label_names: Sequence[Any] | None, n_labels: int, *, y: Any = None) -> list[str]:
    """Return the given names, the columns of y, or numbered names."""
    if label_names is None:
        columns = getattr(y, "columns", None)
        return [f"label {j}" for j in range(n_labels)] if columns is None else [str(name) for name in columns]
    if len(label_names) != n_labels:
        raise ValueError(f"label_names must hold one name a label: expected {n_labels}, got {len(label_names)}.")
    return [str(name) for name in label_names]


def choose_labels(
    labels: Any,
    names: list[str],
    *,
    importance: NDArray[Any],
    important: str,
    max_labels: int,
    may_be_empty: bool = False,
) -> tuple[IndexArray, str]:
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
