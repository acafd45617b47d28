"""Responses, predictions, thresholds and label names of a fitted classifier, for displays."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sk_quadrant._arrays import FloatArray
from sk_quadrant._targets import responses
from sk_quadrant._targets.any_classifier import encoding_of_predictions, stated_thresholds
from sk_quadrant._targets.label_names import align_labels, column_names
from sk_quadrant._targets.responses import RESPONSE_METHODS, Response, delegates, find_label_names, first_method
from sk_quadrant._targets.targets import as_classes, is_label_matrix, is_target_column
from sk_quadrant.displays._panels import check_matplotlib


def check_classifiers(caller: str, *estimators: Any) -> None:
    """Raise unless matplotlib is installed and the estimators are fitted classifiers."""
    check_matplotlib(caller)
    for estimator in estimators:
        if not is_classifier(estimator):
            raise ValueError(f"{caller} only supports classifiers, got {type(estimator).__name__}.")
        check_is_fitted(estimator)


def respond(estimator: Any, X: Any, response_method: str = "auto") -> Response:
    """Return the probabilities of a classifier, or its decision function if it has none."""
    if response_method not in ("auto", *RESPONSE_METHODS):
        raise ValueError(
            f"response_method must be one of auto, {', '.join(RESPONSE_METHODS)}, got {response_method!r}."
        )
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
    Otherwise it is the midpoint between the responses of absent and present labels, or NaN if these overlap, as in a
    chain, which does not predict a label from its own response alone.
    """
    values, predicted = response.values, decisions > 0
    method = "predict_proba" if response.is_probability else "decision_function"
    thresholds = stated_thresholds(estimator, method, values.shape[1])
    agrees = ((values > thresholds) == predicted).mean(axis=0) > 0.999  # rounding may change one at the threshold
    low = np.max(values, axis=0, where=~predicted, initial=-np.inf)
    high = np.min(values, axis=0, where=predicted, initial=np.inf)
    separable = np.isfinite(low) & np.isfinite(high) & (low < high)
    between = np.divide(low + high, 2, out=np.full(len(low), np.nan), where=separable)
    return np.where(agrees, thresholds, between)


def find_attribute(estimator: Any, *names: str) -> Any:
    """Return the first of these attributes found on the estimator or on the one it wraps, else None."""
    found = (getattr(part, name, None) for part in delegates(estimator) for name in names)
    return next((value for value in found if value is not None), None)


def align_to_fit(y: Any, label_names: Any, *estimators: Any) -> tuple[Any, Any]:
    """Return y as labels in the order of fit, and label names: those given, else those of fit.

    Of two classes the second one is the label, as in scikit-learn's displays.
    """
    fitted = _names_in_fit(*estimators)
    for names in fitted:
        y = align_labels(y, names)
    names = fitted[0] if label_names is None and fitted else label_names
    positive = None if y is None or is_label_matrix(y) or is_target_column(y) else _positive_class(y, *estimators)
    if positive is None:
        return y, names
    own = column_names(y)
    default = [positive] if own is None else own
    return (as_classes(y, warn=False) == positive).astype(np.int64), default if names is None else names


def align_weight_to_fit(sample_weight: Any, *estimators: Any) -> Any:
    """Return a DataFrame of weights with its columns in the order of the labels in fit, other weights as they are."""
    for names in _names_in_fit(*estimators):
        sample_weight = align_labels(sample_weight, names, name="sample_weight")
    return sample_weight


def _names_in_fit(*estimators: Any) -> list[Any]:
    """Return the names of labels of the estimators that have them."""
    return [names for names in map(find_label_names, estimators) if names is not None]


def _positive_class(y: Any, *estimators: Any) -> Any:
    """Return the class that counts as present in a y of the two classes of the classifiers; None for other y."""
    pairs = {tuple(np.ravel(estimator.classes_).tolist()) for estimator in estimators if hasattr(estimator, "classes_")}
    pairs = {pair for pair in pairs if len(pair) == 2} - {(0, 1)}
    found = set(as_classes(y, warn=False).tolist()) if pairs else set()
    pairs = {pair for pair in pairs if found <= set(pair)}
    if len({pair[1] for pair in pairs}) > 1:
        raise ValueError(f"The classifiers must have the same classes, got {sorted(pairs)}.")
    return next((pair[1] for pair in pairs), None)
