"""What every metric obeys: weights, unknown labels, forms of input, errors."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sk_quadrant._targets import scored
from sk_quadrant.metrics import (
    expected_calibration_error,
    multilabel_log_loss,
    precision_at_k_score,
    recall_at_k_score,
)

RANKING = {
    "precision at 1": partial(precision_at_k_score, k=1),
    "precision at 3": partial(precision_at_k_score, k=3),
    "recall at 3": partial(recall_at_k_score, k=3),
    "recall at 3, empty rows 0": partial(recall_at_k_score, k=3, zero_division=0.0),
}
PROBABILISTIC = {
    "log loss, micro": multilabel_log_loss,
    "log loss, macro": partial(multilabel_log_loss, average="macro"),
    "log loss, by label": partial(multilabel_log_loss, average=None),
    "calibration, macro": partial(expected_calibration_error, n_bins=4),
    "calibration, micro": partial(expected_calibration_error, n_bins=4, average="micro"),
    "calibration, by label": partial(expected_calibration_error, n_bins=4, average=None),
    "calibration, quantiles": partial(expected_calibration_error, n_bins=4, strategy="quantile"),
    "calibration, pooled quantiles": partial(
        expected_calibration_error, n_bins=4, strategy="quantile", average="micro"
    ),
}
BY_LABEL = ("log loss, by label", "calibration, by label")
METRICS = RANKING | PROBABILISTIC

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
probabilistic_metric = pytest.mark.parametrize("metric", PROBABILISTIC.values(), ids=PROBABILISTIC)
averaging_metric = pytest.mark.parametrize(
    "metric", [METRICS[name] for name in METRICS if name not in BY_LABEL], ids=[n for n in METRICS if n not in BY_LABEL]
)
allclose = partial(np.testing.assert_allclose, rtol=1e-12, equal_nan=True)


@pytest.fixture
def data():
    """Labels and probabilities of 60 rows and 5 labels, with ties, rows without a label and unknown labels."""
    rng = np.random.default_rng(0)
    proba = rng.random((60, 5)).round(1)
    y = (rng.random((60, 5)) < 0.3).astype(float)
    y[rng.random((60, 5)) < 0.15] = np.nan
    y[0] = 0
    return y, proba


@pytest.fixture
def known_data(data):
    """Labels that are all known, as integers, and the same probabilities."""
    y, proba = data
    return np.nan_to_num(y).astype(np.int64), proba


@every_metric
def test_weight_2_equals_a_repeated_row(metric, data):
    """Integer weights count rows."""
    y, proba = data
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    allclose(metric(y, proba, sample_weight=weight), metric(y.repeat(weight, axis=0), proba.repeat(weight, axis=0)))


@every_metric
def test_equal_weights_of_the_labels_of_a_row_are_the_weight_of_the_row(metric, data):
    """In (n_samples, n_labels) as in (n_samples,)."""
    y, proba = data
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    allclose(metric(y, proba, sample_weight=np.tile(weight[:, None], 5)), metric(y, proba, sample_weight=weight))


@every_metric
def test_a_label_of_weight_0_is_an_unknown_one(metric, data):
    """In its row."""
    y, proba = data
    weight = (np.random.default_rng(1).random(y.shape) < 0.8).astype(float)
    allclose(metric(y, proba, sample_weight=weight), metric(np.where(weight > 0, y, np.nan), proba))


@probabilistic_metric
def test_weight_2_of_a_label_equals_a_repeated_entry(metric, data):
    """In a row where the other labels are unknown."""
    y, proba = data
    weight = np.ones(y.shape)
    weight[5, 2] = 2
    again = np.full(y.shape[1], np.nan)
    y[5, 2] = again[2] = 1
    allclose(metric(y, proba, sample_weight=weight), metric(np.vstack([y, again]), np.vstack([proba, proba[5]])))


@every_metric
def test_labels_are_matched_by_name(metric, data):
    """Columns of y_true, of the scores and of weights may be in different orders; other names are refused."""
    y, proba = data
    weight = np.random.default_rng(1).random(y.shape)
    names, order = list("abcde"), list("dbaec")
    y_frame, proba_frame, weight_frame = (pd.DataFrame(values, columns=names) for values in (y, proba, weight))
    expected = metric(y_frame, proba, sample_weight=weight)
    allclose(metric(y_frame, proba_frame[order], sample_weight=weight_frame[order[::-1]]), expected)
    with pytest.raises(
        ValueError, match=r"must have the labels of y_true as columns, \['a', .* got \['a', 'b', .* 'z'\]"
    ):
        metric(y_frame, proba_frame.rename(columns={"e": "z"}))


@every_metric
def test_weight_0_equals_a_removed_row(metric, data):
    """Rows without weight have no influence."""
    y, proba = data
    weight = np.arange(len(y)) % 3 > 0
    allclose(metric(y, proba, sample_weight=weight), metric(y[weight], proba[weight]))


@every_metric
@pytest.mark.parametrize("factor", [0.1, 1 / 3, 1e-6, 1e6])
def test_only_ratios_of_weights_matter(metric, data, factor):
    """A common factor of the weights changes nothing."""
    y, proba = data
    weight = np.random.default_rng(1).integers(1, 4, size=len(y))
    allclose(metric(y, proba, sample_weight=factor * weight), metric(y, proba, sample_weight=weight))


@every_metric
def test_scores_of_unknown_labels_do_not_matter(metric, data):
    """Whatever is predicted for an unknown label, the value is the same."""
    y, proba = data
    other = np.where(np.isnan(y), np.random.default_rng(2).random(y.shape), proba)
    assert not np.array_equal(proba, other)
    allclose(metric(y, proba), metric(y, other))


@every_metric
def test_a_row_of_unknown_labels_equals_a_removed_row(metric, data):
    """A row of which nothing is known is left out."""
    y, proba = data
    y[3] = np.nan
    allclose(metric(y, proba), metric(np.delete(y, 3, axis=0), np.delete(proba, 3, axis=0)))


@probabilistic_metric
def test_a_vector_is_one_label(metric, data):
    """A 1-D y is a column, unknown labels included."""
    y, scores = data
    assert np.isnan(y[:, 0]).any()
    allclose(metric(y[:, 0], scores[:, 0]), metric(y[:, :1], scores[:, :1]))


@averaging_metric
def test_a_column_of_unknown_labels_equals_a_removed_column(metric, data):
    """A label of which nothing is known is left out."""
    y, proba = data
    y[:, 2] = np.nan
    allclose(metric(y, proba), metric(np.delete(y, 2, axis=1), np.delete(proba, 2, axis=1)))


@pytest.mark.parametrize("name", BY_LABEL)
def test_an_unknown_label_has_no_value_of_its_own(name, data):
    """The value of a label without known entries is NaN, those of the others stay."""
    y, proba = data
    expected = METRICS[name](y, proba)
    y[:, 2] = np.nan
    expected[2] = np.nan
    allclose(METRICS[name](y, proba), expected)


@every_metric
def test_order_of_rows_does_not_matter(metric, data):
    """Permuted rows give the same value."""
    y, proba = data
    order = np.random.default_rng(3).permutation(len(y))
    allclose(metric(y, proba), metric(y[order], proba[order]))


@averaging_metric
def test_order_of_labels_does_not_matter(metric, data):
    """Permuted columns give the same value, with ties as well."""
    y, proba = data
    order = [3, 0, 4, 2, 1]
    allclose(metric(y, proba), metric(y[:, order], proba[:, order]))


@every_metric
@pytest.mark.parametrize("block_entries", [1, 5, 37, 10**9])
def test_value_does_not_depend_on_the_blocks(metric, data, monkeypatch, block_entries):
    """How many rows are worked on at a time is invisible."""
    y, proba = data
    weight = np.random.default_rng(1).random(len(y))
    expected = metric(y, proba, sample_weight=weight)
    monkeypatch.setattr(scored, "BLOCK_ENTRIES", block_entries)
    allclose(metric(y, proba, sample_weight=weight), expected)


@every_metric
@pytest.mark.parametrize(
    "as_form",
    [
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_array,
        sparse.csr_array,
        pd.DataFrame,
        np.ndarray.tolist,
        np.asfortranarray,
    ],
    ids=["csr_matrix", "csc_matrix", "coo_array", "csr_array", "DataFrame", "list", "fortran"],
)
def test_targets_may_have_any_form(metric, data, as_form):
    """Sparse and dense containers give the same value, unknown labels included."""
    y, proba = data
    allclose(metric(as_form(y), proba), metric(y, proba))


@every_metric
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float32, object])
def test_targets_may_have_any_type(metric, known_data, dtype):
    """Booleans, integers, floats and objects give the same value."""
    y, proba = known_data
    allclose(metric(y.astype(dtype), proba), metric(y, proba))


@every_metric
@pytest.mark.parametrize("container", [list, tuple])
def test_scores_may_be_a_list_of_arrays(metric, data, container):
    """The list of (n_samples, 2) arrays of multi-output classifiers equals their second columns."""
    y, proba = data
    label_arrays = container(np.column_stack([1 - column, column]) for column in proba.T)
    allclose(metric(y, label_arrays), metric(y, np.column_stack([array[:, 1] for array in label_arrays])))


@every_metric
@pytest.mark.parametrize("as_form", [np.ndarray.tolist, pd.DataFrame, np.asfortranarray])
def test_scores_may_be_any_array_like(metric, data, as_form):
    """Nested lists, frames and both memory orders give the same value."""
    y, proba = data
    allclose(metric(y, as_form(proba)), metric(y, proba))


@every_metric
def test_float32_agrees_with_float64(metric, data):
    """Scores in single precision give the value in double precision to single precision."""
    y, _ = data
    proba = np.random.default_rng(4).random(y.shape).astype(np.float32)
    np.testing.assert_allclose(metric(y, proba), metric(y, proba.astype(np.float64)), rtol=1e-6)


@every_metric
def test_inputs_are_left_as_they_were(metric, data):
    """Read-only arrays are accepted and not written to."""
    y, proba = data
    weight = np.ones(len(y))
    for array in (y, proba, weight):
        array.setflags(write=False)
    metric(y, proba, sample_weight=weight)


@averaging_metric
def test_value_is_a_python_float(metric, data):
    """Averages are plain floats, as those of scikit-learn."""
    assert type(metric(*data)) is float


@every_metric
@pytest.mark.parametrize(
    ("y", "scores", "weight", "message"),
    [
        ([0, 1], [[0.5] * 3] * 2, None, r"must have the shape of y_true, \(2, 1\), got \(2, 3\)|k must be at most"),
        ([[0, 1, 1]], [[0.5, 0.5]], None, r"must have the shape of y_true, \(1, 3\), got \(1, 2\)"),
        ([[0, 1], [1]], [[0.5, 0.5]] * 2, None, r"y_true must .* rows of one length"),
        ([["0", "1"]], [[0.5, 0.5]], None, r"y_true must hold numbers in \[0, 1\]"),
        ([[0, 1]], [0.5, 0.5], None, r"must have the shape of y_true, \(1, 2\), got \(2,\)"),
        ([[0, 1, 2]], [[0.5] * 3], None, r"y_true must be 0, 1 or a probability .* values from 0 to 2"),
        ([[0, -1, 1]], [[0.5] * 3], None, r"y_true must be 0, 1 or a probability .* values from -1 to 1"),
        ([[0, np.inf, np.nan]], [[0.5] * 3], None, r"y_true must be 0, 1 or a probability .* values from 0\.0 to inf"),
        ([[0, 1, 1]], [[0.5, np.nan, 0.5]], None, r"(y_score|y_proba) must not hold NaN"),
        ([[np.nan] * 3], [[0.5] * 3], None, "y_true must hold a known label in a row of positive sample_weight"),
        ([[0, 1, 1]], [[0.5] * 3], [0], "sample_weight must have a positive value, got zero for every sample"),
        (
            [[0, 1], [np.nan] * 2],
            [[0.5] * 2] * 2,
            [0, 1],
            "y_true must hold a known label in a row of positive sample_w",
        ),
        ([[0, 1, 1]], [[0.5] * 3], [-1], r"sample_weight must not be negative, got a smallest value of -1"),
        ([[0, 1, 1]], [[0.5] * 3], [1, 1], r"sample_weight must have shape .* here \(1,\) or \(1, 3\), got \(2,\)"),
        ([[0, 1, 1]], [[0.5] * 3], [[1, 1]], r"sample_weight must have shape .* got \(1, 2\)"),
        ([[0, 1, 1]], [[0.5] * 3], [np.nan], "sample_weight contains NaN"),
        (
            [[0, 1]],
            [np.ones((1, 2)), np.ones((1, 1))],
            None,
            r"got (y_score|y_proba)\[1\] of shape \(1, 1\).*had one class",
        ),
        (np.empty((0, 3)), np.empty((0, 3)), None, r"y_true must have shape .* at least 1 of each, got \(0, 3\)"),
    ],
    ids=[
        "one-dimensional targets",
        "labels differ",
        "rows of different lengths",
        "text",
        "one-dimensional scores",
        "target above 1",
        "negative target",
        "infinite target",
        "NaN score",
        "nothing known",
        "no weight",
        "no weight where known",
        "negative weight",
        "too many weights",
        "weights of entries",
        "NaN weight",
        "one class in a list",
        "no rows",
    ],
)
def test_wrong_input_is_named(metric, y, scores, weight, message):
    """An error names the parameter, what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        metric(y, scores, sample_weight=weight)


@probabilistic_metric
@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.inf, -np.inf])
def test_probabilities_outside_the_unit_interval_are_refused(metric, wrong):
    """Scores of a decision function are not probabilities."""
    with pytest.raises(
        ValueError, match=rf"y_proba must hold probabilities in .0, 1., as predict_proba .* got {wrong}"
    ):
        metric([[0, 1]], [[0.5, wrong]])


@pytest.mark.parametrize("metric", RANKING.values(), ids=RANKING)
def test_rankings_need_hard_targets(metric):
    """A soft target is neither relevant nor irrelevant."""
    with pytest.raises(ValueError, match=r"y_true must hold 0 and 1, or NaN for an unknown label, got 0.5"):
        metric([[0, 1, 0.5]], [[0.1, 0.2, 0.3]])


@every_metric
def test_unknown_options_are_refused(metric, data):
    """Parameters that do not exist are no silent option."""
    with pytest.raises(TypeError, match="normalize"):
        metric(*data, normalize=False)
