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
    check_is_fitted(model)
    if model.model_.takes_inputs:
        raise TypeError(
            f"skl2onnx cannot convert {model.model_.summary}. Use torch.onnx.export; the user guide on networks shows "
            "how the link and the threshold are included."
        )
    warn_of_steps(scope, inputs)
    only_scores = model.loss_.link is None or scope.get_options(model, {"raw_scores": False})["raw_scores"]
    second = "scores" if only_scores else "probabilities"
    return declare_outputs(scope, model, inputs, inputs, model.classes_, second)


def declare_outputs(scope: Any, model: Any, inputs: Any, below: list[Any], classes: Any, second: str) -> Any:
    """Declare labels of the type of the classes, and a second output in the precision of the inputs.

    Parameters
    ----------
    scope : skl2onnx Scope
    model : object
    inputs : list of skl2onnx Variable
        Features.
    below : list of skl2onnx Variable
        Inputs of the nodes of the model: features, or outputs of the classifiers below it.
    classes : ndarray
    second : {"probabilities", "scores"}
    """
    from skl2onnx import get_model_alias
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    operator = scope.declare_local_operator(get_model_alias(type(model)), model)
    operator.inputs.extend(below)
    label_type = StringTensorType if is_text(classes) else Int64TensorType
    in_double = any(isinstance(variable.type, DoubleTensorType) for variable in inputs)
    for name, kind in (("label", label_type), (second, DoubleTensorType if in_double else FloatTensorType)):
        operator.outputs.append(scope.declare_local_variable(name, kind()))
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
    encoding, thresholds = recording(graph, model.encoding), model.score_threshold
    scores = _scores(graph, model, operator.inputs).astype(np.float64)
    graph.output(encoding.decode([encoding.decide(scores, thresholds)]), labels.full_name)
    if values.raw_name == "scores":
        result = encoding.centre(scores, thresholds)
    else:
        result = encoding.complete(link_inverse(model.loss, scores))
    graph.output(result.astype(dtype_of(values)), values.full_name)


def recording(graph: Graph, encoding: Any) -> Any:
    """Return an encoding with dense predictions which adds a node where it takes a class."""
    encoding = encoding.dense()
    if not encoding.exclusive:
        return encoding
    classes = encoding.classes if is_text(encoding.classes) else encoding.classes.astype(np.int64)
    return replace(encoding, classes=graph.constant(classes))


def _scores(graph: Graph, model: Any, inputs: Any) -> Values:
    """Return the scores, computed in the precision of the model."""
    dtype, architecture, layers = model.dtype, model.architecture, model.dense_layers()
    if model.is_linear:  # it follows X if that is more precise; a network keeps its precision
        dtype = np.result_type(dtype, *(dtype_of(variable) for variable in inputs))
    columns = [Values(graph, variable.full_name).astype(dtype) for variable in inputs]
    values = columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)
    for k, (weight, intercept) in enumerate(layers):
        product = graph.node("MatMul", values, weight.T.astype(dtype))
        outputs = graph.node("Add", product, intercept.astype(dtype))
        if k < len(layers) - 1:
            outputs = ACTIVATIONS[architecture.activation](outputs).astype(dtype)
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
    error = values.graph.node("Erf", (values.astype(np.float64) / np.sqrt(2.0)).astype(np.float32))
    return values.astype(np.float64) * 0.5 * (1.0 + error.astype(np.float64))


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
