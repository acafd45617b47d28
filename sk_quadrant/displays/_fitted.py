"""What displays ask of a fitted classifier: its probabilities or scores, its decisions, its cuts, its names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sk_quadrant._targets import RESPONSE_METHODS, Response, first_method, positive_probabilities
from sk_quadrant.displays._labels import Floats, read_labels
from sk_quadrant.displays._panels import check_matplotlib


def check_classifiers(caller: str, *estimators: Any) -> None:
    """Raise unless matplotlib is installed and the estimators are fitted classifiers."""
    check_matplotlib(caller)
    for estimator in estimators:
        if not is_classifier(estimator):
            raise ValueError(f"{caller} only supports classifiers, got {type(estimator).__name__}.")
        check_is_fitted(estimator)


def respond(estimator: Any, X: Any, response_method: str = "auto") -> Response:
    """Return the probabilities of a classifier, or its scores where it has none."""
    if response_method not in ("auto", *RESPONSE_METHODS):
        raise ValueError(
            f"response_method must be one of auto, {', '.join(RESPONSE_METHODS)}, got {response_method!r}."
        )
    methods = RESPONSE_METHODS if response_method == "auto" else (response_method,)
    method = first_method(estimator, methods)
    if method is None:
        raise AttributeError(f"{type(estimator).__name__} has none of: {', '.join(methods)}.")
    answer = getattr(estimator, method)(X)
    if method == "predict_proba":
        return Response(_probabilities(answer, estimator, X), is_probability=True)
    return Response(np.asarray(answer, dtype=np.float64).reshape(len(answer), -1), is_probability=False)


def predict_labels(estimator: Any, X: Any) -> Floats:
    """Return the predicted labels as a dense array of shape (n_samples, n_labels)."""
    return read_labels(estimator.predict(X), parameter="the prediction")


def find_cuts(estimator: Any, response: Response, decisions: Floats) -> Floats:
    """Return the response above which the classifier predicts each label, shape (n_labels,).

    It is what the classifier says, or the middle of the scale, where the decisions agree with it, else what separates
    them; NaN for a label that is not predicted by its own response, as in a chain.
    """
    values, predicted = response.values, decisions > 0
    cuts = _stated_cuts(estimator, response)
    agrees = ((values > cuts) == predicted).mean(axis=0) > 0.999  # rounding may move a decision on the cut itself
    low = np.max(values, axis=0, where=~predicted, initial=-np.inf)
    high = np.min(values, axis=0, where=predicted, initial=np.inf)
    separable = np.isfinite(low) & np.isfinite(high) & (low < high)
    between = np.divide(low + high, 2, out=np.full_like(low, np.nan), where=separable)
    return np.where(agrees, cuts, between)


def _stated_cuts(estimator: Any, response: Response) -> Floats:
    """Return `best_threshold_` or `threshold_` where they are on the scale of the response, else its middle."""
    n_labels = response.values.shape[1]
    cuts = find_attribute(estimator, "best_threshold_", "threshold_")
    method = find_attribute(estimator, "response_method_")  # of a tuned classifier; otherwise probabilities come first
    on_probability = method == "predict_proba" if method else hasattr(estimator, "predict_proba")
    if cuts is None or np.size(cuts) not in (1, n_labels) or on_probability != response.is_probability:
        cuts = response.middle
    return np.broadcast_to(np.asarray(cuts, dtype=np.float64), n_labels)


def find_attribute(estimator: Any, *names: str) -> Any:
    """Return the first of these attributes that the estimator or the one it wraps has, else None."""
    for part in _parts(estimator):
        for name in names:
            if getattr(part, name, None) is not None:
                return getattr(part, name)
    return None


def find_label_names(*estimators: Any) -> Any:
    """Return the label names that the first of the estimators which knows them was fitted on, else None."""
    found = (find_attribute(estimator, "label_names_in_") for estimator in estimators)
    return next((names for names in found if names is not None), None)


def _parts(estimator: Any) -> Iterator[Any]:
    """Yield the estimator, then what it delegates to: the end of a pipeline, the best of a search."""
    while estimator is not None:
        yield estimator
        steps = getattr(estimator, "steps", None)
        estimator = steps[-1][1] if steps else getattr(estimator, "best_estimator_", None)


def _probabilities(answer: Any, estimator: Any, X: Any) -> Floats:
    """Return P(y = 1), one column a label; the columns of an array are classes where y was a vector."""
    one_label = not isinstance(answer, list) and np.ndim(estimator.predict(X[:1])) != 2
    if one_label and np.shape(answer)[1] != 2:
        raise ValueError(
            f"Only binary and multi-label classifiers can be drawn, got one of {np.shape(answer)[1]} classes."
        )
    return np.asarray(positive_probabilities(answer, estimator, one_label=one_label), dtype=np.float64)
