"""Precision, recall and F1: those of scikit-learn where it has them, and brute force over known entries elsewhere."""

import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import f1_score, precision_score, recall_score

from sk_quadrant.metrics import multilabel_f1_score, multilabel_precision_score, multilabel_recall_score

PEERS = {
    multilabel_f1_score: f1_score,
    multilabel_precision_score: precision_score,
    multilabel_recall_score: recall_score,
}
AVERAGES = ["micro", "macro", "weighted", "samples", None]
every_score = pytest.mark.parametrize("score", PEERS, ids=lambda score: score.__name__)
every_average = pytest.mark.parametrize("average", AVERAGES)


@pytest.fixture
def data():
    """Labels, predictions and weights of 50 rows and 4 labels, with an empty row and a label that is never true."""
    rng = np.random.default_rng(0)
    y, predicted = (rng.random((2, 50, 4)) < 0.4).astype(int)
    y[0], predicted[0], y[:, 3] = 0, 0, 0
    return y, predicted, rng.integers(0, 4, size=50)


@every_score
@every_average
@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_known_labels_give_the_score_of_scikit_learn(score, average, zero_division, container, data):
    """Whatever the average, also with weights of rows."""
    y, predicted, weight = data
    options = {"average": average, "zero_division": zero_division}
    for sample_weight in (None, weight):
        found = score(container(y), container(predicted), sample_weight=sample_weight, **options)
        assert_allclose(found, PEERS[score](y, predicted, sample_weight=sample_weight, **options), rtol=1e-12)


def _by_hand(peer, y, predicted, weight, average):
    """Return the score of the known entries, one label, row or list of entries after the other."""

    def one(entries):
        known = ~np.isnan(y[entries]) & (weight[entries] > 0)
        if not known.any():
            return np.nan
        return peer(y[entries][known], predicted[entries][known], sample_weight=weight[entries][known], zero_division=0)

    if average == "micro":
        return one(np.full(y.shape, True))
    if average == "samples":
        counted = ~np.isnan(y) & (weight > 0)
        rows = np.flatnonzero(counted.any(axis=1))
        row_weight = [weight[row][counted[row]].mean() for row in rows]
        return np.average([one((row, slice(None))) for row in rows], weights=row_weight)
    values = np.array([one((slice(None), label)) for label in range(y.shape[1])])
    if average is None:
        return values
    positives = np.nansum(y * weight, axis=0) if average == "weighted" else np.ones(y.shape[1])
    known = ~np.isnan(values)
    return np.average(values[known], weights=positives[known])


@every_score
@every_average
def test_unknown_labels_and_weights_of_labels_count_entry_by_entry(score, average, data):
    """An unknown entry and one of weight 0 are left out; rows have the mean weight of their known labels."""
    y, predicted, _ = data
    rng = np.random.default_rng(1)
    y = np.where(rng.random(y.shape) < 0.3, np.nan, y)
    y[1] = np.nan
    y[:, 2] = np.nan
    weight = rng.integers(0, 3, size=y.shape).astype(float)
    found = score(y, predicted, average=average, sample_weight=weight, zero_division=0.0)
    assert_allclose(found, _by_hand(PEERS[score], y, predicted, weight, average), rtol=1e-12)


@every_score
def test_what_is_undefined_is_0_with_a_warning(score):
    """As in scikit-learn; zero_division says what to do instead."""
    with pytest.warns(
        UndefinedMetricWarning, match=f"{score.__name__} is set to 0 where it is undefined.*zero_division"
    ):
        assert score([[0, 1]], [[0, 1]]) == 0.5
    with warnings.catch_warnings(action="error"):
        assert score([[0, 1]], [[0, 1]], zero_division=np.nan) == 1.0


@every_score
@pytest.mark.parametrize("form", [np.ravel, np.asarray], ids=["1-D", "column"])
def test_one_label_is_a_binary_problem(score, form, data):
    """In the form of a vector or of a column."""
    y, predicted, weight = data
    found = score(form(y[:, [0]]), form(predicted[:, [0]]), sample_weight=weight)
    assert found == pytest.approx(PEERS[score](y[:, 0], predicted[:, 0], sample_weight=weight))


@pytest.mark.parametrize(
    ("y", "predicted", "match"),
    [
        ([[0, 0.5]], [[0, 1]], "y_true must hold 0 and 1, or NaN for an unknown label, got 0.5"),
        ([[0, 1]], [[0, 0.5]], "y_pred must hold 0 and 1, as predict returns them, got 0.5"),
        ([[0, 1]], [[0, 1, 1]], r"y_pred must have the shape of y_true, \(1, 2\), got \(1, 3\)"),
        ([[0, np.nan]], [[0, np.nan]], "y_pred must not hold NaN"),
    ],
    ids=["soft targets", "scores", "shape", "NaN"],
)
def test_what_is_no_prediction_is_refused(y, predicted, match):
    """Probabilities have to be compared with a threshold before."""
    with pytest.raises(ValueError, match=match):
        multilabel_f1_score(y, predicted)


@every_average
def test_more_rows_than_a_block(average, monkeypatch, data):
    """Blocks of rows change nothing."""
    y, predicted, weight = data
    score = partial(multilabel_f1_score, y, predicted, average=average, sample_weight=weight, zero_division=0.0)
    whole = score()
    monkeypatch.setattr("sk_quadrant._targets.scored.BLOCK_ENTRIES", 12)
    assert_allclose(score(), whole, rtol=1e-14)
