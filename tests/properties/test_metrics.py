"""Metrics against loops over rows and labels, for any targets, scores and weights."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy import sparse

from sk_quadrant.metrics import (
    expected_calibration_error,
    multilabel_log_loss,
    precision_at_k_score,
    recall_at_k_score,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")

shapes = st.tuples(st.integers(1, 5), st.integers(1, 4))
averages = st.sampled_from(["micro", "macro", None])


@st.composite
def rankings(draw):
    """Draw 0/1 targets, some unknown, scores with ties and infinities, and weights or none."""
    shape = draw(shapes)
    targets = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, np.nan])))
    scores = draw(arrays(np.float64, shape, elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, np.inf])))
    return targets, scores, draw(weights_for(targets))


@st.composite
def forecasts(draw):
    """Draw targets in [0, 1], some unknown, probabilities on and between the edges of bins, and weights or none."""
    shape = draw(shapes)
    targets = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, np.nan]) | st.floats(0, 1)))
    probabilities = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)))
    return targets, probabilities, draw(weights_for(targets))


@st.composite
def weights_for(draw, targets):
    """Draw weights of rows with which some known target counts, or none."""
    weight = draw(st.none() | arrays(np.float64, len(targets), elements=st.sampled_from([0.0, 1.0, 2.0])))
    assume((~np.isnan(targets))[slice(None) if weight is None else weight > 0].any())
    return weight


def mean(values, weight):
    """Return the weighted mean of the values of rows, of which None are left out."""
    weight = np.ones(len(values)) if weight is None else weight
    pairs = [(value, w) for value, w in zip(values, weight, strict=True) if value is not None]
    total = sum(w for _, w in pairs)
    return sum(value * w for value, w in pairs) / total if total else np.nan


def hits_of_every_order(targets, scores, k):
    """Return the mean number of relevant labels among the first k, over all orders of known labels by score."""
    labels = [j for j in range(len(targets)) if not np.isnan(targets[j])]
    orders = [
        order
        for order in itertools.permutations(labels)
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([sum(targets[j] for j in order[:k]) for order in orders]), len(labels)


@given(data=st.data(), ranking=rankings(), zero_division=st.sampled_from([0.0, 1.0, np.nan]))
def test_ranking_metrics_are_means_over_all_orders(data, ranking, zero_division):
    """Ties count as all their orders together, unknown labels as absent from the row."""
    targets, scores, weight = ranking
    k = data.draw(st.integers(1, targets.shape[1]))
    precisions, recalls = [], []
    for row, row_scores in zip(targets, scores, strict=True):
        hits, n_known = hits_of_every_order(row, row_scores, k)
        n_relevant = np.nansum(row)
        precisions.append(hits / min(k, n_known) if n_known else None)
        recalls.append(
            hits / n_relevant if n_relevant else None if np.isnan(zero_division) or not n_known else zero_division
        )
    assert_allclose(precision_at_k_score(targets, scores, k=k, sample_weight=weight), mean(precisions, weight))
    found = recall_at_k_score(targets, scores, k=k, sample_weight=weight, zero_division=zero_division)
    assert_allclose(found, mean(recalls, weight))


def entry_loss(target, probability):
    """Return the log loss of an entry, with probabilities an epsilon inside [0, 1]."""
    eps = np.finfo(np.float64).eps
    probability = min(max(probability, eps), 1 - eps)
    return -target * np.log(probability) - (1 - target) * np.log1p(-probability)


def averaged(each, totals, average):
    """Return the average of labels: with their weights, or without those that have none."""
    if average == "micro":
        return sum(each) / sum(totals)
    values = np.array([part / total if total else np.nan for part, total in zip(each, totals, strict=True)])
    return values if average is None else np.nanmean(values)


@given(forecast=forecasts(), average=averages)
def test_log_loss_is_a_mean_over_known_entries(forecast, average):
    """Soft targets have the cross-entropy, labels are averaged as asked for."""
    targets, probabilities, weight = forecast
    row_weight = np.ones(len(targets)) if weight is None else weight
    each, totals = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for i, j in np.argwhere(~np.isnan(targets)):
        each[j] += row_weight[i] * entry_loss(targets[i, j], probabilities[i, j])
        totals[j] += row_weight[i]
    found = multilabel_log_loss(targets, probabilities, average=average, sample_weight=weight)
    assert_allclose(found, averaged(each, totals, average), rtol=1e-9, atol=1e-12)


def error_of_bins(entries, bin_of):
    """Return the sum over bins of the gap between targets and probabilities, of (target, probability, weight)."""
    gaps = {}
    for target, probability, weight in entries:
        key = bin_of(probability)
        gaps[key] = gaps.get(key, 0.0) + weight * (target - probability)
    return sum(map(abs, gaps.values()))


def quantile_bins(entries, n_bins):
    """Return a function from a probability to its bin of equal weight: the number of quantiles below it."""
    entries = sorted((probability, weight) for _, probability, weight in entries if weight)
    total = sum(weight for _, weight in entries)
    edges, reached, k = [], 0.0, 1
    for probability, weight in entries:
        reached += weight
        while k < n_bins and reached >= total * k / n_bins * (1 - 1e-12):
            edges.append(probability)
            k += 1
    return lambda probability: sum(probability > edge for edge in edges)


@given(
    forecast=forecasts(), average=averages, n_bins=st.integers(1, 5), strategy=st.sampled_from(["uniform", "quantile"])
)
def test_calibration_error_is_a_sum_over_bins(forecast, average, n_bins, strategy):
    """Bins hold their upper edge, in units of probability or of weight."""
    targets, probabilities, weight = forecast
    row_weight = np.ones(len(targets)) if weight is None else weight
    labels = [
        [(targets[i, j], probabilities[i, j], row_weight[i]) for i in np.flatnonzero(~np.isnan(targets[:, j]))]
        for j in range(targets.shape[1])
    ]
    groups = [list(itertools.chain.from_iterable(labels))] if average == "micro" else labels
    edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    uniform = lambda probability: (probability > edges).sum()  # noqa: E731
    each = [
        error_of_bins(entries, uniform if strategy == "uniform" else quantile_bins(entries, n_bins))
        for entries in groups
    ]
    totals = [sum(weight for *_, weight in entries) for entries in groups]
    found = expected_calibration_error(
        targets, probabilities, n_bins=n_bins, strategy=strategy, average=average, sample_weight=weight
    )
    assert_allclose(found, averaged(each, totals, average), rtol=1e-9, atol=1e-12)


METRICS = {
    "precision": (precision_at_k_score, {}),
    "recall": (recall_at_k_score, {"zero_division": 0.0}),
    "log loss": (multilabel_log_loss, {}),
    "uniform bins": (expected_calibration_error, {"n_bins": 3}),
    "quantile bins": (expected_calibration_error, {"n_bins": 3, "strategy": "quantile"}),
}


@pytest.mark.parametrize("metric", METRICS)
@given(forecast=forecasts())
def test_weight_two_is_a_row_repeated_and_forms_do_not_matter(metric, forecast):
    """Integer weights repeat rows; sparse targets, lists and Fortran order give the same number."""
    function, options = METRICS[metric]
    targets, probabilities, weight = forecast
    targets = np.where(targets >= 0.5, 1.0, np.where(np.isnan(targets), np.nan, 0.0))
    if weight is not None:
        repeated = np.repeat(np.arange(len(targets)), weight.astype(int))
        assert_allclose(
            function(targets, probabilities, sample_weight=weight, **options),
            function(targets[repeated], probabilities[repeated], **options),
        )
    expected = function(targets, probabilities, **options)
    assert_allclose(function(np.asfortranarray(targets), probabilities.tolist(), **options), expected)
    masked = np.ma.masked_invalid(targets)
    assert_allclose(function(masked, probabilities[::-1].copy()[::-1], **options), expected)
    if not np.isnan(targets).any():
        assert_allclose(function(sparse.csc_array(targets), probabilities, **options), expected)
