"""Thresholds of labels, as scores and as probabilities, from the parameter `threshold`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._targets.label_values import read_label_values

if TYPE_CHECKING:
    from sk_quadrant.losses import Loss


def resolve_threshold(
    loss: Loss, threshold: Any, n_labels: int, names: Any = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the threshold of each label as a score and as a probability, two arrays of shape (n_labels,).

    Parameters
    ----------
    loss : Loss
    threshold : {"natural", "bayes"}, float, array-like of shape (n_labels,), or values by label name
    n_labels : int
    names : array-like of shape (n_labels,) or None, default=None
        Names of the labels.

    Raises
    ------
    ValueError
        If the loss has no such threshold or the shape or range does not fit.
    """
    if isinstance(threshold, str):
        cuts = np.full(n_labels, loss.score_threshold(threshold), dtype=np.float64)
        return cuts, cuts.copy() if loss.link is None else loss.link.inverse(cuts)
    if loss.link is None:
        loss.score_threshold(threshold)  # raises
    probabilities = read_label_values(threshold, names, n_labels, name="threshold")
    cuts = np.full(n_labels, loss.score_threshold(probabilities), dtype=np.float64)
    return cuts, probabilities
