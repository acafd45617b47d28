"""The metric that thresholds are chosen by: recognised, or a scorer to call."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, hamming_loss, make_scorer
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _check_method_params

from sk_quadrant._meta.cuts import METRICS, HeldOut, Metric, PredictionMetric
from sk_quadrant._meta.held_out_scores import BoolArray, FloatArray, IndexArray, Targets, TrainingData
from sk_quadrant._multilabel.label_matrix import LabelForm

OWN_SCORERS = {"neg_hamming_loss": make_scorer(hamming_loss, greater_is_better=False)}


def scorer_named(name: str) -> Any:
    """Return the scorer of a name, those of scikit-learn and of this package alike."""
    return deepcopy(OWN_SCORERS[name]) if name in OWN_SCORERS else get_scorer(name)


def _ingredients(scorer: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return what a scorer computes, without the parameters that change nothing for a label matrix."""
    options = dict(getattr(scorer, "_kwargs", {}))
    options.pop("pos_label", None)
    if options.get("zero_division") in ("warn", 0):
        options.pop("zero_division")
    return getattr(scorer, "_score_func", None), getattr(scorer, "_sign", None), options


@dataclass(frozen=True)
class Scoring:
    """The metric to maximise.

    Attributes
    ----------
    scorer : callable
        A scorer of predictions.
    params : mapping
        The metadata that the scorer asked for.
    name : str or None
        The key of METRICS, None if the scorer has to be called.
    """

    scorer: Any
    params: Mapping[str, Any]
    name: str | None

    @classmethod
    def of(cls, scorer: Any, scoring: Any, params: Mapping[str, Any], targets: Targets) -> Scoring:
        """Check the scorer and look for its metric among those whose search needs no calls."""
        if "predict" not in np.atleast_1d(getattr(scorer, "_response_method", "predict")):
            raise ValueError(f"scoring must depend on predictions for thresholds to matter, got {scoring!r}.")
        names = [name for name in METRICS if _ingredients(scorer_named(name)) == _ingredients(scorer)]
        name = names[0] if names and set(params) <= {"sample_weight"} else None
        if name is None and targets.known is not None:
            raise ValueError(
                f"scoring must be one of {sorted(METRICS)} when y has unknown labels (NaN), got {scoring!r}."
            )
        return cls(scorer, params, name)

    def hold_out(self, data: TrainingData, rows: IndexArray, scores: FloatArray) -> tuple[Metric, HeldOut]:
        """Return the metric and what it is computed from, for scores of some rows."""
        targets = data.targets
        params = _check_method_params(data.X, self.params, indices=rows)
        if self.name is None:
            y = (
                _safe_indexing(targets.y, rows)
                if targets.form.classes is not None
                else targets.values[rows].astype(int)
            )
            of_predictions = _ScorerCall(self.scorer, _safe_indexing(data.X, rows), y, params, targets.form)
            return PredictionMetric(of_predictions), HeldOut(scores, targets.values[rows])
        known = None if targets.known is None else targets.known[rows]
        weight = _check_weight(params.get("sample_weight"), rows.size)
        return METRICS[self.name], HeldOut(scores, targets.values[rows], known, weight).counting_rows()


def _check_weight(weight: Any, n_samples: int) -> FloatArray | None:
    if weight is None:
        return None
    weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight of the scorer must have shape (n_samples,), got {weight.shape}.")
    if weight.min() < 0 or weight.max() == 0:
        raise ValueError("sample_weight must be nonnegative, and one weight at least must not be zero.")
    return np.asarray(weight)


@dataclass(frozen=True)
class _ScorerCall:
    """Call a scorer with predictions in place of an estimator."""

    scorer: Any
    X: Any
    y: Any
    params: Mapping[str, Any]
    form: LabelForm

    def __call__(self, predicted: BoolArray) -> float:
        """Return the score of predictions, -inf if it is not finite."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            value = float(self.scorer(_Predictions(self.form, predicted), self.X, self.y, **self.params))
        return value if np.isfinite(value) else -np.inf


class _Predictions(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that is nothing but its predictions."""

    def __init__(self, form: LabelForm, predicted: BoolArray) -> None:
        self.form = form
        self.predicted = predicted

    @property
    def classes_(self) -> Any:
        """Classes of each label."""
        return [np.array([0, 1])] * self.form.n_labels if self.form.classes is None else self.form.classes

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions, whatever X."""
        return self.form.decode_dense(self.predicted)
