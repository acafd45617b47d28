"""Comparison of a converted model with the estimator, on rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

METHODS = {"label": "predict", "probabilities": "predict_proba", "scores": "decision_function"}
DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(string)": object,
}


def verify_onnx(model_onnx: Any, estimator: Any, X: Any, *, rtol: float = 1e-4, atol: float = 1e-5) -> float:
    """Check that a converted model predicts the same as the estimator.

    Not all steps of scikit-learn are the same in ONNX: ``TfidfVectorizer(sublinear_tf=True)`` is another function
    there. Call this after each conversion, with rows that are similar to those of the application.

    Parameters
    ----------
    model_onnx : onnx.ModelProto, bytes or path
        Result of ``skl2onnx.to_onnx`` for `estimator` after :func:`~sk_quadrant.io.register_onnx_converters`.
    estimator : object
        Fitted classifier of this package, or pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), DataFrame, or texts of shape (n_samples,)
        Rows to compare. If the model has several inputs, they take the columns of a DataFrame by name.
    rtol : float, default=1e-4
        Relative tolerance: the largest difference of probabilities or scores is ``atol + rtol * abs(expected)``. The
        default allows for steps and rows in single precision.
    atol : float, default=1e-5
        Absolute tolerance.

    Returns
    -------
    difference : float
        Largest absolute difference of probabilities or scores.

    Raises
    ------
    ValueError
        If a label, probability or score differs, or their number, or `X` does not have the inputs of the model.

    See Also
    --------
    register_onnx_converters : Let skl2onnx convert the classifiers.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.io import register_onnx_converters, verify_onnx
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> model = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y)
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> verify_onnx(to_onnx(model, X[:1]), model, X) < 1e-12  # doctest: +SKIP
    True
    """
    found = _run(model_onnx, X)
    expected = {name: _dense(getattr(estimator, METHODS[name])(X)) for name in found}
    for name, array in found.items():
        if array.size != expected[name].size:
            raise ValueError(
                f"model_onnx must be a conversion of estimator: its output {name!r} has shape {array.shape}, "
                f"{METHODS[name]} of {type(estimator).__name__} gives {expected[name].shape}."
            )
    values = next(name for name in found if name != "label")
    n_different = np.count_nonzero(found["label"] != expected["label"])
    difference = abs(found[values] - expected[values].reshape(found[values].shape))
    is_close = difference <= atol + rtol * abs(expected[values].reshape(found[values].shape))  # NaN is not
    largest = float(difference.max(initial=0.0))
    if n_different or not is_close.all():
        raise ValueError(
            f"The converted model differs from {type(estimator).__name__}: {n_different} of {expected['label'].size} "
            f"labels, and {np.count_nonzero(~is_close)} of {is_close.size} {values} by more than atol={atol} and "
            f"rtol={rtol}, the largest difference is {largest:.3g}. Compare the steps of the pipeline one by one: "
            "features of texts often differ, and single precision may be too little."
        )
    return largest


def _run(model_onnx: Any, X: Any) -> dict[str, NDArray[Any]]:
    """Return the outputs of a converted model by name."""
    import onnxruntime

    source = model_onnx.SerializeToString() if hasattr(model_onnx, "SerializeToString") else model_onnx
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    if "label" not in names or len(names) != 2 or not set(names) <= METHODS.keys():
        raise ValueError(
            "model_onnx must have the outputs 'label' and 'probabilities' or 'scores' of a classifier of this package, "
            f"got {names}."
        )
    inputs = {each.name: each for each in session.get_inputs()}
    is_frame = len(inputs) > 1
    if is_frame and not inputs.keys() <= set(getattr(X, "columns", ())):
        raise ValueError(f"X must be a DataFrame with the columns {list(inputs)}, the inputs of model_onnx.")
    feeds = {name: _tensor(X[name] if is_frame else X, each) for name, each in inputs.items()}
    return dict(zip(names, session.run(names, feeds), strict=True))


def _tensor(values: Any, description: Any) -> NDArray[Any]:
    array = _dense(values).astype(DTYPES[description.type])
    return array.reshape(-1, 1) if array.ndim == 1 and len(description.shape) == 2 else array


def _dense(values: Any) -> NDArray[Any]:
    return np.asarray(values.toarray() if sparse.issparse(values) else values)
