"""Reading y: an array, sparse matrix or DataFrame with labels or classes, in any of the forms that users pass."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import assert_all_finite, column_or_1d

from sk_quadrant._arrays import masked_as_nan
from sk_quadrant._namespaces import in_numpy
from sk_quadrant._targets.label_names import align_labels, column_names
from sk_quadrant._targets.targets import Targets

COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)
LISTS_OF_LABELS = "Turn lists of labels into a matrix by sklearn.preprocessing.MultiLabelBinarizer."
NAN_AS_CLASS = (
    "If y had NaN, scikit-learn's cross_val_predict has made a class of it: use "
    "sk_quadrant.model_selection.multilabel_cross_val_predict."
)


@dataclass(frozen=True)
class LabelArray:
    """A y as it was passed, which is converted once.

    Attributes
    ----------
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
        A single column is one label: it is read as a y of shape (n_samples,).
    name : str
        Name of y in error messages.

    Raises
    ------
    TypeError
        If y is a Dask collection.
    """

    y: Any
    name: str = "y"

    def __post_init__(self) -> None:
        if hasattr(self.y, "__dask_graph__"):
            raise TypeError(
                f"{self.name} is a Dask collection, got {type(self.y).__name__}. Use "
                f"sk_quadrant.dask.DaskQuadrantMultiLabelClassifier, or pass {self.name}.compute()."
            )

    @classmethod
    def of(cls, y: Any, name: str = "y") -> LabelArray:
        """Return y, unless it is read already."""
        return y if isinstance(y, LabelArray) else cls(y, name)

    def aligned(self, names: Any) -> LabelArray:
        """Return a DataFrame with its columns in the order of label names; see `align_labels`."""
        y = align_labels(self.y, names, name=self.name)
        return self if y is self.y else LabelArray(y, self.name)

    @property
    def column_names(self) -> NDArray[np.object_] | None:
        """Columns of a DataFrame."""
        return column_names(self.y)

    @property
    def container(self) -> str | None:
        """Class in `scipy.sparse` of predictions for y, None for dense ones."""
        if not sparse.issparse(self.y):
            return None
        return "csr_array" if isinstance(self.y, sparse.sparray) else "csr_matrix"

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of y."""
        if hasattr(self.y, "columns") and len(self.y.columns) != 1:
            return len(self.y), len(self.y.columns)
        shape = self.y.shape if sparse.issparse(self.y) else self._array(self.y).shape
        if sparse.issparse(self.y) and len(shape) != 2:
            raise self._not_a_matrix(shape)
        return tuple(shape)

    @property
    def is_matrix(self) -> bool:
        """Whether y has one column for each of several labels."""
        return len(self.shape) == 2 and self.shape[1] != 1

    @property
    def is_label_column(self) -> bool:
        """Whether y is a single column of numbers in [0, 1] or unknown labels: its classes are 0 and 1."""
        values = self._column
        return values is not None and not ((values < 0) | (values > 1)).any()

    @property
    def is_target_column(self) -> bool:
        """Whether y is a single column with probabilities or unknown labels, which classes cannot express."""
        values = self._column
        return values is not None and values.dtype.kind == "f" and not (values == np.floor(values)).all()

    @cached_property
    def _column(self) -> NDArray[Any] | None:
        """The numbers of a single column, None for anything else."""
        if len(self.shape) != 2 or self.shape[1] != 1:
            return None
        try:
            return LabelArray(self.y.toarray(), self.name).numbers if sparse.issparse(self.y) else self.numbers
        except ValueError:
            return None

    @cached_property
    def numbers(self) -> NDArray[Any]:
        """A dense label matrix as a numeric array, NaN for every form of an unknown label."""
        values = self._array(_without_missing_values_of_pandas(self.y))
        if values.ndim != 2 or not values.size:
            raise self._not_a_matrix(values.shape)
        if values.dtype.kind == "f":
            return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
        if values.dtype.kind in "biu":
            return values
        if values.dtype.kind == "O" and not any(isinstance(value, str) for value in values.flat):
            with suppress(TypeError, ValueError):
                return values.astype(np.float64)
        if values.shape[1] == 1:
            raise self._not_one_label(f"{values.dtype} values")
        raise ValueError(
            f"{self.name} must hold numbers in [0, 1] when it has several columns, got {values.dtype} values. "
            f"{LISTS_OF_LABELS}"
        )

    def targets(self, missing_labels: str = "ignore") -> Targets:
        """Return the targets of a label matrix; with "error" NaN is refused."""
        if sparse.issparse(self.y):
            return self._sparse_targets()
        values, mask = self.numbers, None
        if values.dtype.kind == "f" and np.isnan(values).any():
            if missing_labels != "ignore":
                raise ValueError(
                    f"Input {self.name} contains NaN. Pass missing_labels='ignore' if NaN means that a label is "
                    "unknown."
                )
            mask = ~np.isnan(values)
            values = np.where(mask, values, 0)
        self._check_range(values)
        is_soft = values.dtype.kind == "f" and not ((values == 0) | (values == 1)).all()
        return Targets(values if is_soft else values.astype(np.uint8), mask)

    def _sparse_targets(self) -> Targets:
        y = sparse.csc_array(self.y, copy=True)
        y.sum_duplicates()
        y.eliminate_zeros()
        self.check_matrix()
        if not (y.data == 1).all():
            raise ValueError("Sparse y must hold 0 and 1 only. Pass soft or unknown targets as a dense array.")
        return Targets(y.astype(np.uint8))

    def classes(self, *, warn: bool = False) -> NDArray[Any]:
        """Return a y that is no label matrix as an array of shape (n_samples,); warn of an array of one column."""
        y = self.y
        if sparse.issparse(y):
            y = self._sparse_targets().dense()[:, 0].astype(y.dtype)
        elif hasattr(y, "columns"):
            y = self._frame_column()
        shape = self._array(y).shape
        if len(shape) not in (1, 2):
            raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_labels), got {shape}.")
        y = column_or_1d(masked_as_nan(in_numpy(y)), warn=warn)
        if (y.dtype.kind == "f" and np.isnan(y).any()) or (y.dtype.kind == "O" and any(map(_is_missing, y))):
            raise ValueError(
                "Input y contains NaN, and a class cannot be unknown. Drop these rows, or pass y with shape "
                "(n_samples, n_labels) and missing_labels='ignore'."
            )
        assert_all_finite(y, input_name="y")
        return np.asarray(y)

    def _frame_column(self) -> NDArray[Any]:
        """Return the single column of a DataFrame, as numbers if possible."""
        with suppress(ValueError):
            return self.numbers[:, 0]
        return np.asarray(self._array(_without_missing_values_of_pandas(self.y))[:, 0])

    def _array(self, y: Any) -> NDArray[Any]:
        try:
            values = np.asarray(masked_as_nan(in_numpy(y)))
        except ValueError:
            raise ValueError(
                f"{self.name} must be 1-D or have rows of one length, got rows of different lengths. {LISTS_OF_LABELS}"
            ) from None
        if values.dtype.kind == "O" and any(isinstance(value, COLLECTIONS) for value in values.flat):
            raise ValueError(f"{self.name} must hold numbers or classes, got collections of labels. {LISTS_OF_LABELS}")
        return values

    def check_matrix(self) -> None:
        """Raise a ValueError unless y is a matrix with a row and a column."""
        if len(self.shape) != 2 or 0 in self.shape:
            raise self._not_a_matrix(self.shape)

    def _not_a_matrix(self, shape: tuple[int, ...]) -> ValueError:
        return ValueError(f"{self.name} must have shape (n_samples, n_labels), at least 1 of each, got {shape}.")

    def _check_range(self, values: NDArray[Any]) -> None:
        low, high = (values.min(), values.max()) if values.size else (0, 1)
        if low >= 0 and high <= 1:
            return
        if values.shape[1] == 1:
            raise self._not_one_label(f"values from {low} to {high}")
        raise ValueError(
            f"{self.name} must be 0, 1 or a probability between them when it has several columns, got values from "
            f"{low} to {high}. Multiclass-multioutput targets are not supported. {LISTS_OF_LABELS}"
            + (f" {NAN_AS_CLASS}" if values.dtype.kind in "iu" and high == 2 else "")
        )

    def _not_one_label(self, found: str) -> ValueError:
        """Return the error for a vector, or a single column, of something else than one label."""
        return ValueError(
            f"{self.name} must hold 0, 1 or a probability where it is one label, got {found}. If these are two "
            f"classes, pass {self.name} == the class that is present."
        )


def _is_missing(value: Any) -> bool:
    return value is None or bool(is_scalar_nan(value)) or bool(is_pandas_na(value))


def _without_missing_values_of_pandas(y: Any) -> Any:
    if not (hasattr(y, "isna") and y.isna().any(axis=None)):
        return y
    are_numbers = all(getattr(dtype, "kind", "O") in "biuf" for dtype in y.dtypes)
    return y.to_numpy(np.float64 if are_numbers else object, na_value=np.nan)
