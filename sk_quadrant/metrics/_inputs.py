"""What the metrics accept: targets, scores and sample weights, checked and brought to one form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, gen_batches

from sk_quadrant._targets import masked_as_nan

BLOCK_ENTRIES = 2**18  # 2 MB of float64: the temporary arrays of a block of rows stay in the cache


@dataclass(frozen=True)
class ScoredTargets:
    """Targets next to their scores, in dense arrays of shape (n_samples, n_labels).

    Scores are dense, so dense targets cost no more. `targets` are 0 where `known` is False; `sample_weight` has shape
    (n_samples,).
    """

    targets: NDArray[Any]
    known: NDArray[np.bool_]
    scores: NDArray[Any]
    sample_weight: NDArray[np.float64]

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.targets.shape[1])

    @property
    def weight(self) -> NDArray[np.float64]:
        """Weight of each entry, 0 where the target is unknown."""
        return self.sample_weight[:, np.newaxis] * self.known

    def row_blocks(self) -> Iterator[ScoredTargets]:
        """Yield the rows in order, in blocks that fit in the cache."""
        n_samples, n_labels = self.targets.shape
        for rows in gen_batches(n_samples, max(1, BLOCK_ENTRIES // n_labels)):
            yield ScoredTargets(self.targets[rows], self.known[rows], self.scores[rows], self.sample_weight[rows])


def check_ranked_targets(y_true: Any, y_score: Any, sample_weight: Any) -> ScoredTargets:
    """Check 0/1 targets and scores that order the labels of a row; infinite scores are in order."""
    targets, known = _check_targets(y_true)
    if not _is_zero_or_one(targets).all():
        wrong = targets[~_is_zero_or_one(targets)][0]
        raise ValueError(f"y_true must hold 0 and 1, or NaN for an unknown label, got {wrong}.")
    scores = _check_scores(y_score, "y_score", targets.shape)
    return ScoredTargets(targets, known, scores, _check_sample_weight(sample_weight, known))


def check_probabilistic_targets(y_true: Any, y_proba: Any, sample_weight: Any) -> ScoredTargets:
    """Check targets in [0, 1] and probabilities."""
    targets, known = _check_targets(y_true)
    _check_unit_interval(targets, "y_true must hold 0 and 1, probabilities, or NaN for an unknown label")
    scores = _check_scores(y_proba, "y_proba", targets.shape)
    _check_unit_interval(scores, "y_proba must hold probabilities, as predict_proba gives them")
    return ScoredTargets(targets, known, scores, _check_sample_weight(sample_weight, known))


def _check_targets(y_true: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return dense targets, 0 where unknown, and the mask of the known ones."""
    targets: Any = check_array(
        masked_as_nan(y_true), accept_sparse=True, ensure_2d=False, ensure_all_finite=False, input_name="y_true"
    )
    if targets.ndim != 2:
        raise ValueError(
            f"y_true must be a label indicator array of shape (n_samples, n_labels), got shape {targets.shape}. "
            "Metrics for one label or for exclusive classes are in sklearn.metrics."
        )
    if hasattr(targets, "toarray"):
        targets = targets.toarray()
    if targets.dtype.kind == "f" and np.isnan(targets).any():
        known = ~np.isnan(targets)
        return np.where(known, targets, 0), known
    return targets, np.broadcast_to(np.True_, targets.shape)


def _is_zero_or_one(targets: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((targets == 0) | (targets == 1))


def _check_unit_interval(values: NDArray[Any], requirement: str) -> None:
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        raise ValueError(f"{requirement}: values in [0, 1], got {low if low < 0 else high}.")


def _check_scores(y_score: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the scores of the labels, stacked where each label came with an array of its own."""
    if isinstance(y_score, (list, tuple)) and any(np.ndim(label_scores) == 2 for label_scores in y_score):
        y_score = _positive_columns(y_score, name)
    scores: NDArray[Any] = check_array(
        masked_as_nan(y_score),
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        ensure_all_finite=False,
        input_name=name,
    )
    if scores.shape != shape:
        raise ValueError(f"{name} must have the shape of y_true, {shape}, got {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"{name} must not hold NaN. An unknown label is NaN in y_true and has any score.")
    return scores


def _positive_columns(label_probabilities: Any, name: str) -> NDArray[Any]:
    """Stack the second columns of the (n_samples, 2) arrays that multi-output classifiers give."""
    for label, probabilities in enumerate(label_probabilities):
        if np.ndim(probabilities) != 2 or np.shape(probabilities)[1] != 2:
            raise ValueError(
                f"{name} must be an array of shape (n_samples, n_labels) or a list of n_labels arrays of shape "
                f"(n_samples, 2), got {name}[{label}] of shape {np.shape(probabilities)}. The classifier may have seen "
                "one class only of that label; the scorers of sk_quadrant.metrics read which one from classes_."
            )
    return np.column_stack([np.asarray(probabilities)[:, 1] for probabilities in label_probabilities])


def _check_sample_weight(sample_weight: Any, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return one weight a row; at least one row with a known label must have one above 0."""
    n_samples = len(known)
    if sample_weight is None:
        weight = np.ones(n_samples)
    else:
        weight = check_array(
            masked_as_nan(sample_weight), dtype=np.float64, ensure_2d=False, input_name="sample_weight"
        )
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight must have shape (n_samples,) = ({n_samples},), got {weight.shape}.")
    if weight.min() < 0:
        raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
    if not known[weight > 0].any():
        raise ValueError("y_true must hold a known label in a row of positive sample_weight, got none.")
    return weight
