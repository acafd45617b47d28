"""Targets of a multi-label loss, read from y in any of its forms."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import assert_all_finite, column_or_1d

from sk_quadrant._arrays import masked_as_nan
from sk_quadrant._namespaces import in_numpy

COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)
LISTS_OF_LABELS = "Turn lists of labels into a matrix by sklearn.preprocessing.MultiLabelBinarizer."
NAN_AS_CLASS = (
    "If y had NaN, scikit-learn's cross_val_predict has made a class of it: use "
    "sk_quadrant.model_selection.multilabel_cross_val_predict."
)


@dataclass(frozen=True)
class Targets:
    """Targets of all rows, one column per label.

    Attributes
    ----------
    values : ndarray or sparse CSC array of shape (n_samples, n_labels)
        Hard targets as uint8, soft ones as float32 or float64; unknown ones are 0.
    mask : bool ndarray of shape (n_samples, n_labels) or None
        True where the target is known, None if all are.
    weight : float64 ndarray of shape (n_samples,) or (n_samples, n_labels), or None
        Sample weights times class weights, None if all are 1.
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

    def dense(self, rows: Any = None) -> NDArray[Any]:
        """Return the values of some rows as an ndarray, None for all."""
        values = self.values
        if rows is not None:
            values = values.tocsr()[rows] if sparse.issparse(values) else values[rows]
        return np.asarray(values.toarray() if sparse.issparse(values) else values)

    def present(self, rows: Any = None) -> NDArray[np.bool_]:
        """Return which labels are known and at least half present in some rows, None for all."""
        return self.dense(rows) >= 0.5

    def known(self, rows: Any = None) -> NDArray[np.bool_]:
        """Return which targets of some rows are known, None for all; read-only."""
        if self.mask is not None:
            return self.mask if rows is None else self.mask[rows]
        n_rows = self.n_samples if rows is None else len(np.arange(self.n_samples)[rows])
        return np.broadcast_to(np.True_, (n_rows, self.n_labels))

    def n_known(self) -> NDArray[np.intp]:
        """Return the number of known targets of each label."""
        return np.full(self.n_labels, self.n_samples) if self.mask is None else self.mask.sum(axis=0)

    def observed(self) -> NDArray[np.bool_]:
        """Return which labels have a known target of positive weight."""
        if self.weight is None or self.weight.ndim == 1:
            rows = slice(None) if self.weight is None else self.weight > 0
            return np.asarray(self.known(rows).any(axis=0))
        return np.asarray(((self.weight > 0) & self.known()).any(axis=0))

    def counts(self) -> NDArray[np.float64]:
        """Return the unweighted sum of the known targets of each label."""
        return np.asarray(self.values.sum(axis=0, dtype=np.float64)).ravel()

    def constant_labels(self, rows: Any = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which labels are 0 in all known targets of some rows, None for all, and which are 1."""
        values = self.dense(rows)
        never = np.logical_not(values.any(axis=0))
        always = np.all((values == 1) | ~self.known(rows), axis=0)
        return never, always & ~never

    def frequency(self) -> NDArray[np.float64]:
        """Return the unweighted mean target of each label over its known rows."""
        return np.asarray(self.counts() / np.maximum(self.n_known(), 1), dtype=np.float64)

    def known_weight(self) -> tuple[float, float]:
        """Return the number of known targets, and the sum of their weights."""
        n_known = float(self.n_known().sum())
        if self.weight is None:
            return n_known, n_known
        weight = self.weight.reshape(self.n_samples, -1)
        if self.mask is None:
            return n_known, float(weight.sum()) * (self.n_labels / weight.shape[1])  # one weight per row
        return n_known, float((weight * self.mask).sum())


def one_class_labels(targets: Targets, names: NDArray[Any] | None = None) -> list[Any]:
    """Return the labels whose known targets have a single class, by name or number."""
    is_constant = np.logical_or(*targets.constant_labels())
    found: list[Any] = (np.arange(targets.n_labels) if names is None else names)[is_constant].tolist()
    return found


def is_label_matrix(y: Any, name: str = "y") -> bool:
    """Whether y has one column for each of several labels.

    A single column is one label: it is read as a y of shape (n_samples,).

    Raises
    ------
    TypeError
        If y is a Dask collection.
    ValueError
        If y holds lists or sets of labels.
    """
    return _n_columns(y, name) not in (None, 1)


def is_label_column(y: Any) -> bool:
    """Whether y is a single column of numbers in [0, 1] or unknown labels: its classes are 0 and 1."""
    values = _column_of_numbers(y)
    return values is not None and not ((values < 0) | (values > 1)).any()


def is_target_column(y: Any) -> bool:
    """Whether y is a single column with probabilities or unknown labels, which classes cannot express."""
    values = _column_of_numbers(y)
    return values is not None and values.dtype.kind == "f" and not (values == np.floor(values)).all()


def _column_of_numbers(y: Any) -> NDArray[Any] | None:
    """Return a y of a single column of numbers as an array, None for anything else."""
    if _n_columns(y) != 1:
        return None
    try:
        return as_numbers(y.toarray() if sparse.issparse(y) else y)
    except ValueError:
        return None


def _n_columns(y: Any, name: str = "y") -> int | None:
    """Return the number of columns of y, None if it is 1-D."""
    refuse_dask(y, name)
    if sparse.issparse(y):
        return int(y.shape[1]) if len(y.shape) == 2 else 0
    if hasattr(y, "columns") and len(y.columns) != 1:
        return len(y.columns)
    values = _as_array(y, name)
    return values.shape[1] if values.ndim == 2 else None


def refuse_dask(array: Any, name: str = "y") -> None:
    """Raise a TypeError if an array is a Dask collection."""
    if hasattr(array, "__dask_graph__"):
        raise TypeError(
            f"{name} is a Dask collection, got {type(array).__name__}. Use "
            f"sk_quadrant.dask.DaskQuadrantMultiLabelClassifier, or pass {name}.compute()."
        )


def _as_array(y: Any, name: str = "y") -> NDArray[Any]:
    try:
        values = np.asarray(masked_as_nan(in_numpy(y)))
    except ValueError:
        raise ValueError(
            f"{name} must be 1-D or have rows of one length, got rows of different lengths. {LISTS_OF_LABELS}"
        ) from None
    if values.dtype.kind == "O" and any(isinstance(value, COLLECTIONS) for value in values.flat):
        raise ValueError(f"{name} must hold numbers or classes, got collections of labels. {LISTS_OF_LABELS}")
    return values


def as_classes(y: Any, *, warn: bool = True) -> NDArray[Any]:
    """Return a y that is no label matrix as an array of shape (n_samples,); warn of an array of one column."""
    if sparse.issparse(y):
        y = _read_sparse(y).dense()[:, 0].astype(y.dtype)
    elif hasattr(y, "columns"):
        y = _frame_column(y)
    shape = _as_array(y).shape
    if len(shape) not in (1, 2):
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_labels), got {shape}.")
    y = column_or_1d(masked_as_nan(in_numpy(y)), warn=warn)
    if (y.dtype.kind == "f" and np.isnan(y).any()) or (y.dtype.kind == "O" and any(map(_is_missing, y))):
        raise ValueError(
            "Input y contains NaN, and a class cannot be unknown. Drop these rows, or pass y with shape (n_samples, "
            "n_labels) and missing_labels='ignore'."
        )
    assert_all_finite(y, input_name="y")
    return np.asarray(y)


def _frame_column(y: Any) -> NDArray[Any]:
    """Return the single column of a DataFrame, as numbers if possible."""
    with suppress(ValueError):
        return as_numbers(y)[:, 0]
    return np.asarray(_as_array(_without_missing_values_of_pandas(y))[:, 0])


def _is_missing(value: Any) -> bool:
    return value is None or bool(is_scalar_nan(value)) or bool(is_pandas_na(value))


def count_classes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the classes in a 1-D y, sorted, and the rows of each."""
    try:
        classes, counts = np.unique(y, return_counts=True)
    except TypeError as error:
        raise ValueError(f"y must hold classes of one type, which can be sorted: {error}.") from error
    return classes, counts


def read_matrix(y: Any, *, missing_labels: str, name: str = "y") -> Targets:
    """Return the targets of a label matrix; `name` is its name in error messages."""
    if sparse.issparse(y):
        return _read_sparse(y)
    y = as_numbers(y, name)
    mask = None
    if y.dtype.kind == "f" and np.isnan(y).any():
        if missing_labels != "ignore":
            raise ValueError(
                f"Input {name} contains NaN. Pass missing_labels='ignore' if NaN means that a label is unknown."
            )
        mask = ~np.isnan(y)
        y = np.where(mask, y, 0)
    _check_range(y, name)
    if y.dtype.kind == "f" and not ((y == 0) | (y == 1)).all():
        return Targets(y, mask)
    return Targets(y.astype(np.uint8), mask)


def as_numbers(y: Any, name: str = "y") -> NDArray[Any]:
    """Return a dense label matrix as a numeric array, NaN for every form of an unknown label."""
    values = _as_array(_without_missing_values_of_pandas(y), name)
    check_matrix_shape(values, name)
    if values.dtype.kind == "f":
        return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
    if values.dtype.kind in "biu":
        return values
    if values.dtype.kind == "O" and not any(isinstance(value, str) for value in values.flat):
        with suppress(TypeError, ValueError):
            return values.astype(np.float64)
    if values.shape[1] == 1:
        raise ValueError(_not_one_label(name, f"{values.dtype} values"))
    raise ValueError(
        f"{name} must hold numbers in [0, 1] when it has several columns, got {values.dtype} values. {LISTS_OF_LABELS}"
    )


def _not_one_label(name: str, found: str) -> str:
    """Return the message for a vector, or a single column, of something else than one label."""
    return (
        f"{name} must hold 0, 1 or a probability where it is one label, got {found}. If these are two classes, pass "
        f"{name} == the class that is present."
    )


def _without_missing_values_of_pandas(y: Any) -> Any:
    if not (hasattr(y, "isna") and y.isna().any(axis=None)):
        return y
    are_numbers = all(getattr(dtype, "kind", "O") in "biuf" for dtype in y.dtypes)
    return y.to_numpy(np.float64 if are_numbers else object, na_value=np.nan)


def check_matrix_shape(y: Any, name: str = "y") -> None:
    """Raise a ValueError unless y is a matrix with a row and a column."""
    if len(y.shape) != 2 or 0 in y.shape:
        raise ValueError(f"{name} must have shape (n_samples, n_labels), at least 1 of each, got {y.shape}.")


def _check_range(values: NDArray[Any], name: str) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        if values.shape[1] == 1:
            raise ValueError(_not_one_label(name, f"values from {values.min()} to {values.max()}"))
        raise ValueError(
            f"{name} must be 0, 1 or a probability between them when it has several columns, got values from "
            f"{values.min()} to {values.max()}. Multiclass-multioutput targets are not supported. {LISTS_OF_LABELS}"
            + (f" {NAN_AS_CLASS}" if values.dtype.kind in "iu" and values.max() == 2 else "")
        )


def _read_sparse(y: Any) -> Targets:
    y = sparse.csc_array(y, copy=True)
    y.sum_duplicates()
    y.eliminate_zeros()
    check_matrix_shape(y)
    if not (y.data == 1).all():
        raise ValueError("Sparse y must hold 0 and 1 only. Pass soft or unknown targets as a dense array.")
    return Targets(y.astype(np.uint8))
