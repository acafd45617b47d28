"""The score that early stopping monitors: a scorer on validation rows."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer
from sklearn.utils import _safe_indexing

from sk_quadrant._rows.inputs import Inputs
from sk_quadrant._targets.targets import one_class_labels
from sk_quadrant.metrics.scorers import get_scorer

if TYPE_CHECKING:
    from sk_quadrant._model.fitted import FittedModel
    from sk_quadrant._targets.targets import Targets


@dataclass(frozen=True)
class ValidationScore:
    """Scores by name of a fitted model on validation rows.

    Attributes
    ----------
    estimator : QuadrantMultiLabelClassifier
    scorer : callable
    arrays : tuple
        Features, labels, and weights or None: of `X_val`, or of all rows if some of them are held out.
    """

    estimator: Any
    scorer: Callable[..., Any]
    arrays: tuple[Any, Any, Any]

    @classmethod
    def of(cls, estimator: Any, X: Any, rows: Any, y: Any, sample_weight: Any) -> ValidationScore:
        """Return the score for the parameter `scoring` of an estimator."""
        scorer = check_scoring(estimator, scoring=_by_name(estimator.scoring))
        if np.ndim(sample_weight) == 0:  # a single weight has no effect
            sample_weight = None
        of_scikit_learn = isinstance(scorer, (_BaseScorer, _MultimetricScorer))
        if np.ndim(sample_weight) == 2 and not getattr(scorer, "takes_label_weights", not of_scikit_learn):
            raise ValueError(
                f"scoring={estimator.scoring!r} does not take sample_weight of shape (n_samples, n_labels). Use None, "
                "for the loss, or a scorer of sk_quadrant.metrics, such as multilabel_f1_scorer()."
            )
        return cls(estimator, scorer, (X if estimator.module is None else rows.X, y, sample_weight))

    def on(self, rows: Any) -> ValidationScore:
        """Return the score on some rows, None for all."""
        if rows is None:
            return self
        X, y, weight = (part if part is None else _rows_of(part, rows) for part in self.arrays)
        return replace(self, arrays=(X, y, weight))

    def __call__(self, model: FittedModel) -> dict[str, float]:
        """Return the scores; the first one is monitored.

        Raises
        ------
        ValueError
            If the monitored score is NaN, or the scorer does not take unknown labels.
        """
        X, y, weight = self.arrays
        y = model.encoding.align(y)
        candidate = copy(self.estimator)
        candidate.model_ = model
        try:
            scores = self.scorer(candidate, X, y, **({} if weight is None else {"sample_weight": weight}))
        except ValueError as error:
            if self._encode(model, y).mask is None:
                raise
            raise ValueError(
                f"scoring={self.estimator.scoring!r} does not take the unknown labels (NaN) of the validation "
                f"rows of early_stopping: {error} Use None, for the loss, or a scorer of sk_quadrant.metrics, such as "
                "multilabel_f1_scorer() or 'neg_multilabel_log_loss'."
            ) from error
        named = _named_scores(scores, model.encoding.classes)
        if np.isnan(named["valid_score"]):
            self._refuse_nan(scores, self._encode(model, y), model.encoding.titles)
        return named

    def _encode(self, model: FittedModel, y: Any) -> Targets:
        return model.encoding.encode(y, missing_labels=self.estimator.missing_labels)

    def _refuse_nan(self, scores: Any, targets: Any, names: Any) -> None:
        is_nan = np.ndim(scores) == 1 and len(scores) == len(names)
        labels = names[np.isnan(scores)].tolist() if is_nan else one_class_labels(targets, names)
        raise ValueError(
            f"scoring={self.estimator.scoring!r} is NaN on the {targets.n_samples} validation rows of early_stopping: "
            f"no epoch can be better than another. {_with_one_class(labels)}Use None, for the loss, another scorer, a "
            "larger validation_fraction, or X_val and y_val."
        )


def _rows_of(array: Any, rows: Any) -> Any:
    return array[rows] if isinstance(array, Inputs) else _safe_indexing(array, rows)


def _with_one_class(labels: list[Any]) -> str:
    if not labels:
        return ""
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return f"The score is undefined for labels with a single class there, {labels[:5]}{more}. "


def _by_name(scoring: Any) -> Any:
    """Return scorers for names, of scikit-learn or of this package."""
    if isinstance(scoring, str):
        return get_scorer(scoring)
    if isinstance(scoring, dict):
        return {name: get_scorer(one) for name, one in scoring.items()}
    if isinstance(scoring, (list, tuple)) and all(isinstance(one, str) for one in scoring):
        return {name: get_scorer(name) for name in scoring}
    return scoring


def _named_scores(scores: Any, labels: Any) -> dict[str, float]:
    """Return the result of a scorer by names for the history, the monitored score first."""
    if isinstance(scores, dict):
        named = {f"valid_{name}": float(score) for name, score in scores.items()}
        return {"valid_score": next(iter(named.values())), **named}
    if np.ndim(scores):
        named = {f"valid_score_{label}": float(score) for label, score in zip(labels, scores, strict=True)}
        return {"valid_score": float(np.mean(scores)), **named}
    return {"valid_score": float(scores)}
