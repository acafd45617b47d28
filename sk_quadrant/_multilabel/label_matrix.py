"""y of a meta-estimator: an indicator matrix of any kind, or the two classes of a single label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target

from sk_quadrant._multilabel.masked import masked_as_nan

CONTAINERS: dict[str, Callable[..., Any]] = {"csr_matrix": sparse.csr_matrix, "csr_array": sparse.csr_array}


@dataclass(frozen=True)
class LabelForm:
    """What y looked like, and how predictions are to look.

    Attributes
    ----------
    n_labels : int
        Number of labels.
    classes : ndarray or None
        The one or two classes of 1-D y, None for an indicator matrix.
    container : {"csr_matrix", "csr_array"} or None
        Class of the predictions, in `scipy.sparse`, if y was sparse.
    """

    n_labels: int
    classes: NDArray[Any] | None = None
    container: str | None = None

    @property
    def positive(self) -> Any:
        """The class that the label stands for."""
        return 1 if self.classes is None else self.classes[-1]

    def decode(self, predicted: NDArray[np.bool_]) -> Any:
        """Return predictions in the form of y."""
        if self.container is None:
            return self.decode_dense(predicted)
        return CONTAINERS[self.container](predicted, dtype=np.int64)

    def decode_dense(self, predicted: NDArray[np.bool_]) -> NDArray[Any]:
        """Return predictions in the form of y, as an ndarray."""
        if self.classes is not None:
            return self.classes[predicted[:, 0].astype(np.intp)]
        return predicted.astype(np.int64)


@dataclass(frozen=True)
class LabelMatrix:
    """The labels of all rows.

    Attributes
    ----------
    y : {array-like, CSR matrix, dataframe} of shape (n_samples, n_labels) or (n_samples,)
        Labels as the classifier in a meta-estimator is to see them.
    values : {ndarray, CSR matrix} of shape (n_samples, n_labels)
        Labels as numbers, NaN where unknown.
    form : LabelForm
        What y looked like.
    """

    y: Any
    values: Any
    form: LabelForm

    @property
    def entries(self) -> NDArray[Any]:
        """All values, but for the zeros of a sparse matrix."""
        return np.asarray(self.values.data if sparse.issparse(self.values) else self.values)

    def dense(self, rows: NDArray[np.intp] | None = None) -> NDArray[Any]:
        """Return the values of some rows, None for all."""
        values = self.values if rows is None else self.values[rows]
        return np.asarray(values.toarray() if sparse.issparse(values) else values)

    def is_constant(self, rows: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
        """Return which labels have one known value, or none, in some rows, None for all."""
        values = self.dense(rows)
        return np.asarray(~(np.fmin.reduce(values, axis=0) < np.fmax.reduce(values, axis=0)))


def read_label_matrix(y: Any, *, for_multiclass: str = "") -> LabelMatrix:
    """Return the labels in y.

    Parameters
    ----------
    y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
        Numbers, any of them or NaN, or one or two classes.
    for_multiclass : str, default=""
        What to use for a vector of more classes.
    """
    y = masked_as_nan(y)
    if np.ndim(y) == 1 and not sparse.issparse(y):
        return _read_classes(y, for_multiclass)
    values = check_array(y, accept_sparse="csr", ensure_all_finite="allow-nan", input_name="y")
    container = None
    if sparse.issparse(values):
        values = _without_duplicates(values)
        container = "csr_array" if isinstance(values, sparse.sparray) else "csr_matrix"
    y = y if hasattr(y, "iloc") else values
    return LabelMatrix(_widened(y, values.dtype), values, LabelForm(values.shape[1], container=container))


def _without_duplicates(matrix: Any) -> Any:
    """Return a CSR matrix in which each entry is one number, not a sum of several."""
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _widened(y: Any, dtype: np.dtype[Any]) -> Any:
    # LabelBinarizer, and with it OneVsRestClassifier, permutes the columns of int8 beyond 127 labels
    return y.astype(np.int64) if dtype.kind in "iu" and dtype.itemsize < 8 else y


def _read_classes(y: Any, for_multiclass: str) -> LabelMatrix:
    y_type = type_of_target(y, input_name="y", raise_unknown=True)
    if y_type != "binary":
        raise ValueError(
            f"Only binary classification is supported for y of shape (n_samples,), got a {y_type} target. "
            + (f"Use {for_multiclass} for multiclass targets, or pass" if for_multiclass else "Pass")
            + " the labels as an indicator matrix of shape (n_samples, n_labels)."
        )
    found = np.asarray(y)
    classes = np.unique(found)
    if classes.size == 0:
        raise ValueError("y must have at least one row, got n_samples=0.")
    positive = (found == classes[-1]) & (len(classes) == 2)
    return LabelMatrix(y, positive[:, np.newaxis], LabelForm(1, classes))
