"""TunedThresholdMultiLabelClassifierCV: thresholds, per label or shared, chosen by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.metadata_routing import MethodMapping, _raise_for_params, process_routing

from sk_quadrant._arrays import BoolArray, FloatArray
from sk_quadrant._callback_support import FIT_CALLER, with_callbacks
from sk_quadrant._meta_estimator import FitData, Fits, Split
from sk_quadrant._namespaces import in_namespace_of_X
from sk_quadrant._progress import verbosity
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.label_names import listed
from sk_quadrant._targets.responses import respond
from sk_quadrant._targets.targets import Targets, one_class_labels
from sk_quadrant._thresholds.base import ThresholdClassifier
from sk_quadrant._thresholds.constraints import Constraint
from sk_quadrant._thresholds.held_out import constant_as_infinite, fixed_thresholds, rows_held_out
from sk_quadrant._thresholds.scoring import Scoring
from sk_quadrant._thresholds.search import tune_thresholds
from sk_quadrant.metrics.scorers import get_scorer


class TunedThresholdMultiLabelClassifierCV(ThresholdClassifier):
    """Multi-label classifier that tunes its decision thresholds by cross-validation.

    The multi-label counterpart of :class:`~sklearn.model_selection.TunedThresholdClassifierCV`, which refuses
    multi-label targets. It predicts a label if the score of `estimator` is strictly above the threshold of the label.
    Thresholds are chosen on held-out scores, among all midpoints of adjacent distinct scores rather than on a grid.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier with `predict_proba`, which may be a list of one array per label, or
        `decision_function`. A :class:`~sklearn.frozen.FrozenEstimator` is used as it is, without cross-validation:
        pass rows to `fit` on which it was not trained.

    scoring : str or callable, default="f1_macro"
        The metric to maximise over all held-out predictions. Either a string, see :ref:`scoring_string_names`, or
        "neg_hamming_loss", or a scorer with signature ``scorer(estimator, X, y)`` that only calls `predict` of its
        estimator. The search depends on it:

        - "f1_macro": exact, from one sort of the scores of each label [1]_ [2]_.
        - "neg_hamming_loss": exact, in the same way.
        - "f1_micro": exact. The threshold of each label maximises ``2 TP - q P`` with P the number of predictions
          and q the best micro-F1, the fixed point of Dinkelbach's iteration [3]_ [4]_.
        - "f1_samples" and "accuracy" (all labels of a row right): coordinate search. Each label in turn gets its best
          threshold given the others, until none changes; each step is exact.
        - any other metric: coordinate search that calls the scorer for each threshold. A label with more than 64
          thresholds is searched from coarse to fine, with about 100 to 250 calls.

        Coordinate searches start at the best of the exact solutions of the first three metrics, for "f1_samples" and
        "accuracy" also at the best shared threshold, and are never worse than their start; they may miss the maximum.
        A scorer object of one of the named metrics is searched in the same way.

    scope : {"label", "shared"}, default="label"
        "label" tunes one threshold per label, "shared" a single one for all labels; the search for it is exact unless
        the scorer has to be called. Use "shared" if scores are comparable between labels and labels are few or rare.

    min_labels : int, default=0
        Smallest number of labels of a row. Where fewer are above their threshold, those with the largest score minus
        threshold are added. Thresholds are tuned for the resulting label sets.

    max_labels : int or None, default=None
        Largest number of labels of a row, None for no limit. Where more are above their threshold, those with the
        largest score minus threshold are kept.

    rule : {"expected_f1"} or None, default=None
        "expected_f1" predicts the label set with the highest expected F1 of the row, as
        :class:`FixedThresholdMultiLabelClassifier` does, and tunes a single threshold for all labels. It needs
        probabilities.

    constraint : tuple or None, default=None
        ``("precision", value)`` takes for each label the threshold of the highest recall with at least this precision;
        ``("recall", value)`` that of the highest precision with at least this recall. A third entry "micro" counts all
        labels together; "label" is the default. It replaces `scoring` as the objective, and excludes `min_labels`,
        `max_labels` and `rule`.

    confidence : float or None, default=0.95
        Confidence of the lower bound of Clopper and Pearson [7]_ that has to meet `constraint`, in (0, 1). None takes
        the precision or recall on held-out rows itself.

    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        Method whose values are compared with the thresholds. "auto" takes `predict_proba` if `estimator` has it,
        otherwise `decision_function`.

    min_positives : int, default=5
        Smallest number of positives for a threshold of its own. Labels with fewer positives share one threshold, the
        best for these labels together, or the best for all labels if even together they have fewer: with very few
        positives the best threshold is mostly noise. 0 disables pooling.

    cv : int, float, cross-validation generator, iterable or "prefit", default=None
        Splitting strategy:

        - None or an int: 5, or the given number of, folds. Rows are stratified by the rarest of their positive labels,
          without shuffling, so that the positives of every label are spread over the folds as evenly as possible;
        - a float in (0, 1): a single split with that fraction of the rows held out, stratified in the same way;
        - a :term:`CV splitter`, such as :class:`~sk_quadrant.model_selection.MultilabelStratifiedKFold`, or an
          iterable of (train, test) indices;
        - "prefit": no split; `estimator` is already fitted, to other rows than those passed to `fit`.

    refit : bool, default=True
        Whether to train `estimator` on all rows once the thresholds are found. False keeps the classifier of the
        held-out scores; it needs a single split, and is required for ``cv="prefit"``.

    max_passes : int, default=10
        Largest number of passes over the labels in a coordinate search.

    n_jobs : int, default=None
        Number of jobs that train clones in parallel. None means 1 unless in a :obj:`joblib.parallel_backend`
        context, -1 all processors.

    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows when `cv` is a float.

    store_cv_results : bool, default=False
        Whether to keep the held-out scores in `cv_results_`.

    verbose : int, default=0
        1 shows the fits, and the labels of a search that goes through them, as a bar in a terminal or notebook, and as
        lines elsewhere; 2 always as lines.

    Attributes
    ----------
    estimator_ : estimator instance
        The classifier that predicts.

    best_threshold_ : ndarray of shape (n_labels,)
        Thresholds, in the units of `response_method_`: inf predicts the label for no row, -inf for all rows.

    best_score_ : float
        The metric of all held-out predictions at `best_threshold_`. It is optimistic, because it was maximised.

    pooled_ : ndarray of bool of shape (n_labels,)
        The labels that share their threshold, because of `scope` or `min_positives`.

    constraint_met_ : ndarray of bool of shape (n_labels,)
        The labels that meet `constraint`. A label that cannot is never predicted for a precision, always for a recall,
        and a warning names it. Only with a constraint.

    response_method_ : {"decision_function", "predict_proba"}
        The method whose values are compared with the thresholds.

    encoding_ : Encoding
        How `y` was encoded: its classes or labels, and the form of predictions.

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
        Names of the labels. Only defined if `y` was a DataFrame, or `estimator` was fitted to one before.

    See Also
    --------
    FixedThresholdMultiLabelClassifier : Given thresholds, or a rule.
    QuadrantMultiLabelClassifierCV : Loss, C, thresholds and calibration in one fit.
    sk_quadrant.displays.ThresholdDisplay : Scores of a label against its threshold.
    sklearn.model_selection.TunedThresholdClassifierCV : The same for binary targets.

    Notes
    -----
    - The held-out scores of all splits are pooled and the thresholds chosen once. One threshold per split would see
      only a fifth of the positives of a label, none for a rare label, and the average of two good thresholds need not
      be good. Pooling assumes that the classifiers of different splits have scores on the same scale.
    - Of equally good thresholds the highest is taken, which predicts the fewest labels. A threshold is the midpoint
      of two adjacent scores.
    - A label that is 0 in all rows of `y` is never predicted, a label that is 1 in all rows always. If this holds only
      in the training rows of a split, the label counts as predicted never, or always, in the held-out rows of this
      split, because the classifier has not learnt it. With ``cv="prefit"`` or a frozen estimator, whose training rows
      are unknown, scores are used as they are.
    - If all scores are equal, a label is predicted always or never. With uninformative scores the best F1 is often
      reached by predicting a label for all rows [1]_; this is rarer with "f1_micro" than with "f1_macro".
    - Unknown labels, NaN in `y`, are ignored by the five named metrics. `estimator` has to accept them.
    - A 1-D `y` counts as one label, the second of its classes: "f1_macro" is then the F1 of this class.
    - Searching n rows and L labels takes O(n L log n) for the exact metrics, and O(n L log n) per pass for
      "f1_samples" and "accuracy".
    - With `min_labels` or `max_labels` thresholds are found by coordinate search, for the five named metrics with
      exact steps, in O(n L) per label. The result may miss the joint maximum.
    - The confidence of a constraint holds for one threshold; choosing the best of many makes the bound slightly
      optimistic. With "micro" and one threshold per label the labels are balanced by a Lagrange multiplier, a price per
      prediction, which may miss the optimum by a few rows.

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
       Thresholding probabilities is optimal for all averages of such metrics.
    .. [6] Y.-J. Lin, C.-J. Lin. :doi:`"On the thresholding strategy for infrequent labels in multi-label
       classification" <10.1145/3583780.3614996>`. CIKM 2023. Why the best F1 of a rare label over-fits.
    .. [7] C. J. Clopper, E. S. Pearson. :doi:`"The use of confidence or fiducial limits illustrated in the case of the
       binomial" <10.1093/biomet/26.4.404>`. Biometrika 26, 1934.

    Examples
    --------
    Label j is drawn with probability `sigmoid(2 * x[j])`. If probabilities are calibrated, the best threshold is half
    of the best F1 [1]_:

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ThresholdClassifier._parameter_constraints,
        "scoring": [StrOptions({*get_scorer_names(), "neg_hamming_loss"}), callable],
        "scope": [StrOptions({"label", "shared"})],
        "constraint": [tuple, list, None],
        "confidence": [Interval(Real, 0.0, 1.0, closed="neither"), None],
        "min_positives": [Interval(Integral, 0, None, closed="left")],
        "cv": ["cv_object", StrOptions({"prefit"}), Interval(RealNotInt, 0.0, 1.0, closed="neither")],
        "refit": ["boolean"],
        "max_passes": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "store_cv_results": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        scoring: Any = "f1_macro",
        scope: str = "label",
        min_labels: int = 0,
        max_labels: int | None = None,
        rule: str | None = None,
        constraint: Any = None,
        confidence: float | None = 0.95,
        response_method: str = "auto",
        min_positives: int = 5,
        cv: Any = None,
        refit: bool = True,
        max_passes: int = 10,
        n_jobs: int | None = None,
        random_state: Any = None,
        store_cv_results: bool = False,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.scoring = scoring
        self.scope = scope
        self.min_labels = min_labels
        self.max_labels = max_labels
        self.rule = rule
        self.constraint = constraint
        self.confidence = confidence
        self.response_method = response_method
        self.min_positives = min_positives
        self.cv = cv
        self.refit = refit
        self.max_passes = max_passes
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.store_cv_results = store_cv_results
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **params: Any) -> TunedThresholdMultiLabelClassifierCV:
        """Tune the thresholds and train the classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Indicator matrix of the labels, NaN where unknown, or the two classes of a single label.

        **params : dict
            Parameters of the `fit` method of `estimator`, of the scorer and of the splitter, as requested by metadata
            routing, which has to be enabled. A `sample_weight` of shape (n_samples,) or (n_samples, n_labels) that the
            scorer requests is used in the search of the five named metrics.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            If `y` has another form, if `cv` does not allow `refit`, if `estimator` lacks `response_method`, returns
            NaN or cannot be trained on a part of the rows, or if `scoring` does not depend on predictions. The
            object is not changed.
        """
        _raise_for_params(params, self, None)
        routed = process_routing(self, "fit", **params)
        data = self._read(X, y, routed.estimator.fit, soft=False)
        encoding = data.encoding
        scoring = Scoring.of(get_scorer(self.scoring), self.scoring, routed.scorer.score, data.targets)
        method = self._check_response_method()
        rule = self._rule()
        rule.check(encoding.n_labels)
        constraint = None if self.constraint is None else Constraint.of(self.constraint, self.confidence)
        if constraint is not None and not rule.is_plain:
            raise ValueError(
                f"constraint={self.constraint!r} is not possible with min_labels, max_labels or rule, which predict "
                "labels below their threshold or leave out others above it."
            )
        splits = self._split(data, routed.splitter.split)
        n_fits = 0 if splits[0].train is None else len(splits) + bool(self.refit)
        fits = Fits(self, n_fits, data)
        with fits.progress:
            classifier, scores = self._train(fits, splits, method)
        objective, held_out = scoring.hold_out(data, rows_held_out(splits), scores, rule)
        with verbosity(self.verbose):
            thresholds, pooled = tune_thresholds(
                constraint or objective,
                held_out,
                fixed=fixed_thresholds(data, splits),
                shared=self.scope == "shared" or self.rule is not None,
                min_positives=self.min_positives,
                max_passes=self.max_passes,
            )
        best_score = objective.value(held_out, thresholds)
        if not np.isfinite(best_score):
            single = one_class_labels(Targets(held_out.targets.astype(np.uint8), held_out.known), encoding.names)
            raise ValueError(
                f"scoring={self.scoring!r} must give a finite number for some thresholds, got none on the "
                f"{len(held_out.scores)} held-out rows. Labels with a single class there: {single}."
            )
        optional: dict[str, Any] = {}
        if constraint is not None:
            optional["constraint_met_"] = constraint.met(held_out, thresholds, pooled)
            _warn_of_unmet(constraint, optional["constraint_met_"], encoding)
        if self.store_cv_results:
            number = np.repeat(np.arange(len(splits)), [split.test.size for split in splits])
            optional["cv_results_"] = {"scores": scores, "indices": rows_held_out(splits), "split": number}
        self._publish(
            fits,
            classifier,
            estimator_=classifier,
            response_method_=method,
            best_threshold_=thresholds,
            pooled_=pooled,
            best_score_=best_score,
            **optional,
        )
        return self

    @in_namespace_of_X
    def predict(self, X: Any) -> Any:
        """Predict the labels whose score is above their threshold, or the label set of the rule.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        {ndarray, CSR matrix or array} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix, int64, sparse if `y` was sparse in `fit`; for 1-D `y`, its classes.
        """
        scores = respond(self._fitted(), X, self.response_method_, self.encoding_)
        return self._decide(scores, self.best_threshold_, self.encoding_)

    def get_metadata_routing(self) -> Any:
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            `fit` passes metadata on to `fit` of `estimator`, to `split` of `cv` and to the scorer.
        """
        to_scorer = MethodMapping().add(caller="fit", callee="score")
        return super().get_metadata_routing().add(scorer=get_scorer(self.scoring), method_mapping=to_scorer)

    def _is_prefit(self) -> bool:
        return isinstance(self.cv, str) or super()._is_prefit()

    def _split(self, data: FitData, split_params: Mapping[str, Any]) -> list[Split]:
        if isinstance(self.cv, str) and self.refit:
            raise ValueError("When cv='prefit', refit cannot be True; set refit=False.")
        if self._is_prefit():
            return [data.prefit_split()]
        splits = data.split(self.cv, split_params, self.random_state)
        if not self.refit and len(splits) > 1:
            raise ValueError(f"When cv has several splits, refit cannot be False, got cv={self.cv} of {len(splits)}.")
        return splits

    def _train(self, fits: Fits, splits: list[Split], method: str) -> tuple[Any, FloatArray]:
        """Return the classifier that is to predict, and the held-out scores of all splits."""
        data, estimator = fits.data, self.estimator
        if splits[0].train is None:
            classifier, *responses = data.fit_and_respond(estimator, splits[0], [method])
        elif self.refit:
            responses = fits.cross_fit(splits, [method])
            classifier = fits.fit(estimator)
        else:
            classifier, *responses = data.fit_and_respond(clone(estimator), splits[0], [method], fits.step())
            fits.count()
        scores = [
            constant_as_infinite(response.values, data, split)
            for response, split in zip(responses, splits, strict=True)
        ]
        return classifier, np.concatenate(scores)


def _warn_of_unmet(constraint: Constraint, met: BoolArray, encoding: Encoding) -> None:
    """Warn about the labels that cannot meet a constraint."""
    if met.all():
        return
    what = "never" if constraint.kind == "precision" else "always"
    confidence = "" if constraint.confidence is None else f" with confidence {constraint.confidence}"
    warnings.warn(
        f"{(~met).sum()} of {met.size} labels cannot meet a {constraint.kind} of {constraint.bound}{confidence} on "
        f"held-out rows and are {what} predicted: {listed(encoding.titles[~met])}. Ask for "
        "less, lower confidence, or give more rows.",
        UserWarning,
        stacklevel=FIT_CALLER + 1,
    )
