"""Base class of the meta-estimators, and the data and the fits of clones of a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib.parallel import get_active_backend
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, _num_samples, check_is_fitted

from sk_quadrant._arrays import IndexArray
from sk_quadrant._callback_support import CallbackSupportMixin, FitTask, PartOfFit
from sk_quadrant._namespaces import Namespace, give, in_numpy, pack_arrays, unpack_arrays
from sk_quadrant._progress import Progress
from sk_quadrant._saved_state import SavedState
from sk_quadrant._targets.accuracy import accuracy
from sk_quadrant._targets.any_classifier import read_for_any_classifier
from sk_quadrant._targets.encodings import Binary, Encoding, MultiLabel, encoding_from_dict
from sk_quadrant._targets.label_names import align_labels
from sk_quadrant._targets.responses import Response, find_label_names, first_method, respond
from sk_quadrant._targets.stratification import check_label_cv
from sk_quadrant._targets.targets import Targets
from sk_quadrant._targets.weights import check_known

DELEGATED = ("n_features_in_", "feature_names_in_")
UNFITTED = "With cv='prefit' or FrozenEstimator, `estimator` must be fitted, got an unfitted %(name)s."


@dataclass(frozen=True)
class Split:
    """Rows to fit a classifier to, None if it is already fitted, and rows held out."""

    train: IndexArray | None
    test: IndexArray


@dataclass(frozen=True)
class FitData:
    """Data to fit classifiers to and to predict for.

    Attributes
    ----------
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
    y : {array-like, CSR matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
        Labels as the classifiers take them.
    encoding : Encoding
        How `y` is encoded.
    targets : Targets
        The labels as numbers, and the weights of the meta-estimator.
    fit_params : mapping
        Parameters of `fit`; those with one entry per row are split with the rows.
    rows : ndarray or None, default=None
        The rows of `targets` that `X` and `y` hold, None for all.
    """

    X: Any
    y: Any
    encoding: Encoding
    targets: Targets
    fit_params: Mapping[str, Any]
    rows: IndexArray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(_num_samples(self.X))

    def with_labels(self, y: Any, fit_params: Mapping[str, Any]) -> FitData:
        """Return the same rows with other entries of the same labels, and other parameters of `fit`."""
        targets = self.encoding.encode(y, missing_labels="ignore")
        return replace(self, y=y, targets=targets, fit_params=fit_params)

    def split(self, cv: Any, split_params: Mapping[str, Any], random_state: Any = None) -> list[Split]:
        """Return the splits of `cv`, as `check_label_cv` reads it."""
        splitter = check_label_cv(cv, self.targets.values >= 0.5, random_state)
        y = self.targets.dense() if sparse.issparse(self.y) else self.y  # few splitters take a sparse y
        rows = np.arange(self.n_samples)
        try:
            splits = [Split(rows[train], rows[test]) for train, test in splitter.split(self.X, y, **split_params)]
        except ValueError as error:
            if self.targets.mask is None or "NaN" not in str(error):
                raise
            raise ValueError(
                f"cv={cv} does not take the unknown labels (NaN) of y: {error} Use a splitter of "
                "sk_quadrant.model_selection, or a number of folds."
            ) from error
        if not splits:
            raise ValueError(f"cv must give at least one split, got none from cv={cv}.")
        return splits

    def prefit_split(self) -> Split:
        """Return all rows as held out, for a classifier that is already fitted."""
        return Split(None, np.arange(self.n_samples))

    def part(self, estimator: Any, rows: IndexArray | None) -> FitData:
        """Return the data of some rows to fit an estimator to, None for all."""
        if rows is None:
            return self
        X, y = _safe_split(estimator, self.X, self.y, rows)
        params = _check_method_params(self.X, params=self.fit_params, indices=rows)
        return replace(self, X=X, y=y, fit_params=params, rows=rows)

    def fit(self, estimator: Any, *, step: PartOfFit | None = None) -> Any:
        """Fit a classifier to all rows; an error names the labels with a single class."""
        try:
            with nullcontext() if step is None else step.of(estimator):
                return estimator.fit(self.X, give(Namespace.of(self.X), self.y), **self.fit_params)
        except ValueError as error:
            constant = np.flatnonzero(np.logical_or(*self.targets.constant_labels(self.rows)))
            if constant.size == 0:
                raise
            raise ValueError(
                f"{type(estimator).__name__} could not be trained on {self.n_samples} rows where {constant.size} "
                f"labels, with indices {constant[:5].tolist()} and so on, have a single class. Use fewer folds or a "
                "stratified cv, leave these labels out, or take an estimator that accepts them, such as "
                f"OneVsRestClassifier. Its error was: {error}"
            ) from error

    def fit_and_respond(
        self, estimator: Any, split: Split, methods: Sequence[str], step: PartOfFit | None = None
    ) -> tuple[Any, Response]:
        """Fit a classifier to the training rows of a split; return it and its response for the rows held out.

        The response is that of the first of `methods` which the classifier has.
        """
        if split.train is None:
            check_is_fitted(estimator, msg=UNFITTED)
        else:
            estimator = self.part(estimator, split.train).fit(estimator, step=step)
        return estimator, self.respond(estimator, split, first_method(estimator, methods) or methods[0])

    def respond(self, classifier: Any, split: Split, method: str) -> Response:
        """Return the response of a fitted classifier for the held-out rows of a split."""
        X = self.X
        if split.train is not None:
            X, _ = _safe_split(classifier, X, None, split.test, split.train)
        return respond(classifier, X, method, self.encoding)


class Fits:
    """Fits of clones of the classifier in a meta-estimator, counted in `progress` and reported to callbacks.

    Parameters
    ----------
    estimator : object
        The meta-estimator.
    n_fits : int
    data : FitData
    """

    def __init__(self, estimator: Any, n_fits: int, data: FitData) -> None:
        self.owner, self.data, self.n_fits, self.n_done = estimator, data, n_fits, 0
        self.progress = Progress(getattr(estimator, "verbose", 0), type(estimator).__name__, n_fits)
        self.task = FitTask.of(estimator, "fit", n_fits, data.X, data.y)

    def step(self) -> PartOfFit | None:
        """Return the next fit, for `FitData.fit`."""
        return None if self.task is None else self.task.part()

    def count(self, n_fits: int = 1, line: str | None = None) -> None:
        """Count fits that are done; `line` is printed where there is no bar."""
        self.n_done += n_fits
        line = f"[{self.progress.title}] {self.n_done} of {self.n_fits} fits done" if line is None else line
        self.progress.step(self.n_done, line)

    def fit(self, estimator: Any, line: str | None = None) -> Any:
        """Return a clone of the classifier that is fitted to all rows."""
        classifier = self.data.fit(clone(estimator), step=self.step())
        self.count(line=line)
        return classifier

    def cross_fit(self, splits: Sequence[Split], methods: Sequence[str], then: Any = None) -> list[Any]:
        """Return the responses of clones for the held-out rows of splits; see `FitData.fit_and_respond`.

        A function `then` is called with classifier, response and rows, where the classifier was fitted; its results are
        returned instead.
        """
        fit, estimator = delayed(_cross_fit), self.owner.estimator
        return self.in_parallel(fit(clone(estimator), self.data, split, methods, self.step(), then) for split in splits)

    def in_parallel(self, calls: Iterable[Any], *, n_fits: int = 1, line: str | None = None) -> list[Any]:
        """Return the results of delayed calls, each of which makes some fits."""
        backend = get_active_backend()[0]
        as_they_come = self.progress.is_on and getattr(backend, "supports_return_generator", False)
        parallel = Parallel(n_jobs=self.owner.n_jobs, **({"return_as": "generator"} if as_they_come else {}))
        results = []
        for result in parallel(calls):
            results.append(result)
            self.count(n_fits, line)
        return results


def _cross_fit(estimator: Any, data: FitData, split: Split, methods: Sequence[str], step: Any, then: Any) -> Any:
    classifier, response = data.fit_and_respond(estimator, split, methods, step)
    return response if then is None else then(classifier, response, split.test)


class MetaClassifier(CallbackSupportMixin, SavedState, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Base class of the meta-estimators, which keep the encoding of y from `fit`."""

    def _publish(self, fits: Fits, classifier: Any, **attributes: Any) -> None:
        """Replace all attributes of an earlier fit in a single step, and report the end of the fit.

        Parameters
        ----------
        fits : Fits
            Numbers in the attributes become arrays of the namespace of its `X`.
        classifier : object
            Fitted classifier, whose DELEGATED attributes are copied.
        **attributes : dict
            The new attributes, besides `encoding_`.
        """
        encoding, namespace = fits.data.encoding, Namespace.of(fits.data.X)
        parameters = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        given = {name: give(namespace, value) for name, value in attributes.items() if isinstance(value, np.ndarray)}
        delegated = {name: getattr(classifier, name) for name in DELEGATED if hasattr(classifier, name)}
        names = find_label_names(classifier) if encoding.label_names is None else encoding.label_names
        if names is not None:
            delegated["label_names_in_"] = names
        self.__dict__ = parameters | delegated | {"encoding_": encoding} | attributes | given
        if fits.task is not None:
            fits.task.end()

    def _fit_once(self, data: FitData, **attributes: Any) -> None:
        """Fit a clone of the classifier to all rows, and set the attributes of the fit."""
        fits = Fits(self, 1, data)
        with fits.progress:
            classifier = fits.fit(self.estimator)
        self._publish(fits, classifier, estimator_=classifier, **attributes)

    def _is_prefit(self) -> bool:
        """Whether the classifier is fitted already and used as it is."""
        return isinstance(self.estimator, FrozenEstimator)

    def _read(self, X: Any, y: Any, fit_params: Mapping[str, Any], **options: Any) -> FitData:
        """Return checked rows, with y as any classifier takes it; see `read_for_any_classifier` for the options.

        Labels are sorted into the order of an already fitted classifier if both have names.
        """
        if isinstance(X, Mapping) and not hasattr(X, "shape"):  # scikit-learn cannot split it
            raise TypeError(
                f"X must have rows that can be split, got a {type(X).__name__}. Pass skorch.helper.SliceDict(**X)."
            )
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X, y = indexable(X, in_numpy(y))
        names = find_label_names(self.estimator) if self._is_prefit() else None
        y, encoding, targets = read_for_any_classifier(align_labels(y, names), **options)
        check_known(*targets.known_weight())
        return FitData(X, y, encoding.named(names), targets, fit_params)

    def _fitted(self) -> Any:
        """Return the classifier that predicts, or raise a NotFittedError."""
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the subset accuracy: the share of rows with all labels right; for a 1-D `y`, the accuracy.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
            Labels, in any order of their names. NaN marks an unknown label, which is left out; rows without known
            labels are left out.

        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row: then a label of weight 0 counts as unknown, and the weight of
            a row is the mean weight of its other known labels.

        Returns
        -------
        score : float
            Between 0 and 1; higher is better.
        """
        y, predicted = in_numpy(y), in_numpy(self.predict(X))
        return accuracy(self.encoding_, y, predicted, sample_weight, missing_labels="ignore")

    def get_metadata_routing(self) -> Any:
        """Get the metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            `fit` passes metadata on to `fit` of `estimator` and, with the parameter `cv`, to its `split`.
        """
        router = MetadataRouter(owner=self).add(
            estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit")
        )
        if hasattr(self, "cv"):
            router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router

    def _pack(self, state: dict[str, Any]) -> dict[str, Any]:
        state = pack_arrays(state)
        return state | {"encoding_": state["encoding_"].to_dict()} if "encoding_" in state else state

    def _unpack(self, state: dict[str, Any]) -> dict[str, Any]:
        state = unpack_arrays(state)
        former = state.pop("_form", None)  # the name before `encoding_`
        saved = state.get("encoding_", former)
        return state if saved is None else state | {"encoding_": encoding_of_saved(saved)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = deepcopy(get_tags(self.estimator).input_tags)
        tags.array_api_support = get_tags(self.estimator).array_api_support
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True  # missing from the tags of OneVsRestClassifier, among others
        return tags


def encoding_of_saved(values: Mapping[str, Any]) -> Encoding:
    """Return the encoding from plain values, also from files without the entry "kind"."""
    if "kind" in values:
        return encoding_from_dict(values)
    if values["classes"] is not None:
        return Binary(values["classes"])
    return MultiLabel(np.arange(values["n_labels"]), container=values["container"])
