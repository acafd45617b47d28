r"""Metrics of label sets that are means of a function of counts, and their exact searches.

With :math:`TP` true positives, :math:`\hat P` predictions and :math:`P` positives of a label, of a row or of all
entries, F1 and the number of right entries up to a constant are

.. math::
    F_1 = \frac{2 TP}{\hat P + P}, \qquad 2 TP - \hat P - P .

Macro-F1 is the mean over labels, so that each label, or group of labels with one threshold, is searched separately.
Micro-F1 and the Hamming loss are those of the counts of all entries, and both are highest where each group has the
largest :math:`2 TP - q \hat P` for some price q of a prediction: 1 for the Hamming loss, and micro-F1 itself for
micro-F1. The fraction :math:`2 TP / (\hat P + P)` reaches q if and only if the maximum over thresholds of

.. math:: 2 TP - q (\hat P + P) = \sum_j (2 TP_j - q \hat P_j) - q P

is not negative. The sum is maximised group by group, which gives thresholds with a fraction q' >= q. Starting at q = 0
and repeated with q' for q, this converges superlinearly to the largest fraction, in a few steps (W. Dinkelbach, "On
nonlinear fractional programming", Management Science 13, 1967, :doi:`10.1287/mnsc.13.7.492`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray, row_blocks
from sk_quadrant._thresholds.curves import Curve, best_threshold

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut

ENTRIES_AT_ONCE = 2**17  # the temporaries of a block stay small


def f1(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return the F1 of counts; 0 without positives and predictions, as in scikit-learn."""
    total = predicted + positive
    return np.divide(2 * true_positive, total, out=np.zeros_like(total), where=total > 0)


def all_right(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return 1 where exactly the positives are predicted, 0 elsewhere."""
    return np.asarray((true_positive == positive) & (predicted == positive), dtype=np.float64)


def n_right(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return minus the weight of wrong entries."""
    # -(FP + FN), with FP = P^ - TP and FN = P - TP
    return np.asarray(2 * true_positive - predicted - positive)


@dataclass(frozen=True)
class CountMetric:
    """Metric that is a weighted sum of a function of the counts of units.

    Attributes
    ----------
    of_counts : callable
        (true positives, predictions, positives) of each unit -> values.
    unit : {"row", "label", "all"}
        Unit of the counts.
    """

    of_counts: Callable[[Any, Any, Any], FloatArray]
    unit: str

    def __call__(self, held_out: HeldOut, sets: BoolArray) -> float:
        """Return the metric of label sets."""
        values = self.of_counts(*self.counts(held_out, sets))
        return float(values.mean() if self.unit == "label" else values @ self.shares(held_out))

    def counts(self, held_out: HeldOut, sets: BoolArray) -> FloatArray:
        """Return the weights of true positives, of predictions and of positives of each unit, shape (3, n_units)."""
        if self.unit == "row":
            return np.vstack([held_out.row_counts(sets), held_out.targets.sum(axis=1)])
        totals = held_out.counts(sets)
        return totals if self.unit == "label" else totals.sum(axis=1, keepdims=True)

    def shares(self, held_out: HeldOut) -> FloatArray:
        """Return the weight of each unit."""
        if self.unit == "label":
            return np.full(held_out.n_labels, 1 / held_out.n_labels)
        if self.unit == "row":
            weight = held_out.row_weight()
            return np.asarray(weight / weight.sum())
        # -(FP + FN) / n is minus the Hamming loss, while F1 is a ratio already
        return np.array([1.0 if self.of_counts is f1 else 1 / held_out.weight_known()])

    def gains(self, counts: FloatArray, hits: NDArray[Any], mass: NDArray[Any]) -> FloatArray:
        """Return the changes of the values of units when entries are added to their sets one after another.

        Parameters
        ----------
        counts : ndarray of shape (3, n_units)
            Counts before the first entry.
        hits, mass : ndarray of shape (n_units, n_entries)
            The weight of each entry where it is positive, and its weight.
        """
        found, predicted, positive = counts[:, :, np.newaxis]
        values = self.of_counts(found + np.cumsum(hits, axis=1), predicted + np.cumsum(mass, axis=1), positive)
        # these sum to the change of the value: entries with equal scores need no special case
        return np.diff(values, axis=1, prepend=self.of_counts(found, predicted, positive))

    def gains_of_rows(self, held_out: HeldOut, out: BoolArray, into: BoolArray, order: IndexArray) -> FloatArray:
        """Return the gain of each row, in their order, that changes its label set, for units of rows or all entries."""
        # in a row several labels may change: with a bound on their number one enters and another leaves
        before, after = held_out.row_counts(out), held_out.row_counts(into)
        if self.unit == "row":
            positive = held_out.targets.sum(axis=1)
            values = [self.of_counts(found, predicted, positive) for found, predicted in (before, after)]
            return np.asarray(((values[1] - values[0]) * self.shares(held_out))[order])
        # micro counts are sums over rows: each row adds its change of TP and of P^
        change = after - before if held_out.weight is None else (after - before) * held_out.weight
        hits, mass = change[:, np.newaxis, order]
        return np.asarray(self.gains(self.counts(held_out, out), hits, mass)[0])

    def gains_of_labels(
        self, held_out: HeldOut, out: BoolArray, into: BoolArray, order: IndexArray, label: int
    ) -> Iterator[tuple[IndexArray, FloatArray]]:
        """Yield rows, in their order, and the gains when a label enters their label sets, for units of labels.

        The label itself comes first, with all rows; others leave the sets of few rows.
        """
        counts, others = self.counts(held_out, out), np.delete(np.arange(held_out.n_labels), label)
        moved = order[(out != into)[:, others].any(axis=1)[order]]
        own, rest = held_out.labels([label]).rows(order), held_out.rows(moved).labels(others)
        for part, rows, labels in ((own, order, np.array([label])), (rest, moved, others)):
            entries = np.ix_(rows, labels)
            # 1 where a label enters the set, -1 where it leaves, times the weight
            mass = (into[entries] - out[entries].astype(np.float64)) * part.mass()
            gains = self.gains(counts[:, labels], (mass * part.targets).T, mass.T)
            yield rows, gains.sum(axis=0)

    def best_of_group(self, group: HeldOut, counts: FloatArray, shares: FloatArray) -> float:
        """Return the best threshold of a group of labels.

        Parameters
        ----------
        group : HeldOut
        counts : ndarray of shape (3, n_units)
            Counts of rows, or labels, where no label of the group is predicted.
        shares : ndarray of shape (n_units,)
            Their weights in the metric.
        """
        steps = self._steps(group, counts, shares)
        return best_threshold(group.scores[group.targets], group.entries()[0], steps)

    def _steps(self, group: HeldOut, counts: FloatArray, shares: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield scores and the gain when the threshold falls below each, by blocks of units; 0 if it is unknown."""
        n_entries = group.scores.size // shares.size
        for units in row_blocks(shares.size, max(1, ENTRIES_AT_ONCE // n_entries)):
            if self.unit == "row":
                part = group.rows(units)
                entries: tuple[Any, ...] = part.scores, part.targets, part.is_known()
            else:
                part = group.labels(units)
                entries = part.scores.T, part.targets.T, part.mass().T
            if n_entries > 1:
                # the order in which a falling threshold passes the entries of a unit
                order = np.argsort(-entries[0], axis=1)
                entries = tuple(np.take_along_axis(each, order, axis=1) for each in entries)
            scores, targets, mass = entries
            gains = self.gains(counts[:, units], mass * targets, mass) * shares[units, np.newaxis]
            yield scores.ravel(), gains.ravel()

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray) -> FloatArray:
        """Return the best thresholds of groups of labels, exactly; the units are labels or all entries."""
        thresholds = thresholds.copy()
        if self.unit == "label":
            for group in groups:
                labels = held_out.labels(group)
                if group.size > 1:
                    counts = self.counts(labels, np.zeros_like(labels.targets))
                    thresholds[group] = self.best_of_group(labels, counts, self.shares(labels))
                else:
                    # the mean over labels is largest where each term is
                    curve = Curve.of(labels)
                    values = self.of_counts(curve.true_positive, curve.predicted, curve.positive)
                    thresholds[group] = curve.best(values)
            return thresholds
        curves = [Curve.of(held_out.labels(group)) for group in groups]
        # the Hamming loss: maximise sum_j 2 TP_j - P^_j
        price = 1.0
        if self.of_counts is f1:
            # labels whose thresholds stay add constants to TP, P^ and P
            untuned = np.setdiff1d(np.arange(held_out.n_labels), np.concatenate([[], *groups]))
            price = _best_fraction(curves, held_out.counts(held_out.scores > thresholds)[:, untuned].sum(axis=1))
        for group, curve in zip(groups, curves, strict=True):
            thresholds[group] = curve.best(curve.gain(price))
        return thresholds


def _best_fraction(curves: Sequence[Curve], counts: FloatArray) -> float:
    """Return the largest F1 of the counts of curves and further ones, all added up; see the module."""
    true_positive, predicted, positive = counts
    positive = positive + sum(curve.positive for curve in curves)
    fraction, rising = 0.0, True
    while rising:
        # Dinkelbach: maximise 2 TP - q P^ on each curve, q being the last fraction
        best = [(curve, int(np.argmax(curve.gain(fraction)))) for curve in curves]
        found = true_positive + sum(curve.true_positive[k] for curve, k in best)
        total = positive + predicted + sum(curve.predicted[k] for curve, k in best)
        # q' = 2 TP / (P^ + P) >= q, with equality at the largest fraction
        previous, fraction = fraction, 2 * found / total if total else 0.0
        rising = fraction > previous
    return float(previous)


METRICS = {
    "f1_macro": CountMetric(f1, "label"),
    "f1_micro": CountMetric(f1, "all"),
    "f1_samples": CountMetric(f1, "row"),
    "accuracy": CountMetric(all_right, "row"),
    "neg_hamming_loss": CountMetric(n_right, "all"),
}
EXACT = [metric for metric in METRICS.values() if metric.unit != "row"]
