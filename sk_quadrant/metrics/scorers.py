"""Scorers of multi-label classifiers, for GridSearchCV and cross_validate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_response_method

from sk_quadrant._namespaces import in_numpy
from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.encodings import Binary
from sk_quadrant._targets.label_names import align_labels
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.responses import find_label_names, positive_probabilities, respond
from sk_quadrant._targets.targets import one_class_labels
from sk_quadrant.metrics._calibration import expected_calibration_error
from sk_quadrant.metrics._f1 import multilabel_f1_score, multilabel_precision_score, multilabel_recall_score
from sk_quadrant.metrics._log_loss import multilabel_log_loss
from sk_quadrant.metrics._propensity import psndcg_at_k_score, psp_at_k_score
from sk_quadrant.metrics._ranking import precision_at_k_score, recall_at_k_score


class _MultilabelScorer(_BaseScorer):
    """Scorer that gives the metric an array of shape (n_samples, n_labels) for any multi-label classifier."""

    takes_label_weights = True  # sample_weight of shape (n_samples, n_labels)

    def __repr__(self) -> str:
        return str(super().__repr__()).replace("make_scorer", "make_multilabel_scorer", 1)

    def _score(self, method_caller: Any, estimator: Any, X: Any, y_true: Any, **metadata: Any) -> float:
        """Score the estimator without `method_caller`, which would cache single columns for two labels."""
        self._warn_overlap(message="Parameters of this scorer were passed again as metadata.", kwargs=metadata)
        try:
            method = _check_response_method(estimator, self._response_method)
        except AttributeError as error:
            raise error from _reason(estimator, self._response_method)
        names = find_label_names(estimator)
        y_true = align_labels(in_numpy(y_true), names)
        if "sample_weight" in metadata:
            metadata["sample_weight"] = align_labels(metadata["sample_weight"], names, name="sample_weight")
        if LabelArray(y_true, "y_true").is_matrix:
            response = in_numpy(method(X))
            scores = positive_probabilities(response, estimator) if isinstance(response, list) else response
        else:
            y_true, scores = _one_label(y_true, X, estimator, method.__name__)
        score: float = self._sign * self._score_func(y_true, scores, **{**self._kwargs, **metadata})
        if np.ndim(score) == 0 and np.isnan(score):
            single = one_class_labels(LabelArray(y_true, "y_true").targets(), names)
            message = f"{self!r} is NaN; labels with a single class in these rows: {single}."
            warnings.warn(message, UndefinedMetricWarning, stacklevel=3)
        return score


def _reason(estimator: Any, methods: Any) -> AttributeError | None:
    """Return the error of an estimator, or the last step of a pipeline, about a missing method."""
    try:
        getattr(estimator, np.atleast_1d(methods)[0])
    except AttributeError as error:
        return error
    return None


def _one_label(y_true: Any, X: Any, estimator: Any, method: str) -> tuple[Any, Any]:
    """Return the targets and the scores of a single label as columns."""
    classes = np.asarray(estimator.classes_).ravel()
    if len(classes) > 2:
        raise ValueError(f"y_true must be labels, or two classes, got a classifier of {len(classes)} classes.")
    encoding = Binary(classes)
    labels = LabelArray(y_true, "y_true")
    if not labels.is_target_column:
        y_true = (labels.classes() == encoding.positive)[:, np.newaxis].astype(np.int64)
    if method == "predict":
        return y_true, (np.asarray(in_numpy(estimator.predict(X))).reshape(-1, 1) == encoding.positive).astype(np.int64)
    return y_true, respond(estimator, X, method, encoding).values


@validate_params(
    {
        "score_func": [callable],
        "response_method": [list, tuple, StrOptions({"predict", "predict_proba", "decision_function"})],
        "greater_is_better": ["boolean"],
    },
)
def make_multilabel_scorer(
    score_func: Callable[..., Any],
    *,
    response_method: str | Sequence[str] = "predict_proba",
    greater_is_better: bool = True,
    **kwargs: Any,
) -> _MultilabelScorer:
    """Make a scorer from a metric of multi-label scores.

    Use it as :func:`sklearn.metrics.make_scorer`, which is wrong for multi-label classifiers in two cases. With two
    labels and an array-valued `predict_proba`, it takes `classes_ = [0, 1]` for a binary problem and keeps one column.
    With a list-valued `predict_proba`, it takes the last column of each array for the probability of 1, even if the
    label was never positive in training and the column is that of class 0.

    Parameters
    ----------
    score_func : callable
        Metric with the signature `score_func(y_true, y_score, **kwargs)`; `y_score` is an array of shape
        (n_samples, n_labels). Metrics of scikit-learn work as well, e.g. :func:`sklearn.metrics.ndcg_score`.

    response_method : {"predict_proba", "decision_function", "predict"} or sequence of them, default="predict_proba"
        Method of the classifier that gives the scores, or several in order of preference.

    greater_is_better : bool, default=True
        Whether higher values of the metric are better. If not, the scorer is its negative.

    **kwargs : dict
        Further arguments of `score_func`.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better. With metadata routing,
        request weights by `set_score_request(sample_weight=True)`.

    See Also
    --------
    get_scorer : Scorers by name.
    sklearn.metrics.make_scorer : The same for binary and multiclass targets.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.metrics import ndcg_score
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sk_quadrant.datasets import make_quadrants
    >>> from sk_quadrant.metrics import make_multilabel_scorer
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> classifier = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    >>> scorer = make_multilabel_scorer(ndcg_score)
    >>> has_label = Y.any(axis=1)  # ndcg_score is 0 for rows without relevant labels
    >>> scorer(classifier, X[has_label], Y[has_label])
    1.0
    """
    return _MultilabelScorer(score_func, 1 if greater_is_better else -1, kwargs, response_method)


_from_scores = partial(make_multilabel_scorer, response_method=("decision_function", "predict_proba"))
_from_predictions = partial(make_multilabel_scorer, response_method="predict")

neg_multilabel_log_loss_scorer = make_multilabel_scorer(multilabel_log_loss, greater_is_better=False)
neg_expected_calibration_error_scorer = make_multilabel_scorer(expected_calibration_error, greater_is_better=False)

SCORERS = {
    "neg_expected_calibration_error": neg_expected_calibration_error_scorer,
    "neg_hamming_loss": metrics.make_scorer(metrics.hamming_loss, greater_is_better=False),
    "neg_multilabel_log_loss": neg_multilabel_log_loss_scorer,
}


def get_scorer(scoring: Any) -> Any:
    """Return the scorer of a name of this package or of scikit-learn.

    Parameters
    ----------
    scoring : str or callable
        "neg_hamming_loss", "neg_multilabel_log_loss", "neg_expected_calibration_error", or a name in
        :func:`sklearn.metrics.get_scorer_names`. A callable is returned as it is.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better. It is a copy, so that requests for
        metadata do not change other scorers.

    Raises
    ------
    ValueError
        If `scoring` is a name that neither package knows.

    See Also
    --------
    make_multilabel_scorer : Make a scorer from any metric.
    sklearn.metrics.get_scorer : The scorers of scikit-learn.

    Examples
    --------
    >>> from sk_quadrant.metrics import get_scorer
    >>> get_scorer("neg_hamming_loss")
    make_scorer(hamming_loss, greater_is_better=False, response_method='predict')
    """
    if not isinstance(scoring, str):
        return scoring
    if scoring in SCORERS:
        return deepcopy(SCORERS[scoring])
    if scoring not in metrics.get_scorer_names():
        raise ValueError(
            f"scoring must be one of {sorted(SCORERS)} or sklearn.metrics.get_scorer_names(), got {scoring!r}."
        )
    return metrics.get_scorer(scoring)


def precision_at_k_scorer(k: int = 1) -> _MultilabelScorer:
    """Make a scorer of :func:`precision_at_k_score`, from `decision_function` or `predict_proba`, in this order.

    Parameters
    ----------
    k : int, default=1
        Number of highest scores in each row.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better.

    See Also
    --------
    precision_at_k_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import precision_at_k_scorer
    >>> precision_at_k_scorer(3)
    make_multilabel_scorer(precision_at_k_score, response_method=('decision_function', 'predict_proba'), k=3)
    """
    return _from_scores(precision_at_k_score, k=k)


def recall_at_k_scorer(k: int = 1) -> _MultilabelScorer:
    """Make a scorer of :func:`recall_at_k_score`, from `decision_function` or `predict_proba`, in this order.

    Parameters
    ----------
    k : int, default=1
        Number of highest scores in each row.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better.

    See Also
    --------
    recall_at_k_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import recall_at_k_scorer
    >>> recall_at_k_scorer(3)
    make_multilabel_scorer(recall_at_k_score, response_method=('decision_function', 'predict_proba'), k=3)
    """
    return _from_scores(recall_at_k_score, k=k)


def psp_at_k_scorer(propensities: Any, k: int = 1) -> _MultilabelScorer:
    """Make a scorer of :func:`psp_at_k_score`, from `decision_function` or `predict_proba`, in this order.

    Parameters
    ----------
    propensities : array-like of shape (n_labels,), or Series or dict by label name
        Probability that a true label is recorded; see :func:`label_propensities`.

    k : int, default=1
        Number of highest scores in each row.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better.

    See Also
    --------
    psp_at_k_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import psp_at_k_scorer
    >>> scorer = psp_at_k_scorer([0.9, 0.5], k=2)
    """
    return _from_scores(psp_at_k_score, propensities=propensities, k=k)


def psndcg_at_k_scorer(propensities: Any, k: int = 1) -> _MultilabelScorer:
    """Make a scorer of :func:`psndcg_at_k_score`, from `decision_function` or `predict_proba`, in this order.

    Parameters
    ----------
    propensities : array-like of shape (n_labels,), or Series or dict by label name
        Probability that a true label is recorded; see :func:`label_propensities`.

    k : int, default=1
        Number of highest scores in each row.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better.

    See Also
    --------
    psndcg_at_k_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import psndcg_at_k_scorer
    >>> scorer = psndcg_at_k_scorer([0.9, 0.5], k=2)
    """
    return _from_scores(psndcg_at_k_score, propensities=propensities, k=k)


def multilabel_f1_scorer(average: str = "macro", zero_division: Any = 0.0) -> _MultilabelScorer:
    """Make a scorer of :func:`multilabel_f1_score`, from `predict`.

    Parameters
    ----------
    average : {"micro", "macro", "weighted", "samples"}, default="macro"
        Average over labels, entries or rows.

    zero_division : {"warn", 0.0, 1.0, np.nan}, default=0.0
        Value where there is nothing to divide by.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better. It takes unknown labels and weights
        of labels.

    See Also
    --------
    multilabel_f1_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import multilabel_f1_scorer
    >>> scorer = multilabel_f1_scorer("micro")
    """
    return _from_predictions(multilabel_f1_score, average=average, zero_division=zero_division)


def multilabel_precision_scorer(average: str = "macro", zero_division: Any = 0.0) -> _MultilabelScorer:
    """Make a scorer of :func:`multilabel_precision_score`, from `predict`.

    Parameters
    ----------
    average : {"micro", "macro", "weighted", "samples"}, default="macro"
        Average over labels, entries or rows.

    zero_division : {"warn", 0.0, 1.0, np.nan}, default=0.0
        Value where there is nothing to divide by.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better. It takes unknown labels and weights
        of labels.

    See Also
    --------
    multilabel_precision_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import multilabel_precision_scorer
    >>> scorer = multilabel_precision_scorer("micro")
    """
    return _from_predictions(multilabel_precision_score, average=average, zero_division=zero_division)


def multilabel_recall_scorer(average: str = "macro", zero_division: Any = 0.0) -> _MultilabelScorer:
    """Make a scorer of :func:`multilabel_recall_score`, from `predict`.

    Parameters
    ----------
    average : {"micro", "macro", "weighted", "samples"}, default="macro"
        Average over labels, entries or rows.

    zero_division : {"warn", 0.0, 1.0, np.nan}, default=0.0
        Value where there is nothing to divide by.

    Returns
    -------
    scorer : callable
        Callable with the signature `scorer(estimator, X, y)`; greater is better. It takes unknown labels and weights
        of labels.

    See Also
    --------
    multilabel_recall_score : The metric.
    make_multilabel_scorer : Make a scorer from any metric.

    Examples
    --------
    >>> from sk_quadrant.metrics import multilabel_recall_scorer
    >>> scorer = multilabel_recall_scorer("micro")
    """
    return _from_predictions(multilabel_recall_score, average=average, zero_division=zero_division)
