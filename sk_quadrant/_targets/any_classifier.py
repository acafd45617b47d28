"""Any multi-label classifier: the y to fit it to, its encoding and its thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from sk_quadrant._namespaces import in_numpy
from sk_quadrant._targets.encodings import Binary, Encoding, MultiLabel, recognize
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.responses import (
    RESPONSE_METHODS,
    Response,
    delegates,
    find_label_names,
    first_method,
)
from sk_quadrant._targets.targets import Targets


def read_for_any_classifier(y: Any, *, soft: bool, for_multiclass: str = "") -> tuple[Any, Encoding, Targets]:
    """Return y as any multi-label classifier takes it, its encoding and its targets.

    Parameters
    ----------
    y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
        Label matrix, NaN for unknown labels, or one or two classes. A single column is one label.
    soft : bool
        Whether a label matrix may hold probabilities.
    for_multiclass : str, default=""
        Name of the estimator for a multiclass 1-D y, for the error message.

    Returns
    -------
    y : {ndarray, CSR matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
        Integers have 8 bytes, a CSR matrix has no duplicate entries, masked entries are NaN.
    encoding : Encoding
    targets : Targets

    Raises
    ------
    ValueError
        If y has another form.
    """
    labels = LabelArray(y)
    if labels.is_matrix or labels.is_target_column:
        values = _checked_entries(labels, soft)
        return _for_classifier(y, values), recognize(labels), _matrix_targets(values)
    classes = labels.classes()
    _check_binary(classes, for_multiclass)
    encoding = recognize(labels, min_classes=1)
    targets = encoding.encode(labels, missing_labels="error")
    if labels.is_label_column and (hasattr(y, "columns") or sparse.issparse(y)):
        return _for_classifier(y, _checked_entries(labels, soft)), encoding, targets
    return classes if np.ndim(y) == 2 else y, encoding, targets


def _for_classifier(y: Any, values: Any) -> Any:
    """Return a DataFrame with numbers of 8 bytes, NaN where a label is unknown, and anything else as an array."""
    if values.dtype.kind in "iu" and values.dtype.itemsize < 8:
        # LabelBinarizer, and with it OneVsRestClassifier, permutes the columns of int8 beyond 127 labels
        values = values.astype(np.int64)
    if not hasattr(y, "columns"):
        return values
    if not hasattr(y, "iloc"):
        return type(y)(values, schema=list(y.columns))
    if all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in y.dtypes):
        return y.astype(values.dtype) if values.dtype.kind in "iu" else y
    return type(y)(values, index=y.index, columns=y.columns)


def _check_binary(y: Any, for_multiclass: str) -> None:
    y_type = type_of_target(y, input_name="y", raise_unknown=True)
    if y_type != "binary":
        raise ValueError(
            f"Only binary classification is supported for y of shape (n_samples,), got a {y_type} target. "
            + (f"Use {for_multiclass} for multiclass targets, or pass" if for_multiclass else "Pass")
            + " the labels as an indicator matrix of shape (n_samples, n_labels)."
        )


def _checked_entries(labels: LabelArray, soft: bool) -> Any:
    """Return label columns as a CSR matrix without duplicate entries, or as an array."""
    values: Any = labels.y.tocsr() if sparse.issparse(labels.y) else labels.numbers
    if sparse.issparse(values) and not values.has_canonical_format:
        values = values.copy()
        values.sum_duplicates()
    entries = values.data if sparse.issparse(values) else values
    is_allowed = (entries >= 0) & (entries <= 1) if soft else (entries == 0) | (entries == 1)
    others = entries[~(is_allowed | np.isnan(entries))]
    if others.size:
        allowed_values = "with values in [0, 1]" if soft else "of 0 and 1"
        raise ValueError(
            f"y must be an indicator matrix of shape (n_samples, n_labels) {allowed_values}, or NaN where a label is "
            f"unknown, got values from {others.min()} to {others.max()}."
        )
    return values


def _matrix_targets(values: Any) -> Targets:
    if sparse.issparse(values) and not ((values.data == 0) | (values.data == 1)).all():
        values = values.toarray()  # sparse targets hold neither NaN nor probabilities
    return LabelArray(values).targets()


def encoding_of_predictions(classifier: Any, predicted: Any) -> Encoding:
    """Return the encoding of y in the fit of a classifier, from a prediction, which has the form of y.

    Raises
    ------
    ValueError
        If it predicts more than two classes of a 1-D y.
    """
    if np.ndim(predicted) == 2:
        return MultiLabel(np.arange(predicted.shape[1]), find_label_names(classifier), LabelArray(predicted).container)
    classes = np.asarray(classifier.classes_)
    if len(classes) > 2:
        raise ValueError(
            f"The classifier must predict labels or one of two classes, got a {type(classifier).__name__} of "
            f"{len(classes)} classes that exclude each other."
        )
    return Binary(classes).named(find_label_names(classifier))


def stated_thresholds(classifier: Any, method: str, n_labels: int) -> NDArray[np.float64]:
    """Return the thresholds of a fitted classifier for the values of a method; 1/2 or 0 if it has none.

    Parameters
    ----------
    classifier : object
        Fitted classifier; for a pipeline its last step, for a search its best estimator.
    method : {"predict_proba", "decision_function"}
    n_labels : int

    Returns
    -------
    ndarray of shape (n_labels,)
    """
    own = (in_numpy(_own_thresholds(part, method)) for part in delegates(classifier))
    fitting = (each for each in own if each is not None and np.size(each) in (1, n_labels))
    middle = Response(np.empty(0), method == "predict_proba").middle
    return np.broadcast_to(np.asarray(next(fitting, middle), dtype=np.float64), n_labels).copy()


def _own_thresholds(classifier: Any, method: str) -> Any:
    """Return the thresholds of an estimator for the values of a method, None if there are none."""
    model = getattr(classifier, "model_", None)
    if model is not None and method == "decision_function":
        return None if model.encoding.exclusive else model.encoding.decision_thresholds(model.score_threshold)
    if model is not None:
        return model.encoding.decision_thresholds(model.threshold)
    # as in scikit-learn, the first method there is unless the classifier names another one
    named = getattr(classifier, "response_method_", getattr(classifier, "response_method", "auto"))
    if (first_method(classifier, RESPONSE_METHODS) if named == "auto" else named) != method:
        return None
    return getattr(classifier, "best_threshold_", getattr(classifier, "threshold_", None))
