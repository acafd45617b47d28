r"""Metrics whose best thresholds are found exactly, from one sort of the scores: macro-F1, micro-F1, Hamming loss.

All three are functions of counts: with :math:`TP_j` true positives, :math:`\hat P_j` predictions and :math:`P_j`
positives of label j,

.. math::
    F_j = \frac{2 TP_j}{\hat P_j + P_j}, \qquad
    F_{macro} = \frac 1 L \sum_j F_j, \qquad
    F_{micro} = \frac{2 \sum_j TP_j}{\sum_j \hat P_j + P_j}, \qquad
    H = \frac 1 {n L} \sum_j \hat P_j + P_j - 2 TP_j .

Lowering a threshold past a negative only increases :math:`\hat P_j`, so the best threshold is inf or right below a
positive: one candidate for each distinct score of a positive. One sort gives the counts of all candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut

ROUNDING = 8 * np.finfo(np.float64).eps  # relative to the sum of absolute terms: smaller differences are rounding


@dataclass(frozen=True)
class Curve:
    """Counts of a group of labels at each candidate threshold, in descending order.

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
        n_below = np.searchsorted(negative, above)
        below = np.maximum(_preceding(positive, first), _preceding(negative, n_below))
        true_positive = positive_mass[first]
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
        return np.sort(scores), np.arange(scores.size, -1, -1, dtype=np.float64)
    order = np.argsort(scores)
    return scores[order], np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)


def _preceding(scores: FloatArray, places: IndexArray) -> FloatArray:
    return np.append(-np.inf, scores)[places]


def between(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return a threshold in [low, high): the midpoint, or `low` if there is no number in between."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        middle = low / 2 + high / 2  # the sum of two large scores would overflow
    return np.where((low < middle) & (middle < high), middle, low)


def f1(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return the F1 of counts; 0 without positives and predictions, as in scikit-learn."""
    total = predicted + positive
    return np.divide(2 * true_positive, total, out=np.zeros_like(total), where=total > 0)


class _Separable:
    """A metric that is a sum over groups of labels, so that each group is searched separately."""

    def best(self, group: HeldOut) -> float:
        """Return the best threshold of a group of labels."""
        raise NotImplementedError

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return the best thresholds."""
        thresholds = thresholds.copy()
        for group in groups:
            thresholds[group] = self.best(held_out.labels(group))
        return thresholds


class MacroF1(_Separable):
    """Mean over labels of F1.

    For a group of several labels, the changes of the F1 of each label are added up at the scores of all positives.
    """

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the mean F1 of the labels."""
        return float(f1(*held_out.counts(thresholds)).mean())

    def best(self, group: HeldOut) -> float:
        """Return the best threshold of a group of labels."""
        if group.n_labels > 1:
            labels = np.arange(group.n_labels)[:, None]
            return best_shared_threshold(group, (_f1_steps(*group.labels(label).entries()) for label in labels))
        curve = Curve.of(group)
        return curve.best(f1(curve.true_positive, curve.predicted, curve.positive))


def _f1_steps(scores: FloatArray, targets: BoolArray, weight: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return scores in descending order and the gain of F1 when the threshold falls below each."""
    order = np.argsort(-scores)
    mass = np.ones(scores.size) if weight is None else weight[order]
    true_positive, predicted = np.cumsum(mass * targets[order]), np.cumsum(mass)
    positive = true_positive[-1] if scores.size else 0.0
    return scores[order], np.diff(f1(true_positive, predicted, positive), prepend=0.0)


def best_shared_threshold(group: HeldOut, steps: Iterable[tuple[FloatArray, FloatArray]]) -> float:
    """Return the threshold with the largest sum of the gains of all scores above it; inf if no sum is positive.

    Parameters
    ----------
    group : HeldOut
        Labels that share the threshold.
    steps : iterable of (scores, gains)
        All known scores of the group, in blocks, and the change of the metric when the threshold falls below each,
        given all higher ones. The gain of a negative is at most 0, so the best threshold is right below a positive.
    """
    above = np.unique(group.scores[group.targets])
    above = above[above > -np.inf]
    total = np.zeros(above.size + 1)
    for scores, gains in steps:
        order = np.argsort(scores)  # looking up sorted scores is several times faster
        place = np.searchsorted(above, scores[order], side="right")
        total += np.bincount(place, gains[order], minlength=total.size)
    value = np.append(0.0, np.cumsum(total[:0:-1]))  # from the highest threshold down
    best = int(np.argmax(value >= value.max() - ROUNDING * np.abs(total).sum()))  # the first of equally good ones
    if best == 0:
        return np.inf
    lowest = above[above.size - best]
    scores = group.entries()[0]
    below = np.max(scores, where=scores < lowest, initial=-np.inf, keepdims=True)
    return float(between(below, lowest)[0])


class Hamming(_Separable):
    """Negated Hamming loss, the fraction of wrong entries: it is largest where 2 TP minus predictions is."""

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the negated fraction of wrong entries."""
        true_positive, predicted, positive = held_out.counts(thresholds)
        return -float((predicted + positive - 2 * true_positive).sum() / held_out.weight_known())

    def best(self, group: HeldOut) -> float:
        """Return the best threshold of a group of labels."""
        curve = Curve.of(group)
        return curve.best(curve.gain(1.0))


class MicroF1:
    r"""F1 of the counts summed over labels, by the iteration of Dinkelbach for the maximum of a fraction.

    The fraction :math:`2 TP / (\hat P + P)` reaches q if and only if the maximum over thresholds of

    .. math:: 2 TP - q (\hat P + P) = \sum_j (2 TP_j - q \hat P_j) - q P

    is not negative. The sum is maximised label by label, which gives thresholds with a fraction q' >= q. Starting at
    q = 0 and repeated with q' for q, this converges superlinearly to the largest fraction, in a few steps
    (W. Dinkelbach, "On nonlinear fractional programming", Management Science 13, 1967,
    :doi:`10.1287/mnsc.13.7.492`).
    """

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the F1 of the counts summed over labels."""
        return float(f1(*(np.atleast_1d(count.sum()) for count in held_out.counts(thresholds)))[0])

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return the best thresholds."""
        thresholds = thresholds.copy()
        curves = [Curve.of(held_out.labels(group)) for group in groups]
        untuned = np.setdiff1d(np.arange(held_out.n_labels), np.concatenate([[], *groups]))
        true_positive, predicted, positive = (count[untuned].sum() for count in held_out.counts(thresholds))
        positive += sum(curve.positive for curve in curves)
        fraction, rising = 0.0, True
        while rising:
            best = [(curve, int(np.argmax(curve.gain(fraction)))) for curve in curves]
            found = true_positive + sum(curve.true_positive[k] for curve, k in best)
            total = positive + predicted + sum(curve.predicted[k] for curve, k in best)
            previous, fraction = fraction, 2 * found / total if total else 0.0
            rising = fraction > previous
        for group, (curve, k) in zip(groups, best, strict=True):
            thresholds[group] = curve.threshold[k]
        return thresholds
