"""Registration of the classifiers of this package with skl2onnx, and what their conversions have in common."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.utils.validation import check_is_fitted

from sk_quadrant.io._onnx_models import CONVERSIONS
from sk_quadrant.io._onnx_values import Graph, dtype_of


def register_onnx_converters() -> None:
    """Let skl2onnx convert the classifiers of this package, alone or in pipelines.

    After this call ``skl2onnx.to_onnx`` takes fitted pipelines that end in a `QuadrantMultiLabelClassifier`, linear or
    with hidden layers, and the meta-estimators of this package around such a pipeline. The result has two outputs:
    "label", the output of `predict`, and "probabilities", the output of `predict_proba`. The second is "scores", the
    output of `decision_function`, for a loss without a link, with the option `raw_scores`, and for thresholds of
    decision values. `min_labels` and `max_labels` are converted, ``rule="expected_f1"`` is not. Input in single
    precision gives probabilities in single precision, computed in double precision after the last matrix product.
    Labels of a sparse `y` are dense.

    The link of the loss is converted, also that of a user-defined loss if it is written in functions of NumPy.

    It needs skl2onnx, and onnxruntime or another program to run the result; the extra ``onnx`` installs both.

    See Also
    --------
    verify_onnx : Compare a converted model with the estimator.
    save_safetensors : Save a linear model as arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.io import register_onnx_converters
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> model = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y)
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> converted = to_onnx(model, X[:1].astype(np.float32))  # doctest: +SKIP
    """
    from skl2onnx import update_registered_converter

    for model, conversion in CONVERSIONS.items():
        options = {name: [True, False] for name in conversion.options}
        update_registered_converter(model, conversion.alias, set_shapes, convert, parser=parse, options=options)


def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a model, after those of classifiers below it: labels, and probabilities or scores."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    check_is_fitted(model)
    conversion = CONVERSIONS[type(model)]
    warn_of_steps(scope)
    operator = scope.declare_local_operator(conversion.alias, model)
    operator.inputs.extend(conversion.declare_inputs(scope, model, inputs))
    if "raw_scores" in conversion.options:
        only_scores = scope.get_options(model, {}).get("raw_scores", False) or not hasattr(model, "predict_proba")
    else:
        only_scores = getattr(model, "response_method_", None) == "decision_function"
    in_double = any(isinstance(variable.type, DoubleTensorType) for variable in inputs)
    kinds = {
        "label": StringTensorType if is_text(encoding_of(model).classes) else Int64TensorType,
        "scores" if only_scores else "probabilities": DoubleTensorType if in_double else FloatTensorType,
    }
    operator.outputs.extend(scope.declare_local_variable(name, kind()) for name, kind in kinds.items())
    return operator.outputs


def set_shapes(operator: Any) -> None:
    """Set the shapes of the outputs."""
    encoding, (labels, values) = encoding_of(operator.raw_operator), operator.outputs
    n_rows = operator.inputs[0].get_first_dimension()
    labels.type.shape = [n_rows, *encoding.prediction_shape]
    values.type.shape = [n_rows, *(encoding.decision_shape if values.raw_name == "scores" else encoding.classes.shape)]


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes of a model, recorded while code of the package computes with values of a graph."""
    model, (labels, values), graph = operator.raw_operator, operator.outputs, Graph(scope, container)
    encoding = encoding_of(model).dense()
    if encoding.exclusive:  # predictions take classes of the graph
        classes = encoding.classes if is_text(encoding.classes) else encoding.classes.astype(np.int64)
        encoding = replace(encoding, classes=graph.constant(classes))
    decisions, result = CONVERSIONS[type(model)].compute(
        graph, model, encoding, operator.inputs, values.raw_name == "scores"
    )
    graph.node("Identity", encoding.decode([decisions]), outputs=[labels.full_name])
    graph.node("Identity", result.astype(dtype_of(values)), outputs=[values.full_name])


def encoding_of(model: Any) -> Any:
    """Return the encoding of y of a classifier or meta-estimator."""
    return model.encoding_ if hasattr(model, "encoding_") else model.model_.encoding


def is_text(classes: Any) -> bool:
    """Return whether classes are strings, and raise unless they are strings or integers."""
    for kind in (str, int):
        if all(isinstance(value, kind) for value in classes.tolist()):
            return kind is str
    raise TypeError(f"classes_ must be integers or strings, the labels that ONNX knows, got {classes!r}.")


def warn_of_steps(scope: Any) -> None:
    """Warn of the steps before a model whose features differ in ONNX, measured with skl2onnx 1.20."""
    for operator in scope.operators.values():
        for what in _differences(operator.raw_operator):
            warnings.warn(
                f"skl2onnx computes other features for {type(operator.raw_operator).__name__} {what}. The converted "
                "model may predict something else. Compare by sk_quadrant.io.verify_onnx, or keep this step out of the "
                "graph.",
                UserWarning,
                stacklevel=2,
            )


def _differences(step: Any) -> list[str]:
    """Return descriptions of the parameters with which a step differs."""
    found = []
    if isinstance(step, (TfidfTransformer, TfidfVectorizer)) and step.sublinear_tf:
        found.append("with sublinear_tf=True")
    if isinstance(step, CountVectorizer) and step.analyzer == "word":
        if step.ngram_range[1] > 1:
            found.append(
                f"with ngram_range={step.ngram_range}: it does not join the neighbours of stop words and of words of a "
                "single letter"
            )
        if not all(term.isascii() for term in step.vocabulary_):
            found.append("with words that are not ASCII, which it does not find in a text")
    return found
