"""Candidate thresholds of a group of labels: the counts at each, and the best of them for given gains.

Lowering a threshold past a negative only adds a wrong prediction, so the best threshold is inf or right below a
positive: one candidate for each distinct score of a positive. One sort gives the counts of all candidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sk_quadrant._arrays import FloatArray

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut

ROUNDING = 8 * np.finfo(np.float64).eps  # relative to the sum of absolute terms: smaller differences are rounding


@dataclass(frozen=True)
class Curve:
    """Counts of a group of labels, taken together, at each candidate threshold, in descending order.

    Attributes
    ----------
    threshold, true_positive, predicted : ndarray of shape (n_thresholds,)
        Thresholds, and the weights of true positives and of predictions there.
    positive : float
        Weight of all positives.
    """

    threshold: FloatArray
    true_positive: FloatArray
    predicted: FloatArray
    positive: float

    @classmethod
    def of(cls, group: HeldOut) -> Curve:
        """Sort the scores of positives and negatives separately, and look up each positive among the negatives."""
        scores, targets, weight = group.entries()
        positive, positive_mass = _sorted_mass(scores[targets], None if weight is None else weight[targets])
        negative, negative_mass = _sorted_mass(scores[~targets], None if weight is None else weight[~targets])
        first = np.flatnonzero(positive > np.append(-np.inf, positive[:-1]))  # of equal ones; none is below -inf
        above = positive[first]
        # number of negatives below each positive; those with an equal score are predicted with it
        n_below = np.searchsorted(negative, above)
        # the next lower score of either kind: the threshold lies between it and the positive
        below = np.maximum(np.append(-np.inf, positive)[first], np.append(-np.inf, negative)[n_below])
        true_positive = positive_mass[first]
        # in descending order, after the threshold inf, where nothing is predicted
        return cls(
            threshold=np.append(np.inf, between(below, above)[::-1]),
            true_positive=np.append(0.0, true_positive[::-1]),
            predicted=np.append(0.0, (true_positive + negative_mass[n_below])[::-1]),
            positive=float(positive_mass[0]),
        )

    def best(self, values: FloatArray) -> float:
        """Return the threshold of the largest value, the highest of equally good ones."""
        return float(self.threshold[np.argmax(values)])

    def gain(self, price: float) -> FloatArray:
        """Return twice the true positives minus a price for each prediction."""
        return 2 * self.true_positive - price * self.predicted


def _sorted_mass(scores: FloatArray, weight: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return scores in ascending order, and the total weight from each index on, with a final 0."""
    if weight is None:
        # rows of weight 1: size - i of them from index i on
        return np.sort(scores), np.arange(scores.size, -1, -1, dtype=np.float64)
    order = np.argsort(scores)
    return scores[order], np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)


def between(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return a threshold in [low, high): the midpoint, or `low` if there is no number in between."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        middle = low / 2 + high / 2  # the sum of two large scores would overflow
    return np.where((low < middle) & (middle < high), middle, low)


def all_thresholds(scores: FloatArray) -> FloatArray:
    """Return a threshold between any two adjacent scores, and below and above all, in ascending order."""
    # no threshold is below a score of -inf
    distinct = np.unique(scores[scores > -np.inf])
    return np.append(between(np.append(-np.inf, distinct[:-1]), distinct), np.inf)


def best_threshold(above: FloatArray, scores: FloatArray, steps: Iterable[tuple[FloatArray, FloatArray]]) -> float:
    """Return the threshold with the largest sum of the gains of all scores above it; inf if no sum is positive.

    Parameters
    ----------
    above : ndarray
        The scores right below which the best threshold may be, such as those of positives.
    scores : ndarray
        All scores. The threshold is between one of `above` and the next lower one of these.
    steps : iterable of (scores, gains)
        All scores, in blocks, and the change of the metric when the threshold falls below each, given all higher ones.
    """
    above = np.unique(above[above > -np.inf])
    total = np.zeros(above.size + 1)
    for block, gains in steps:
        order = np.argsort(block)  # looking up sorted scores is several times faster
        # the number of `above` at or below a score; 0 where no candidate threshold is below it
        place = np.searchsorted(above, block[order], side="right")
        total += np.bincount(place, gains[order], minlength=total.size)
    # value[k] is that of the threshold right below the k-th highest of `above`, value[0] that of inf
    value = np.append(0.0, np.cumsum(total[:0:-1]))  # from the highest threshold down
    best = int(np.argmax(value >= value.max() - ROUNDING * np.abs(total).sum()))  # the first of equally good ones
    if best == 0:
        return np.inf
    lowest = above[above.size - best]
    below = np.max(scores, where=scores < lowest, initial=-np.inf, keepdims=True)
    return float(between(below, lowest)[0])
