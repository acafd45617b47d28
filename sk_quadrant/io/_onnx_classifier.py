"""Conversion of the classifier to ONNX: scores, the link of the loss, and the thresholds, as nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_quadrant.io._onnx_values import Graph, Values

ALIAS = "SkQuadrantMultiLabelClassifier"


def declare(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a model: its labels, and its probabilities or scores."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    check_is_fitted(model)
    in_double = any(isinstance(variable.type, DoubleTensorType) for variable in inputs)
    only_scores = model.loss_.link is None or scope.get_options(model, {"raw_scores": False})["raw_scores"]
    types = {
        "label": StringTensorType() if is_text(model.classes_) else Int64TensorType(),
        "scores" if only_scores else "probabilities": DoubleTensorType() if in_double else FloatTensorType(),
    }
    operator = scope.declare_local_operator(ALIAS, model)
    operator.inputs = inputs
    for name, kind in types.items():
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def set_shapes(operator: Any) -> None:
    """Set the shapes of the outputs."""
    model, (labels, values) = operator.raw_operator, operator.outputs
    n_rows = operator.inputs[0].get_first_dimension()
    table = [n_rows, len(model.classes_)]
    labels.type.shape = table if model._encoding.kind == "multilabel" else [n_rows]
    values.type.shape = [n_rows] if model._encoding.kind == "binary" and values.raw_name == "scores" else table


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes of a model."""
    model, graph, (labels, values) = operator.raw_operator, Graph(scope, container), operator.outputs
    scores = _scores(graph, model, operator.inputs).cast(np.float64)
    graph.output(_labels(graph, model, scores), labels.full_name)
    result = (_decision_function if values.raw_name == "scores" else _proba)(graph, model, scores)
    graph.output(result.cast(dtype_of(values)), values.full_name)


def _scores(graph: Graph, model: Any, inputs: Any) -> Values:
    """Return the scores, computed in the precision in which the model computes them."""
    layers = model._layers()
    dtype = layers[0][0].dtype  # of a network; a linear model follows X if that is more precise
    if len(layers) == 1:
        dtype = np.result_type(dtype, *(dtype_of(variable) for variable in inputs))
    columns = [graph.value(variable.full_name).cast(dtype) for variable in inputs]
    values = columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)
    for k, (weight, intercept) in enumerate(layers):
        product = graph.node("MatMul", values, weight.T.astype(dtype))
        outputs = graph.node("Add", product, intercept.astype(dtype))
        if k < len(layers) - 1:
            outputs = ACTIVATIONS[model._network[1]](outputs).cast(dtype)
            if model._network[2] and weight.shape[0] == weight.shape[1]:
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


def _labels(graph: Graph, model: Any, scores: Any) -> Values:
    """Return what `predict` returns."""
    if model._encoding.kind == "multilabel":
        return graph.node("Greater", scores, model._cut).cast(np.int64)
    if model._encoding.kind == "binary":
        index = graph.node("Squeeze", graph.node("Greater", scores, model._cut).cast(np.int64), np.array([1]))
    else:
        index = graph.node("ArgMax", scores, axis=1, keepdims=0)
    classes = model.classes_ if is_text(model.classes_) else model.classes_.astype(np.int64)
    return graph.node("Gather", graph.constant(classes), index)


def _decision_function(graph: Graph, model: Any, scores: Any) -> Any:
    """Return what `decision_function` returns."""
    if model._encoding.kind == "binary":
        return graph.node("Squeeze", scores - model._cut, np.array([1]))
    return scores


def _proba(graph: Graph, model: Any, scores: Values) -> Any:
    """Return what `predict_proba` returns."""
    try:
        proba = model.loss_.link._inverse(scores)
    except (AttributeError, TypeError) as error:
        raise TypeError(
            f"The link of {model.loss_.name!r} cannot be converted: {error} Write its inverse in functions of NumPy."
        ) from error
    if model._encoding.kind == "binary":
        return graph.node("Concat", 1 - proba, proba, axis=1)
    if model._encoding.kind == "multiclass":
        total = graph.node("MatMul", proba, np.ones((len(model.classes_), 1)))
        return graph.node("Div", proba, total)
    return proba


def is_text(classes: Any) -> bool:
    """Return whether classes are strings, and raise unless they are strings or integers."""
    if all(isinstance(value, str) for value in classes.tolist()):
        return True
    if all(isinstance(value, int) for value in classes.tolist()):
        return False
    raise TypeError(f"classes_ must be integers or strings, the labels that ONNX knows, got {classes!r}.")
