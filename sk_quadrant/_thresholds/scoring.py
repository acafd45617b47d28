"""The metric for which thresholds are tuned: a known metric, or a scorer to call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import f1_score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.targets import Targets
from sk_quadrant._targets.weights import check_sample_weight
from sk_quadrant._thresholds.held_out import HeldOut
from sk_quadrant._thresholds.metrics import METRICS
from sk_quadrant._thresholds.rules import Rule
from sk_quadrant._thresholds.search import TuningObjective
from sk_quadrant.metrics.scorers import get_scorer, multilabel_f1_scorer

if TYPE_CHECKING:
    from sk_quadrant._meta_estimator import FitData


def _function(scorer: Any) -> Any:
    return getattr(scorer, "_score_func", None)


def _formula(scorer: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return metric, sign and parameters of a scorer, without parameters of no effect on a label matrix."""
    options = dict(getattr(scorer, "_kwargs", {}))
    options.pop("pos_label", None)
    if options.get("zero_division") in ("warn", 0):
        options.pop("zero_division")
    function = _function(scorer)
    if function is _function(multilabel_f1_scorer()):  # f1_score where all labels are known
        function = f1_score
    return function, getattr(scorer, "_sign", None), options


def is_of_predictions(scorer: Any) -> bool:
    """Whether a scorer calls `predict`; True if unknown."""
    return "predict" in np.atleast_1d(getattr(scorer, "_response_method", "predict"))


@dataclass(frozen=True)
class Scoring:
    """The metric to maximise.

    Attributes
    ----------
    scorer : callable
        A scorer of predictions.
    params : mapping
        The metadata that the scorer requests.
    name : str or None
        The key of METRICS, None if the scorer has to be called.
    """

    scorer: Any
    params: Mapping[str, Any]
    name: str | None

    @classmethod
    def of(cls, scorer: Any, scoring: Any, params: Mapping[str, Any], targets: Targets) -> Scoring:
        """Check the scorer and find its metric among METRICS."""
        if not is_of_predictions(scorer):
            raise ValueError(f"scoring must depend on predictions for thresholds to matter, got {scoring!r}.")
        names = [name for name in METRICS if _formula(get_scorer(name)) == _formula(scorer)]
        name = names[0] if names and set(params) <= {"sample_weight"} else None
        if name is None and targets.mask is not None:
            raise ValueError(
                f"scoring must be one of {sorted(METRICS)} when y has unknown labels (NaN), got {scoring!r}."
            )
        return cls(scorer, params, name)

    def hold_out(
        self, data: FitData, rows: IndexArray, scores: FloatArray, rule: Rule
    ) -> tuple[TuningObjective, HeldOut]:
        """Return the metric of the label sets of a rule, and the held-out scores and targets of some rows."""
        params = _check_method_params(data.X, self.params, indices=rows)
        targets, mask = data.targets.present(rows), data.targets.mask
        if self.name is None:
            of_predictions = self._metric_of(data, rows, params)
            return TuningObjective(lambda _, sets: of_predictions(sets), rule), HeldOut(scores, targets)
        names = data.encoding.label_names
        weight = check_sample_weight(params.get("sample_weight"), rows.size, scores.shape[1], names=names)
        known = None if mask is None else mask[rows]
        if weight is not None and weight.ndim == 2:  # a label of weight 0 counts as unknown
            if not rule.is_plain:
                raise ValueError(
                    "sample_weight must have shape (n_samples,) with min_labels, max_labels or rule, got "
                    f"{weight.shape}."
                )
            known = weight > 0 if known is None else known & (weight > 0)
            targets = targets & known
        return TuningObjective(METRICS[self.name], rule), HeldOut(scores, targets, known, weight).without_idle_rows()

    def _metric_of(self, data: FitData, rows: IndexArray, params: Mapping[str, Any]) -> Callable[[BoolArray], float]:
        """Return the scorer as a function of the predictions of some rows, -inf for values that are not finite."""
        X = _safe_indexing(data.X, rows)
        y = _safe_indexing(data.y, rows) if data.encoding.exclusive else data.targets.present(rows).astype(int)

        def metric(predicted: BoolArray) -> float:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                value = self.scorer(GivenResponses(data.encoding, predicted=predicted), X, y, **params)
            if np.ndim(value) or isinstance(value, Mapping):
                raise ValueError(
                    f"scoring must give one number for all labels, got {value!r} from {self.scorer}. Average over "
                    "labels."
                )
            return float(value) if np.isfinite(value) else -np.inf

        return metric


class GivenResponses(ClassifierMixin, BaseEstimator):
    """A classifier with given responses, for scorers.

    Parameters
    ----------
    encoding : Encoding
    predicted : ndarray of bool of shape (n_samples, n_labels), default=None
    scores, proba : ndarray of shape (n_samples, n_labels), default=None
    """

    def __init__(self, encoding: Encoding, *, predicted: Any = None, scores: Any = None, proba: Any = None) -> None:
        self.encoding = encoding
        self.predicted = predicted
        self.scores = scores
        self.proba = proba
        self.classes_ = encoding.classes

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions as an ndarray; X is not used."""
        return np.asarray(self.encoding.dense().decode([self.predicted]))

    def decision_function(self, X: Any) -> FloatArray:
        """Return the decision values."""
        return np.reshape(self.scores, (len(self.scores), *self.encoding.decision_shape))

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probabilities of all classes."""
        if self.proba is None:
            raise AttributeError("scoring needs probabilities, but the loss has no link. Use calibration='auto'.")
        return np.asarray(self.encoding.complete(self.proba))
