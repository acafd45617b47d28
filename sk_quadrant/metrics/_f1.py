"""Precision, recall and F1 of multi-label predictions with unknown labels and weights of labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils._param_validation import Options, StrOptions

from sk_quadrant._namespaces import give
from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.scored import ScoredTargets, check_predicted_targets
from sk_quadrant.metrics._averaging import INPUTS

_CONSTRAINTS = {
    **INPUTS,
    "y_pred": ["array-like", "sparse matrix"],
    "average": [StrOptions({"micro", "macro", "weighted", "samples"}), None],
    "zero_division": [StrOptions({"warn"}), Options(Real, {0.0, 1.0}), "nan"],
}
# Numerator and denominator, from the weights of true positives, of predictions and of positives.
FRACTIONS: dict[str, Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
    "multilabel_precision_score": lambda hits, predicted, positive: (hits, predicted),
    "multilabel_recall_score": lambda hits, predicted, positive: (hits, positive),
    "multilabel_f1_score": lambda hits, predicted, positive: (2 * hits, predicted + positive),
}


@validate_params(_CONSTRAINTS)
def multilabel_f1_score(
    y_true: Any, y_pred: Any, *, average: str | None = "macro", sample_weight: Any = None, zero_division: Any = "warn"
) -> float | NDArray[np.float64]:
    r"""F1 of multi-label predictions, the harmonic mean of precision and recall.

    .. math::
        F_1 = \frac{2 TP}{\hat P + P}

    with TP true positives, :math:`\hat P` predicted and P true labels. Without unknown labels and with weights of rows
    it is :func:`sklearn.metrics.f1_score`, which takes neither unknown labels nor weights of labels.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown entries are left out.

    y_pred : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Predictions of 0 and 1.

    average : {"micro", "macro", "weighted", "samples"} or None, default="macro"
        "micro" counts the entries of all labels, "macro" is the mean over labels, "weighted" the mean over labels
        weighted by their number of positives, "samples" the mean over rows. None gives the value of each label. A label
        or row without a known entry has the value NaN and is left out of means.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row. With average="samples" the weight of a row is the mean over
        its known labels of positive weight.

    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where nothing is predicted and nothing is true: "warn" is 0 with an `UndefinedMetricWarning`, `np.nan`
        leaves the label or row out of means.

    Returns
    -------
    score : float or ndarray of shape (n_labels,)
        Between 0 and 1; higher is better.

    Raises
    ------
    ValueError
        If values are not 0 and 1, shapes differ, or no known label has a positive weight.

    See Also
    --------
    multilabel_precision_score : Share of the predicted labels that are true.
    multilabel_recall_score : Share of the true labels that are predicted.
    sklearn.metrics.f1_score : The same without unknown labels and weights of labels.

    References
    ----------
    .. [1] G. Tsoumakas, I. Katakis, I. Vlahavas, "Mining multi-label data", Data Mining and Knowledge Discovery
       Handbook, 2010. :doi:`10.1007/978-0-387-09823-4_34`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.metrics import multilabel_f1_score
    >>> y_true = [[1, 0], [1, np.nan], [0, 1]]
    >>> multilabel_f1_score(y_true, [[1, 0], [0, 1], [0, 1]], average=None).round(2).tolist()
    [0.67, 1.0]
    """
    return _score("multilabel_f1_score", y_true, y_pred, average, sample_weight, zero_division)


@validate_params(_CONSTRAINTS)
def multilabel_precision_score(
    y_true: Any, y_pred: Any, *, average: str | None = "macro", sample_weight: Any = None, zero_division: Any = "warn"
) -> float | NDArray[np.float64]:
    r"""Share of the predicted labels that are true.

    .. math::
        \mathrm{precision} = \frac{TP}{\hat P}

    with TP true positives and :math:`\hat P` predicted labels. Without unknown labels and with weights of rows it is
    :func:`sklearn.metrics.precision_score`.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown entries are left out.

    y_pred : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Predictions of 0 and 1.

    average : {"micro", "macro", "weighted", "samples"} or None, default="macro"
        As in :func:`multilabel_f1_score`.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row; see :func:`multilabel_f1_score`.

    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where nothing is predicted; see :func:`multilabel_f1_score`.

    Returns
    -------
    score : float or ndarray of shape (n_labels,)
        Between 0 and 1; higher is better.

    Raises
    ------
    ValueError
        If values are not 0 and 1, shapes differ, or no known label has a positive weight.

    See Also
    --------
    multilabel_recall_score : Share of the true labels that are predicted.
    multilabel_f1_score : Harmonic mean of precision and recall.
    sklearn.metrics.precision_score : The same without unknown labels and weights of labels.

    References
    ----------
    .. [1] G. Tsoumakas, I. Katakis, I. Vlahavas, "Mining multi-label data", Data Mining and Knowledge Discovery
       Handbook, 2010. :doi:`10.1007/978-0-387-09823-4_34`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.metrics import multilabel_precision_score
    >>> multilabel_precision_score([[1, 0], [0, np.nan], [0, 1]], [[1, 0], [1, 1], [0, 1]], average="micro")
    0.666...
    """
    return _score("multilabel_precision_score", y_true, y_pred, average, sample_weight, zero_division)


@validate_params(_CONSTRAINTS)
def multilabel_recall_score(
    y_true: Any, y_pred: Any, *, average: str | None = "macro", sample_weight: Any = None, zero_division: Any = "warn"
) -> float | NDArray[np.float64]:
    r"""Share of the true labels that are predicted.

    .. math::
        \mathrm{recall} = \frac{TP}{P}

    with TP true positives and P true labels. Without unknown labels and with weights of rows it is
    :func:`sklearn.metrics.recall_score`.

    Parameters
    ----------
    y_true : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Labels: 0 or 1, NaN where unknown. Unknown entries are left out.

    y_pred : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,) for one label
        Predictions of 0 and 1.

    average : {"micro", "macro", "weighted", "samples"} or None, default="macro"
        As in :func:`multilabel_f1_score`.

    sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
        Weights of the rows, or of each label of each row; see :func:`multilabel_f1_score`.

    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where nothing is true; see :func:`multilabel_f1_score`.

    Returns
    -------
    score : float or ndarray of shape (n_labels,)
        Between 0 and 1; higher is better.

    Raises
    ------
    ValueError
        If values are not 0 and 1, shapes differ, or no known label has a positive weight.

    See Also
    --------
    multilabel_precision_score : Share of the predicted labels that are true.
    multilabel_f1_score : Harmonic mean of precision and recall.
    sklearn.metrics.recall_score : The same without unknown labels and weights of labels.

    References
    ----------
    .. [1] G. Tsoumakas, I. Katakis, I. Vlahavas, "Mining multi-label data", Data Mining and Knowledge Discovery
       Handbook, 2010. :doi:`10.1007/978-0-387-09823-4_34`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.metrics import multilabel_recall_score
    >>> multilabel_recall_score([[1, 0], [1, np.nan], [0, 1]], [[1, 0], [0, 1], [0, 1]], average="micro")
    0.666...
    """
    return _score("multilabel_recall_score", y_true, y_pred, average, sample_weight, zero_division)


def _score(
    name: str, y_true: Any, y_pred: Any, average: str | None, sample_weight: Any, zero_division: Any
) -> float | NDArray[np.float64]:
    inputs = check_predicted_targets(y_true, y_pred, sample_weight)
    counts = _count(inputs, axis=1 if average == "samples" else 0)
    if average == "micro":
        counts = counts.sum(axis=1, keepdims=True)
    *parts, known = counts
    numerator, denominator = FRACTIONS[name](*parts)
    values = np.full(len(known), 0.0 if zero_division == "warn" else float(zero_division))
    np.divide(numerator, denominator, out=values, where=denominator > 0)
    if zero_division == "warn" and ((denominator == 0) & (known > 0)).any():
        warnings.warn(
            f"{name} is set to 0 where it is undefined: a label or row has nothing to divide by. Set zero_division.",
            UndefinedMetricWarning,
            stacklevel=4,  # the caller, past the wrapper that validates parameters
        )
    # nothing is known about these labels or rows, so that zero_division does not apply
    values[known == 0] = np.nan
    if average is None:
        return give(inputs.namespace, values)  # type: ignore[no-any-return]
    positive = parts[-1]
    weight = {"weighted": positive, "samples": inputs.row_weight}.get(average, np.ones(len(values)))
    return _mean(values, weight)


def _count(inputs: ScoredTargets, axis: int) -> NDArray[np.float64]:
    """Return the weights of true positives, of predictions, of positives and of all, by label (axis 0) or row."""
    parts = []
    for block in inputs.row_blocks():
        weight, present, predicted = block.weight, block.targets == 1, block.scores == 1
        # the weight of a row has no influence on its own fraction
        weight = weight if axis == 0 or inputs.sample_weight.ndim == 2 else block.known.astype(np.float64)
        counted = (present & predicted, predicted, present, block.known)
        parts.append([np.sum(weight * entries, axis=axis) for entries in counted])
    return np.concatenate(parts, axis=1) if axis else np.sum(parts, axis=0)


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN, without weights if all of these are 0, NaN if there is none."""
    defined = ~np.isnan(values)
    if not defined.any():
        return np.nan
    values, weight = values[defined], weight[defined]
    return float(np.average(values, weights=weight) if weight.any() else values.mean())
