"""Calibrators: maps from scores to probabilities, fitted to a calibration set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from sk_quadrant._arrays import FloatArray
from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.logistic import fit_logistic
from sk_quadrant._saved_state import plain


@dataclass(frozen=True)
class LogisticMap:
    """Probability sigmoid(slope * score + intercept).

    Attributes
    ----------
    slope, intercept : ndarray of shape (n_labels,) or (1,)
        One pair per label, or one for all of them.
    """

    slope: FloatArray
    intercept: FloatArray

    def predict(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of scores of shape (n_samples, n_labels)."""
        with np.errstate(over="ignore"):
            # a slope of 0 makes NaN of an infinite score, but not of the largest number
            proba: FloatArray = expit(np.nan_to_num(scores) * self.slope + self.intercept)
        return proba


@dataclass(frozen=True)
class IsotonicMap:
    """Nondecreasing piecewise linear map, constant outside the scores it was fitted to.

    Attributes
    ----------
    regressions : tuple of IsotonicRegression
        One per label, or a single one for all of them.
    """

    regressions: tuple[IsotonicRegression, ...]

    def predict(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of scores of shape (n_samples, n_labels)."""
        if len(self.regressions) == 1:
            return _predict_isotonic(self.regressions[0], scores.ravel()).reshape(scores.shape)
        return np.column_stack(list(map(_predict_isotonic, self.regressions, scores.T)))


CalibrationMap: TypeAlias = LogisticMap | IsotonicMap  # from scores to probabilities


@dataclass(frozen=True)
class LogOdds:
    """Log-odds of probabilities, also finite for 0 and 1.

    Few neighbours or trees, or rounding, give a probability of 0 instead of a small one. It is replaced by half of the
    smallest positive probability of the held-out rows; 1 is treated likewise.

    Attributes
    ----------
    low, high : float
        Range into which probabilities are clipped.
    """

    low: float
    high: float

    @classmethod
    def of(cls, proba: FloatArray) -> LogOdds:
        """Choose the range for held-out probabilities of any shape."""
        smallest = proba.min(initial=0.5, where=proba > 0)
        smallest_rest = (1 - proba).min(initial=0.5, where=proba < 1)
        # 1 - eps / 4 rounds to 1, whose log-odds are infinite
        epsilon = float(np.finfo(np.float64).eps)
        return cls(max(smallest / 2, epsilon), 1 - max(smallest_rest / 2, epsilon))

    def scores(self, proba: FloatArray) -> FloatArray:
        """Return the log-odds of probabilities."""
        return np.asarray(logit(np.clip(proba, self.low, self.high)), dtype=np.float64)


def fit_sigmoid(calibration_set: CalibrationSet) -> LogisticMap:
    """Fit the slope and the intercept of each label to Platt's smoothed targets."""
    return LogisticMap(*fit_logistic(calibration_set, fit_intercept=True))


def fit_temperature(calibration_set: CalibrationSet) -> LogisticMap:
    """Fit the slope of each label to Platt's smoothed targets, and the intercept 0."""
    slope, intercept = fit_logistic(calibration_set, fit_intercept=False)
    one_sided = calibration_set.one_sided  # a slope alone cannot express how rare such a label is
    constant = logit(calibration_set.frequency)
    return LogisticMap(np.where(one_sided, 0.0, slope), np.where(one_sided, constant, intercept))


def fit_isotonic(calibration_set: CalibrationSet) -> IsotonicMap:
    """Fit the isotonic regression of each label, a constant for a label with a single class."""
    one_sided, frequency = calibration_set.one_sided, calibration_set.frequency

    def fit_label(j: int) -> IsotonicRegression:
        regression = IsotonicRegression(out_of_bounds="clip")
        if one_sided[j]:
            return regression.fit([0.0], frequency[[j]])
        known = calibration_set.weight[:, j] > 0
        columns = (calibration_set.scores, calibration_set.targets, calibration_set.weight)
        scores, targets, weight = (values[known, j] for values in columns)
        return regression.fit(scores, targets, sample_weight=weight)

    return IsotonicMap(tuple(map(fit_label, range(calibration_set.n_labels))))


def _predict_isotonic(regression: IsotonicRegression, scores: FloatArray) -> FloatArray:
    # IsotonicRegression refuses infinite scores before it clips
    return np.asarray(regression.predict(np.clip(scores, regression.X_min_, regression.X_max_)), dtype=np.float64)


def map_to_dict(calibrator: CalibrationMap) -> dict[str, Any]:
    """Return plain values, arrays and estimators, which `map_from_dict` reads."""
    return {"name": type(calibrator).__name__, **plain(calibrator)}


def map_from_dict(values: Mapping[str, Any]) -> CalibrationMap:
    """Return the map that `map_to_dict` was given."""
    values = dict(values)
    return (LogisticMap if values.pop("name") == "LogisticMap" else IsotonicMap)(**values)


METHODS: dict[str, Callable[[CalibrationSet], CalibrationMap]] = {
    "sigmoid": fit_sigmoid,
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}
