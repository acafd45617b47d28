"""Metrics in which labels interact: coordinate search, one threshold at a time given the others.

Each step raises the metric, until a pass over all labels changes nothing. This may be a local maximum, so the search
starts at the best of several exact solutions for other metrics.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray, row_blocks
from sk_quadrant._progress import tracked
from sk_quadrant._thresholds.exact_search import (
    ROUNDING,
    Hamming,
    MacroF1,
    MicroF1,
    best_shared_threshold,
    between,
)

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut

RANKS_AT_ONCE = 64
ENTRIES_AT_ONCE = 2**17  # the temporaries of a block of rows stay small

MetricOfRows = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


class State(Protocol):
    """Thresholds, and the metric there."""

    thresholds: FloatArray
    value: float

    def improve(self, group: IndexArray) -> bool:
        """Move the threshold of a group to a better place, if one is found; return whether one was."""


def climb(states: Sequence[State], groups: Sequence[IndexArray], max_passes: int) -> FloatArray:
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


def exact_starts(held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray) -> list[FloatArray]:
    """Return the best thresholds for the metrics with an exact search."""
    return [metric.tune(held_out, groups, thresholds, 1) for metric in (MacroF1(), MicroF1(), Hamming())]


def all_right(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return 1 where exactly the positives are predicted, 0 elsewhere."""
    return np.asarray((true_positive == positive) & (predicted == positive), dtype=np.float64)


class RowMetric:
    """Mean over rows of a metric of the counts of each row. Each step of the search is exact.

    Parameters
    ----------
    of_row : callable
        (true positives, predictions, positives) of rows -> metric of the rows.
    """

    def __init__(self, of_row: MetricOfRows) -> None:
        self.of_row = of_row

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the mean of the metric over rows."""
        return _RowState(self.of_row, held_out, thresholds).value

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return thresholds at least as good as the exact ones for F1 and Hamming loss and the best shared one."""
        starts = [thresholds]
        if len(groups) > 1:  # for one group a step is the whole search
            shared = self.tune(held_out, [np.concatenate(groups)], thresholds, 1)
            starts = [*exact_starts(held_out, groups, thresholds), shared]
        return climb([_RowState(self.of_row, held_out, start) for start in starts], groups, max_passes)


class _RowState:
    """The counts of each row at the current thresholds."""

    def __init__(self, of_row: MetricOfRows, held_out: HeldOut, thresholds: FloatArray) -> None:
        predicted = held_out.predictions(thresholds)
        self.of_row, self.held_out, self.thresholds = of_row, held_out, thresholds.copy()
        self.row_weight = held_out.row_weight()
        self.positive = held_out.targets.sum(axis=1, dtype=np.float64)
        self.true_positive = (predicted & held_out.targets).sum(axis=1, dtype=np.float64)
        self.predicted = predicted.sum(axis=1, dtype=np.float64)
        self.value = self._mean(self.true_positive, self.predicted)

    def improve(self, group: IndexArray) -> bool:
        """Move the threshold of a group to its best place given the others; return whether that is better."""
        labels = self.held_out.labels(group)
        now = labels.predictions(self.thresholds[group])
        others = (
            self.true_positive - np.count_nonzero(now & labels.targets, axis=1),
            self.predicted - np.count_nonzero(now, axis=1),
        )
        threshold = best_shared_threshold(labels, self._steps(labels, *others))
        new = labels.predictions(np.asarray(threshold))
        true_positive = others[0] + np.count_nonzero(new & labels.targets, axis=1)
        predicted = others[1] + np.count_nonzero(new, axis=1)
        value = self._mean(true_positive, predicted)
        if value <= self.value + ROUNDING:
            return False
        self.thresholds[group] = threshold
        self.true_positive, self.predicted, self.value = true_positive, predicted, value
        return True

    def _steps(
        self, labels: HeldOut, true_positive: FloatArray, predicted: FloatArray
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield known scores, flat, and the gain of the mean when the threshold falls below each, by blocks of rows."""
        known = labels.is_known()
        for rows in row_blocks(len(known), max(1, ENTRIES_AT_ONCE // labels.n_labels)):
            ordered, hits, present = _descending(labels.scores[rows], labels.targets[rows], known[rows])
            before = true_positive[rows, None], predicted[rows, None]
            positive = self.positive[rows, None]
            after = before[0] + np.cumsum(hits, axis=1), before[1] + np.cumsum(present, axis=1)
            gains = np.diff(self.of_row(*after, positive), axis=1, prepend=self.of_row(*before, positive))
            if self.row_weight is not None:
                gains *= self.row_weight[rows, None]
            yield ordered[present], gains[present]

    def _mean(self, true_positive: FloatArray, predicted: FloatArray) -> float:
        return self.held_out.row_mean(self.of_row(true_positive, predicted, self.positive))


def _descending(scores: FloatArray, targets: BoolArray, known: BoolArray) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return each row of the three in descending order of its scores."""
    if scores.shape[1] == 1:
        return scores, targets, known
    order = np.argsort(-scores, axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    return scores, np.take_along_axis(targets, order, axis=1), np.take_along_axis(known, order, axis=1)


def all_thresholds(scores: FloatArray) -> FloatArray:
    """Return a threshold between any two adjacent scores, and below and above all, in ascending order."""
    distinct = np.unique(scores[scores > -np.inf])
    return np.append(between(np.append(-np.inf, distinct[:-1]), distinct), np.inf)


def spread(size: int) -> IndexArray:
    """Return up to RANKS_AT_ONCE ranks below size, from first to last."""
    return np.unique(np.linspace(0, size - 1, RANKS_AT_ONCE).round().astype(np.intp))


def search_ranks(values_at: Callable[[IndexArray], FloatArray], ranks: IndexArray) -> tuple[int, float]:
    """Return the best rank among the given ones and, from coarse to fine, the ranks around the best.

    Parameters
    ----------
    values_at : callable
        Ascending ranks -> their values.
    ranks : ndarray of shape (n_ranks,)
        The first ranks to try, in ascending order.
    """
    values = dict(zip(ranks.tolist(), values_at(ranks).tolist(), strict=True))
    while True:
        best = max(values, key=lambda rank: (values[rank], rank))
        known = sorted(values)
        low, high = known[max(known.index(best) - 1, 0)], known[min(known.index(best) + 1, len(known) - 1)]
        inner = np.setdiff1d(low + spread(high - low + 1), known)
        if not inner.size:
            return best, values[best]
        values.update(zip(inner.tolist(), values_at(inner).tolist(), strict=True))
