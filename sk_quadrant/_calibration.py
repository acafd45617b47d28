"""CalibratedMultiLabelClassifierCV: probabilities of any multi-label classifier, by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import LeaveOneOut, PredefinedSplit, check_cv
from sklearn.utils import Bunch, _safe_indexing, check_array, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, _num_samples, check_is_fitted, has_fit_parameter

from sk_quadrant._calibrators import METHODS, CalibrationMap, FloatArray, HeldOut, LogOdds

_Splits = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


class CalibratedMultiLabelClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Calibrate the probabilities of a multi-label classifier by cross-validation.

    The multi-label counterpart of :class:`~sklearn.calibration.CalibratedClassifierCV`, which refuses multi-label
    targets. A map from score to probability is fitted to scores of rows that the classifier was not trained on, so
    that it also corrects what over-fitting does to the scores. The score is the :term:`decision_function` of the
    classifier if it has one, a hinge model for example, and the log-odds of its :term:`predict_proba` otherwise.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier with `decision_function` or `predict_proba`, which may be a list of one array a label. A
        fitted one is calibrated as it is when wrapped in :class:`~sklearn.frozen.FrozenEstimator`; keeping the rows
        for calibration apart from those it was trained on is then left to the user.

    method : {"sigmoid", "temperature", "isotonic"}, default="sigmoid"
        Family of the map from a score s to a probability.

        - "sigmoid": `sigmoid(a * s + b)`, Platt's method. The choice when in doubt.
        - "temperature": `sigmoid(s / T)` with T > 0. Only for scores that are log-odds but for their scale: it
          cannot move the score at which the probability is 1/2.
        - "isotonic": a nondecreasing step function, linear between the steps. It needs many positives, about 1000
          rows and 50 positives a label: fitted to few, it jumps from 0 to 1 somewhere between them.

        Sigmoid and temperature are fitted to Platt's smoothed targets, `(n_positive + 1) / (n_positive + 2)` for a
        positive and `1 / (n_negative + 2)` for a negative, and so stay finite when scores separate the labels.
        :class:`~sklearn.calibration.CalibratedClassifierCV` does so for "sigmoid" only.

    scope : {"label", "pooled"}, default="label"
        "label" fits one map a label, "pooled" a single one to the entries of all labels. A single map has far more
        data: take it when labels are rare and scores mean the same for all labels, as those of one set-wise loss do.

    cv : int, cross-validation generator or iterable, default=None
        Splitting strategy: None for 5 folds, the number of folds, a :term:`CV splitter`, or an iterable of
        (train, test) indices. For a number or None, rows are stratified by the rarest of their positive labels,
        without shuffling and without randomness, so that every label is spread over the folds as evenly as rows
        with several labels allow; with a single label, and with 1-D `y`, this is
        :class:`~sklearn.model_selection.StratifiedKFold`.

    ensemble : bool or "auto", default="auto"
        How the folds are used.

        - True: on each fold, a clone of `estimator` is trained on one part and its map fitted to the other.
          Probabilities are averaged over these pairs.
        - False: one map is fitted to the out-of-fold scores of all rows, and one clone of `estimator` is trained on
          all rows. Predicts `cv` times faster, and gives each map all positives of a rare label.
        - "auto": False for a :class:`~sklearn.frozen.FrozenEstimator`, True otherwise.

    n_jobs : int, default=None
        Number of jobs that train clones in parallel. None means 1 unless in a :obj:`joblib.parallel_backend`
        context, -1 all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,) or (2,)
        The indices of the labels; for 1-D `y`, its two classes.

    calibrated_classifiers_ : list of objects with `estimator`, `calibrator` and `predict_proba`
        The pairs of a trained classifier and its map: one a fold, or a single one when there is no ensemble.

    n_features_in_ : int
        Number of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    label_names_in_ : ndarray of shape (n_labels,)
        Names of the labels. Only defined if `estimator` has such an attribute when fitted.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : The same for binary and multiclass targets.

    Notes
    -----
    - A label whose known calibration targets are all 0 (or all 1) gets the constant probability
      `(n_positive + 1) / (n + 2)`, whatever the method. With `ensemble=True` this can befall a rare label on some
      folds only; a warning then says on how many labels. `ensemble=False` or `scope="pooled"` avoid it.
    - Constant scores give a constant probability. A label whose scores point the wrong way gets a negative slope
      from "sigmoid", nearly 1/2 from "temperature" and nearly a constant from "isotonic".
    - Probabilities of exactly 0 or 1 have no finite log-odds. They are moved half way to the nearest probability
      that the held-out rows show. Infinite values of `decision_function` take no part in fitting a map and get its
      limit; NaN is an error.
    - All probabilities are finite and strictly between 0 and 1. A closed end is replaced by the nearest number.
    - Isotonic maps tie scores, which changes rankings; the other two keep the order of scores within a label.

    References
    ----------
    .. [1] J. Platt. "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
       methods". Advances in Large Margin Classifiers, MIT Press, 1999.
    .. [2] H.-T. Lin, C.-J. Lin, R. C. Weng. :doi:`"A note on Platt's probabilistic outputs for support vector
       machines" <10.1007/s10994-007-5018-6>`. Machine Learning 68, 2007.
    .. [3] B. Zadrozny, C. Elkan. :doi:`"Transforming classifier scores into accurate multiclass probability
       estimates" <10.1145/775047.775151>`. KDD 2002.
    .. [4] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger. :arxiv:`"On calibration of modern neural networks"
       <1706.04599>`. ICML 2017.

    Examples
    --------
    Label j is drawn with probability `sigmoid(2 * x[j])`, which a hinge model does not know:

    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sklearn.svm import LinearSVC
    >>> from sk_quadrant import CalibratedMultiLabelClassifierCV
    >>> from sk_quadrant.datasets import make_quadrants
    >>> X, Y = make_quadrants(4000, slope=2.0, random_state=0)
    >>> hinge = OneVsRestClassifier(LinearSVC(random_state=0))
    >>> model = CalibratedMultiLabelClassifierCV(hinge, scope="pooled").fit(X, Y)
    >>> model.predict_proba([[0.0, 0.5], [1.0, -1.0]]).round(1)
    array([[0.5, 0.7],
           [0.9, 0.1]])
    >>> model.predict([[0.1, 0.5], [1.0, -1.0]])
    array([[1, 1],
           [1, 0]])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "predict_proba"]), HasMethods(["fit", "decision_function"])],
        "method": [StrOptions(set(METHODS))],
        "scope": [StrOptions({"label", "pooled"})],
        "cv": ["cv_object"],
        "ensemble": ["boolean", StrOptions({"auto"})],
        "n_jobs": [Integral, None],
    }

    def __init__(self, estimator, *, method="sigmoid", scope="label", cv=None, ensemble="auto", n_jobs=None):
        self.estimator = estimator
        self.method = method
        self.scope = scope
        self.cv = cv
        self.ensemble = ensemble
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **params):
        """Train the classifier and fit the maps.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Indicator matrix of the labels, or the two classes of a single one. Targets between 0 and 1, and NaN for
            unknown ones, which the maps ignore, are passed on to `estimator`, which has to take them.

        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Nonnegative weights for the maps, and for `estimator` if its `fit` takes them.

        **params : dict
            Parameters of the `fit` method of `estimator`, and of the splitter with metadata routing. Those with one
            entry a row are cut with the rows.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            When `y` is multiclass or leaves [0, 1], when weights or folds do not fit the data, or when the classifier
            gives NaN or another number of scores than labels. The object stays as it was.

        NotFittedError
            When `estimator` is frozen and was never fitted.

        Warns
        -----
        UserWarning
            When a label lacks positives or negatives in the test part of some fold of an ensemble, or when `estimator`
            cannot take the weights.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X, y, sample_weight = indexable(X, y, sample_weight)
        labels, targets = _read_targets(y)
        weight = _check_weight(sample_weight, labels.n_labels, _num_samples(X))
        routed = self._route(sample_weight, params)
        data = _TrainingData(X, y, weight, labels, routed.estimator.fit)
        pairs = self._fit_pairs(data, targets, routed.splitter.split)
        self._publish(pairs, labels)
        return self

    def predict_proba(self, X):
        """Return calibrated probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Probability of each label, float64, in the open interval (0, 1). For 1-D `y`, the probabilities of its
            two classes.
        """
        proba = self._positive_proba(X)
        return _strictly_inside(np.hstack([1 - proba, proba]) if self._labels.one_dimensional else proba)

    def predict(self, X):
        """Predict the labels whose calibrated probability is above 1/2.

        This is the cut that is best for Hamming loss and, for 1-D `y`, for accuracy. It differs from the cut of
        `estimator` itself.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        {ndarray, CSR matrix} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix, int64, sparse if `y` was sparse in `fit`; for 1-D `y`, its classes.
        """
        is_positive = self._positive_proba(X) > 0.5
        return self._labels.decode(is_positive)

    def get_metadata_routing(self):
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            Sample weights go to this object and, with `fit` parameters, to `estimator`; `split` parameters to `cv`.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = deepcopy(get_tags(self.estimator).input_tags)
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True  # not all multi-label classifiers say so: OneVsRestClassifier does not
        tags.target_tags.multi_output = True
        return tags

    def _route(self, sample_weight, params):
        """Return the parameters for the estimator's fit and the splitter's split."""
        if _routing_enabled():
            return process_routing(self, "fit", sample_weight=sample_weight, **params)
        if sample_weight is not None and has_fit_parameter(self.estimator, "sample_weight"):
            params = {**params, "sample_weight": sample_weight}
        elif sample_weight is not None and not isinstance(self.estimator, FrozenEstimator):
            warnings.warn(
                f"{type(self.estimator).__name__}.fit does not take sample_weight: the weights are used for the "
                "calibration maps only. Pass them under the name of the step that takes them, or enable metadata "
                "routing.",
                UserWarning,
                stacklevel=4,
            )
        return Bunch(estimator=Bunch(fit=params), splitter=Bunch(split={}))

    def _fit_pairs(self, data, targets, split_params):
        calibrate = _Calibration(self.method, self.scope == "pooled", data.labels)
        frozen = isinstance(self.estimator, FrozenEstimator)
        ensemble = not frozen if self.ensemble == "auto" else bool(self.ensemble)
        if frozen and not ensemble:
            return [_fit_frozen(self.estimator, data, calibrate)]
        cv = _check_cv(self.cv, targets, data.labels, ensemble)
        splits = list(cv.split(data.X, data.y, **split_params))
        parallel = Parallel(n_jobs=self.n_jobs)
        if not ensemble:
            return [_fit_out_of_fold(self.estimator, data, splits, calibrate, parallel)]
        pairs = _fit_ensemble(self.estimator, data, splits, calibrate, parallel)
        if self.scope == "label":
            _warn_of_one_sided_folds(pairs)
        return pairs

    def _publish(self, pairs, labels):
        self.calibrated_classifiers_ = pairs
        self.classes_ = labels.classes
        self._labels = labels
        for name in ("n_features_in_", "feature_names_in_", "label_names_in_"):
            if hasattr(pairs[0].estimator, name):
                setattr(self, name, getattr(pairs[0].estimator, name))
            elif hasattr(self, name):
                delattr(self, name)  # of an earlier fit

    def _positive_proba(self, X):
        check_is_fitted(self)
        total = reduce(np.add, (pair.predict_proba(X) for pair in self.calibrated_classifiers_))
        return total / len(self.calibrated_classifiers_)


@dataclass(frozen=True)
class _Labels:
    """What y looked like, and how predictions are to look.

    Attributes
    ----------
    classes : ndarray
        Indices of the labels, or the two classes of 1-D y.
    one_dimensional : bool
        Whether y was 1-D.
    container : type or None
        CSR matrix or array if y was sparse.
    """

    classes: NDArray[Any]
    one_dimensional: bool
    container: type | None

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return 1 if self.one_dimensional else len(self.classes)

    @property
    def positive(self) -> Any:
        """The class whose probability is calibrated."""
        return self.classes[1] if self.one_dimensional else 1

    def targets(self, y: Any) -> FloatArray:
        """Return y as targets of shape (n_samples, n_labels)."""
        if self.one_dimensional:
            return np.asarray(np.asarray(y) == self.positive, dtype=np.float64)[:, np.newaxis]
        y = check_array(y, accept_sparse="csr", ensure_all_finite="allow-nan", dtype=np.float64, input_name="y")
        is_sparse = sparse.issparse(y)
        return np.asarray(y.toarray() if is_sparse else y)

    def decode(self, is_positive: NDArray[np.bool_]) -> Any:
        """Return predictions in the form of y."""
        if self.one_dimensional:
            return self.classes[is_positive[:, 0].astype(np.intp)]
        if self.container is not None:
            return self.container(is_positive, dtype=np.int64)
        return is_positive.astype(np.int64)


def _read_targets(y: Any) -> tuple[_Labels, Any]:
    """Check y; return its form and, for several labels, its values as an ndarray or a CSR matrix."""
    if np.ndim(y) == 1 and not sparse.issparse(y):
        return _read_classes(y)
    values = check_array(y, accept_sparse="csr", ensure_all_finite="allow-nan", input_name="y")
    is_sparse = sparse.issparse(values)
    stored = values.data if is_sparse else values
    if np.any((stored < 0) | (stored > 1)):
        raise ValueError(
            "y must be an indicator matrix of shape (n_samples, n_labels) with values in [0, 1], or NaN where a label "
            f"is unknown, got values from {np.nanmin(stored)} to {np.nanmax(stored)}."
        )
    container = None
    if is_sparse:
        container = sparse.csr_array if isinstance(values, sparse.sparray) else sparse.csr_matrix
    return _Labels(np.arange(values.shape[1]), one_dimensional=False, container=container), values


def _read_classes(y: Any) -> tuple[_Labels, Any]:
    y_type = type_of_target(y, input_name="y", raise_unknown=True)
    if y_type != "binary":
        raise ValueError(
            f"Only binary classification is supported for y of shape (n_samples,), got a {y_type} target. Use "
            "sklearn.calibration.CalibratedClassifierCV for multiclass targets, or pass the labels as an indicator "
            "matrix of shape (n_samples, n_labels)."
        )
    values = np.asarray(y)
    classes = np.unique(values)
    if len(classes) < 2:
        found = f"{len(classes)} class{'' if len(classes) == 1 else 'es'}: {classes.tolist()}"
        raise ValueError(f"y of shape (n_samples,) must hold two classes, got {found}.")
    return _Labels(classes, one_dimensional=True, container=None), values


def _check_weight(sample_weight: Any, n_labels: int, n_samples: int) -> FloatArray | None:
    """Return the weights of the maps."""
    if sample_weight is None:
        return None
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape not in ((n_samples,), (n_samples, n_labels)):
        raise ValueError(
            f"sample_weight must have shape (n_samples,) = ({n_samples},) or (n_samples, n_labels) = "
            f"({n_samples}, {n_labels}), got {weight.shape}."
        )
    if weight.min() < 0 or weight.max() == 0:
        raise ValueError("sample_weight must be nonnegative, and one weight at least must not be zero.")
    return np.asarray(weight)


def _check_cv(cv: Any, targets: Any, labels: _Labels, ensemble: bool) -> Any:
    """Return the splitter; a number of folds means stratified ones for several labels too."""
    if ensemble and isinstance(cv, LeaveOneOut):
        raise ValueError(
            "cv=LeaveOneOut() leaves one row to fit each map of an ensemble. Use ensemble=False, or a splitter whose "
            "test parts have enough rows of every label."
        )
    if labels.one_dimensional or not (cv is None or isinstance(cv, Integral)):
        return check_cv(cv, targets, classifier=True)
    n_splits, n_samples = 5 if cv is None else int(cv), targets.shape[0]
    if n_splits > n_samples:
        raise ValueError(f"cv={n_splits} folds need at least {n_splits} rows, got n_samples={n_samples}.")
    return PredefinedSplit(_stratified_folds(_rarest_positive_label(targets), n_splits))


def _rarest_positive_label(targets: Any) -> NDArray[np.intp]:
    """Return for each row the rank by rarity of its rarest positive label; n_labels if it has none."""
    is_positive = sparse.csr_array(targets > 0.5)
    n_samples, n_labels = is_positive.shape
    rank = np.empty(n_labels, dtype=np.intp)
    rank[np.argsort(is_positive.sum(axis=0), kind="stable")] = np.arange(n_labels)
    rarest = np.full(n_samples, n_labels)
    row, column = is_positive.nonzero()
    np.minimum.at(rarest, row, rank[column])
    return rarest


def _stratified_folds(stratum: NDArray[np.intp], n_splits: int) -> NDArray[np.intp]:
    """Return the fold of each row, that of StratifiedKFold, which refuses strata smaller than n_splits."""
    _, first_row, code = np.unique(stratum, return_index=True, return_inverse=True)
    stratum = np.argsort(np.argsort(first_row))[code]
    order = np.argsort(stratum, kind="stable")
    dealt = np.arange(len(stratum)) % n_splits
    folds = np.empty_like(dealt)
    folds[order] = dealt[np.lexsort((dealt, stratum[order]))]  # neighbouring rows stay in one fold
    return folds


@dataclass(frozen=True)
class _TrainingData:
    """What the classifier is trained on and the maps are fitted to."""

    X: Any
    y: Any
    weight: FloatArray | None
    labels: _Labels
    fit_params: Mapping[str, Any]

    def train(self, estimator: Any, rows: NDArray[np.intp] | None = None) -> Any:
        """Fit the estimator to some rows, None for all."""
        if rows is None:
            return estimator.fit(self.X, self.y, **self.fit_params)
        X, y = _safe_split(estimator, self.X, self.y, rows)
        return estimator.fit(X, y, **_check_method_params(self.X, params=self.fit_params, indices=rows))

    def targets(self, rows: NDArray[np.intp] | None = None) -> FloatArray:
        """Return the targets of some rows, None for all."""
        return self.labels.targets(self.y if rows is None else _safe_indexing(self.y, rows))


@dataclass(frozen=True)
class _Response:
    """What a classifier answers: decision values or probabilities of shape (n_samples, n_labels)."""

    values: FloatArray
    is_proba: bool


def _respond(estimator: Any, X: Any, labels: _Labels) -> _Response:
    """Return the decision values of a fitted classifier, or its probabilities if it has no decision values."""
    is_proba = not hasattr(estimator, "decision_function")
    if is_proba:
        values = _positive_column(estimator.predict_proba(X), getattr(estimator, "classes_", None), labels)
    else:
        values = estimator.decision_function(X)
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, np.newaxis]
    source = f"{type(estimator).__name__}.{'predict_proba' if is_proba else 'decision_function'}"
    expected = (_num_samples(X), labels.n_labels)
    if values.shape != expected:
        raise ValueError(f"{source} must give one score a label, shape {expected}, got shape {values.shape}.")
    n_nan = int(np.isnan(values).sum())
    if n_nan:
        raise ValueError(f"{source} must not give NaN, got {n_nan} NaN among {values.size} scores.")
    return _Response(values, is_proba)


def _positive_column(proba: Any, classes: Any, labels: _Labels) -> FloatArray:
    """Bring the forms of predict_proba, an array or a list of one array a label, to (n_samples, n_labels)."""
    if isinstance(proba, list):
        each_classes = [None] * len(proba) if classes is None else classes
        return np.column_stack([_column_of(p, c, labels.positive) for p, c in zip(proba, each_classes, strict=True)])
    if labels.n_labels == 1 and np.ndim(proba) == 2 and (proba.shape[1] == 2 or labels.one_dimensional):
        return _column_of(proba, classes, labels.positive)
    return np.asarray(proba)


def _column_of(proba: Any, classes: Any, positive: Any) -> FloatArray:
    """Return the probability of the positive class, 0 if the classifier never saw it."""
    if proba.shape[1] == 2:
        return np.asarray(proba[:, 1])
    if classes is None:
        raise ValueError("estimator must have classes_ to tell which class a single column of predict_proba is for.")
    column: FloatArray = np.asarray(proba)[:, np.asarray(classes) == positive].sum(axis=1)
    return column


@dataclass(frozen=True)
class _CalibratedClassifier:
    """A trained classifier and the map from its scores to probabilities.

    Attributes
    ----------
    estimator : object
        Trained classifier.
    log_odds : LogOdds or None
        How probabilities of the classifier become scores; None if it has decision values.
    calibrator : CalibrationMap
        Map from scores to probabilities.
    n_positive, n_negative : ndarray of shape (n_labels,)
        Weight of the positives and negatives that the map was fitted to.
    """

    estimator: Any
    log_odds: LogOdds | None
    calibrator: CalibrationMap
    n_positive: FloatArray
    n_negative: FloatArray
    labels: _Labels

    def predict_proba(self, X: Any) -> FloatArray:
        """Return calibrated probabilities of shape (n_samples, n_labels)."""
        values = _respond(self.estimator, X, self.labels).values
        return self.calibrator.predict(values if self.log_odds is None else self.log_odds.scores(values))


@dataclass(frozen=True)
class _Calibration:
    """How maps are fitted."""

    method: str
    pooled: bool
    labels: _Labels

    def __call__(
        self, estimator: Any, response: _Response, targets: FloatArray, weight: FloatArray | None
    ) -> _CalibratedClassifier:
        log_odds = LogOdds.of(response.values) if response.is_proba else None
        scores = response.values if log_odds is None else log_odds.scores(response.values)
        held_out = HeldOut.of(scores, targets, weight)
        calibrator = METHODS[self.method](held_out.pooled() if self.pooled else held_out)
        return _CalibratedClassifier(
            estimator, log_odds, calibrator, held_out.n_positive, held_out.n_negative, self.labels
        )


def _fit_ensemble(
    estimator: Any, data: _TrainingData, splits: _Splits, calibrate: _Calibration, parallel: Any
) -> list[_CalibratedClassifier]:
    """Return a pair of classifier and map for each fold."""
    return list(
        parallel(delayed(_pair_of_fold)(clone(estimator), data, train, test, calibrate) for train, test in splits)
    )


def _fit_out_of_fold(
    estimator: Any, data: _TrainingData, splits: _Splits, calibrate: _Calibration, parallel: Any
) -> _CalibratedClassifier:
    """Return the classifier trained on all rows with the map of its clones' out-of-fold scores."""
    every_row = np.arange(_num_samples(data.X))
    tests = [every_row[test] for _, test in splits]
    if not np.array_equal(np.sort(np.concatenate(tests)), every_row):
        raise ValueError("With ensemble=False, each row must be in exactly one test part of cv. Use ensemble=True.")
    responses = parallel(delayed(_response_of_fold)(clone(estimator), data, train, test) for train, test in splits)
    values = np.empty((len(every_row), data.labels.n_labels))
    for test, response in zip(tests, responses, strict=True):
        values[test] = response.values
    classifier = data.train(clone(estimator))
    return calibrate(classifier, _Response(values, responses[0].is_proba), data.targets(), data.weight)


def _fit_frozen(estimator: Any, data: _TrainingData, calibrate: _Calibration) -> _CalibratedClassifier:
    """Return the classifier as it is with the map of all rows."""
    classifier = data.train(clone(estimator))
    return calibrate(classifier, _respond(classifier, data.X, data.labels), data.targets(), data.weight)


def _pair_of_fold(
    estimator: Any, data: _TrainingData, train: Any, test: Any, calibrate: _Calibration
) -> _CalibratedClassifier:
    response = _response_of_fold(estimator, data, train, test)
    return calibrate(estimator, response, data.targets(test), None if data.weight is None else data.weight[test])


def _response_of_fold(estimator: Any, data: _TrainingData, train: Any, test: Any) -> _Response:
    classifier = data.train(estimator, train)
    X, _ = _safe_split(classifier, data.X, None, test, train)
    return _respond(classifier, X, data.labels)


def _warn_of_one_sided_folds(pairs: list[_CalibratedClassifier]) -> None:
    """Warn when a label has both values in the data but only one in some fold."""
    n_positive = np.array([pair.n_positive for pair in pairs])
    n_negative = np.array([pair.n_negative for pair in pairs])
    has_both = (n_positive.sum(axis=0) > 0) & (n_negative.sum(axis=0) > 0)
    one_sided = ((n_positive == 0) | (n_negative == 0)).any(axis=0) & has_both
    if one_sided.any():
        warnings.warn(
            f"{one_sided.sum()} of {len(one_sided)} labels have no positive or no negative row in the test part of a "
            "fold: their calibrated probability there is the constant (n_positive + 1) / (n + 2). Use ensemble=False, "
            'scope="pooled" or fewer folds.',
            UserWarning,
            stacklevel=5,
        )


def _strictly_inside(proba: FloatArray) -> FloatArray:
    """Move probabilities of 0 and 1 to the nearest numbers inside, of which the logarithm is finite."""
    limits = np.finfo(np.float64)
    inside: FloatArray = np.clip(proba, float(limits.tiny), 1 - float(limits.eps) / 2)
    return inside
