"""Reading X: numbers for a model of this package; numbers, texts or a dict of arrays for a module of the user.

NumPy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import _num_samples, check_array, validate_data

from sk_quadrant._arrays import masked_as_nan
from sk_quadrant._namespaces import Namespace, in_numpy, is_tensor, readable
from sk_quadrant._rows.inputs import ArrayInputs, DictInputs, Inputs, TextInputs
from sk_quadrant._tensors import numpy_dtype

FORMS = (
    "X for a module must be a numeric array of two or more axes, a sequence of strings, or a dict of arrays with one "
    "entry per row (skorch.helper.SliceDict where rows are split)"
)


def read_features(estimator: Any, X: Any, model: Any, namespace: Namespace | None) -> Any:
    """Return X as an estimator takes it, checked: an array, a tensor where it has a namespace, or inputs of a module.

    Parameters
    ----------
    estimator : QuadrantMultiLabelClassifier
    X : {array-like, sparse matrix}, sequence of str or dict of arrays
    model : FittedModel or None
        Model whose rows X must be like, None in the first fit.
    namespace : Namespace or None
        Library and device of X.
    """
    if estimator.module is None if model is None else not model.takes_inputs:
        return read_numbers(estimator, X, namespace, reset=model is None)
    inputs = read_inputs(estimator, X, namespace, reset=model is None)
    return inputs if model is None else model.conform(inputs)


def read_numbers(estimator: Any, X: Any, namespace: Namespace | None, *, reset: bool) -> Any:
    """Return X for a linear model or network of this package, checked: a tensor with a namespace."""
    if namespace is None:
        options = {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "reset": reset}
        with texts_explained(X):
            return validate_data(estimator, masked_as_nan(in_numpy(X)), **options)
    return namespace.tensor(validate_data(estimator, namespace.bring(X), dtype=namespace.dtypes, reset=reset))


def read_inputs(estimator: Any, X: Any, namespace: Namespace | None, *, reset: bool) -> Inputs:
    """Return the inputs of a module of the user, checked."""
    inputs = read_texts_or_dict(X)
    if inputs is None:
        with padding_explained("X"):
            X = masked_as_nan(in_numpy(X)) if namespace is None else namespace.bring(X)
            X = validate_data(estimator, X, allow_nd=True, reset=reset)
        return ArrayInputs(check_is_numeric(X if namespace is None else namespace.tensor(X), "X"))
    if reset:
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)
    return inputs


def read_texts_or_dict(X: Any) -> Inputs | None:
    """Return texts or a dict of arrays as inputs, None for a numeric array.

    Raises
    ------
    ValueError, TypeError
        If X has none of the three forms.
    """
    if isinstance(X, Inputs):
        return X
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse X is not possible with a module, got {type(X).__name__}. {FORMS}. Use X.toarray(), or "
            "sklearn.decomposition.TruncatedSVD before this step."
        )
    if isinstance(X, Mapping):
        return _read_dict(X)
    return TextInputs(_as_texts(X)) if _looks_like_texts(X) else None


def _read_dict(X: Mapping[Any, Any]) -> DictInputs:
    if not X or not all(isinstance(name, str) for name in X):
        raise ValueError(f"{FORMS}, got a dict with the keys {list(X)}.")
    parts = {name: as_numbers(part, f"X[{name!r}]") for name, part in X.items()}
    lengths = {name: len(part) for name, part in parts.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"All arrays of X must have the same number of rows, got {lengths}.")
    return DictInputs(parts)


def as_numbers(array: Any, name: str) -> NDArray[Any]:
    """Return an array of numbers; objects become float64, other dtypes stay."""
    array = readable(array).cpu().numpy() if is_tensor(array) else masked_as_nan(array)
    with padding_explained(name):
        checked = check_array(array, dtype="numeric", ensure_2d=False, allow_nd=True, input_name=name)
    return np.asarray(check_is_numeric(checked, name))


@contextmanager
def padding_explained(name: str) -> Iterator[None]:
    """Replace the error of NumPy about an inhomogeneous array by one that explains padding."""
    try:
        yield
    except ValueError as error:
        if "setting an array element" in str(error):
            raise ValueError(f"{name} has rows of different lengths. Pad them to one length.") from error
        raise


@contextmanager
def texts_explained(X: Any) -> Iterator[None]:
    """Say in the error of NumPy about texts, or a dict of arrays, as X what turns them into numbers."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not (isinstance(X, Mapping) or "could not convert string to float" in str(error)):
            raise
        raise type(error)(
            f"X must hold numbers for a linear model: {error}. Put a step such as TfidfVectorizer or OrdinalEncoder "
            "before the classifier in a pipeline, or pass a network that reads texts or a dict of arrays as module."
        ) from error


def check_is_numeric(array: Any, name: str) -> Any:
    """Raise a ValueError unless an array, or tensor, holds real numbers; return it."""
    if numpy_dtype(array).kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}.")
    return array


def _looks_like_texts(X: Any) -> bool:
    """Whether X can only be text."""
    if isinstance(X, str):
        raise ValueError(f"{FORMS}, got a single string. Put it into a list.")
    if isinstance(X, list | tuple):
        return len(X) > 0 and isinstance(X[0], str)
    kind = getattr(getattr(X, "dtype", None), "kind", "f")
    return bool(kind in "OUST" and getattr(X, "size", 0) and _first_is_text(X))


def _first_is_text(X: Any) -> bool:
    return isinstance(np.asarray(X, dtype=object).flat[0], str | bytes)


def _as_texts(X: Any) -> NDArray[np.object_]:
    """Return strings as an array, or raise an error that names the first other entry."""
    texts = np.empty(_num_samples(X), dtype=object)
    if np.ndim(X) > 1 and not isinstance(X, list | tuple):
        raise ValueError(f"Strings in X must have shape (n_samples,), got {np.shape(X)}. Pass a single column.")
    texts[:] = list(X)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"All entries of X must be strings like the first one, got X[{i}] = {text!r}.")
    return texts
