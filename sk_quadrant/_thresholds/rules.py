r"""Rules: from scores and thresholds to the label set of each row.

Without a rule a label is predicted if its score is above its threshold. `min_labels` and `max_labels` bound the number
of labels: the labels with the largest score minus threshold are taken. For probabilities this is the best set of an
allowed size: a threshold t is optimal if a false positive costs t and a false negative 1 - t, and the
expected cost of a set S is, up to a constant, :math:`-\sum_{j \in S} (p_j - t_j)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, row_blocks
from sk_quadrant._thresholds.expected_f1 import expected_f1_sets

RULES = ("expected_f1",)
ENTRIES_AT_ONCE = 2**20


@dataclass(frozen=True)
class Rule:
    """Rule for label sets: bounds on their size, or expected F1.

    Attributes
    ----------
    min_labels : int, default=0
        Smallest number of labels of a row.
    max_labels : int or None, default=None
        Largest number of labels of a row, None for all.
    name : {"expected_f1"} or None, default=None
        None compares scores with thresholds; "expected_f1" takes the set of the highest expected F1.

    Examples
    --------
    >>> import numpy as np
    >>> scores, thresholds = np.array([[0.2, 0.45, 0.1], [0.9, 0.7, 0.8]]), np.full(3, 0.5)
    >>> Rule(min_labels=1, max_labels=2).decide(scores, thresholds).astype(int)
    array([[0, 1, 0],
           [1, 0, 1]])
    """

    min_labels: int = 0
    max_labels: int | None = None
    name: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether each label is decided by its own threshold alone."""
        return self == Rule()

    def check(self, n_labels: int) -> None:
        """Raise a ValueError unless the rule is possible for a number of labels."""
        if self.max_labels is not None and self.min_labels > self.max_labels:
            raise ValueError(f"min_labels must be at most max_labels={self.max_labels}, got {self.min_labels}.")
        if self.min_labels > n_labels:
            raise ValueError(f"min_labels must be at most the number of labels, {n_labels}, got {self.min_labels}.")

    def decide(self, scores: FloatArray, thresholds: FloatArray) -> BoolArray:
        """Return the label sets of rows.

        Ties are broken by the larger score, then by the smaller index.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_labels)
            Scores without NaN; probabilities for "expected_f1".
        thresholds : ndarray of shape (n_labels,)
            Score above which a label is predicted by itself.

        Returns
        -------
        ndarray of bool of shape (n_samples, n_labels)
        """
        if self.is_plain:
            return np.asarray(scores > thresholds)
        decisions = np.empty(scores.shape, dtype=bool)
        for rows in row_blocks(len(scores), max(1, ENTRIES_AT_ONCE // scores.shape[1])):
            decisions[rows] = self._decide_block(scores[rows], thresholds)
        return decisions

    def _decide_block(self, scores: FloatArray, thresholds: FloatArray) -> BoolArray:
        if self.name is not None:
            return expected_f1_sets(shifted(scores, thresholds), self.min_labels, self.max_labels)
        decisions = np.asarray(scores > thresholds)
        sizes = decisions.sum(axis=1)
        allowed = np.clip(sizes, self.min_labels, self.max_labels)
        rows = np.flatnonzero(sizes != allowed)
        if rows.size:
            margin = margins(scores[rows], thresholds)
            # by margin, then by score, both descending; the sort is stable and leaves the smaller index first
            order = np.lexsort((-scores[rows], -margin), axis=1)
            sets = np.zeros(margin.shape, dtype=bool)
            np.put_along_axis(sets, order, np.arange(margin.shape[1]) < allowed[rows, None], axis=1)
            decisions[rows] = sets
        return decisions


def margins(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Return scores minus thresholds; if one is infinite, inf above the threshold and -inf below it."""
    with np.errstate(invalid="ignore"):
        margin = scores - thresholds
    return np.where(np.isfinite(margin), margin, np.where(scores > thresholds, np.inf, -np.inf))


def shifted(probabilities: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Return probabilities with odds divided by the odds of the thresholds, so that 1/2 is the new threshold."""
    if np.all(thresholds == 0.5):
        return probabilities
    inside = (thresholds > 0) & (thresholds < 1)
    threshold = np.where(inside, thresholds, 0.5)
    # odds(p) / odds(t) = p (1 - t) / ((1 - p) t)
    present, absent = probabilities * (1 - threshold), (1 - probabilities) * threshold
    # at thresholds of 0, 1 or beyond, odds have no ratio: the label is certain or impossible
    return np.where(inside, present / (present + absent), probabilities > thresholds)
