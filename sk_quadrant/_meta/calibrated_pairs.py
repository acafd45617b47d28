"""Pairs of a trained classifier and the map from its scores to probabilities, and the ways to make them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import _check_method_params, _num_samples

from sk_quadrant._meta.calibrators import MAPS, METHODS, CalibrationMap, FloatArray, HeldOut, LogOdds
from sk_quadrant._meta.training_parts import train
from sk_quadrant._multilabel.label_matrix import LabelForm, LabelMatrix
from sk_quadrant._multilabel.responses import Response, first_method, respond
from sk_quadrant._saved_state import plain

Splits = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class TrainingData:
    """What the classifier is trained on and the maps are fitted to."""

    X: Any
    labels: LabelMatrix
    weight: FloatArray | None
    fit_params: Mapping[str, Any]

    def train(self, estimator: Any, rows: NDArray[np.intp] | None = None) -> Any:
        """Fit the estimator to some rows, None for all."""
        X, y, params = self.X, self.labels.y, self.fit_params
        if rows is not None:
            X, y = _safe_split(estimator, X, y, rows)
            params = _check_method_params(self.X, params=params, indices=rows)
        return train(estimator, X, y, params, lambda: self.labels.is_constant(rows))

    def weight_of(self, rows: NDArray[np.intp] | None) -> FloatArray | None:
        """Return the weights of some rows, None for all."""
        return self.weight if self.weight is None or rows is None else self.weight[rows]


@dataclass(frozen=True)
class CalibratedClassifier:
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
    form: LabelForm

    def predict_proba(self, X: Any) -> FloatArray:
        """Return calibrated probabilities of shape (n_samples, n_labels)."""
        values = _scores_or_probabilities(self.estimator, X, self.form).values
        return self.calibrator.predict(values if self.log_odds is None else self.log_odds.scores(values))


def plain_pair(pair: CalibratedClassifier) -> dict[str, Any]:
    """Return a pair as plain values and arrays, but for its estimators."""
    calibrator = {"name": type(pair.calibrator).__name__, **plain(pair.calibrator)}
    log_odds = None if pair.log_odds is None else plain(pair.log_odds)
    return plain(pair) | {"calibrator": calibrator, "log_odds": log_odds, "form": plain(pair.form)}


def pair_of(values: Mapping[str, Any]) -> CalibratedClassifier:
    """Return the pair of what `plain_pair` has returned."""
    calibrator, log_odds = dict(values["calibrator"]), values["log_odds"]
    objects = {
        "calibrator": MAPS[calibrator.pop("name")](**calibrator),
        "log_odds": None if log_odds is None else LogOdds(**log_odds),
        "form": LabelForm(**values["form"]),
    }
    return CalibratedClassifier(**{**values, **objects})


def _scores_or_probabilities(estimator: Any, X: Any, form: LabelForm) -> Response:
    """Return the decision values of a fitted classifier, or its probabilities if it has no decision values."""
    method = first_method(estimator, ("decision_function",)) or "predict_proba"
    response = respond(estimator, X, method, form)
    return Response(response.values.astype(np.float64, copy=False), response.is_probability)


@dataclass(frozen=True)
class Calibration:
    """How maps are fitted."""

    method: str
    pooled: bool

    def __call__(
        self, estimator: Any, response: Response, data: TrainingData, rows: NDArray[np.intp] | None = None
    ) -> CalibratedClassifier:
        """Return a classifier with the map of what it answered for some rows, None for all."""
        log_odds = LogOdds.of(response.values) if response.is_probability else None
        scores = response.values if log_odds is None else log_odds.scores(response.values)
        targets = data.labels.dense(rows).astype(np.float64, copy=False)
        held_out = HeldOut.of(scores, targets, data.weight_of(rows))
        calibrator = METHODS[self.method](held_out.pooled() if self.pooled else held_out)
        return CalibratedClassifier(
            estimator, log_odds, calibrator, held_out.n_positive, held_out.n_negative, data.labels.form
        )


def fit_ensemble(
    estimator: Any, data: TrainingData, splits: Splits, calibrate: Calibration, parallel: Any
) -> list[CalibratedClassifier]:
    """Return a pair of classifier and map for each fold."""
    return list(
        parallel(delayed(_pair_of_fold)(clone(estimator), data, train, test, calibrate) for train, test in splits)
    )


def fit_out_of_fold(
    estimator: Any, data: TrainingData, splits: Splits, calibrate: Calibration, parallel: Any
) -> CalibratedClassifier:
    """Return the classifier trained on all rows with the map of its clones' out-of-fold scores."""
    every_row = np.arange(_num_samples(data.X))
    tests = [every_row[test] for _, test in splits]
    if not np.array_equal(np.sort(np.concatenate(tests)), every_row):
        raise ValueError("With ensemble=False, each row must be in exactly one test part of cv. Use ensemble=True.")
    responses = parallel(delayed(_response_of_fold)(clone(estimator), data, train, test) for train, test in splits)
    values = np.empty((len(every_row), data.labels.form.n_labels))
    for test, response in zip(tests, responses, strict=True):
        values[test] = response.values
    return calibrate(data.train(clone(estimator)), Response(values, responses[0].is_probability), data)


def fit_frozen(estimator: Any, data: TrainingData, calibrate: Calibration) -> CalibratedClassifier:
    """Return the classifier as it is with the map of all rows."""
    classifier = data.train(clone(estimator))
    return calibrate(classifier, _scores_or_probabilities(classifier, data.X, data.labels.form), data)


def _pair_of_fold(
    estimator: Any, data: TrainingData, train: Any, test: Any, calibrate: Calibration
) -> CalibratedClassifier:
    return calibrate(estimator, _response_of_fold(estimator, data, train, test), data, test)


def _response_of_fold(estimator: Any, data: TrainingData, train: Any, test: Any) -> Response:
    classifier = data.train(estimator, train)
    X, _ = _safe_split(classifier, data.X, None, test, train)
    return _scores_or_probabilities(classifier, X, data.labels.form)


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
            stacklevel=5,
        )
