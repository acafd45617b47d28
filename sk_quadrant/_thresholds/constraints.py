r"""Thresholds with a lower bound on precision or recall that maximise the other one on held-out scores.

A proportion of k out of n on held-out rows may be lower on new rows. The bound is therefore applied to the lower end of
the one-sided interval of Clopper and Pearson (1934), :doi:`10.1093/biomet/26.4.404`: the value p for which k or more of
n have probability 1 - confidence, a quantile of Beta(k, n - k + 1). A precision of .9 at confidence .95 needs 29 right
predictions of 29, or 45 of 46: labels with fewer positives cannot reach it. The interval holds for a threshold that was
fixed in advance; the choice of the best of many thresholds is not taken into account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._thresholds.curves import Curve

if TYPE_CHECKING:
    from sk_quadrant._thresholds.held_out import HeldOut

CONSTRAINED = ("precision", "recall")
N_HALVINGS = 30


def lower_bound(k: FloatArray, n: FloatArray, confidence: float | None) -> FloatArray:
    """Return the lower bound of Clopper and Pearson for a proportion that was k of n, k / n if confidence is None.

    It is 0 for k = 0.

    Examples
    --------
    >>> import numpy as np
    >>> lower_bound(np.array([29.0, 28.0]), np.array([29.0, 29.0]), 0.95).round(3)
    array([0.902, 0.847])
    """
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if confidence is None:
        return np.divide(k, n, out=np.zeros(np.broadcast(k, n).shape), where=n > 0)
    # the quantile 1 - confidence of Beta(k, n - k + 1); rounding of weights may leave n - k below 0
    return np.where(k > 0, beta.ppf(1 - confidence, np.maximum(k, 1e-300), np.maximum(n - k, 0) + 1), 0.0)


@dataclass(frozen=True)
class Constraint:
    """A lower bound on precision or recall.

    Attributes
    ----------
    kind : {"precision", "recall"}
        Metric with the bound.
    bound : float
        Smallest value, in (0, 1].
    average : {"label", "micro"}
        Whether the bound holds for each label, or for all labels counted together.
    confidence : float or None
        Confidence of the interval; None applies the bound to the value itself.
    """

    kind: str
    bound: float
    average: str
    confidence: float | None

    @classmethod
    def of(cls, constraint: Any, confidence: float | None) -> Constraint:
        """Read the parameter, or raise a ValueError."""
        parts = tuple(constraint)
        if (
            len(parts) not in (2, 3)
            or parts[0] not in CONSTRAINED
            or not (isinstance(parts[1], (int, float)) and 0 < parts[1] <= 1)
            or parts[2:] not in ((), ("label",), ("micro",))
        ):
            raise ValueError(
                "constraint must be ('precision', value) or ('recall', value) with a value in (0, 1], and 'label' or "
                f"'micro' as an optional third entry, got {constraint!r}."
            )
        return cls(parts[0], float(parts[1]), parts[2] if len(parts) == 3 else "label", confidence)

    def tune(
        self, held_out: HeldOut, groups: Sequence[IndexArray], thresholds: FloatArray, max_passes: int
    ) -> FloatArray:
        """Return the thresholds that meet the constraint with the highest recall, or precision; see `TuningObjective`.

        Groups that cannot meet a precision are never predicted; groups that cannot meet a recall always are.
        """
        thresholds, held_out = thresholds.copy(), _weighted_by_rows(held_out)
        curves = [Curve.of(held_out.labels(group)) for group in groups]
        together = self.average == "micro" and len(curves) > 1
        chosen = self._micro(curves) if together else [self._best(curve) for curve in curves]
        for group, curve, k in zip(groups, curves, chosen, strict=True):
            thresholds[group] = (np.inf if self.kind == "precision" else -np.inf) if k is None else curve.threshold[k]
        return thresholds

    def met(self, held_out: HeldOut, thresholds: FloatArray, pooled: BoolArray) -> BoolArray:
        """Return which labels meet the constraint; labels that share a threshold are counted together."""
        counts = _weighted_by_rows(held_out).counts(held_out.scores > thresholds)
        together = np.ones_like(pooled) if self.average == "micro" else pooled
        counts[:, together] = counts[:, together].sum(axis=1, keepdims=True)
        return self._keeps(*counts)

    def _keeps(self, true_positive: FloatArray, predicted: FloatArray, positive: FloatArray | float) -> BoolArray:
        # precision TP / P^, recall TP / P
        total = predicted if self.kind == "precision" else np.full_like(predicted, positive)
        return np.asarray(lower_bound(true_positive, total, self.confidence) >= self.bound)

    def _best(self, curve: Curve) -> int | None:
        """Return the best index on a curve among those that meet the constraint, None if there is none."""
        true_positive, predicted = curve.true_positive, curve.predicted
        kept = np.flatnonzero(self._keeps(true_positive, predicted, curve.positive))
        if kept.size == 0:
            return None
        if self.kind == "precision":
            # the lowest threshold has the highest recall: TP never falls along a curve
            return int(kept[-1])
        # a bound above 0 leaves no threshold without predictions
        return int(kept[np.argmax(true_positive[kept] / predicted[kept])])

    def _micro(self, curves: Sequence[Curve]) -> Sequence[int | None]:
        r"""Return the best indices on all curves, counted together.

        At the maximum of ``2 TP - q P`` on each curve, the recall is the highest for its number of predictions. The
        Lagrange multiplier q, a price per prediction, that just meets the constraint is found by bisection. For a
        precision, each curve in turn is then followed to lower thresholds as far as the constraint allows.
        """
        positive = sum(curve.positive for curve in curves)
        # TP <= P^, so that 2 TP - q P^ is never positive for q >= 2
        prices = np.linspace(0.0, 2.0, 65)

        def places(price: float) -> list[int]:
            return [int(np.argmax(curve.gain(price))) for curve in curves]

        def keeps(chosen: Sequence[int]) -> bool:
            counts = [(curve.true_positive[k], curve.predicted[k]) for curve, k in zip(curves, chosen, strict=True)]
            found, total = np.sum(counts, axis=0)
            return bool(self._keeps(found, total, positive))

        kept = [price for price in prices.tolist() if keeps(places(price))]
        if not kept:
            return [None] * len(curves)
        # high prices favour precision, low ones recall: bisect between the last price that meets the bound and the next
        good = kept[0] if self.kind == "precision" else kept[-1]
        bad = good - prices[1] if self.kind == "precision" else good + prices[1]
        for _ in range(N_HALVINGS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if keeps(places(middle)) else (good, middle)
        chosen = places(good)
        for j, curve in enumerate(curves if self.kind == "precision" else []):
            while chosen[j] + 1 < curve.threshold.size:
                further = [*chosen[:j], chosen[j] + 1, *chosen[j + 1 :]]
                if not keeps(further):
                    break
                chosen = further
        return chosen


def _weighted_by_rows(held_out: HeldOut) -> HeldOut:
    """Return weights that sum to the effective number of rows, (sum w)^2 / sum w^2."""
    if held_out.weight is None:
        return held_out
    # Kish, "Survey Sampling", 1965: weights w sum_i w_i / sum_i w_i^2 have the effective number of rows as their sum
    of_rows = held_out.row_weight()
    return replace(held_out, weight=held_out.weight * (of_rows.sum() / (of_rows @ of_rows)))
