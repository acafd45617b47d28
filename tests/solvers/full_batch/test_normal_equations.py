"""The squared error is solved at once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import RidgeClassifier

from sk_quadrant import QuadrantMultiLabelClassifier

FORMATS = {"dense": np.asarray, "sparse": sparse.csr_array}


@pytest.fixture(scope="module")
def rows():
    """Return counts, labels and weights of rows."""
    X, Y = make_multilabel_classification(200, 15, n_classes=4, random_state=0)
    return X, Y, np.random.default_rng(0).random(200) * 2


@pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
def test_it_is_ridge_classifier_in_one_step(C, fit_intercept, as_format, rows):
    """Coefficients and intercepts, with weights of rows."""
    X, Y, weight = rows
    clf = QuadrantMultiLabelClassifier("squared_error", C=C, fit_intercept=fit_intercept)
    clf.fit(as_format(X), Y, sample_weight=weight)
    ridge = RidgeClassifier(alpha=1 / C, fit_intercept=fit_intercept, solver="cholesky").fit(X, Y, weight)
    assert clf.n_iter_ == 1
    assert_allclose(clf.coef_, ridge.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(clf.intercept_, ridge.intercept_, rtol=1e-7, atol=1e-9)
    scores = clf.decision_function(X)
    value = (weight @ (scores - (2 * Y - 1)) ** 2 / 2).sum() + 0.5 * (clf.coef_**2).sum() / C
    assert_allclose(clf.loss_curve_[-1], value / weight.sum())


@pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)
def test_weights_that_sum_to_one_are_no_lack_of_rows(as_format, rows):
    """The equations are those of any weights: there is one step."""
    X, Y, weight = rows
    weight = weight / weight.sum()
    clf = QuadrantMultiLabelClassifier("squared_error", C=200.0).fit(as_format(X), Y, sample_weight=weight)
    ridge = RidgeClassifier(alpha=1 / 200, solver="cholesky").fit(X, Y, weight)
    assert clf.n_iter_ == 1
    assert_allclose(clf.coef_, ridge.coef_, rtol=1e-7, atol=1e-9)


def test_c_for_each_label(rows):
    """One eigendecomposition serves them all."""
    X, Y, _ = rows
    C = [0.01, 1.0, 100.0, np.inf]
    clf = QuadrantMultiLabelClassifier("squared_error", C=C).fit(X, Y)
    assert clf.n_iter_ == 1
    for label, value in enumerate(C):
        ridge = RidgeClassifier(alpha=1 / value, solver="cholesky").fit(X, Y[:, label])
        assert_allclose(clf.coef_[label], np.ravel(ridge.coef_), rtol=1e-7, atol=1e-9)


def test_labels_of_little_weight_have_their_intercept(rows):
    """A frequency below that which a label without positives counts as is taken as it is."""
    X, Y, _ = rows
    weight = np.where(Y[:, 0] == 1, 1e-6, 1.0)
    clf = QuadrantMultiLabelClassifier("squared_error").fit(X, Y, sample_weight=weight)
    ridge = RidgeClassifier(alpha=1.0, solver="cholesky").fit(X, Y, weight)
    assert_allclose(clf.intercept_, ridge.intercept_, rtol=1e-7)


@pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)
def test_more_features_than_rows(as_format, rows):
    """The span or the principal axes of the rows take over."""
    X, Y, _ = rows
    X, Y = X.T @ X[:, :5] @ np.random.default_rng(0).standard_normal((5, 40)) / 1e4, Y[:15]
    clf = QuadrantMultiLabelClassifier("squared_error", tol=1e-8, max_iter=1000).fit(as_format(X), Y)
    ridge = RidgeClassifier(alpha=1.0, solver="svd").fit(X, Y)
    assert_allclose(clf.coef_, ridge.coef_, atol=1e-6)


def test_labels_with_rows_of_their_own_are_minimised(rows):
    """Unknown labels and weights of labels give each label another system."""
    X, Y, _ = rows
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.3, np.nan, Y)
    clf = QuadrantMultiLabelClassifier("squared_error", missing_labels="ignore", tol=1e-9, max_iter=1000).fit(X, Y)
    for label, coef in enumerate(clf.coef_):
        known = ~np.isnan(Y[:, label])
        ridge = RidgeClassifier(alpha=1.0, solver="cholesky").fit(X[known], Y[known, label])
        assert_allclose(coef, np.ravel(ridge.coef_), atol=1e-6)


def test_a_singular_system_is_left_to_others(rows):
    """Twice the same feature, without a penalty: the predictions are those of the feature once."""
    X, Y, _ = rows
    once = QuadrantMultiLabelClassifier("squared_error", C=np.inf).fit(X, Y)
    twice = QuadrantMultiLabelClassifier("squared_error", C=np.inf, tol=1e-6).fit(np.hstack([X, X]), Y)
    assert_allclose(twice.decision_function(np.hstack([X, X])), once.decision_function(X), atol=1e-4)


def test_a_warm_start_ends_at_the_same_optimum(rows):
    """From any weights it is one step."""
    X, Y, _ = rows
    clf = QuadrantMultiLabelClassifier("squared_error", warm_start=True).fit(X, 1 - Y)
    assert_allclose(clf.fit(X, Y).coef_, QuadrantMultiLabelClassifier("squared_error").fit(X, Y).coef_, rtol=1e-8)


def test_a_constant_label_keeps_its_start(rows):
    """Zero weights, as for other losses."""
    X, Y, _ = rows
    Y = Y.copy()
    Y[:, 1] = 1
    clf = QuadrantMultiLabelClassifier("squared_error").fit(X, Y)
    assert not clf.coef_[1].any()
    assert clf.n_iter_ == 1
