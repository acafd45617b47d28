"""Scores of rows that a classifier was not trained on, and the labels of these rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params, _num_samples, column_or_1d

from sk_quadrant._meta.training_parts import train
from sk_quadrant._multilabel.label_matrix import LabelForm, read_label_matrix
from sk_quadrant._multilabel.responses import respond

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True)
class Targets:
    """The labels of all rows.

    Attributes
    ----------
    y : {array-like, CSR matrix, dataframe} of shape (n_samples, n_labels) or (n_samples,)
        Labels as the estimator is to see them.
    form : LabelForm
        What y looked like.
    values : ndarray of bool of shape (n_samples, n_labels)
        True for a positive label, False for a negative or unknown one.
    known : ndarray of bool of shape (n_samples, n_labels), or None
        False for an unknown label, None if all are known.
    """

    y: Any
    form: LabelForm
    values: BoolArray
    known: BoolArray | None = None

    def constant(self, rows: IndexArray | None) -> tuple[BoolArray, BoolArray]:
        """Return which labels have no known positive among some rows, None for all, and which no negative."""
        values = self.values if rows is None else self.values[rows]
        never = np.logical_not(values.any(axis=0))
        if self.known is not None:
            values = values | ~(self.known if rows is None else self.known[rows])
        return never, np.logical_and(values.all(axis=0), ~never)


def read_targets(y: Any) -> Targets:
    """Return the targets of y, in which a single column counts as a vector unless it is sparse."""
    if not sparse.issparse(y) and (np.ndim(y) == 1 or (np.ndim(y) == 2 and np.shape(y)[1] == 1)):
        y = column_or_1d(y, warn=True)
    labels = read_label_matrix(y)
    entries = labels.entries
    is_other = ~((entries == 0) | (entries == 1) | np.isnan(entries))
    if is_other.any():
        raise ValueError(
            "y must be an indicator matrix of shape (n_samples, n_labels) of 0 and 1, with NaN where a label is "
            f"unknown, got {entries[is_other][0]!r}."
        )
    values = labels.dense()
    unknown = np.isnan(values)
    if unknown.all():
        raise ValueError("y must have a known label, got NaN for every one.")
    return Targets(labels.y, labels.form, values == 1, ~unknown if unknown.any() else None)


@dataclass(frozen=True)
class Split:
    """Rows to train on, None if the classifier is trained already, and rows to score."""

    train: IndexArray | None
    test: IndexArray


@dataclass(frozen=True)
class TrainingData:
    """What the classifiers of the splits are trained on and scored with."""

    X: Any
    targets: Targets
    response_method: str
    fit_params: Mapping[str, Any]

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(_num_samples(self.X))

    def train(self, estimator: Any, rows: IndexArray | None) -> Any:
        """Fit the estimator to some rows, None for all."""
        X, y, params = self.X, self.targets.y, self.fit_params
        if rows is not None:
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            params = _check_method_params(self.X, params, indices=rows)
        return train(estimator, X, y, params, lambda: np.logical_or(*self.targets.constant(rows)))

    def scores(self, estimator: Any, split: Split) -> FloatArray:
        """Return the held-out scores of a split; infinite for labels that its training part has in one class only."""
        X = self.X if split.train is None else _safe_indexing(self.X, split.test)
        scores = respond(estimator, X, self.response_method, self.targets.form).values
        if split.train is None:
            return scores
        never, always = self.targets.constant(split.train)
        return np.where(never, -np.inf, np.where(always, np.inf, scores)) if (never | always).any() else scores


def train_and_score(estimator: Any, data: TrainingData, split: Split) -> FloatArray:
    """Return the held-out scores of the estimator trained on a split."""
    return data.scores(data.train(estimator, split.train), split)


def rows_held_out(splits: list[Split]) -> IndexArray:
    """Return the rows of the held-out scores of all splits."""
    return np.concatenate([split.test for split in splits])


def fixed_cuts(targets: Targets, splits: list[Split]) -> FloatArray:
    """Return inf for labels that are never positive, -inf for those that always are, NaN for those to tune."""
    cuts = np.full(targets.form.n_labels, np.nan)
    if splits[0].train is not None:  # else the classifier may know the label from other rows
        never, always = targets.constant(None)
        cuts[never], cuts[always] = np.inf, -np.inf
    return cuts
