"""Conversion of the classifiers of this package to ONNX by skl2onnx.

For each classifier a table says what it needs from the classifiers below it, and what it makes of it. Functions named
``compute`` return decisions, as the encoding of y decodes them, and probabilities, or scores if only these are wanted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sk_quadrant._calibration.calibrators import LogisticMap
from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV
from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant._cross_validation.classifier import QuadrantMultiLabelClassifierCV
from sk_quadrant._namespaces import move_to_numpy
from sk_quadrant._thresholds.base import ThresholdClassifier
from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV
from sk_quadrant._thresholds.fixed import FixedThresholdMultiLabelClassifier
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier
from sk_quadrant.io._onnx_values import Graph, Values, dtype_of

LARGEST = np.finfo(np.float64).max
INSIDE = (np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).eps / 2)  # probabilities with finite log-odds


def inputs_of_own(scope: Any, model: Any, inputs: Any) -> Any:
    """Return the features."""
    if model.model_.takes_inputs:
        raise TypeError(
            f"skl2onnx cannot convert {model.model_.summary}. Use torch.onnx.export; the user guide on networks shows "
            "how the link and the threshold are included."
        )
    return inputs


def inputs_of_tuned(scope: Any, model: Any, inputs: Any) -> Any:
    """Return the response of the classifier whose thresholds are tuned or given."""
    if model.rule is not None:
        raise ValueError(
            f"rule={model.rule!r} of {type(model).__name__} cannot be converted to ONNX. Convert estimator_ instead, "
            "and apply the rule to its probabilities; min_labels and max_labels can be converted."
        )
    return declare_below(scope, model.estimator_, inputs, model.response_method_)


def inputs_of_calibrated(scope: Any, model: Any, inputs: Any) -> Any:
    """Return the responses that are calibrated."""
    pairs = model.calibrated_classifiers_
    methods = ["decision_function" if pair.log_odds is None else "predict_proba" for pair in pairs]
    below = [declare_below(scope, pair.estimator, inputs, method) for pair, method in zip(pairs, methods, strict=True)]
    return [variable for each in below for variable in each]


def inputs_of_chosen(scope: Any, model: Any, inputs: Any) -> Any:
    """Return the scores of the classifier whose loss, C, thresholds and calibration were chosen together."""
    return declare_below(scope, model.estimator_, inputs, "decision_function")


def inputs_of_hierarchical(scope: Any, model: Any, inputs: Any) -> Any:
    """Return the labels and probabilities of the classifier of labels in a tree."""
    labels, values = declare_below(scope, model.estimator_, inputs)
    if values.raw_name != "probabilities":
        raise ValueError(
            "The estimator of HierarchicalMultiLabelClassifier must give probabilities to be converted to ONNX, got "
            f"{values.raw_name}. Use response_method='predict_proba', a loss with a link, or calibration."
        )
    return [labels, values]


def declare_below(scope: Any, estimator: Any, inputs: Any, method: str | None = None) -> list[Any]:
    """Declare a classifier of this package below another, and return its labels and values, in double precision.

    With a method, the labels are not needed, and the values are those of the method.
    """
    from skl2onnx._parse import _parse_sklearn
    from skl2onnx.common.data_types import DoubleTensorType

    estimator, last = _unwrapped(estimator, with_thresholds=method is None)
    if type(last) not in CONVERSIONS:
        raise TypeError(
            "The estimator of a meta-estimator must be a QuadrantMultiLabelClassifier, another meta-estimator of this "
            f"package, or a pipeline that ends in one, to be converted to ONNX, got {type(last).__name__}."
        )
    if method is not None and "raw_scores" in CONVERSIONS[type(last)].options:
        scope.add_options(id(last), {"raw_scores": method == "decision_function"})
    labels, values = _parse_sklearn(scope, estimator, inputs)
    values.type = DoubleTensorType()
    return [labels, values]


def _unwrapped(estimator: Any, *, with_thresholds: bool) -> tuple[Any, Any]:
    """Return the estimator, or pipeline, whose values an estimator passes on, and its last step."""
    if isinstance(estimator, FrozenEstimator):
        return _unwrapped(estimator.estimator, with_thresholds=with_thresholds)
    if isinstance(estimator, ThresholdClassifier) and not with_thresholds:
        return _unwrapped(estimator.estimator_, with_thresholds=False)
    if not isinstance(estimator, Pipeline):
        return estimator, estimator
    name, step = estimator.steps[-1]
    below, last = _unwrapped(step, with_thresholds=with_thresholds)
    return Pipeline([*estimator.steps[:-1], (name, below)]), last


def values_below(graph: Graph, encoding: Any, variable: Any) -> Values:
    """Return probabilities or scores of a classifier below, one column a label."""
    values = Values(graph, variable.full_name).astype(np.float64)
    if not encoding.exclusive:
        return values
    width = 2 if variable.raw_name == "probabilities" else 1  # two classes have two probabilities
    return graph.node("Gather", graph.node("Reshape", values, np.array([-1, width])), np.array([width - 1]), axis=1)


def compute_own(graph: Graph, model: Any, encoding: Any, inputs: Any, only_scores: bool) -> tuple[Values, Any]:
    """Compute the scores of a linear model or a network, and the link of the loss."""
    fitted = model.model_.moved(None)
    scores, thresholds = _network_scores(graph, fitted, inputs).astype(np.float64), fitted.score_threshold
    decisions = encoding.decide(scores, thresholds)
    if only_scores:
        return decisions, encoding.centre(scores, thresholds)
    return decisions, encoding.complete(_link_inverse(fitted.loss, scores))


def compute_chosen(graph: Graph, model: Any, encoding: Any, inputs: Any, only_scores: bool) -> tuple[Values, Any]:
    """Compare scores of the loss with thresholds, and compute the link or the calibration map."""
    scores, thresholds = values_below(graph, encoding, inputs[1]), move_to_numpy(model.best_threshold_)
    if encoding.exclusive:  # the decision values of two classes are shifted to 0
        scores = scores + model.estimator_.model_.score_threshold
    if only_scores:
        return scores > thresholds, encoding.centre(scores, thresholds)
    is_calibrated = model.calibrator_ is not None
    proba = _calibrated(graph, model.calibrator_, scores) if is_calibrated else _link_inverse(model.loss_, scores)
    return scores > thresholds, encoding.complete(proba)


def compute_tuned(graph: Graph, model: Any, encoding: Any, inputs: Any, only_scores: bool) -> tuple[Values, Any]:
    """Compare values with thresholds, with bounds on the number of labels; see `Rule`."""
    values, n_labels = values_below(graph, encoding, inputs[1]), encoding.n_labels
    thresholds = move_to_numpy(model.best_threshold_ if hasattr(model, "best_threshold_") else model.threshold_)
    decisions, result = values > thresholds, encoding.centre(values, 0.0) if only_scores else encoding.complete(values)
    most = n_labels if model.max_labels is None else model.max_labels
    if model.min_labels == 0 and most >= n_labels:
        return decisions, result
    finite = np.isfinite(thresholds)
    infinite = graph.node("Where", decisions, np.array(np.inf), np.array(-np.inf))
    margin = graph.node("Where", finite, values - np.where(finite, thresholds, 0.0), infinite)
    _, by_value = graph.sort(values, n_labels, descending=True)  # of equal margins the largest value comes first
    _, by_margin = graph.sort(graph.node("GatherElements", margin, by_value, axis=1), n_labels, descending=True)
    _, rank = graph.sort(graph.node("GatherElements", by_value, by_margin, axis=1), n_labels)  # inverts the order
    rank = rank.astype(np.float64)
    return (decisions & (rank < most)) | (rank < model.min_labels), result


def compute_calibrated(graph: Graph, model: Any, encoding: Any, inputs: Any, only_scores: bool) -> tuple[Values, Any]:
    """Compute the mean of the calibration maps."""
    pairs, total = model.calibrated_classifiers_, 0.0
    for pair, variable in zip(pairs, inputs[1::2], strict=True):
        values = values_below(graph, encoding, variable)
        scores = values if pair.log_odds is None else _log_odds(values, pair.log_odds.low, pair.log_odds.high)
        total = total + _calibrated(graph, pair.calibrator, scores)
    proba: Any = total / len(pairs)
    if only_scores:
        return proba > 0.5, encoding.centre(_log_odds(proba, *INSIDE), 0.0)
    return proba > 0.5, encoding.complete(proba)


def compute_hierarchical(graph: Graph, model: Any, encoding: Any, inputs: Any, only_scores: bool) -> tuple[Values, Any]:
    """Take the largest value of descendants, or the smallest one of ancestors."""
    is_raising, labels = model.method == "raise_parents", np.arange(model.hierarchy_.n_labels)
    related = model.hierarchy_.close(np.eye(len(labels), dtype=np.int64)) == 1  # ancestors of the label of the row
    related = related.T if is_raising else related
    columns = np.argsort(~related, axis=1, kind="stable")[:, : related.sum(axis=1).max()]
    places = np.where(np.take_along_axis(related, columns, axis=1), columns, labels[:, None])
    extremes = []
    for variable in inputs:
        values = graph.node("Gather", Values(graph, variable.full_name).astype(np.float64), places, axis=1)
        extreme, _ = graph.sort(values, 1, descending=is_raising)
        extremes.append(graph.node("Squeeze", extreme, np.array([2])))
    return extremes[0], extremes[1]


def _network_scores(graph: Graph, model: Any, inputs: Any) -> Values:
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


def _link_inverse(loss: Any, scores: Values) -> Any:
    """Return the probabilities of scores, by the link of the loss."""
    try:
        return loss.link.inverse(scores)
    except (AttributeError, TypeError) as error:
        raise TypeError(
            f"The link of {loss.name!r} cannot be converted: {error} Write its inverse in functions of NumPy."
        ) from error


def _log_odds(proba: Values, low: float, high: float) -> Any:
    inside = proba.clip(low, high)
    return np.log(inside / (1 - inside))


def _calibrated(graph: Graph, calibrator: Any, scores: Any) -> Any:
    """Return the probabilities of a map."""
    if isinstance(calibrator, LogisticMap):
        finite = scores.clip(-LARGEST, LARGEST)
        return graph.node("Sigmoid", finite * calibrator.slope + calibrator.intercept)
    maps = calibrator.regressions
    columns = [graph.node("Gather", scores, np.array([j]), axis=1) for j in range(len(maps))] if maps[1:] else [scores]
    parts = [_isotonic(graph, regression, column) for regression, column in zip(maps, columns, strict=True)]
    return graph.node("Concat", *parts, axis=1)


def _isotonic(graph: Graph, regression: Any, scores: Any) -> Any:
    """Return the values of a piecewise linear function: the first one, and what each piece adds."""
    x, y = (np.asarray(part, dtype=np.float64) for part in (regression.X_thresholds_, regression.y_thresholds_))
    if len(x) == 1:
        return scores * 0.0 + y[0]
    widths, rises = np.diff(x), np.diff(y)
    into = np.maximum(np.minimum(graph.node("Unsqueeze", scores, np.array([-1])) - x[:-1], widths), 0)
    total = graph.node("MatMul", into / widths, rises[:, None])
    return y[0] + graph.node("Squeeze", total, np.array([-1]))


class Conversion(NamedTuple):
    """Conversion of a class of classifiers."""

    alias: str
    declare_inputs: Callable[[Any, Any, Any], Any]
    compute: Callable[[Graph, Any, Any, Any, bool], tuple[Values, Any]]
    options: tuple[str, ...] = ("zipmap",)  # pipelines pass it on to their last step; no effect on multi-label output


BOTH = ("zipmap", "raw_scores")
CONVERSIONS: dict[type, Conversion] = {
    QuadrantMultiLabelClassifier: Conversion("SkQuadrantMultiLabelClassifier", inputs_of_own, compute_own, BOTH),
    QuadrantMultiLabelClassifierCV: Conversion("SkQuadrantCV", inputs_of_chosen, compute_chosen, BOTH),
    CalibratedMultiLabelClassifierCV: Conversion(
        "SkQuadrantCalibrated", inputs_of_calibrated, compute_calibrated, BOTH
    ),
    HierarchicalMultiLabelClassifier: Conversion(
        "SkQuadrantHierarchical", inputs_of_hierarchical, compute_hierarchical
    ),
    TunedThresholdMultiLabelClassifierCV: Conversion("SkQuadrantTunedThreshold", inputs_of_tuned, compute_tuned),
    FixedThresholdMultiLabelClassifier: Conversion("SkQuadrantFixedThreshold", inputs_of_tuned, compute_tuned),
}


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
