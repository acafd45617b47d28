"""The span of the rows has the optimum of the features, for fewer rows than features."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.full_batch import row_space, solve, stages
from sk_quadrant._solvers.full_batch.design import design_of
from sk_quadrant._solvers.full_batch.row_span import RowSpan, RowSpanMinimizer
from sk_quadrant.losses import LOSSES

CONVEX = [name for name, loss in LOSSES.items() if loss().convex and loss.dual is None and not loss.quadratic]


@pytest.fixture(scope="module")
def rows():
    """Sparse rows with twice as many features, each in several rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 120)) * (rng.random((60, 120)) < 0.2) + 0.1
    Y = (X[:, :4] + 0.3 * rng.standard_normal((60, 4)) > 0.1).astype(int)
    return sparse.csr_array(X), Y


@pytest.fixture
def in_row_span(monkeypatch):
    """Solve small problems in the span of the rows, and return the traces of it."""
    traces, run = [], RowSpanMinimizer.run

    def recorded(self):
        traces.append((self, run(self)))
        return traces[-1][1]

    monkeypatch.setattr(row_space, "MAX_ROWS", 0)
    monkeypatch.setattr(RowSpanMinimizer, "run", recorded)
    return traces


def fit(loss, X, Y, weight=None, **options):
    """Return a fit with row weights and unknown labels."""
    clf = QuadrantMultiLabelClassifier(loss, missing_labels="ignore", **{"max_iter": 5000} | options)
    return clf.fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize(("loss", "options"), [
    *((loss, {}) for loss in CONVEX),
    ("bce_with_logits", {"fit_intercept": False}),
    ("zlpr", {"fit_intercept": False}),
    ("bce_with_logits", {"C": 1e-3}),
    ("bce_with_logits", {"C": 100.0}),
])  # fmt: skip
def test_the_optimum_is_that_of_the_features(loss, options, rows, in_row_span, monkeypatch):
    """For every convex loss, with weights of rows and labels and unknown labels, without help of later stages."""
    X, Y = rows
    rng = np.random.default_rng(1)
    Y = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
    weight = rng.random(Y.shape) * 1.5
    found = fit(loss, X, Y, weight, tol=1e-6, **options)
    ((minimizer, trace),) = in_row_span
    assert trace.converged
    assert minimizer.reached.all()
    monkeypatch.setattr(stages.Minimization, "_suits_row_span", lambda self: False)
    expected = fit(loss, X.toarray(), Y, weight, tol=1e-10, **options)
    assert len(in_row_span) == 1
    assert_allclose(found.coef_, expected.coef_, atol=2e-5 * np.abs(expected.coef_).max())
    assert_allclose(found.intercept_, expected.intercept_, atol=2e-5 * max(1, np.abs(expected.intercept_).max()))
    assert_allclose(found.loss_curve_[-1], expected.loss_curve_[-1], rtol=1e-9)


def test_a_row_of_weight_two_is_two_rows(rows, in_row_span):
    """And one of weight 0 is none."""
    X, Y = rows
    weight = np.arange(60) % 3
    found = fit("bce_with_logits", X, Y, weight, tol=1e-6)
    repeated = np.repeat(np.arange(60), weight)
    expected = fit("bce_with_logits", X[repeated], Y[repeated], tol=1e-6)
    assert len(in_row_span) == 2
    assert_allclose(found.coef_, expected.coef_, atol=1e-5 * np.abs(expected.coef_).max())


def test_single_precision_is_confirmed_in_double(rows, in_row_span, monkeypatch):
    """Where single precision has seen other features, later stages go on."""
    X, Y = rows
    monkeypatch.setattr(solve, "WORTH_SINGLE", 0)
    expected = fit("bce_with_logits", X, Y, tol=1e-5)
    assert in_row_span[0][0].solution.scores.dtype == torch.float32
    right = RowSpan.scores
    monkeypatch.setattr(
        RowSpan, "scores", lambda self, weights: right(self, weights) * (1 + 0.01 * (weights.dtype == torch.float32))
    )
    found = fit("bce_with_logits", X, Y, tol=1e-5)
    assert_allclose(found.coef_, expected.coef_, atol=1e-3 * np.abs(expected.coef_).max())
    assert found.n_iter_ > in_row_span[1][1].n_iter


def test_few_gradients_held_are_enough(rows, in_row_span, monkeypatch):
    """When memory is full L-BFGS begins anew."""
    from sk_quadrant._solvers.full_batch import row_span

    X, Y = rows
    expected = fit("bce_with_logits", X, Y, tol=1e-6)
    monkeypatch.setattr(row_span, "MOST_GRADIENTS", 5)
    found = fit("bce_with_logits", X, Y, tol=1e-6)
    assert in_row_span[1][1].n_iter > in_row_span[0][1].n_iter
    assert_allclose(found.coef_, expected.coef_, atol=1e-4 * np.abs(expected.coef_).max())


def test_labels_without_an_optimum_keep_their_start(rows, in_row_span):
    """A label that is always absent has zero weights and the intercept of its frequency."""
    X, Y = rows
    Y = Y.copy()
    Y[:, 2] = 0
    clf = fit("bce_with_logits", X, Y)
    assert not clf.coef_[2].any()
    assert clf.coef_[[0, 1, 3]].any(axis=1).all()
    assert_allclose(clf.intercept_[2], np.log(0.5 / 60.5))


def test_too_few_iterations_warn(rows, in_row_span):
    """And the iterations count towards max_iter."""
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        clf = fit("bce_with_logits", *rows, C=100.0, max_iter=2)
    assert clf.n_iter_ == 2
    assert clf.loss_curve_[2] < clf.loss_curve_[1] < clf.loss_curve_[0]


def test_an_interrupted_fit_keeps_its_last_iteration(rows, in_row_span, monkeypatch):
    """Ctrl-C leaves the model of the iteration before, with a warning."""
    step, calls = RowSpanMinimizer._step, []

    def interrupted(self, *args):
        calls.append(self)
        if len(calls) > 2:
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(RowSpanMinimizer, "_step", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        clf = fit("bce_with_logits", *rows, C=10.0)
    assert clf.n_iter_ == 2
    monkeypatch.setattr(RowSpanMinimizer, "_step", step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_allclose(clf.coef_, fit("bce_with_logits", *rows, C=10.0, max_iter=2).coef_)


def test_a_loss_that_overflows_is_left_to_later_stages(rows, in_row_span, monkeypatch):
    """An error in the span of the rows costs time only."""
    expected = fit("bce_with_logits", *rows, tol=1e-6)

    def overflow(self):
        raise FloatingPointError

    monkeypatch.setattr(stages.RowSpanMinimizer, "run", overflow)
    found = fit("bce_with_logits", *rows, tol=1e-6)
    assert_allclose(found.coef_, expected.coef_, atol=1e-5 * np.abs(expected.coef_).max())


def test_products_are_those_of_centred_rows(rows):
    """Combinations of rows and scores, with weights."""
    X = rows[0]
    weight = torch.rand(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    span = RowSpan(design_of(X, weight, fit_intercept=True, dtype=torch.float64, device=torch.device("cpu")))
    centred = X.toarray() - np.average(X.toarray(), axis=0, weights=weight)
    b = torch.randn(3, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = span.combination(b)
    assert_allclose(weights, b.numpy() @ centred, atol=1e-12)
    assert_allclose(span.scores(weights), weights.numpy() @ centred.T, atol=1e-12)
