"""Cuts: held-out scores and targets in, out the thresholds at which a metric of the predictions is best."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]

RANKS_AT_ONCE = 64
ENTRIES_AT_ONCE = 2**17  # the temporaries of a block of rows stay small
ROUNDING = 8 * np.finfo(np.float64).eps  # relative to what is added up: smaller differences are none


@dataclass(frozen=True)
class HeldOut:
    """Scores of rows that the classifier was not trained on, with their targets.

    A label is predicted where its score is above its cut, strictly: a score of -inf is never predicted.

    Attributes
    ----------
    scores : ndarray of shape (n_samples, n_labels)
        Scores, without NaN.

    targets : ndarray of bool of shape (n_samples, n_labels)
        True for a positive label, False for a negative or unknown one.

    known : ndarray of bool of shape (n_samples, n_labels), or None
        False for an unknown target, which then has no influence. None if all are known.

    weight : ndarray of shape (n_samples,), or None
        Nonnegative weights of the rows. None if all are 1.
    """

    scores: FloatArray
    targets: BoolArray
    known: BoolArray | None = None
    weight: FloatArray | None = None

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.scores.shape[1])

    def counting_rows(self) -> HeldOut:
        """Return the rows that have a weight above 0 and a known label."""
        counts = np.ones(self.scores.shape[0], dtype=bool) if self.known is None else self.known.any(axis=1)
        counts &= True if self.weight is None else self.weight > 0
        if counts.all():
            return self
        known = None if self.known is None else self.known[counts]
        weight = None if self.weight is None else self.weight[counts]
        return HeldOut(self.scores[counts], self.targets[counts], known, weight)

    def n_positives(self) -> IndexArray:
        """Return the number of positives of each label that some cut predicts, of shape (n_labels,)."""
        return np.asarray(np.count_nonzero(self.targets & (self.scores > -np.inf), axis=0))

    def predictions(self, cuts: FloatArray) -> BoolArray:
        """Return where scores are above cuts of shape (n_labels,); False where the target is unknown."""
        predicted = self.scores > cuts
        return predicted if self.known is None else predicted & self.known

    def entries(self, labels: IndexArray) -> tuple[FloatArray, BoolArray, FloatArray | None]:
        """Return the known scores of some labels, their targets and their weights, all flat."""
        scores, targets = self.scores[:, labels], self.targets[:, labels]
        weight = None if self.weight is None else np.broadcast_to(self.weight[:, None], scores.shape)
        if self.known is None:
            return scores.ravel(), targets.ravel(), None if weight is None else weight.ravel()
        known = self.known[:, labels]
        return scores[known], targets[known], None if weight is None else weight[known]

    def counts(self, cuts: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the weights of true positives, of predictions and of positives, each of shape (n_labels,)."""
        predicted = self.predictions(cuts)
        return self._total(predicted & self.targets), self._total(predicted), self._total(self.targets)

    def weight_known(self) -> float:
        """Return the total weight of the known entries."""
        return float(self._total(np.ones_like(self.targets) if self.known is None else self.known).sum())

    def row_mean(self, values: FloatArray) -> float:
        """Return the weighted mean over rows of values of shape (n_samples,)."""
        return float(np.average(values, weights=self.weight))

    def _total(self, entries: BoolArray) -> FloatArray:
        if self.weight is None:
            return np.asarray(np.count_nonzero(entries, axis=0), dtype=np.float64)
        return np.asarray(np.einsum("i,ij->j", self.weight, entries))  # buffered: no float copy of all entries


class Metric(Protocol):
    """A metric of predictions, higher is better, and the search for the cuts where it is highest."""

    def value(self, held_out: HeldOut, cuts: FloatArray) -> float:
        """Return the metric of the predictions at cuts of shape (n_labels,)."""

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray, max_passes: int) -> FloatArray:
        """Return cuts that raise the metric, one for all labels of a group; labels in no group keep theirs."""


def tune_cuts(
    metric: Metric,
    held_out: HeldOut,
    *,
    fixed_cuts: FloatArray,
    shared: bool,
    min_positives: int,
    max_passes: int,
) -> tuple[FloatArray, BoolArray]:
    """Search for the best cuts and let labels with few positives share one.

    Parameters
    ----------
    metric : Metric
        What the cuts shall maximise.

    held_out : HeldOut
        Scores and targets.

    fixed_cuts : ndarray of shape (n_labels,)
        Cuts of labels that are not to be tuned, NaN for those that are.

    shared : bool
        Whether all tuned labels share one cut.

    min_positives : int
        Labels with fewer positives share one cut. It is the best for them taken together or, if even together
        they have fewer, the best single cut for all tuned labels. No cut then depends on fewer positives.

    max_passes : int
        Largest number of passes over the labels, where a search makes several.

    Returns
    -------
    cuts : ndarray of shape (n_labels,)
        No NaN; inf predicts a label for no row, -inf for all rows with a score above -inf.

    pooled : ndarray of bool of shape (n_labels,)
        The labels that share their cut.
    """
    tuned = np.flatnonzero(np.isnan(fixed_cuts))
    start = np.where(np.isnan(fixed_cuts), np.inf, fixed_cuts)
    n_positives = held_out.n_positives()
    pool = tuned if shared else tuned[n_positives[tuned] < min_positives]
    groups = [] if shared else [np.array([label]) for label in np.setdiff1d(tuned, pool)]
    if pool.size and (shared or n_positives[pool].sum() >= min_positives):
        groups.append(pool)
    elif pool.size:
        start[pool] = metric.tune(held_out, [tuned], start, max_passes)[pool]
    pooled = np.zeros(held_out.n_labels, dtype=bool)
    pooled[pool] = True
    return metric.tune(held_out, groups, start, max_passes), pooled


@dataclass(frozen=True)
class Curve:
    """Counts of a group of labels at the cuts that can be best for a metric of counts, from the highest cut down.

    These are the cuts right below a positive, and inf: between two positives, a lower cut only adds mistakes.

    Attributes
    ----------
    cut, true_positive, predicted : ndarray of shape (n_cuts,)
        Cuts, and the weights of true positives and of predictions there.

    positive : float
        Weight of all positives.
    """

    cut: FloatArray
    true_positive: FloatArray
    predicted: FloatArray
    positive: float

    @classmethod
    def of(cls, scores: FloatArray, targets: BoolArray, weight: FloatArray | None) -> Curve:
        """Sort positives and negatives apart, and look up the first among the second."""
        positive, positive_mass = _sorted_mass(scores[targets], None if weight is None else weight[targets])
        negative, negative_mass = _sorted_mass(scores[~targets], None if weight is None else weight[~targets])
        first = np.flatnonzero(positive > np.append(-np.inf, positive[:-1]))  # of equal ones; none is below -inf
        above = positive[first]
        n_below = np.searchsorted(negative, above)
        below = np.maximum(_preceding(positive, first), _preceding(negative, n_below))
        true_positive = positive_mass[first]
        return cls(
            cut=np.append(np.inf, between(below, above)[::-1]),
            true_positive=np.append(0.0, true_positive[::-1]),
            predicted=np.append(0.0, (true_positive + negative_mass[n_below])[::-1]),
            positive=float(positive_mass[0]),
        )

    def gain(self, price: float) -> FloatArray:
        """Return twice the true positives less a price for each prediction."""
        return 2 * self.true_positive - price * self.predicted


def _sorted_mass(scores: FloatArray, weight: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return scores in ascending order, and the weight from each place on, with a 0 behind the last."""
    if weight is None:
        return np.sort(scores), np.arange(scores.size, -1, -1, dtype=np.float64)
    order = np.argsort(scores)
    return scores[order], np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)


def _preceding(scores: FloatArray, places: IndexArray) -> FloatArray:
    return np.append(-np.inf, scores)[places]


def between(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return a cut with `high` above it and `low` not: the midpoint, or `low` where no number lies between."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        middle = low / 2 + high / 2  # the sum of two large scores would overflow
    return np.where((low < middle) & (middle < high), middle, low)


def f1(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return the F1 of counts; 0 where there is nothing to find and nothing is predicted, as scikit-learn does."""
    total = predicted + positive
    return np.divide(2 * true_positive, total, out=np.zeros_like(total), where=total > 0)


def all_right(true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> FloatArray:
    """Return 1 where exactly the positives are predicted, 0 elsewhere."""
    return np.asarray((true_positive == positive) & (predicted == positive), dtype=np.float64)


@dataclass(frozen=True)
class MacroF1:
    """Mean over labels of F1. Exact, as labels of different groups do not interact.

    One sort gives the F1 of a label at all cuts. For a group of several, the changes of the F1 of each are added up
    at the scores of all their positives.
    """

    def value(self, held_out: HeldOut, cuts: FloatArray) -> float:
        """Return the mean F1 of the labels."""
        return float(f1(*held_out.counts(cuts)).mean())

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray, max_passes: int) -> FloatArray:
        """Return the best cuts."""
        cuts = cuts.copy()
        for group in groups:
            best = self._best_for_one if group.size == 1 else self._best_for_several
            cuts[group] = best(held_out, group)
        return cuts

    @staticmethod
    def _best_for_one(held_out: HeldOut, label: IndexArray) -> float:
        curve = Curve.of(*held_out.entries(label))
        return float(curve.cut[np.argmax(f1(curve.true_positive, curve.predicted, curve.positive))])

    @staticmethod
    def _best_for_several(held_out: HeldOut, group: IndexArray) -> float:
        return _best_cut(held_out, group, (_f1_steps(*held_out.entries(label)) for label in group[:, None]))


def _f1_steps(scores: FloatArray, targets: BoolArray, weight: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return scores in descending order and what F1 gains when the cut falls below each of them."""
    order = np.argsort(-scores)
    mass = np.ones(scores.size) if weight is None else weight[order]
    true_positive, predicted = np.cumsum(mass * targets[order]), np.cumsum(mass)
    positive = true_positive[-1] if scores.size else 0.0
    return scores[order], np.diff(f1(true_positive, predicted, positive), prepend=0.0)


def _best_cut(held_out: HeldOut, group: IndexArray, steps: Iterable[tuple[FloatArray, FloatArray]]) -> float:
    """Return the cut above which the gains of a group's scores add up to the most; inf if to no more than 0.

    Parameters
    ----------
    held_out : HeldOut
        Scores and targets.

    group : ndarray
        Labels that share the cut.

    steps : iterable of (scores, gains)
        All known scores of the group, in blocks, and the change of the metric when the cut falls below each, given
        all higher ones. A negative's gain is at most 0, so that the best cut is right below a positive.
    """
    above = np.unique(held_out.scores[:, group][held_out.targets[:, group]])
    above = above[above > -np.inf]
    total = np.zeros(above.size + 1)
    for scores, gains in steps:
        order = np.argsort(scores)  # looking up sorted scores is several times faster
        place = np.searchsorted(above, scores[order], side="right")
        total += np.bincount(place, gains[order], minlength=total.size)
    value = np.append(0.0, np.cumsum(total[:0:-1]))  # from the highest cut down
    best = int(np.argmax(value >= value.max() - ROUNDING * np.abs(total).sum()))  # the first of equally good ones
    if best == 0:
        return np.inf
    lowest = above[above.size - best]
    scores = held_out.entries(group)[0]
    below = np.max(scores, where=scores < lowest, initial=-np.inf, keepdims=True)
    return float(between(below, lowest)[0])


@dataclass(frozen=True)
class Hamming:
    """Fraction of wrong entries, negated. Exact, by one sort for a group of labels."""

    def value(self, held_out: HeldOut, cuts: FloatArray) -> float:
        """Return the negated fraction of wrong entries."""
        true_positive, predicted, positive = held_out.counts(cuts)
        return -float((predicted + positive - 2 * true_positive).sum() / held_out.weight_known())

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray, max_passes: int) -> FloatArray:
        """Return the best cuts."""
        cuts = cuts.copy()
        for group in groups:
            curve = Curve.of(*held_out.entries(group))
            cuts[group] = curve.cut[np.argmax(curve.gain(1.0))]
        return cuts


@dataclass(frozen=True)
class MicroF1:
    """F1 of the counts summed over labels. Exact, by the fixed point of a fraction.

    The fraction 2 TP / (P_hat + P) is as high as q if and only if 2 TP - q P_hat - q P can be made nonnegative, and
    this sum over labels is made largest label by label. Dinkelbach's iteration takes for q the fraction at the cuts
    found last; it rises until it is the largest one, in a few rounds.
    """

    def value(self, held_out: HeldOut, cuts: FloatArray) -> float:
        """Return the F1 of the counts summed over labels."""
        return float(f1(*(np.atleast_1d(count.sum()) for count in held_out.counts(cuts)))[0])

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray, max_passes: int) -> FloatArray:
        """Return the best cuts."""
        cuts = cuts.copy()
        curves = [Curve.of(*held_out.entries(group)) for group in groups]
        untuned = np.setdiff1d(np.arange(held_out.n_labels), np.concatenate([[], *groups]))
        true_positive, predicted, positive = (count[untuned].sum() for count in held_out.counts(cuts))
        positive += sum(curve.positive for curve in curves)
        fraction, rising = 0.0, True
        while rising:
            best = [(curve, int(np.argmax(curve.gain(fraction)))) for curve in curves]
            found = true_positive + sum(curve.true_positive[k] for curve, k in best)
            total = positive + predicted + sum(curve.predicted[k] for curve, k in best)
            previous, fraction = fraction, 2 * found / total if total else 0.0
            rising = fraction > previous
        for group, (curve, k) in zip(groups, best, strict=True):
            cuts[group] = curve.cut[k]
        return cuts


@dataclass(frozen=True)
class RowMetric:
    """Mean over rows of a metric of a row's counts. By coordinate search, each step of which is exact.

    Parameters
    ----------
    of_row : callable
        (true positives, predictions, positives) of rows -> metric of the rows.
    """

    of_row: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

    def value(self, held_out: HeldOut, cuts: FloatArray) -> float:
        """Return the mean of the metric over rows."""
        return _RowState(self.of_row, held_out, cuts).value

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray, max_passes: int) -> FloatArray:
        """Return cuts at least as good as the exact ones for F1 and the Hamming loss, and as the best single cut."""
        starts = [cuts]
        if len(groups) > 1:  # for one group a step is the whole search
            starts = [*_starts(held_out, groups, cuts), self.tune(held_out, [np.concatenate(groups)], cuts, 1)]
        return _climb([_RowState(self.of_row, held_out, start) for start in starts], groups, max_passes)


class _RowState:
    """The counts of every row at the present cuts."""

    def __init__(
        self,
        of_row: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
        held_out: HeldOut,
        cuts: FloatArray,
    ) -> None:
        predicted = held_out.predictions(cuts)
        self.of_row, self.held_out, self.cuts = of_row, held_out, cuts.copy()
        self.positive = held_out.targets.sum(axis=1, dtype=np.float64)
        self.true_positive = (predicted & held_out.targets).sum(axis=1, dtype=np.float64)
        self.predicted = predicted.sum(axis=1, dtype=np.float64)
        self.value = self._mean(self.true_positive, self.predicted)

    def improve(self, group: IndexArray) -> bool:
        """Move the cut of a group to its best place given the others; return whether that was an improvement."""
        scores, targets = self.held_out.scores[:, group], self.held_out.targets[:, group]
        known = np.ones_like(targets) if self.held_out.known is None else self.held_out.known[:, group]
        now = (scores > self.cuts[group]) & known
        others = (
            self.true_positive - np.count_nonzero(now & targets, axis=1),
            self.predicted - np.count_nonzero(now, axis=1),
        )
        cut = _best_cut(self.held_out, group, self._steps(scores, targets, known, *others))
        new = (scores > cut) & known
        true_positive = others[0] + np.count_nonzero(new & targets, axis=1)
        predicted = others[1] + np.count_nonzero(new, axis=1)
        value = self._mean(true_positive, predicted)
        if value <= self.value + ROUNDING:
            return False
        self.cuts[group] = cut
        self.true_positive, self.predicted, self.value = true_positive, predicted, value
        return True

    def _steps(
        self,
        scores: FloatArray,
        targets: BoolArray,
        known: BoolArray,
        true_positive: FloatArray,
        predicted: FloatArray,
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield known scores, flat, and what the mean gains when the cut falls below each, for blocks of rows."""
        for rows in gen_batches(scores.shape[0], max(1, ENTRIES_AT_ONCE // scores.shape[1])):
            ordered, hits, present = _descending(scores[rows], targets[rows], known[rows])
            before = true_positive[rows, None], predicted[rows, None]
            positive = self.positive[rows, None]
            after = before[0] + np.cumsum(hits, axis=1), before[1] + np.cumsum(present, axis=1)
            gains = np.diff(self.of_row(*after, positive), axis=1, prepend=self.of_row(*before, positive))
            if self.held_out.weight is not None:
                gains *= self.held_out.weight[rows, None]
            yield ordered[present], gains[present]

    def _mean(self, true_positive: FloatArray, predicted: FloatArray) -> float:
        return self.held_out.row_mean(self.of_row(true_positive, predicted, self.positive))


def _descending(scores: FloatArray, targets: BoolArray, known: BoolArray) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return each row of the three in descending order of its scores."""
    if scores.shape[1] == 1:
        return scores, targets, known
    order = np.argsort(-scores, axis=1)
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(targets, order, axis=1),
        np.take_along_axis(known, order, axis=1),
    )


@dataclass(frozen=True)
class PredictionMetric:
    """Any metric of the predictions. By coordinate search, coarse to fine where a label has many cuts.

    Parameters
    ----------
    of_predictions : callable
        Predictions, an ndarray of bool of shape (n_samples, n_labels) -> metric, higher is better.
    """

    of_predictions: Callable[[BoolArray], float]

    def value(self, held_out: HeldOut, cuts: FloatArray) -> float:
        """Return the metric of the predictions."""
        return self.of_predictions(held_out.predictions(cuts))

    def tune(self, held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray, max_passes: int) -> FloatArray:
        """Return cuts at least as good as the exact ones for F1 and for the Hamming loss."""
        starts = _starts(held_out, groups, cuts)
        return _climb([_PredictionState(self.of_predictions, held_out, start) for start in starts], groups, max_passes)


class _PredictionState:
    """The predictions at the present cuts."""

    def __init__(self, of_predictions: Callable[[BoolArray], float], held_out: HeldOut, cuts: FloatArray) -> None:
        self.of_predictions, self.held_out, self.cuts = of_predictions, held_out, cuts.copy()
        self.predicted = held_out.predictions(cuts)
        self.value = of_predictions(self.predicted)

    def improve(self, group: IndexArray) -> bool:
        """Move the cut of a group to a better place, if one is found; return whether that is so."""
        cuts = _all_cuts(self.held_out.scores[:, group])
        below_positive = Curve.of(*self.held_out.entries(group)).cut
        first = np.union1d(_spread(cuts.size), np.searchsorted(cuts, below_positive)[_spread(below_positive.size)])
        rank, value = _search_ranks(lambda rank: self._value_at(group, cuts[rank]), first)
        if not value > self.value:
            return False
        self.cuts[group], self.value = cuts[rank], value
        self.predicted[:, group] = self.held_out.predictions(self.cuts)[:, group]
        return True

    def _value_at(self, group: IndexArray, cut: float) -> float:
        predicted = self.predicted.copy()
        predicted[:, group] = self.held_out.scores[:, group] > cut
        return self.of_predictions(predicted)


def _all_cuts(scores: FloatArray) -> FloatArray:
    """Return a cut between any two adjacent scores, and below and above all, in ascending order."""
    distinct = np.unique(scores[scores > -np.inf])
    return np.append(between(np.append(-np.inf, distinct[:-1]), distinct), np.inf)


def _spread(size: int) -> IndexArray:
    """Return up to RANKS_AT_ONCE ranks below size, from first to last."""
    return np.unique(np.linspace(0, size - 1, RANKS_AT_ONCE).round().astype(np.intp))


def _search_ranks(value_at: Callable[[int], float], ranks: IndexArray) -> tuple[int, float]:
    """Return the best rank among those given and, coarse to fine, those around the best."""
    values = {int(rank): value_at(int(rank)) for rank in ranks}
    while True:
        best = max(values, key=lambda rank: (values[rank], rank))
        known = sorted(values)
        low, high = known[max(known.index(best) - 1, 0)], known[min(known.index(best) + 1, len(known) - 1)]
        inner = [rank for rank in (low + _spread(high - low + 1)).tolist() if rank not in values]
        if not inner:
            return best, values[best]
        values.update((rank, value_at(rank)) for rank in inner)


class _State(Protocol):
    """Cuts on their way up."""

    cuts: FloatArray
    value: float

    def improve(self, group: IndexArray) -> bool:
        """Move the cut of a group to a better place, if one is found; return whether that is so."""


def _starts(held_out: HeldOut, groups: Sequence[IndexArray], cuts: FloatArray) -> list[FloatArray]:
    return [metric.tune(held_out, groups, cuts, 1) for metric in (MacroF1(), MicroF1(), Hamming())]


def _climb(states: Sequence[_State], groups: Sequence[IndexArray], max_passes: int) -> FloatArray:
    """Improve the best state, one group after the other, until a pass over all of them changes nothing."""
    state = max(states, key=lambda state: state.value)
    for _ in range(max_passes):
        improved = [state.improve(group) for group in groups]
        if not any(improved) or len(groups) == 1:
            return state.cuts
    warnings.warn(
        f"The search for thresholds still improved in the last of max_passes={max_passes} passes over the labels; "
        "increase max_passes.",
        ConvergenceWarning,
        stacklevel=2,
    )
    return state.cuts


METRICS: dict[str, Metric] = {
    "f1_macro": MacroF1(),
    "f1_micro": MicroF1(),
    "f1_samples": RowMetric(f1),
    "accuracy": RowMetric(all_right),
    "neg_hamming_loss": Hamming(),
}
