"""What y may be, and how it becomes targets of a loss and back."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from sk_quadrant._targets import masked_as_nan


@dataclass(frozen=True)
class Targets:
    """Targets of a multi-label loss, one column a label.

    Attributes
    ----------
    values : ndarray or sparse CSC array of shape (n_samples, n_labels)
        Hard targets as uint8, soft ones as float32 or float64; unknown ones are 0.
    mask : bool ndarray of shape (n_samples, n_labels) or None
        True where the target is known, None if all are.
    weight : float64 ndarray of shape (n_samples,) or (n_samples, n_labels), or None
        Sample weights and class weights together, None if all are 1.
    """

    values: Any
    mask: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.values.shape[1])

    @property
    def is_soft(self) -> bool:
        """Whether targets are probabilities rather than 0 and 1."""
        return bool(self.values.dtype.kind == "f")

    def frequency(self) -> NDArray[np.float64]:
        """Return the unweighted mean target of each label over its known rows."""
        known = self.n_samples if self.mask is None else self.mask.sum(axis=0)
        total = np.asarray(self.values.sum(axis=0, dtype=np.float64)).ravel()
        return np.asarray(total / np.maximum(known, 1), dtype=np.float64)


@dataclass(frozen=True)
class LabelEncoding:
    """What was seen in y, enough to read another y and to write predictions.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel"}
        1-D y of two classes (one column of targets), 1-D y of more (one column a class), or a matrix of labels.
    classes : ndarray of shape (n_classes,)
        Classes of a 1-D y, or ``arange(n_labels)``.
    sparse_output : bool
        Whether y was sparse, so that predictions are.
    label_names : ndarray of shape (n_labels,) of str or None
        Columns of a DataFrame y.
    """

    kind: str
    classes: NDArray[Any]
    sparse_output: bool = False
    label_names: NDArray[np.object_] | None = None

    @property
    def n_labels(self) -> int:
        """Number of columns of targets."""
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Any, *, missing_labels: str) -> Targets:
        """Return the targets of y.

        Raises
        ------
        ValueError
            If y is not of the kind seen first.
        """
        if self.kind == "multilabel":
            targets = encode_matrix(y, missing_labels=missing_labels)
            self.check_same(LabelEncoding("multilabel", np.arange(targets.n_labels), label_names=_names(y)))
            return targets
        y = as_classes(y)
        unseen = np.setdiff1d(y, self.classes)
        if len(unseen):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. classes_ has {self.classes}, y has new {unseen}."
            )
        columns = self.classes[1:] if self.kind == "binary" else self.classes
        return Targets((y[:, None] == columns).astype(np.uint8))

    def check_same(self, other: LabelEncoding) -> None:
        """Raise a ValueError unless another y has the same classes or labels in the same order."""
        if self._description() != other._description():
            raise ValueError(f"y must have {self._description()} as in the first call, got {other._description()}.")
        if self.label_names is not None and other.label_names is not None:
            first, names = self.label_names.tolist(), other.label_names.tolist()
            if first != names:
                raise ValueError(f"y must have the columns of the first call in their order, {first}, got {names}.")

    def _description(self) -> str:
        return f"{len(self.classes)} labels" if self.kind == "multilabel" else f"the classes {self.classes.tolist()}"

    def decode(self, decisions: NDArray[np.bool_], scores: Any) -> Any:
        """Return the predicted classes of a 1-D y.

        Parameters
        ----------
        decisions : bool ndarray of shape (n_samples, n_columns)
            Whether each score is above its threshold; used for two classes.
        scores : ndarray of shape (n_samples, n_columns)
            Scores; used for more than two classes.
        """
        return self.classes[decisions[:, 0].astype(np.intp) if self.kind == "binary" else scores.argmax(axis=1)]

    def centre(self, scores: Any, cut: NDArray[np.float64]) -> Any:
        """Return the scores as a decision function: of two classes, 1-D and positive where the second is predicted."""
        return (scores - cut)[:, 0].astype(scores.dtype) if self.kind == "binary" else scores

    def stack(self, blocks: Iterable[NDArray[np.bool_]]) -> Any:
        """Return the predicted label matrix, given the decisions of blocks of rows."""
        if self.sparse_output:
            return sparse.vstack([sparse.csr_matrix(block, dtype=np.int64) for block in blocks], format="csr")
        return np.concatenate(list(blocks), dtype=np.int64)

    def complete(self, probabilities: Any) -> Any:
        """Return the probabilities of all classes, given those of the columns of targets."""
        if self.kind == "binary":
            return np.hstack([1 - probabilities, probabilities])
        if self.kind == "multiclass":
            return probabilities / probabilities.sum(axis=1, keepdims=True)
        return probabilities


def read_targets(y: Any, *, missing_labels: str, classes: Any = None) -> tuple[LabelEncoding, Targets]:
    """Return the encoding of y and its targets.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
    missing_labels : {"error", "ignore"}
        What NaN in a label matrix means: a mistake, or an unknown label.
    classes : array-like, default=None
        All classes of a 1-D y, where y need not hold them all; for a label matrix ``arange(n_labels)``.

    Raises
    ------
    ValueError
        If y is not 0/1, not a probability, has one class only, or is not a classification target.
    """
    if not is_label_matrix(y):
        y = as_classes(y)
    encoding = recognise(y, classes)
    return encoding, encoding.encode(y, missing_labels=missing_labels)


def recognise(y: Any, classes: Any = None) -> LabelEncoding:
    """Return the encoding of y; see `read_targets`."""
    if is_label_matrix(y):
        matrix = y if hasattr(y, "shape") else np.asarray(y)
        _check_shape(matrix)
        n_labels = matrix.shape[1]
        if classes is not None and not np.array_equal(np.unique(classes), np.arange(n_labels)):
            raise ValueError(
                f"classes must be None or arange({n_labels}) for a y of {n_labels} labels, got {classes!r}."
            )
        return LabelEncoding("multilabel", np.arange(n_labels), sparse.issparse(y), _names(y))
    found, _ = count_classes(y if classes is None else np.asarray(classes))
    check_classification_targets(y)
    if len(found) < 2:
        raise ValueError(f"y must have at least 2 classes, got 1 class: {found.tolist()}.")
    return LabelEncoding("binary" if len(found) == 2 else "multiclass", found)


def _names(y: Any) -> NDArray[np.object_] | None:
    return np.asarray(y.columns, dtype=object) if hasattr(y, "columns") else None


def is_label_matrix(y: Any) -> bool:
    """Whether y is read as one column a label.

    A single column counts as 1-D unless it is sparse, a DataFrame, or holds floats that are no classes (soft, unknown).
    """
    if sparse.issparse(y) or hasattr(y, "columns"):
        return True
    values = _as_array(y)
    if values.ndim != 2 or values.shape[1] != 1:
        return values.ndim == 2
    return bool(values.dtype.kind == "f" and not (values == np.floor(values)).all())


def _as_array(y: Any) -> NDArray[Any]:
    try:
        return np.asarray(masked_as_nan(y))
    except ValueError:
        raise ValueError(
            "y must be 1-D or have rows of one length, got rows of different lengths. Turn lists of labels into a "
            "matrix by sklearn.preprocessing.MultiLabelBinarizer."
        ) from None


def as_classes(y: Any) -> NDArray[Any]:
    """Return a y that is no label matrix as an array of shape (n_samples,)."""
    shape = _as_array(y).shape
    if len(shape) not in (1, 2):
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_labels), got {shape}.")
    y = column_or_1d(masked_as_nan(y), warn=True)
    if (y.dtype.kind == "f" and np.isnan(y).any()) or (y.dtype.kind == "O" and any(map(_is_missing, y))):
        raise ValueError(
            "Input y contains NaN, and a class cannot be unknown. Drop these rows, or pass y with shape (n_samples, "
            "n_labels) and missing_labels='ignore'."
        )
    assert_all_finite(y, input_name="y")
    return np.asarray(y)


def _is_missing(value: Any) -> bool:
    return value is None or bool(is_scalar_nan(value)) or bool(is_pandas_na(value))


def count_classes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the classes in a 1-D y, sorted, and the rows of each."""
    try:
        classes, counts = np.unique(y, return_counts=True)
    except TypeError as error:
        raise ValueError(f"y must hold classes of one type, which can be sorted: {error}.") from error
    return classes, counts


def encode_matrix(y: Any, *, missing_labels: str) -> Targets:
    """Return the targets of a label matrix."""
    if sparse.issparse(y):
        return _encode_sparse(y)
    y = _as_numbers(y)
    mask = None
    if y.dtype.kind == "f" and np.isnan(y).any():
        if missing_labels != "ignore":
            raise ValueError("Input y contains NaN. Pass missing_labels='ignore' if NaN means that a label is unknown.")
        mask = ~np.isnan(y)
        y = np.where(mask, y, 0)
    _check_range(y)
    if y.dtype.kind == "f" and not ((y == 0) | (y == 1)).all():
        return Targets(y, mask)
    return Targets(y.astype(np.uint8), mask)


def _as_numbers(y: Any) -> NDArray[Any]:
    """Return a label matrix as a numeric array, NaN where pandas has NA."""
    values = _as_array(_without_missing_values_of_pandas(y))
    _check_shape(values)
    if values.dtype.kind == "f":
        return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
    if values.dtype.kind in "biu":
        return values
    if values.dtype.kind == "O" and not any(isinstance(value, str) for value in values.flat):
        with suppress(TypeError, ValueError):
            return values.astype(np.float64)
    raise ValueError(f"y must hold numbers in [0, 1] when it has several columns, got {values.dtype} values.")


def _without_missing_values_of_pandas(y: Any) -> Any:
    if not (hasattr(y, "isna") and y.isna().any(axis=None)):
        return y
    are_numbers = all(getattr(dtype, "kind", "O") in "biuf" for dtype in y.dtypes)
    return y.to_numpy(np.float64 if are_numbers else object, na_value=np.nan)


def _check_shape(y: Any) -> None:
    if len(y.shape) != 2 or 0 in y.shape:
        raise ValueError(f"y must have shape (n_samples, n_labels), at least 1 of each, got {y.shape}.")


def _check_range(values: NDArray[Any]) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"y must be 0, 1 or a probability between them when it has several columns, got values from "
            f"{values.min()} to {values.max()}. Multiclass-multioutput targets are not supported."
        )


def _encode_sparse(y: Any) -> Targets:
    y = sparse.csc_array(y, copy=True)
    y.sum_duplicates()
    y.eliminate_zeros()
    _check_shape(y)
    if not (y.data == 1).all():
        raise ValueError("Sparse y must hold 0 and 1 only. Pass soft or unknown targets as a dense array.")
    return Targets(y.astype(np.uint8))
