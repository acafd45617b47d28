"""Encodings: how y becomes targets of a loss, and how scores become predictions in the form of y.

There are three: the two classes of a 1-D y (`Binary`), more classes of a 1-D y (`Multiclass`), and a matrix with one
column per label (`MultiLabel`). They have the same methods, so that no caller has to ask which one it holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets

from sk_quadrant._arrays import follow_sparse_interface
from sk_quadrant._targets.class_weights import class_weights, label_weights
from sk_quadrant._targets.label_names import align_labels, are_compatible
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._targets.targets import Targets
from sk_quadrant._tensors import as_integers, beside, hstack, join, off_device, rounded_like

CONTAINERS: dict[str, Any] = {"csr_matrix": sparse.csr_matrix, "csr_array": sparse.csr_array}


@dataclass(frozen=True, eq=False)
class Encoding(ABC):
    """Encoding of y: how to read another y and how to write predictions.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Classes of a 1-D y, or ``arange(n_labels)``.
    kind : {"binary", "multiclass", "multilabel"}
        Name of the encoding.
    label_names : ndarray of shape (n_labels,) or None
        Columns of a DataFrame y, unless it is one column with more than two classes.
    exclusive : bool
        Whether a row belongs to exactly one class, so that the columns of `predict_proba` are classes.
    """

    classes: NDArray[Any]
    label_names: NDArray[np.object_] | None = None
    kind: ClassVar[str]
    exclusive: ClassVar[bool] = True

    @property
    def n_labels(self) -> int:
        """Number of columns of targets and scores."""
        return len(self.classes)

    @property
    def positive(self) -> Any:
        """Class of a positive target."""
        return self.classes[-1]

    @property
    def names(self) -> NDArray[Any] | None:
        """Names of the labels, None if they have none."""
        return self.label_names

    @property
    def titles(self) -> NDArray[Any]:
        """Names of the labels, their numbers if they have none; the class that a single label without a name is for."""
        if self.names is not None:
            return self.names
        return self.classes[-1:] if self.exclusive else self.classes

    def align(self, y: Any, *, name: str = "y") -> Any:
        """Return a DataFrame with its columns in the order of the labels; see `align_labels`."""
        return align_labels(y, self.label_names, name=name)

    def with_observed(self, observed: NDArray[np.bool_], *, before: Encoding | None = None) -> Encoding:
        """Return the encoding with the labels observed in training; classes always are."""
        return self

    def named(self, names: Any) -> Encoding:
        """Return the encoding with names of labels; unchanged if it has names, or if their number differs."""
        if names is None or self.label_names is not None or len(names) != self.n_labels:
            return self
        return replace(self, label_names=np.asarray(names, dtype=object))

    @property
    def decision_shape(self) -> tuple[int, ...]:
        """Shape of one row of the decision function."""
        return (self.n_labels,)

    @property
    def prediction_shape(self) -> tuple[int, ...]:
        """Shape of one row of the predictions."""
        return ()

    @property
    def prediction_meta(self) -> Any:
        """Empty array of the kind and dtype of predictions."""
        return np.empty((0, *self.prediction_shape), dtype=self.classes.dtype)

    @abstractmethod
    def encode(self, y: Any, *, missing_labels: str) -> Targets:
        """Return the targets of y.

        Raises
        ------
        ValueError
            If y does not have the classes or the labels of this encoding.
        """

    def decision_thresholds(self, thresholds: Any) -> Any:
        """Return the thresholds for scores, inf for a label that is never predicted."""
        return thresholds

    @abstractmethod
    def decide(self, scores: Any, thresholds: Any) -> Any:
        """Return decisions for a block of rows, given scores and score thresholds of shape (n_labels,)."""

    @abstractmethod
    def decode(self, decisions: Sequence[Any]) -> Any:
        """Return the predictions in the form of y, given the decisions of consecutive blocks of rows."""

    def centre(self, scores: Any, thresholds: Any) -> Any:
        """Return the scores as a decision function."""
        return scores

    @abstractmethod
    def complete(self, probabilities: Any) -> Any:
        """Return the probabilities of all classes, given those of the columns of targets."""

    @abstractmethod
    def count(self, targets: Targets) -> NDArray[np.float64]:
        """Return the rows of each class, (n_classes,), or absent and present entries of each label, (n_labels, 2)."""

    def read_class_weight(self, class_weight: Any, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of each class, or of absent and present entries of each label, in the shape of counts.

        Parameters
        ----------
        class_weight : dict, "balanced" or list of these
        counts : ndarray
            Result of `count` for all rows, for "balanced".
        """
        return class_weights(counts, self.classes, class_weight)

    @abstractmethod
    def weigh(self, targets: Targets, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the class weight of each row, (n_samples,), or of each entry, (n_samples, n_labels).

        `weights` are those of `read_class_weight`.
        """

    def check_same(self, other: Encoding) -> None:
        """Raise a ValueError unless another y has the same classes, or the same labels in the same order."""
        if self.description != other.description:
            raise ValueError(f"y must have {self.description} as in the first call, got {other.description}.")
        if not are_compatible(self.label_names, other.label_names):
            first, names = list(self.label_names), list(other.label_names)  # type: ignore[arg-type]
            raise ValueError(f"y must have the columns of the first call in their order, {first}, got {names}.")

    @property
    def description(self) -> str:
        """The classes or labels, for messages."""
        return f"the classes {self.classes.tolist()}"

    def _known_classes(self, y: LabelArray) -> NDArray[Any]:
        found = y.classes(warn=True)
        unseen = np.setdiff1d(found, self.classes)
        if len(unseen):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. classes_ has {self.classes}, y has new {unseen}."
            )
        return found

    def dense(self) -> Encoding:
        """Return the encoding whose predictions are dense."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and arrays, which `encoding_from_dict` reads."""
        return {"kind": self.kind, "classes": self.classes}


@dataclass(frozen=True, eq=False)
class Binary(Encoding):
    """Two classes of a 1-D y, or one label: one column of targets, for the second class, or for presence.

    If y has a single class, it is the negative class.
    """

    kind: ClassVar[str] = "binary"

    @property
    def n_labels(self) -> int:
        """One column."""
        return 1

    @property
    def decision_shape(self) -> tuple[int, ...]:
        """The decision function is 1-D."""
        return ()

    def encode(self, y: Any, *, missing_labels: str) -> Targets:
        """Return the targets of y; see `Encoding.encode`."""
        labels = LabelArray.of(y).aligned(self.label_names)
        if labels.is_target_column and self.classes.tolist() == [0, 1]:
            return labels.targets(missing_labels)
        present = (self._known_classes(labels) == self.positive) & (len(self.classes) == 2)
        return Targets(present[:, None].astype(np.uint8))

    def decide(self, scores: Any, thresholds: Any) -> Any:
        """Return whether scores are above the threshold, shape (n_rows, 1)."""
        return scores > beside(thresholds, scores)

    def decode(self, decisions: Sequence[Any]) -> Any:
        """Return the second class for positive decisions, the first for others."""
        return np.take(self.classes, off_device(join(decisions))[:, 0].astype(np.int64))

    def centre(self, scores: Any, thresholds: Any) -> Any:
        """Return 1-D scores that are positive where the second class is predicted, as scikit-learn expects."""
        return rounded_like((scores - beside(thresholds, scores))[:, 0], scores)

    def complete(self, probabilities: Any) -> Any:
        """Return two columns."""
        return hstack([1 - probabilities, probabilities])

    def count(self, targets: Targets) -> NDArray[np.float64]:
        """Return the rows of each class; see `Encoding.count`."""
        (present,) = targets.counts()
        return np.array([targets.n_known()[0] - present, present])[: len(self.classes)]

    def read_class_weight(self, class_weight: Any, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of each class; see `Encoding.read_class_weight`."""
        return super().read_class_weight(self._of_label(class_weight), counts)

    def weigh(self, targets: Targets, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the class weight of each row; see `Encoding.weigh`."""
        values = targets.dense()[:, 0]
        if not targets.is_soft:
            return np.asarray(weights[values.astype(np.intp)])
        # (1 - t) w_0 + t w_1 for soft targets
        return np.asarray(weights[0] + (weights[1] - weights[0]) * values, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and arrays; see `Encoding.to_dict`."""
        return super().to_dict() | {"label_names": self.label_names}

    def _of_label(self, class_weight: Any) -> Any:
        """Return the class weight of the label, of a list or a dict by label name with a single entry."""
        if isinstance(class_weight, list) and len(class_weight) == 1:
            return class_weight[0]
        if self.label_names is not None and isinstance(class_weight, Mapping) and len(class_weight) == 1:
            ((name, weight),) = class_weight.items()
            return weight if name == self.label_names[0] and not isinstance(weight, Real) else class_weight
        return class_weight


@dataclass(frozen=True, eq=False)
class Multiclass(Encoding):
    """Three or more classes of a 1-D y: one column of targets per class; the largest score is predicted."""

    kind: ClassVar[str] = "multiclass"

    @property
    def names(self) -> NDArray[Any]:
        """The classes."""
        return self.classes

    def encode(self, y: Any, *, missing_labels: str) -> Targets:
        """Return the targets of y; see `Encoding.encode`."""
        return Targets((self._known_classes(LabelArray.of(y))[:, None] == self.classes).astype(np.uint8))

    def decide(self, scores: Any, thresholds: Any) -> Any:
        """Return the index of the largest score of each row; thresholds have no influence."""
        return scores.argmax(axis=1)

    def decode(self, decisions: Sequence[Any]) -> Any:
        """Return the classes of indices."""
        return np.take(self.classes, off_device(join(decisions)))

    def complete(self, probabilities: Any) -> Any:
        """Return the one-vs-rest probabilities divided by their sum."""
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def count(self, targets: Targets) -> NDArray[np.float64]:
        """Return the rows of each class; see `Encoding.count`."""
        return targets.counts()

    def weigh(self, targets: Targets, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the class weight of each row; see `Encoding.weigh`."""
        return np.asarray(weights[targets.dense().argmax(axis=1)])


@dataclass(frozen=True, eq=False)
class MultiLabel(Encoding):
    """A label matrix: one column of targets per label.

    Attributes
    ----------
    container : {"csr_matrix", "csr_array"} or None
        Class of the predictions in `scipy.sparse`, if y was sparse.
    unobserved : ndarray of bool of shape (n_labels,) or None
        Labels without a known target in training, which are never predicted. None if there are none.
    """

    container: str | None = None
    unobserved: NDArray[np.bool_] | None = None
    kind: ClassVar[str] = "multilabel"
    exclusive: ClassVar[bool] = False

    @property
    def positive(self) -> Any:
        """A label is present where it is 1."""
        return 1

    @property
    def prediction_shape(self) -> tuple[int, ...]:
        """Predictions are a matrix."""
        return (self.n_labels,)

    @property
    def prediction_meta(self) -> Any:
        """Empty matrix of the kind and dtype of predictions; see `Encoding.prediction_meta`."""
        empty = np.empty((0, self.n_labels), dtype=np.int64)
        return empty if self.container is None else follow_sparse_interface(CONTAINERS[self.container](empty))

    def encode(self, y: Any, *, missing_labels: str) -> Targets:
        """Return the targets of y; see `Encoding.encode`."""
        targets = LabelArray.of(y).aligned(self.label_names).targets(missing_labels)
        self.check_same(MultiLabel(np.arange(targets.n_labels)))
        return targets

    def with_observed(self, observed: NDArray[np.bool_], *, before: Encoding | None = None) -> MultiLabel:
        """Return the encoding with the labels observed in training, or in an earlier call."""
        if isinstance(before, MultiLabel):
            observed = observed | (True if before.unobserved is None else ~before.unobserved)
        return replace(self, unobserved=None if observed.all() else ~observed)

    def decision_thresholds(self, thresholds: Any) -> Any:
        """Return inf for labels that were never observed; see `Encoding.decision_thresholds`."""
        return thresholds if self.unobserved is None else np.where(self.unobserved, np.inf, thresholds)

    def decide(self, scores: Any, thresholds: Any) -> Any:
        """Return which scores are above their threshold; sparse if y was, without a dense matrix."""
        decisions = scores > beside(self.decision_thresholds(thresholds), scores)
        if self.container is None:
            return decisions
        return CONTAINERS[self.container](off_device(decisions), dtype=np.int64)

    def decode(self, decisions: Sequence[Any]) -> Any:
        """Return an int64 indicator matrix; a sparse one follows scikit-learn's `sparse_interface`."""
        if self.container is None:
            return as_integers(join(decisions))
        matrix = sparse.vstack(decisions, format="csr") if len(decisions) > 1 else decisions[0]
        return follow_sparse_interface(matrix)

    def complete(self, probabilities: Any) -> Any:
        """Return the probabilities as they are: labels do not exclude each other."""
        return probabilities

    def count(self, targets: Targets) -> NDArray[np.float64]:
        """Return absent and present entries of each label; see `Encoding.count`."""
        present = targets.counts()
        return np.column_stack([targets.n_known() - present, present])

    def read_class_weight(self, class_weight: Any, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of absence and presence of each label; see `Encoding.read_class_weight`."""
        return label_weights(counts[:, 1] / np.maximum(counts.sum(axis=1), 1), class_weight, self.names)

    def weigh(self, targets: Targets, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of absence or presence of each entry; see `Encoding.weigh`."""
        absence, presence = weights.T
        # (1 - t) w_0 + t w_1, for soft targets, too
        return np.asarray(absence + (presence - absence) * targets.dense(), dtype=np.float64)

    @property
    def description(self) -> str:
        """Number of labels; see `Encoding.description`."""
        return f"{self.n_labels} labels"

    def dense(self) -> MultiLabel:
        """Return the encoding whose predictions are dense; see `Encoding.dense`."""
        return replace(self, container=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and arrays; see `Encoding.to_dict`."""
        values = super().to_dict() | {"container": self.container, "label_names": self.label_names}
        return values if self.unobserved is None else values | {"unobserved": self.unobserved}


ENCODINGS: dict[str, type[Encoding]] = {encoding.kind: encoding for encoding in (Binary, Multiclass, MultiLabel)}


def encoding_from_dict(values: Mapping[str, Any]) -> Encoding:
    """Return the encoding from the result of `Encoding.to_dict`."""
    values = dict(values)
    return ENCODINGS[values.pop("kind")](**values)


def read_targets(y: Any, *, missing_labels: str, classes: Any = None, min_classes: int = 2) -> tuple[Encoding, Targets]:
    """Return the encoding of y and its targets.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        A single column counts as 1-D, and may hold probabilities or unknown labels.
    missing_labels : {"error", "ignore"}
        Whether NaN in a label matrix is an error or an unknown label.
    classes : array-like, default=None
        All classes of a 1-D y, of which y may hold some only; for a label matrix ``arange(n_labels)``.
    min_classes : int, default=2
        Smallest number of classes of a 1-D y.

    Raises
    ------
    ValueError
        If y is not 0/1, not a probability, has too few classes, or is not a classification target.
    """
    y = LabelArray.of(y)
    encoding = recognize(y, classes, min_classes=min_classes)
    return encoding, encoding.encode(y, missing_labels=missing_labels)


def recognize(y: Any, classes: Any = None, *, min_classes: int = 2) -> Encoding:
    """Return the encoding of y; see `read_targets`."""
    y = LabelArray.of(y)
    if y.is_matrix:
        return _recognize_matrix(y, classes)
    if y.is_target_column and classes is None:
        return Binary(np.arange(2), y.column_names)
    values = y.classes()
    found = _sorted(values if classes is None else np.asarray(classes))
    check_classification_targets(values)
    if classes is None and len(found) == 1 and y.is_label_column:
        found = np.arange(2).astype(found.dtype)
    if len(found) < min_classes:
        raise ValueError(f"y must have at least {min_classes} classes, got {len(found)} class: {found.tolist()}.")
    return Binary(found, y.column_names) if len(found) <= 2 else Multiclass(found)


def _recognize_matrix(y: LabelArray, classes: Any) -> MultiLabel:
    y.check_matrix()
    n_labels = y.shape[1]
    if classes is not None and not np.array_equal(np.unique(classes), np.arange(n_labels)):
        raise ValueError(f"classes must be None or arange({n_labels}) for a y of {n_labels} labels, got {classes!r}.")
    return MultiLabel(np.arange(n_labels), y.column_names, y.container)


def _sorted(classes: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.unique(classes)
    except TypeError as error:
        raise ValueError(f"y must hold classes of one type, which can be sorted: {error}.") from error
