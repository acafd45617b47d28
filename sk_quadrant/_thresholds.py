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
DELEGATED = ("n_features_in_", "feature_names_in_", "label_names_in_")
OWN_SCORERS = {"neg_hamming_loss": make_scorer(hamming_loss, greater_is_better=False)}


def _estimator_has(name: str) -> Callable[[Any], bool]:
    """Return a check for available_if that raises the AttributeError of the estimator itself."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), name)
        return True

    return check


class TunedThresholdMultiLabelClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
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

    max_passes : int, default=10
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
        Held-out scores, with entries "scores" of shape (n_held_out, n_labels), -inf or inf where the training part
        has the label in one class only, "indices", the row in `X` of each, and "split", the number of the split that
        held it out. Only if `store_cv_results=True`.

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
       <1402.1892>`. 2014.
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
        "max_passes": [Interval(Integral, 1, None, closed="left")],
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
        max_passes: int = 10,
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
        self.max_passes = max_passes
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.store_cv_results = store_cv_results

    @_fit_context(prefer_skip_nested_validation=False)
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
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X, y = indexable(X, y)
        y, targets = _read_targets(y)
        routed = process_routing(self, "fit", **params)
        scoring = _Scoring.of(self._scorer(), self.scoring, routed.scorer.score, targets)
        self.response_method_ = self._check_response_method()
        data = _TrainingData(X, y, targets, self.response_method_, routed.estimator.fit)
        splits = self._check_splits(data, routed.splitter.split)
        self.estimator_, scores = self._train(data, splits)
        metric, held_out = scoring.hold_out(data, _rows_held_out(splits), scores)
        self._tune(metric, held_out, _fixed_cuts(targets, splits))
        self._publish(targets.form, splits, scores)
        return self

    def predict(self, X: Any) -> Any:
        """Predict the labels whose score is above their threshold.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        {ndarray, CSR matrix} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix, int64, sparse if `y` was sparse in `fit`; for 1-D `y`, its classes.
        """
        check_is_fitted(self, "estimator_")
        scores = _label_scores(self.estimator_, X, self.response_method_, self._form)
        return self._form.decode(scores > self.best_threshold_)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the fitted estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, 2), or list of n_labels arrays of shape (n_samples, 2)
            What `estimator_` returns.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of the probabilities of the fitted estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, 2), or list of n_labels arrays of shape (n_samples, 2)
            What `estimator_` returns.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Return the decision values of the fitted estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples,)
            What `estimator_` returns.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.decision_function(X)

    @property
    def classes_(self) -> Any:
        """Classes of the fitted estimator."""
        return self.estimator_.classes_

    def get_metadata_routing(self) -> Any:
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            `fit` passes metadata on to `fit` of `estimator`, to `split` of `cv` and to the scorer.
        """
        return (
            MetadataRouter(owner=self)
            .add(estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(scorer=self._scorer(), method_mapping=MethodMapping().add(caller="fit", callee="score"))
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = deepcopy(get_tags(self.estimator).input_tags)
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True  # not all multi-label classifiers say so: OneVsRestClassifier does not
        return tags

    def _scorer(self) -> Any:
        return _scorer_named(self.scoring) if isinstance(self.scoring, str) else self.scoring

    def _check_response_method(self) -> str:
        allowed = RESPONSE_METHODS if self.response_method == "auto" else (self.response_method,)
        for name in allowed:
            if hasattr(self.estimator, name):
                return name
        raise ValueError(
            f"response_method={self.response_method!r} needs an estimator with that method, which "
            f"{type(self.estimator).__name__} does not have; use 'auto' or another estimator."
        )

    def _check_splits(self, data: _TrainingData, split_params: Mapping[str, Any]) -> list[_Split]:
        is_prefit = isinstance(self.cv, str)
        if is_prefit and self.refit:
            raise ValueError("When cv='prefit', refit cannot be True; set refit=False.")
        if is_prefit or isinstance(self.estimator, FrozenEstimator):
            return [_Split(None, np.arange(data.n_samples))]
        cv = _check_cv(self.cv, data.targets, self.random_state)
        y = data.targets.values if sparse.issparse(data.y) else data.y  # few splitters take a sparse y
        rows = np.arange(data.n_samples)
        splits = [_Split(rows[train], rows[test]) for train, test in cv.split(data.X, y, **split_params)]
        if not splits:
            raise ValueError(f"cv must give at least one split, got none from cv={self.cv}.")
        if not self.refit and len(splits) > 1:
            raise ValueError(f"When cv has several splits, refit cannot be False, got cv={self.cv} of {len(splits)}.")
        return splits

    def _train(self, data: _TrainingData, splits: list[_Split]) -> tuple[Any, FloatArray]:
        """Return the classifier that is to predict, and the held-out scores of all splits."""
        if splits[0].train is None:
            _check_fitted(self.estimator)
            return self.estimator, data.scores(self.estimator, splits[0])
        if not self.refit:
            estimator = data.train(clone(self.estimator), splits[0].train)
            return estimator, data.scores(estimator, splits[0])
        scores = Parallel(n_jobs=self.n_jobs)(
            delayed(_train_and_score)(clone(self.estimator), data, split) for split in splits
        )
        return data.train(clone(self.estimator), None), np.concatenate(scores)

    def _tune(self, metric: Metric, held_out: HeldOut, fixed_cuts: FloatArray) -> None:
        self.best_threshold_, self.pooled_ = tune_cuts(
            metric,
            held_out,
            fixed_cuts=fixed_cuts,
            shared=self.scope == "shared",
            min_positives=self.min_positives,
            max_passes=self.max_passes,
        )
        self.best_score_ = metric.value(held_out, self.best_threshold_)
        if not np.isfinite(self.best_score_):
            raise ValueError(f"scoring={self.scoring!r} must give a finite number for some thresholds, got none.")

    def _publish(self, form: _Form, splits: list[_Split], scores: FloatArray) -> None:
        self._form = form
        for name in (*DELEGATED, "cv_results_"):
            if hasattr(self, name):
                delattr(self, name)  # of an earlier fit
        for name in DELEGATED:
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        if self.store_cv_results:
            split = np.repeat(np.arange(len(splits)), [split.test.size for split in splits])
            self.cv_results_ = {"scores": scores, "indices": _rows_held_out(splits), "split": split}


@dataclass(frozen=True)
class _Form:
    """What y looked like, and how predictions are to look.

    Attributes
    ----------
    n_labels : int
        Number of labels.
    classes : ndarray or None
        The one or two classes of 1-D y, None for an indicator matrix.
    container : type or None
        CSR matrix or array if y was sparse.
    """

    n_labels: int
    classes: NDArray[Any] | None = None
    container: type | None = None

    @property
    def positive(self) -> Any:
        """The class that the label stands for."""
        return 1 if self.classes is None else self.classes[-1]

    def decode(self, predicted: BoolArray) -> Any:
        """Return predictions in the form of y."""
        return self.decode_dense(predicted) if self.container is None else self.container(predicted, dtype=np.int64)

    def decode_dense(self, predicted: BoolArray) -> NDArray[Any]:
        """Return predictions in the form of y, as an ndarray."""
        if self.classes is not None:
            return self.classes[predicted[:, 0].astype(np.intp)]
        return predicted.astype(np.int64)


@dataclass(frozen=True)
class _Targets:
    """The labels of all rows.

    Attributes
    ----------
    form : _Form
        What y looked like.
    values : ndarray of bool of shape (n_samples, n_labels)
        True for a positive label, False for a negative or unknown one.
    known : ndarray of bool of shape (n_samples, n_labels), or None
        False for an unknown label, None if all are known.
    """

    form: _Form
    values: BoolArray
    known: BoolArray | None = None

    def constant(self, rows: IndexArray | None) -> tuple[BoolArray, BoolArray]:
        """Return which labels have no known positive among some rows, None for all, and which no negative."""
        values = self.values if rows is None else self.values[rows]
        never = np.logical_not(values.any(axis=0))
        if self.known is not None:
            values = values | ~(self.known if rows is None else self.known[rows])
        return never, np.logical_and(values.all(axis=0), ~never)


def _read_targets(y: Any) -> tuple[Any, _Targets]:
    """Check y; return it as the estimator is to see it, and as targets."""
    if sparse.issparse(y):
        y = y.tocsr()
        _check_indicators(y.data)
        values = y.toarray() == 1
        container = sparse.csr_array if isinstance(y, sparse.sparray) else sparse.csr_matrix
        return _widened(y, y.dtype), _Targets(_Form(values.shape[1], container=container), values)
    if np.ndim(y) == 1 or (np.ndim(y) == 2 and np.shape(y)[1] == 1):
        return _read_classes(column_or_1d(y, warn=True))
    values = check_array(y, ensure_all_finite="allow-nan", input_name="y")
    _check_indicators(values)
    unknown = np.isnan(values)
    known = ~unknown if unknown.any() else None
    y = y if hasattr(y, "iloc") else values
    return _widened(y, values.dtype), _Targets(_Form(values.shape[1]), values == 1, known)


def _check_indicators(values: NDArray[Any]) -> None:
    is_other = ~((values == 0) | (values == 1) | np.isnan(values))
    if is_other.any():
        raise ValueError(
            "y must be an indicator matrix of shape (n_samples, n_labels) of 0 and 1, with NaN where a label is "
            f"unknown, got {values[is_other][0]!r}."
        )


def _widened(y: Any, dtype: np.dtype[Any]) -> Any:
    # LabelBinarizer, and with it OneVsRestClassifier, permutes the columns of int8 beyond 127 labels
    return y.astype(np.int64) if dtype.kind in "iu" and dtype.itemsize < 8 else y


def _read_classes(y: NDArray[Any]) -> tuple[NDArray[Any], _Targets]:
    y_type = type_of_target(y, input_name="y", raise_unknown=True)
    if y_type != "binary":
        raise ValueError(
            f"Only binary classification is supported. Unknown label type: {y_type}, for y of shape (n_samples,). Pass "
            "labels as an indicator matrix of shape (n_samples, n_labels)."
        )
    classes = np.unique(y)
    if classes.size == 0:
        raise ValueError("y must have at least one row, got n_samples=0.")
    values = (y == classes[-1]) & (len(classes) == 2)
    return y, _Targets(_Form(1, classes), values[:, np.newaxis])


@dataclass(frozen=True)
class _Split:
    """Rows to train on, None if the classifier is trained already, and rows to score."""

    train: IndexArray | None
    test: IndexArray


def _rows_held_out(splits: list[_Split]) -> IndexArray:
    return np.concatenate([split.test for split in splits])


def _fixed_cuts(targets: _Targets, splits: list[_Split]) -> FloatArray:
    """Return inf for labels that are never positive, -inf for those that always are, NaN for those to tune."""
    cuts = np.full(targets.form.n_labels, np.nan)
    if splits[0].train is not None:  # else the classifier may know the label from other rows
        never, always = targets.constant(None)
        cuts[never], cuts[always] = np.inf, -np.inf
    return cuts


def _check_cv(cv: Any, targets: _Targets, random_state: Any) -> Any:
    """Return the splitter; a number of folds, or a fraction of the rows, means stratified ones."""
    if cv is None or isinstance(cv, Integral):
        return PredefinedSplit(_stratified_folds(_rarest_label(targets.values), 5 if cv is None else int(cv)))
    if isinstance(cv, Real):
        return PredefinedSplit(_stratified_test_fold(_rarest_label(targets.values), float(cv), random_state))
    return check_cv(cv)


def _rarest_label(targets: BoolArray) -> IndexArray:
    """Return for each row the rank by rarity of its rarest positive label; n_labels if it has none."""
    by_rarity = targets[:, np.argsort(targets.sum(axis=0), kind="stable")]
    return np.asarray(np.where(by_rarity.any(axis=1), by_rarity.argmax(axis=1), targets.shape[1]))


def _stratified_folds(stratum: IndexArray, n_splits: int) -> IndexArray:
    """Return the fold of each row, that of StratifiedKFold, which refuses strata smaller than n_splits."""
    if n_splits > stratum.size:
        raise ValueError(f"cv={n_splits} folds need at least {n_splits} rows, got n_samples={stratum.size}.")
    _, first, code = np.unique(stratum, return_index=True, return_inverse=True)
    stratum = np.argsort(np.argsort(first))[code]
    order = np.argsort(stratum, kind="stable")
    dealt = np.arange(stratum.size) % n_splits
    folds = np.empty_like(dealt)
    folds[order] = dealt[np.lexsort((dealt, stratum[order]))]  # neighbouring rows stay in one fold
    return folds


def _stratified_test_fold(stratum: IndexArray, fraction: float, random_state: Any) -> IndexArray:
    """Return 0 for a random fraction of every stratum, -1 for the rows that stay in the training part."""
    n_test = int(np.ceil(fraction * stratum.size))
    if n_test == stratum.size:
        raise ValueError(f"cv={fraction} leaves no row to train on, got n_samples={stratum.size}.")
    shuffled = check_random_state(random_state).permutation(stratum.size)
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold = np.full(stratum.size, -1)
    fold[order[(2 * np.arange(n_test) + 1) * stratum.size // (2 * n_test)]] = 0  # evenly spaced over the strata
    return fold


@dataclass(frozen=True)
class _TrainingData:
    """What the classifiers of the splits are trained on and scored with."""

    X: Any
    y: Any
    targets: _Targets
    response_method: str
    fit_params: Mapping[str, Any]

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(_num_samples(self.X))

    def train(self, estimator: Any, rows: IndexArray | None) -> Any:
        """Fit the estimator to some rows, None for all."""
        X, y, params = self.X, self.y, self.fit_params
        if rows is not None:
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            params = _check_method_params(self.X, params, indices=rows)
        try:
            return estimator.fit(X, y, **params)
        except ValueError as error:
            constant = np.flatnonzero(np.logical_or(*self.targets.constant(rows)))
            if constant.size == 0:
                raise
            raise ValueError(
                f"{type(estimator).__name__} could not be trained on {_num_samples(X)} rows where {constant.size} "
                f"labels, with indices {constant[:5].tolist()} and so on, have a single class. Use fewer folds or a "
                "stratified cv, leave these labels out, or take an estimator that accepts them, such as "
                "OneVsRestClassifier."
            ) from error

    def scores(self, estimator: Any, split: _Split) -> FloatArray:
        """Return the held-out scores of a split; infinite for labels that its training part has in one class only."""
        X = self.X if split.train is None else _safe_indexing(self.X, split.test)
        scores = _label_scores(estimator, X, self.response_method, self.targets.form)
        if split.train is None:
            return scores
        never, always = self.targets.constant(split.train)
        return np.where(never, -np.inf, np.where(always, np.inf, scores)) if (never | always).any() else scores


def _train_and_score(estimator: Any, data: _TrainingData, split: _Split) -> FloatArray:
    return data.scores(data.train(estimator, split.train), split)


def _check_fitted(estimator: Any) -> None:
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise NotFittedError(
            f"With cv='prefit' or FrozenEstimator, `estimator` must be fitted, got an unfitted {estimator}."
        ) from error


def _label_scores(estimator: Any, X: Any, method: str, form: _Form) -> FloatArray:
    """Return one score a label, from any of the forms that `predict_proba` and `decision_function` have."""
    response = getattr(estimator, method)(X)
    if method == "predict_proba":
        response = _positive_proba(response, getattr(estimator, "classes_", None), form)
    scores = check_array(
        response, ensure_2d=False, dtype=[np.float64, np.float32], ensure_all_finite=False, ensure_min_samples=0
    )
    scores = scores[:, np.newaxis] if scores.ndim == 1 else scores
    source, expected = f"{type(estimator).__name__}.{method}", (_num_samples(X), form.n_labels)
    if scores.shape != expected:
        raise ValueError(f"{source} must give one score a label, shape {expected}, got shape {scores.shape}.")
    is_nan = np.isnan(scores)
    if is_nan.any():
        raise ValueError(f"{source} must not give NaN, got {is_nan.sum()} among {scores.size} scores.")
    return np.asarray(scores)


def _positive_proba(proba: Any, classes: Any, form: _Form) -> Any:
    if isinstance(proba, list):
        each = [None] * len(proba) if classes is None else classes
        return np.column_stack([_positive_column(p, c, form.positive) for p, c in zip(proba, each, strict=True)])
    if form.n_labels == 1 and np.ndim(proba) == 2:
        return _positive_column(proba, classes, form.positive)
    return proba


def _positive_column(proba: Any, classes: Any, positive: Any) -> NDArray[Any]:
    """Return the probability of the positive class, 0 if the classifier never saw it."""
    if proba.shape[1] == 2:
        return np.asarray(proba[:, 1])
    if classes is None:
        raise ValueError("estimator must have classes_ to tell which class a single column of predict_proba is for.")
    return np.asarray(np.asarray(proba)[:, np.asarray(classes) == positive].sum(axis=1))


def _scorer_named(name: str) -> Any:
    return deepcopy(OWN_SCORERS[name]) if name in OWN_SCORERS else get_scorer(name)


def _ingredients(scorer: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return what a scorer computes, without the parameters that change nothing for a label matrix."""
    options = dict(getattr(scorer, "_kwargs", {}))
    options.pop("pos_label", None)
    if options.get("zero_division") in ("warn", 0):
        options.pop("zero_division")
    return getattr(scorer, "_score_func", None), getattr(scorer, "_sign", None), options


@dataclass(frozen=True)
class _Scoring:
    """The metric to maximise.

    Attributes
    ----------
    scorer : callable
        A scorer of predictions.
    params : mapping
        The metadata that the scorer asked for.
    name : str or None
        The key of METRICS, None if the scorer has to be called.
    """

    scorer: Any
    params: Mapping[str, Any]
    name: str | None

    @classmethod
    def of(cls, scorer: Any, scoring: Any, params: Mapping[str, Any], targets: _Targets) -> _Scoring:
        """Check the scorer and look for its metric among those whose search needs no calls."""
        if "predict" not in np.atleast_1d(getattr(scorer, "_response_method", "predict")):
            raise ValueError(f"scoring must depend on predictions for thresholds to matter, got {scoring!r}.")
        names = [name for name in METRICS if _ingredients(_scorer_named(name)) == _ingredients(scorer)]
        name = names[0] if names and set(params) <= {"sample_weight"} else None
        if name is None and targets.known is not None:
            raise ValueError(
                f"scoring must be one of {sorted(METRICS)} when y has unknown labels (NaN), got {scoring!r}."
            )
        return cls(scorer, params, name)

    def hold_out(self, data: _TrainingData, rows: IndexArray, scores: FloatArray) -> tuple[Metric, HeldOut]:
        """Return the metric and what it is computed from, for scores of some rows."""
        targets = data.targets
        params = _check_method_params(data.X, self.params, indices=rows)
        if self.name is None:
            y = _safe_indexing(data.y, rows) if targets.form.classes is not None else targets.values[rows].astype(int)
            of_predictions = _ScorerCall(self.scorer, _safe_indexing(data.X, rows), y, params, targets.form)
            return PredictionMetric(of_predictions), HeldOut(scores, targets.values[rows])
        known = None if targets.known is None else targets.known[rows]
        weight = _check_weight(params.get("sample_weight"), rows.size)
        return METRICS[self.name], HeldOut(scores, targets.values[rows], known, weight).counting_rows()


def _check_weight(weight: Any, n_samples: int) -> FloatArray | None:
    if weight is None:
        return None
    weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight of the scorer must have shape (n_samples,), got {weight.shape}.")
    if weight.min() < 0 or weight.max() == 0:
        raise ValueError("sample_weight must be nonnegative, and one weight at least must not be zero.")
    return np.asarray(weight)


@dataclass(frozen=True)
class _ScorerCall:
    """Call a scorer with predictions in place of an estimator."""

    scorer: Any
    X: Any
    y: Any
    params: Mapping[str, Any]
    form: _Form

    def __call__(self, predicted: BoolArray) -> float:
        """Return the score of predictions, -inf if it is not finite."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            value = float(self.scorer(_Predictions(self.form, predicted), self.X, self.y, **self.params))
        return value if np.isfinite(value) else -np.inf


class _Predictions(ClassifierMixin, BaseEstimator):
    """A classifier that is nothing but its predictions."""

    def __init__(self, form: _Form, predicted: BoolArray) -> None:
        self.form = form
        self.predicted = predicted

    @property
    def classes_(self) -> Any:
        """Classes of each label."""
        return [np.array([0, 1])] * self.form.n_labels if self.form.classes is None else self.form.classes

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions, whatever X."""
        return self.form.decode_dense(self.predicted)
