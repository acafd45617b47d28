"""Scores of held-out rows with their labels, and counts of predictions at thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._targets.weights import weigh_rows

if TYPE_CHECKING:
    from sk_quadrant._callback_support import PartOfFit
    from sk_quadrant._meta_estimator import FitData, Split


@dataclass(frozen=True)
class HeldOut:
    """Scores of rows that the classifier was not fitted to, with their labels.

    A label is predicted if its score is strictly above its threshold: a score of -inf is never predicted.

    Attributes
    ----------
    scores : ndarray of shape (n_samples, n_labels)
        Scores, without NaN.
    targets : ndarray of bool of shape (n_samples, n_labels)
        True for a positive label, False for a negative or unknown one.
    known : ndarray of bool of shape (n_samples, n_labels), or None
        False for an unknown label, which then has no influence. None if all are known.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), or None
        Nonnegative weights of the rows, or of each label of each row. None if all are 1.
    """

    scores: FloatArray
    targets: BoolArray
    known: BoolArray | None = None
    weight: FloatArray | None = None

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.scores.shape[1])

    def without_idle_rows(self) -> HeldOut:
        """Return the rows that have a weight above 0 and a known label."""
        has_influence = np.ones(len(self.scores), dtype=bool) if self.known is None else self.known.any(axis=1)
        has_influence &= True if self.weight is None else self.weight.reshape(len(self.scores), -1).any(axis=1)
        if has_influence.all():
            return self
        known = None if self.known is None else self.known[has_influence]
        weight = None if self.weight is None else self.weight[has_influence]
        return HeldOut(self.scores[has_influence], self.targets[has_influence], known, weight)

    def n_positives(self) -> IndexArray:
        """Return the number of positives of each label with a score above -inf, of shape (n_labels,)."""
        return np.asarray(np.count_nonzero(self.targets & (self.scores > -np.inf), axis=0))

    def predictions(self, thresholds: FloatArray) -> BoolArray:
        """Return where scores are above thresholds of shape (n_labels,); False where the label is unknown."""
        predicted = self.scores > thresholds
        return predicted if self.known is None else predicted & self.known

    def labels(self, group: IndexArray) -> HeldOut:
        """Return some of the labels."""
        known = None if self.known is None else self.known[:, group]
        weight = self.weight if self.weight is None or self.weight.ndim == 1 else self.weight[:, group]
        return HeldOut(self.scores[:, group], self.targets[:, group], known, weight)

    def entries(self) -> tuple[FloatArray, BoolArray, FloatArray | None]:
        """Return the known scores, their targets and their weights, all flat."""
        weight = self.weight
        if weight is not None:
            weight = np.broadcast_to(weight.reshape(len(self.scores), -1), self.scores.shape)
        if self.known is None:
            return self.scores.ravel(), self.targets.ravel(), None if weight is None else weight.ravel()
        return self.scores[self.known], self.targets[self.known], None if weight is None else weight[self.known]

    def is_known(self) -> BoolArray:
        """Return which labels are known, of shape (n_samples, n_labels)."""
        return np.ones_like(self.targets) if self.known is None else self.known

    def counts(self, thresholds: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the weights of true positives, of predictions and of positives, each of shape (n_labels,)."""
        predicted = self.predictions(thresholds)
        return self._total(predicted & self.targets), self._total(predicted), self._total(self.targets)

    def weight_known(self) -> float:
        """Return the total weight of the known entries."""
        return float(self._total(self.is_known()).sum())

    def row_weight(self) -> FloatArray | None:
        """Return the weight of each row in a mean over rows, None if all are 1; see `weigh_rows`."""
        return None if self.weight is None else weigh_rows(self.weight, self.is_known())

    def row_mean(self, values: FloatArray) -> float:
        """Return the weighted mean over rows of values of shape (n_samples,)."""
        return float(np.average(values, weights=self.row_weight()))

    def _total(self, entries: BoolArray) -> FloatArray:
        if self.weight is None:
            return np.asarray(np.count_nonzero(entries, axis=0), dtype=np.float64)
        indices = "i,ij->j" if self.weight.ndim == 1 else "ij,ij->j"
        return np.asarray(np.einsum(indices, self.weight, entries))  # buffered: no float copy of all entries


def fit_and_score(estimator: Any, data: FitData, split: Split, method: str, step: PartOfFit | None) -> FloatArray:
    """Return the held-out scores of the estimator fitted to the training rows of a split."""
    return score(data.fit(estimator, split.train, step=step), data, split, method)


def score(classifier: Any, data: FitData, split: Split, method: str) -> FloatArray:
    """Return the held-out scores of a split, infinite for labels with a single class in its training rows."""
    return constant_as_infinite(data.respond(classifier, split, method).values, data, split)


def constant_as_infinite(scores: FloatArray, data: FitData, split: Split) -> FloatArray:
    """Return scores, infinite for labels with a single class in the training rows of the split."""
    if split.train is None:  # its training rows are unknown
        return scores
    never, always = data.constant_labels(split.train)
    return np.where(never, -np.inf, np.where(always, np.inf, scores)) if (never | always).any() else scores


def fixed_thresholds(data: FitData, splits: list[Split]) -> FloatArray:
    """Return inf for labels that are never positive, -inf for those that always are, NaN for those to tune."""
    thresholds = np.full(data.encoding.n_labels, np.nan)
    if splits[0].train is not None:
        never, always = data.constant_labels()
        thresholds[never], thresholds[always] = np.inf, -np.inf
    return thresholds


def rows_held_out(splits: list[Split]) -> IndexArray:
    """Return the rows of the held-out scores of all splits."""
    return np.concatenate([split.test for split in splits])
