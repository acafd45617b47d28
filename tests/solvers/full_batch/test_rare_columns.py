"""Columns that never occur, or in one row only, as most of those of text."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import LOSSES

PRECISE = {"tol": 1e-9, "max_iter": 5000}
CONVEX = [name for name in LOSSES if LOSSES[name]().convex and name != "hinge"]


@pytest.fixture(scope="module")
def rows():
    """Rows with three common columns, rare ones in two thirds of the rows, and empty ones."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((60, 3))
    rare = np.zeros((60, 100))
    rare[rng.integers(0, 40, 80), np.arange(80)] = rng.standard_normal(80)
    X = np.hstack([common, rare])[:, rng.permutation(103)]
    Y = (common + rng.standard_normal((60, 3)) > 0).astype(int)
    return sparse.csr_array(X), Y


@pytest.mark.parametrize(("loss", "fit_intercept"), [*((loss, True) for loss in CONVEX), ("bce_with_logits", False)])
def test_coefficients_are_those_of_dense_rows(loss, fit_intercept, rows):
    """For every loss with one optimum, weighted rows and unknown labels included."""
    X, Y = rows
    weight = np.random.default_rng(2).random(60)
    Y = np.where(np.random.default_rng(3).random(Y.shape) < 0.2, np.nan, Y)
    options = {"fit_intercept": fit_intercept, "missing_labels": "ignore"} | PRECISE
    found, expected = (
        QuadrantMultiLabelClassifier(loss, **options).fit(features, Y, sample_weight=weight)
        for features in (X, X.toarray())
    )
    assert_allclose(found.coef_, expected.coef_, atol=1e-6 * np.abs(expected.coef_).max())
    assert_allclose(found.intercept_, expected.intercept_, atol=1e-6)


@pytest.mark.parametrize("C", [0.1, 100.0])
def test_coefficients_are_those_of_scikit_learn(C, rows):
    """Each label as LogisticRegression fits it."""
    X, Y = rows
    clf = QuadrantMultiLabelClassifier(C=C, **PRECISE).fit(X, Y)
    for label, coef in enumerate(clf.coef_):
        other = LogisticRegression(C=C, solver="newton-cg", tol=1e-12, max_iter=1000).fit(X, Y[:, label])
        assert_allclose(coef, other.coef_[0], atol=1e-5)


def test_a_warm_start_keeps_what_was_reached(rows):
    """There is hardly a step left."""
    X, Y = rows
    clf = QuadrantMultiLabelClassifier(warm_start=True, tol=1e-6).fit(X, Y)
    before = clf.coef_.copy()
    assert clf.fit(X, Y).n_iter_ <= 1
    assert_allclose(clf.coef_, before, atol=1e-5)


@pytest.mark.parametrize("loss", CONVEX)
def test_features_without_an_entry_leave_the_intercepts(loss):
    """A matrix of empty rows is that of zeros."""
    X, Y = sparse.csr_array((30, 5)), np.arange(30)[:, None] % [3, 5] == 0
    found, expected = (QuadrantMultiLabelClassifier(loss, **PRECISE).fit(rows, Y) for rows in (X, X.toarray()))
    assert not found.coef_.any()
    assert_allclose(found.intercept_, expected.intercept_, rtol=1e-6)
