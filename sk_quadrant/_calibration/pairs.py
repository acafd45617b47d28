"""Pairs of a fitted classifier and the map from its scores to probabilities, and their fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.parallel import delayed

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import MAPS, METHODS, CalibrationMap, LogOdds
from sk_quadrant._callback_support import FIT_CALLER, PartOfFit
from sk_quadrant._meta_estimator import FitData, Fits, Split, encoding_of_saved
from sk_quadrant._namespaces import moved_estimator
from sk_quadrant._saved_state import plain
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.responses import Response, first_method, respond


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
        response = respond(self.estimator, X, _score_method(self.estimator), self.encoding)
        values = response.values.astype(np.float64, copy=False)
        return self.calibrator.predict(values if self.log_odds is None else self.log_odds.scores(values))

    def __sklearn_array_api_convert__(self, converter: Callable[[Any], Any]) -> CalibratedClassifier:
        """Return the pair with the arrays of its classifier moved by scikit-learn's `move_estimator_to`."""
        return replace(self, estimator=moved_estimator(self.estimator, converter))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and arrays, and the estimators."""
        calibrator = {"name": type(self.calibrator).__name__, **plain(self.calibrator)}
        log_odds = None if self.log_odds is None else plain(self.log_odds)
        return plain(self) | {"calibrator": calibrator, "log_odds": log_odds, "encoding": self.encoding.to_dict()}


def pair_from_dict(values: Mapping[str, Any]) -> CalibratedClassifier:
    """Return the pair from the result of `CalibratedClassifier.to_dict`."""
    values = dict(values)
    calibrator, log_odds = dict(values.pop("calibrator")), values.pop("log_odds")
    encoding = values.pop("form") if "form" in values else values.pop("encoding")  # "form" until 0.1.0.dev0
    return CalibratedClassifier(
        **values,
        calibrator=MAPS[calibrator.pop("name")](**calibrator),
        log_odds=None if log_odds is None else LogOdds(**log_odds),
        encoding=encoding_of_saved(encoding),
    )


def _score_method(estimator: Any) -> str:
    """Return the method whose values are calibrated: `decision_function` if there is one, else `predict_proba`."""
    return first_method(estimator, ("decision_function",)) or "predict_proba"


@dataclass(frozen=True)
class Calibration:
    """Fit of pairs to clones of an estimator.

    Attributes
    ----------
    estimator : object
        Classifier, which is not changed.
    data : FitData
    method : {"sigmoid", "temperature", "isotonic"}
    pooled : bool
        Whether all labels share one map.
    """

    estimator: Any
    data: FitData
    method: str
    pooled: bool

    def ensemble(self, splits: list[Split], fits: Fits, n_jobs: int | None) -> list[CalibratedClassifier]:
        """Return a pair of classifier and map for each split."""
        return fits.in_parallel((delayed(self._pair_of_split)(split, fits.step()) for split in splits), n_jobs=n_jobs)

    def out_of_fold(self, splits: list[Split], fits: Fits, n_jobs: int | None) -> CalibratedClassifier:
        """Return the classifier fitted to all rows, with a map fitted to out-of-fold scores of clones."""
        rows = np.concatenate([split.test for split in splits])
        if not np.array_equal(np.sort(rows), np.arange(self.data.n_samples)):
            raise ValueError("With ensemble=False, each row must be in exactly one test part of cv. Use ensemble=True.")
        calls = (delayed(self._response_of_split)(split, fits.step()) for split in splits)
        responses = fits.in_parallel(calls, n_jobs=n_jobs)
        values = np.empty((len(rows), self.data.encoding.n_labels))
        values[rows] = np.concatenate([response.values for response in responses])
        classifier = self.data.fit(clone(self.estimator), step=fits.step())
        fits.count()
        return self._calibrate(classifier, Response(values, responses[0].is_probability))

    def frozen(self, fits: Fits) -> CalibratedClassifier:
        """Return the frozen classifier with a map fitted to all rows."""
        classifier = self.data.fit(clone(self.estimator), step=fits.step())
        split = self.data.prefit_split()
        return self._calibrate(classifier, self.data.respond(classifier, split, _score_method(classifier)))

    def _pair_of_split(self, split: Split, step: PartOfFit | None) -> CalibratedClassifier:
        return self._calibrate(*self._fit_and_respond(split, step), split.test)

    def _response_of_split(self, split: Split, step: PartOfFit | None) -> Response:
        return self._fit_and_respond(split, step)[1]

    def _fit_and_respond(self, split: Split, step: PartOfFit | None) -> tuple[Any, Response]:
        classifier = self.data.fit(clone(self.estimator), split.train, step=step)
        return classifier, self.data.respond(classifier, split, _score_method(classifier))

    def _calibrate(self, classifier: Any, response: Response, rows: IndexArray | None = None) -> CalibratedClassifier:
        """Return a classifier with a map fitted to its response for some rows, None for all."""
        values = response.values.astype(np.float64, copy=False)
        log_odds = LogOdds.of(values) if response.is_probability else None
        scores = values if log_odds is None else log_odds.scores(values)
        calibration_set = CalibrationSet.of(scores, self.data.targets, rows)
        calibrator = METHODS[self.method](calibration_set.pooled() if self.pooled else calibration_set)
        return CalibratedClassifier(
            classifier,
            log_odds,
            calibrator,
            calibration_set.n_positive,
            calibration_set.n_negative,
            self.data.encoding,
        )


def warn_of_one_sided_folds(pairs: list[CalibratedClassifier]) -> None:
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
            stacklevel=FIT_CALLER + 2,
        )
