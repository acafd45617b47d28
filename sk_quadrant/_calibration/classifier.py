"""CalibratedMultiLabelClassifierCV: probabilities of any multi-label classifier, by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.base import _fit_context
from sklearn.model_selection import LeaveOneOut
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import _routing_enabled, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import METHODS, CalibrationMap, LogOdds, map_from_dict, map_to_dict
from sk_quadrant._callback_support import FIT_CALLER, with_callbacks
from sk_quadrant._meta_estimator import FitData, Fits, MetaClassifier, encoding_of_saved
from sk_quadrant._namespaces import in_namespace_of_X, in_numpy, moved_estimator
from sk_quadrant._saved_state import plain
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.responses import Response, first_method, respond
from sk_quadrant._targets.weights import check_sample_weight

SCORE_METHODS = ("decision_function", "predict_proba")  # the values of the first one that a classifier has are mapped


@dataclass(frozen=True)
class CalibratedClassifier:
    """A fitted classifier and the map from its scores to probabilities.

    Attributes
    ----------
    estimator : object
        Fitted classifier.
    log_odds : LogOdds or None
        Transformation of its probabilities to scores; None if it has decision values.
    calibrator : CalibrationMap
        Map from scores to probabilities.
    n_positive, n_negative : ndarray of shape (n_labels,)
        Weight of the positives and negatives that the map was fitted to.
    encoding : Encoding
        Encoding of y.
    """

    estimator: Any
    log_odds: LogOdds | None
    calibrator: CalibrationMap
    n_positive: FloatArray
    n_negative: FloatArray
    encoding: Encoding

    def predict_proba(self, X: Any) -> FloatArray:
        """Return calibrated probabilities of shape (n_samples, n_labels)."""
        response = respond(self.estimator, X, str(first_method(self.estimator, SCORE_METHODS)), self.encoding)
        values = response.values.astype(np.float64, copy=False)
        return self.calibrator.predict(values if self.log_odds is None else self.log_odds.scores(values))

    def __sklearn_array_api_convert__(self, converter: Callable[[Any], Any]) -> CalibratedClassifier:
        """Return the pair with the arrays of its classifier moved by scikit-learn's `move_estimator_to`."""
        return replace(self, estimator=moved_estimator(self.estimator, converter))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and arrays, and the estimators."""
        log_odds = None if self.log_odds is None else plain(self.log_odds)
        packed = {"calibrator": map_to_dict(self.calibrator), "log_odds": log_odds}
        return plain(self) | packed | {"encoding": self.encoding.to_dict()}


def pair_from_dict(values: Mapping[str, Any]) -> CalibratedClassifier:
    """Return the pair from the result of `CalibratedClassifier.to_dict`."""
    values = dict(values)
    calibrator, log_odds = values.pop("calibrator"), values.pop("log_odds")
    encoding = values.pop("form") if "form" in values else values.pop("encoding")  # "form" until 0.1.0.dev0
    return CalibratedClassifier(
        **values,
        calibrator=map_from_dict(calibrator),
        log_odds=None if log_odds is None else LogOdds(**log_odds),
        encoding=encoding_of_saved(encoding),
    )


def calibrate(
    classifier: Any, response: Response, rows: IndexArray | None, *, data: FitData, method: str, pooled: bool
) -> CalibratedClassifier:
    """Return a classifier with a map fitted to its response for some rows, None for all.

    Parameters
    ----------
    classifier : object
    response : Response
    rows : ndarray or None
    data : FitData
    method : {"sigmoid", "temperature", "isotonic"}
    pooled : bool
        Whether all labels share one map.
    """
    values = response.values.astype(np.float64, copy=False)
    log_odds = LogOdds.of(values) if response.is_probability else None
    scores = values if log_odds is None else log_odds.scores(values)
    whole = CalibrationSet.of(scores, data.targets, rows)
    calibrator = METHODS[method](whole.pooled() if pooled else whole)
    return CalibratedClassifier(classifier, log_odds, calibrator, whole.n_positive, whole.n_negative, data.encoding)


class CalibratedMultiLabelClassifierCV(MetaClassifier):
    """Calibrate the probabilities of a multi-label classifier by cross-validation.

    The multi-label counterpart of :class:`~sklearn.calibration.CalibratedClassifierCV`, which refuses multi-label
    targets. A map from score to probability is fitted to held-out scores, so that it also corrects over-fitting. The
    score is the :term:`decision_function` of the classifier if it has one, as a hinge model has, and the log-odds of
    its :term:`predict_proba` otherwise.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier with `decision_function` or `predict_proba`, which may be a list of one array per label.
        A fitted classifier in a :class:`~sklearn.frozen.FrozenEstimator` is calibrated as it is: pass rows to `fit` on
        which it was not trained.

    method : {"sigmoid", "temperature", "isotonic"}, default="sigmoid"
        Family of the map from a score s to a probability.

        - "sigmoid": `sigmoid(a * s + b)`, the method of Platt [1]_ [2]_. Use it when in doubt.
        - "temperature": `sigmoid(s / T)` with T > 0 [4]_. Only for scores that are a multiple of log-odds: the
          probability stays 1/2 at score 0.
        - "isotonic": a nondecreasing step function, linear between the steps [3]_. It needs about 1000 rows and 50
          positives per label: fitted to few positives, it jumps from 0 to 1 between two scores.

        Sigmoid and temperature are fitted to the smoothed targets of Platt, `(n_positive + 1) / (n_positive + 2)` for a
        positive and `1 / (n_negative + 2)` for a negative, and so stay finite when scores separate the labels.
        :class:`~sklearn.calibration.CalibratedClassifierCV` smooths targets for "sigmoid" only.

    scope : {"label", "pooled"}, default="label"
        "label" fits one map per label, "pooled" a single map to the entries of all labels. A single map has far more
        data: use it if labels are rare and their scores are comparable, as with a set-wise loss.

    cv : int, cross-validation generator or iterable, default=None
        Splitting strategy: None for 5 folds, the number of folds, a :term:`CV splitter`, or an iterable of
        (train, test) indices. For a number or None, rows are stratified by the rarest of their positive labels,
        without shuffling, so that the positives of every label are spread over the folds as evenly as possible; with a
        single label, and with 1-D `y`, this is :class:`~sklearn.model_selection.StratifiedKFold`.

    ensemble : bool or "auto", default="auto"
        How the folds are used.

        - True: on each fold, a clone of `estimator` is trained on one part and its map fitted to the other.
          Probabilities are averaged over these pairs.
        - False: one map is fitted to the out-of-fold scores of all rows, and one clone of `estimator` is trained on
          all rows. Prediction is `cv` times faster, and each map is fitted to all positives of a rare label.
        - "auto": False for a :class:`~sklearn.frozen.FrozenEstimator`, True otherwise.

    n_jobs : int, default=None
        Number of jobs that train clones in parallel. None means 1 unless in a :obj:`joblib.parallel_backend`
        context, -1 all processors.

    verbose : int, default=0
        1 shows the fits as a bar in a terminal or notebook, and as lines elsewhere; 2 always as lines.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,) or (2,)
        The indices of the labels; for 1-D `y`, its two classes.

    encoding_ : Encoding
        How `y` was encoded: its classes or labels, and the form of predictions.

    calibrated_classifiers_ : list of objects with `estimator`, `calibrator` and `predict_proba`
        The pairs of a trained classifier and its map: one per fold, or a single one without an ensemble.

    n_features_in_ : int
        Number of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during :term:`fit`. Only defined if `estimator` has such an attribute when fitted.

    label_names_in_ : ndarray of shape (n_labels,)
        Names of the labels. Only defined if `y` was a DataFrame, or `estimator` was fitted to one before.

    See Also
    --------
    QuadrantMultiLabelClassifierCV : Loss, C, thresholds and calibration in one fit.
    sk_quadrant.metrics.expected_calibration_error : Measure of calibration.
    sk_quadrant.displays.LabelCalibrationDisplay : Calibration curves of labels.
    sklearn.calibration.CalibratedClassifierCV : The same for binary and multiclass targets.

    Notes
    -----
    - A label whose known calibration targets are all 0 (or all 1) gets the constant probability
      `(n_positive + 1) / (n + 2)`, whatever the method. With `ensemble=True` this can happen to a rare label on some
      folds only; a warning then gives the number of such labels. `ensemble=False` or `scope="pooled"` avoid it.
    - Constant scores give a constant probability. If scores decrease with the probability of a label, "sigmoid" fits a
      negative slope, "temperature" gives nearly 1/2 and "isotonic" nearly a constant.
    - Probabilities of exactly 0 or 1 have no finite log-odds. They are moved half way to the nearest probability of
      the held-out rows. Infinite values of `decision_function` are ignored when a map is fitted and mapped to its
      limit; NaN is an error.
    - All probabilities are finite and strictly between 0 and 1.
    - Isotonic maps make scores equal, which changes rankings; the other two keep the order of scores of a label.

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
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "sigmoid",
        scope: str = "label",
        cv: Any = None,
        ensemble: bool | str = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.scope = scope
        self.cv = cv
        self.ensemble = ensemble
        self.n_jobs = n_jobs
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> CalibratedMultiLabelClassifierCV:
        """Train the classifier and fit the maps.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Indicator matrix of the labels, or the two classes of a single label. Targets between 0 and 1, and NaN for
            unknown labels, which the maps ignore, are allowed if `estimator` accepts them.

        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Nonnegative weights for the maps, and for `estimator` if its `fit` takes them. A weight of 2 is a repeated
            row. `n_positive`, `n_negative` and `n` are sums of weights; where the weights of a label sum to less than
            the number of positive ones, as weights that sum to 1 do, they are multiplied so that they sum to it.

        **params : dict
            Parameters of the `fit` method of `estimator`, and of the splitter with metadata routing. Those with one
            entry per row are split with the rows.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            If `y` is multiclass or has values outside [0, 1], if weights or folds do not fit the data, or if the
            classifier returns NaN or another number of scores than labels. The object is not changed.

        NotFittedError
            If `estimator` is frozen and not fitted.

        Warns
        -----
        UserWarning
            If a label has no positives or no negatives in the test part of a fold of an ensemble, or if `estimator`
            does not accept weights.
        """
        sample_weight = in_numpy(sample_weight)
        routed = self._route(sample_weight, params)
        options = {"soft": True, "for_multiclass": "sklearn.calibration.CalibratedClassifierCV"}
        data = self._read(X, y, routed.estimator.fit, **options)
        encoding = data.encoding
        if encoding.exclusive and len(encoding.classes) < 2:
            classes = encoding.classes.tolist()
            raise ValueError(f"y of shape (n_samples,) must hold two classes, got 1 class: {classes}.")
        weight = check_sample_weight(sample_weight, data.n_samples, encoding.n_labels, names=encoding.label_names)
        data = replace(data, targets=replace(data.targets, weight=weight))
        frozen = self._is_prefit()
        ensemble = not frozen if self.ensemble == "auto" else bool(self.ensemble)
        splits = (
            [data.prefit_split()] if frozen and not ensemble else self._split(data, routed.splitter.split, ensemble)
        )
        fits = Fits(self, len(splits) + (not ensemble), data)
        fit: Any = partial(calibrate, data=data, method=self.method, pooled=self.scope == "pooled")
        with fits.progress:
            if ensemble:
                pairs = fits.cross_fit(splits, SCORE_METHODS, then=fit)
            else:
                pairs = [fit(*self._fit_to_all(fits, splits), None)]
        if ensemble and self.scope == "label":
            _warn_of_one_sided_folds(pairs)
        self._publish(fits, pairs[0].estimator, calibrated_classifiers_=pairs, classes_=encoding.classes)
        return self

    @in_namespace_of_X
    def predict_proba(self, X: Any) -> Any:
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
        proba = self._positive_proba(X)  # first: an unfitted object has no encoding_
        return _strictly_inside(self.encoding_.complete(proba))

    @in_namespace_of_X
    def predict(self, X: Any) -> Any:
        """Predict the labels whose calibrated probability is above 1/2.

        This threshold is the best for Hamming loss and, for 1-D `y`, for accuracy. It may differ from the threshold of
        `estimator`.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        {ndarray, CSR matrix or array} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix, int64, sparse if `y` was sparse in `fit`; for 1-D `y`, its classes.
        """
        proba = self._positive_proba(X)
        return self.encoding_.decode([self.encoding_.decide(proba, 0.5)])

    @in_namespace_of_X
    def decision_function(self, X: Any) -> Any:
        """Return the log-odds of the calibrated probabilities.

        Scorers of scikit-learn use it for rankings. They would read the probabilities of two labels as those of two
        classes.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels), or (n_samples,) for 1-D `y`
            Finite; positive where a label is predicted.
        """
        proba = self._positive_proba(X)
        return logit(_strictly_inside(proba)).reshape(len(proba), *self.encoding_.decision_shape)

    def get_metadata_routing(self) -> Any:
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            Sample weights go to this object and, with `fit` parameters, to `estimator`; `split` parameters to `cv`.
        """
        return super().get_metadata_routing().add_self_request(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _pack(self, state):
        pairs = state.get("calibrated_classifiers_")
        packed = {} if pairs is None else {"calibrated_classifiers_": [pair.to_dict() for pair in pairs]}
        return super()._pack(state) | packed

    def _unpack(self, state):
        saved = state.get("calibrated_classifiers_")
        pairs = {} if saved is None else {"calibrated_classifiers_": list(map(pair_from_dict, saved))}
        return super()._unpack(state) | pairs

    def _route(self, sample_weight, params):
        """Return the parameters for the estimator's fit and the splitter's split."""
        if _routing_enabled():
            return process_routing(self, "fit", sample_weight=sample_weight, **params)
        if sample_weight is not None and has_fit_parameter(self.estimator, "sample_weight"):
            params = {**params, "sample_weight": sample_weight}
        elif sample_weight is not None and not self._is_prefit():
            warnings.warn(
                f"{type(self.estimator).__name__}.fit does not take sample_weight: the weights are used for the "
                "calibration maps only. Pass them under the name of the step that takes them, or enable metadata "
                "routing.",
                UserWarning,
                stacklevel=FIT_CALLER + 1,
            )
        return Bunch(estimator=Bunch(fit=params), splitter=Bunch(split={}))

    def _split(self, data, split_params, ensemble):
        if ensemble and isinstance(self.cv, LeaveOneOut):
            raise ValueError(
                "cv=LeaveOneOut() leaves one row to fit each map of an ensemble. Use ensemble=False, or a splitter "
                "whose test parts have enough rows of every label."
            )
        splits = data.split(self.cv, split_params)
        rows = np.sort(np.concatenate([split.test for split in splits]))
        if not ensemble and not np.array_equal(rows, np.arange(data.n_samples)):
            raise ValueError("With ensemble=False, each row must be in exactly one test part of cv. Use ensemble=True.")
        return splits

    def _fit_to_all(self, fits, splits):
        """Return the classifier fitted to all rows, and the out-of-fold response of clones."""
        responses = fits.cross_fit(splits, SCORE_METHODS)
        values = np.empty((fits.data.n_samples, fits.data.encoding.n_labels))
        for split, response in zip(splits, responses, strict=True):
            values[split.test] = response.values
        return fits.fit(self.estimator), Response(values, responses[0].is_probability)

    def _positive_proba(self, X):
        check_is_fitted(self)
        pairs = self.calibrated_classifiers_
        return sum(pair.predict_proba(X) for pair in pairs) / len(pairs)


def _strictly_inside(proba):
    """Move probabilities of 0 and 1 to the nearest numbers inside, whose logarithms are finite."""
    limits = np.finfo(np.float64)
    return np.clip(proba, limits.tiny, 1 - limits.eps / 2)


def _warn_of_one_sided_folds(pairs: list[CalibratedClassifier]) -> None:
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
            stacklevel=FIT_CALLER + 1,
        )
