"""Responses of any classifier: scores or probabilities, one column per label, and names of its labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples

from sk_quadrant._namespaces import in_numpy

if TYPE_CHECKING:
    from sk_quadrant._targets.encodings import Encoding

RESPONSE_METHODS = ("predict_proba", "decision_function")
INNER_ESTIMATORS = ("best_estimator_", "estimator_")  # of searches and of meta-estimators


@dataclass(frozen=True)
class Response:
    """Response of a classifier.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_labels)
        Probabilities, or scores of the decision function.
    is_probability : bool
        Whether they are probabilities.
    """

    values: NDArray[Any]
    is_probability: bool

    @property
    def name(self) -> str:
        """Name of the response, for an axis."""
        return "probability" if self.is_probability else "decision function"

    @property
    def middle(self) -> float:
        """Threshold of a classifier that has none of its own."""
        return 0.5 if self.is_probability else 0.0


def delegates(estimator: Any, inner: Sequence[str] = ("best_estimator_",)) -> Iterator[Any]:
    """Yield an estimator and those that it delegates to, by the attributes of `inner` where it is no pipeline."""
    while estimator is not None:
        yield estimator
        steps = getattr(estimator, "steps", None)
        found = (getattr(estimator, name, None) for name in inner)
        estimator = steps[-1][1] if steps else next((each for each in found if each is not None), None)


def find_label_names(estimator: Any) -> NDArray[np.object_] | None:
    """Return `label_names_in_` of a fitted estimator, the last step of a pipeline or the best estimator of a search."""
    found = (getattr(part, "label_names_in_", None) for part in delegates(estimator, INNER_ESTIMATORS))
    return next((np.asarray(names, dtype=object) for names in found if names is not None), None)


def first_method(estimator: Any, methods: Sequence[str]) -> str | None:
    """Return the first of the methods that an estimator has, else None."""
    return next((method for method in methods if hasattr(estimator, method)), None)


def respond(estimator: Any, X: Any, method: str, encoding: Encoding) -> Response:
    """Return the result of `predict_proba` or `decision_function`, one column per label of an encoding.

    Raises
    ------
    ValueError
        If there is not one score per label, or a score is NaN.
    """
    answer = in_numpy(getattr(estimator, method)(X))
    is_probability = method == "predict_proba"
    if is_probability:
        is_one = encoding.n_labels == 1 and not _is_of_label(estimator, X, answer)
        answer = positive_probabilities(answer, estimator, positive=encoding.positive, one_label=is_one)
    values = check_array(
        answer, ensure_2d=False, dtype=[np.float64, np.float32], ensure_all_finite=False, ensure_min_samples=0
    )
    values = values[:, np.newaxis] if values.ndim == 1 else values
    source, expected = f"{type(estimator).__name__}.{method}", (_num_samples(X), encoding.n_labels)
    if values.shape != expected:
        raise ValueError(f"{source} must give one score a label, shape {expected}, got shape {values.shape}.")
    n_nan = int(np.isnan(values).sum())
    if n_nan:
        raise ValueError(f"{source} must not give NaN, got {n_nan} NaN among {values.size} scores.")
    return Response(values, is_probability)


def _is_of_label(estimator: Any, X: Any, answer: Any) -> bool:
    """Whether a single column of probabilities is that of the label, rather than of the only class in training."""
    if np.ndim(answer) != 2 or answer.shape[1] != 1 or not len(answer):
        return np.ndim(answer) == 1
    return np.ndim(estimator.predict(_safe_indexing(X, [0]))) == 2


def positive_probabilities(answer: Any, estimator: Any, *, positive: Any = 1, one_label: bool = False) -> NDArray[Any]:
    """Return the probability of each label, from any form of `predict_proba`.

    Parameters
    ----------
    answer : ndarray or list of ndarray
        Probabilities of the labels; of the classes of the single label if `one_label`; or a list with those of the
        classes of each label.
    estimator : object
        Classifier; its `classes_` show which class is missing.
    positive : object, default=1
        Class of a present label.
    one_label : bool, default=False
        Whether the columns of an array are the classes of a single label.
    """
    classes = getattr(estimator, "classes_", None)
    if isinstance(answer, list):
        each = [None] * len(answer) if classes is None else classes
        return np.column_stack([_column(in_numpy(p), c, positive) for p, c in zip(answer, each, strict=True)])
    answer = in_numpy(answer)
    return _column(answer, classes, positive)[:, np.newaxis] if one_label else np.asarray(answer)


def _column(proba: Any, classes: Any, positive: Any) -> NDArray[Any]:
    """Return the probability of the positive class, 0 if it was not in the training data."""
    if proba.shape[1] == 2:
        return np.asarray(proba[:, 1])
    if classes is None:
        raise ValueError("estimator must have classes_ to tell which class a single column of predict_proba is for.")
    return np.asarray(np.asarray(proba)[:, np.asarray(classes) == positive].sum(axis=1))
