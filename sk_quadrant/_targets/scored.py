"""Targets, scores and sample weights of metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from sk_quadrant._arrays import masked_as_nan, row_blocks
from sk_quadrant._namespaces import Namespace, in_numpy
from sk_quadrant._targets.label_names import align_labels, column_names
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.responses import positive_probabilities
from sk_quadrant._targets.weights import check_sample_weight, weigh_rows

if TYPE_CHECKING:
    from sk_quadrant._targets.targets import Targets

BLOCK_ENTRIES = 2**18  # 2 MB of float64: the temporary arrays of a block of rows stay in the cache


@dataclass(frozen=True)
class ScoredTargets:
    """Targets and scores, dense arrays of shape (n_samples, n_labels).

    `known` is False for unknown labels and labels of weight 0, whose `targets` are 0; `sample_weight` has shape
    (n_samples,) or (n_samples, n_labels). `namespace` is that of the scores before they became a NumPy array.
    """

    targets: NDArray[Any]
    known: NDArray[np.bool_]
    scores: NDArray[Any]
    sample_weight: NDArray[np.float64]
    namespace: Namespace | None = None

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.targets.shape[1])

    @property
    def weight(self) -> NDArray[np.float64]:
        """Weight of each entry, 0 where the target is unknown."""
        return self.sample_weight.reshape(len(self.known), -1) * self.known

    @property
    def row_weight(self) -> NDArray[np.float64]:
        """Weight of each row in a mean over rows, 0 where no target is known."""
        return weigh_rows(self.sample_weight, self.known)

    def check_k(self, k: int) -> None:
        """Raise a ValueError if there are fewer labels than the k highest scores of a row."""
        if k > self.n_labels:
            raise ValueError(f"k must be at most the number of labels, {self.n_labels}, got k={k}.")

    def row_blocks(self) -> Iterator[ScoredTargets]:
        """Yield consecutive blocks of rows that fit in the cache."""
        n_samples, n_labels = self.targets.shape
        for rows in row_blocks(n_samples, max(1, BLOCK_ENTRIES // n_labels)):
            yield ScoredTargets(self.targets[rows], self.known[rows], self.scores[rows], self.sample_weight[rows])


def check_ranked_targets(
    y_true: Any, y_score: Any, sample_weight: Any, *, name: str = "y_score", of: str = "y_true"
) -> ScoredTargets:
    """Check 0/1 targets and scores, which may be infinite."""
    inputs = _check(y_true, y_score, sample_weight, name=name, of=of)
    is_soft = (inputs.targets > 0) & (inputs.targets < 1)
    if is_soft.any():
        raise ValueError(f"{of} must hold 0 and 1, or NaN for an unknown label, got {inputs.targets[is_soft][0]}.")
    return inputs


def check_probabilistic_targets(y_true: Any, y_proba: Any, sample_weight: Any) -> ScoredTargets:
    """Check targets in [0, 1] and probabilities."""
    inputs = _check(y_true, y_proba, sample_weight, name="y_proba")
    low, high = inputs.scores.min(), inputs.scores.max()
    if low < 0 or high > 1:
        wrong = low if low < 0 else high
        raise ValueError(f"y_proba must hold probabilities in [0, 1], as predict_proba returns them, got {wrong}.")
    return inputs


def check_predicted_targets(y_true: Any, y_pred: Any, sample_weight: Any) -> ScoredTargets:
    """Check 0/1 targets and 0/1 predictions."""
    inputs = check_ranked_targets(y_true, y_pred, sample_weight, name="y_pred")
    is_other = (inputs.scores != 0) & (inputs.scores != 1)
    if is_other.any():
        raise ValueError(f"y_pred must hold 0 and 1, as predict returns them, got {inputs.scores[is_other][0]}.")
    return inputs


def _check(y_true: Any, y_score: Any, sample_weight: Any, *, name: str, of: str = "y_true") -> ScoredTargets:
    namespace, y_true, y_score = Namespace.of(y_score), in_numpy(y_true), in_numpy(y_score)
    targets = _check_targets(y_true, of)
    names = column_names(y_true)
    scores = _check_scores(align_labels(y_score, names, name=name, of=of), name, targets.values.shape, of)
    weight = check_sample_weight(sample_weight, targets.n_samples, targets.n_labels, names=names)
    weight = np.ones(targets.n_samples) if weight is None else weight
    entry_weight = weight.reshape(targets.n_samples, -1)
    known = targets.known() if weight.ndim == 1 else targets.known() & (entry_weight > 0)
    if not known[entry_weight.any(axis=1)].any():
        raise ValueError(f"{of} must hold a known label in a row of positive sample_weight, got none.")
    values = targets.values if weight.ndim == 1 else targets.values * known
    return ScoredTargets(values, known, scores, weight, namespace)


def _check_targets(y_true: Any, name: str) -> Targets:
    """Return the targets of a label matrix, or of one label."""
    y_true = y_true.toarray() if sparse.issparse(y_true) else y_true
    labels = LabelArray(y_true, name)
    if len(labels.shape) == 1:
        column = y_true.to_frame() if hasattr(y_true, "to_frame") else np.asarray(masked_as_nan(y_true))[:, np.newaxis]
        labels = LabelArray(column, name)
    return labels.targets()


def _check_scores(y_score: Any, name: str, shape: tuple[int, ...], of: str) -> NDArray[Any]:
    """Return scores of the shape of the targets; a list with the probabilities of each label is stacked."""
    if isinstance(y_score, (list, tuple)) and any(np.ndim(label_scores) == 2 for label_scores in y_score):
        _check_two_columns(y_score, name)
        y_score = positive_probabilities([np.asarray(in_numpy(label_scores)) for label_scores in y_score], None)
    y_score = y_score.toarray() if sparse.issparse(y_score) else masked_as_nan(y_score)
    try:
        scores = check_array(
            y_score, dtype=[np.float64, np.float32], ensure_2d=False, ensure_all_finite=False, input_name=name
        )
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if shape[1] == 1 and scores.shape in ((shape[0],), (shape[0], 2)):  # of a 1-D y: scores, or those of two classes
        scores = scores.reshape(shape[0], -1)[:, -1:]
    if scores.shape != shape:
        raise ValueError(f"{name} must have the shape of {of}, {shape}, got {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"{name} must not hold NaN. Mark unknown labels by NaN in {of}; their scores are ignored.")
    return np.asarray(scores)


def _check_two_columns(label_scores: Any, name: str) -> None:
    """Raise a ValueError unless each label has probabilities of 0 and of 1."""
    for label, shape in enumerate(map(np.shape, label_scores)):
        if len(shape) != 2 or shape[1] != 2:
            raise ValueError(
                f"{name} must be an array of shape (n_samples, n_labels) or a list of n_labels arrays of shape "
                f"(n_samples, 2), got {name}[{label}] of shape {shape}. If the label had one class in training, use "
                "the scorers of sk_quadrant.metrics, which read classes_."
            )
