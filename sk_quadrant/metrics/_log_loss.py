"""Log loss of multi-label probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

from sk_quadrant._namespaces import give
from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.scored import ScoredTargets, check_probabilistic_targets
from sk_quadrant.metrics._averaging import PROBABILITIES, average_labels


@validate_params(PROBABILITIES)
def multilabel_log_loss(
    y_true: Any, y_proba: Any, *, average: str | None = "micro", sample_weight: Any = None
) -> float | NDArray[np.float64]:
    r"""Log loss of multi-label probabilities.

    Each entry of `y_true` is a binary problem. Its loss, for target t and probability p, is

    .. math::
        \ell(t, p) = -t \log p - (1 - t) \log(1 - p)

    :func:`sklearn.metrics.log_loss` also takes an indicator array, but reads a row as a distribution over exclusive
    classes. It sums :math:`-t \log p` only: the probability of an absent label costs nothing, and 1 for every label is
    as good as a perfect prediction. At most, a warning says that rows do not sum to one.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Targets: 0 or 1, soft targets in between, NaN where a label is unknown. Unknown entries are left out.

    y_proba : array-like of shape (n_samples, n_labels) or list of n_labels arrays of shape (n_samples, 2)
        Probability that each label is 1, in either form of `predict_proba` in scikit-learn.

    average : {"micro", "macro"} or None, default="micro"
        "micro" is the mean over all known entries, "macro" the mean of the values of the labels; they differ only if
        labels are unknown. None gives the value of each label, NaN for a label without known entries, which "macro"
        leaves out.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row.

    Returns
    -------
    loss : float or ndarray of shape (n_labels,)
        Mean loss of a label in nats, at least 0; lower is better. A constant probability of 1/2 gives log(2) = 0.693.

    Raises
    ------
    ValueError
        If values are outside [0, 1], shapes differ, or no known label has a positive weight.

    See Also
    --------
    expected_calibration_error : Calibration alone.
    sklearn.metrics.log_loss : Log loss of exclusive classes.

    Notes
    -----
    Probabilities are clipped to [eps, 1 - eps] with the eps of their dtype, as in scikit-learn. So the loss of an entry
    is at most 36.04 in float64 and 15.94 in float32.

    With soft targets the smallest possible loss is their mean entropy, not 0.

    References
    ----------
    .. [1] I. J. Good, "Rational decisions", Journal of the Royal Statistical Society B 14(1), 107-114, 1952.
       :doi:`10.1111/j.2517-6161.1952.tb00104.x`

    Examples
    --------
    >>> from sk_quadrant.metrics import multilabel_log_loss
    >>> y_true = [[1, 0], [0, 1]]
    >>> round(multilabel_log_loss(y_true, [[0.5, 0.5], [0.5, 0.5]]), 4)  # log(2)
    0.6931
    >>> round(multilabel_log_loss(y_true, [[1.0, 0.0], [0.0, 1.0]]), 4)
    0.0
    >>> multilabel_log_loss(y_true, [[1.0, 1.0], [1.0, 1.0]]) > 18  # half of the entries cost 36
    True
    """
    inputs = check_probabilistic_targets(y_true, y_proba, sample_weight)
    losses, weights = np.sum([_sum_losses(block) for block in inputs.row_blocks()], axis=0)
    return give(inputs.namespace, average_labels(losses, weights, average))  # type: ignore[no-any-return]


def _sum_losses(block: ScoredTargets) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted sum of the losses of each label, and the weights."""
    eps = np.finfo(block.scores.dtype).eps
    proba = np.clip(block.scores, eps, 1 - eps)
    targets, weight = block.targets.astype(np.float64, copy=False), block.weight
    losses = -xlogy(targets, proba) - xlog1py(1 - targets, -proba)
    return np.sum(weight * losses, axis=0), np.sum(weight, axis=0)
