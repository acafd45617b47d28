"""Cut-offs: from what the user asks for to what scores are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sk_quadrant.losses import Loss


def resolve_threshold(loss: Loss, threshold: Any, n_labels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cut of each label as a score and as a probability, two arrays of shape (n_labels,).

    Parameters
    ----------
    loss : Loss
    threshold : {"natural", "bayes"}, float or array-like of shape (n_labels,)
    n_labels : int

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
    try:
        probabilities = np.array(threshold, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"threshold must be one number or have shape ({n_labels},), got {threshold!r}.") from None
    if probabilities.shape not in ((), (n_labels,)):
        raise ValueError(f"threshold must be one number or have shape ({n_labels},), got {probabilities.shape}.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"threshold must be probabilities in [0, 1], got {threshold!r}.")
    probabilities = np.broadcast_to(probabilities, n_labels).copy()
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
