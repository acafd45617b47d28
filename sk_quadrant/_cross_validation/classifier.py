"""QuadrantMultiLabelClassifierCV: loss, C, thresholds and calibration chosen in one fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import _fit_context
from sklearn.utils import Bunch, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import delayed

from sk_quadrant._calibration.calibrators import METHODS, map_from_dict, map_to_dict
from sk_quadrant._callback_support import with_callbacks
from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant._cross_validation.evaluation import (
    AUTO_MAPS,
    LINK,
    Candidate,
    CandidateScorer,
    HeldOutScores,
    choose_per_label,
    fit_map,
    results_of,
)
from sk_quadrant._cross_validation.path import Start, fit_path, scores_of_loss
from sk_quadrant._meta_estimator import Fits, MetaClassifier
from sk_quadrant._namespaces import in_namespace_of_X, in_numpy
from sk_quadrant._targets.responses import respond
from sk_quadrant._targets.weights import check_sample_weight
from sk_quadrant._thresholds.scoring import Scoring, is_of_predictions
from sk_quadrant.losses import LOSSES, Loss
from sk_quadrant.metrics.scorers import get_scorer

DEFAULT_LOSSES = ("bce_with_logits", "squared_hinge", "squared_error")
EPOCHS_OF_NETWORK = 100
LARGEST_FOR_NETWORKS = 1_000_000
THRESHOLDS = ("natural", "shared", "label")


def has_probabilities(estimator: Any) -> bool:
    """Whether the fitted classifier has probabilities; raise an AttributeError with the reason if not."""
    if hasattr(estimator, "calibrator_") and estimator.calibrator_ is None:
        return hasattr(estimator.estimator_, "predict_proba")
    return True


class QuadrantMultiLabelClassifierCV(MetaClassifier):
    """QuadrantMultiLabelClassifier whose loss, C, thresholds and calibration are chosen by cross-validation in one fit.

    Each loss and C is fitted once to each training part. The fits of a loss follow a path of increasing C, each started
    from the solution before. Thresholds and calibration maps need no further fits: for the held-out rows of a split
    they are chosen on the held-out scores of the other splits. The best candidate is fitted to all rows, with
    thresholds and a map from the held-out scores of all splits.

    Parameters
    ----------
    losses : str, Loss, or array-like of these, default=("bce_with_logits", "squared_hinge", "squared_error")
        Losses to choose from.

    Cs : int or array-like of float, default=11
        Values of C to choose from; an int is the number of values on a logarithmic scale from 1e-3 to 1e2.

    C_scope : {"auto", "shared", "label"}, default="auto"
        Whether all labels share C. "label" takes for each label the C with the smallest loss on held-out rows; it needs
        a loss that is a sum over labels, and no further fits. "auto" compares both where possible.

    scoring : str or callable, default="f1_macro"
        The metric to maximise on average over the splits: a name for `sk_quadrant.metrics.get_scorer`, or a scorer.
        Thresholds are tuned for a metric of predictions. For a metric of probabilities or decision values, such as
        "neg_multilabel_log_loss" or "average_precision", they are those of the loss.

    thresholds : {"auto", "natural", "shared", "label"}, default="auto"
        "natural" keeps the threshold of the loss (`threshold` of `estimator`), "shared" tunes one for all labels,
        "label" one per label as :class:`TunedThresholdMultiLabelClassifierCV` does. "auto" takes the best of the three.

    calibration : {"auto", "sigmoid", "temperature", "isotonic"} or None, default="auto"
        How scores become probabilities: None for the link of the loss, otherwise a map as in
        :class:`CalibratedMultiLabelClassifierCV`, one per label. "auto" compares the link, "sigmoid" per label, and
        "sigmoid" and "isotonic" with one map for all labels, by the log loss on held-out rows. It does not change
        predictions.

    cv : int, float, cross-validation generator or iterable, default=None
        Splitting strategy, as in :class:`TunedThresholdMultiLabelClassifierCV`: 5 folds by default. A tuned threshold
        needs at least two splits.

    min_positives : int, default=5
        Smallest number of positives for a threshold of its own; labels with fewer positives share one.

    estimator : QuadrantMultiLabelClassifier, list of these, or None, default=None
        Classifier with all other parameters; it is cloned. Those of a list are compared, each with all losses. None
        stands for a linear model and, if `X` is dense with at most a million values, a network with a hidden layer of
        100 units, trained for 100 epochs with a falling step and the first of the losses. With ``C_scope="label"``
        there is no network.

    n_jobs : int, default=None
        Number of parallel jobs; each fits the path of one loss on one split. None means 1 unless in a
        :obj:`joblib.parallel_backend` context, -1 all processors.

    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows when `cv` is a float, and the first weights and the batches of the network.

    verbose : int, default=0
        1 shows the fits as a bar in a terminal or notebook, and elsewhere a line for each fit and each candidate; 2
        always lines.

    Attributes
    ----------
    estimator_ : QuadrantMultiLabelClassifier
        The best candidate, fitted to all rows.

    loss_ : Loss
        Loss of the best candidate.

    C_ : float or ndarray of shape (n_labels,)
        C of the best candidate.

    thresholds_ : {"natural", "shared", "label"}
        Kind of thresholds of the best candidate.

    best_threshold_ : ndarray of shape (n_labels,)
        Thresholds of the best candidate, as scores of the loss.

    best_params_ : dict
        The three choices above, with the names in `cv_results_`; C is "label" for one per label. With several
        estimators, "estimator" has the parameters in which the best one differs from the defaults.

    best_score_ : float
        Mean score of the best candidate over splits.

    best_index_ : int
        Index of the best candidate in `cv_results_`; of equally good candidates the first.

    calibration_ : str or None
        Source of probabilities: "link" for the link of the loss, or the method of the map, with the prefix
        ``"pooled_"`` for one map for all labels. None without probabilities.

    calibrator_ : CalibrationMap or None
        The fitted map.

    calibration_losses_ : dict
        Mean log loss over splits by method.

    cv_results_ : dict
        Columns with one entry for each candidate, as in :class:`~sklearn.model_selection.GridSearchCV`:
        "params", "param_estimator" if there are several, "param_loss", "param_C", "param_thresholds", "mean_fit_time",
        "split0_test_score" and so on, "mean_test_score", "std_test_score", "rank_test_score".

    n_splits_ : int
        Number of splits.

    encoding_ : Encoding
        How `y` was encoded.

    classes_ : ndarray of shape (n_labels,) or (n_classes,)
        The classes of `estimator_`.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during :term:`fit`, if they had any.

    label_names_in_ : ndarray of shape (n_labels,)
        Names of the labels, if they had any.

    See Also
    --------
    TunedThresholdMultiLabelClassifierCV : Thresholds of any classifier.
    CalibratedMultiLabelClassifierCV : Calibration of any classifier.
    sklearn.linear_model.LogisticRegressionCV : C of a single label.

    Notes
    -----
    - ``GridSearchCV`` around ``TunedThresholdMultiLabelClassifierCV`` fits each candidate 30 times with five inner and
      outer folds; here there are five fits. The thresholds for a split are tuned on scores of classifiers that were
      trained on its rows: scores are slightly optimistic, equally for all candidates.
    - Scale features before it in a pipeline if their scales differ.

    Examples
    --------
    >>> from sk_quadrant import QuadrantMultiLabelClassifierCV, make_quadrants
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> model = QuadrantMultiLabelClassifierCV(Cs=[0.01, 1.0, 100.0], cv=3).fit(X, Y)
    >>> model.best_score_ > 0.98
    True
    >>> model.predict([[2.0, -1.0]])
    array([[1, 0]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "losses": ["array-like", str, Loss],
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "C_scope": [StrOptions({"auto", "shared", "label"})],
        "scoring": [str, callable],
        "thresholds": [StrOptions({"auto", *THRESHOLDS})],
        "calibration": [StrOptions({"auto", *METHODS}), None],
        "cv": ["cv_object", Interval(Real, 0.0, 1.0, closed="neither")],
        "min_positives": [Interval(Integral, 0, None, closed="left")],
        "estimator": [HasMethods(["fit", "decision_function"]), list, tuple, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        losses: Any = DEFAULT_LOSSES,
        Cs: Any = 11,
        *,
        C_scope: str = "auto",
        scoring: Any = "f1_macro",
        thresholds: str = "auto",
        calibration: str | None = "auto",
        cv: Any = None,
        min_positives: int = 5,
        estimator: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.losses = losses
        self.Cs = Cs
        self.C_scope = C_scope
        self.scoring = scoring
        self.thresholds = thresholds
        self.calibration = calibration
        self.cv = cv
        self.min_positives = min_positives
        self.estimator = estimator
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> QuadrantMultiLabelClassifierCV:
        """Choose by cross-validation and fit the best candidate to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Indicator matrix of the labels, NaN for unknown ones if `estimator` has ``missing_labels="ignore"``, or two
            classes.

        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row, in fits, scores and calibration.

        **params : dict
            Parameters of the splitter, with metadata routing.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            If data or parameters are invalid. The object is not changed.
        """
        routed = process_routing(self, "fit", **params) if _routing_enabled() else Bunch(splitter=Bunch(split=params))
        data = self._read(X, y, {}, soft=False)
        self._check_scoring(data.encoding)
        names, n_labels = data.encoding.label_names, data.encoding.n_labels
        weight = check_sample_weight(sample_weight, data.n_samples, n_labels, names=names)
        params = {} if weight is None else {"sample_weight": weight}
        data = replace(data, targets=replace(data.targets, weight=weight), fit_params=params)
        splits = data.split(self.cv, routed.splitter.split, self.random_state)
        losses, Cs, kinds = self._check_losses(), self._check_Cs(), self._check_thresholds(len(splits))
        scorer, starts = self._candidate_scorer(data.targets), self._starts(data.X, losses)
        fits = Fits(self, len(starts) * len(splits) * len(Cs) + 1, data)
        with fits.progress:
            candidates = [
                self._candidate(scorer, start, scores, kind, prints=fits.progress.prints)
                for start, paths in zip(starts, self._fit_paths(fits, splits, starts, Cs), strict=True)
                for scores in self._held_out_scores(data, splits, start, Cs, paths)
                for kind in kinds
            ]
            results = results_of(candidates)
            best = int(np.argmin(results["rank_test_score"]))
            if not np.isfinite(results["mean_test_score"][best]):
                raise ValueError(f"scoring={self.scoring!r} must give a finite number for some candidate, got none.")
            final = self._fit_best(fits, scorer, candidates[best])
        self._publish(
            fits,
            final["estimator_"],
            cv_results_=results,
            best_index_=best,
            best_params_=candidates[best].params,
            best_score_=float(results["mean_test_score"][best]),
            n_splits_=len(splits),
            **final,
        )
        return self

    @in_namespace_of_X
    def predict(self, X: Any) -> Any:
        """Predict the labels whose decision value is above the chosen threshold.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        {ndarray, CSR matrix or array} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix, int64, sparse if `y` was sparse in `fit`; for 1-D `y`, its classes.
        """
        scores = self._scores(X)
        return self.encoding_.decode([self.encoding_.decide(scores, in_numpy(self.best_threshold_))])

    @in_namespace_of_X
    def decision_function(self, X: Any) -> Any:
        """Return the decision values of the best candidate.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples,)
            Scores of `estimator_`. For 1-D `y` the threshold is subtracted, so that the sign is the prediction.
        """
        scores = self._scores(X)
        return self.encoding_.centre(scores, in_numpy(self.best_threshold_))

    @available_if(has_probabilities)
    @in_namespace_of_X
    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each label, by the link of the loss or the chosen map.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Probabilities; for 1-D `y`, those of its two classes.
        """
        classifier = self._fitted()
        if self.calibrator_ is None:
            return classifier.predict_proba(X)
        return self.encoding_.complete(self.calibrator_.predict(self._scores(X).astype(np.float64, copy=False)))

    @property
    def classes_(self) -> Any:
        """Classes of the fitted estimator."""
        return self._fitted().classes_

    @property
    def loss_(self) -> Any:
        """Loss of the best candidate."""
        return self.estimator_.loss_

    def get_metadata_routing(self) -> Any:
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            `split` parameters go to `cv`.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        )

    def __sklearn_tags__(self):
        tags = super(MetaClassifier, self).__sklearn_tags__()
        tags_below = get_tags([*self._templates(), QuadrantMultiLabelClassifier()][0])
        tags.input_tags, tags.array_api_support = tags_below.input_tags, tags_below.array_api_support
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    def _pack(self, state):
        state = super()._pack(state)
        if state.get("calibrator_") is not None:
            state["calibrator_"] = map_to_dict(state["calibrator_"])
        return state

    def _unpack(self, state):
        state = super()._unpack(state)
        if state.get("calibrator_") is not None:
            state["calibrator_"] = map_from_dict(state["calibrator_"])
        return state

    def _templates(self):
        if self.estimator is None:
            return [QuadrantMultiLabelClassifier()]
        return list(self.estimator) if isinstance(self.estimator, (list, tuple)) else [self.estimator]

    def _starts(self, X, losses):
        """Return the classifiers and losses to compare."""
        templates = self._templates()
        if not templates or not all(hasattr(each, "fit") and not isinstance(each, type) for each in templates):
            raise ValueError(
                f"estimator must be a classifier, a list of at least one, or None, got {self.estimator!r}."
            )
        for each in templates:
            self._check_template(each)
        tried = list(product(templates, losses))
        if self.estimator is None and self.C_scope != "label" and _is_small_and_dense(X):
            network = _default_network(self.random_state)
            templates, tried = [*templates, network], [*tried, (network, losses[0])]
        names = {id(each): _changed_parameters(each) if len(templates) > 1 else "" for each in templates}
        return [Start(estimator, loss, names[id(estimator)]) for estimator, loss in tried]

    def _check_template(self, estimator):
        missing = sorted({"loss", "C"} - set(estimator.get_params(deep=False)))
        if missing:
            raise ValueError(
                f"estimator must have the parameters loss and C, as QuadrantMultiLabelClassifier has, got a "
                f"{type(estimator).__name__} without {' and '.join(missing)}. Put the other steps of a pipeline before "
                f"{type(self).__name__}: make_pipeline(..., {type(self).__name__}())."
            )

    def _check_scoring(self, encoding):
        scorer = get_scorer(self.scoring)
        if not encoding.exclusive and getattr(scorer, "_kwargs", {}).get("average") == "binary":
            raise ValueError(
                f"scoring={self.scoring!r} is for a single label, y has {encoding.n_labels}. Use "
                f"'{self.scoring}_macro' or '{self.scoring}_micro'."
            )

    def _check_losses(self):
        losses = [self.losses] if isinstance(self.losses, (str, Loss)) else list(self.losses)
        unknown = [loss for loss in losses if not isinstance(loss, Loss) and loss not in LOSSES]
        if unknown or not losses:
            raise ValueError(f"losses must be names among {sorted(LOSSES)} or loss objects, got {self.losses!r}.")
        return losses

    def _check_Cs(self):
        if isinstance(self.Cs, Integral):
            return np.logspace(-3, 2, int(self.Cs)).tolist() if self.Cs != 1 else [1.0]
        Cs = np.asarray(self.Cs, dtype=np.float64)
        if Cs.ndim != 1 or not Cs.size or not (Cs > 0).all():
            raise ValueError(f"Cs must be a number of values, or positive values, got {self.Cs!r}.")
        return np.unique(Cs).tolist()

    def _check_thresholds(self, n_splits):
        """Return the kinds of thresholds to compare."""
        if not is_of_predictions(get_scorer(self.scoring)):
            if self.thresholds in ("shared", "label"):
                raise ValueError(
                    f"thresholds={self.thresholds!r} needs a scoring of predictions to be tuned for, got "
                    f"{self.scoring!r}. Use 'natural' or 'auto'."
                )
            return ["natural"]
        if n_splits < 2 and self.thresholds != "natural":
            raise ValueError(
                f"thresholds={self.thresholds!r} needs at least two splits, to tune on one and test on the other, got "
                f"cv={self.cv}. Use thresholds='natural' or more splits."
            )
        return list(THRESHOLDS) if self.thresholds == "auto" else [self.thresholds]

    def _candidate_scorer(self, targets):
        scorer = get_scorer(self.scoring)
        params = {} if targets.weight is None else {"sample_weight": targets.weight}
        scoring = Scoring.of(scorer, self.scoring, params, targets) if is_of_predictions(scorer) else None
        maps = AUTO_MAPS if self.calibration == "auto" else (self.calibration or LINK,)
        return CandidateScorer(scorer, scoring, self.min_positives, maps)

    def _fit_paths(self, fits, splits, starts, Cs):
        """Return for each start and split the path of its fits."""
        prints = fits.progress.prints
        calls = (
            delayed(fit_path)(start, Cs, fits.data, split, [fits.step() for _ in Cs], prints=prints)
            for start, split in product(starts, splits)
        )
        found = fits.in_parallel(calls, n_fits=len(Cs), line="")
        return [found[i : i + len(splits)] for i in range(0, len(found), len(splits))]

    def _held_out_scores(self, data, splits, start, Cs, paths):
        """Return the held-out scores of a start, for each C and for one per label."""
        points = zip(Cs, zip(*paths, strict=True), strict=True)
        scores = [HeldOutScores(data, splits, C, *map(list, zip(*of_splits, strict=True))) for C, of_splits in points]
        if not self._takes_C_per_label(start, data, splits) or len(Cs) < 2:
            return scores
        per_label = choose_per_label(scores, start.loss)
        return [per_label] if self.C_scope == "label" else [*scores, per_label]

    def _takes_C_per_label(self, start, data, splits):
        """Whether each label can have its own C; raise a ValueError if it must and cannot."""
        solver = start.estimator.solver
        possible = start.loss.labelwise and solver == "lbfgs" and len(splits) > 1
        if self.C_scope == "label" and not possible:
            raise ValueError(
                "C_scope='label' needs losses that are sums over labels, solver='lbfgs' and at least two splits, got "
                f"loss={start.given_loss!r}, solver={solver!r} and {len(splits)} splits. Use 'auto' or 'shared'."
            )
        return possible and self.C_scope != "shared" and data.encoding.n_labels > 1

    def _candidate(self, scorer, start, scores, thresholds, *, prints):
        test_scores = scorer.test_scores(scores, thresholds, start.link)
        candidate = Candidate(start, scores, thresholds, test_scores)
        if prints:
            shown = ", ".join(f"{name}={value}" for name, value in candidate.params.items())
            print(f"[{type(self).__name__}] {shown}: score {np.mean(test_scores):.4f}")
        return candidate

    def _fit_best(self, fits, scorer, candidate):
        """Return the attributes of the best candidate, fitted to all rows."""
        scores = candidate.scores
        classifier = fits.fit(candidate.start.classifier(C=scores.C), line="")
        thresholds = classifier.model_.score_threshold
        if candidate.thresholds != "natural":
            thresholds = scorer.tune(scores.decided(), candidate.thresholds)
        name, log_losses = None, {}
        if len(scores.splits) > 1:
            name, log_losses = scorer.choose_map(scores, candidate.start.link)
        return {
            "estimator_": classifier,
            "C_": scores.C,
            "thresholds_": candidate.thresholds,
            "best_threshold_": thresholds,
            "calibration_": name,
            "calibrator_": None if name in (None, LINK) else fit_map(name, scores),
            "calibration_losses_": log_losses,
            "response_method_": "decision_function",
        }

    def _scores(self, X):
        values = respond(self._fitted(), X, "decision_function", self.encoding_).values
        return scores_of_loss(self.estimator_, values, self.encoding_)


def _is_small_and_dense(X):
    shape = () if sparse.issparse(X) else np.shape(X)
    return len(shape) == 2 and np.prod(shape, dtype=np.float64) <= LARGEST_FOR_NETWORKS


def _default_network(random_state):
    """Return a network of one hidden layer; the falling step lets few epochs end near a minimum."""
    if random_state is not None and not isinstance(random_state, Integral):
        random_state = check_random_state(random_state).randint(2**31)
    return QuadrantMultiLabelClassifier(
        hidden_layer_sizes=(100,),
        solver="adamw",
        learning_rate="cosine",
        max_iter=EPOCHS_OF_NETWORK,
        random_state=random_state,
    )


def _changed_parameters(estimator):
    """Return the parameters that are not the defaults, as text; "default" if there are none."""
    defaults = type(estimator)().get_params(deep=False)
    changed = {name: value for name, value in estimator.get_params(deep=False).items() if name != "random_state"}
    parts = [f"{name}={value!r}" for name, value in changed.items() if repr(value) != repr(defaults[name])]
    return ", ".join(parts) or "default"
