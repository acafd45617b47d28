"""Cut-offs: from what the user asks for to what scores are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._targets import read_label_values

if TYPE_CHECKING:
    from sk_quadrant.losses import Loss


def resolve_threshold(
    loss: Loss, threshold: Any, n_labels: int, names: Any = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cut of each label as a score and as a probability, two arrays of shape (n_labels,).

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
        cuts = np.full(n_labels, _named_cut(loss, threshold))
        return cuts, cuts.copy() if loss.link is None else loss.link.inverse(cuts)
    if loss.link is None:
        raise ValueError(
            f"threshold must be 'natural' for {loss.name!r}, whose scores have no probability, got {threshold!r}."
        )
    probabilities = read_label_values(threshold, names, n_labels, name="threshold")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"threshold must be probabilities in [0, 1], got {threshold!r}.")
    return loss.link.cut(probabilities), probabilities


def _named_cut(loss: Loss, threshold: str) -> float:
    if threshold == "natural":
        return loss.threshold
    if loss.bayes_threshold is None:
        raise ValueError(
            f"threshold='bayes' is not possible for {loss.name!r}, none of whose scores has a probability of 1/2. "
            "Use 'natural'."
        )
    return loss.bayes_threshold
