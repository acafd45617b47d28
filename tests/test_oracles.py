"""Coefficients against other implementations, and against laws that a minimum of the objective obeys."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import LOSSES, ZLPR, Asymmetric, BCEWithLogits, Focal, Hinge, Poly1

PRECISE = {"tol": 1e-10, "max_iter": 5000}
SMOOTH = [name for name in LOSSES if name != "hinge"]
VARIED = [
    *(LOSSES[name]() for name in SMOOTH),
    BCEWithLogits(pos_weight=3.0),
    ZLPR(temperature=2.0, threshold=0.5, bound=1.0),
    Focal(gamma=1.0, alpha=0.25),
    Asymmetric(gamma_pos=0.0, gamma_neg=2.0, clip=0.0),
    Poly1(epsilon=-1.0),
]

on_both_formats = pytest.mark.parametrize("as_format", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])


@pytest.fixture(scope="module")
def problem():
    """Correlated features of mixed scales and three noisy labels, one of them rare."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 5)) @ rng.standard_normal((5, 5)) * [0.3, 1, 2, 1, 0.5] + [0, 1, 0, -2, 0]
    Y = (X[:, :3] + rng.standard_normal((150, 3)) > [0, 1, 3.5]).astype(int)
    return X, Y


def assert_same_model(a, b, *, rtol=1e-7):
    """Compare coefficients and intercepts, relatively to the largest of each."""
    assert_allclose(a.coef_, b.coef_, rtol=0, atol=rtol * np.abs(b.coef_).max())
    assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=rtol * max(1, np.abs(b.intercept_).max()))


# other implementations


@pytest.mark.parametrize("C", [0.01, 1, 100])
@pytest.mark.parametrize("name", ["emotions", "yeast", pytest.param("scene", marks=pytest.mark.slow)])
def test_bce_is_one_vs_rest_logistic_regression(name, C, load_tabular):
    """Every coefficient on real data is that of LogisticRegression to 1e-5, whatever the penalty."""
    X, Y, _, _ = load_tabular(name)
    X = StandardScaler().fit_transform(X.astype(np.float64))
    other = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-14, max_iter=1000)
    expected = OneVsRestClassifier(other).fit(X, Y).estimators_
    clf = QuadrantMultiLabelClassifier(C=C, **PRECISE).fit(X, Y)
    coef = np.vstack([estimator.coef_ for estimator in expected])
    assert_allclose(clf.coef_, coef, rtol=1e-5, atol=1e-9 * np.abs(coef).max())
    assert_allclose(clf.intercept_, np.concatenate([estimator.intercept_ for estimator in expected]), rtol=1e-5)


def test_default_tolerance_gives_what_it_promises(load_tabular):
    """With tol="auto", 5e-4, the coefficients are right to about 5e-4 of their norm."""
    X, Y, _, _ = load_tabular("emotions")
    X = StandardScaler().fit_transform(X.astype(np.float64))
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y).coef_
    error = np.linalg.norm(QuadrantMultiLabelClassifier().fit(X, Y).coef_ - expected, axis=1)
    assert (error <= 2e-3 * np.linalg.norm(expected, axis=1)).all()


@pytest.mark.parametrize("name", ["emotions", "yeast", pytest.param("scene", marks=pytest.mark.slow)])
def test_default_tolerance_is_ten_times_closer_than_that_of_logistic_regression(name, load_tabular):
    """By the objective, with the default parameters of both."""
    X, Y, _, _ = load_tabular(name)
    X = StandardScaler().fit_transform(X.astype(np.float64))

    def objective(coef, intercept):
        scores = X @ coef.T + intercept
        return float((np.logaddexp(0, scores) - Y * scores).sum() + 0.5 * (coef**2).sum())

    ours, exact = QuadrantMultiLabelClassifier().fit(X, Y), QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y)
    theirs = OneVsRestClassifier(LogisticRegression()).fit(X, Y).estimators_
    coef, intercept = np.vstack([e.coef_ for e in theirs]), np.concatenate([e.intercept_ for e in theirs])
    least = objective(exact.coef_, exact.intercept_)
    assert objective(ours.coef_, ours.intercept_) - least <= (objective(coef, intercept) - least) / 10


@on_both_formats
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_squared_hinge_is_linear_svc(problem, C, as_format):
    """Without intercept, which LinearSVC would penalise, the coefficients are those of LinearSVC."""
    X, Y = problem
    other = LinearSVC(loss="squared_hinge", C=C, dual=False, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = OneVsRestClassifier(other).fit(X, Y)
    clf = QuadrantMultiLabelClassifier("squared_hinge", C=C, fit_intercept=False, **PRECISE).fit(as_format(X), Y)
    assert_allclose(clf.coef_, np.vstack([estimator.coef_ for estimator in expected.estimators_]), rtol=1e-5)


@pytest.mark.parametrize("C", [0.01, 1.0])
def test_hinge_is_linear_svc(problem, C):
    """The non-smooth objective is as low as LinearSVC gets it, and the coefficients agree."""
    X, Y = problem
    other = LinearSVC(loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=1_000_000)
    expected = np.vstack([e.coef_ for e in OneVsRestClassifier(other).fit(X, Y).estimators_])
    coef = QuadrantMultiLabelClassifier("hinge", C=C, fit_intercept=False, tol=1e-8).fit(X, Y).coef_
    assert hinge_objective(coef, X, Y, C) <= hinge_objective(expected, X, Y, C) * (1 + 1e-5)
    assert_allclose(coef, expected, atol=1e-3 * np.abs(expected).max())


def hinge_objective(coef, X, Y, C, intercept=0):
    """Return C * sum of hinges + half the squared norm."""
    return C * np.maximum(0, 1 - (2 * Y - 1) * (X @ coef.T + intercept)).sum() + 0.5 * (coef**2).sum()


@pytest.mark.parametrize("constant", [False, True], ids=["", "constant feature"])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.slow
def test_hinge_with_intercept_is_a_linear_support_vector_machine(seed, C, constant):
    """The intercept, where the objective may have a slope but no curvature, gets as good as that of SVC."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20 * (seed + 1), 1 + seed % 3))
    y = (X[:, 0] + 0.5 * rng.standard_normal(len(X)) > rng.uniform(-1, 1)).astype(int)[:, None]
    if constant:
        X = np.hstack([X, np.full((len(X), 1), 3.0)])
    expected = SVC(kernel="linear", C=C, tol=1e-6).fit(X, y[:, 0])
    clf = QuadrantMultiLabelClassifier("hinge", C=C).fit(X, y[:, 0])
    lowest = hinge_objective(expected.coef_, X, y, C, expected.intercept_)
    assert hinge_objective(clf.coef_, X, y, C, clf.intercept_) <= lowest * (1 + 1e-4)


@pytest.mark.parametrize("loss", ["bce_with_logits", "sigmoid_bce"])
def test_binary_targets_are_logistic_regression(problem, loss):
    """A 1-D y of two classes gives one row of coefficients, for the second class."""
    X, Y = problem
    y = np.where(Y[:, 0] == 1, "yes", "no")
    expected = LogisticRegression(solver="newton-cholesky", tol=1e-14, max_iter=1000).fit(X, y)
    clf = QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, y)
    assert_allclose(clf.coef_, expected.coef_, rtol=1e-6)
    assert_allclose(clf.decision_function(X), expected.decision_function(X), rtol=1e-6)
    assert_allclose(clf.predict_proba(X), expected.predict_proba(X), rtol=1e-6)
    assert_array_equal(clf.predict(X), expected.predict(X))


@pytest.mark.parametrize("rare", [False, True], ids=["Gaussian", "a feature seen once in 5000 rows"])
def test_many_rows_of_few_labels_are_logistic_regression(rare):
    """Where the correlation of features comes from a sample of the rows, the optimum is that of all of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 120)) @ rng.standard_normal((120, 120))
    if rare:
        X[:, 7] = np.arange(len(X)) % 5000 == 1
    y = (X[:, :9].sum(axis=1) + 20 * rng.standard_normal(len(X)) > 0).astype(int)
    expected = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X, y)
    assert_same_model(QuadrantMultiLabelClassifier(tol=1e-9, max_iter=500).fit(X, y), expected, rtol=1e-6)


def test_no_penalty_is_unpenalised_logistic_regression(problem):
    """C=inf is the maximum likelihood where it exists."""
    X, Y = problem
    expected = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=1000).fit(X, Y[:, 0])
    clf = QuadrantMultiLabelClassifier(C=np.inf, **PRECISE).fit(X, Y[:, [0]].astype(bool)[:, 0])
    assert_allclose(clf.coef_, expected.coef_, rtol=1e-5)


def test_class_weight_is_that_of_logistic_regression(problem):
    """For a label matrix "balanced" weighs each label as LogisticRegression weighs its classes."""
    X, Y = problem
    other = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-14, max_iter=1000)
    expected = np.vstack([e.coef_ for e in OneVsRestClassifier(other).fit(X, Y).estimators_])
    assert_allclose(
        QuadrantMultiLabelClassifier(class_weight="balanced", **PRECISE).fit(X, Y).coef_, expected, rtol=1e-5
    )


# zlpr


@pytest.mark.parametrize("loss", [ZLPR(), ZLPR(temperature=2.0), ZLPR(threshold=0.5), ZLPR(bound=2.0)], ids=repr)
@on_both_formats
def test_zlpr_recovers_the_weights_of_soft_targets(loss, as_format):
    """Probabilities that the link of ZLPR makes of linear scores lead back to their weights."""
    rng = np.random.default_rng(0)
    X, W, b = rng.standard_normal((200, 4)), rng.standard_normal((6, 4)), rng.standard_normal(6)
    targets = loss.link.inverse(X @ W.T + b)
    clf = QuadrantMultiLabelClassifier(loss, C=np.inf, **PRECISE).fit(as_format(X), targets)
    assert_allclose(clf.coef_, W, rtol=1e-5, atol=1e-6)
    assert_allclose(clf.intercept_, b, rtol=1e-5, atol=1e-6)


def test_zlpr_recovers_the_weights_of_sigmoids_of_twice_the_scores():
    """The special case in figures: targets sigmoid(2 X W)."""
    rng = np.random.default_rng(1)
    X, W = rng.standard_normal((300, 3)), rng.standard_normal((5, 3))
    clf = QuadrantMultiLabelClassifier("zlpr", C=np.inf, fit_intercept=False, **PRECISE).fit(X, expit(2 * X @ W.T))
    assert_allclose(clf.coef_, W, rtol=1e-5)


def test_zlpr_of_one_label_is_bce(problem):
    """With a single label both are log(1 + exp(-s)) of a present label."""
    X, Y = problem
    models = [QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, Y[:, 0]) for loss in ("zlpr", "bce_with_logits")]
    assert_same_model(*models)


def test_zlpr_sees_labels_together(problem):
    """With several labels the coefficients of one depend on the others, unlike those of a labelwise loss."""
    X, Y = problem
    both, one = Y[:, :2], Y[:, 0]
    for loss, alike in [("zlpr", False), ("bce_with_logits", True)]:
        joint = QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, both).coef_[0]
        alone = QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, one).coef_[0]
        assert np.allclose(joint, alone, rtol=1e-6) == alike


# laws of the minimum


def objective(clf, X, Y, *, weight=None, mask=None):
    """Return the objective of the docstring at the coefficients of a model, with its gradient, by autograd."""
    coef, intercept = (torch.tensor(part, requires_grad=True) for part in (clf.coef_, clf.intercept_))
    scores = torch.tensor(X) @ coef.T + intercept
    targets = torch.tensor(np.nan_to_num(Y), dtype=torch.float64)
    rows = torch.ones(len(X), dtype=torch.float64) if weight is None else torch.tensor(weight)
    known = None if mask is None else torch.tensor(mask)
    if rows.ndim == 1:
        losses = rows * clf.loss_.per_sample(scores, targets, known)
    else:
        mean = rows.mean(dim=1, keepdim=True) if mask is None else (rows * known).sum(1, True) / known.sum(1, True)
        losses = mean[:, 0] * clf.loss_.per_sample(scores, targets, known, rows / mean)
    value = clf.C * losses.sum() + 0.5 * (coef**2).sum()
    value.backward()
    return float(value.detach()), coef.grad.numpy(), intercept.grad.numpy()


def assert_stationary(clf, X, Y, **kwargs):
    """Check that the gradient has vanished, in comparison to what it would be at a slightly different place."""
    _, slopes, rise = objective(clf, X, Y, **kwargs)
    scale = max(1.0, clf.C) * len(X) * np.abs(X).max()
    assert_allclose(slopes, 0, atol=1e-7 * scale)
    if clf.fit_intercept:
        assert_allclose(rise, 0, atol=1e-7 * scale)


@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
@pytest.mark.parametrize("loss", VARIED, ids=repr)
def test_gradient_of_the_objective_vanishes(loss, fit_intercept, problem):
    """The model is a stationary point of the objective that the docstring states, for every smooth loss."""
    X, Y = problem
    clf = QuadrantMultiLabelClassifier(loss, C=0.7, fit_intercept=fit_intercept, **PRECISE).fit(X, Y)
    assert_stationary(clf, X, Y)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_vanishes_with_weights_unknown_labels_and_soft_targets(name, problem):
    """So it is with a weight for each label of each row, targets in between and labels that are not known."""
    X, Y = problem
    rng = np.random.default_rng(0)
    reachable = LOSSES[name]().link.high
    soft = np.where(rng.random(Y.shape) < 0.5, Y, rng.random(Y.shape)) * reachable
    mask = rng.random(Y.shape) < 0.8
    mask[~mask.any(axis=1), 0] = True
    weight = rng.random(Y.shape) + 0.1
    clf = QuadrantMultiLabelClassifier(name, missing_labels="ignore", **PRECISE)
    clf.fit(X, np.where(mask, soft, np.nan), sample_weight=weight)
    assert_stationary(clf, X, soft, weight=weight, mask=mask)


@pytest.mark.parametrize("name", SMOOTH)
def test_last_value_of_the_loss_curve_is_the_objective(name, problem):
    """The curve holds the objective divided by C times the weight of all rows, and falls."""
    X, Y = problem
    weight = np.random.default_rng(0).random(len(X))
    clf = QuadrantMultiLabelClassifier(name, C=2.0, **PRECISE).fit(X, Y, sample_weight=weight)
    value, _, _ = objective(clf, X, Y, weight=weight)
    assert clf.loss_curve_[-1] == pytest.approx(value / (clf.C * weight.sum()), rel=1e-7)
    assert len(clf.loss_curve_) == clf.n_iter_ + 1
    assert (np.diff(clf.loss_curve_) <= 1e-9).all()


@pytest.mark.parametrize("name", LOSSES)
def test_identical_labels_get_identical_coefficients(name, problem):
    """Two columns that are the same have the same coefficients to the last digit or nearly so."""
    X, Y = problem
    clf = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y[:, [0, 1, 0, 2]])
    assert_allclose(clf.coef_[0], clf.coef_[2], rtol=1e-12)
    assert clf.intercept_[0] == pytest.approx(clf.intercept_[2], rel=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_labels_may_come_in_any_order(name, problem):
    """Permuting the columns of Y permutes the coefficients."""
    X, Y = problem
    clf = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y)
    permuted = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y[:, [2, 0, 1]])
    assert_allclose(permuted.coef_, clf.coef_[[2, 0, 1]], atol=1e-7 * np.abs(clf.coef_).max())


@pytest.mark.parametrize("name", SMOOTH)
def test_rows_may_come_in_any_order(name, problem):
    """The full-batch solver finds the same optimum whatever the order of rows."""
    X, Y = problem
    order = np.random.default_rng(0).permutation(len(X))
    assert_same_model(
        QuadrantMultiLabelClassifier(name, **PRECISE).fit(X[order], Y[order]),
        QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y),
    )


@pytest.mark.parametrize("name", LOSSES)
def test_weight_two_is_a_repeated_row_and_weight_zero_an_absent_one(name, problem):
    """Integer weights of rows, in either shape, are numbers of copies."""
    X, Y = problem
    copies = np.random.default_rng(0).integers(0, 3, size=len(X))
    expected = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X.repeat(copies, axis=0), Y.repeat(copies, axis=0))
    for weight in (copies, np.repeat(copies[:, None], Y.shape[1], axis=1)):
        clf = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y, sample_weight=weight)
        assert_same_model(clf, expected, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in SMOOTH if LOSSES[name].labelwise])
def test_weights_of_labels_are_copies_of_rows_label_by_label(name, problem):
    """For a labelwise loss a weight of shape (n_samples, n_labels) repeats each label on its own."""
    X, Y = problem
    copies = np.random.default_rng(0).integers(0, 3, size=Y.shape)
    clf = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y, sample_weight=copies)
    for j in range(Y.shape[1]):
        alone = QuadrantMultiLabelClassifier(name, **PRECISE)
        alone.fit(X.repeat(copies[:, j], axis=0), Y[:, j].repeat(copies[:, j]))
        assert_allclose(clf.coef_[j], alone.coef_[0], atol=1e-6 * np.abs(alone.coef_).max())


@pytest.mark.parametrize("name", [name for name in SMOOTH if LOSSES[name].labelwise])
def test_unknown_labels_are_left_out(name, problem):
    """For a labelwise loss each label is fitted to the rows in which it is known."""
    X, Y = problem
    known = np.random.default_rng(0).random(Y.shape) < 0.7
    clf = QuadrantMultiLabelClassifier(name, missing_labels="ignore", **PRECISE).fit(X, np.where(known, Y, np.nan))
    for j in range(Y.shape[1]):
        alone = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X[known[:, j]], Y[known[:, j], j])
        assert_allclose(clf.coef_[j], alone.coef_[0], atol=1e-6 * np.abs(alone.coef_).max())
        assert clf.intercept_[j] == pytest.approx(alone.intercept_[0], rel=1e-6, abs=1e-6)


def test_unknown_labels_are_left_out_of_sets(problem):
    """For ZLPR a row with a label unknown has the loss of its other labels: rows of one known label are BCE."""
    X, Y = problem
    kept = np.random.default_rng(0).integers(0, Y.shape[1], size=len(X))
    single = np.where(np.arange(Y.shape[1]) == kept[:, None], Y, np.nan)
    models = [
        QuadrantMultiLabelClassifier(loss, missing_labels="ignore", **PRECISE).fit(X, single)
        for loss in ("zlpr", "bce_with_logits")
    ]
    assert_same_model(*models, rtol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_doubling_all_weights_is_doubling_C(name, problem):
    """The objective is C times a sum over rows, not a mean."""
    X, Y = problem
    assert_same_model(
        QuadrantMultiLabelClassifier(name, C=0.5, **PRECISE).fit(X, Y, sample_weight=np.full(len(X), 2.0)),
        QuadrantMultiLabelClassifier(name, C=1.0, **PRECISE).fit(X, Y),
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", SMOOTH)
@on_both_formats
def test_shifted_features_change_intercepts_only(name, as_format, problem):
    """The intercept is not penalised, so that it takes up any constant."""
    X, Y = problem
    clf = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y)
    shifted = QuadrantMultiLabelClassifier(name, **PRECISE).fit(as_format(X + 5), Y)
    assert_allclose(shifted.coef_, clf.coef_, atol=1e-6 * np.abs(clf.coef_).max())
    assert_allclose(shifted.intercept_, clf.intercept_ - 5 * clf.coef_.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("n_rows", [150, 30], ids=["tall", "wide"])
def test_sparse_features_give_the_coefficients_of_dense_ones(name, n_rows):
    """The format of X is no part of the answer, with more rows than features or fewer."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(sparse.random(n_rows, 40, density=0.2, random_state=rng))
    Y = (X @ rng.standard_normal((40, 3)) + 0.3 * rng.standard_normal((n_rows, 3)) > 0).astype(int)
    dense = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X.toarray(), Y)
    for layout in ("csr", "csc", "coo"):
        assert_same_model(QuadrantMultiLabelClassifier(name, **PRECISE).fit(X.asformat(layout), Y), dense, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@on_both_formats
def test_single_precision_is_close_to_double(name, as_format, problem):
    """float32 features give float32 coefficients that agree with those of float64."""
    X, Y = problem
    X = StandardScaler().fit_transform(X)
    single = QuadrantMultiLabelClassifier(name, C=0.1).fit(as_format(X.astype(np.float32)), Y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert_same_model(single, QuadrantMultiLabelClassifier(name, C=0.1, **PRECISE).fit(X, Y), rtol=5e-3)


@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr", "squared_hinge"])
def test_adamw_approaches_the_same_optimum(name):
    """It minimises the same objective, penalty included, here with all rows in one batch."""
    X, Y = make_quadrants(n_samples=400, slope=2.0, random_state=0)
    exact = QuadrantMultiLabelClassifier(name, C=0.1, **PRECISE).fit(X, Y)
    clf = QuadrantMultiLabelClassifier(
        name, C=0.1, solver="adamw", learning_rate_init=0.03, batch_size=400, max_iter=200, tol=0, n_iter_no_change=200,
    )  # fmt: skip
    with pytest.warns(match="did not converge"):
        clf.fit(X, Y)
    lowest, _, _ = objective(exact, X, Y)
    assert objective(clf, X, Y)[0] <= lowest * (1 + 1e-4)
    assert_same_model(clf, exact, rtol=0.01)


@dataclass(frozen=True)
class Uncurved(BCEWithLogits):
    """BCE that claims to be flat, so that the solver has no idea of the length of a step."""

    def curvature(self, scores, targets, mask=None, weight=None):
        """Return zeros."""
        return torch.zeros_like(scores)

    def per_label_curvature(self, scores, targets):
        """Return zeros."""
        return torch.zeros_like(scores)


@pytest.mark.parametrize("C", [0.01, 1.0])
def test_a_wrong_curvature_costs_time_only(C, problem):
    """A loss that seems to be flat still has its intercepts and coefficients fitted."""
    X, Y = problem
    flat = QuadrantMultiLabelClassifier(Uncurved(), C=C, tol=1e-7, max_iter=5000).fit(X, Y)
    assert_same_model(flat, QuadrantMultiLabelClassifier(BCEWithLogits(), C=C, **PRECISE).fit(X, Y), rtol=1e-5)


def test_hinge_without_link_still_weighs_and_masks(problem):
    """The smoothed stages of the hinge take weights and masks as any loss does."""
    X, Y = problem
    known = np.random.default_rng(0).random(Y.shape) < 0.7
    clf = QuadrantMultiLabelClassifier(Hinge(), missing_labels="ignore", **PRECISE).fit(X, np.where(known, Y, np.nan))
    alone = QuadrantMultiLabelClassifier(Hinge(), **PRECISE).fit(X[known[:, 0]], Y[known[:, 0], 0])
    assert_allclose(clf.coef_[0], alone.coef_[0], atol=1e-5 * np.abs(alone.coef_).max())
