"""F1 of label sets with all ancestors of their labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.weights import check_sample_weight
from sk_quadrant.hierarchy._labels import LabelHierarchy


def hierarchical_f1_score(y_true: Any, y_pred: Any, hierarchy: LabelHierarchy, *, sample_weight: Any = None) -> float:
    r"""Hierarchical F1: the micro-averaged F1 of label sets with all ancestors of their labels.

    Let :math:`T_i` be the labels and :math:`P_i` the predictions of row i, both with all their ancestors, and
    :math:`w_i` the weights of rows:

    .. math::
        hF = \frac{2 \sum_i w_i |P_i \cap T_i|}{\sum_i w_i (|P_i| + |T_i|)}

    so that A01C in place of A01B is a smaller mistake than H04L [1]_ [2]_.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        Labels: 0 or 1, NaN where unknown. Unknown entries are left out.
    y_pred : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        Predictions.
    hierarchy : LabelHierarchy
        Parent of each label.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of rows.

    Returns
    -------
    float
        Between 0 and 1; higher is better. 0 if there are neither labels nor predictions.

    Raises
    ------
    ValueError
        If shapes differ, or values are not 0 and 1.

    See Also
    --------
    HierarchicalMultiLabelClassifier : Consistent predictions of any multi-label classifier.
    sk_quadrant.metrics.multilabel_f1_score : F1 without a hierarchy.

    References
    ----------
    .. [1] S. Kiritchenko, S. Matwin, R. Nock, A. F. Famili. :doi:`"Learning and evaluation in the presence of class
       hierarchies: application to text categorization" <10.1007/11766247_34>`. Canadian AI 2006.
    .. [2] C. N. Silla, A. A. Freitas. :doi:`"A survey of hierarchical classification across different application
       domains" <10.1007/s10618-010-0175-9>`. Data Mining and Knowledge Discovery 22, 2011.

    Examples
    --------
    >>> from sk_quadrant.hierarchy import LabelHierarchy, hierarchical_f1_score
    >>> hierarchy = LabelHierarchy.from_names(["A", "A01", "A01B", "A01C", "B"])
    >>> hierarchical_f1_score([[0, 0, 1, 0, 0]], [[0, 0, 0, 1, 0]], hierarchy)
    0.666...
    >>> hierarchical_f1_score([[0, 0, 1, 0, 0]], [[0, 0, 0, 0, 1]], hierarchy)
    0.0
    """
    true = LabelArray(y_true, "y_true").targets()
    predicted = LabelArray(y_pred, "y_pred").targets("error")
    if true.values.shape != predicted.values.shape:
        raise ValueError(
            f"y_true and y_pred must have one shape, got {true.values.shape} and {predicted.values.shape}."
        )
    weight = check_sample_weight(sample_weight, true.n_samples)
    weight = np.ones(true.n_samples) if weight is None else weight
    closed = hierarchy.close(np.where(true.known(), true.dense(), np.nan))
    known = ~np.isnan(closed)
    found = hierarchy.close(predicted.dense()) * known
    both = weight @ (np.where(known, closed, 0) * found).sum(axis=1)
    total = weight @ (np.where(known, closed, 0) + found).sum(axis=1)
    return float(2 * both / total) if total else 0.0
