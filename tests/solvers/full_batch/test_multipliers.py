"""The method of multipliers has the optimum of the hinge, where L-BFGS alone has none."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, minimize
from sklearn.svm import SVC

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.full_batch import solve, stages
from sk_quadrant._solvers.full_batch.multipliers import MultiplierMinimizer
from sk_quadrant._solvers.full_batch.row_span import RowSpanMinimizer


@pytest.fixture(scope="module")
def rows():
    """Sparse rows with twice as many features, and three labels, one of them rare."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 130)) * (rng.random((60, 130)) < 0.2) + 0.1
    Y = (X[:, :3] + 0.5 * rng.standard_normal((60, 3)) > [0.1, 0.4, 1.2]).astype(int)
    return sparse.csr_array(X), Y


@pytest.fixture
def minimizers(monkeypatch):
    """Return the minimisers that run."""
    seen, run = [], RowSpanMinimizer.run

    def recorded(self):
        seen.append(self)
        return run(self)

    monkeypatch.setattr(RowSpanMinimizer, "run", recorded)
    return seen


@pytest.fixture
def sparse_rows(monkeypatch):
    """Keep few rows sparse."""
    monkeypatch.setattr(solve, "row_space", lambda *_: None)


def fit(loss, X, Y, weight=None, **options):
    """Return a fit with row weights and unknown labels."""
    clf = QuadrantMultiLabelClassifier(loss, missing_labels="ignore", **{"max_iter": 5000} | options)
    return clf.fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_the_hinge_is_a_support_vector_machine(C, rows, minimizers):
    """Scores and intercepts are those of libsvm with a linear kernel, which solves the same problem."""
    X, Y = rows
    clf = fit("hinge", X, Y, C=C, tol=1e-6)
    assert all(isinstance(minimizer, MultiplierMinimizer) for minimizer in minimizers)
    assert minimizers[-1].reached.all()
    scores = clf.decision_function(X)
    for label in range(3):
        other = SVC(kernel="linear", C=C, tol=1e-8).fit(X.toarray(), Y[:, label])
        assert_allclose(clf.coef_[label], other.coef_[0], atol=1e-3 * np.abs(other.coef_).max())
        losses = [
            C * np.maximum(0, 1 - (2 * Y[:, label] - 1) * found).sum()
            for found in (scores[:, label], other.decision_function(X.toarray()))
        ]
        norms = [0.5 * (clf.coef_[label] ** 2).sum(), 0.5 * (other.coef_**2).sum()]
        assert losses[0] + norms[0] <= (losses[1] + norms[1]) * (1 + 1e-6)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_the_squared_hinge_is_that_of_the_features(C, rows, minimizers, sparse_rows, monkeypatch):
    """With a weak penalty, too."""
    X, Y = rows
    found = fit("squared_hinge", X, Y, C=C, tol=1e-6)
    assert minimizers[-1].reached.all()
    monkeypatch.setattr(stages.Minimization, "_suits_row_span", lambda self, span: False)
    expected = fit("squared_hinge", X.toarray(), Y, C=C, tol=1e-9)
    assert_allclose(found.coef_, expected.coef_, atol=1e-4 * np.abs(expected.coef_).max())
    assert_allclose(found.intercept_, expected.intercept_, atol=1e-4)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_weights_and_unknown_labels_bound_the_dual_variables(loss, rows, minimizers, sparse_rows):
    """The objective is the optimum of the dual problem, which SciPy solves."""
    X, Y = rows
    rng = np.random.default_rng(1)
    weight = rng.random(Y.shape) * 2
    known = rng.random(Y.shape) < 0.8
    clf = fit(loss, X, np.where(known, Y, np.nan), weight, tol=1e-5)
    assert minimizers[-1].reached.all()
    total = 0.0
    for label in range(3):
        rows_ = known[:, label]
        signs, bounds = 2 * Y[rows_, label] - 1, weight[rows_, label]
        kernel = (X[rows_] @ X[rows_].T).toarray() * np.outer(signs, signs)
        if loss == "squared_hinge":
            kernel, upper = kernel + np.diag(0.5 / bounds), np.full(len(bounds), np.inf)
        else:
            upper = bounds
        dual = minimize(
            lambda p, kernel=kernel: (0.5 * p @ kernel @ p - p.sum(), kernel @ p - 1),
            0.1 * bounds,
            jac=True,
            method="trust-constr",
            bounds=Bounds(0, upper),
            constraints=LinearConstraint(signs, 0, 0),
            options={"gtol": 1e-7, "xtol": 1e-10, "maxiter": 300},
        )
        total -= dual.fun
    assert_allclose(clf.loss_curve_[-1] * weight_of(weight, known), total, rtol=1e-4)


def weight_of(weight, known):
    """Return the sum of the weights of rows, by which the loss curve is divided."""
    return (weight * known).sum(axis=1)[known.any(axis=1)] @ (1 / known.sum(axis=1)[known.any(axis=1)])


def test_single_precision_goes_on_in_double(rows, minimizers, monkeypatch):
    """From the dual variables reached, for the labels that are left."""
    monkeypatch.setattr(solve, "WORTH_SINGLE", 0)
    X, Y = rows
    expected = fit("hinge", X, Y, C=10.0, tol=1e-5)
    dtypes = [minimizer.solution.scores.dtype for minimizer in minimizers]
    assert dtypes[0] == torch.float32
    assert set(dtypes) <= {torch.float32, torch.float64}
    found = fit("hinge", X, Y, C=10.0, tol=1e-3)
    assert_allclose(found.loss_curve_[-1], expected.loss_curve_[-1], rtol=1e-4)


def test_soft_targets_are_smoothed_as_before(rows, minimizers, sparse_rows):
    """They have two hinges a row, which have no such dual problem."""
    X, Y = rows
    fit("hinge", X, 0.1 + 0.8 * Y, tol=1e-3)
    assert not any(isinstance(minimizer, MultiplierMinimizer) for minimizer in minimizers)


def test_the_loss_curve_is_of_the_hinge_itself(rows, minimizers):
    """And it ends at the objective of the coefficients."""
    X, Y = rows
    clf = fit("hinge", X, Y)
    losses = np.maximum(0, 1 - (2 * Y - 1) * clf.decision_function(X)).sum()
    assert_allclose(clf.loss_curve_[-1], (losses + 0.5 * (clf.coef_**2).sum()) / 60, rtol=1e-6)
    assert len(clf.loss_curve_) == clf.n_iter_ + 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("options", [{"warm_start": True}, {"label_smoothing": 0.2}], ids=["warm start", "smoothing"])
def test_few_sparse_rows_get_uncorrelated_features_where_the_hinge_is_smoothed(options, rows, minimizers):
    """A warm start and soft targets have no use for the method of multipliers: the steps are those of dense rows."""
    X, Y = rows
    clf = fit("hinge", X.toarray(), Y, max_iter=2, **options).set_params(C=0.5)
    found, expected = (deepcopy(clf).fit(part, Y) for part in (X, X.toarray()))
    assert not minimizers
    assert_allclose(found.coef_, expected.coef_, atol=1e-6 * np.abs(expected.coef_).max())
