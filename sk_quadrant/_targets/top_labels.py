"""The most probable labels of each row, for any multi-label classifier, without a matrix of all probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sk_quadrant._arrays import IndexArray, row_blocks
from sk_quadrant._targets.any_classifier import encoding_of_predictions
from sk_quadrant._targets.responses import RESPONSE_METHODS, find_label_names, first_method, respond

BLOCK_ELEMENTS = 2**22  # probabilities of all labels that exist at a time


class TopLabels(NamedTuple):
    """The most probable labels of each row, the most probable one first.

    Attributes
    ----------
    labels : ndarray of shape (n_samples, k)
        Names of the labels, or their indices if the estimator knows no names.
    values : ndarray of shape (n_samples, k)
        Probabilities of the labels, or scores.
    response_method : {"predict_proba", "decision_function"}
        Method of the estimator that gave the values.
    """

    labels: NDArray[Any]
    values: NDArray[Any]
    response_method: str


def top_k_labels(estimator: Any, X: Any, k: int) -> TopLabels:
    """Return the k most probable labels of each row and their probabilities.

    Memory is bounded: probabilities of all labels are computed for one block of rows at a time, 4 million values.

    Parameters
    ----------
    estimator : object
        Fitted multi-label classifier with `predict_proba` or, without it, `decision_function`: of this package, of
        scikit-learn, a pipeline or a search. If `predict_proba` returns a list of arrays, as that of trees, the
        probabilities of class 1 are used. A classifier with two classes has a single label, with the probability of
        ``classes_[1]``.
    X : {array-like, sparse matrix, DataFrame, list} of shape (n_samples, n_features)
        Data, as the estimator takes it.
    k : int
        Number of labels of each row, at most `n_labels`.

    Returns
    -------
    TopLabels
        Tuple of `labels`, `values` and `response_method`. Labels are names if `y` was a DataFrame in `fit` and the
        estimator, the last step of the pipeline or the best estimator of the search has `label_names_in_`, otherwise
        indices. Of labels with equal values the one with the smaller index comes first.

    Raises
    ------
    ValueError
        If k is not between 1 and the number of labels, if the classifier has more than two exclusive classes, or if a
        value is NaN.
    TypeError
        If the estimator has neither method, or X is a dict of arrays.

    See Also
    --------
    sk_quadrant.metrics.precision_at_k_score : How many of these labels are present.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants, top_k_labels
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> clf = QuadrantMultiLabelClassifier().fit(X, Y)
    >>> labels, probabilities, response_method = top_k_labels(clf, [[2.0, -1.0], [-1.0, 2.0]], k=1)
    >>> labels
    array([[0],
           [1]])
    >>> probabilities.round(2), response_method
    (array([[1.],
           [1.]]), 'predict_proba')
    """
    if not isinstance(k, Integral) or isinstance(k, bool | np.bool_) or k < 1:
        raise ValueError(f"k must be an integer of at least 1, got {k!r}.")
    method = first_method(estimator, RESPONSE_METHODS)
    if method is None:
        raise TypeError(f"estimator must have predict_proba or decision_function, got {type(estimator).__name__}.")
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        raise TypeError(
            f"X must have rows that can be taken in blocks, got a {type(X).__name__}. "
            "Pass skorch.helper.SliceDict(**X)."
        )
    X = X.tocsr() if sparse.issparse(X) else X
    encoding = encoding_of_predictions(estimator, estimator.predict(_safe_indexing(X, slice(0, 1))))
    n_labels = encoding.n_labels
    if k > n_labels:
        raise ValueError(f"k must be at most the number of labels, {n_labels}, got {k}.")
    parts = [
        _largest(respond(estimator, _safe_indexing(X, rows), method, encoding).values, int(k))
        for rows in row_blocks(_num_samples(X), max(1, BLOCK_ELEMENTS // n_labels))
    ]
    labels, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    names = find_label_names(estimator)
    return TopLabels(labels if names is None else names[labels], values, method)


def _largest(values: NDArray[Any], k: int) -> tuple[IndexArray, NDArray[Any]]:
    """Return the columns of the k largest values of each row, and these values, in descending order."""
    n_rows, n_columns = values.shape
    smallest = np.partition(values, n_columns - k, axis=1)[:, n_columns - k, np.newaxis]
    chosen = values >= smallest
    for row in np.flatnonzero(chosen.sum(axis=1) > k):  # of columns with the smallest value, the first ones
        tied = np.flatnonzero(values[row] == smallest[row])
        chosen[row, tied[k - np.count_nonzero(values[row] > smallest[row]) :]] = False
    columns = np.nonzero(chosen)[1].reshape(n_rows, k)
    found = np.take_along_axis(values, columns, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(found, order, axis=1)
