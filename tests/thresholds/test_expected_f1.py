"""The set of the highest expected F1, against all sets and all outcomes."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant._thresholds.expected_f1 import _quadrature, expected_f1_sets

KINDS = {
    "any": lambda rng, n: rng.beta(0.5, 0.7, n),
    "rare": lambda rng, n: rng.beta(0.3, 5, n),
    "ties and ends": lambda rng, n: rng.choice([0.0, 0.1, 0.25, 0.5, 1.0], n),
}


def expected_f1(probabilities, sets):
    """Return the expected F1 of sets by adding up all 2^L outcomes, and 1 for two empty sets."""
    outcomes = np.array(list(product([0, 1], repeat=probabilities.size)))
    weight = np.prod(np.where(outcomes, probabilities, 1 - probabilities), axis=1)
    total = sets.sum(axis=1)[:, None] + outcomes.sum(axis=1)
    f1 = np.divide(2.0 * sets @ outcomes.T, total, out=np.ones(total.shape), where=total > 0)
    return f1 @ weight


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_labels", range(1, 9))
@pytest.mark.parametrize("bounds", [(0, None), (1, None), (0, 2), (1, 1)], ids=str)
def test_no_set_of_allowed_size_has_a_higher_expected_f1(kind, n_labels, bounds):
    """All sets of up to eight labels are tried, within bounds on their size."""
    rng = np.random.default_rng(n_labels)
    sets = np.array(list(product([0, 1], repeat=n_labels)))
    size = sets.sum(axis=1)
    sets = sets[(size >= bounds[0]) & (size <= (n_labels if bounds[1] is None else bounds[1]))]
    for probabilities in KINDS[kind](rng, (4, n_labels)):
        found = expected_f1_sets(probabilities[None], *bounds)
        assert found.sum() in sets.sum(axis=1)
        assert_allclose(expected_f1(probabilities, found), expected_f1(probabilities, sets).max(), rtol=1e-12)


@pytest.mark.parametrize("n_labels", [1, 2, 17, 100, 1000, 10_000])
def test_the_quadrature_integrates_the_highest_power_and_all_lower_ones(n_labels):
    """The integral of t^d is 1 / (d + 1); the integrand is a mixture of such powers."""
    nodes, weights = _quadrature(n_labels)
    degrees = np.unique(np.linspace(0, 2 * n_labels - 1, 200).astype(int))
    integrals = np.array([weights @ nodes**degree for degree in degrees])
    assert_allclose(integrals * (degrees + 1), 1, rtol=5e-10)
    assert nodes.size <= n_labels


@pytest.mark.slow
def test_thousands_of_labels_agree_with_counting():
    """2000 labels with many probable ones: the dynamic programming of the counts gives the same sets."""
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.05, 3, (2, 2000))
    for row, found in zip(probabilities, expected_f1_sets(probabilities), strict=True):
        ordered = np.sort(row)[::-1]
        sizes = np.arange(1, 100)
        values = [counted_f1(ordered, k) for k in sizes]
        assert found.sum() == sizes[np.argmax(values)]
        assert_array_equal(np.sort(row[found])[::-1], ordered[: found.sum()])


def counted_f1(ordered, k, most=200):
    """Return E[F1] of the first k labels from the distributions of the numbers of present labels in and out."""
    inside, outside = distribution(ordered[:k], most), distribution(ordered[k:], most)
    a, b = np.arange(most)[:, None], np.arange(most)
    return float(inside @ (2 * a / (k + a + b)) @ outside)


def distribution(probabilities, most):
    """Return the distribution of the number of present labels, up to a largest one."""
    counts = np.zeros(most)
    counts[0] = 1
    for p in probabilities:
        counts[1:] = counts[1:] * (1 - p) + counts[:-1] * p
        counts[0] *= 1 - p
    return counts


def test_equally_good_sets_give_the_smallest_and_the_first_labels():
    """One label of probability 1/2 stays out; of equally probable labels the first are taken."""
    assert_array_equal(expected_f1_sets(np.array([[0.5]])), [[False]])
    assert_array_equal(expected_f1_sets(np.full((1, 3), 0.3), 1, 1), [[True, False, False]])


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5], ids=str)
def test_numbers_that_are_no_probabilities_are_refused(value):
    """NaN and numbers outside of [0, 1] are named."""
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\], got \[" + str(value).replace("-", r"\-")):
        expected_f1_sets(np.array([[0.5, value]]))


def test_single_precision_and_no_rows_are_taken():
    """float32 probabilities give the sets of float64 ones, and no rows give no sets."""
    probabilities = np.random.default_rng(0).random((20, 5)).astype(np.float32)
    assert_array_equal(expected_f1_sets(probabilities), expected_f1_sets(probabilities.astype(np.float64)))
    assert expected_f1_sets(np.empty((0, 4))).shape == (0, 4)
