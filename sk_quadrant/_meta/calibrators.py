"""Calibration maps: held-out scores and targets in, a map from scores to probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.utils import gen_batches

FloatArray = NDArray[np.float64]

MAX_STEPS = 100
MAX_HALVINGS = 40
LABELS_AT_ONCE = 64
ENTRIES_AT_ONCE = 2**15  # the temporaries of one block stay in cache
LARGEST = 1e300  # differences of larger scores overflow: they count as infinite
FLATTEST = np.exp(-10.0)  # lowest slope of a temperature map, for scores scaled to root mean square 1


class CalibrationMap(Protocol):
    """A fitted map from scores to probabilities."""

    def predict(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of scores of shape (n_samples, n_labels)."""


@dataclass(frozen=True)
class LogisticMap:
    """Probability sigmoid(slope * score + intercept).

    Attributes
    ----------
    slope, intercept : ndarray of shape (n_labels,) or (1,)
        One pair a label, or one for all of them.
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
        One a label, or a single one for all of them.
    """

    regressions: tuple[IsotonicRegression, ...]

    def predict(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of scores of shape (n_samples, n_labels)."""
        if len(self.regressions) == 1:
            return _predict_isotonic(self.regressions[0], scores.ravel()).reshape(scores.shape)
        return np.column_stack(list(map(_predict_isotonic, self.regressions, scores.T)))


@dataclass(frozen=True)
class LogOdds:
    """Log-odds of probabilities, finite for 0 and 1 too.

    A probability of exactly 0 is what a few neighbours or trees, or rounding, could not tell from a small one. It is
    moved half way to the smallest positive probability that was seen in held-out rows, and 1 likewise.

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
        epsilon = float(np.finfo(np.float64).eps)
        return cls(max(smallest / 2, epsilon), 1 - max(smallest_rest / 2, epsilon))

    def scores(self, proba: FloatArray) -> FloatArray:
        """Return the log-odds of probabilities."""
        return np.asarray(logit(np.clip(proba, self.low, self.high)), dtype=np.float64)


@dataclass(frozen=True)
class HeldOut:
    """Scores of rows that the model was not fitted to, and what they should have been.

    Attributes
    ----------
    scores, targets, weight : ndarray of shape (n_samples, n_labels)
        Finite scores, targets in [0, 1], and weights that are 0 where nothing is known.
    """

    scores: FloatArray
    targets: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, targets: FloatArray, weight: FloatArray | None = None) -> HeldOut:
        """Give no weight to unknown targets and infinite scores.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_labels)
            Scores, none of them NaN.

        targets : ndarray of shape (n_samples, n_labels)
            Targets in [0, 1], NaN where unknown.

        weight : ndarray of shape (n_samples,) or (n_samples, n_labels), default=None
            Nonnegative weights. A weight of 2 is a repeated row.

        Returns
        -------
        HeldOut
        """
        weight = np.ones(1) if weight is None else weight
        weight = np.broadcast_to(weight[:, np.newaxis] if weight.ndim == 1 else weight, scores.shape)
        known = (np.abs(scores) <= LARGEST) & ~np.isnan(targets)
        if known.all():
            return cls(scores, targets, weight)
        return cls(*(np.where(known, values, 0.0) for values in (scores, targets, weight)))

    def pooled(self) -> HeldOut:
        """Return the entries of all labels as those of one label."""
        return HeldOut(*(values.reshape(-1, 1) for values in (self.scores, self.targets, self.weight)))

    def labels(self, columns: slice) -> HeldOut:
        """Return some of the labels."""
        return HeldOut(*(values[:, columns] for values in (self.scores, self.targets, self.weight)))

    def blocks(self) -> Iterator[HeldOut]:
        """Cut the rows into blocks."""
        n_samples, n_labels = self.scores.shape
        for rows in gen_batches(n_samples, max(1, ENTRIES_AT_ONCE // n_labels)):
            yield HeldOut(self.scores[rows], self.targets[rows], self.weight[rows])

    @cached_property
    def n_positive(self) -> FloatArray:
        """Total weight of the positives of each label."""
        return _column_sums(self.weight, self.targets)

    @cached_property
    def n_negative(self) -> FloatArray:
        """Total weight of the negatives of each label."""
        sums = [_column_sums(block.weight, 1 - block.targets) for block in self.blocks()]
        return np.asarray(np.sum(sums, axis=0))

    @property
    def one_sided(self) -> NDArray[np.bool_]:
        """Whether the known targets of a label are all 0 or all 1, or none is known."""
        return np.asarray((self.n_positive == 0) | (self.n_negative == 0))

    @property
    def frequency(self) -> FloatArray:
        """Smoothed frequency (n_positive + 1) / (n + 2) of each label: Laplace's rule of succession."""
        return (self.n_positive + 1) / (self.n_positive + self.n_negative + 2)


def fit_sigmoid(held_out: HeldOut) -> LogisticMap:
    """Fit the slope and the intercept of each label to Platt's smoothed targets."""
    return _fit_logistic(held_out, fit_intercept=True)


def fit_temperature(held_out: HeldOut) -> LogisticMap:
    """Fit the slope of each label to Platt's smoothed targets, and the intercept 0."""
    fitted = _fit_logistic(held_out, fit_intercept=False)
    one_sided = held_out.one_sided  # a slope alone cannot express how rare such a label is
    return LogisticMap(
        np.where(one_sided, 0.0, fitted.slope), np.where(one_sided, logit(held_out.frequency), fitted.intercept)
    )


def fit_isotonic(held_out: HeldOut) -> IsotonicMap:
    """Fit the isotonic regression of each label, a constant where only one of 0 and 1 was seen."""

    def fit_label(j: int) -> IsotonicRegression:
        regression = IsotonicRegression(out_of_bounds="clip")
        if held_out.one_sided[j]:
            return regression.fit([0.0], held_out.frequency[[j]])
        known = held_out.weight[:, j] > 0
        scores, targets, weight = (values[known, j] for values in (held_out.scores, held_out.targets, held_out.weight))
        return regression.fit(scores, targets, sample_weight=weight)

    return IsotonicMap(tuple(map(fit_label, range(held_out.scores.shape[1]))))


def _predict_isotonic(regression: IsotonicRegression, scores: FloatArray) -> FloatArray:
    # IsotonicRegression refuses infinite scores before it clips
    return np.asarray(regression.predict(np.clip(scores, regression.X_min_, regression.X_max_)), dtype=np.float64)


MAPS: dict[str, Callable[..., CalibrationMap]] = {"LogisticMap": LogisticMap, "IsotonicMap": IsotonicMap}
METHODS: dict[str, Callable[[HeldOut], CalibrationMap]] = {
    "sigmoid": fit_sigmoid,
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}


def _fit_logistic(held_out: HeldOut, *, fit_intercept: bool) -> LogisticMap:
    n_labels = held_out.scores.shape[1]
    maps = [
        _fit_logistic_block(held_out.labels(columns), fit_intercept)
        for columns in gen_batches(n_labels, LABELS_AT_ONCE)
    ]
    return LogisticMap(np.concatenate([m.slope for m in maps]), np.concatenate([m.intercept for m in maps]))


def _fit_logistic_block(held_out: HeldOut, fit_intercept: bool) -> LogisticMap:
    objective = _LogisticObjective(held_out, fit_intercept)
    slope, intercept = _minimize(objective)
    if not fit_intercept:
        slope = np.maximum(slope, FLATTEST)
    steepness = slope * objective.stretch
    return LogisticMap(steepness / objective.peak, intercept - steepness * objective.center)


class _LogisticObjective:
    """Sum of the logistic losses of each label, on standardised scores and Platt's smoothed targets.

    The smoothed targets lie strictly inside (0, 1), so that the minimum is finite for separable scores too.
    """

    def __init__(self, held_out: HeldOut, fit_intercept: bool) -> None:
        self.held_out = held_out
        self.fit_intercept = fit_intercept
        self.total = held_out.n_positive + held_out.n_negative
        self.low = 1 / (held_out.n_negative + 2)
        self.high = (held_out.n_positive + 1) / (held_out.n_positive + 2)
        peak = np.max(np.abs(held_out.scores), axis=0)
        self.peak = np.where(peak > 1e-280, peak, 1.0)  # keeps squares and quotients within range
        self.center = np.zeros_like(peak)
        self.stretch = np.ones_like(peak)
        self._standardize()

    def _standardize(self) -> None:
        """Choose c and k such that k (score / peak - c) has root mean square 1; k = 0 where all scores are equal."""
        total = np.where(self.total > 0, self.total, 1.0)
        blocks = self.held_out.blocks
        if self.fit_intercept:
            self.center = sum(_column_sums(b.weight, b.scores / self.peak) for b in blocks()) / total
        squares = (_column_sums(b.weight, (b.scores / self.peak - self.center) ** 2) for b in blocks())
        spread = np.sqrt(sum(squares) / total)
        constant = spread <= 1e-14  # what rounding leaves of equal scores, as none exceeds 1
        self.stretch = np.where(constant, 0.0, 1 / np.where(constant, 1.0, spread))

    def start(self) -> FloatArray:
        """Return slope 0 and the intercept of the smoothed frequencies, shape (2, n_labels)."""
        intercept = np.log((self.held_out.n_positive + 1) / (self.held_out.n_negative + 1))
        return np.stack([np.zeros_like(intercept), intercept if self.fit_intercept else np.zeros_like(intercept)])

    def __call__(self, point: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the loss (n_labels,), its gradient (2, n_labels) and its Hessian (2, 2, n_labels)."""
        parts = [self._block(block, *point) for block in self.held_out.blocks()]
        loss, gradient, hessian = (sum(values) for values in zip(*parts, strict=True))
        if not self.fit_intercept:
            gradient[1], hessian[0, 1], hessian[1, 0], hessian[1, 1] = 0.0, 0.0, 0.0, 1.0
        return loss, gradient, hessian

    def _block(self, block: HeldOut, slope: FloatArray, intercept: FloatArray) -> tuple[FloatArray, ...]:
        z = (block.scores / self.peak - self.center) * self.stretch
        targets = self.low + block.targets * (self.high - self.low)
        u = z * slope + intercept
        small = np.exp(-np.abs(u))
        proba = np.where(u >= 0, 1.0, small) / (1 + small)
        loss = _column_sums(block.weight, np.log1p(small) + np.maximum(u, 0) - targets * u)
        residual = block.weight * (proba - targets)
        curvature = block.weight * small / (1 + small) ** 2
        h01 = _column_sums(curvature, z)
        gradient = np.stack([_column_sums(residual, z), residual.sum(axis=0)])
        h = np.stack([_column_sums(curvature * z, z), h01, h01, curvature.sum(axis=0)]).reshape(2, 2, -1)
        return loss, gradient, h


def _minimize(objective: _LogisticObjective) -> FloatArray:
    """Minimise the losses of all labels at once by Newton's method with step halving (Lin, Lin and Weng, 2007)."""
    point = objective.start()
    loss, gradient, hessian = objective(point)
    for _ in range(MAX_STEPS):
        step = _newton_step(gradient, hessian)
        decrease = -(gradient * step).sum(axis=0)
        if np.all(decrease <= 1e-14 * objective.total):
            return point + step
        for _ in range(MAX_HALVINGS):
            trial = objective(point + step)
            worse = trial[0] > loss + 1e-14 * np.abs(loss)
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        point, (loss, gradient, hessian) = point + step, trial
    return point


def _newton_step(gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    """Solve the 2 x 2 system of each label; the slope stays where the scores do not tell it from the intercept."""
    (h00, h01), (_, h11) = hessian
    h11 = np.where(h11 > 0, h11, 1.0)
    schur = h00 - h01**2 / h11
    solvable = schur > 1e-14 * h00
    slope = np.where(solvable, -(gradient[0] - h01 * gradient[1] / h11) / np.where(solvable, schur, 1.0), 0.0)
    return np.stack([slope, -(gradient[1] + h01 * slope) / h11])


def _column_sums(a: FloatArray, b: FloatArray) -> FloatArray:
    sums: FloatArray = np.einsum("ij,ij->j", a, b)
    return sums
