"""Newton steps of the method of multipliers lead to the optimum of the hinge where L-BFGS would take long."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.svm import SVC, LinearSVC

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.full_batch import semismooth, solve, stages
from sk_quadrant._solvers.full_batch.row_span import RowSpanMinimizer
from sk_quadrant._solvers.full_batch.semismooth import SemismoothMinimizer


@pytest.fixture(scope="module")
def rows():
    """Sparse binary rows with more features, two labels, one of them rare, and weights."""
    rng = np.random.default_rng(0)
    X = (rng.random((50, 90)) < 0.15).astype(float)
    Y = (X[:, :2] + 0.4 * rng.standard_normal((50, 2)) > [0.4, 1.0]).astype(int)
    return sparse.csr_array(X), Y, rng.integers(1, 4, 50).astype(float)


@pytest.fixture
def minimizers(monkeypatch):
    """Return the minimisers with Newton steps, which start after one step of L-BFGS."""
    seen, run = [], RowSpanMinimizer.run

    def recorded(self):
        if isinstance(self, SemismoothMinimizer):
            seen.append(self)
        return run(self)

    monkeypatch.setattr(RowSpanMinimizer, "run", recorded)
    monkeypatch.setattr(stages, "PATIENCE", (1, 1))
    return seen


def objective(X, y, coef, intercept, C, weight):
    """Return the objective of one label."""
    losses = np.maximum(0, 1 - (2 * y - 1) * (X @ coef.ravel() + intercept))
    return C * weight @ losses + 0.5 * (coef**2).sum()


def machine(C, fit_intercept):
    """Return the classifier of libsvm, or of liblinear, which can leave out the intercept."""
    if fit_intercept:
        return SVC(kernel="linear", C=C, tol=1e-9)
    return LinearSVC(loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=10**6)


@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_the_optimum_is_that_of_libsvm(C, fit_intercept, rows, minimizers):
    """With weights, in few steps."""
    X, Y, weight = rows
    clf = QuadrantMultiLabelClassifier("hinge", C=C, tol=1e-5, fit_intercept=fit_intercept).fit(X, Y, weight)
    assert minimizers
    assert minimizers[-1].reached.all()
    for label, y in enumerate(Y.T):
        other = machine(C, fit_intercept).fit(X.toarray(), y, weight)
        best = objective(X, y, other.coef_, other.intercept_, C, weight)
        assert objective(X, y, clf.coef_[label], clf.intercept_[label], C, weight) <= best * (1 + 1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_step_leads_to_the_minimum_of_the_quadratic_model(rows, minimizers):
    """With the Hessian among features and intercept, which is inverted here."""
    X, Y, weight = rows
    QuadrantMultiLabelClassifier("hinge", max_iter=4, tol=1e-9).fit(X, Y, weight)
    minimizer = minimizers[-1]
    minimizer._add_gradient()
    minimizer._direction()
    centred = X.toarray() - weight @ X.toarray() / weight.sum()
    columns = np.column_stack([centred, np.ones(len(Y))])
    curvature = minimizer.objective.curvature(minimizer.point.scores).numpy()
    for label in range(2):
        hessian = columns.T @ (columns * curvature[label, :, None])
        hessian[range(90), range(90)] += 1.0
        hessian[-1, -1] += semismooth.LEAST_CURVATURE / float(minimizer.kappa[label]) ** 2
        gradient = columns.T @ minimizer.point.residuals[label].numpy()
        gradient[:-1] += centred.T @ minimizer.point.rows[label].numpy()
        expected = np.linalg.solve(hessian, -gradient)
        found = centred.T @ minimizer.move.rows[label].numpy()
        assert_allclose(found, expected[:-1], atol=1e-8 * np.abs(expected).max())
        assert_allclose(minimizer.move.intercept[label] * minimizer.kappa[label], expected[-1], rtol=1e-6)


def test_systems_are_solved_some_labels_at_a_time(rows, minimizers, monkeypatch):
    """With the same steps."""
    X, Y, _ = rows
    expected = QuadrantMultiLabelClassifier("hinge").fit(X, Y)
    monkeypatch.setattr(semismooth, "ELEMENTS", 1)
    found = QuadrantMultiLabelClassifier("hinge").fit(X, Y)
    assert len(minimizers) == 2
    assert_allclose(found.coef_, expected.coef_, atol=1e-8)


def test_single_precision_is_close(rows, minimizers):
    """The objective is that of double precision."""
    X, Y, weight = rows
    single, double = (QuadrantMultiLabelClassifier("hinge").fit(X.astype(t), Y, weight) for t in ("f4", "f8"))
    assert {minimizer.solution.rows.dtype for minimizer in minimizers} == {torch.float32, torch.float64}
    assert_allclose(single.loss_curve_[-1], double.loss_curve_[-1], rtol=1e-4)


def test_a_system_beyond_the_range_of_numbers_ends_the_stage(rows, minimizers):
    """So that the next one can go on."""
    X, Y, _ = rows
    QuadrantMultiLabelClassifier("hinge").fit(X, Y)
    minimizer = minimizers[-1]
    minimizer.span.kernel.fill_(torch.inf)
    minimizer.done, minimizer.reached = torch.zeros_like(minimizer.done), torch.zeros_like(minimizer.reached)
    with pytest.raises(FloatingPointError, match="infinite or NaN"):
        minimizer._iterate()


def test_labels_that_are_left_go_on_from_where_they_are(rows, minimizers, monkeypatch):
    """In single precision, in double precision, and with Newton steps, each time fewer of them."""
    monkeypatch.setattr(solve, "WORTH_SINGLE", 0)
    monkeypatch.setattr(stages, "PATIENCE", (1, 150))
    X, Y, weight = rows
    Y = np.column_stack([Y, np.roll(Y, 5, axis=0)])
    seen = []

    def confirms(self, minimizer, labels):
        seen.append((labels.tolist(), minimizer.trace.n_iter))
        return (labels < len(seen)) | (len(seen) == 3)

    monkeypatch.setattr(stages.Minimization, "_confirms", confirms)
    QuadrantMultiLabelClassifier("hinge").fit(X, Y, weight)
    assert [labels for labels, _ in seen] == [[0, 1, 2, 3], [1, 2, 3], [2, 3]]
    assert seen[2][1] < seen[0][1] / 3
