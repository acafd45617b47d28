"""Conversion of each classifier to ONNX: what it needs from the classifiers below it, and what it makes of it.

Functions named ``compute`` return decisions, as the encoding of y decodes them, and probabilities, or scores if only
these are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

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
