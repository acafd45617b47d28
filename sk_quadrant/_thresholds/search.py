r"""The search for thresholds: the groups of labels that share one, and coordinate search where labels interact.

Each step of a coordinate search moves one threshold to a better place given the others, until a pass over all groups
changes nothing. This may be a local maximum, so it starts at the best of several exact solutions for other metrics.

With bounds on the number of labels, the threshold :math:`t_j` of one label alone changes a row in a single place. Let
:math:`m_{(k)}` be the k-th largest score minus threshold of the other labels. Label j is in the set if and only if

.. math:: s_j - t_j > b, \qquad b = \min(\max(0, m_{(max\_labels)}), m_{(min\_labels)}) ,

so that :math:`s_j - b` takes the place of the score. Sorted by it, one row after another changes from its set without j
to its set with j, in which another label may be missing, and running counts give the metric at every threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._progress import tracked
from sk_quadrant._thresholds.constraints import Constraint
from sk_quadrant._thresholds.curves import ROUNDING, Curve, all_thresholds, best_threshold
from sk_quadrant._thresholds.held_out import HeldOut
from sk_quadrant._thresholds.metrics import EXACT, CountMetric
from sk_quadrant._thresholds.rules import Rule, margins

RANKS_AT_ONCE = 64


@dataclass(frozen=True)
class TuningObjective:
    """A metric of the label sets of a rule, higher is better, and the search for the thresholds where it is highest.

    Attributes
    ----------
    metric : CountMetric, or callable
        (held-out scores, label sets) -> metric. Steps of the search are exact for a `CountMetric` where a threshold
        belongs to one label, and without a rule.
    rule : Rule, default=Rule()
    """

    metric: Any
    rule: Rule = Rule()  # noqa: RUF009

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the metric of the label sets at thresholds of shape (n_labels,)."""
        return float(self.metric(held_out, self.rule.decide(held_out.scores, thresholds)))

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return better thresholds, one for all labels of a group; other labels keep their thresholds.

        They are at least as good as the best ones without the rule for F1 and for the Hamming loss.
        """
        of_rows = isinstance(self.metric, CountMetric) and self.rule.is_plain
        if of_rows and self.metric in EXACT:
            return np.asarray(self.metric.tune(held_out, groups, thresholds))
        starts = [thresholds]
        if self.rule.name is not None:
            starts[0] = _replaced(thresholds, np.concatenate(groups), 0.5)  # probabilities unchanged
        elif not of_rows or len(groups) > 1:  # otherwise a step is the whole search
            # exact optima of related metrics, since a coordinate search may end in a local maximum
            starts += [metric.tune(held_out, groups, thresholds) for metric in EXACT]
        if of_rows and len(groups) > 1:
            # the best threshold that all tuned labels share, found in one exact step
            starts.append(self.tune(held_out, [np.concatenate(groups)], thresholds, 1))
        state = _RowState if of_rows else _State
        return climb([state(self, held_out, start) for start in starts], groups, max_passes)


def climb(states: Sequence[_State], groups: Sequence[IndexArray], max_passes: int) -> FloatArray:
    """Improve the best state, one group after the other, until a pass over all groups changes nothing."""
    state = max(states, key=lambda state: state.value)
    for number in range(1, max_passes + 1):
        shown = tracked(groups, f"thresholds, pass {number}") if len(groups) > 1 else groups
        improved = [state.improve(group) for group in shown]
        if not any(improved) or len(groups) == 1:
            return state.thresholds
    warnings.warn(
        f"The search for thresholds still improved in the last of max_passes={max_passes} passes over the labels; "
        "increase max_passes.",
        ConvergenceWarning,
        stacklevel=2,
    )
    return state.thresholds


class _State:
    """Thresholds, and the metric there."""

    def __init__(self, objective: TuningObjective, held_out: HeldOut, thresholds: FloatArray) -> None:
        self.metric, self.rule = objective.metric, objective.rule
        self.held_out, self.thresholds = held_out, thresholds
        self.value = objective.value(held_out, thresholds)

    def improve(self, group: IndexArray) -> bool:
        """Move the threshold of a group to a better place, if one is found; return whether one was."""
        is_exact = group.size == 1 and self.rule.name is None and isinstance(self.metric, CountMetric)
        threshold = self._best_of_label(int(group[0])) if is_exact else self._best_of_group(group)
        value = self.metric(self.held_out, self.sets_at(group, threshold))
        if not value > self.value + ROUNDING:
            return False
        self.thresholds, self.value = _replaced(self.thresholds, group, threshold), value
        return True

    def sets_at(self, group: IndexArray | int, threshold: float, rows: IndexArray | slice = slice(None)) -> BoolArray:
        """Return the label sets of rows where a group has another threshold."""
        return self.rule.decide(self.held_out.scores[rows], _replaced(self.thresholds, group, threshold))

    def _best_of_group(self, group: IndexArray) -> float:
        """Return the best threshold of a group, searched from coarse to fine."""
        labels = self.held_out.labels(group)
        thresholds = all_thresholds(labels.scores)
        # some of the first ranks are right below a positive, where metrics such as F1 have their maxima without a rule
        below_positive = np.searchsorted(thresholds, Curve.of(labels).threshold)
        first = np.union1d(_spread(thresholds.size), below_positive[_spread(below_positive.size)])
        return float(thresholds[search_ranks(lambda ranks: self._values_at(group, thresholds[ranks]), first)])

    def _values_at(self, group: IndexArray, thresholds: FloatArray) -> FloatArray:
        """Return the metric at ascending thresholds of a group; see `sets_along`."""
        found = np.empty(thresholds.size)
        steps = sets_along(
            lambda k, rows: self.sets_at(group, thresholds[k], rows), found.size, len(self.held_out.scores)
        )
        for k, sets in steps:
            found[k] = self.metric(self.held_out, sets)
        return found

    def _best_of_label(self, label: int) -> float:
        """Return the best threshold of a label, given those of the others."""
        level = self._entry_level(label)
        # each row changes once as the threshold falls from inf to -inf: where it passes the row's level
        sets = self.sets_at(label, np.inf), self.sets_at(label, -np.inf)
        order = np.argsort(-level)
        if self.metric.unit == "label":
            found = self.metric.gains_of_labels(self.held_out, *sets, order, label)
        else:
            found = [(order, self.metric.gains_of_rows(self.held_out, *sets, order))]
        return best_threshold(level, level, [(level[rows], gains) for rows, gains in found])

    def _entry_level(self, label: int) -> FloatArray:
        """Return the threshold below which a label enters the set of each row, given the thresholds of the others."""
        rule, scores = self.rule, self.held_out.scores
        others = np.delete(margins(scores, self.thresholds), label, axis=1)
        # b = min(max(0, m_(max_labels)), m_(min_labels)); see the module
        bound = np.maximum(0.0, _kth_largest(others, rule.max_labels))
        if rule.min_labels:
            bound = np.minimum(bound, _kth_largest(others, rule.min_labels))
        with np.errstate(invalid="ignore"):
            level = scores[:, label] - bound
        # b = inf: never in the set; b = -inf: always; and inf - inf would be NaN
        return np.where(np.isinf(bound), -bound, level)


class _RowState(_State):
    """Thresholds without a rule, and the counts of each row there, for a metric of rows."""

    def __init__(self, objective: TuningObjective, held_out: HeldOut, thresholds: FloatArray) -> None:
        super().__init__(objective, held_out, thresholds)
        self.counts = self.metric.counts(held_out, held_out.scores > thresholds)
        self.shares = self.metric.shares(held_out)

    def improve(self, group: IndexArray) -> bool:
        """Move the threshold of a group to its best place given the others; return whether that is better."""
        metric, labels, counts = self.metric, self.held_out.labels(group), self.counts.copy()
        # TP and P^ of each row without the group; P does not depend on thresholds
        counts[:2] -= labels.row_counts(labels.scores > self.thresholds[group])
        threshold = metric.best_of_group(labels, counts, self.shares)
        counts[:2] += labels.row_counts(labels.scores > threshold)
        value = float(metric.of_counts(*counts) @ self.shares)
        if value <= self.value + ROUNDING:
            return False
        self.thresholds, self.value, self.counts = _replaced(self.thresholds, group, threshold), value, counts
        return True


def _replaced(thresholds: FloatArray, group: IndexArray | int, threshold: float) -> FloatArray:
    """Return thresholds with another one for a group."""
    thresholds = thresholds.copy()
    thresholds[group] = threshold
    return thresholds


def _kth_largest(values: FloatArray, k: int | None) -> FloatArray:
    """Return the k-th largest value of each row, -inf if there are fewer."""
    if k is None or k > values.shape[1]:
        return np.full(len(values), -np.inf)
    # the k-th largest of n values is at index n - k of the ascending order
    return np.asarray(np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k])


def sets_along(
    sets_at: Callable[[int, IndexArray], BoolArray], n_thresholds: int, n_rows: int
) -> Iterator[tuple[int, BoolArray]]:
    """Yield the number and the label sets of each of several ascending thresholds of a group of labels.

    A row with the same set at two thresholds is taken to keep it in between. With bounds on the number of labels this
    is always so: as the threshold rises, labels of the group only leave the set and others only enter. For the highest
    expected F1 it is not proven. A wrong set can only hide a threshold: its value is computed anew before it is used.
    """
    ends = [(k, sets_at(k, np.arange(n_rows))) for k in sorted({0, n_thresholds - 1})]
    yield from ends
    open_ranges = [(*ends[0], *ends[-1])]
    while open_ranges:
        low, at_low, high, at_high = open_ranges.pop()
        if high - low < 2:
            continue
        middle, sets = (low + high) // 2, at_low.copy()
        # bisection: only rows whose sets differ at the ends are decided again
        rows = np.flatnonzero((at_low != at_high).any(axis=1))
        sets[rows] = sets_at(middle, rows)
        yield middle, sets
        open_ranges += [(middle, sets, high, at_high), (low, at_low, middle, sets)]


def _spread(size: int) -> IndexArray:
    """Return up to RANKS_AT_ONCE ranks below size, from first to last."""
    return np.unique(np.linspace(0, size - 1, RANKS_AT_ONCE).round().astype(np.intp))


def search_ranks(values_at: Callable[[IndexArray], FloatArray], ranks: IndexArray) -> int:
    """Return the best rank among the given ones and, from coarse to fine, the ranks around the best.

    Parameters
    ----------
    values_at : callable
        Ascending ranks -> their values.
    ranks : ndarray of shape (n_ranks,)
        The first ranks to try, in ascending order.
    """
    values: dict[int, float] = {}
    while ranks.size:
        values.update(zip(ranks.tolist(), values_at(ranks).tolist(), strict=True))
        # of equally good ranks the highest: fewer predictions
        best = max(values, key=lambda rank: (values[rank], rank))
        known = sorted(values)
        place = known.index(best)
        low, high = known[max(place - 1, 0)], known[min(place + 1, len(known) - 1)]
        # then the ranks between the two neighbours of the best one that have been tried
        ranks = np.setdiff1d(low + _spread(high - low + 1), known)
    return best


def tune_thresholds(
    search: TuningObjective | Constraint,
    held_out: HeldOut,
    *,
    fixed: FloatArray,
    shared: bool,
    min_positives: int,
    max_passes: int,
) -> tuple[FloatArray, BoolArray]:
    """Search for the best thresholds and let labels with few positives share one.

    Parameters
    ----------
    search : TuningObjective or Constraint
        Search for the maximum of a metric, or for thresholds that meet a constraint.
    held_out : HeldOut
        Scores and targets.
    fixed : ndarray of shape (n_labels,)
        Thresholds of labels that are not tuned, NaN for labels to tune.
    shared : bool
        Whether all tuned labels share one threshold.
    min_positives : int
        Labels with fewer positives share one threshold: the best for these labels together or, if even together they
        have fewer positives, the best for all tuned labels. No threshold then depends on fewer positives.
    max_passes : int
        Largest number of passes over the labels in a coordinate search.

    Returns
    -------
    thresholds : ndarray of shape (n_labels,)
        No NaN; inf predicts a label for no row, -inf for all rows with a score above -inf.
    pooled : ndarray of bool of shape (n_labels,)
        The labels that share their threshold.
    """
    tuned = np.flatnonzero(np.isnan(fixed))
    start = np.where(np.isnan(fixed), np.inf, fixed)
    n_positives = np.count_nonzero(held_out.targets & (held_out.scores > -np.inf), axis=0)  # that can be predicted
    pool = tuned if shared else tuned[n_positives[tuned] < min_positives]
    groups = [] if shared else [np.array([label]) for label in np.setdiff1d(tuned, pool)]
    if pool.size and (shared or n_positives[pool].sum() >= min_positives):
        groups.append(pool)
    elif pool.size:
        # too few positives even together: they take the threshold that all tuned labels would share
        start[pool] = search.tune(held_out, [tuned], start, max_passes)[pool]
    pooled = np.isin(np.arange(held_out.n_labels), pool)
    return search.tune(held_out, groups, start, max_passes) if groups else start, pooled
