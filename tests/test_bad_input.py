"""Bad input: one error before any training, which says what is wrong, and nothing has changed."""

from dataclasses import dataclass, replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import LOSSES, BCEWithLogits, Focal, LabelwiseLoss

X, Y = make_quadrants(n_samples=60, n_features=4, slope=3.0, random_state=0)
Y = Y[:, :3]
y = Y[:, 0]
UNKNOWN = np.where(np.arange(Y.size).reshape(Y.shape) == 5, np.nan, Y)


@dataclass(frozen=True)
class HardOnly(BCEWithLogits):
    """A loss of targets 0 and 1."""

    name = "hard_only"
    soft_targets = False


@dataclass(frozen=True)
class TurnsNaN(LabelwiseLoss):
    """A loss that is NaN where a score of a present label exceeds 0.3."""

    name = "turns_nan"

    def per_label(self, scores, targets):
        """Return squared errors, or NaN."""
        return ((scores - 2 * targets) ** 2).masked_fill((scores > 0.3) & (targets == 1), torch.nan)


@dataclass(frozen=True)
class AlwaysNaN(LabelwiseLoss):
    """A loss that is never a number."""

    name = "always_nan"

    def per_label(self, scores, targets):
        """Return NaN."""
        return scores * torch.nan


def replaced(array, value):
    """Return a float copy with one entry replaced."""
    copy = np.array(array, dtype=float)
    copy.flat[3] = value
    return copy


# (parameters, X, y, sample_weight, what the message says)
CASES = {
    # parameters
    "unknown loss": ({"loss": "bce"}, X, Y, None, r"among \['asymmetric', .* Got 'bce' instead. Did you mean 'bce_w"),
    "misspelt loss": ({"loss": "Asymetric"}, X, Y, None, r"Got 'Asymetric' instead. Did you mean 'asymmetric'\?"),
    "loss class": ({"loss": Focal}, X, Y, None, r"'loss' parameter .*Focal'> instead. Pass an object: Focal\(\)"),
    "unknown solver": ({"solver": "newton"}, X, Y, None, r"'solver' parameter .*'lbfgs'.* Got 'newton' instead"),
    "C of zero": ({"C": 0}, X, Y, None, r"'C' parameter .* Got 0 instead"),
    "C of NaN": ({"C": np.nan}, X, Y, None, r"'C' parameter .* Got nan instead"),
    "negative C": ({"C": -1.0}, X, Y, None, r"'C' parameter .* Got -1.0 instead"),
    "no iterations": ({"max_iter": 0}, X, Y, None, r"'max_iter' parameter .* Got 0 instead"),
    "negative tol": ({"tol": -1e-3}, X, Y, None, r"'tol' parameter .* Got -0.001 instead"),
    "empty batches": ({"batch_size": 0}, X, Y, None, r"'batch_size' parameter .* Got 0 instead"),
    "unknown way with NaN": ({"missing_labels": "drop"}, X, Y, None, r"'missing_labels' parameter .* Got 'drop'"),
    "unknown class weight": ({"class_weight": "even"}, X, Y, None, r"'class_weight' parameter .* Got 'even' instead"),
    "random_state of text": ({"random_state": "a"}, X, Y, None, r"'random_state' parameter .* Got 'a' instead"),
    "unknown device": ({"device": "gpu"}, X, Y, None, r"device='gpu' is not a device. Available: auto, cpu"),
    "device elsewhere": ({"device": "cuda:99"}, X, Y, None, r"device='cuda:99' is not available .* auto, cpu"),
    "device of number": ({"device": 0}, X, Y, None, r"'device' parameter .* Got 0 instead"),
    # threshold
    "threshold word": ({"threshold": "half"}, X, Y, None, r"'threshold' parameter .* Got 'half' instead"),
    "threshold above 1": ({"threshold": 1.5}, X, Y, None, r"'threshold' parameter .* Got 1.5 instead"),
    "thresholds above 1": ({"threshold": [0.5, 0.5, 1.5]}, X, Y, None, r"threshold must be probabilities in \[0, 1\]"),
    "thresholds of NaN": ({"threshold": [0.5, 0.5, np.nan]}, X, Y, None, r"threshold must be probabilities in"),
    "thresholds too few": ({"threshold": [0.5, 0.5]}, X, Y, None, r"threshold must .* shape \(3,\), got \(2,\)"),
    "thresholds for one label": ({"threshold": [0.5, 0.5]}, X, y, None, r"threshold must .* shape \(1,\), got \(2,\)"),
    "thresholds in a matrix": ({"threshold": [[0.5, 0.5, 0.5]]}, X, Y, None, r"shape \(3,\), got \(1, 3\)"),
    "thresholds of text": ({"threshold": ["a", "b", "c"]}, X, Y, None, r"threshold must .* shape \(3,\), got \['a'"),
    "probability without link": ({"loss": "hinge", "threshold": 0.4}, X, Y, None, r"threshold must be 'natural' for"),
    "bayes without link": ({"loss": "hinge", "threshold": "bayes"}, X, Y, None, r"'bayes' is not possible .* 'nat"),
    "bayes out of reach": (
        {"loss": "shifted_sigmoid_bce", "threshold": "bayes"}, X, Y, None, r"'bayes' is not possible .* Use 'natural'",
    ),
    # X
    "NaN in X": ({}, replaced(X, np.nan), Y, None, r"Input X contains NaN"),
    "inf in X": ({}, replaced(X, np.inf), Y, None, r"Input X contains infinity"),
    "NaN in sparse X": ({}, sparse.csr_matrix(replaced(X, np.nan)), Y, None, r"Input X contains NaN"),
    "1-D X": ({}, X[:, 0], Y, None, r"Expected 2D array, got 1D array"),
    "3-D X": ({}, X[None], Y, None, r"Found array with dim 3"),
    "no rows": ({}, X[:0], Y[:0], None, r"Found array with 0 sample"),
    "no features": ({}, X[:, :0], Y, None, r"Found array with 0 feature"),
    "text in X": ({}, X.astype(str).astype(object) + "a", Y, None, r"could not convert string to float"),
    "complex X": ({}, X * 1j, Y, None, r"Complex data not supported"),
    # y
    "no y": ({}, X, None, None, r"requires y to be passed"),
    "fewer rows in y": ({}, X, Y[:10], None, r"X and y must have the same number of rows, got 60 and 10"),
    "fewer rows in sparse y": ({}, X, sparse.csr_matrix(Y[:10]), None, r"same number of rows, got 60 and 10"),
    "no rows in y": ({}, X, Y[:0], None, r"y must have shape .* at least 1 of each, got \(0, 3\)"),
    "no labels": ({}, X, Y[:, :0], None, r"y must have shape .* at least 1 of each, got \(60, 0\)"),
    "no labels in sparse y": ({}, X, sparse.csr_matrix(Y[:, :0]), None, r"y must have shape .* got \(60, 0\)"),
    "3-D y": ({}, X, Y[:, :, None], None, r"y must have shape .*, got \(60, 3, 1\)"),
    "a number as y": ({}, X, 1, None, r"y must have shape .*, got \(\)"),
    "rows of different lengths": ({}, X[:3], [[1], [0, 1], []], None, r"y must .*MultiLabelBinarizer"),
    "NaN in y": ({}, X, UNKNOWN, None, r"y contains NaN. Pass missing_labels='ignore'"),
    "NA in y": ({}, X, pd.DataFrame(Y).astype("Int64").mask(Y == 1), None, r"y contains NaN. Pass missing_labels="),
    "None in y": ({}, X, np.where(Y == 1, None, 0), None, r"y contains NaN. Pass missing_labels='ignore'"),
    "nothing known in y": ({"missing_labels": "ignore"}, X, Y * np.nan, None, r"y must have a known label, got NaN"),
    "inf in y": ({"missing_labels": "ignore"}, X, replaced(Y, np.inf), None, r"y must be 0, 1 .* got values .* to inf"),
    "y above 1": ({}, X, replaced(Y, 1.01), None, r"y must be 0, 1 or a probability .* from 0.0 to 1.01"),
    "y below 0": ({}, X, 2 * Y - 1, None, r"y must be 0, 1 or a probability .* from -1 to 1"),
    "several classes in several columns": ({}, X, Y + Y[:, ::-1], None, r"y must be 0, 1 .* not supported"),
    "text in y": ({}, X, np.where(Y == 1, "a", "b"), None, r"y must hold numbers in \[0, 1\] .* got <U1 values"),
    "digits of text in y": ({}, X, pd.DataFrame(Y).astype(str), None, r"y must hold numbers in \[0, 1\] .* got object"),
    "complex y": ({}, X, Y * 1j, None, r"y must hold numbers in \[0, 1\] .* got complex128 values"),
    "counts in sparse y": ({}, X, sparse.csr_matrix(2 * Y), None, r"Sparse y must hold 0 and 1 only"),
    "NaN in sparse y": ({"missing_labels": "ignore"}, X, sparse.csr_matrix(UNKNOWN), None, r"Sparse y must hold 0"),
    "one class only": ({}, X, np.zeros(60), None, r"y must have at least 2 classes, got 1 class: \[0.0\]"),
    "real numbers as classes": ({}, X, X[:, 0], None, r"Unknown label type: continuous"),
    "NaN as class": ({}, X, replaced(y, np.nan), None, r"y contains NaN, and a class cannot be unknown"),
    "NaN as class to ignore": ({"missing_labels": "ignore"}, X, replaced(y, np.nan), None, r"a class cannot be"),
    "inf as class": ({}, X, replaced(y, np.inf), None, r"Input y contains infinity"),
    "classes of two types": ({}, X, np.array(["a", 1] * 30, dtype=object), None, r"y must hold classes of one type"),
    "None as class": ({}, X, np.array(["a", None] * 30, dtype=object), None, r"y contains NaN, and a class cannot be"),
    "soft for a hard loss": ({"loss": HardOnly()}, X, 0.9 * Y, None, r"loss='hard_only' takes targets 0 and 1 only"),
    # weights
    "zero weights": ({}, X, Y, np.zeros(60), r"sample_weight must have a positive value"),
    "negative weights": ({}, X, Y, replaced(np.ones(60), -2), r"sample_weight must not be negative, got .* -2.0"),
    "NaN weights": ({}, X, Y, replaced(np.ones(60), np.nan), r"sample_weight must be .* finite .* contains NaN"),
    "infinite weights": ({}, X, Y, replaced(np.ones(60), np.inf), r"sample_weight must be .* contains infinity"),
    "weights of text": ({}, X, Y, ["a"] * 60, r"sample_weight must be an array of finite numbers"),
    "too few weights": ({}, X, Y, np.ones(59), r"sample_weight must have shape .* \(60,\) or \(60, 3\), got \(59,\)"),
    "weights of two labels": ({}, X, Y, np.ones((60, 2)), r"sample_weight must have shape .*, got \(60, 2\)"),
    "weight on the unknown only": (
        {"missing_labels": "ignore"}, X, UNKNOWN, np.isnan(UNKNOWN).astype(float), r"leave no known label",
    ),
    "class weights of zero": ({"class_weight": {0: 0, 1: 0}}, X, Y, None, r"class_weight leave no known label"),
    "negative class weight": ({"class_weight": {0: -1}}, X, Y, None, r"class_weight must .* not negative, got -1"),
    "negative weight of a class": ({"class_weight": {0: -1}}, X, y, None, r"class_weight must .* not negative, got -1"),
    "class weight of NaN": ({"class_weight": {0: np.nan}}, X, Y, None, r"class_weight must .* finite .*, got nan"),
    "class weight of text": ({"class_weight": {0: "a"}}, X, Y, None, r"class_weight must hold .* numbers .*, got 'a'"),
    "class weight by label": ({"class_weight": {0: 1, 1: 1, 2: 1}}, X, Y, None, r"keys among \[0, 1\], got \[2\]"),
    "class weight of no class": ({"class_weight": {0: 1, 2: 1}}, X, y, None, r"keys among \[0, 1\], got \[2\]"),
    "too few class weights": ({"class_weight": ["balanced"]}, X, Y, None, r"class_weight must .* list of 3, got 1"),
    "list of class weights": ({"class_weight": ["balanced"] * 2}, X, y, None, r"class_weight .* 1-D y, got \['bal"),
    "class weights of numbers": ({"class_weight": [1, 2, 3]}, X, Y, None, r"class_weight must be 'balanced'.*, got 1"),
}  # fmt: skip

by_case = pytest.mark.parametrize(("params", "X", "y", "sample_weight", "match"), CASES.values(), ids=CASES)


def state_of(clf):
    """Return a digest of all attributes but the net, and the net itself."""
    return joblib.hash({name: value for name, value in vars(clf).items() if name != "net_"}), vars(clf).get("net_")


@pytest.fixture
def no_training(monkeypatch):
    """Fail if a training begins."""
    from sk_quadrant._solvers.registry import SOLVERS

    def started(*args, **kwargs):
        pytest.fail("training has begun")

    for name, solver in SOLVERS.items():
        monkeypatch.setitem(SOLVERS, name, replace(solver, solve=started))


@by_case
def test_bad_input_is_refused_before_training(params, X, y, sample_weight, match, no_training):
    """One error that names what is wrong, and the estimator is as unfitted as before."""
    clf = QuadrantMultiLabelClassifier(**params)
    before = state_of(clf)
    with pytest.raises((ValueError, TypeError), match=match):
        clf.fit(X, y, sample_weight=sample_weight)
    assert state_of(clf) == before


@by_case
def test_bad_input_leaves_a_fitted_estimator_as_it_was(params, X, y, sample_weight, match):
    """A model that was fitted before predicts as if nothing had happened."""
    clf = QuadrantMultiLabelClassifier().fit(*make_quadrants(n_samples=20, n_features=5, random_state=1))
    clf.set_params(**params)
    before = state_of(clf)
    with pytest.raises((ValueError, TypeError), match=match):
        clf.fit(X, y, sample_weight=sample_weight)
    assert state_of(clf) == before
    clf.set_params(**QuadrantMultiLabelClassifier().get_params())  # predict follows the threshold
    assert clf.predict(np.ones((1, 5))).tolist() == [[1, 1, 1, 1, 1]]


@pytest.mark.parametrize(
    "case", ["NaN in X", "fewer rows in y", "zero weights", "thresholds too few", "unknown device"]
)
def test_bad_input_leaves_partial_fit_where_it_was(case):
    """Further batches are refused in the same words, and what has been learnt stays."""
    params, X_bad, y_bad, sample_weight, match = CASES[case]
    clf = QuadrantMultiLabelClassifier(solver="adamw", random_state=0).partial_fit(X, Y)
    clf.set_params(**params)
    before = state_of(clf)
    with pytest.raises(ValueError, match=match):
        clf.partial_fit(X_bad, y_bad, sample_weight=sample_weight)
    assert state_of(clf) == before


def test_partial_fit_without_y_says_so():
    """With classes or without."""
    for classes in (None, [0, 1]):
        with pytest.raises(ValueError, match="QuadrantMultiLabelClassifier estimator requires y to be passed"):
            QuadrantMultiLabelClassifier(solver="adamw").partial_fit(X, None, classes=classes)


# losses that go wrong


@dataclass(frozen=True)
class GradientTurnsNaN(LabelwiseLoss):
    """A loss whose derivative, not the loss itself, is NaN where a score exceeds 0.3."""

    name = "gradient_turns_nan"

    def per_label(self, scores, targets):
        """Return squared errors plus nothing."""
        return (scores - 2 * targets) ** 2 + torch.where(scores > 0.3, 0, 0 * (0.3 - scores).sqrt())


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("loss", [AlwaysNaN(), TurnsNaN(), GradientTurnsNaN()], ids=repr)
def test_a_loss_that_turns_nan_stops_with_an_error(loss, solver):
    """Training stops with an error, not with coefficients of NaN, and a fitted model is kept."""
    clf = QuadrantMultiLabelClassifier(solver=solver, tol=1e3, n_iter_no_change=1).fit(X, Y)
    clf.set_params(loss=loss, learning_rate_init=0.5, tol=1e-4, n_iter_no_change=10)
    before = state_of(clf)
    with pytest.raises(FloatingPointError, match=r"(loss|coefficients).* (nan|NaN|not finite)"):
        clf.fit(X, Y)
    assert state_of(clf) == before


def test_a_step_that_is_too_long_stops_with_an_error_that_says_so():
    """An exploding mini-batch fit is an error."""
    clf = QuadrantMultiLabelClassifier("exponential", solver="adamw", learning_rate_init=1e200)
    with pytest.raises(FloatingPointError, match="lower learning_rate_init"):
        clf.fit(X, Y)
    assert not hasattr(clf, "coef_")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_format", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("rows", [60, 3], ids=["tall", "wide"])
def test_features_too_large_to_square_are_an_error(dtype, as_format, rows):
    """Features whose squares overflow cannot be scaled in the solver: the error says to scale them."""
    huge = X[:rows].astype(dtype) * np.sqrt(np.finfo(dtype).max)
    with pytest.raises((ValueError, FloatingPointError), match=r"[Ss]cale.* X"):
        QuadrantMultiLabelClassifier().fit(as_format(huge), Y[:rows])


# convergence


@pytest.mark.parametrize("solver", ["lbfgs", "adamw", "sgd"])
def test_not_converged_is_a_warning_that_says_what_to_raise(solver):
    """The warning names max_iter and tol, and points at the caller."""
    clf = QuadrantMultiLabelClassifier(solver=solver, max_iter=2)
    with pytest.warns(ConvergenceWarning, match=r"within max_iter=2 .* tol=0.000[15]. Raise max_iter or tol") as record:
        clf.fit(X, Y)
    assert record[0].filename == __file__
    assert clf.n_iter_ == 2


@pytest.mark.parametrize("name", LOSSES)
def test_converged_fits_do_not_warn(name, recwarn):
    """Plain data with default parameters raise no warning at all."""
    QuadrantMultiLabelClassifier(name).fit(X, Y)
    assert not recwarn.list


# after fit


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_methods_of_an_unfitted_estimator_say_so(method):
    """Before fit every prediction is a NotFittedError."""
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(QuadrantMultiLabelClassifier(), method)(X)


@pytest.mark.parametrize("method", ["sparsify", "densify"])
def test_formats_of_an_unfitted_estimator_say_so(method):
    """So are changes of the format of coefficients."""
    with pytest.raises(NotFittedError, match=r"Estimator|fitted"):
        getattr(QuadrantMultiLabelClassifier(), method)()


def test_the_net_of_an_unfitted_estimator_says_so():
    """So is the net."""
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        QuadrantMultiLabelClassifier().net_  # noqa: B018


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (X[:, :2], "X has 2 features, but QuadrantMultiLabelClassifier is expecting 4"),
        (X[0], "Expected 2D array, got 1D array"),
        (X[:0], "Found array with 0 sample"),
        (replaced(X, np.nan), "Input X contains NaN"),
        (sparse.csr_matrix(X[:, :2]), "X has 2 features, but QuadrantMultiLabelClassifier is expecting 4"),
    ],
    ids=["features", "1-D", "empty", "NaN", "sparse features"],
)
def test_predictions_check_features(method, bad, match):
    """Features in predict must be as many as in fit, and finite."""
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    with pytest.raises(ValueError, match=match):
        getattr(clf, method)(bad)


# fits that go on


@pytest.mark.parametrize(
    ("other_X", "other_y", "match"),
    [
        (X[:, :2], Y, "X has 2 features, but QuadrantMultiLabelClassifier is expecting 4"),
        (X, Y[:, :2], "y must have 3 labels as in the first call, got 2 labels"),
        (X, y + 5, r"y must have 3 labels as in the first call, got the classes \[5, 6\]"),
        (X, pd.DataFrame(Y, columns=["c", "b", "z"]), r"y must have the labels of fit as columns, \['a', 'b', 'c'\]"),
    ],
    ids=["features", "labels", "classes", "columns"],
)
def test_a_warm_start_refuses_other_features_and_labels(other_X, other_y, match):
    """What the coefficients belong to must stay the same."""
    clf = QuadrantMultiLabelClassifier(warm_start=True).fit(X, pd.DataFrame(Y, columns=["a", "b", "c"]))
    before = state_of(clf)
    with pytest.raises(ValueError, match=match):
        clf.fit(other_X, other_y)
    assert state_of(clf) == before


def test_a_warm_start_refuses_other_classes():
    """Coefficients of one pair of classes are not those of another."""
    clf = QuadrantMultiLabelClassifier(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"y must have the classes \[0, 1\] as in the first call, got .* \[5, 6\]"):
        clf.fit(X, y + 5)


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ({"y": y}, None, "classes must be passed on the first call to partial_fit"),
        ({"y": Y, "classes": range(5)}, None, r"classes must be None or arange\(3\) for a y of 3 labels"),
        ({"y": Y}, {"y": Y[:, :2]}, "y must have 3 labels as in the first call, got 2 labels"),
        ({"y": Y}, {"y": y}, r"y must have shape \(n_samples, n_labels\), at least 1 of each, got \(60,\)"),
        ({"y": y, "classes": [0, 1]}, {"y": y + 1}, r"has classes not in `self.classes_`.* y has new \[2\]"),
        ({"y": y, "classes": [0, 1]}, {"y": y, "classes": [0, 2]}, "classes=.* is not the same as in the first call"),
        (
            {"y": pd.DataFrame(Y, columns=["a", "b", "c"])},
            {"y": pd.DataFrame(Y, columns=["a", "c", "d"])},
            r"y must have the labels of fit as columns, \['a', 'b', 'c'\], in any order, got \['a', 'c', 'd'\]",
        ),
    ],
    ids=["no classes", "classes of labels", "labels", "kind", "new class", "other classes", "columns"],
)
def test_further_batches_refuse_other_labels(first, second, match):
    """partial_fit holds on to the classes or labels of its first call."""
    clf = QuadrantMultiLabelClassifier(solver="adamw")
    with pytest.raises(ValueError, match=match):
        clf.partial_fit(X, **first).partial_fit(X, **second)


def test_partial_fit_is_absent_with_the_reason_for_a_full_batch_solver():
    """The error says which solvers have it."""
    clf = QuadrantMultiLabelClassifier()
    assert not hasattr(clf, "partial_fit")
    with pytest.raises(AttributeError) as error:
        clf.partial_fit(X, Y)
    assert "not available for solver='lbfgs'" in str(error.value.__cause__)
    assert "'adamw'" in str(error.value.__cause__)


TEXTS = ["red apple", "green pear", "blue"] * 4


@pytest.mark.parametrize(
    "X", [TEXTS, np.array(TEXTS), pd.Series(TEXTS), pd.DataFrame({"text": TEXTS}), {"input_ids": np.ones((12, 3))}],
    ids=["list", "array", "series", "frame", "dict"],
)  # fmt: skip
def test_texts_without_a_step_that_reads_them_are_refused(X):
    """The message names what turns them into numbers."""
    y = np.arange(24).reshape(12, 2) % 3 % 2

    with pytest.raises((TypeError, ValueError), match=r"X must hold numbers .*TfidfVectorizer .* or pass .* module"):
        QuadrantMultiLabelClassifier().fit(X, y)
