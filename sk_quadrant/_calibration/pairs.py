"""Pairs of a fitted classifier and the map from its scores to probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import METHODS, CalibrationMap, LogOdds, map_from_dict, map_to_dict
from sk_quadrant._callback_support import FIT_CALLER
from sk_quadrant._meta_estimator import FitData, encoding_of_saved
from sk_quadrant._namespaces import moved_estimator
from sk_quadrant._saved_state import plain
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.responses import Response, first_method, respond

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
            stacklevel=FIT_CALLER + 1,
        )
