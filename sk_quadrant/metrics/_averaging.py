"""What metrics share: constraints of their input, averages over labels, and places of a ranking."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

if TYPE_CHECKING:
    from sk_quadrant._targets.scored import ScoredTargets


INPUTS: dict[str, Any] = {"y_true": ["array-like", "sparse matrix"], "sample_weight": ["array-like", None]}
RANKING = {**INPUTS, "y_score": ["array-like"], "k": [Interval(Integral, 1, None, closed="left")]}
PROBABILITIES = {**INPUTS, "y_proba": ["array-like"], "average": [StrOptions({"micro", "macro"}), None]}


def average_labels(
    totals: NDArray[np.float64], weights: NDArray[np.float64], average: str | None
) -> float | NDArray[np.float64]:
    """Return totals divided by weights, both of shape (n_labels,): pooled, for each label, or their mean.

    A label of weight 0 has the value NaN and is left out of "macro".
    """
    if average == "micro":
        return float(totals.sum() / weights.sum())
    label_means = np.full(len(totals), np.nan)
    np.divide(totals, weights, out=label_means, where=weights > 0)
    return label_means if average is None else float(np.nanmean(label_means))


def n_places(inputs: ScoredTargets, k: int) -> NDArray[np.int64]:
    """Return the number of labels among the first k of each row, at least 1."""
    return np.asarray(np.clip(np.count_nonzero(inputs.known, axis=1), 1, k))
