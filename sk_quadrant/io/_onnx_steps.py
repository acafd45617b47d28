"""Steps of pipelines for which skl2onnx computes different features, measured with skl2onnx 1.20."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer


def warn_of_steps(scope: Any, inputs: Any) -> None:
    """Warn of the steps before a model whose features differ in ONNX.

    Parameters
    ----------
    scope : skl2onnx Scope
    inputs : list of skl2onnx Variable
        Inputs of the model.
    """
    for step in _steps_before(scope, inputs):
        for what in _differences(step):
            warnings.warn(
                f"skl2onnx computes other features for {type(step).__name__} {what}. The converted model may predict "
                "something else. Compare by sk_quadrant.io.verify_onnx, or keep this step out of the graph.",
                UserWarning,
                stacklevel=2,
            )


def _steps_before(scope: Any, inputs: Any) -> Iterator[Any]:
    """Yield the estimators that the inputs of a model come from."""
    makers = {output.onnx_name: operator for operator in scope.operators.values() for output in operator.outputs}
    pending, seen = list(inputs), set()
    while pending:
        operator = makers.get(pending.pop().onnx_name)
        if operator is not None and id(operator) not in seen:
            seen.add(id(operator))
            pending.extend(operator.inputs)
            yield operator.raw_operator


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
