"""TunedThresholdMultiLabelClassifierCV: one threshold a label, or one for all, by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, _fit_context, clone
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer, get_scorer_names, hamming_loss, make_scorer
from sklearn.model_selection import PredefinedSplit, check_cv
from sklearn.utils import _safe_indexing, check_array, check_random_state, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _raise_for_params, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, _num_samples, check_is_fitted, column_or_1d

from sk_quadrant._cuts import METRICS, HeldOut, Metric, PredictionMetric, tune_cuts

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]

RESPONSE_METHODS = ("predict_proba", "decision_function")
OWN_SCORERS = {"neg_hamming_loss": make_scorer(hamming_loss, greater_is_better=False)}


def _estimator_has(name: str) -> Callable[[Any], bool]:
    """Return a check for available_if that raises the AttributeError of the estimator itself."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), name)
        return True

    return check


class TunedThresholdMultiLabelClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Multi-label classifier that tunes its decision thresholds by cross-validation.

    The multi-label counterpart of :class:`~sklearn.model_selection.TunedThresholdClassifierCV`, which refuses
    multi-label targets. It predicts a label where the score of `estimator` is above the label's threshold, strictly.
    Thresholds are chosen on scores of rows that the classifier was not trained on, among all cuts between adjacent
    distinct scores rather than on a grid.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier with `predict_proba`, which may be a list of one array a label, or
        `decision_function`. A :class:`~sklearn.frozen.FrozenEstimator` is used as it is, without cross-validation:
        rows given to `fit` are then to be others than those it was trained on.

    scoring : str or callable, default="f1_macro"
        The metric to maximise over all held-out predictions. Either a string, see :ref:`scoring_string_names`, or
        "neg_hamming_loss", or a scorer with signature ``scorer(estimator, X, y)`` that uses nothing of its estimator
        but `predict`. How the best thresholds are found depends on it:

        - "f1_macro": exactly, from one sort of the scores of each label [1]_ [2]_.
        - "neg_hamming_loss": exactly, likewise.
        - "f1_micro": exactly. The threshold of each label maximises ``2 TP - q P`` with P the number of predictions
          and q the best micro-F1, the fixed point of Dinkelbach's iteration [3]_ [4]_.
        - "f1_samples" and "accuracy" (all labels of a row right): one label after the other is moved to its best
          place given the others, each step exactly, until none moves.
        - any other: likewise, where the scorer is called for each place. A label with more than 64 cuts is searched
          coarse to fine, with about 100 to 250 calls.

        The last two start at the best of the exact solutions of the first three metrics and so are never worse;
        they need not find the very best. A scorer object made of one of the named metrics is searched the same way.

    scope : {"label", "shared"}, default="label"
        "label" tunes one threshold a label, "shared" a single one for all of them, exactly but for scorers that are
        called. Take "shared" if scores mean the same for all labels and these are few or rare.

    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        What the thresholds cut. "auto" takes `predict_proba` if `estimator` has it, else `decision_function`.

    min_positives : int, default=5
        Smallest number of positives that a threshold may be chosen on. The labels with fewer share one, the best for
        them taken together or, if even together they have fewer, the best single one for all labels: the best
        threshold of a label with three positives is an accident. 0 gives every label its own, whatever it costs.

    cv : int, float, cross-validation generator, iterable or "prefit", default=None
        Splitting strategy:

        - None or an int: 5, or that many, folds. Rows are stratified by the rarest of their positive labels, without
          shuffling and without randomness, so that every label is spread over the folds as evenly as rows with
          several labels allow;
        - a float in (0, 1): a single split with that fraction of the rows held out, stratified the same way;
        - a :term:`CV splitter`, such as `MultilabelStratifiedKFold` of the iterative-stratification package, or an
          iterable of (train, test) indices;
        - "prefit": no split; `estimator` is fitted already, on other rows than those given to `fit`.

    refit : bool, default=True
        Whether to train `estimator` on all rows once the thresholds are found. It can be False, which keeps the
        classifier that gave the held-out scores, for a single split only, and must be for ``cv="prefit"``.

    max_iter : int, default=10
        Largest number of passes over the labels, for metrics that are searched one label after the other.

    n_jobs : int, default=None
        Number of jobs that train clones in parallel. None means 1 unless in a :obj:`joblib.parallel_backend`
        context, -1 all processors.

    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows when `cv` is a float.

    store_cv_results : bool, default=False
        Whether to keep the held-out scores in `cv_results_`.

    Attributes
    ----------
    estimator_ : estimator instance
        The classifier that predicts.

    best_threshold_ : ndarray of shape (n_labels,)
        Thresholds, in the units of `response_method_`. Never NaN: inf means that the label is predicted for no row,
        -inf that it is for all.

    best_score_ : float
        The metric of all held-out predictions at `best_threshold_`. Optimistic, as it was maximised.

    pooled_ : ndarray of bool of shape (n_labels,)
        The labels that share their threshold, because of `scope` or `min_positives`.

    response_method_ : {"decision_function", "predict_proba"}
        The method whose values the thresholds cut.

    cv_results_ : dict
        Held-out scores, with entries "scores" of shape (n_held_out, n_labels), "indices", the row in `X` of each,
        and "split", the number of the split that held it out. Only if `store_cv_results=True`.

    classes_ : ndarray of shape (n_labels,) or (n_classes,), or list of such arrays
        The classes as `estimator_` gives them.

    n_features_in_ : int
        Number of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    label_names_in_ : ndarray of shape (n_labels,)
        Names of the labels. Only defined if `estimator` has such an attribute when fitted.

    See Also
    --------
    sklearn.model_selection.TunedThresholdClassifierCV : The same for binary targets.

    Notes
    -----
    - The held-out scores of all splits are pooled and the thresholds chosen once. A threshold for each split,
      averaged, would rest on a fifth of the positives of a label each, none at all for a rare one, and the average
      of two good cuts need not be a good cut. Pooling supposes that the classifiers of different splits give scores
      on one scale, as do those trained on four fifths of the same rows with the same parameters.
    - Between cuts that are equally good the higher one is taken, which predicts fewer labels. A threshold lies half
      way between two scores.
    - A label that is 0 in all of `y` is never predicted and one that is 1 in all of it always is. Where this holds
      for the training part of a split only, the held-out rows of this split count as predicted never, or always,
      whatever the score: there the classifier knows nothing of the label. With ``cv="prefit"``, or a frozen
      estimator, where what it was trained on is unknown, scores count as they are.
    - Scores all equal leave the choice to predict a label always or never. With scores that know little, the best
      F1 is often that of predicting a label for all rows [1]_; "f1_micro" is less prone to it than "f1_macro".
    - Unknown labels, NaN in `y`, are ignored by the five named metrics. `estimator` has to accept them.
    - A 1-D `y` counts as one label, the second of its classes: "f1_macro" is then the F1 of this class.
    - Searching n rows and L labels takes O(n L log n) for the exact metrics, and O(n L log n) a pass for
      "f1_samples" and "accuracy".

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan, B. Narayanaswamy. :arxiv:`"Thresholding classifiers to maximize F1 score"
       <1402.1892>`. ECML PKDD 2014.
    .. [2] Y. Yang. :doi:`"A study of thresholding strategies for text categorization" <10.1145/383952.383975>`.
       SIGIR 2001. The method is called SCut there.
    .. [3] W. Dinkelbach. :doi:`"On nonlinear fractional programming" <10.1287/mnsc.13.7.492>`. Management Science 13,
       1967.
    .. [4] I. Pillai, G. Fumera, F. Roli. :doi:`"Threshold optimisation for multi-label classifiers"
       <10.1016/j.patcog.2013.01.012>`. Pattern Recognition 46, 2013. Another exact method for micro-F1.
    .. [5] O. Koyejo, N. Natarajan, P. Ravikumar, I. S. Dhillon. "Consistent multilabel classification". NIPS 2015.
       Thresholds of probabilities are the right form of prediction for all averages of such metrics.
    .. [6] Y.-J. Lin, C.-J. Lin. :doi:`"On the thresholding strategy for infrequent labels in multi-label
       classification" <10.1145/3583780.3614996>`. CIKM 2023. Why the best F1 of a rare label over-fits.

    Examples
    --------
    Label j is drawn with probability `sigmoid(2 * x[j])`. If probabilities are right, the best threshold is half of
    the best F1 [1]_:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sk_quadrant import TunedThresholdMultiLabelClassifierCV
    >>> from sk_quadrant.datasets import make_quadrants
    >>> X, Y = make_quadrants(4000, slope=2.0, random_state=0)
    >>> model = TunedThresholdMultiLabelClassifierCV(OneVsRestClassifier(LogisticRegression())).fit(X, Y)
    >>> model.best_threshold_.round(1)
    array([0.4, 0.4])
    >>> round(model.best_score_, 1)
    0.8
    >>> model.predict([[0.0, -2.0]])
    array([[1, 0]])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "predict_proba"]), HasMethods(["fit", "decision_function"])],
        "scoring": [StrOptions({*get_scorer_names(), *OWN_SCORERS}), callable],
        "scope": [StrOptions({"label", "shared"})],
        "response_method": [StrOptions({"auto", *RESPONSE_METHODS})],
        "min_positives": [Interval(Integral, 0, None, closed="left")],
        "cv": ["cv_object", StrOptions({"prefit"}), Interval(RealNotInt, 0.0, 1.0, closed="neither")],
        "refit": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "store_cv_results": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        scoring: Any = "f1_macro",
        scope: str = "label",
        response_method: str = "auto",
        min_positives: int = 5,
        cv: Any = None,
        refit: bool = True,
        max_iter: int = 10,
        n_jobs: int | None = None,
        random_state: Any = None,
        store_cv_results: bool = False,
    ) -> None:
        self.estimator = estimator
        self.scoring = scoring
        self.scope = scope
        self.response_method = response_method
        self.min_positives = min_positives
        self.cv = cv
        self.refit = refit
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.store_cv_results = store_cv_results

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[misc]
    def fit(self, X: Any, y: Any, **params: Any) -> TunedThresholdMultiLabelClassifierCV:
        """Tune the thresholds and train the classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Indicator matrix of the labels, NaN for unknown ones, or the two classes of a single label.

        **params : dict
            Parameters for the `fit` method of `estimator`, for the scorer and for the splitter, as they request them
            by metadata routing, which has to be enabled. `sample_weight` of shape (n_samples,) that the scorer
            requests weighs the rows in the search.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            If `y` is not of these forms, if `refit` does not fit `cv`, if `estimator` lacks `response_method`, gives
            NaN or cannot be trained on a part of the rows, or if `scoring` does not depend on predictions.
        """
        _raise_for_params(params, self, None)
        X, y = indexable(X, y)
        labels, y = _Labels.read(y)
        routed = process_routing(self, "fit", **params)
        metric_of = self._check_scoring(labels, routed.scorer.score)
        self.response_method_ = self._check_response_method()
        trainer = _Trainer(self.estimator, X, y, labels, self.response_method_, routed.estimator.fit)
        splits = self._check_splits(trainer, routed.splitter.split)
        rows, scores = self._hold_out(trainer, splits)
        held_out, metric = metric_of(rows, scores, X, y)
        self._tune(metric, held_out, self._constant_cuts(labels, splits))
        self._publish(labels, rows, scores)
        return self
