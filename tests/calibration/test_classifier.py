"""CalibratedMultiLabelClassifierCV: what it answers, for which classifiers, and what it refuses."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, get_scorer, log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV
from sk_quadrant.losses import LOSSES
from sk_quadrant.metrics import expected_calibration_error, multilabel_log_loss

scikit_learn = parse_version(sklearn.__version__)
HAS_TEMPERATURE = scikit_learn >= parse_version("1.8")
METHODS = ("sigmoid", "temperature", "isotonic")
WEIGHT_CHECKS = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
NO_WEIGHTS = dict.fromkeys(WEIGHT_CHECKS, "KNeighborsClassifier takes no weights, but does see repeated rows")
RENAMED_CLASSES = dict.fromkeys(
    WEIGHT_CHECKS, "the check of scikit-learn 1.6 swaps the two classes of the weighted rows"
)
CHECKED = {
    CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier()): {},
    CalibratedMultiLabelClassifierCV(RidgeClassifier()): {},
    CalibratedMultiLabelClassifierCV(RidgeClassifier(), method="isotonic", scope="pooled", ensemble=False): {},
    CalibratedMultiLabelClassifierCV(MLPClassifier(max_iter=10, random_state=0), method="temperature", cv=2): {},
    CalibratedMultiLabelClassifierCV(KNeighborsClassifier(), ensemble=False): NO_WEIGHTS,
}


def _is_quick(clf):
    return isinstance(clf.estimator, QuadrantMultiLabelClassifier)


def _expected_failures(estimator):
    return CHECKED[estimator] if scikit_learn >= parse_version("1.7") else RENAMED_CLASSES


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([clf for clf in CHECKED if _is_quick(clf)], expected_failed_checks=_expected_failures)
def test_scikit_learn_checks_pass(estimator, check):
    """The checks of scikit-learn hold."""
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([clf for clf in CHECKED if not _is_quick(clf)], expected_failed_checks=_expected_failures)
def test_scikit_learn_checks_of_others_pass(estimator, check):
    """They hold with decision values, probabilities, and lists of probabilities below."""
    check(estimator)


@pytest.fixture(scope="module")
def data():
    """Training and test rows of two labels, with the probabilities of the test rows."""
    X, Y = make_quadrants(2000, slope=2.0, shuffle=True, random_state=0)
    X_test, Y_test, proba = make_quadrants(2000, slope=2.0, shuffle=True, random_state=1, return_proba=True)
    return X, Y, X_test, Y_test, proba


def _rare_label_data(n_samples=200):
    """Rows of three labels: frequent, of three positives, without positive."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 3))
    Y = np.zeros((n_samples, 3), dtype=int)
    Y[:, 0] = X[:, 0] > 0
    Y[[3, 50, 150], 1] = 1
    X[[3, 50, 150], 1] += 5
    return X, Y


class _Recorder(ClassifierMixin, BaseEstimator):
    """A multi-label classifier with prescribed decision values that keeps what its fit received."""

    def __init__(self, scores=None):
        self.scores = scores

    def fit(self, X, y, sample_weight=None, note=None):
        self.received_ = {"X": X, "y": y, "sample_weight": sample_weight, "note": note}
        return self

    def decision_function(self, X):
        return np.asarray(X, dtype=float) if self.scores is None else self.scores(np.asarray(X, dtype=float))


# %% What it answers


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "out-of-fold"])
@pytest.mark.parametrize("method", METHODS)
def test_labels_get_the_probabilities_of_a_calibrated_binary_classifier_each(data, method, ensemble):
    """On the same folds the oracle is scikit-learn's CalibratedClassifierCV, one label at a time."""
    if method == "temperature" and not HAS_TEMPERATURE:
        pytest.skip("scikit-learn has no temperature before 1.8")
    X, Y, X_test, *_ = data
    cv = list(KFold(3).split(X))
    # large weights make the smoothing of targets vanish, which scikit-learn leaves out for the temperature
    weight = np.full(len(X), 1e9) if method == "temperature" else None
    model = CalibratedMultiLabelClassifierCV(
        OneVsRestClassifier(LogisticRegression(C=0.01)), method=method, cv=cv, ensemble=ensemble
    )

    with warnings.catch_warnings(action="ignore", category=UserWarning):
        proba = model.fit(X, Y, sample_weight=weight).predict_proba(X_test)

    oracle = CalibratedClassifierCV(LogisticRegression(C=0.01), method=method, cv=cv, ensemble=ensemble)
    expected = [clone(oracle).fit(X, Y[:, j]).predict_proba(X_test)[:, 1] for j in range(2)]
    np.testing.assert_allclose(proba, np.transpose(expected), atol=1e-6)


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "out-of-fold"])
def test_one_dimensional_y_gives_the_answers_of_calibrated_classifier_cv(ensemble):
    """For two classes the probabilities, predictions and default folds are scikit-learn's."""
    X, y = make_classification(400, random_state=0)
    y = np.array(["no", "yes"])[y]

    model = CalibratedMultiLabelClassifierCV(LinearSVC(random_state=0), ensemble=ensemble).fit(X, y)

    oracle = CalibratedClassifierCV(LinearSVC(random_state=0), ensemble=ensemble).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), oracle.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), oracle.predict(X))
    np.testing.assert_array_equal(model.classes_, oracle.classes_)


CLASSIFIERS = {
    "mlp": MLPClassifier((20,), max_iter=100, random_state=0),
    "hinge": OneVsRestClassifier(LinearSVC(random_state=0)),
    "forest": RandomForestClassifier(50, min_samples_leaf=5, random_state=0),
    "tree": DecisionTreeClassifier(min_samples_leaf=20, random_state=0),
    "neighbours": KNeighborsClassifier(20),
    "ridge": RidgeClassifier(),
    "chain": ClassifierChain(LogisticRegression()),
    "naive-bayes": MultiOutputClassifier(GaussianNB()),
    "pipeline": make_pipeline(StandardScaler(), OneVsRestClassifier(LinearSVC(random_state=0))),
    "search": GridSearchCV(RidgeClassifier(), {"alpha": [0.1, 10.0]}, cv=2),
}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.slow
def test_any_multi_label_classifier_gets_probabilities_close_to_the_true_ones(data, name, method):
    """Decision values, probabilities and lists of probabilities all end up within .08 of the truth on average."""
    X, Y, X_test, _, truth = data

    proba = CalibratedMultiLabelClassifierCV(CLASSIFIERS[name], method=method, cv=3).fit(X, Y).predict_proba(X_test)

    assert proba.shape == truth.shape
    assert np.abs(proba - truth).mean() < 0.08


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "out-of-fold"])
@pytest.mark.parametrize("scope", ["label", "pooled"])
@pytest.mark.parametrize("method", METHODS)
def test_over_confident_probabilities_are_corrected(data, method, scope, ensemble):
    """Few neighbours answer 0 and 1 too often; every kind of map takes it back."""
    X, Y, X_test, Y_test, _ = data
    neighbours = KNeighborsClassifier(3)

    model = CalibratedMultiLabelClassifierCV(neighbours, method=method, scope=scope, ensemble=ensemble).fit(X, Y)

    before = np.transpose([proba[:, 1] for proba in neighbours.fit(X, Y).predict_proba(X_test)])
    after = model.predict_proba(X_test)
    assert log_loss(Y_test.ravel(), after.ravel()) < 0.6 < 1 < log_loss(Y_test.ravel(), before.ravel())


def test_predictions_are_the_labels_with_probability_above_one_half(data):
    """The threshold is on the calibrated probability, and the result an int64 indicator matrix."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(X, Y)

    predicted = model.predict(X_test)

    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(predicted, model.predict_proba(X_test) > 0.5)


@pytest.mark.parametrize(
    ("ensemble", "frozen", "n_pairs"),
    [("auto", False, 4), (True, False, 4), (False, False, 1), ("auto", True, 1), (True, True, 4), (False, True, 1)],
)
def test_ensemble_says_how_many_classifiers_are_kept(data, ensemble, frozen, n_pairs):
    """One pair a fold in an ensemble, one pair otherwise, and "auto" depends on the classifier being frozen."""
    X, Y, *_ = data
    ridge = FrozenEstimator(RidgeClassifier().fit(X, Y)) if frozen else RidgeClassifier()

    model = CalibratedMultiLabelClassifierCV(ridge, ensemble=ensemble, cv=4).fit(X, Y)

    assert len(model.calibrated_classifiers_) == n_pairs


def test_an_ensemble_averages_the_probabilities_of_its_pairs(data):
    """The pairs are public, and their mean is the answer."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), cv=3).fit(X, Y)

    mean = np.mean([pair.predict_proba(X_test) for pair in model.calibrated_classifiers_], axis=0)

    np.testing.assert_allclose(model.predict_proba(X_test), mean)


def test_a_frozen_classifier_is_calibrated_as_it_is(data):
    """It keeps its coefficients, and its map is fitted to all rows given."""
    X, Y, X_test, *_ = data
    ridge = RidgeClassifier().fit(X[:1000], Y[:1000])
    coef = ridge.coef_.copy()

    model = CalibratedMultiLabelClassifierCV(FrozenEstimator(ridge)).fit(X[1000:], Y[1000:])

    (pair,) = model.calibrated_classifiers_
    np.testing.assert_array_equal(ridge.coef_, coef)
    np.testing.assert_array_equal(pair.n_positive + pair.n_negative, 1000)
    oracle = CalibratedClassifierCV(FrozenEstimator(RidgeClassifier().fit(X[:1000], Y[:1000, 0])))
    expected = oracle.fit(X[1000:], Y[1000:, 0]).predict_proba(X_test)[:, 1]
    np.testing.assert_allclose(model.predict_proba(X_test)[:, 0], expected, atol=1e-6)


def test_pooled_maps_serve_labels_that_their_own_rows_could_not():
    """A label of three positives gets a useful probability from the map of all labels."""
    X, Y = _rare_label_data()
    kwargs = {"estimator": RidgeClassifier(), "ensemble": False}

    pooled = CalibratedMultiLabelClassifierCV(scope="pooled", **kwargs).fit(X, Y)

    (pair,) = pooled.calibrated_classifiers_
    assert pair.calibrator.slope.shape == (1,)
    assert pooled.predict_proba(X)[[3, 50, 150], 1].min() > pooled.predict_proba(X)[:, 2].max()


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_are_strictly_between_0_and_1(method):
    """No logarithm of a probability is infinite, far from the training rows and for separable labels."""
    X = np.linspace(-1, 1, 50)[:, np.newaxis]
    Y = np.hstack([X > 0, X < 0]).astype(int)
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), method=method, cv=2).fit(X, Y)

    proba = model.predict_proba([[-1e6], [0.0], [1e6]])

    assert np.all((proba > 0) & (proba < 1))


# %% Forms of X and y


@pytest.mark.parametrize(
    "container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix], ids=lambda c: c.__name__
)
def test_sparse_y_gives_sparse_predictions_of_the_same_values(data, container):
    """Sparse X and Y change nothing but the type of the predictions, CSR as an array or a matrix."""
    X, Y, X_test, *_ = data
    dense = CalibratedMultiLabelClassifierCV(OneVsRestClassifier(LinearSVC(random_state=0))).fit(X, Y)

    model = clone(dense).fit(container(X), container(Y))

    predicted = model.predict(container(X_test))
    assert predicted.format == "csr"
    assert predicted.dtype == np.int64
    assert isinstance(predicted, sparse.sparray) == issubclass(container, sparse.sparray)
    np.testing.assert_array_equal(predicted.toarray(), dense.predict(X_test))
    np.testing.assert_allclose(model.predict_proba(X_test), dense.predict_proba(X_test), atol=1e-3)


def test_data_frames_keep_their_names(data):
    """Feature names come from the classifier; rows are split with their columns."""
    pd = pytest.importorskip("pandas")
    X, Y, X_test, *_ = data
    frame, labels = pd.DataFrame(X, columns=["u", "v"]), pd.DataFrame(Y, columns=["right", "up"])
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier())

    proba = clone(model).fit(X, Y).predict_proba(X_test)
    model.fit(frame.set_index(np.arange(len(X)) * 7), labels)

    assert model.feature_names_in_.tolist() == ["u", "v"]
    assert model.n_features_in_ == 2
    np.testing.assert_allclose(model.predict_proba(pd.DataFrame(X_test, columns=["u", "v"])), proba, rtol=1e-9)


def test_fitting_again_forgets_names_of_the_first_fit(data):
    """Attributes describe the last fit only."""
    pd = pytest.importorskip("pandas")
    X, Y, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(pd.DataFrame(X, columns=["u", "v"]), Y)

    model.fit(X, Y)

    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, float, object])
def test_the_type_of_y_does_not_matter(data, dtype):
    """Indicator matrices of any type give the same probabilities."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(_Recorder(), cv=3)

    proba = model.fit(X, Y.astype(dtype)).predict_proba(X_test)

    np.testing.assert_array_equal(proba, clone(model).fit(X, Y).predict_proba(X_test))


def test_a_single_column_of_y_is_one_label(data):
    """Its form is that of the same label given as classes."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier())

    proba = model.fit(X, pd.DataFrame(Y[:, [0]])).predict_proba(X_test)

    assert model.predict(X_test).shape == (len(X_test),)
    np.testing.assert_array_equal(proba, clone(model).fit(X, Y[:, 0]).predict_proba(X_test))


@pytest.mark.parametrize("n_labels", [1, 2])
def test_the_decision_function_is_the_log_odds_of_the_probabilities(n_labels, data):
    """It is positive where labels are predicted, and ranks two labels for scikit-learn's scorers."""
    X, Y, X_test, Y_test, _ = data
    y = Y[:, 0] if n_labels == 1 else Y[:, :n_labels]
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(X, y)
    scores, proba = model.decision_function(X_test), model.predict_proba(X_test)
    np.testing.assert_allclose(
        scores, np.log(proba / (1 - proba))[:, 1] if n_labels == 1 else np.log(proba / (1 - proba))
    )
    np.testing.assert_array_equal(scores > 0, model.predict(X_test))
    if n_labels == 2:
        expected = roc_auc_score(Y_test[:, :2], proba)
        assert get_scorer("roc_auc")(model, X_test, Y_test[:, :2]) == pytest.approx(expected)


def test_unknown_labels_take_no_part_in_the_maps(data):
    """With NaN in some rows of a label, its map is that of the other rows."""
    X, Y, X_test, *_ = data
    Y = Y.astype(float)
    Y[:500, 0] = np.nan
    model = CalibratedMultiLabelClassifierCV(_Recorder(), ensemble=False)

    proba = model.fit(X, Y).predict_proba(X_test)

    known = clone(model).fit(X[500:], Y[500:]).predict_proba(X_test)
    everything = clone(model).fit(X, np.nan_to_num(Y)).predict_proba(X_test)
    np.testing.assert_allclose(proba[:, 0], known[:, 0], atol=1e-9)
    np.testing.assert_allclose(proba[:, 1], everything[:, 1], atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_soft_targets_are_probabilities_to_be_met(data, method):
    """Maps fitted to the true probabilities come closer to them than maps fitted to labels drawn from them."""
    X, Y, X_test, _, truth = data
    soft = expit(2 * X)
    model = CalibratedMultiLabelClassifierCV(_Recorder(), method=method, cv=2)

    error = [np.abs(model.fit(X, y).predict_proba(X_test) - truth).mean() for y in (soft, Y)]

    assert error[0] < min(error[1], 0.005)


# %% Folds


def test_default_folds_of_one_label_are_stratified_k_fold():
    """For one label the folds are exactly those of StratifiedKFold, also for sorted rows."""
    Y = np.random.default_rng(0).integers(0, 2, (53, 1))
    model = CalibratedMultiLabelClassifierCV(_Recorder()).fit(np.arange(53.0)[:, np.newaxis], Y)

    for pair, (train, _) in zip(model.calibrated_classifiers_, StratifiedKFold(5).split(Y, Y[:, 0]), strict=True):
        np.testing.assert_array_equal(pair.estimator.received_["X"][:, 0], train)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_default_folds_spread_every_label_over_sorted_rows(container):
    """Rows sorted by label, as in the scene data, still leave positives of each label in each fold."""
    Y = np.kron(np.eye(6, dtype=int), np.ones((20, 1), dtype=int))
    Y[::3, 0] = 1
    Y[:7, 5] = 1

    model = CalibratedMultiLabelClassifierCV(_Recorder(), cv=4).fit(Y.astype(float), container(Y))

    positives = np.array([pair.n_positive for pair in model.calibrated_classifiers_])
    assert np.all(np.abs(positives - Y.sum(axis=0) / 4) < Y.sum(axis=0) / 12)


def test_default_folds_take_labels_with_fewer_positives_than_folds():
    """Three positives go to three different folds, and the warning counts the label."""
    X, Y = _rare_label_data()
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier())

    with pytest.warns(
        UserWarning, match="1 of 3 labels have no positive or no negative row in the test part of a fold"
    ):
        model.fit(X, Y)

    assert sorted(pair.n_positive[1] for pair in model.calibrated_classifiers_) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{"ensemble": False}, {"scope": "pooled"}], ids=str)
def test_rare_labels_raise_no_warning_where_their_positives_come_together(method, options):
    """One map for all rows or all labels does not depend on which fold a positive is in."""
    X, Y = _rare_label_data()

    with warnings.catch_warnings(action="error"):
        proba = CalibratedMultiLabelClassifierCV(RidgeClassifier(), method=method, **options).fit(X, Y).predict_proba(X)

    assert proba[[3, 50, 150], 1].min() > np.quantile(proba[:, 1], 0.8)


def test_a_class_with_fewer_rows_than_folds_is_a_rare_label():
    """Rows of two classes are split as those of one label, without the warning of StratifiedKFold."""
    X, Y = _rare_label_data()
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), ensemble=False)

    with warnings.catch_warnings(action="error"):
        proba = clone(model).fit(X, Y[:, 1]).predict_proba(X)

    np.testing.assert_allclose(proba[:, 1], clone(model).fit(X, Y[:, [1, 1]]).predict_proba(X)[:, 0])


@pytest.mark.parametrize("method", METHODS)
def test_a_label_without_positives_gets_the_smoothed_frequency(method):
    """Its probability is (0 + 1) / (n + 2), with n rows to a map."""
    X, Y = _rare_label_data()
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), method=method, ensemble=False).fit(X, Y)

    np.testing.assert_allclose(model.predict_proba(X)[:, 2], 1 / (len(X) + 2))


def test_fitting_is_deterministic_and_leaves_the_global_random_state_alone(data):
    """Default folds involve no randomness."""
    X, Y, X_test, *_ = data
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier())

    proba = [model.fit(X, Y).predict_proba(X_test) for _ in range(2)]

    np.testing.assert_array_equal(*proba)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


# %% Classifiers with odd answers


@pytest.mark.parametrize("strategy", ["prior", "most_frequent"])
@pytest.mark.parametrize("method", METHODS)
def test_constant_scores_give_a_constant_probability(method, strategy):
    """A classifier that says nothing gets about the frequency of each label, and 1/2 by a temperature."""
    X, Y = np.zeros((100, 1)), (np.arange(100) % 4 == 0).astype(int)[:, np.newaxis].repeat(2, axis=1)
    Y[:, 1] = 1 - Y[:, 1]
    model = CalibratedMultiLabelClassifierCV(DummyClassifier(strategy=strategy), method=method, ensemble=False)

    proba = model.fit(X, Y).predict_proba([[0.0]])

    np.testing.assert_allclose(proba, [[0.25, 0.75]], atol=0.02)


def test_classes_missing_from_the_training_part_count_as_probability_0():
    """A forest that never saw a label has a single column for it, which is not the label's probability."""
    X, Y = np.arange(40.0)[:, np.newaxis], np.zeros((40, 2), dtype=int)
    Y[20:, 0] = 1
    Y[:20, 1] = 1
    cv = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    model = CalibratedMultiLabelClassifierCV(DecisionTreeClassifier(), cv=cv, ensemble=False)

    proba = model.fit(X, Y).predict_proba(X)

    assert np.all((proba > 0) & (proba < 1))
    # out of fold, each label was denied wherever it was true: its scores point the wrong way
    assert np.all(proba[Y == 1] < 0.5)


def test_infinite_decision_values_stay_at_the_end_of_the_map(data):
    """They are certainties of the classifier: ignored by the fit, and 0 or 1 but for the last digit."""
    X, Y, *_ = data
    certain = _Recorder(lambda X: np.where(np.abs(X) > 1.5, np.copysign(np.inf, X), X))
    moderate = np.all(np.abs(X) <= 1.5, axis=1)

    model = CalibratedMultiLabelClassifierCV(certain, ensemble=False).fit(X[moderate], Y[moderate])

    np.testing.assert_allclose(model.predict_proba([[-9.0, 9.0]]), [[0, 1]], atol=1e-15)
    assert np.all((model.predict_proba([[-9.0, 9.0]]) > 0) & (model.predict_proba([[-9.0, 9.0]]) < 1))


# %% Weights and metadata


def test_weights_reach_the_classifier_and_the_maps_row_by_row(data):
    """Each clone receives the weights of its own rows, and a weight of 0 removes a row from the maps."""
    X, Y, X_test, *_ = data
    weight = (np.arange(len(X)) % 2).astype(float)
    cv = list(KFold(2).split(X))

    model = CalibratedMultiLabelClassifierCV(_Recorder(), cv=cv).fit(X, Y, sample_weight=weight)

    for pair, (train, test) in zip(model.calibrated_classifiers_, cv, strict=True):
        np.testing.assert_array_equal(pair.estimator.received_["sample_weight"], weight[train])
        np.testing.assert_array_equal(pair.n_positive, Y[test][weight[test] > 0].sum(axis=0))
    kept = weight > 0
    without = clone(model).set_params(cv=KFold(2)).fit(X[kept], Y[kept])
    np.testing.assert_allclose(model.predict_proba(X_test), without.predict_proba(X_test), atol=1e-9)


def test_weights_of_single_entries_are_taken(data):
    """A weight for each row and label is passed on and used as such."""
    X, Y, X_test, *_ = data
    weight = np.ones(Y.shape)
    weight[:500, 0] = 0
    model = CalibratedMultiLabelClassifierCV(_Recorder(), ensemble=False)

    proba = model.fit(X, Y, sample_weight=weight).predict_proba(X_test)

    unknown = Y.astype(float)
    unknown[:500, 0] = np.nan
    np.testing.assert_allclose(proba, clone(model).fit(X, unknown).predict_proba(X_test), atol=1e-9)


def test_weights_that_the_classifier_cannot_take_are_used_for_the_maps_with_a_warning(data):
    """As in CalibratedClassifierCV."""
    X, Y, *_ = data
    model = CalibratedMultiLabelClassifierCV(KNeighborsClassifier(), cv=2)

    with pytest.warns(UserWarning, match=r"KNeighborsClassifier.fit does not take sample_weight"):
        model.fit(X, Y, sample_weight=np.full(len(X), 2.0))

    assert model.calibrated_classifiers_[0].n_positive.sum() == pytest.approx(Y.sum(), rel=0.1)


def test_fit_parameters_are_split_with_the_rows(data):
    """What has one entry per row is split, anything else passed on."""
    X, Y, *_ = data
    note = np.arange(len(X))

    model = CalibratedMultiLabelClassifierCV(_Recorder(), cv=KFold(2)).fit(X, Y, note=note)

    np.testing.assert_array_equal(model.calibrated_classifiers_[0].estimator.received_["note"], note[1000:])


def test_metadata_is_routed_to_classifier_splitter_and_maps(data):
    """With routing enabled, groups go to the splitter, and weights where they are requested."""
    X, Y, *_ = data
    groups = np.arange(len(X)) % 3
    weight = np.random.default_rng(0).uniform(1, 2, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = _Recorder().set_fit_request(sample_weight=True, note=True)
        model = CalibratedMultiLabelClassifierCV(estimator, cv=GroupKFold(3))

        model.fit(X, Y, sample_weight=weight, groups=groups, note=groups)

    for pair in model.calibrated_classifiers_:
        received = pair.estimator.received_
        (held_out,) = {0, 1, 2} - set(received["note"])
        np.testing.assert_array_equal(received["sample_weight"], weight[groups != held_out])
        np.testing.assert_allclose(pair.n_positive, weight[groups == held_out] @ Y[groups == held_out])


def test_a_search_routes_weights_through_it_to_the_classifier(data):
    """Weights requested at both levels arrive in a search around it."""
    X, Y, *_ = data
    weight = np.random.default_rng(0).uniform(1, 2, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = RidgeClassifier().set_fit_request(sample_weight=True)
        model = CalibratedMultiLabelClassifierCV(estimator, cv=2).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"method": ["sigmoid", "temperature"]}, cv=2)

        search.fit(X, Y, sample_weight=weight)

    best = clone(search.best_estimator_)
    with sklearn.config_context(enable_metadata_routing=True):
        best.fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(X), best.predict_proba(X))


# %% In the tools of scikit-learn


def test_a_search_tunes_the_classifier_inside(data):
    """The classifier's parameters and the method are searched, inside a pipeline too."""
    X, Y, X_test, Y_test, truth = data
    model = make_pipeline(StandardScaler(), CalibratedMultiLabelClassifierCV(KNeighborsClassifier(), cv=3))
    grid = {
        "calibratedmultilabelclassifiercv__estimator__n_neighbors": [1, 50],
        "calibratedmultilabelclassifiercv__method": ["sigmoid", "isotonic"],
    }

    search = GridSearchCV(model, grid, cv=2).fit(X, Y)

    assert search.best_params_["calibratedmultilabelclassifiercv__estimator__n_neighbors"] == 50
    assert search.score(X_test, Y_test) > accuracy_score(Y_test, truth > 0.5) - 0.02


def test_cross_validation_calls_it_as_any_classifier(data):
    """cross_val_predict of predictions and of probabilities agree."""
    X, Y, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), cv=2)

    predicted = cross_val_predict(model, X, Y, cv=2)

    fitted = clone(model).fit(X[1000:], Y[1000:])
    np.testing.assert_array_equal(predicted[:1000], fitted.predict(X[:1000]))


def test_it_survives_pickling(data):
    """A fitted model predicts the same from its bytes."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(KNeighborsClassifier(), method="isotonic").fit(X, Y)

    again = pickle.loads(pickle.dumps(model))

    np.testing.assert_array_equal(again.predict_proba(X_test), model.predict_proba(X_test))


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "out-of-fold"])
def test_two_jobs_give_the_result_of_one(data, ensemble):
    """Parallel fits change nothing."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), ensemble=ensemble, cv=2)

    one, two = (model.set_params(n_jobs=n_jobs).fit(X, Y).predict_proba(X_test) for n_jobs in (1, 2))

    np.testing.assert_array_equal(one, two)


def test_sorted_rows_of_real_data_are_calibrated(load_tabular):
    """The scene data are sorted by label; the calibrated forest has a lower log loss than the forest."""
    X, Y, X_test, Y_test = load_tabular("scene")
    forest = RandomForestClassifier(20, random_state=0)

    model = CalibratedMultiLabelClassifierCV(forest, ensemble=False).fit(X, Y)

    before = np.transpose([proba[:, 1] for proba in forest.fit(X, Y).predict_proba(X_test)])
    loss = [log_loss(Y_test.ravel(), proba.ravel()) for proba in (before, model.predict_proba(X_test))]
    assert loss[1] < 0.25 < loss[0]


# %% On the classifier of this package


def _draw_labels(law, X, W, rng):
    """Draw labels of the rows from scores X W; return them and their probabilities given X."""
    scores = X @ W
    if law == "exactly one":
        proba = softmax(scores, axis=1)
        chosen = (proba.cumsum(axis=1) < rng.random((len(X), 1))).sum(axis=1)
        return np.eye(W.shape[1], dtype=int)[chosen], proba
    if law == "independent":
        proba = expit(scores)
        return (rng.random(proba.shape) < proba).astype(int), proba
    noise, nodes, weights = 1.5, *np.polynomial.hermite_e.hermegauss(40)
    proba = sum(w * expit(scores - 1 + noise * t) for t, w in zip(nodes, weights / weights.sum(), strict=True))
    shared = noise * rng.normal(size=(len(X), 1))
    return (rng.random(proba.shape) < expit(scores - 1 + shared)).astype(int), proba


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize(
    ("law", "n_labels", "published"),
    [
        ("independent", 1, [0.018, 0.018, 0.119, 0.015, 0.023, 0.013]),
        ("independent", 5, [0.006, 0.035, 0.069, 0.009, 0.008, 0.005]),
        ("independent", 20, [0.003, 0.072, 0.024, 0.004, 0.004, 0.003]),
        pytest.param("independent", 100, [0.002, 0.088, 0.005, 0.001, 0.002, 0.002], marks=pytest.mark.slow),
        ("shared noise", 20, [0.007, 0.031, 0.105, 0.031, 0.007, 0.008]),
        ("exactly one", 10, [0.004, 0.073, 0.040, 0.025, 0.004, 0.009]),
    ],
    ids=lambda value: value if isinstance(value, (str, int)) else "",
)
@pytest.mark.slow
def test_a_pooled_platt_map_gives_zlpr_the_calibration_of_cross_entropy(law, n_labels, published):
    """Expected calibration errors of six sets of probabilities, with others' figures for the same laws.

    Cross-entropy, ZLPR as sigmoid(s) and sigmoid(2 s), its temperature, its Platt map, and ZLPR trained on the true
    probabilities; 4000 rows of 10 features, scores of variance 2.25 in the rows.
    """
    rng = np.random.default_rng(0)
    W = rng.normal(scale=1.5 / np.sqrt(10), size=(10, n_labels))
    X, X_test = rng.normal(size=(4000, 10)), rng.normal(size=(20_000, 10))
    (Y, soft), (Y_test, _) = _draw_labels(law, X, W, rng), _draw_labels(law, X_test, W, rng)
    zlpr = QuadrantMultiLabelClassifier("zlpr")
    out_of_fold = CalibratedMultiLabelClassifierCV(zlpr, scope="pooled", ensemble=False)

    fitted = clone(zlpr).fit(X, Y)
    scores = fitted.decision_function(X_test).reshape(len(X_test), n_labels)
    probabilities = [
        QuadrantMultiLabelClassifier().fit(X, Y).predict_proba(X_test),
        expit(scores),
        fitted.predict_proba(X_test),
        clone(out_of_fold).set_params(method="temperature").fit(X, Y).predict_proba(X_test),
        clone(out_of_fold).fit(X, Y).predict_proba(X_test),
        clone(zlpr).fit(X, soft).predict_proba(X_test),
    ]

    error = [expected_calibration_error(Y_test, proba[:, -n_labels:], average="micro") for proba in probabilities]
    np.testing.assert_allclose(error, published, atol=0.02)
    bce, _, sigmoid_2s, temperature, platt, _ = error
    assert platt < 0.02
    assert abs(platt - bce) < 0.01
    assert (sigmoid_2s > 0.05) == (published[2] > 0.05)
    assert (temperature > 0.02) == (published[3] > 0.02)


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "out-of-fold"])
def test_maps_of_training_scores_are_wrong_where_out_of_fold_scores_are_right(ensemble):
    """On 500 rows of 200 features the scores of the training rows say nothing about those of new rows."""
    rng = np.random.default_rng(0)
    W = rng.normal(scale=1.5 / np.sqrt(200), size=(200, 20))
    X, X_test = rng.normal(size=(500, 200)), rng.normal(size=(4000, 200))
    (Y, _), (Y_test, _) = _draw_labels("independent", X, W, rng), _draw_labels("independent", X_test, W, rng)
    zlpr = QuadrantMultiLabelClassifier("zlpr")

    held_out = CalibratedMultiLabelClassifierCV(zlpr, scope="pooled", ensemble=ensemble).fit(X, Y)
    on_training_scores = CalibratedMultiLabelClassifierCV(FrozenEstimator(zlpr.fit(X, Y)), scope="pooled").fit(X, Y)

    error = [
        expected_calibration_error(Y_test, model.predict_proba(X_test), average="micro")
        for model in (held_out, on_training_scores)
    ]
    assert error[0] < 0.06
    assert error[1] > 0.25


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"shifted_sigmoid_bce"}))
def test_every_loss_ends_up_with_about_the_true_probabilities(data, loss, method):
    """Whatever its scores mean, and where it has no probabilities at all.

    But for the shifted sigmoid, whose scores grow without bound wherever a label is more likely than not.
    """
    X, Y, X_test, Y_test, truth = data

    model = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(loss), method=method, scope="pooled").fit(
        X, Y
    )

    proba = model.predict_proba(X_test)
    assert np.abs(proba - truth).mean() < 0.04
    assert multilabel_log_loss(Y_test, proba) < multilabel_log_loss(Y_test, truth) * 1.05


def test_sparse_rows_and_labels_go_through(data):
    """Sparse X and Y reach the classifier as they are, and predictions are sparse."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier("zlpr", tol=1e-8), cv=2)

    dense = clone(model).fit(X, Y)
    model.fit(sparse.csr_array(X), sparse.csr_array(Y))

    assert sparse.issparse(model.predict(sparse.csr_array(X_test)))
    np.testing.assert_allclose(model.predict_proba(sparse.csr_array(X_test)), dense.predict_proba(X_test), atol=1e-6)


def test_names_of_features_and_labels_are_kept(data):
    """Columns of DataFrames name the features and the labels."""
    pd = pytest.importorskip("pandas")
    X, Y, *_ = data

    model = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2)
    model.fit(pd.DataFrame(X, columns=["u", "v"]), pd.DataFrame(Y, columns=["right", "up"]))

    assert model.feature_names_in_.tolist() == ["u", "v"]
    assert model.label_names_in_.tolist() == ["right", "up"]


def test_unknown_labels_soft_targets_and_weights_of_entries_reach_classifier_and_maps(data):
    """An unknown label is the same as one of weight 0, in training and in the maps."""
    X, _, X_test, *_ = data
    soft = expit(2 * X)
    weight = np.ones_like(soft)
    weight[::3, 0] = 0
    unknown = np.where(weight > 0, soft, np.nan)
    estimator = QuadrantMultiLabelClassifier(missing_labels="ignore")
    model = CalibratedMultiLabelClassifierCV(estimator, cv=KFold(3))

    proba = [
        clone(model).fit(X, unknown).predict_proba(X_test),
        clone(model).fit(X, soft, sample_weight=weight).predict_proba(X_test),
    ]

    np.testing.assert_allclose(*proba, atol=1e-6)
    np.testing.assert_allclose(proba[0], expit(2 * X_test), atol=0.01)


def test_a_search_over_losses_compares_their_calibrated_probabilities(data):
    """The loss inside is a parameter like any other."""
    X, Y, *_ = data
    model = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), scope="pooled", cv=2)
    grid = {"estimator__loss": ["zlpr", "hinge"], "method": ["sigmoid", "temperature"]}

    search = GridSearchCV(model, grid, scoring=_negative_log_loss, cv=2).fit(X, Y)

    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def _negative_log_loss(estimator, X, Y):
    return -multilabel_log_loss(Y, estimator.predict_proba(X))


# %% Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "platt"}, r"'method' parameter .* must be a str among .*'sigmoid'.* Got 'platt'"),
        ({"scope": "shared"}, r"'scope' parameter .* must be a str among .*'pooled'.* Got 'shared'"),
        ({"cv": 1}, r"'cv' parameter .* Got 1 instead"),
        ({"ensemble": "yes"}, r"'ensemble' parameter .* Got 'yes'"),
        ({"estimator": LinearRegression()}, r"'estimator' parameter .*'decision_function'.* Got LinearRegression\(\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_unknown_parameters_are_named(data, options, message):
    """The message has the parameter, what is allowed, and what came."""
    X, Y, *_ = data
    model = CalibratedMultiLabelClassifierCV(**{"estimator": RidgeClassifier(), **options})

    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


def test_an_unfitted_frozen_classifier_is_refused(data):
    """Freezing a classifier that was never fitted is a mistake."""
    X, Y, *_ = data
    with pytest.raises(NotFittedError, match="`estimator` must be fitted, got an unfitted FrozenEstimator"):
        CalibratedMultiLabelClassifierCV(FrozenEstimator(RidgeClassifier())).fit(X, Y)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predicting_before_fitting_is_refused(data, method):
    """The usual error of scikit-learn."""
    with pytest.raises(NotFittedError, match="CalibratedMultiLabelClassifierCV instance is not fitted yet"):
        getattr(CalibratedMultiLabelClassifierCV(RidgeClassifier()), method)(data[0])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(6) % 3, r"multiclass target. Use sklearn.calibration.CalibratedClassifierCV"),
        (np.zeros(6), r"must hold two classes, got 1 class: \[0.0\]"),
        (np.full((6, 2), 2), r"values in \[0, 1\], or NaN where a label is unknown, got values from 2 to 2"),
        (np.full((6, 2), -1), r"got values from -1 to -1"),
        (np.full((6, 2), np.inf), "y must be an indicator matrix .* got values from inf to inf"),
        (np.full((6, 2), "a"), r"y must hold numbers in \[0, 1\].*MultiLabelBinarizer"),
        (np.ones((5, 2)), r"inconsistent numbers of samples: \[6, 5\]"),
        (None, r"requires y to be passed, but the target y is None"),
    ],
    ids=["multiclass", "one-class", "too-high", "too-low", "infinite", "text", "rows", "none"],
)
def test_targets_that_are_no_labels_are_refused(y, message):
    """The message says what y may be, before any training."""
    with pytest.raises(ValueError, match=message):
        CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(np.ones((6, 1)), y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), r"here \(6,\) or \(6, 2\), got \(5,\)"),
        (np.ones((6, 3)), r"n_labels\), here \(6,\) or \(6, 2\), got \(6, 3\)"),
        (-np.ones(6), "sample_weight must not be negative"),
        (np.zeros(6), "sample_weight must have a positive value"),
        (np.full(6, np.nan), "sample_weight contains NaN"),
    ],
    ids=["rows", "columns", "negative", "zero", "nan"],
)
def test_weights_that_are_no_weights_are_refused(weight, message):
    """Shapes and signs are checked before any training."""
    Y = np.array([[0, 1], [1, 0]] * 3)
    with pytest.raises(ValueError, match=message):
        CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(np.ones((6, 1)), Y, sample_weight=weight)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda X: np.where(X > 2, np.nan, X), r"decision_function must not give NaN, got \d+ NaN among"),
        (lambda X: np.hstack([X, X]), r"one score a label, shape \(\d+, 2\), got shape \(\d+, 4\)"),
        (lambda X: X[:, 0], r"one score a label, shape \(\d+, 2\), got shape \(\d+, 1\)"),
    ],
    ids=["nan", "too-many", "too-few"],
)
def test_scores_that_are_no_scores_are_refused(data, scores, message):
    """The message names the method of the classifier that gave them."""
    X, Y, *_ = data
    with pytest.raises(ValueError, match=message):
        CalibratedMultiLabelClassifierCV(_Recorder(scores)).fit(X, Y)


def test_more_folds_than_rows_are_refused():
    """The message has both numbers."""
    with pytest.raises(ValueError, match="cv=5 folds need at least 5 rows, got n_samples=3"):
        CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(np.eye(3), np.eye(3, dtype=int))


def test_leaving_one_row_out_needs_out_of_fold_scores(data):
    """A map cannot be fitted to one row, but to the out-of-fold scores of all of them it can."""
    X, Y = data[0][:40], data[1][:40]
    with pytest.raises(ValueError, match="leaves one row to fit each map"):
        CalibratedMultiLabelClassifierCV(RidgeClassifier(), cv=LeaveOneOut()).fit(X, Y)

    proba = (
        CalibratedMultiLabelClassifierCV(RidgeClassifier(), cv=LeaveOneOut(), ensemble=False).fit(X, Y).predict_proba(X)
    )

    assert np.mean((proba > 0.5) == Y) > 0.7


def test_out_of_fold_scores_need_a_partition(data):
    """A splitter that leaves rows out or repeats them works for an ensemble only."""
    X, Y, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier(), cv=ShuffleSplit(2, random_state=0))

    assert len(clone(model).fit(X, Y).calibrated_classifiers_) == 2
    with pytest.raises(ValueError, match="each row must be in exactly one test part of cv"):
        model.set_params(ensemble=False).fit(X, Y)


def test_a_failed_fit_leaves_the_model_as_it_was(data):
    """An error in a second fit does not spoil the first."""
    X, Y, X_test, *_ = data
    model = CalibratedMultiLabelClassifierCV(RidgeClassifier()).fit(X, Y)
    proba = model.predict_proba(X_test)

    with pytest.raises(ValueError, match="values in"):
        model.fit(X, Y + 1)

    np.testing.assert_array_equal(model.predict_proba(X_test), proba)
