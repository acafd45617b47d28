"""Expected calibration error of multi-label probabilities."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from sk_quadrant._namespaces import give
from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.scored import ScoredTargets, check_probabilistic_targets
from sk_quadrant.metrics._averaging import PROBABILITIES, average_labels


@validate_params(
    {
        **PROBABILITIES,
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "strategy": [StrOptions({"uniform", "quantile"})],
    },
)
def expected_calibration_error(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    strategy: str = "uniform",
    average: str | None = "macro",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    r"""Mean distance between predicted probabilities and observed frequencies of labels.

    The probabilities of a label are sorted into bins. In a calibrated bin the observed frequency equals the mean
    probability; the error is the mean distance between the two, weighted by the number of entries in the bin:

    .. math::
        \mathrm{ECE} = \sum_b \frac{n_b}{n} \bigl|\bar{y}_b - \bar{p}_b\bigr|

    The bins are those of :func:`sklearn.calibration.calibration_curve`.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Targets: 0 or 1, soft targets in between, NaN where a label is unknown. Unknown entries are left out.

    y_proba : array-like of shape (n_samples, n_labels) or list of n_labels arrays of shape (n_samples, 2)
        Probability that each label is 1, in either form of `predict_proba` in scikit-learn.

    n_bins : int, default=15
        Number of bins.

    strategy : {"uniform", "quantile"}, default="uniform"
        "uniform" bins have the same width, "quantile" bins the same weight. A bin holds its upper edge.

    average : {"micro", "macro"} or None, default="macro"
        "macro" is the mean of the errors of the labels, also known as classwise calibration error. "micro" sorts the
        entries of all labels into the same bins: it needs less data, but errors of different labels can cancel. None
        gives the value of each label, NaN for a label without known entries, which "macro" leaves out.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row.

    Returns
    -------
    error : float or ndarray of shape (n_labels,)
        Between 0 and 1; lower is better. It does not measure accuracy: constant probabilities equal to the label
        frequencies give 0.

    Raises
    ------
    ValueError
        If values are outside [0, 1], shapes differ, or no known label has a positive weight.

    See Also
    --------
    multilabel_log_loss : Rewards calibrated and sharp probabilities.
    sk_quadrant.displays.LabelCalibrationDisplay : The distances as a picture.
    sk_quadrant.CalibratedMultiLabelClassifierCV : Calibrate any multi-label classifier.

    Notes
    -----
    A finite sample does not reach 0: with n entries in m bins, calibrated probabilities have an error of the order of
    sqrt(m / n). Compare errors of the same sample size and the same number of bins.

    Edges of quantile bins are observed probabilities (inverted distribution function), so that a weight of 2 equals a
    repeated row; `calibration_curve` interpolates, so that its bins may differ by one entry.

    References
    ----------
    .. [1] M. P. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
       AAAI 2015. :doi:`10.1609/aaai.v29i1.9602`
    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.
       :arxiv:`1706.04599`
    .. [3] J. Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019 (mean over classes, bins
       of equal weight). :arxiv:`1904.01685`

    Examples
    --------
    >>> from sk_quadrant.metrics import expected_calibration_error
    >>> y_true = [[1, 1], [0, 1]]
    >>> y_proba = [[0.5, 0.9], [0.5, 0.9]]  # the first label is present in half of the rows, the second in all
    >>> expected_calibration_error(y_true, y_proba, average=None).round(2).tolist()
    [0.0, 0.1]
    >>> round(expected_calibration_error(y_true, y_proba), 2)
    0.05
    """
    inputs = check_probabilistic_targets(y_true, y_proba, sample_weight)
    is_pooled = average == "micro"
    if strategy == "uniform":
        edges = np.linspace(0, 1, n_bins + 1)[1:-1, np.newaxis]
    else:
        edges = _quantile_edges(inputs, n_bins, is_pooled=is_pooled)
    gaps, weights = _sum_gaps(inputs, edges)
    # n_b |mean y - mean p| = |sum_b (y - p)|
    totals = np.abs(gaps.sum(axis=1) if is_pooled else gaps).sum(axis=0)
    return give(inputs.namespace, average_labels(totals, weights, average))  # type: ignore[no-any-return]


def _sum_gaps(inputs: ScoredTargets, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum target minus probability in each bin, shape (n_bins, n_labels), and the weights of each label."""
    shape = (len(edges) + 1, inputs.n_labels)
    gaps = np.zeros(shape)
    weights = np.zeros(inputs.n_labels)
    for block in inputs.row_blocks():
        weight = block.weight
        bins = np.zeros(block.scores.shape, dtype=np.intp)
        for edge in edges:  # bin number = number of edges below; faster than searchsorted for few edges
            bins += block.scores > edge
        cells = np.ravel(bins * inputs.n_labels + np.arange(inputs.n_labels))
        gap = weight * np.subtract(block.targets, block.scores, dtype=np.float64)
        gaps += np.bincount(cells, weights=gap.ravel(), minlength=gaps.size).reshape(shape)
        weights += weight.sum(axis=0)
    return gaps, weights


def _quantile_edges(inputs: ScoredTargets, n_bins: int, *, is_pooled: bool) -> NDArray[np.float64]:
    """Return the inner edges of bins of equal weight, shape (n_bins - 1, n_labels), or (n_bins - 1, 1) if pooled."""
    shape = (-1, 1 if is_pooled else inputs.n_labels)
    columns = zip(inputs.scores.reshape(shape).T, inputs.weight.reshape(shape).T, strict=True)
    return np.column_stack([_quantiles(scores, weight, n_bins) for scores, weight in columns])


def _quantiles(values: NDArray[Any], weight: NDArray[np.float64], n_bins: int) -> NDArray[Any]:
    """Return the values with 1/n_bins, 2/n_bins, ... of the weight at or below them."""
    # the smallest value v with sum of the weights of values <= v at least k / n_bins of the total
    values, weight = values[weight > 0], weight[weight > 0]
    bins = np.arange(1, n_bins)
    if not len(values):
        return np.zeros(len(bins))
    order = np.argsort(values)
    cumulative_weight = np.cumsum(weight[order])
    levels = cumulative_weight[-1] * bins / n_bins
    levels *= 1 - 1e-12  # rounding of the sum must not skip a level that is reached exactly
    return np.asarray(values[order[np.searchsorted(cumulative_weight, levels)]])
