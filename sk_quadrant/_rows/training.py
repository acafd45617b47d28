"""Rows in memory: features and weighted targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sk_quadrant._namespaces import Namespace, move_to_numpy
from sk_quadrant._rows.inputs import Inputs
from sk_quadrant._targets.encodings import Encoding, read_targets
from sk_quadrant._targets.targets import Targets
from sk_quadrant._targets.weights import check_known, check_sample_weight, weight_targets
from sk_quadrant._tensors import numpy_dtype


@dataclass(frozen=True)
class TrainingRows:
    """Features and targets of rows that are in memory.

    Attributes
    ----------
    X : ndarray, sparse CSR matrix or torch.Tensor of shape (n_rows, n_features)
        Features of dtype float32 or float64.
    targets : Targets
    encoding : Encoding
        Encoding of y.
    label_smoothing : float
        Weight of 1/2 in the training targets.
    namespace : Namespace or None
        Library and device of the features before they became a tensor, None for NumPy and SciPy.
    """

    X: Any
    targets: Targets
    encoding: Encoding
    label_smoothing: float = 0.0
    namespace: Namespace | None = None

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.X.shape[1])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.targets.n_labels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the features."""
        return numpy_dtype(self.X)

    @property
    def is_sparse(self) -> bool:
        """Whether the features are sparse."""
        return bool(sparse.issparse(self.X))

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Which labels have a known target of positive weight."""
        return self.targets.observed()

    @property
    def is_soft(self) -> bool:
        """Whether a target is strictly between 0 and 1."""
        return self.targets.is_soft

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return sum(array.nbytes for array in self.arrays())

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays that the rows consist of."""
        return [*_arrays_of(self.X), *self._target_arrays()]

    def _target_arrays(self) -> list[NDArray[Any]]:
        optional = (part for part in (self.targets.mask, self.targets.weight) if part is not None)
        return [*_arrays_of(self.targets.values), *optional]

    def label_columns(self, labels: NDArray[np.intp]) -> NDArray[Any]:
        """Return the smoothed targets of some labels, shape (n_rows, n_columns)."""
        values = self.targets.values
        columns = values[:, labels].toarray() if sparse.issparse(values) else values[:, labels]
        return np.asarray(smooth(columns.astype(self.dtype), self.label_smoothing) if self.label_smoothing else columns)


@dataclass(frozen=True)
class InputRows(TrainingRows):
    """Rows for a module of the user, in memory.

    Attributes
    ----------
    X : Inputs
        Inputs of the module.
    targets, encoding, label_smoothing, namespace
        See `TrainingRows`.
    """

    X: Inputs

    @property
    def n_features(self) -> Any:
        """Argument of a function that builds a module."""
        return self.X.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the targets, unless the module has its own."""
        return np.dtype(np.float32)

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays that the rows consist of."""
        return [*self.X.arrays(), *self._target_arrays()]


def read_training_rows(
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    missing_labels: str,
    class_weight: Any,
    label_smoothing: float,
    encoding: Encoding | None = None,
    classes: Any = None,
    namespace: Namespace | None = None,
    counts: NDArray[np.float64] | None = None,
) -> TrainingRows:
    """Return checked features with the targets of y.

    Parameters
    ----------
    X : ndarray, sparse CSR matrix or tensor of shape (n_rows, n_features), or Inputs
        Checked features.
    y, sample_weight : array-like
        As in `fit` of the estimator.
    missing_labels, class_weight, label_smoothing
        Parameters of the estimator.
    encoding : Encoding or None, default=None
        Encoding of an earlier call, which y must match; None to recognize it.
    classes : array-like, default=None
        All classes of a 1-D y, of which y may hold some only.
    namespace : Namespace or None, default=None
        Library and device of the features before they became a tensor.
    counts : ndarray or None, default=None
        Counts of classes, or of entries of labels, for "balanced" class weights; None for those of y.

    Raises
    ------
    ValueError
        If y or sample_weight do not fit X, or no known target has a positive weight.
    """
    if encoding is None:
        encoding, targets = read_targets(y, missing_labels=missing_labels, classes=classes)
    else:
        if classes is not None and not np.array_equal(np.unique(classes), encoding.classes):
            raise ValueError(f"classes={classes!r} is not the same as in the first call: {encoding.classes!r}.")
        targets = encoding.encode(y, missing_labels=missing_labels)
    if targets.n_samples != X.shape[0]:
        raise ValueError(f"X and y must have the same number of rows, got {X.shape[0]} and {targets.n_samples}.")
    weight = check_sample_weight(sample_weight, targets.n_samples, targets.n_labels, names=encoding.label_names)
    if class_weight is not None:
        class_weight = encoding.read_class_weight(class_weight, encoding.count(targets) if counts is None else counts)
    targets = weight_targets(targets, encoding, class_weight, weight)
    check_known(*targets.known_weight())
    kind = InputRows if isinstance(X, Inputs) else TrainingRows
    return kind(X, targets, encoding, label_smoothing, namespace)


def smooth(targets: Any, amount: float) -> Any:
    """Return targets moved towards 1/2."""
    return targets * (1 - amount) + amount / 2


def _arrays_of(matrix: Any) -> list[NDArray[Any]]:
    return [matrix.data, matrix.indices, matrix.indptr] if sparse.issparse(matrix) else [move_to_numpy(matrix)]
