"""Recognition: which encoding a y has."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets

from sk_quadrant._targets.encodings import Binary, Encoding, Multiclass, MultiLabel
from sk_quadrant._targets.reading import as_classes, check_matrix_shape, column_names, count_classes, is_label_matrix
from sk_quadrant._targets.targets import Targets


def read_targets(y: Any, *, missing_labels: str, classes: Any = None, min_classes: int = 2) -> tuple[Encoding, Targets]:
    """Return the encoding of y and its targets.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
    missing_labels : {"error", "ignore"}
        What NaN in a label matrix means: a mistake, or an unknown label.
    classes : array-like, default=None
        All classes of a 1-D y, where y need not hold them all; for a label matrix ``arange(n_labels)``.
    min_classes : int, default=2
        Smallest number of classes of a 1-D y.

    Raises
    ------
    ValueError
        If y is not 0/1, not a probability, has too few classes, or is not a classification target.
    """
    if not is_label_matrix(y):
        y = as_classes(y)
    encoding = recognize(y, classes, min_classes=min_classes)
    return encoding, encoding.encode(y, missing_labels=missing_labels)


def recognize(y: Any, classes: Any = None, *, min_classes: int = 2) -> Encoding:
    """Return the encoding of y; see `read_targets`."""
    if is_label_matrix(y):
        matrix = y if hasattr(y, "shape") else np.asarray(y)
        check_matrix_shape(matrix)
        n_labels = matrix.shape[1]
        if classes is not None and not np.array_equal(np.unique(classes), np.arange(n_labels)):
            raise ValueError(
                f"classes must be None or arange({n_labels}) for a y of {n_labels} labels, got {classes!r}."
            )
        return MultiLabel(np.arange(n_labels), column_names(y), container_of(y))
    found, _ = count_classes(y if classes is None else np.asarray(classes))
    check_classification_targets(y)
    if len(found) < min_classes:
        raise ValueError(f"y must have at least {min_classes} classes, got {len(found)} class: {found.tolist()}.")
    return Binary(found) if len(found) <= 2 else Multiclass(found)


def container_of(y: Any) -> str | None:
    """Return the class in `scipy.sparse` of predictions for a y, None for dense ones."""
    if not sparse.issparse(y):
        return None
    return "csr_array" if isinstance(y, sparse.sparray) else "csr_matrix"
