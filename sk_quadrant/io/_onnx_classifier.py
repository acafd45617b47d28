"""Conversion of the classifier to ONNX: scores, the link of the loss, and the thresholds, as nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_quadrant.io._onnx_steps import warn_of_steps
from sk_quadrant.io._onnx_values import Graph, Values


def declare(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a model: its labels, and its probabilities or scores."""
    from skl2onnx import get_model_alias
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    check_is_fitted(model)
    if model.model_.takes_inputs:
        raise TypeError(
            f"skl2onnx cannot convert {model.model_.summary}. Use torch.onnx.export; the user guide on networks shows "
            "how the link and the threshold are included."
        )
    warn_of_steps(scope, inputs)
    in_double = any(isinstance(variable.type, DoubleTensorType) for variable in inputs)
    only_scores = model.loss_.link is None or scope.get_options(model, {"raw_scores": False})["raw_scores"]
    types = {
        "label": StringTensorType() if is_text(model.classes_) else Int64TensorType(),
        "scores" if only_scores else "probabilities": DoubleTensorType() if in_double else FloatTensorType(),
    }
    operator = scope.declare_local_operator(get_model_alias(type(model)), model)
    operator.inputs = inputs
    for name, kind in types.items():
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def set_shapes(operator: Any) -> None:
    """Set the shapes of the outputs."""
    model, (labels, values) = operator.raw_operator, operator.outputs
    n_rows, encoding = operator.inputs[0].get_first_dimension(), model.model_.encoding
    labels.type.shape = [n_rows, *encoding.prediction_shape]
    values.type.shape = [n_rows, *(encoding.decision_shape if values.raw_name == "scores" else encoding.classes.shape)]


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes of a model, recorded while its own code computes with values of a graph."""
    model, graph, (labels, values) = operator.raw_operator.model_.moved(None), Graph(scope, container), operator.outputs
    encoding, thresholds = model.encoding.dense(), model.score_threshold
    if encoding.exclusive:  # so that taking a class adds a node
        classes = encoding.classes if is_text(encoding.classes) else encoding.classes.astype(np.int64)
        encoding = replace(encoding, classes=graph.constant(classes))
    scores = _scores(graph, model, operator.inputs).cast(np.float64)
    graph.output(encoding.decode([encoding.decide(scores, thresholds)]), labels.full_name)
    if values.raw_name == "scores":
        result = encoding.centre(scores, thresholds)
    else:
        result = encoding.complete(link_inverse(model.loss, scores))
    graph.output(result.cast(dtype_of(values)), values.full_name)


def _scores(graph: Graph, model: Any, inputs: Any) -> Values:
    """Return the scores, computed in the precision of the model."""
    dtype, architecture, layers = model.dtype, model.architecture, model.dense_layers()
    if model.is_linear:  # it follows X if that is more precise; a network keeps its precision
        dtype = np.result_type(dtype, *(dtype_of(variable) for variable in inputs))
    columns = [graph.value(variable.full_name).cast(dtype) for variable in inputs]
    values = columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)
    for k, (weight, intercept) in enumerate(layers):
        product = graph.node("MatMul", values, weight.T.astype(dtype))
        outputs = graph.node("Add", product, intercept.astype(dtype))
        if k < len(layers) - 1:
            outputs = ACTIVATIONS[architecture.activation](outputs).cast(dtype)
            if architecture.residual and weight.shape[0] == weight.shape[1]:
                outputs = graph.node("Add", outputs, values)
        values = outputs
    return values


def dtype_of(variable: Any) -> Any:
    """Return the precision to compute with a variable; NumPy takes integers as doubles."""
    from skl2onnx.common.data_types import FloatTensorType

    return np.float32 if isinstance(variable.type, FloatTensorType) else np.float64


def _gelu(values: Values) -> Any:
    """Return x times the normal distribution function of x; runtimes know the error function in single precision."""
    error = values.graph.node("Erf", (values.cast(np.float64) / np.sqrt(2.0)).cast(np.float32))
    return values.cast(np.float64) * 0.5 * (1.0 + error.cast(np.float64))


ACTIVATIONS: dict[str, Callable[[Values], Any]] = {
    "identity": lambda values: values,
    "relu": lambda values: values.graph.node("Relu", values),
    "tanh": lambda values: values.graph.node("Tanh", values),
    "gelu": _gelu,
}


def link_inverse(loss: Any, scores: Values) -> Any:
    """Return the probabilities of scores, by the link of the loss."""
    try:
        return loss.link.inverse(scores)
    except (AttributeError, TypeError) as error:
        raise TypeError(
            f"The link of {loss.name!r} cannot be converted: {error} Write its inverse in functions of NumPy."
        ) from error


def is_text(classes: Any) -> bool:
    """Return whether classes are strings, and raise unless they are strings or integers."""
    if all(isinstance(value, str) for value in classes.tolist()):
        return True
    if all(isinstance(value, int) for value in classes.tolist()):
        return False
    raise TypeError(f"classes_ must be integers or strings, the labels that ONNX knows, got {classes!r}.")
