"""Steps in single precision, which are to save time and to leave the answer to double precision."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.full_batch import solve, stages
from sk_quadrant._solvers.full_batch.compressed import Compressed
from sk_quadrant._solvers.full_batch.design import SingleRows
from sk_quadrant._solvers.full_batch.objective import Objective
from sk_quadrant._solvers.full_batch.shard import Shard
from sk_quadrant._solvers.full_batch.space import Space
from sk_quadrant._targets.encodings import read_targets
from sk_quadrant.losses import LOSSES

FORMATS = {"dense": np.asarray, "sparse": sparse.csr_array}
on_both_formats = pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)


@pytest.fixture
def roughly(monkeypatch):
    """Take the first steps in single precision, however small the problem."""
    monkeypatch.setattr(solve, "WORTH_SINGLE", 0)


@pytest.fixture(scope="module")
def rows():
    """Rows with counts as features, and five labels."""
    X, Y = make_multilabel_classification(300, 30, n_classes=5, random_state=0)
    return X * np.linspace(0.1, 2, 30), Y


@pytest.fixture
def precisions(monkeypatch):
    """Return the precisions in which the objective is evaluated, in turn."""
    seen = []
    evaluate = Objective.evaluate

    def recorded(self, theta, *args, **options):
        seen.append(theta.dtype.itemsize)
        return evaluate(self, theta, *args, **options)

    monkeypatch.setattr(Objective, "evaluate", recorded)
    return seen


def both_fits(monkeypatch, X, Y, **params):
    """Return a fit with the first steps in single precision, and one in double precision throughout."""
    models = []
    for least in (0, 2**62):
        monkeypatch.setattr(solve, "WORTH_SINGLE", least)
        models.append(QuadrantMultiLabelClassifier(**params).fit(X, Y))
    return models


@on_both_formats
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "hinge" else name for name in LOSSES]
)
def test_the_optimum_is_that_of_double_precision(name, as_format, rows, monkeypatch):
    """For every loss, as close to it as the tolerance says."""
    X, Y = rows
    rough, exact = both_fits(monkeypatch, as_format(X), Y, loss=name, tol=1e-5, max_iter=2000)
    limit = 0.05 if name == "hinge" else 2e-3  # flat: its objective is the same to 1e-7
    assert_allclose(rough.coef_, exact.coef_, rtol=0, atol=limit * np.abs(exact.coef_).max())
    assert_allclose(rough.loss_curve_[-1], exact.loss_curve_[-1], rtol=1e-7)


@on_both_formats
def test_one_pass_in_double_precision_confirms(as_format, rows, roughly, precisions):
    """Ordinary data take their steps in single precision and one evaluation in double precision."""
    X, Y = rows
    model = QuadrantMultiLabelClassifier().fit(as_format(X), Y)
    assert precisions.count(8) == 1
    assert precisions[-1] == 8
    assert precisions.count(4) >= model.n_iter_


def test_single_precision_data_have_one_precision(rows, roughly, precisions):
    """Features in single precision are solved in single precision."""
    X, Y = rows
    QuadrantMultiLabelClassifier().fit(X.astype(np.float32), Y)
    assert set(precisions) == {4}


@on_both_formats
@pytest.mark.parametrize("C", [1e-4, 1.0, 1e4, np.inf])
def test_a_tight_tolerance_is_kept(C, as_format, rows, roughly):
    """With tol=1e-9, which single precision cannot reach, coefficients are those of LogisticRegression."""
    X, Y = rows
    other = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    clf = QuadrantMultiLabelClassifier(C=C, tol=1e-9, max_iter=5000).fit(as_format(X), Y)
    for label, coef in enumerate(clf.coef_):
        expected = other.fit(X, Y[:, label]).coef_[0]
        assert_allclose(coef, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@on_both_formats
def test_a_wrong_single_precision_costs_time_only(as_format, rows, monkeypatch):
    """Rows that single precision gets wrong by a thousandth do not change the answer: its gradient does not agree."""
    wrong_rows, wrong_values = SingleRows.__init__, Compressed.to

    def spoiled_rows(self, X):
        wrong_rows(self, X * (1 + 1e-3 * X.sin()))

    def spoiled_values(self, dtype):
        other = wrong_values(self, dtype)
        other.powers = {1: other.powers[1] * (1 + 1e-3 * other.powers[1].sin())}
        return other

    monkeypatch.setattr(SingleRows, "__init__", spoiled_rows)
    monkeypatch.setattr(Compressed, "to", spoiled_values)
    X, Y = rows
    rough, exact = both_fits(monkeypatch, as_format(X), Y, tol=1e-4)
    assert_allclose(rough.loss_curve_[-1], exact.loss_curve_[-1], rtol=1e-7)
    assert_allclose(rough.coef_, exact.coef_, rtol=0, atol=1e-3 * np.abs(exact.coef_).max())


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30], ids="{:g}".format)
@on_both_formats
def test_features_beyond_single_precision(scale, as_format, rows, monkeypatch):
    """Features as large or small as double precision allows are solved as in double precision."""
    X, Y = rows
    X = X * np.where(np.arange(X.shape[1]) % 2, scale, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough, exact = both_fits(monkeypatch, as_format(X), Y, C=10.0, tol=1e-4)
    assert rough.loss_curve_[-1] <= exact.loss_curve_[-1] * (1 + 1e-6)


@on_both_formats
def test_a_feature_that_only_double_precision_sees_varying(as_format, rows, roughly):
    """A feature that varies by a millionth of its mean keeps the problem in double precision."""
    X = rows[0].copy()
    X[:, 3] = 1 + 1e-6 * X[:, 3]
    encoding, targets = read_targets(rows[1], missing_labels="error")
    spaces = []
    for features in (X, rows[0]):
        data = TrainingRows(as_format(features), targets, encoding)
        sums = Shard(data, fit_intercept=True, device=torch.device("cpu"))
        spaces.append(Space.of(sums, fit_intercept=True).single())
    assert spaces[0] is None
    assert spaces[1] is not None


@on_both_formats
@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr", "squared_hinge"])
def test_weights_unknown_labels_and_soft_targets(name, as_format, rows, monkeypatch):
    """What rows and labels count for is the same in both precisions."""
    X, Y = rows
    rng = np.random.default_rng(0)
    targets = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
    if LOSSES[name].soft_targets:
        targets = 0.1 + 0.8 * targets
    weight = rng.random(Y.shape) * 3
    models = []
    for least in (0, 2**62):
        monkeypatch.setattr(solve, "WORTH_SINGLE", least)
        model = QuadrantMultiLabelClassifier(name, missing_labels="ignore", tol=1e-6, max_iter=1000)
        models.append(model.fit(as_format(X), targets, sample_weight=weight))
    rough, exact = models
    assert_allclose(rough.coef_, exact.coef_, rtol=0, atol=1e-4 * np.abs(exact.coef_).max())


@pytest.mark.parametrize("at", [1, 4])
def test_a_fit_stopped_in_single_precision_keeps_its_last_iteration(at, rows, roughly, monkeypatch):
    """Ctrl-C during the first steps leaves the model of the iteration before, with a warning."""
    step = stages.Minimizer._step
    calls = []

    def interrupted(self, *args, **kwargs):
        calls.append(self.theta.dtype.itemsize)
        if len(calls) > at:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    X, Y = rows
    monkeypatch.setattr(stages.Minimizer, "_step", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        clf = QuadrantMultiLabelClassifier().fit(X, Y)
    assert set(calls) == {4}
    assert clf.n_iter_ == at
    assert np.abs(clf.coef_).max() > 0


def test_steps_beyond_the_range_of_single_precision_are_taken_again(rows, roughly, monkeypatch):
    """A loss that is not finite in single precision is minimised in double precision."""
    evaluate = Objective.evaluate

    def overflow(self, theta, *args, **options):
        point = evaluate(self, theta, *args, **options)
        return point._replace(values=point.values * np.inf) if theta.dtype.itemsize == 4 else point

    X, Y = rows
    expected = QuadrantMultiLabelClassifier(tol=1e-6, max_iter=1000).fit(X, Y)
    monkeypatch.setattr(Objective, "evaluate", overflow)
    clf = QuadrantMultiLabelClassifier(tol=1e-6, max_iter=1000).fit(X, Y)
    assert_allclose(clf.coef_, expected.coef_, rtol=0, atol=1e-4 * np.abs(expected.coef_).max())


def test_a_hinge_beyond_its_margin_is_not_taken_for_solved():
    """Wide rows are soon separated, where only the penalty is curved, which the steps so far do not tell."""
    rng, C = np.random.default_rng(0), 1e4
    X, Y = rng.standard_normal((100, 600)) / 600**0.5, (rng.random((100, 3)) < [0.05, 0.1, 0.3]).astype(int)
    clf = QuadrantMultiLabelClassifier("squared_hinge", C=C).fit(X, Y)
    for label, signs in enumerate(2 * Y.T - 1):

        def objective(parameters, signs=signs):
            shortfall = np.maximum(0, 1 - signs * (X @ parameters[:-1] + parameters[-1]))
            value = C * shortfall @ shortfall + parameters[:-1] @ parameters[:-1] / 2
            slopes = -2 * C * signs * shortfall
            return value, np.append(X.T @ slopes + parameters[:-1], slopes.sum())

        found = np.append(clf.coef_[label], clf.intercept_[label])
        best = minimize(objective, found, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10000})
        assert objective(found)[0] < 1.002 * best.fun


def test_single_precision_data_need_no_more_steps_with_a_weak_penalty():
    """Correlated features have directions of small variance, which single precision still resolves."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 100)) @ rng.standard_normal((100, 100)) / 10
    Y = X @ rng.standard_normal((100, 20)) / 10 + rng.logistic(size=(3000, 20)) > 0
    single, double = (QuadrantMultiLabelClassifier(C=1e4).fit(X.astype(dtype), Y) for dtype in (np.float32, float))
    assert single.n_iter_ <= double.n_iter_ + 2


def test_newton_steps_come_early_where_they_are_cheap():
    """Few rows with a weak penalty: the Hessian of a label costs less than the steps that it saves."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 50))
    Y = X @ rng.standard_normal((50, 5)) + rng.standard_normal((400, 5)) > 0
    assert QuadrantMultiLabelClassifier("exponential", C=100).fit(X, Y).n_iter_ < 25
