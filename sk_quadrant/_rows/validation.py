"""Validation rows of early stopping: passed to `fit`, or held out by a splitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sk_quadrant._arrays import IndexArray
from sk_quadrant._namespaces import is_tensor
from sk_quadrant._rows.inputs import Inputs
from sk_quadrant._rows.reading import read_inputs, read_numbers
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


def read_validation_rows(estimator: Any, rows: TrainingRows, X: Any, y: Any, sample_weight: Any) -> TrainingRows:
    """Return validation rows in the form of the training rows.

    Parameters
    ----------
    estimator : QuadrantMultiLabelClassifier
    rows : TrainingRows
        Training rows, with the encoding of y, "balanced" class weights, precision and kind of features.
    X, y, sample_weight : array-like
        `X_val`, `y_val` and `sample_weight_val` of the estimator.

    Raises
    ------
    ValueError
        If X is not like that of the training rows, or if y or sample_weight do not fit X or the encoding.
    """
    try:
        return read_training_rows(
            _features_like(rows, estimator, X),
            y,
            sample_weight,
            missing_labels=estimator.missing_labels,
            class_weight=estimator.class_weight,
            label_smoothing=0.0,
            encoding=rows.encoding,
            counts=rows.encoding.count(rows.targets),
        )
    except ValueError as error:
        raise ValueError(f"In X_val, y_val and sample_weight_val: {error}") from error


def _features_like(rows: TrainingRows, estimator: Any, X: Any) -> Any:
    """Return checked features in the form and precision of those of some rows."""
    if isinstance(rows.X, Inputs):
        return read_inputs(estimator, X, rows.namespace, reset=False).conform(rows.X.signature())
    X = read_numbers(estimator, X, rows.namespace, reset=False)
    if is_tensor(X):
        return X.to(rows.X)
    X = X.astype(rows.dtype, copy=False)
    if sparse.issparse(X) == sparse.issparse(rows.X):
        return X
    return X.toarray() if sparse.issparse(X) else sparse.csr_matrix(X)
