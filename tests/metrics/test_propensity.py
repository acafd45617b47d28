"""Propensity-scored metrics against brute force over all orders of tied labels."""

from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sk_quadrant.metrics import (
    label_propensities,
    precision_at_k_score,
    psndcg_at_k_score,
    psp_at_k_score,
)

PROPENSITIES = np.array([0.9, 0.5, 0.2, 0.6])


@pytest.fixture
def data():
    """Labels and scores of 12 rows and 4 labels, with ties, an empty row and unknown labels."""
    rng = np.random.default_rng(0)
    y = (rng.random((12, 4)) < 0.5).astype(float)
    y[rng.random((12, 4)) < 0.2] = np.nan
    y[0] = 0
    return y, rng.integers(0, 3, size=(12, 4)).astype(float)


def _row(name, y, scores, k):
    """Return the value of a row for given scores: the mean over all orders that the scores allow."""
    known = np.flatnonzero(~np.isnan(y))
    m = int(y[known].sum())
    discount = 1 / np.log2(np.arange(2, k + 2))
    orders = [o for o in permutations(known) if all(scores[a] >= scores[b] for a, b in pairwise(o))]
    values = []
    for order in orders:
        gains = [y[j] / PROPENSITIES[j] for j in order[:k]]
        if name == "psp":
            values.append(sum(gains) / min(k, len(known)))
        else:
            values.append(np.dot(gains, discount[: len(gains)]) / discount[: max(1, min(k, m))].sum())
    return np.mean(values)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("name", ["psp", "psndcg"])
def test_values_are_those_of_brute_force(name, k, normalize, data):
    """With weights of rows; the best ranking is by y / propensity."""
    y, scores = data
    weight = np.random.default_rng(1).random(12)
    rows = np.flatnonzero(~np.isnan(y).all(axis=1))
    found = np.average([_row(name, y[i], scores[i], k) for i in rows], weights=weight[rows])
    best = np.average([_row(name, y[i], y[i] / PROPENSITIES, k) for i in rows], weights=weight[rows])
    score = {"psp": psp_at_k_score, "psndcg": psndcg_at_k_score}[name]
    value = score(y, scores, propensities=PROPENSITIES, k=k, normalize=normalize, sample_weight=weight)
    assert value == pytest.approx(found / best if normalize else found, rel=1e-12)


def test_propensities_of_1_give_precision_at_k(data):
    """Without division by the best value."""
    y, scores = data
    value = psp_at_k_score(y, scores, propensities=np.ones(4), k=2, normalize=False)
    assert value == pytest.approx(precision_at_k_score(y, scores, k=2), rel=1e-12)


@pytest.mark.parametrize("score", [psp_at_k_score, psndcg_at_k_score])
def test_the_best_ranking_reaches_1_and_nothing_to_find_is_0(score, data):
    """Scores of y / propensity are the best."""
    y, _ = data
    best = np.nan_to_num(y) / PROPENSITIES
    assert score(y, best, propensities=PROPENSITIES, k=3) == pytest.approx(1.0)
    assert score(np.zeros((2, 4)), best[:2], propensities=PROPENSITIES, k=3) == 0.0


def test_propensities_are_read_by_name(data):
    """Those of a Series, in the order of the columns of y."""
    y, scores = data
    frame = pd.DataFrame(y, columns=list("abcd"))
    named = pd.Series(PROPENSITIES, list("abcd"))[list("dbca")]
    expected = psp_at_k_score(y, scores, propensities=PROPENSITIES, k=2)
    assert psp_at_k_score(frame, scores, propensities=named, k=2) == expected


@pytest.mark.parametrize(
    ("propensities", "match"),
    [
        ([1, 0.5, 0, 1], r"propensities must be probabilities in \(0, 1\]"),
        ([1, 0.5, 2, 1], r"propensities must be probabilities in \(0, 1\]"),
        ([1, 0.5], r"propensities must be one number or have shape \(4,\), got \(2,\)"),
        ([1, np.nan, 1, 1], r"propensities must be probabilities in \(0, 1\]"),
    ],
)
def test_what_is_no_propensity_is_refused(propensities, match, data):
    """Zero would divide by zero."""
    with pytest.raises(ValueError, match=match):
        psp_at_k_score(*data, propensities=propensities)


def test_more_labels_than_there_are_have_no_top():
    """K is at most the number of labels."""
    with pytest.raises(ValueError, match="k must be at most the number of labels, 2, got k=3"):
        psndcg_at_k_score([[0, 1]], [[0.1, 0.2]], propensities=[1, 1], k=3)


def test_propensities_follow_the_published_formula():
    """Jain et al. 2016, with the constants of the repository as defaults; unknown entries do not count."""
    rng = np.random.default_rng(0)
    y = (rng.random((1000, 3)) < [0.5, 0.05, 0.002]).astype(float)
    n = y.sum(axis=0)
    for a, b in ((0.55, 1.5), (0.5, 0.4), (0.6, 2.6)):
        constant = (np.log(1000) - 1) * (b + 1) ** a
        expected = 1 / (1 + constant * np.exp(-a * np.log(n + b)))
        assert_allclose(label_propensities(y, a=a, b=b), expected, rtol=1e-12)
    twice = np.vstack([y, np.full_like(y, np.nan)])
    assert_allclose(label_propensities(twice), label_propensities(y))
