"""Expected calibration error against scikit-learn's calibration curve and a count by hand."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from sk_quadrant.datasets import make_quadrants
from sk_quadrant.metrics import expected_calibration_error


@pytest.fixture
def data():
    """Labels and miscalibrated probabilities of 300 rows and 4 labels; some lie on the edges of bins."""
    rng = np.random.default_rng(0)
    proba = rng.random((300, 4))
    y = (rng.random((300, 4)) < proba**2).astype(int)
    proba[::10] = proba[::10].round(1)
    return y, proba


def error_of_curve(y, proba, n_bins, strategy):
    """Return the error of one label from calibration_curve, its gaps weighted by the sizes of the bins."""
    frequency, confidence = calibration_curve(y, proba, n_bins=n_bins, strategy=strategy)
    edges = np.linspace(0, 1, n_bins + 1)
    if strategy == "quantile":
        edges = np.quantile(proba, edges)
    sizes = np.bincount(np.searchsorted(edges[1:-1], proba), minlength=n_bins)
    return np.sum(sizes[sizes > 0] * np.abs(frequency - confidence)) / len(y)


def error_by_counting(y, proba, weight, edges):
    """Return the error of one label by visiting every entry; bins are open below and closed above."""
    total = 0.0
    for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        inside = [i for i in range(len(y)) if low < proba[i] <= high]
        total += abs(sum(weight[i] * y[i] for i in inside) - sum(weight[i] * proba[i] for i in inside))
    return total / sum(weight)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("n_bins", [1, 2, 10, 15])
def test_each_label_has_the_error_of_its_calibration_curve(data, strategy, n_bins):
    """300 rows divide by each of these numbers of bins, so that quantile bins are those of scikit-learn too."""
    y, proba = data
    expected = [error_of_curve(y[:, j], proba[:, j], n_bins, strategy) for j in range(4)]
    options = {"n_bins": n_bins, "strategy": strategy}
    np.testing.assert_allclose(expected_calibration_error(y, proba, average=None, **options), expected)
    np.testing.assert_allclose(expected_calibration_error(y, proba, **options), np.mean(expected))


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_pooled_error_is_that_of_one_long_label(data, strategy):
    """Micro averaging puts the entries of all labels into the same bins."""
    y, proba = data
    expected = error_of_curve(y.ravel(), proba.ravel(), 10, strategy)
    error = expected_calibration_error(y, proba, n_bins=10, strategy=strategy, average="micro")
    np.testing.assert_allclose(error, expected)


def test_weighted_error_is_that_of_counting(data):
    """Weights multiply the entries in the frequencies, the confidences and the sizes of the bins."""
    y, proba = data
    weight = np.random.default_rng(1).random(len(y))
    edges = np.linspace(0, 1, 8)[1:-1]
    expected = [error_by_counting(y[:, j], proba[:, j], weight, edges) for j in range(4)]
    errors = expected_calibration_error(y, proba, n_bins=7, average=None, sample_weight=weight)
    np.testing.assert_allclose(errors, expected)


def test_weighted_quantile_bins_hold_the_same_weight():
    """With weights 1, 1, 2 the halves are {1, 2} and {3}: the gaps are .2 - 0 twice and 1 - .9 twice."""
    y = [[0], [0], [1]]
    proba = [[0.1], [0.3], [0.9]]
    error = expected_calibration_error(y, proba, n_bins=2, strategy="quantile", sample_weight=[1, 1, 2])
    np.testing.assert_allclose(error, (2 * 0.2 + 2 * 0.1) / 4)


@pytest.mark.parametrize("n_samples", [7, 50, 101])
@pytest.mark.parametrize("n_bins", [3, 10])
def test_equal_weights_have_the_quantile_bins_of_unequal_ones(n_samples, n_bins):
    """The short cut for equal weights gives the bins of the general case."""
    rng = np.random.default_rng(n_samples)
    proba = rng.random((n_samples, 2))
    y = rng.integers(0, 2, size=(n_samples, 2))
    almost_equal = 1 + 1e-14 * rng.random(n_samples)
    errors = [
        expected_calibration_error(y, proba, n_bins=n_bins, strategy="quantile", average=None, sample_weight=weight)
        for weight in (None, almost_equal)
    ]
    np.testing.assert_allclose(*errors, rtol=1e-10)


def test_tied_probabilities_share_a_quantile_bin():
    """A constant probability fills one bin, whatever its number: the gap is that of the mean."""
    y = np.array([[0], [1], [1], [1]])
    error = expected_calibration_error(y, np.full((4, 1), 0.5), n_bins=4, strategy="quantile")
    np.testing.assert_allclose(error, 0.25)


def test_uniform_bins_hold_their_upper_edge():
    """1/2 belongs to the lower of two bins, where it offsets the gap of the entry at 0."""
    error = expected_calibration_error([[1], [0], [1]], [[0.0], [0.5], [0.9]], n_bins=2)
    np.testing.assert_allclose(error, (abs(1 - 0.5) + 0.1) / 3)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_true_probabilities_are_calibrated(average):
    """The known probabilities of a simulation have an error of the order of sqrt(n_bins / n)."""
    _, Y, proba = make_quadrants(n_samples=40_000, slope=1.0, random_state=0, return_proba=True)
    assert expected_calibration_error(Y, proba, average=average) < np.sqrt(15 / 40_000)
    assert expected_calibration_error(Y, proba**2, average=average) > 0.1


def test_soft_targets_have_no_sampling_error():
    """Against true probabilities as targets the true probabilities have error 0."""
    _, Y = make_quadrants(n_samples=400, slope=1.0, soft_labels=True, random_state=0)
    assert expected_calibration_error(Y, Y) == 0
    np.testing.assert_allclose(expected_calibration_error(Y, np.full_like(Y, 0.6)), 0.1)


def test_answering_the_frequency_is_calibrated():
    """A constant answer at the frequency of the label has no error, and one off by .2 has error .2."""
    y = np.repeat([[0], [1]], [30, 70], axis=0)
    np.testing.assert_allclose(expected_calibration_error(y, np.full((100, 1), 0.7)), 0, atol=1e-15)
    np.testing.assert_allclose(expected_calibration_error(y, np.full((100, 1), 0.9)), 0.2)


def test_pooling_hides_opposite_errors():
    """One label too high and one too low cancel in micro and add up in macro."""
    y = np.repeat([[0, 0], [1, 1]], 50, axis=0)
    proba = np.broadcast_to([0.51, 0.49], y.shape)
    np.testing.assert_allclose(expected_calibration_error(y, proba, n_bins=1, average="macro"), 0.01)
    np.testing.assert_allclose(expected_calibration_error(y, proba, n_bins=1, average="micro"), 0, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 0}, r"'n_bins' parameter of expected_calibration_error must be an int in the range \[1, inf\)"),
        ({"n_bins": 2.5}, r"'n_bins' parameter .* Got 2.5"),
        ({"strategy": "kmeans"}, r"'strategy' parameter .* must be a str among .* Got 'kmeans'"),
        ({"average": "samples"}, r"'average' parameter .* must be a str among .* or None. Got 'samples'"),
    ],
    ids=["no bins", "half a bin", "strategy", "average"],
)
def test_wrong_options_are_named(data, options, message):
    """An error names the parameter, what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(*data, **options)
