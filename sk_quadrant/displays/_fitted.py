"""Responses, predictions, thresholds and labels of a fitted classifier, for displays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sk_quadrant._arrays import FloatArray
from sk_quadrant._targets import responses
from sk_quadrant._targets.any_classifier import encoding_of_predictions, stated_thresholds
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.label_names import are_compatible, column_names, listed
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.responses import RESPONSE_METHODS, Response, delegates, first_method
from sk_quadrant.displays._panels import check_choices


def check_classifier(estimator: Any, caller: str) -> None:
    """Raise unless an estimator is a fitted classifier."""
    if not is_classifier(estimator):
        raise ValueError(f"{caller} only supports classifiers, got {type(estimator).__name__}.")
    check_is_fitted(estimator)


def align_to_fit(estimators: Sequence[Any], X: Any, y: Any, label_names: Any) -> tuple[Encoding, Any, Any]:
    """Return the encoding of y in the fit of classifiers, y as labels in its order, and their names, None without any.

    Of two classes the second one is the label, as in scikit-learn's displays.
    """
    encodings = [encoding_of_predictions(estimator, estimator.predict(X[:1])) for estimator in estimators]
    encoding = max(encodings, key=lambda each: each.label_names is not None).named(column_names(y))
    for each in encodings:
        if each.positive != encoding.positive or not are_compatible(each.label_names, encoding.label_names):
            raise ValueError(
                "The classifiers must have the same labels in the same order, got "
                f"{listed(encoding.titles)} and {listed(each.titles)}."
            )
    if label_names is None:
        label_names = encoding.label_names if encoding.positive == 1 else encoding.titles
    y = encoding.align(y)
    if y is not None and encoding.exclusive and encoding.classes.tolist() != [0, 1]:
        y = encoding.encode(LabelArray(y).classes(), missing_labels="error").values
    return encoding, y, label_names


def respond(estimator: Any, X: Any, response_method: str = "auto") -> Response:
    """Return the probabilities of a classifier, or its decision function if it has none."""
    check_choices("response_method", [response_method], ("auto", *RESPONSE_METHODS))
    methods = RESPONSE_METHODS if response_method == "auto" else (response_method,)
    method = first_method(estimator, methods)
    if method is None:
        raise AttributeError(f"{type(estimator).__name__} has none of: {', '.join(methods)}.")
    return responses.respond(estimator, X, method, encoding_of_predictions(estimator, estimator.predict(X[:1])))


def predict_labels(estimator: Any, X: Any) -> FloatArray:
    """Return the predicted labels as a dense array of shape (n_samples, n_labels)."""
    predicted = estimator.predict(X)
    labels = encoding_of_predictions(estimator, predicted).encode(predicted, missing_labels="error")
    return labels.dense().astype(np.float64)


def find_thresholds(estimator: Any, response: Response, decisions: FloatArray) -> FloatArray:
    """Return the response above which the classifier predicts each label, shape (n_labels,).

    It is the threshold of the classifier, or 1/2 of a probability and 0 of a score, if the decisions agree with it.
    Otherwise it is the midpoint between the responses of absent and present labels, infinite if there are only absent
    or only present ones, or NaN if these overlap, as in a chain, which does not predict a label from its own response
    alone.
    """
    values, predicted = response.values, decisions > 0
    method = "predict_proba" if response.is_probability else "decision_function"
    thresholds = stated_thresholds(estimator, method, values.shape[1])
    agrees = ((values > thresholds) == predicted).mean(axis=0) > 0.999  # rounding may change one at the threshold
    low = np.max(values, axis=0, where=~predicted, initial=-np.inf)
    high = np.min(values, axis=0, where=predicted, initial=np.inf)
    between = np.where(low < high, (low + high) / 2, np.nan)
    return np.where(agrees, thresholds, between)


def find_attribute(estimator: Any, *names: str, otherwise: str = "") -> Any:
    """Return the first of these attributes found on the estimator or on the one it wraps.

    Without any, return None, or raise a ValueError that says what to do `otherwise`.
    """
    found = (getattr(part, name, None) for part in delegates(estimator) for name in names)
    value = next((value for value in found if value is not None), None)
    if value is None and otherwise:
        raise ValueError(f"{type(estimator).__name__} has no {' or '.join(names)}; fit it, or {otherwise}.")
    return value
