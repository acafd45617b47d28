"""Conversion of the meta-estimators to ONNX: what they do with the scores of the classifier below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sk_quadrant._calibration.calibrators import LogisticMap
from sk_quadrant._namespaces import move_to_numpy
from sk_quadrant._thresholds.base import ThresholdClassifier
from sk_quadrant.io._onnx_classifier import declare_outputs, dtype_of, link_inverse, recording
from sk_quadrant.io._onnx_values import Graph, Values

if TYPE_CHECKING:
    from sk_quadrant.hierarchy import LabelHierarchy

INSIDE = (np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).eps / 2)  # probabilities with finite log-odds
LARGEST = np.finfo(np.float64).max


def declare_tuned(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a classifier with thresholds of its own, tuned or given."""
    check_is_fitted(model, "estimator_")
    if model.rule is not None:
        raise ValueError(
            f"rule={model.rule!r} of {type(model).__name__} cannot be converted to ONNX. Convert estimator_ instead, "
            "and apply the rule to its probabilities; min_labels and max_labels can be converted."
        )
    values = _declare_below(scope, model.estimator_, model.response_method_, inputs)
    name = "probabilities" if model.response_method_ == "predict_proba" else "scores"
    return declare_outputs(scope, model, inputs, [values], model.encoding_.classes, name)


def declare_calibrated(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a calibrated classifier."""
    check_is_fitted(model)
    values = [_declare_below(scope, pair.estimator, _method_of(pair), inputs) for pair in model.calibrated_classifiers_]
    return declare_outputs(scope, model, inputs, values, model.encoding_.classes, "probabilities")


def declare_chosen(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a classifier whose loss, C, thresholds and calibration were chosen together."""
    check_is_fitted(model)
    only_scores = not hasattr(model, "predict_proba") or scope.get_options(model, {}).get("raw_scores", False)
    values = _declare_below(scope, model.estimator_, "decision_function", inputs)
    name = "scores" if only_scores else "probabilities"
    return declare_outputs(scope, model, inputs, [values], model.encoding_.classes, name)


def declare_hierarchical(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs of a classifier of labels in a tree."""
    check_is_fitted(model)
    labels, values = _parse_below(scope, model.estimator_, inputs)
    if values.raw_name != "probabilities":
        raise ValueError(
            "The estimator of HierarchicalMultiLabelClassifier must give probabilities to be converted to ONNX, got "
            f"{values.raw_name}. Use response_method='predict_proba', a loss with a link, or calibration."
        )
    return declare_outputs(scope, model, inputs, [labels, values], model.encoding_.classes, "probabilities")


def set_shapes(operator: Any) -> None:
    """Set the shapes of the outputs."""
    encoding, (labels, values) = operator.raw_operator.encoding_, operator.outputs
    n_rows = operator.inputs[0].get_first_dimension()
    labels.type.shape = [n_rows, *encoding.prediction_shape]
    n_columns = 2 if encoding.exclusive and values.raw_name != "scores" else encoding.n_labels
    values.type.shape = [n_rows, n_columns]


def convert_tuned(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes that compare with thresholds."""
    model, graph, (labels, values) = operator.raw_operator, Graph(scope, container), operator.outputs
    answer = Values(graph, operator.inputs[0].full_name).astype(np.float64)
    scores = _scores_below(graph, model, answer, model.estimator_, model.response_method_)
    thresholds = move_to_numpy(model.best_threshold_ if hasattr(model, "best_threshold_") else model.threshold_)
    _write_labels(graph, model, _decided(graph, model, scores, thresholds), labels)
    shown = answer if values.raw_name == "probabilities" else scores
    graph.output(shown.astype(dtype_of(values)), values.full_name)


def convert_chosen(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes that compare scores of the loss with thresholds, and those of the link or the map."""
    model, graph, (labels, values) = operator.raw_operator, Graph(scope, container), operator.outputs
    scores = Values(graph, operator.inputs[0].full_name).astype(np.float64)
    if model.encoding_.exclusive:  # the decision values of two classes are shifted to 0
        scores = graph.node("Reshape", scores, np.array([-1, 1])) + model.estimator_.model_.score_threshold
    thresholds = move_to_numpy(model.best_threshold_)
    _write_labels(graph, model, graph.node("Greater", scores, thresholds), labels)
    if values.raw_name == "scores":
        result = model.encoding_.centre(scores, thresholds)
    elif model.calibrator_ is None:
        result = model.encoding_.complete(link_inverse(model.loss_, scores))
    else:
        result = model.encoding_.complete(_calibrated(graph, model.calibrator_, scores))
    graph.output(result.astype(dtype_of(values)), values.full_name)


def convert_hierarchical(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes that take the largest value of descendants, or the smallest one of ancestors."""
    model, graph = operator.raw_operator, Graph(scope, container)
    is_raising = model.method == "raise_parents"
    lines = _lines(model.hierarchy_)
    places = _padded(lines.T if is_raising else lines)
    dtypes = np.int64, dtype_of(operator.outputs[1])
    for variable, output, dtype in zip(operator.inputs, operator.outputs, dtypes, strict=True):
        related = graph.node("Gather", Values(graph, variable.full_name).astype(np.float64), places, axis=1)
        extreme, _ = graph.sort(related, 1, descending=is_raising)
        graph.output(graph.node("Squeeze", extreme, np.array([2])).astype(dtype), output.full_name)


def convert_calibrated(scope: Any, operator: Any, container: Any) -> None:
    """Write the nodes of the calibration maps."""
    model, graph, (labels, values) = operator.raw_operator, Graph(scope, container), operator.outputs
    total: Any = 0.0
    for pair, variable in zip(model.calibrated_classifiers_, operator.inputs, strict=True):
        answer = Values(graph, variable.full_name).astype(np.float64)
        scores = _scores_below(graph, model, answer, pair.estimator, _method_of(pair))
        if pair.log_odds is not None:
            proba = scores.clip(pair.log_odds.low, pair.log_odds.high)
            scores = np.log(proba / (1 - proba))
        total = total + _calibrated(graph, pair.calibrator, scores)
    proba = total / len(model.calibrated_classifiers_)
    _write_labels(graph, model, graph.node("Greater", proba, 0.5), labels)
    both = graph.node("Concat", 1 - proba, proba, axis=1) if model.encoding_.exclusive else proba
    graph.output(both.astype(dtype_of(values)), values.full_name)


def _declare_below(scope: Any, estimator: Any, method: str, inputs: Any) -> Any:
    """Declare what the classifier below a meta-estimator answers, in double precision, and return it."""
    estimator, last = _answering(estimator)
    if hasattr(last, "loss_"):  # it has the scores of a loss beside probabilities
        scope.add_options(id(last), {"raw_scores": method == "decision_function"})
    return _parse_below(scope, estimator, inputs)[1]


def _parse_below(scope: Any, estimator: Any, inputs: Any) -> list[Any]:
    """Declare a classifier of this package below another, and return its labels and its values in double precision."""
    from skl2onnx._parse import _parse_sklearn
    from skl2onnx.common.data_types import DoubleTensorType

    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    last = _answering(estimator)[1]
    if type(last).__module__.partition(".")[0] != "sk_quadrant":
        raise TypeError(
            "The estimator of a meta-estimator must be a QuadrantMultiLabelClassifier, another meta-estimator of this "
            f"package, or a pipeline that ends in one, to be converted to ONNX, got {type(last).__name__}."
        )
    labels, values = _parse_sklearn(scope, estimator, inputs)
    values.type = DoubleTensorType()
    return [labels, values]


def _answering(estimator: Any) -> tuple[Any, Any]:
    """Return the estimator, or pipeline, whose probabilities and scores an estimator passes on, and its last step."""
    if isinstance(estimator, FrozenEstimator):
        return _answering(estimator.estimator)
    if isinstance(estimator, ThresholdClassifier):
        return _answering(estimator.estimator_)
    if not isinstance(estimator, Pipeline):
        return estimator, estimator
    name, step = estimator.steps[-1]
    below, last = _answering(step)
    return Pipeline([*estimator.steps[:-1], (name, below)]), last


def _method_of(pair: Any) -> str:
    """Return the method of the classifier below whose values a pair calibrates."""
    return "decision_function" if pair.log_odds is None else "predict_proba"


def _scores_below(graph: Graph, model: Any, answer: Values, estimator: Any, method: str) -> Values:
    """Return one column a label of the values of a method, of what the classifier below answers."""
    if method == "predict_proba" or not hasattr(_answering(estimator)[1], "calibrated_classifiers_"):
        return _column_of_labels(graph, model, answer, method)
    proba = _column_of_labels(graph, model, answer, "predict_proba").clip(*INSIDE)
    log_odds: Values = np.log(proba / (1 - proba))  # its decision_function
    return log_odds


def _column_of_labels(graph: Graph, model: Any, answer: Values, method: str) -> Values:
    """Return one column a label of what the classifier answers."""
    if not model.encoding_.exclusive:
        return answer
    width = 2 if method == "predict_proba" else 1  # two classes have two probabilities
    columns = graph.node("Reshape", answer, np.array([-1, width]))
    return graph.node("Gather", columns, np.array([width - 1]), axis=1)


def _decided(graph: Graph, model: Any, scores: Values, thresholds: Any) -> Values:
    """Return the label sets of scores and thresholds, with the bounds on their size; see `Rule`."""
    above, n_labels = graph.node("Greater", scores, thresholds), model.encoding_.n_labels
    if model.min_labels == 0 and (model.max_labels is None or model.max_labels >= n_labels):
        return above
    finite = np.isfinite(thresholds)
    infinite = graph.node("Where", above, np.array(np.inf), np.array(-np.inf))
    margin = graph.node("Where", finite, scores - np.where(finite, thresholds, 0.0), infinite)
    _, by_score = graph.sort(scores, n_labels, descending=True)  # of equal margins the largest score comes first
    _, by_margin = graph.sort(graph.node("GatherElements", margin, by_score, axis=1), n_labels, descending=True)
    _, rank = graph.sort(graph.node("GatherElements", by_score, by_margin, axis=1), n_labels)  # inverts the order
    rank = rank.astype(np.float64)
    allowed = n_labels if model.max_labels is None else model.max_labels
    decided: Values = (above & (rank < allowed)) | (rank < model.min_labels)
    return decided


def _lines(hierarchy: LabelHierarchy) -> Any:
    """Return where the column is the label of the row or above it."""
    return hierarchy.close(np.eye(hierarchy.n_labels, dtype=np.int64)) == 1


def _padded(related: Any) -> Any:
    """Return the columns that are True in each row, filled up with the first of them."""
    width = related.sum(axis=1).max()
    columns = np.argsort(~related, axis=1, kind="stable")[:, :width]
    return np.where(np.take_along_axis(related, columns, axis=1), columns, columns[:, :1])


def _write_labels(graph: Graph, model: Any, decisions: Values, labels: Any) -> None:
    graph.output(recording(graph, model.encoding_).decode([decisions]), labels.full_name)


def _calibrated(graph: Graph, calibrator: Any, scores: Any) -> Any:
    """Return the probabilities of a map."""
    if isinstance(calibrator, LogisticMap):
        finite = scores.clip(-LARGEST, LARGEST)
        return graph.node("Sigmoid", finite * calibrator.slope + calibrator.intercept)
    regressions = calibrator.regressions
    if len(regressions) == 1:
        return _isotonic(graph, regressions[0], scores)
    columns = [graph.node("Gather", scores, np.array([j]), axis=1) for j in range(len(regressions))]
    return graph.node("Concat", *(map(_isotonic, [graph] * len(columns), regressions, columns)), axis=1)


def _isotonic(graph: Graph, regression: Any, scores: Any) -> Any:
    """Return the values of a piecewise linear function: the first one, and what each piece adds."""
    x, y = (np.asarray(part, dtype=np.float64) for part in (regression.X_thresholds_, regression.y_thresholds_))
    if len(x) == 1:
        return scores * 0.0 + y[0]
    widths, rises = np.diff(x), np.diff(y)
    into = np.maximum(np.minimum(graph.node("Unsqueeze", scores, np.array([-1])) - x[:-1], widths), 0)
    total = graph.node("MatMul", into / widths, rises[:, None])
    return y[0] + graph.node("Squeeze", total, np.array([-1]))
