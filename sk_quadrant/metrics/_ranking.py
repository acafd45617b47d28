"""Precision and recall at k: among the k labels with the highest scores of each row."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils._param_validation import Options

from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.scored import ScoredTargets, check_ranked_targets
from sk_quadrant.metrics._averaging import RANKING, n_places


@validate_params(RANKING)
def precision_at_k_score(y_true: Any, y_score: Any, *, k: int = 1, sample_weight: Any = None) -> float:
    r"""Mean share of relevant labels among the k labels with the highest scores of each row.

    .. math::
        P@k = \frac{1}{n} \sum_i \frac{1}{k} \sum_{j \in \mathrm{top}_k(s_i)} y_{ij}

    With ties at the k-th place, a row has the expected value over all orders of the tied labels, as in
    :func:`sklearn.metrics.ndcg_score`. Constant scores thus give the share of relevant labels, and the order of the
    columns does not matter.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown labels are removed from the ranking of their row; a row with fewer
        than k known labels is divided by their number, and a row without any is left out.

    y_score : array-like of shape (n_samples, n_labels) or list of n_labels arrays of shape (n_samples, 2)
        Scores, comparable between the labels of a row: `decision_function` or `predict_proba`.

    k : int, default=1
        Number of highest scores in each row, at most n_labels.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row: then a label of weight 0 counts as unknown, and a row with
        the mean weight of its other known labels.

    Returns
    -------
    score : float
        Between 0 and 1; higher is better. A row with fewer than k relevant labels cannot reach 1.

    Raises
    ------
    ValueError
        If k is larger than the number of labels, shapes differ, or no known label has a positive weight.

    See Also
    --------
    recall_at_k_score : Share of the relevant labels that are found.
    psp_at_k_score : More weight on rare labels.
    sklearn.metrics.label_ranking_average_precision_score : Precision over all ranks of relevant labels.

    References
    ----------
    .. [1] K. Bhatia et al., "The Extreme Classification Repository: multi-label datasets and code", 2016.
       http://manikvarma.org/downloads/XC/XMLRepository.html
    .. [2] F. McSherry, M. Najork, "Computing information retrieval performance measures efficiently in the presence
       of tied scores", ECIR 2008. :doi:`10.1007/978-3-540-78646-7_38`

    Examples
    --------
    >>> from sk_quadrant.metrics import precision_at_k_score
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> y_score = [[0.9, 0.5, 0.1], [0.1, 0.9, 0.5]]
    >>> precision_at_k_score(y_true, y_score, k=1)
    1.0
    >>> precision_at_k_score(y_true, y_score, k=2)
    0.5
    """
    inputs = check_ranked_targets(y_true, y_score, sample_weight)
    precision = _top_hits(inputs, k) / n_places(inputs, k)
    return float(np.average(precision, weights=inputs.row_weight))


@validate_params({**RANKING, "zero_division": [Options(Real, {0.0, 1.0}), "nan"]})
def recall_at_k_score(
    y_true: Any, y_score: Any, *, k: int = 1, sample_weight: Any = None, zero_division: float = np.nan
) -> float:
    r"""Mean share of the relevant labels of each row that are among its k highest scores.

    .. math::
        R@k = \frac{1}{n} \sum_i \frac{\sum_{j \in \mathrm{top}_k(s_i)} y_{ij}}{\sum_j y_{ij}}

    Ties at the k-th place have their expected value, as in :func:`precision_at_k_score`.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown labels are removed from their row; a row without known labels is
        left out.

    y_score : array-like of shape (n_samples, n_labels) or list of n_labels arrays of shape (n_samples, 2)
        Scores, comparable between the labels of a row: `decision_function` or `predict_proba`.

    k : int, default=1
        Number of highest scores in each row, at most n_labels.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row: then a label of weight 0 counts as unknown, and a row with
        the mean weight of its other known labels.

    zero_division : {0.0, 1.0, np.nan}, default=np.nan
        Recall of a row without relevant labels. `np.nan` leaves such rows out of the mean.

    Returns
    -------
    score : float
        Between 0 and 1; higher is better. A row with more than k relevant labels cannot reach 1. NaN, with an
        `UndefinedMetricWarning`, if no row is left.

    Raises
    ------
    ValueError
        If k is larger than the number of labels, shapes differ, or no known label has a positive weight.

    See Also
    --------
    precision_at_k_score : Share of relevant labels among the first k.
    sklearn.metrics.coverage_error : Number of labels to take until all relevant ones are found.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schütze, "Introduction to Information Retrieval", chapter 8, Cambridge
       University Press, 2008. :doi:`10.1017/CBO9780511809071`
    .. [2] F. McSherry, M. Najork, "Computing information retrieval performance measures efficiently in the presence
       of tied scores", ECIR 2008. :doi:`10.1007/978-3-540-78646-7_38`

    Examples
    --------
    >>> from sk_quadrant.metrics import recall_at_k_score
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> y_score = [[0.9, 0.5, 0.1], [0.1, 0.9, 0.5]]
    >>> recall_at_k_score(y_true, y_score, k=1)
    0.75
    >>> recall_at_k_score(y_true, y_score, k=3)
    1.0
    """
    inputs = check_ranked_targets(y_true, y_score, sample_weight)
    n_relevant = np.count_nonzero(inputs.targets, axis=1)
    recall = np.full(len(n_relevant), float(zero_division))
    np.divide(_top_hits(inputs, k), n_relevant, out=recall, where=n_relevant > 0)
    weight = np.where(np.isnan(recall), 0.0, inputs.row_weight)
    if not weight.any():
        warnings.warn(
            "recall_at_k_score is NaN: y_true has no relevant label in a row of positive sample_weight. Set "
            "zero_division to give such rows a recall.",
            UndefinedMetricWarning,
            stacklevel=3,  # the caller, past the wrapper that validates parameters
        )
        return np.nan
    return float(np.average(np.nan_to_num(recall), weights=weight))


def _top_hits(inputs: ScoredTargets, k: int) -> NDArray[np.float64]:
    """Return the expected number of relevant labels among the k highest scores of each row."""
    inputs.check_k(k)
    return np.concatenate([_hits_of_block(block, k) for block in inputs.row_blocks()])


def _hits_of_block(block: ScoredTargets, k: int) -> NDArray[np.float64]:
    scores = np.where(block.known, block.scores, -np.inf)
    relevant = block.targets == 1
    # labels above the k-th largest score are among the first k in every order of tied labels
    kth_score = np.partition(scores, -k, axis=1)[:, -k, np.newaxis]
    is_above = scores > kth_score
    is_tied = (scores == kth_score) & block.known
    # Tied labels share the remaining places with equal probability.
    n_left = np.minimum(k, np.count_nonzero(block.known, axis=1)) - np.count_nonzero(is_above, axis=1)
    share = n_left / np.maximum(1, np.count_nonzero(is_tied, axis=1))
    n_hits = np.count_nonzero(is_above & relevant, axis=1) + share * np.count_nonzero(is_tied & relevant, axis=1)
    return np.asarray(n_hits)
