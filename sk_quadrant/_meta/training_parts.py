"""Training the classifier inside a meta-estimator, and what is said where a label has one class only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples


def train(
    estimator: Any, X: Any, y: Any, params: Mapping[str, Any], is_constant: Callable[[], NDArray[np.bool_]]
) -> Any:
    """Fit the estimator, or raise an error that names the labels with a single class, if there are any.

    Parameters
    ----------
    estimator : estimator instance
    X, y, params
        What `fit` of the estimator takes.
    is_constant : callable
        Returns which labels have a single class in y, shape (n_labels,).
    """
    try:
        return estimator.fit(X, y, **params)
    except ValueError as error:
        constant = np.flatnonzero(is_constant())
        if constant.size == 0:
            raise
        raise ValueError(
            f"{type(estimator).__name__} could not be trained on {_num_samples(X)} rows where {constant.size} "
            f"labels, with indices {constant[:5].tolist()} and so on, have a single class. Use fewer folds or a "
            "stratified cv, leave these labels out, or take an estimator that accepts them, such as "
            "OneVsRestClassifier."
        ) from error
