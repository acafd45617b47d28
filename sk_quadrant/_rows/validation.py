"""Validation rows of early stopping: passed to `fit`, or held out by a splitter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sk_quadrant._arrays import IndexArray
from sk_quadrant._namespaces import is_tensor
from sk_quadrant._rows.inputs import Inputs
from sk_quadrant._rows.training import TrainingRows, read_training_rows


@dataclass(frozen=True)
class Division:
    """Indices of training rows and of validation rows."""

    train: IndexArray
    test: IndexArray


def divide(splitter: Any, X: Any, y: Any, groups: Any) -> Division:
    """Return the first split of a splitter.

    Raises
    ------
    ValueError
        If there is none, or one of its parts is empty.
    """
    options = {} if groups is None else {"groups": groups}
    train, test = next(iter(splitter.split(X, y, **options)), ((), ()))
    division = Division(np.asarray(train, dtype=np.intp), np.asarray(test, dtype=np.intp))
    if not division.train.size or not division.test.size:
        raise ValueError(
            f"validation_fraction={splitter} must give training and validation rows, got {division.train.size} "
            f"and {division.test.size}."
        )
    return division


def read_validation_rows(
    rows: TrainingRows, X: Any, y: Any, sample_weight: Any, *, missing_labels: str, class_weight: Any
) -> TrainingRows:
    """Return validation rows in the form of the training rows.

    Parameters
    ----------
    rows : TrainingRows
        Training rows, with the encoding of y, "balanced" class weights, precision and kind of features.
    X : ndarray or sparse CSR matrix of shape (n_rows, n_features), or Inputs
        Checked features.
    y, sample_weight : array-like
        `y_val` and `sample_weight_val` of the estimator.
    missing_labels, class_weight
        Parameters of the estimator.

    Raises
    ------
    ValueError
        If y or sample_weight do not fit X or the encoding.
    """
    if is_tensor(X):
        X = X.to(rows.X)
    elif not isinstance(X, Inputs):
        X = X.astype(rows.dtype, copy=False)
        if sparse.issparse(X) != sparse.issparse(rows.X):
            X = X.toarray() if sparse.issparse(X) else sparse.csr_matrix(X)
    with about_validation_data():
        return read_training_rows(
            X,
            y,
            sample_weight,
            missing_labels=missing_labels,
            class_weight=_resolved(class_weight, rows),
            label_smoothing=0.0,
            encoding=rows.encoding,
        )


@contextmanager
def about_validation_data() -> Iterator[None]:
    """Say in a ValueError that it is about the validation rows."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In X_val, y_val and sample_weight_val: {error}") from error


def _resolved(class_weight: Any, rows: TrainingRows) -> Any:
    """Return class weights with the numbers of the training rows in place of "balanced"."""
    frequency = rows.encoding.complete(rows.targets.frequency()[np.newaxis])[0]  # of both classes of a binary y
    n_known = len(rows) if rows.encoding.exclusive else rows.targets.n_known()
    return rows.encoding.resolve_class_weight(class_weight, frequency * n_known, n_known)
