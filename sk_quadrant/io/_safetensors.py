"""Linear models as safetensors files: arrays, and a description in JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

import sk_quadrant
from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant._model.fitted import FittedModel, loss_from_dict, loss_to_dict
from sk_quadrant._saved_state import warn_of_version
from sk_quadrant._targets.encodings import ENCODINGS, Encoding, encoding_from_dict

FORMAT = "sk_quadrant 1"
AS_TEXT = ("format", "sk_quadrant_version")  # metadata that are not JSON
Arrays = dict[str, NDArray[Any]]
CSR_PARTS = ("data", "indices", "indptr")
PLAIN_KINDS = "biufUO"  # dtypes of classes that JSON can hold


def save_safetensors(model: QuadrantMultiLabelClassifier, path: str | os.PathLike[str]) -> None:
    """Save a fitted linear model as a safetensors file.

    The file holds four arrays: `coef` of shape (n_labels, n_features), `intercept`, `threshold` (the attribute
    `threshold_`) and `cut` (the score above which a label is predicted), each of shape (n_labels,). A sparse `coef` is
    three arrays, `coef.data`, `coef.indices` and `coef.indptr` of its CSR form. The metadata of the file are strings in
    JSON: `loss` (name and parameters), `classes`, `label_names`, `feature_names`, `n_features`, `parameters` of the
    estimator as far as JSON can hold them, and `sk_quadrant_version`; `sha256` is a check sum of all the others. With a
    single row of `coef`, for a binary 1-D `y`, the probability is that of the second class.

    Parameters
    ----------
    model : QuadrantMultiLabelClassifier
        Fitted model without hidden layers, with a loss of this package.
    path : str or path-like
        File to write; an existing file is replaced.

    Raises
    ------
    TypeError
        If `model` is not a `QuadrantMultiLabelClassifier`, or JSON cannot hold its loss, classes or label names.
    ValueError
        If `model` has hidden layers.
    NotFittedError
        If `model` is not fitted.

    See Also
    --------
    load_safetensors : Read such a file.
    register_onnx_converters : Convert models and pipelines to ONNX.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.io import load_safetensors, save_safetensors
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> model = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y)
    >>> with TemporaryDirectory() as folder:
    ...     save_safetensors(model, Path(folder) / "model.safetensors")
    ...     loaded = load_safetensors(Path(folder) / "model.safetensors")
    >>> loaded.predict([[2.0, -1.0]])
    array([[1, 0]])
    """
    from safetensors.numpy import save_file

    _check_model(model)
    fitted = model.model_.moved(None)
    ((coef, intercept),) = fitted.layers
    arrays = {"intercept": intercept, "threshold": fitted.threshold, "cut": fitted.score_threshold}
    if sparse.issparse(coef):
        arrays |= {f"coef.{name}": getattr(coef, name) for name in CSR_PARTS}
    else:
        arrays["coef"] = coef
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {name: json.dumps(value, default=_as_json) for name, value in _description(model).items()}
    metadata |= {"format": FORMAT, "sk_quadrant_version": sk_quadrant.__version__}
    save_file(arrays, path, metadata | {"sha256": check_sum(arrays, metadata)})


def load_safetensors(path: str | os.PathLike[str]) -> QuadrantMultiLabelClassifier:
    """Load a model that `save_safetensors` has saved.

    It predicts exactly the same as the saved model. No code in the file is run, so it may come from an untrusted
    source.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    QuadrantMultiLabelClassifier
        Fitted model, without `loss_curve_` and `history_`, which are empty.

    Raises
    ------
    ValueError
        If the file is truncated, altered or not a model of this package.

    Warns
    -----
    InconsistentVersionWarning
        If the model was saved by another version of this package.

    See Also
    --------
    save_safetensors : Write such a file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.io import load_safetensors, save_safetensors
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.safetensors"
    ...     save_safetensors(QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y), path)
    ...     load_safetensors(path).predict([[2.0, -1.0]])
    array([[1, 0]])
    """
    arrays, metadata = _read(path)
    written, found = metadata.pop("sha256", ""), check_sum(arrays, metadata)
    if written != found:
        raise ValueError(f"{os.fspath(path)} was altered after it was saved: its check sum does not fit.")
    try:
        return _model(arrays, metadata)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} does not describe a model: {type(error).__name__}: {error}") from error


def check_sum(arrays: Arrays, metadata: Mapping[str, str]) -> str:
    """Return a hash of all arrays and metadata."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_model(model: Any) -> None:
    if not isinstance(model, QuadrantMultiLabelClassifier):
        raise TypeError(
            f"model must be a QuadrantMultiLabelClassifier, got {type(model).__name__}. Of a pipeline, save the last "
            "step, or all of it by skops or ONNX."
        )
    check_is_fitted(model)
    if not model.model_.is_linear:
        raise ValueError(f"model must be linear, got {model.model_.summary}. Save networks by skops or pickle.")
    if not isinstance(loss_to_dict(model.loss_), Mapping):
        raise TypeError(
            f"The loss of model must be one of sk_quadrant.losses, got {type(model.loss_).__name__}, whose formula a "
            "file without code cannot hold. Use pickle."
        )
    for name in ("classes_", "label_names_in_"):
        values = getattr(model, name, np.empty(0))
        if values.dtype.kind not in PLAIN_KINDS or not all(isinstance(v, str | int | float) for v in values.tolist()):
            raise TypeError(f"{name} must hold numbers or strings to be written as JSON, got {values!r}.")


def _description(model: QuadrantMultiLabelClassifier) -> dict[str, Any]:
    """Return the metadata of a model as values that JSON can hold."""
    parameters = model.get_params(deep=False) | {"loss": loss_to_dict(model.loss)}
    parameters.pop("hidden_layer_sizes")  # always empty
    encoding = model.model_.encoding
    return {
        "loss": loss_to_dict(model.loss_),
        "kind": encoding.kind,
        "classes": encoding.classes,
        "classes_dtype": str(encoding.classes.dtype),
        "label_names": encoding.label_names,
        "sparse_output": getattr(encoding, "container", None) is not None,
        "unobserved": getattr(encoding, "unobserved", None),
        "feature_names": getattr(model, "feature_names_in_", None),
        "fit_intercept": model.model_.architecture.fit_intercept,
        "order": model.model_.order,
        "n_features": model.n_features_in_,
        "n_iter": model.n_iter_,
        "parameters": {name: value for name, value in sorted(parameters.items()) if _is_plain(value)},
    }


def _as_json(value: Any) -> Any:
    """Return a NumPy array or number as JSON can hold it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not plain")


def _is_plain(value: Any) -> bool:
    """Return whether JSON can hold a value; its keys are strings."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | np.ndarray | np.generic)


def _read(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, str]]:
    """Return arrays and metadata of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)} is truncated or not a safetensors file ({error}).") from error
    if metadata.pop("format", None) != FORMAT:
        raise ValueError(
            f"{os.fspath(path)} holds no model of this package in the form {FORMAT!r}, got metadata {metadata!r:.200}. "
            "Files of save_safetensors, of this version or an older one, can be read."
        )
    return arrays, metadata | {"format": FORMAT}


def _model(arrays: Arrays, metadata: Mapping[str, str]) -> QuadrantMultiLabelClassifier:
    """Return the model from arrays and metadata."""
    values = {name: json.loads(text) for name, text in metadata.items() if name not in AS_TEXT}
    if not isinstance(values["loss"], Mapping) or values["kind"] not in ENCODINGS:
        raise ValueError(f"loss={values['loss']!r} and kind={values['kind']!r} are unknown.")
    encoding: dict[str, Any] = {
        "kind": values["kind"],
        "classes": np.array(values["classes"], dtype=values["classes_dtype"]),
        "label_names": _as_array(values["label_names"], object),
    }
    if values["kind"] == "multilabel":
        encoding["container"] = "csr_matrix" if values["sparse_output"] else None
        encoding["unobserved"] = _as_array(values.get("unobserved"), bool)
    parameters = {"loss": values["loss"], **values["parameters"]}
    model = QuadrantMultiLabelClassifier(**parameters | {"loss": loss_from_dict(parameters["loss"])})
    feature_names = _as_array(values["feature_names"], object)
    arrays = _with_coef(arrays, values)
    _check_arrays(arrays, encoding_from_dict(encoding), feature_names)
    fitted = {
        "layers": [(arrays["coef"], arrays["intercept"])],
        "architecture": {
            "hidden_layer_sizes": (),
            "activation": model.activation,
            "residual": bool(model.residual),
            "fit_intercept": values["fit_intercept"],
        },
        "encoding": encoding,
        "loss": values["loss"],
        "threshold": arrays["threshold"],
        "score_threshold": arrays["cut"],
    }
    model.model_ = FittedModel.from_dict(fitted)
    model.n_features_in_, model.n_iter_ = arrays["coef"].shape[-1], values["n_iter"]
    model.loss_curve_, model.history_, model.training_state_ = [], [], {}
    if feature_names is not None:
        model.feature_names_in_ = feature_names
    warn_of_version(type(model).__name__, metadata["sk_quadrant_version"])
    return model


def _with_coef(arrays: Arrays, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays with the weights in their original form, dense or CSR."""
    if "coef" in arrays:
        return arrays | {"coef": np.asarray(arrays["coef"], order=values.get("order", "C"))}
    data, indices, indptr = (arrays[f"coef.{name}"] for name in CSR_PARTS)
    coef = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, values["n_features"]))
    coef.check_format(full_check=True)  # indices out of range would read other memory
    return {name: array for name, array in arrays.items() if not name.startswith("coef.")} | {"coef": coef}


def _as_array(values: list[Any] | None, dtype: type) -> NDArray[Any] | None:
    return None if values is None else np.array(values, dtype=dtype)


def _check_arrays(arrays: Mapping[str, Any], encoding: Encoding, feature_names: NDArray[np.object_] | None) -> None:
    """Raise a ValueError unless the shapes fit each other."""
    n_labels, n_features = encoding.n_labels, arrays["coef"].shape[-1]
    wanted = {"coef": (n_labels, n_features)} | dict.fromkeys(("intercept", "threshold", "cut"), (n_labels,))
    found = {name: array.shape for name, array in arrays.items()}
    if found != wanted:
        raise ValueError(f"arrays must have the shapes {wanted} for these classes, got {found}.")
    if not all(array.dtype.kind == "f" for array in arrays.values()):
        raise ValueError(f"arrays must hold floats, got {[str(array.dtype) for array in arrays.values()]}.")
    for names, wanted_length in ((feature_names, n_features), (encoding.label_names, n_labels)):
        if names is not None and len(names) != wanted_length:
            raise ValueError(f"{wanted_length} names expected, got {len(names)}.")
