"""Subset accuracy: the share of rows with all labels right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import accuracy_score

from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.weights import check_sample_weight, weigh_rows

if TYPE_CHECKING:
    from sk_quadrant._targets.encodings import Encoding
    from sk_quadrant._targets.targets import Targets


def accuracy(encoding: Encoding, y: Any, predicted: Any, sample_weight: Any, *, missing_labels: str) -> float:
    """Return the share of rows with the right class, or with all known labels right.

    Parameters
    ----------
    encoding : Encoding
        Encoding of y in fit; columns of y are sorted into its order.
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
    predicted : {ndarray, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
        Result of `predict`.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), or None
        Weights; see `weigh_rows` for weights of labels.
    missing_labels : {"error", "ignore"}
        Whether y may hold unknown labels. They are left out, and so are rows without known labels.

    Raises
    ------
    ValueError
        If y has other labels, is soft, or has no known label of positive weight.
    """
    return share_of_right(*count_right(encoding, y, predicted, sample_weight, missing_labels=missing_labels))


def share_of_right(right: float, total: float) -> float:
    """Return the first of two weights divided by the second, which must not be 0."""
    if not total:
        raise ValueError("y must have a row with a known label of positive sample_weight, got none.")
    return float(right / total)


def count_right(
    encoding: Encoding, y: Any, predicted: Any, sample_weight: Any, *, missing_labels: str
) -> tuple[float, float]:
    """Return the weight of the rows that are predicted right, and that of all rows; see `accuracy`."""
    y = LabelArray.of(y).aligned(encoding.label_names)
    if encoding.exclusive and not y.is_target_column:
        return _count_right_classes(encoding, y, predicted, sample_weight)
    targets = encoding.encode(y, missing_labels=missing_labels)
    if targets.is_soft:
        raise ValueError("y must hold 0 and 1 to be compared with predictions, got probabilities.")
    weight = check_sample_weight(
        sample_weight, targets.n_samples, targets.n_labels, names=encoding.label_names, allow_zeros=True
    )
    weight = np.ones(targets.n_samples) if weight is None else weight
    if encoding.exclusive:
        predicted = (predicted == encoding.positive)[:, np.newaxis]
    is_right, weight = _right_rows(targets, predicted, weight)
    return float(weight @ is_right), float(weight.sum())


def _count_right_classes(encoding: Encoding, y: LabelArray, predicted: Any, sample_weight: Any) -> tuple[float, float]:
    true = y.y if y.is_matrix else y.classes()  # accuracy_score refuses a matrix
    n_labels = 1 if encoding.n_labels == 1 else None
    weight = check_sample_weight(sample_weight, len(predicted), n_labels, names=encoding.label_names, allow_zeros=True)
    weight = None if weight is None else weight.ravel()
    right = accuracy_score(true, predicted, normalize=False, sample_weight=weight)
    return float(right), float(len(predicted) if weight is None else weight.sum())


def _right_rows(
    targets: Targets, predicted: Any, weight: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which rows are right in all known labels of positive weight, and the weights of rows."""
    if targets.mask is None and weight.ndim == 1 and sparse.issparse(predicted):  # without a dense matrix
        wrong = sparse.csr_array(targets.values) != sparse.csr_array(predicted.astype(targets.values.dtype))
        return np.asarray(wrong.sum(axis=1)).ravel() == 0, weight
    known = targets.known()
    counted = known if weight.ndim == 1 else known & (weight > 0)
    predicted = predicted.toarray() if sparse.issparse(predicted) else predicted
    return ~((targets.dense() != predicted) & counted).any(axis=1), weigh_rows(weight, known)
