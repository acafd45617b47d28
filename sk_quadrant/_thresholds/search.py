"""The search for thresholds: which labels share one, and the metrics that can be maximised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._thresholds.coordinate_search import RowMetric, all_right
from sk_quadrant._thresholds.exact_search import Hamming, MacroF1, MicroF1, f1

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut


class Search(Protocol):
    """A search for thresholds."""

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return better thresholds, one for all labels of a group; other labels keep their thresholds."""


class Metric(Search, Protocol):
    """A metric of predictions, higher is better, and the search for the thresholds where it is highest."""

    def value(self, held_out: HeldOut, thresholds: FloatArray) -> float:
        """Return the metric of the predictions at thresholds of shape (n_labels,)."""


METRICS: dict[str, Metric] = {
    "f1_macro": MacroF1(),
    "f1_micro": MicroF1(),
    "f1_samples": RowMetric(f1),
    "accuracy": RowMetric(all_right),
    "neg_hamming_loss": Hamming(),
}


def tune_thresholds(
    search: Search,
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
    search : Search
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
    n_positives = held_out.n_positives()
    pool = tuned if shared else tuned[n_positives[tuned] < min_positives]
    groups = [] if shared else [np.array([label]) for label in np.setdiff1d(tuned, pool)]
    if pool.size and (shared or n_positives[pool].sum() >= min_positives):
        groups.append(pool)
    elif pool.size:
        start[pool] = search.tune(held_out, [tuned], start, max_passes)[pool]
    pooled = np.zeros(held_out.n_labels, dtype=bool)
    pooled[pool] = True
    return search.tune(held_out, groups, start, max_passes), pooled
