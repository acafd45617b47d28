"""The method of multipliers has the optimum of hinge losses of sparse rows, those of libsvm and of SciPy."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, minimize
from sklearn.svm import SVC, LinearSVC

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.full_batch import multipliers, solve
from sk_quadrant._solvers.full_batch.multipliers import MultiplierMinimizer
from sk_quadrant.losses import LOSSES

HINGES = ["hinge", "squared_hinge", "modified_huber"]


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
    seen, run = [], MultiplierMinimizer.run

    def recorded(self):
        seen.append(self)
        return run(self)

    monkeypatch.setattr(MultiplierMinimizer, "run", recorded)
    return seen


def fit(loss, X, Y, weight=None, **options):
    """Return a fit with row weights and unknown labels."""
    clf = QuadrantMultiLabelClassifier(loss, missing_labels="ignore", **options)
    return clf.fit(X, Y, sample_weight=weight)


def objective(X, y, coef, intercept, C, weight=1.0):
    """Return the objective of the hinge of one label."""
    losses = np.maximum(0, 1 - (2 * y - 1) * (X @ coef.ravel() + intercept))
    return C * (weight * losses).sum() + 0.5 * (coef**2).sum()


def machine(C, fit_intercept):
    """Return the classifier of libsvm, or of liblinear, which can leave out the intercept."""
    if fit_intercept:
        return SVC(kernel="linear", C=C, tol=1e-9)
    return LinearSVC(loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=10**6)


@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_the_hinge_is_a_support_vector_machine(C, fit_intercept, rows, minimizers):
    """The same problem as libsvm with a linear kernel solves, with weights."""
    X, Y = rows
    weight = np.random.default_rng(0).integers(1, 4, len(Y)).astype(float)
    clf = fit("hinge", X, Y, weight, C=C, tol=1e-6, fit_intercept=fit_intercept)
    assert minimizers[-1].reached.all()
    for label, y in enumerate(Y.T):
        other = machine(C, fit_intercept).fit(X.toarray(), y, weight)
        assert_allclose(clf.coef_[label], other.coef_[0], atol=1e-3 * np.abs(other.coef_).max())
        best = objective(X, y, other.coef_, other.intercept_, C, weight)
        assert objective(X, y, clf.coef_[label], clf.intercept_[label], C, weight) <= best * (1 + 1e-6)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("loss", HINGES[1:])
def test_a_squared_hinge_is_that_of_dense_rows(loss, C, rows, minimizers):
    """With a weak penalty, too."""
    X, Y = rows
    found = fit(loss, X, Y, C=C, tol=1e-7)
    assert minimizers[-1].reached.all()
    expected = fit(loss, X.toarray(), Y, C=C, tol=1e-9, max_iter=5000)
    assert_allclose(found.coef_, expected.coef_, atol=1e-6 * np.abs(expected.coef_).max())
    assert_allclose(found.intercept_, expected.intercept_, atol=1e-6)


def test_a_weak_penalty_needs_few_steps(minimizers):
    """Half the squared gradient is then a poor bound of what can be gained."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.standard_normal((100, 30)) * (rng.random((100, 30)) < 0.3))
    Y = (X[:, :3].toarray() + rng.standard_normal((100, 3)) > 0.3).astype(int)
    found = fit("squared_hinge", X, Y, C=1e6)
    assert minimizers[-1].reached.all()
    expected = fit("squared_hinge", X.toarray(), Y, C=1e6, tol=1e-7)
    assert_allclose(found.loss_curve_[-1], expected.loss_curve_[-1], rtol=1e-6)


@pytest.mark.parametrize("loss", HINGES[1:])
def test_wide_rows_with_a_strong_penalty_are_left_to_their_span(loss, rows, minimizers, monkeypatch):
    """Where L-BFGS takes few steps; the optimum is the same."""
    monkeypatch.setattr(solve, "MAX_ROWS", 10)
    X, Y = rows
    found = fit(loss, X, Y, C=0.01, tol=1e-7)
    assert not minimizers
    expected = fit(loss, X.toarray(), Y, C=0.01, tol=1e-9)
    assert_allclose(found.coef_, expected.coef_, atol=1e-5 * np.abs(expected.coef_).max())


@pytest.mark.parametrize("loss", HINGES)
def test_weights_and_unknown_labels_bound_the_dual_variables(loss, rows, minimizers):
    """The objective is the optimum of the dual problem, which SciPy solves."""
    X, Y = rows
    rng = np.random.default_rng(1)
    weight = rng.random(Y.shape) * 2
    known = rng.random(Y.shape) < 0.8
    clf = fit(loss, X, np.where(known, Y, np.nan), weight, tol=1e-5)
    assert minimizers[-1].reached.all()
    optimum = 0.0
    for label in range(3):
        rows_ = known[:, label]
        signs, bounds = 2 * Y[rows_, label] - 1, weight[rows_, label]
        kernel = (X[rows_] @ X[rows_].T).toarray() * np.outer(signs, signs)
        largest, quadratic = LOSSES[loss].dual
        kernel, upper = kernel + np.diag(quadratic / bounds), largest * bounds
        dual = minimize(
            lambda p, kernel=kernel: (0.5 * p @ kernel @ p - p.sum(), kernel @ p - 1),
            0.1 * bounds,
            jac=True,
            method="trust-constr",
            bounds=Bounds(0, upper),
            constraints=LinearConstraint(signs, 0, 0),
            options={"gtol": 1e-7, "xtol": 1e-10, "maxiter": 300},
        )
        optimum -= dual.fun
    assert_allclose(clf.loss_curve_[-1] * weight_of(weight, known), optimum, rtol=1e-4)


def weight_of(weight, known):
    """Return the sum of the weights of rows, by which the loss curve is divided."""
    return (weight * known).sum(axis=1)[known.any(axis=1)] @ (1 / known.sum(axis=1)[known.any(axis=1)])


@pytest.mark.parametrize("loss", HINGES)
def test_single_precision_goes_on_in_double(loss, rows, minimizers, monkeypatch):
    """From the dual variables reached."""
    X, Y = rows
    expected = fit(loss, X, Y, C=10.0, tol=1e-5)
    monkeypatch.setattr(solve, "WORTH_SINGLE", 0)
    minimizers.clear()
    found = fit(loss, X, Y, C=10.0, tol=1e-5)
    assert [minimizer.state.weights.dtype for minimizer in minimizers] == [torch.float32, torch.float64]
    assert minimizers[1].trace.n_iter < minimizers[0].trace.n_iter
    assert_allclose(found.loss_curve_[-1], expected.loss_curve_[-1], rtol=1e-6)


def test_a_step_is_that_of_the_hessian(rows, minimizers, monkeypatch):
    """Which is inverted here; conjugate gradients solve the system as far as they are asked to."""
    monkeypatch.setattr(multipliers, "FORCING", 1e-12)
    monkeypatch.setattr(multipliers, "MOST_PRODUCTS", 500)
    X, Y = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit("hinge", X, Y, max_iter=3)
    minimizer = minimizers[-1]
    found, along, _ = minimizer._direction()
    columns = np.column_stack([X.toarray(), np.ones(len(Y))])
    for label, d in enumerate(minimizer.at.curvature.numpy()):
        hessian = columns.T @ (columns * d[:, None]) + np.diag([1.0] * 130 + [0.0])
        gradient = np.append(minimizer.at.weights[label], minimizer.at.intercept[label])
        expected = np.linalg.solve(hessian, -gradient)
        assert_allclose(np.append(found[label], along[label]), expected, atol=1e-8 * np.abs(expected).max())


def test_a_warm_start_of_the_squared_hinge_takes_fewer_steps(rows):
    """Hardly any at the solution, and fewer than from zero at another C."""
    X, Y = rows
    clf = fit("squared_hinge", X, Y, C=1.0, tol=1e-4, warm_start=True).fit(X, Y)
    assert clf.n_iter_ <= 3
    cold = fit("squared_hinge", X, Y, C=1.2, tol=1e-4)
    clf.set_params(C=1.2).fit(X, Y)
    assert clf.n_iter_ < cold.n_iter_
    assert_allclose(clf.loss_curve_[-1], cold.loss_curve_[-1], rtol=1e-6)


def test_a_warm_start_of_the_hinge_has_the_same_optimum(rows):
    """From margins alone: dual variables at the corner are unknown."""
    X, Y = rows
    clf = fit("hinge", X, Y, C=1.0, tol=1e-4, warm_start=True).set_params(C=3.0).fit(X, Y)
    assert_allclose(clf.loss_curve_[-1], fit("hinge", X, Y, C=3.0, tol=1e-4).loss_curve_[-1], rtol=1e-5)


def test_soft_targets_are_smoothed(rows, minimizers):
    """They have two hinges a row, which have no such dual problem."""
    X, Y = rows
    fit("hinge", X, 0.1 + 0.8 * Y, tol=1e-3, max_iter=1000)
    assert not minimizers


@pytest.mark.parametrize("loss", HINGES)
def test_a_constant_label_keeps_its_frequency(loss, rows):
    """Its optimum is at infinity; the others are as without it."""
    X, Y = rows
    alone = fit(loss, X, Y)
    found = fit(loss, X, np.column_stack([Y, np.zeros(len(Y), dtype=int)]))
    assert_allclose(found.coef_[:3], alone.coef_, atol=1e-5)
    assert not found.coef_[3].any()
    assert found.intercept_[3] < 0


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense, smoothed"])
def test_the_loss_curve_ends_at_the_objective_of_the_hinge_itself(dense, rows):
    """That of the coefficients."""
    X, Y = rows
    clf = fit("hinge", X.toarray() if dense else X, Y, tol=1e-2)
    values = [objective(X, y, coef, b, 1.0) for y, coef, b in zip(Y.T, clf.coef_, clf.intercept_, strict=True)]
    assert_allclose(clf.loss_curve_[-1], sum(values) / 60, rtol=1e-6)
    assert len(clf.loss_curve_) == clf.n_iter_ + 1


def test_a_loss_beyond_the_range_of_numbers_is_an_error(rows, minimizers):
    """Single precision leaves it to double precision."""
    X, Y = rows
    fit("hinge", X, Y)
    minimizer = minimizers[-1]
    minimizer.norms.fill_(torch.inf)
    minimizer.scores.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="infinite or NaN"):
        minimizer._iterate()


@pytest.mark.parametrize("loss", HINGES)
def test_rows_in_single_precision_reach_the_optimum(loss, rows):
    """In double precision, where single precision has too few digits: a weak penalty after a strong one."""
    X, Y = rows
    expected = fit(loss, X, Y, C=1e4)
    clf = fit(loss, X.astype(np.float32), Y, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.set_params(C=1e4).fit(X.astype(np.float32), Y)
    assert clf.coef_.dtype == np.float32
    assert_allclose(clf.loss_curve_[-1], expected.loss_curve_[-1], rtol=1e-3)


def test_scores_keep_their_digits_after_a_change_of_units():
    """A warm start whose scores were a hundred million times as large ends where a cold one does."""
    rng = np.random.default_rng(1)
    X = sparse.random_array((60, 90), density=0.1, rng=rng, data_sampler=lambda size: rng.standard_normal(size)).tocsr()
    Y = (X @ rng.standard_normal((90, 2)) + rng.standard_normal((60, 2)) > 0.5).astype(int)
    large = 1e8 * X
    values = []
    for clf in (fit("squared_hinge", large, Y), fit("squared_hinge", X, Y, warm_start=True).fit(large, Y)):
        shortfall = np.maximum(0, 1 - (2 * Y - 1) * (large @ clf.coef_.T + clf.intercept_))
        values.append((shortfall**2).sum() + 0.5 * (clf.coef_**2).sum())
    assert_allclose(values[1], values[0], rtol=1e-5)
