"""How values of several labels become one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_labels(
    totals: NDArray[np.float64], weights: NDArray[np.float64], average: str | None
) -> float | NDArray[np.float64]:
    """Divide weighted totals of shape (n_labels,) by their weights: all at once, label by label, or then averaged.

    A label without weight has no value: it is NaN in the result for each label and left out of their mean.
    """
    if average == "micro":
        return float(totals.sum() / weights.sum())
    label_means = np.full(len(totals), np.nan)
    np.divide(totals, weights, out=label_means, where=weights > 0)
    return label_means if average is None else float(np.nanmean(label_means))
