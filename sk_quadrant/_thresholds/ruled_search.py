r"""Coordinate search for thresholds with a rule for label sets.

With bounds on the number of labels, the threshold :math:`t_j` of one label alone changes a row in a single place. Let
:math:`m_{(k)}` be the k-th largest score minus threshold of the other labels. Label j is in the set if and only if

.. math:: s_j - t_j > b, \qquad b = \min(\max(0, m_{(max\_labels)}), m_{(min\_labels)}) ,

so that :math:`s_j - b` takes the place of the score. Sorted by it, one row after another changes from its set without j
to its set with j, in which another label may be missing, and running counts give the metric at every threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._thresholds.coordinate_search import (
    all_right,
    all_thresholds,
    climb,
    exact_starts,
    search_ranks,
    spread,
)
from sk_quadrant._thresholds.exact_search import ROUNDING, Curve, between, f1
from sk_quadrant._thresholds.rules import Rule, margins

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut

Counts = tuple[FloatArray, FloatArray, FloatArray]
SetsAt = Callable[[float, IndexArray], BoolArray]


def n_right(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray) -> FloatArray:
    """Return minus the weight of wrong entries."""
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

    of_counts: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
    unit: str

    def __call__(self, held_out: HeldOut, sets: BoolArray) -> float:
        """Return the metric of label sets."""
        values = self.of_counts(*self.counts(held_out, sets))
        return float(values @ self.shares(held_out))

    def counts(self, held_out: HeldOut, sets: BoolArray) -> Counts:
        """Return the weights of true positives, of predictions and of positives of each unit."""
        sets = sets if held_out.known is None else sets & held_out.known
        entries = (sets & held_out.targets, sets, held_out.targets)
        if self.unit == "row":
            return tuple(each.sum(axis=1, dtype=np.float64) for each in entries)
        weight = np.ones(len(sets)) if held_out.weight is None else held_out.weight
        totals = [np.einsum("i,ij->j", weight, each) for each in entries]
        return tuple(total if self.unit == "label" else total.sum(keepdims=True) for total in totals)

    def shares(self, held_out: HeldOut) -> FloatArray:
        """Return the weight of each unit."""
        if self.unit == "label":
            return np.full(held_out.n_labels, 1 / held_out.n_labels)
        if self.unit == "row":
            weight = np.ones(len(held_out.scores)) if held_out.weight is None else held_out.weight
            return np.asarray(weight / weight.sum())
        return np.array([1.0 if self.of_counts is f1 else 1 / held_out.weight_known()])

    def running(self, held_out: HeldOut, out: BoolArray, into: BoolArray, place: IndexArray) -> FloatArray:
        """Return the metric while one row after another changes its label set.

        Parameters
        ----------
        held_out : HeldOut
        out, into : ndarray of bool of shape (n_samples, n_labels)
            The label sets of each row before and after its change.
        place : ndarray of shape (n_samples,)
            Position of each row in the order of changes, from 1; rows that never change have the last positions.

        Returns
        -------
        ndarray of shape (largest place + 1,)
            Value before the first change, and after the changes of each position.
        """
        changed = out != into if held_out.known is None else (out != into) & held_out.known
        row, label = np.nonzero(changed)
        unit = {"row": row, "label": label, "all": np.zeros_like(row)}[self.unit]
        order = np.lexsort((place[row], unit))
        row, label, unit = row[order], label[order], unit[order]
        mass = np.where(into[row, label], 1.0, -1.0)
        if held_out.weight is not None and self.unit != "row":
            mass *= held_out.weight[row]
        base = self.counts(held_out, out)
        first = np.flatnonzero(np.diff(unit, prepend=-1))
        after = (
            _cumulated(mass * held_out.targets[row, label], first) + base[0][unit],
            _cumulated(mass, first) + base[1][unit],
        )
        values, start = self.of_counts(*after, base[2][unit]), self.of_counts(*base)
        before = np.roll(values, 1)
        before[first] = start[unit[first]]
        shares = self.shares(held_out)
        gains = np.bincount(place[row], (values - before) * shares[unit], minlength=place.max() + 1)
        return np.asarray(start @ shares + np.cumsum(gains))


def _cumulated(values: FloatArray, first: IndexArray) -> FloatArray:
    """Return running sums that restart at the indices `first`; the first of these is 0."""
    total = np.cumsum(values)
    lengths = np.diff(np.append(first, values.size))
    cumulated: FloatArray = total - np.repeat(np.append(0.0, total)[first], lengths)
    return cumulated


COUNT_METRICS = {
    "f1_macro": CountMetric(f1, "label"),
    "f1_micro": CountMetric(f1, "all"),
    "f1_samples": CountMetric(f1, "row"),
    "accuracy": CountMetric(all_right, "row"),
    "neg_hamming_loss": CountMetric(n_right, "all"),
}


@dataclass(frozen=True)
class RuledMetric:
    """A metric of the label sets of a rule, given scores and thresholds.

    Attributes
    ----------
    rule : Rule
    of_sets : callable
        (held-out scores, label sets) -> metric, higher is better. A `CountMetric` is searched exactly where a threshold
        belongs to one label.
    """

    rule: Rule
    of_sets: Callable[[HeldOut, BoolArray], float]

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the metric of the label sets."""
        return self.of_sets(held_out, self.rule.decide(held_out.scores, thresholds))

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return thresholds at least as good as the best ones without the rule for F1 and for the Hamming loss."""
        if self.rule.name is None:
            starts = [thresholds, *exact_starts(held_out, groups, thresholds)]
        else:
            starts = [thresholds.copy()]
            starts[0][np.concatenate(groups)] = 0.5  # probabilities unchanged
        return climb([_RuledState(self, held_out, start) for start in starts], groups, max_passes)


def sets_along(sets_at: SetsAt, thresholds: FloatArray, n_rows: int) -> Iterator[tuple[int, BoolArray]]:
    """Yield the index and the label sets of each of several ascending thresholds of a group of labels.

    A row with the same set at two thresholds is taken to keep it in between. With bounds on the number of labels this
    is always so: as the threshold rises, labels of the group only leave the set and others only enter. For the highest
    expected F1 it is not proven. A wrong set can only hide a threshold: its value is computed anew before it is used.
    """
    every = np.arange(n_rows)
    last = thresholds.size - 1
    ends = [(k, sets_at(float(thresholds[k]), every)) for k in sorted({0, last})]
    yield from ends
    open_ranges = [(*ends[0], *ends[-1])]
    while open_ranges:
        low, at_low, high, at_high = open_ranges.pop()
        if high - low < 2:
            continue
        middle, sets = (low + high) // 2, at_low.copy()
        rows = np.flatnonzero((at_low != at_high).any(axis=1))
        sets[rows] = sets_at(float(thresholds[middle]), rows)
        yield middle, sets
        open_ranges += [(middle, sets, high, at_high), (low, at_low, middle, sets)]


class _RuledState:
    """Thresholds, and the metric of the label sets there."""

    def __init__(self, metric: RuledMetric, held_out: HeldOut, thresholds: FloatArray) -> None:
        self.metric, self.held_out, self.thresholds = metric, held_out, thresholds.copy()
        self.value = metric.value(held_out, thresholds)

    def improve(self, group: IndexArray) -> bool:
        """Move the threshold of a group to a better place, if one is found; return whether one was."""
        of_sets = self.metric.of_sets
        if group.size == 1 and self.metric.rule.name is None and isinstance(of_sets, CountMetric):
            threshold = self._best_of_label(int(group[0]), of_sets)
        else:
            threshold = self._best_of_group(group)
        value = self._value_at(group, threshold)
        if not value > self.value + ROUNDING:
            return False
        self.thresholds[group], self.value = threshold, value
        return True

    def _value_at(self, group: IndexArray, threshold: float) -> float:
        return self.metric.value(self.held_out, self._with(group, threshold))

    def _with(self, group: Any, threshold: float) -> FloatArray:
        thresholds = self.thresholds.copy()
        thresholds[group] = threshold
        return thresholds

    def _best_of_group(self, group: IndexArray) -> float:
        """Return the best threshold of a group, searched from coarse to fine."""
        labels = self.held_out.labels(group)
        thresholds = all_thresholds(labels.scores)
        below_positive = np.searchsorted(thresholds, Curve.of(labels).threshold)
        first = np.union1d(spread(thresholds.size), below_positive[spread(below_positive.size)])
        sets_at = self._sets_of_group(group)
        rank, _ = search_ranks(lambda ranks: self._values_at(sets_at, thresholds[ranks]), first)
        return float(thresholds[rank])

    def _values_at(self, sets_at: SetsAt, thresholds: FloatArray) -> FloatArray:
        """Return the metric at ascending thresholds; see `sets_along`."""
        found = np.empty(thresholds.size)
        for k, sets in sets_along(sets_at, thresholds, len(self.held_out.scores)):
            found[k] = self.metric.of_sets(self.held_out, sets)
        return found

    def _sets_of_group(self, group: IndexArray) -> SetsAt:
        """Return a function from the threshold of a group, and rows, to the label sets of the rows."""
        scores, rule = self.held_out.scores, self.metric.rule
        if group.size > 1:
            return lambda threshold, rows: rule.decide(scores[rows], self._with(group, threshold))
        return rule.sets_of_label(scores, self.thresholds, int(group[0]))

    def _best_of_label(self, label: int, metric: CountMetric) -> float:
        """Return the best threshold of a label, given those of the others."""
        scores, rule = self.held_out.scores, self.metric.rule
        out = rule.decide(scores, self._with(label, np.inf))
        into = rule.decide(scores, self._with(label, -np.inf))
        level = self._entry_level(label)
        levels, place = np.unique(-level, return_inverse=True)
        levels = -levels[levels < np.inf]
        values = metric.running(self.held_out, out, into, place + 1)[: levels.size + 1]
        thresholds = np.append(np.inf, between(np.append(levels[1:], -np.inf), levels))
        return float(thresholds[np.argmax(values >= values.max() - ROUNDING)])  # the highest of equally good ones

    def _entry_level(self, label: int) -> FloatArray:
        """Return the threshold below which a label enters the set of each row, given the thresholds of the others."""
        rule, scores = self.metric.rule, self.held_out.scores
        others = np.delete(margins(scores, self.thresholds), label, axis=1)
        bound = np.maximum(0.0, _kth_largest(others, rule.max_labels))
        if rule.min_labels:
            bound = np.minimum(bound, _kth_largest(others, rule.min_labels))
        with np.errstate(invalid="ignore"):
            level = scores[:, label] - bound
        return np.where(np.isinf(bound), -bound, level)


def _kth_largest(values: FloatArray, k: int | None) -> FloatArray:
    """Return the k-th largest value of each row, -inf if there are fewer."""
    if k is None or k > values.shape[1]:
        return np.full(len(values), -np.inf)
    return np.asarray(np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k])
