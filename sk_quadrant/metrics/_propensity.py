"""Propensity-scored precision and NDCG at k: rare labels, whose positives are often missing in y, count more."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.label_names import column_names
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.scored import ScoredTargets, check_ranked_targets
from sk_quadrant.metrics._averaging import RANKING, n_places

_CONSTRAINTS = {**RANKING, "propensities": ["array-like"], "normalize": ["boolean"]}


@validate_params(
    {
        "y_train": ["array-like", "sparse matrix"],
        "a": [Interval(Real, 0, None, closed="neither")],
        "b": [Interval(Real, 0, None, closed="neither")],
    },
)
def label_propensities(y_train: Any, *, a: float = 0.55, b: float = 1.5) -> NDArray[np.float64]:
    r"""Probability that a true label is recorded, by a model of how often each label was seen in training.

    .. math::
        p_j = \frac{1}{1 + C (n_j + b)^{-a}}, \quad C = (\log n - 1) (b + 1)^a

    with n training rows and :math:`n_j` positives of label j [1]_. The Extreme Classification Repository uses
    a = 0.5, b = 0.4 for its Wikipedia data sets, a = 0.6, b = 2.6 for those of Amazon and the defaults for others [2]_.

    Parameters
    ----------
    y_train : {array-like, sparse matrix} of shape (n_samples, n_labels)
        Labels of the training rows, NaN where unknown; n is the number of known entries of a label.

    a : float, default=0.55
        Exponent of the model, > 0.

    b : float, default=1.5
        Offset of the number of positives, > 0.

    Returns
    -------
    propensities : ndarray of shape (n_labels,)
        Between 0 and 1; more frequent labels have larger propensities.

    Raises
    ------
    ValueError
        If `y_train` is not a label matrix, or a or b is not positive.

    See Also
    --------
    psp_at_k_score : Precision at k weighted by inverse propensities.
    psndcg_at_k_score : NDCG at k weighted by inverse propensities.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu, M. Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking &
       other missing label applications", KDD 2016. :doi:`10.1145/2939672.2939756`
    .. [2] K. Bhatia et al., "The Extreme Classification Repository: multi-label datasets and code", 2016.
       http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> from sk_quadrant.metrics import label_propensities
    >>> label_propensities([[1, 0], [1, 0], [1, 1], [1, 0]]).round(2)
    array([0.8 , 0.72])
    """
    targets = LabelArray(y_train, "y_train").targets()
    log_n = np.log(np.maximum(targets.n_known(), 1))
    # C = (log n - 1) (b + 1)^a is negative for n < e, where p would exceed 1
    constant = np.maximum(log_n - 1, 0) * (b + 1) ** a
    return np.asarray(1 / (1 + constant * (targets.counts() + b) ** -a))


@validate_params(_CONSTRAINTS)
def psp_at_k_score(
    y_true: Any, y_score: Any, *, propensities: Any, k: int = 1, normalize: bool = True, sample_weight: Any = None
) -> float:
    r"""Propensity-scored precision at k, an unbiased estimate of precision at k if positives are missing in `y_true`.

    .. math::
        PSP@k = \frac{1}{n} \sum_i \frac{1}{k} \sum_{j \in \mathrm{top}_k(s_i)} \frac{y_{ij}}{p_j}

    With propensities of 1 it is :func:`precision_at_k_score`. Ties at the k-th place have their expected value over all
    orders of the tied labels.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown labels are removed from the ranking of their row; a row with fewer
        than k known labels is divided by their number, and a row without any is left out.

    y_score : array-like of shape (n_samples, n_labels) or list of n_labels arrays of shape (n_samples, 2)
        Scores, comparable between the labels of a row: `decision_function` or `predict_proba`.

    propensities : array-like of shape (n_labels,), or Series or dict by label name
        Probability in (0, 1] that a true label is recorded; see :func:`label_propensities`.

    k : int, default=1
        Number of highest scores in each row, at most n_labels.

    normalize : bool, default=True
        Whether to divide by the largest value that any scores reach, as the Extreme Classification Repository does.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row: then a label of weight 0 counts as unknown, and a row with
        the mean weight of its other known labels.

    Returns
    -------
    score : float
        At least 0, and at most 1 with `normalize`; higher is better. 0 if no label is relevant.

    Raises
    ------
    ValueError
        If k is larger than the number of labels, shapes differ, propensities are not in (0, 1], or no known label has a
        positive weight.

    See Also
    --------
    label_propensities : Propensities from the training labels.
    psndcg_at_k_score : The same with a discount for lower ranks.
    precision_at_k_score : The same without propensities.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu, M. Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking &
       other missing label applications", KDD 2016. :doi:`10.1145/2939672.2939756`

    Examples
    --------
    >>> from sk_quadrant.metrics import psp_at_k_score
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> y_score = [[0.9, 0.5, 0.1], [0.1, 0.9, 0.5]]
    >>> psp_at_k_score(y_true, y_score, propensities=[1.0, 0.5, 0.25], k=1)  # (1 + 2) / (4 + 2)
    0.5
    """
    inputs, gains = _check(y_true, y_score, propensities, k, sample_weight)
    return _score(inputs, gains, np.ones(k), n_places(inputs, k), normalize)


@validate_params(_CONSTRAINTS)
def psndcg_at_k_score(
    y_true: Any, y_score: Any, *, propensities: Any, k: int = 1, normalize: bool = True, sample_weight: Any = None
) -> float:
    r"""Propensity-scored normalised discounted cumulative gain at k.

    .. math::
        PSnDCG@k = \frac{1}{n} \sum_i \Bigl(\sum_{l=1}^{\min(k, m_i)} \frac{1}{\log_2(l + 1)}\Bigr)^{-1}
        \sum_{l=1}^{k} \frac{y_{i r_l}}{p_{r_l} \log_2(l + 1)}

    with :math:`r_l` the label of rank l in the row and :math:`m_i` the number of its relevant labels. Tied labels have
    their expected value over all orders. Rows without relevant labels count as 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown labels are removed from the ranking of their row; a row without known
        labels is left out.

    y_score : array-like of shape (n_samples, n_labels) or list of n_labels arrays of shape (n_samples, 2)
        Scores, comparable between the labels of a row: `decision_function` or `predict_proba`.

    propensities : array-like of shape (n_labels,), or Series or dict by label name
        Probability in (0, 1] that a true label is recorded; see :func:`label_propensities`.

    k : int, default=1
        Number of highest scores in each row, at most n_labels.

    normalize : bool, default=True
        Whether to divide by the largest value that any scores reach, as the Extreme Classification Repository does.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row: then a label of weight 0 counts as unknown, and a row with
        the mean weight of its other known labels.

    Returns
    -------
    score : float
        At least 0, and at most 1 with `normalize`; higher is better. 0 if no label is relevant.

    Raises
    ------
    ValueError
        If k is larger than the number of labels, shapes differ, propensities are not in (0, 1], or no known label has a
        positive weight.

    See Also
    --------
    label_propensities : Propensities from the training labels.
    psp_at_k_score : The same without a discount for lower ranks.
    sklearn.metrics.ndcg_score : NDCG without propensities.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu, M. Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking &
       other missing label applications", KDD 2016. :doi:`10.1145/2939672.2939756`
    .. [2] F. McSherry, M. Najork, "Computing information retrieval performance measures efficiently in the presence
       of tied scores", ECIR 2008. :doi:`10.1007/978-3-540-78646-7_38`

    Examples
    --------
    >>> from sk_quadrant.metrics import psndcg_at_k_score
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> y_score = [[0.9, 0.5, 0.1], [0.1, 0.9, 0.5]]
    >>> psndcg_at_k_score(y_true, y_score, propensities=[1.0, 0.5, 0.25], k=1)
    0.5
    """
    inputs, gains = _check(y_true, y_score, propensities, k, sample_weight)
    # 1 / log2(r + 1) for the ranks r = 1, ..., k
    discount = 1 / np.log2(np.arange(k) + 2)
    # scale: the largest DCG without propensities, sum_{r <= min(k, n_relevant)} 1 / log2(r + 1)
    n_relevant = np.clip(np.count_nonzero(inputs.targets, axis=1), 1, k)
    return _score(inputs, gains, discount, np.cumsum(discount)[n_relevant - 1], normalize)


def _check(
    y_true: Any, y_score: Any, propensities: Any, k: int, sample_weight: Any
) -> tuple[ScoredTargets, NDArray[np.float64]]:
    """Return checked input and the gain of each label, 1 / propensity."""
    inputs = check_ranked_targets(y_true, y_score, sample_weight)
    inputs.check_k(k)
    values = read_label_values(propensities, column_names(y_true), inputs.n_labels, name="propensities")
    if not ((values > 0) & (values <= 1)).all():
        raise ValueError(f"propensities must be probabilities in (0, 1], got {propensities!r}.")
    return inputs, 1 / values


def _score(
    inputs: ScoredTargets, gains: NDArray[Any], discount: NDArray[Any], scale: NDArray[Any], normalize: bool
) -> float:
    """Return the mean over rows of discounted gains, divided by `scale`, and by the best mean if `normalize`."""

    def mean(*, best: bool) -> float:
        rows = [_discounted(block, gains, discount, best=best) for block in inputs.row_blocks()]
        return float(np.average(np.concatenate(rows) / scale, weights=inputs.row_weight))

    value = mean(best=False)
    if not normalize:
        return value
    # the best possible value may be above or below 1, as gains are 1 / p
    largest = mean(best=True)
    return value / largest if largest else 0.0


def _discounted(block: ScoredTargets, gains: NDArray[Any], discount: NDArray[Any], *, best: bool) -> NDArray[Any]:
    """Return the expected discounted gain of the first labels of each row, ranked by scores, or by gains if `best`."""
    gain = gains * (block.targets == 1)
    scores = np.where(block.known, gain if best else block.scores, np.nan)
    order = np.argsort(-scores, axis=1)  # unknown labels, NaN, are last
    scores, gain = (np.take_along_axis(values, order, axis=1) for values in (scores, gain))
    places = np.zeros(scores.shape)
    places[:, : len(discount)] = discount
    # Tied labels share the discounts of their places: the expected value over all orders.
    is_first = np.ones(scores.shape, dtype=bool)
    is_first[:, 1:] = scores[:, 1:] != scores[:, :-1]
    first = np.flatnonzero(is_first)
    n_tied = np.diff(first, append=scores.size)
    shared = np.repeat(np.add.reduceat(places.ravel(), first) / n_tied, n_tied)
    return np.asarray(np.sum(gain * shared.reshape(scores.shape), axis=1))
