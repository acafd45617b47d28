"""Weights of samples and classes: checked, and multiplied into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_array

from sk_quadrant._inputs.targets import LabelEncoding, Targets
from sk_quadrant._targets import masked_as_nan


def check_weight(sample_weight: Any, targets: Targets) -> NDArray[np.float64] | None:
    """Return the sample weights of all rows, checked as in `read_weight`, at least one of them positive."""
    weight = read_weight(sample_weight, targets)
    if weight is not None and not weight.any():
        raise ValueError("sample_weight must have a positive value, got zero for every sample.")
    return weight


def read_weight(sample_weight: Any, targets: Targets) -> NDArray[np.float64] | None:
    """Return sample weights as float64 of shape (n_samples,) or (n_samples, n_labels), None if there are none.

    Raises
    ------
    ValueError
        If the shape does not fit, or a weight is negative or not finite.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(targets.n_samples, sample_weight)
    try:
        weight = check_array(
            masked_as_nan(sample_weight), dtype=np.float64, ensure_2d=False, input_name="sample_weight"
        )
    except ValueError as error:
        raise ValueError(f"sample_weight must be an array of finite numbers: {error}") from error
    shapes = (targets.n_samples,), (targets.n_samples, targets.n_labels)
    if weight.shape not in shapes:
        raise ValueError(f"sample_weight must have shape {shapes[0]} or {shapes[1]}, got {weight.shape}.")
    if (weight < 0).any():
        raise ValueError(f"sample_weight must not be negative, got a smallest value of {weight.min()}.")
    return np.asarray(weight)


def weigh_classes(
    targets: Targets,
    encoding: LabelEncoding,
    class_weight: Mapping[Any, float] | str | Sequence[Mapping[int, float] | str] | None,
    weight: NDArray[np.float64] | None,
) -> Targets:
    """Return targets whose weight is the sample weight times the class weights.

    Parameters
    ----------
    targets : Targets
    encoding : LabelEncoding
    class_weight : dict, "balanced", list of such, or None
        Weights of the classes of a 1-D y. For a label matrix the weights of absence and presence, {0: w0, 1: w1}, the
        same for all labels or one for each; "balanced" takes n / (2 n_0) and n / (2 n_1) of each label.
    weight : ndarray or None
        Checked sample weights.

    Raises
    ------
    ValueError
        If a class weight is not a number, negative or of no class.
    """
    if class_weight is not None:
        factor = _class_factor(targets, encoding, class_weight)
        weight = factor if weight is None else _product(factor, weight)
    return Targets(targets.values, targets.mask, weight)


def settle_class_weight(class_weight: Any, encoding: LabelEncoding, counts: NDArray[np.float64], n_known: Any) -> Any:
    """Return class weights with numbers in place of "balanced", so that rows can be weighed part by part.

    Parameters
    ----------
    class_weight : dict, "balanced", list of such, or None
    encoding : LabelEncoding
    counts : ndarray of shape (n_labels,) or (n_classes,)
        Sum of the known targets of each label, or rows of each class of a 1-D y.
    n_known : ndarray of shape (n_labels,) or float
        How many targets of each label are known, or rows of a 1-D y.
    """
    if class_weight is None:
        return None
    if encoding.kind == "multilabel":
        weights = _label_weights(counts / np.maximum(n_known, 1), class_weight)
        return [dict(enumerate(each.tolist())) for each in weights]
    if not isinstance(class_weight, str) or class_weight != "balanced":
        return class_weight
    return dict(zip(encoding.classes.tolist(), (n_known / (np.count_nonzero(counts) * counts)).tolist(), strict=True))


def known_weight(targets: Targets) -> tuple[float, float]:
    """Return how many targets are known, and the sum of their weights."""
    n_known = float(targets.n_samples * targets.n_labels if targets.mask is None else targets.mask.sum())
    if targets.weight is None:
        return n_known, n_known
    weight = targets.weight if targets.mask is None else targets.weight.reshape(len(targets.weight), -1) * targets.mask
    return n_known, float(weight.sum())


def check_known(n_known: Any, weight: Any) -> None:
    """Raise a ValueError unless a target is known, and one has a positive weight; see `known_weight`."""
    if not n_known:
        raise ValueError("y must have a known label, got NaN for every one.")
    if not weight:
        raise ValueError("sample_weight and class_weight leave no known label in y with a positive weight.")


def _product(factor: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply weights of rows or of rows and labels by others."""
    if factor.ndim == weight.ndim:
        return factor * weight
    return factor.reshape(len(factor), -1) * weight.reshape(len(weight), -1)


def _class_factor(targets: Targets, encoding: LabelEncoding, class_weight: Any) -> NDArray[np.float64]:
    values = targets.values.toarray() if sparse.issparse(targets.values) else targets.values
    if encoding.kind == "multilabel":
        absence, presence = _label_weights(targets.frequency(), class_weight).T
        return np.asarray(absence + (presence - absence) * values, dtype=np.float64)
    index = values[:, 0].astype(np.intp) if encoding.kind == "binary" else values.argmax(axis=1)
    if isinstance(class_weight, Mapping):
        classes = encoding.classes.tolist()
        if not set(classes) <= class_weight.keys():  # others may be absent from a fold of cross-validation
            _check_keys(class_weight, classes)
        return np.asarray(_read(class_weight, classes)[index])
    if class_weight != "balanced":
        raise ValueError(f"class_weight must be 'balanced', a dict or None for a 1-D y, got {class_weight!r}.")
    weights = np.ones(len(encoding.classes))
    seen = np.unique(index)
    weights[seen] = compute_class_weight("balanced", classes=seen, y=index)
    return np.asarray(weights[index])


def _label_weights(frequency: NDArray[np.float64], class_weight: Any) -> NDArray[np.float64]:
    """Return the weights of absence and presence of each label, shape (n_labels, 2), given its share of presence."""
    n_labels = len(frequency)
    each = [class_weight] * n_labels if isinstance(class_weight, str | Mapping) else list(class_weight)
    if len(each) != n_labels:
        raise ValueError(f"class_weight must be one for all or a list of {n_labels}, got {len(each)}.")
    return np.array([_weights_of_label(one, share) for one, share in zip(each, frequency, strict=True)])


def _weights_of_label(class_weight: Any, frequency: float) -> NDArray[np.float64]:
    if class_weight is None:
        return np.ones(2)
    if isinstance(class_weight, Mapping):
        _check_keys(class_weight, [0, 1])
        return _read(class_weight, [0, 1])
    if class_weight != "balanced":
        raise ValueError(f"class_weight must be 'balanced', a dict, a list of these or None, got {class_weight!r}.")
    share = np.array([1 - frequency, frequency])
    return np.asarray(np.where(share > 0, 0.5 / np.maximum(share, 1e-300), 1.0))


def _read(class_weight: Mapping[Any, float], classes: list[Any]) -> NDArray[np.float64]:
    """Return the weight of each class, 1 where none is given."""
    for value in class_weight.values():
        if not (isinstance(value, Real) and 0 <= value < np.inf):
            raise ValueError(f"class_weight must hold finite numbers that are not negative, got {value!r}.")
    return np.array([class_weight.get(key, 1.0) for key in classes], dtype=np.float64)


def _check_keys(class_weight: Mapping[Any, float], classes: list[Any]) -> None:
    if unknown := [key for key in class_weight if key not in classes]:
        raise ValueError(f"class_weight must have keys among {classes}, got {unknown}.")
