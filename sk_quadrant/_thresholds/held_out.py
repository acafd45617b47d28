"""Scores of held-out rows with their labels, and counts of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._targets.weights import weigh_rows

if TYPE_CHECKING:
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

    def rows(self, rows: Any) -> HeldOut:
        """Return some of the rows."""
        return self._map(lambda part: part[rows])

    def labels(self, group: Any) -> HeldOut:
        """Return some of the labels."""
        return self._map(lambda part: part if part.ndim == 1 else part[:, group])

    def _map(self, function: Callable[[Any], Any]) -> HeldOut:
        known, weight = (None if part is None else function(part) for part in (self.known, self.weight))
        return HeldOut(function(self.scores), function(self.targets), known, weight)

    def without_idle_rows(self) -> HeldOut:
        """Return the rows that have a weight above 0 and a known label."""
        has_influence = np.ones(len(self.scores), dtype=bool)
        for part in (self.known, self.weight):
            has_influence &= True if part is None else part.reshape(len(part), -1).any(axis=1)
        return self if has_influence.all() else self.rows(has_influence)

    def is_known(self) -> BoolArray:
        """Return which labels are known, of shape (n_samples, n_labels)."""
        return np.ones_like(self.targets) if self.known is None else self.known

    def entries(self) -> tuple[FloatArray, BoolArray, FloatArray | None]:
        """Return the known scores, their targets and their weights, all flat."""
        weight = self.weight
        if weight is not None:
            weight = np.broadcast_to(weight.reshape(len(self.scores), -1), self.scores.shape)
        if self.known is None:
            return self.scores.ravel(), self.targets.ravel(), None if weight is None else weight.ravel()
        return self.scores[self.known], self.targets[self.known], None if weight is None else weight[self.known]

    def mass(self) -> FloatArray:
        """Return the weight of each entry, 0 where it is unknown, of shape (n_samples, n_labels)."""
        if self.weight is None:
            return self.is_known().astype(np.float64)
        return np.asarray((self.weight[:, np.newaxis] if self.weight.ndim == 1 else self.weight) * self.is_known())

    def hits(self, sets: BoolArray) -> tuple[BoolArray, BoolArray]:
        """Return where label sets are right, and where they hold a known label."""
        sets = sets if self.known is None else sets & self.known
        return sets & self.targets, sets

    def counts(self, sets: BoolArray) -> FloatArray:
        """Return the weights of true positives, of predictions and of positives, of shape (3, n_labels)."""
        return np.array([self._total(entries) for entries in (*self.hits(sets), self.targets)])

    def row_counts(self, sets: BoolArray) -> FloatArray:
        """Return the numbers of true positives and of predictions of each row, of shape (2, n_samples)."""
        return np.array([entries.sum(axis=1, dtype=np.float64) for entries in self.hits(sets)])

    def weight_known(self) -> float:
        """Return the total weight of the known entries."""
        return float(self._total(self.is_known()).sum())

    def row_weight(self) -> FloatArray:
        """Return the weight of each row in a mean over rows; see `weigh_rows`."""
        return np.ones(len(self.scores)) if self.weight is None else weigh_rows(self.weight, self.is_known())

    def _total(self, entries: BoolArray) -> FloatArray:
        if self.weight is None:
            return np.asarray(np.count_nonzero(entries, axis=0), dtype=np.float64)
        indices = "i,ij->j" if self.weight.ndim == 1 else "ij,ij->j"
        return np.asarray(np.einsum(indices, self.weight, entries))  # buffered: no float copy of all entries


def constant_as_infinite(scores: FloatArray, data: FitData, split: Split) -> FloatArray:
    """Return scores, infinite for labels with a single class in the training rows of the split."""
    if split.train is None:  # its training rows are unknown
        return scores
    never, always = data.targets.constant_labels(split.train)
    return np.where(never, -np.inf, np.where(always, np.inf, scores)) if (never | always).any() else scores


def fixed_thresholds(data: FitData, splits: Sequence[Split]) -> FloatArray:
    """Return inf for labels that are never positive, -inf for those that always are, NaN for those to tune."""
    thresholds = np.full(data.encoding.n_labels, np.nan)
    if splits[0].train is not None:
        never, always = data.targets.constant_labels()
        thresholds[never], thresholds[always] = np.inf, -np.inf
    return thresholds


def rows_held_out(splits: Sequence[Split]) -> IndexArray:
    """Return the rows of the held-out scores of all splits."""
    return np.concatenate([split.test for split in splits])
