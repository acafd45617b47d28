"""What a fitted classifier tells: how y was encoded, and its own thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._targets.delegation import delegates
from sk_quadrant._targets.encodings import Binary, Encoding, MultiLabel, container_of
from sk_quadrant._targets.label_names import find_label_names
from sk_quadrant._targets.responses import Response


def encoding_of_predictions(classifier: Any, predicted: Any) -> Encoding:
    """Return the encoding of the y that a classifier was fitted to, from a prediction, which has the form of y.

    Raises
    ------
    ValueError
        If it predicts more than two classes of a 1-D y.
    """
    if np.ndim(predicted) == 2:
        return MultiLabel(np.arange(predicted.shape[1]), find_label_names(classifier), container_of(predicted))
    classes = np.asarray(classifier.classes_)
    if len(classes) > 2:
        raise ValueError(
            f"{type(classifier).__name__} must predict labels or one of two classes, got {len(classes)} classes."
        )
    return Binary(classes).named(find_label_names(classifier))


def stated_thresholds(classifier: Any, method: str, encoding: Encoding) -> NDArray[np.float64]:
    """Return the thresholds of a fitted classifier on the scale of a method, or the middle of the scale.

    Parameters
    ----------
    classifier : object
        Fitted classifier; of a pipeline the last step is asked, of a search its best estimator.
    method : {"predict_proba", "decision_function"}
    encoding : Encoding

    Returns
    -------
    ndarray of shape (n_labels,)
    """
    is_probability = method == "predict_proba"
    found = next((found for part in delegates(classifier) if (found := _own(part, method, encoding)) is not None), None)
    middle = Response(np.empty(0), is_probability).middle
    return np.broadcast_to(np.asarray(middle if found is None else found, dtype=np.float64), encoding.n_labels).copy()


def _own(classifier: Any, method: str, encoding: Encoding) -> Any:
    """Return the thresholds that an estimator states on the scale of a method, None if there are none."""
    for name in ("best_threshold_", "threshold_"):
        if getattr(classifier, "response_method_", None) == method and hasattr(classifier, name):
            return getattr(classifier, name)
    model = getattr(classifier, "model_", None)
    if model is None or (method == "decision_function" and encoding.exclusive):  # whose score is 0 at the threshold
        return None
    thresholds = model.threshold if method == "predict_proba" else model.score_threshold
    return model.encoding.decision_thresholds(thresholds)
