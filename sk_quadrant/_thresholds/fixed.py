"""FixedThresholdMultiLabelClassifier: given thresholds, or a rule, for any multi-label classifier."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import _raise_for_params, process_routing
from sklearn.utils.validation import _is_fitted, check_is_fitted

from sk_quadrant._arrays import FloatArray
from sk_quadrant._callback_support import with_callbacks
from sk_quadrant._namespaces import in_namespace_of_X
from sk_quadrant._targets.any_classifier import encoding_of_predictions, stated_thresholds
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant._targets.responses import respond
from sk_quadrant._thresholds.base import ThresholdClassifier


class FixedThresholdMultiLabelClassifier(ThresholdClassifier):
    """Multi-label classifier with thresholds, or a rule for label sets, that are given rather than learnt.

    The multi-label counterpart of :class:`~sklearn.model_selection.FixedThresholdClassifier`, which refuses multi-label
    targets. `predict` reads all parameters except `estimator`, so they can be changed after fit. With a fitted
    classifier `fit` need not be called.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier with `predict_proba`, which may be a list of one array per label, or
        `decision_function`. If it is fitted, `predict` uses it as it is. `fit` trains a clone, unless it is wrapped in
        :class:`~sklearn.frozen.FrozenEstimator`.

    threshold : "auto", float, array-like of shape (n_labels,), or Series, dict or one-row DataFrame by label name, \
default="auto"
        Threshold of the probability or decision value: a label is predicted if its value is strictly greater. "auto"
        keeps the thresholds of `estimator` if it has any (`best_threshold_` or `threshold_`); otherwise it is 0.5 for
        probabilities and 0 for decision values. inf means never, -inf always. A classifier without probabilities, such
        as one with a hinge loss, compares its decision values; ``response_method="predict_proba"`` refuses it.

    min_labels : int, default=0
        Smallest number of labels of a row. Where fewer are above their threshold, those with the largest score minus
        threshold are added.

    max_labels : int or None, default=None
        Largest number of labels of a row, None for no limit. Where more are above their threshold, those with the
        largest score minus threshold are kept.

    rule : {"expected_f1"} or None, default=None
        "expected_f1" predicts the label set with the highest expected F1 of the row, of a size from `min_labels` to
        `max_labels`, for labels that are independent given their probabilities [1]_ [2]_. The F1 of two empty sets is
        1. Odds are first divided by the odds of `threshold`: 0.5 leaves probabilities unchanged; "auto" is 0.5 here.

    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        Method whose values are compared with the thresholds. "auto" takes `predict_proba` if `estimator` has it,
        otherwise `decision_function`.

    Attributes
    ----------
    estimator_ : estimator instance
        The classifier that `fit` has trained, or the frozen one.

    encoding_ : Encoding
        How `y` was encoded: its classes or labels, and the form of predictions.

    classes_ : ndarray of shape (n_labels,) or (n_classes,), or list of such arrays
        The classes of the classifier.

    threshold_ : ndarray of shape (n_labels,)
        Thresholds by the current value of `threshold`. Only defined after `fit`.

    n_features_in_ : int
        Number of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    label_names_in_ : ndarray of shape (n_labels,)
        Names of the labels. Only defined if `estimator` has such an attribute when fitted.

    See Also
    --------
    TunedThresholdMultiLabelClassifierCV : Thresholds chosen by cross-validation, also with a rule.
    sklearn.model_selection.FixedThresholdClassifier : The same for binary targets.

    Notes
    -----
    - For probabilities, the set of allowed size with the largest sum of probability minus threshold has the smallest
      expected cost if a false positive of label j costs :math:`t_j` and a false negative :math:`1 - t_j`, with the
      thresholds :math:`t_j`.
    - Ties between labels are broken by the larger score, then by the smaller index. Of equally good sets "expected_f1"
      takes the smallest; it predicts a single label if its probability is above 1/2.
    - NaN among the scores is an error. Predictions are sparse if `y` was.

    References
    ----------
    .. [1] N. Ye, K. M. A. Chai, W. S. Lee, H. L. Chieu. :arxiv:`"Optimizing F-measures: a tale of two approaches"
       <1206.4625>`. ICML 2012.
    .. [2] W. Waegeman, K. Dembczynski, A. Jachnik, W. Cheng, E. Hullermeier. "On the Bayes-optimality of F-measure
       maximizers". Journal of Machine Learning Research 15, 2014.

    Examples
    --------
    >>> from sk_quadrant import FixedThresholdMultiLabelClassifier, QuadrantMultiLabelClassifier, make_quadrants
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> fitted = QuadrantMultiLabelClassifier().fit(X, Y)
    >>> fitted.predict([[-0.5, -2.0]])
    array([[0, 0]])
    >>> FixedThresholdMultiLabelClassifier(fitted, min_labels=1).predict([[-0.5, -2.0]])
    array([[1, 0]])
    >>> model = FixedThresholdMultiLabelClassifier(fitted, threshold=[0.5, 1e-9])
    >>> model.predict([[-0.5, -2.0]])
    array([[0, 1]])
    >>> model.set_params(threshold=0.5).predict([[-0.5, -2.0]])
    array([[0, 0]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ThresholdClassifier._parameter_constraints,
        "threshold": [StrOptions({"auto"}), Interval(Real, None, None, closed="both"), "array-like", dict],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        threshold: Any = "auto",
        min_labels: int = 0,
        max_labels: int | None = None,
        rule: str | None = None,
        response_method: str = "auto",
    ) -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.min_labels = min_labels
        self.max_labels = max_labels
        self.rule = rule
        self.response_method = response_method

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **params: Any) -> FixedThresholdMultiLabelClassifier:
        """Train the classifier; a frozen one stays as it is.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Indicator matrix of the labels, or the two classes of a single label. Targets between 0 and 1, and NaN for
            unknown labels, are allowed if `estimator` accepts them.

        **params : dict
            Parameters of the `fit` method of `estimator`, as requested by metadata routing, which has to be enabled.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            If `y` has another form, or thresholds or the rule do not fit its labels. The object is not changed.
        """
        _raise_for_params(params, self, None)
        data = self._read(X, y, process_routing(self, "fit", **params).estimator.fit, soft=True)
        method = self._check_response_method()
        self._rule().check(data.encoding.n_labels)
        if not isinstance(self.threshold, str):
            _read_thresholds(self.threshold, data.encoding, method)
        self._fit_once(data)
        return self

    @in_namespace_of_X
    def predict(self, X: Any) -> Any:
        """Predict label sets by the thresholds and the rule.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        {ndarray, CSR matrix or array} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix, int64, sparse if `y` was sparse in `fit`; for 1-D `y`, its classes.

        Raises
        ------
        NotFittedError
            If neither this object nor `estimator` is fitted.
        ValueError
            If a parameter is not allowed, or does not fit the labels.
        """
        classifier = self._fitted()
        self._validate_params()
        encoding = self._encoding(classifier, X)
        self._rule().check(encoding.n_labels)
        thresholds = self._thresholds(classifier, encoding)
        response = respond(classifier, X, self.response_method_, encoding)
        return self._decide(response, thresholds, encoding)

    @property
    def response_method_(self) -> str:
        """Method whose values are compared with the thresholds."""
        return self._check_response_method()

    @property
    def threshold_(self) -> FloatArray:
        """Thresholds by the current value of the parameter."""
        if not hasattr(self, "encoding_"):
            raise AttributeError("threshold_ is only available after fit.")
        return self._thresholds(self.estimator_, self.encoding_)

    def _fitted(self) -> Any:
        check_is_fitted(self, msg="This %(name)s is not fitted yet. Call fit, or give it a fitted estimator.")
        return getattr(self, "estimator_", self.estimator)

    def __sklearn_is_fitted__(self) -> bool:
        return bool(_is_fitted(getattr(self, "estimator_", self.estimator)))

    def _encoding(self, classifier: Any, X: Any) -> Encoding:
        """Return the encoding of y in `fit`, or that of the predictions of a classifier that was fitted elsewhere."""
        if hasattr(self, "encoding_"):
            fitted: Encoding = self.encoding_
            return fitted
        return encoding_of_predictions(classifier, classifier.predict(_safe_indexing(X, slice(0, 1))))

    def _thresholds(self, classifier: Any, encoding: Encoding) -> FloatArray:
        method = self.response_method_
        if not isinstance(self.threshold, str):
            return _read_thresholds(self.threshold, encoding, method)
        if self.rule is not None:
            return np.full(encoding.n_labels, 0.5)
        return stated_thresholds(classifier, method, encoding.n_labels)


def _read_thresholds(threshold: Any, encoding: Encoding, method: str) -> FloatArray:
    """Return the threshold of each label, or raise a ValueError."""
    values = read_label_values(threshold, encoding.names, encoding.n_labels, name="threshold")
    outside = (values < 0) | (values > 1) if method == "predict_proba" else np.zeros(values.shape, dtype=bool)
    if (np.isnan(values) | (outside & np.isfinite(values))).any():
        allowed = "probabilities in [0, 1]" if method == "predict_proba" else "numbers"
        raise ValueError(f"threshold must hold {allowed}, or inf or -inf for never and always, got {threshold!r}.")
    return values
