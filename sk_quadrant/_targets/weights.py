"""Sample weights: checked in one place, and multiplied with class weights."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from sk_quadrant._arrays import masked_as_nan
from sk_quadrant._namespaces import in_numpy
from sk_quadrant._targets.label_names import align_labels

if TYPE_CHECKING:
    from sk_quadrant._targets.encodings import Encoding
    from sk_quadrant._targets.targets import Targets


def check_sample_weight(
    sample_weight: Any,
    n_samples: int,
    n_labels: int | None = None,
    *,
    names: Any = None,
    allow_zeros: bool = False,
) -> NDArray[np.float64] | None:
    """Return sample weights as float64 of shape (n_samples,) or (n_samples, n_labels), None if there are none.

    Parameters
    ----------
    sample_weight : float, array-like of shape (n_samples,) or (n_samples, n_labels), or None
    n_samples : int
    n_labels : int or None, default=None
        None if labels cannot have weights.
    names : array-like of shape (n_labels,) or None, default=None
        Names of the labels: a DataFrame of weights has them as columns, in any order.
    allow_zeros : bool, default=False
        Whether all weights may be zero, for a part of the rows.

    Raises
    ------
    ValueError
        If the shape does not fit, a weight is negative or not finite, or none is positive.
    """
    if sample_weight is None:
        return None
    sample_weight = in_numpy(sample_weight)
    if n_labels is not None:
        sample_weight = align_labels(sample_weight, names, name="sample_weight")
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, sample_weight)
    try:
        weight = check_array(
            masked_as_nan(sample_weight), dtype=np.float64, ensure_2d=False, input_name="sample_weight"
        )
    except ValueError as error:
        raise ValueError(f"sample_weight must be an array of finite numbers: {error}") from error
    shapes = [(n_samples,)] if n_labels is None else [(n_samples,), (n_samples, n_labels)]
    if weight.shape not in shapes:
        expected = "(n_samples,)" if n_labels is None else "(n_samples,) or (n_samples, n_labels)"
        raise ValueError(
            f"sample_weight must have shape {expected}, here {' or '.join(map(str, shapes))}, got {weight.shape}."
        )
    if (weight < 0).any():
        raise ValueError(f"sample_weight must not be negative, got a smallest value of {weight.min()}.")
    if not (allow_zeros or weight.any()):
        raise ValueError("sample_weight must have a positive value, got zero for every sample.")
    return np.asarray(weight)


def weight_targets(
    targets: Targets,
    encoding: Encoding,
    class_weight: NDArray[np.float64] | None,
    weight: NDArray[np.float64] | None,
) -> Targets:
    """Return targets whose weight is the sample weight times the class weights.

    Parameters
    ----------
    targets : Targets
    encoding : Encoding
    class_weight : ndarray or None
        Result of `Encoding.read_class_weight`.
    weight : ndarray or None
        Checked sample weights.
    """
    if class_weight is not None:
        factor = encoding.weigh(targets, class_weight)
        weight = factor if weight is None else _product(factor, weight)
    return replace(targets, weight=weight)


def weigh_rows(weight: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weight of each row in a mean over rows: the mean weight of its known labels of positive weight.

    A label of weight 0 counts as unknown. A row without known labels of positive weight has weight 0.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels)
    known : bool ndarray of shape (n_samples, n_labels)
    """
    if weight.ndim == 1:
        return np.where(known.any(axis=1), weight, 0.0)
    counted = known & (weight > 0)
    total: NDArray[np.float64] = np.sum(weight, axis=1, where=counted)
    return np.asarray(total / np.maximum(np.count_nonzero(counted, axis=1), 1))


def check_known(n_known: Any, weight: Any) -> None:
    """Raise a ValueError unless a target is known, and one has a positive weight; see `Targets.known_weight`."""
    if not n_known:
        raise ValueError("y must have a known label, got NaN for every one.")
    if not weight:
        raise ValueError("sample_weight and class_weight leave no known label in y with a positive weight.")


def _product(factor: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply two arrays of weights, each of shape (n_samples,) or (n_samples, n_labels)."""
    if factor.ndim == weight.ndim:
        return factor * weight
    return factor.reshape(len(factor), -1) * weight.reshape(len(weight), -1)
