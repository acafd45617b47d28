"""What metrics share: constraints of their input, and averages over labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

INPUTS: dict[str, Any] = {"y_true": ["array-like", "sparse matrix"], "sample_weight": ["array-like", None]}
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
