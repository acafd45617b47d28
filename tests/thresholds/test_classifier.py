"""TunedThresholdMultiLabelClassifierCV as an estimator: what it takes, what it gives, what it refuses."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier, RidgeClassifierCV
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    fbeta_score,
    get_scorer,
    hamming_loss,
    jaccard_score,
    make_scorer,
)
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
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

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV

LOGISTIC = OneVsRestClassifier(LogisticRegression())
CLASSIFIERS = {
    "list-of-arrays-forest": RandomForestClassifier(10, random_state=0),
    "list-of-arrays-neighbors": KNeighborsClassifier(),
    "list-of-arrays-tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    "list-of-arrays-multioutput": MultiOutputClassifier(LogisticRegression()),
    "array-chain": ClassifierChain(LogisticRegression()),
    "array-ovr": LOGISTIC,
    "array-mlp": MLPClassifier((), solver="lbfgs", alpha=1.0, random_state=0),
    "decision-ovr": OneVsRestClassifier(LinearSVC(random_state=0)),
    "decision-ridge-cv": RidgeClassifierCV(),
    "pipeline": make_pipeline(StandardScaler(), RidgeClassifier()),
    "grid-search": GridSearchCV(RidgeClassifier(), {"alpha": [0.1, 1.0]}, cv=2),
    "quadrant": QuadrantMultiLabelClassifier(),
    "quadrant-hinge": QuadrantMultiLabelClassifier("hinge"),
}
METRICS = {
    "f1_macro": lambda y, p: f1_score(y, p, average="macro", zero_division=0),
    "f1_micro": lambda y, p: f1_score(y, p, average="micro", zero_division=0),
    "f1_samples": lambda y, p: f1_score(y, p, average="samples", zero_division=0),
    "accuracy": accuracy_score,
    "neg_hamming_loss": lambda y, p: -hamming_loss(y, p),
    "jaccard_macro": lambda y, p: jaccard_score(y, p, average="macro", zero_division=0),
}


@pytest.fixture(scope="module")
def data():
    """120 rows with four labels."""
    return make_multilabel_classification(120, n_features=8, n_classes=4, random_state=0)


@pytest.fixture
def routing():
    """Enable metadata routing."""
    with config_context(enable_metadata_routing=True):
        yield


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose scores are its features; it remembers what it was trained on."""

    def __init__(self, offset=0.0):
        self.offset = offset

    def fit(self, X, y, sample_weight=None):
        """Remember the arguments."""
        self.classes_ = np.arange(np.shape(y)[1])
        self.seen_, self.weight_ = y, sample_weight
        return self

    def decision_function(self, X):
        """Return the features."""
        return np.asarray(X, dtype=float) + self.offset

    def predict(self, X):
        """Return where features are positive."""
        return (self.decision_function(X) > 0).astype(int)


def scored_labels(seed=0, n_samples=200, n_labels=3):
    """Return features that are the scores of their labels."""
    rng = np.random.default_rng(seed)
    Y = (rng.random((n_samples, n_labels)) < 0.3).astype(int)
    return rng.normal(size=Y.shape) + 1.5 * Y, Y


EXPECTED_FAILURES = {
    "MLPClassifier": {
        "check_classifiers_train": "predict compares probabilities with the tuned threshold, not 1/2; scikit-learn "
        "declares the same for TunedThresholdClassifierCV"
    }
}


QUICK = (RidgeClassifier(), DecisionTreeClassifier(random_state=0))  # decision values, lists of probabilities
OTHERS = (KNeighborsClassifier(), MLPClassifier(solver="lbfgs", max_iter=30, random_state=0))


def with_checks(classifiers):
    """Return a decorator that runs a test with each check of scikit-learn around each classifier."""
    return parametrize_with_checks(
        [TunedThresholdMultiLabelClassifierCV(classifier, cv=3) for classifier in classifiers],
        expected_failed_checks=lambda model: EXPECTED_FAILURES.get(type(model.estimator).__name__, {}),
    )


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@with_checks(QUICK)
def test_scikit_learn_checks(estimator, check):
    """The checks of scikit-learn, with base classifiers that take 1-D targets and label matrices."""
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge", "ignore:divide by zero", "ignore:invalid value")
@with_checks(OTHERS)
def test_scikit_learn_checks_of_others(estimator, check):
    """The same with classifiers that take longer."""
    check(estimator)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_works_with_any_multilabel_classifier(name, data):
    """Thresholds fit the forms of all scores, and tuning does not lose to the classifier's own predictions."""
    X, Y = data
    model = TunedThresholdMultiLabelClassifierCV(CLASSIFIERS[name], cv=KFold(3)).fit(X, Y)
    assert model.best_threshold_.shape == (4,)
    assert len(model.classes_) == 4
    own = cross_val_predict(CLASSIFIERS[name], X, Y, cv=KFold(3))
    assert model.best_score_ >= METRICS["f1_macro"](Y, own) - 1e-12
    predicted = model.predict(X)
    assert predicted.dtype == np.int64
    assert METRICS["f1_macro"](Y, predicted) > 0.6


@pytest.mark.parametrize("name", ["list-of-arrays-forest", "array-ovr", "decision-ridge-cv"])
def test_shared_threshold_is_one_number(name, data):
    """It scores at most what a threshold for each label does."""
    label, shared = (
        TunedThresholdMultiLabelClassifierCV(CLASSIFIERS[name], scope=scope).fit(*data) for scope in ("label", "shared")
    )
    assert np.unique(shared.best_threshold_).size == 1
    assert shared.pooled_.all()
    assert shared.best_score_ <= label.best_score_


@pytest.mark.parametrize("name", METRICS)
def test_best_score_is_the_metric_of_the_out_of_fold_predictions(name, data):
    """scikit-learn's cross_val_predict gives the same scores, and its metric the same number."""
    X, Y = data
    model = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=name, cv=KFold(4)).fit(X, Y)
    scores = cross_val_predict(LOGISTIC, X, Y, cv=KFold(4), method="predict_proba")
    assert model.best_score_ == pytest.approx(METRICS[name](Y, scores > model.best_threshold_), abs=1e-12)
    assert model.best_score_ >= METRICS[name](Y, scores > 0.5)


def test_cv_results_hold_the_out_of_fold_scores(data):
    """Each row appears once, with the score of the classifier that had not seen it."""
    X, Y = data
    model = TunedThresholdMultiLabelClassifierCV(LOGISTIC, cv=KFold(4), store_cv_results=True).fit(X, Y)
    scores = cross_val_predict(LOGISTIC, X, Y, cv=KFold(4), method="predict_proba")
    assert_allclose(model.cv_results_["scores"], scores[model.cv_results_["indices"]])
    assert_array_equal(np.sort(model.cv_results_["indices"]), np.arange(len(X)))
    assert_array_equal(np.bincount(model.cv_results_["split"]), [30, 30, 30, 30])


def test_thresholds_are_strict_and_half_way_between_scores():
    """The label is positive from 2 on: the threshold is 1.5, and 1.5 is not above it."""
    X, Y = np.repeat([[0.0], [1.0], [2.0], [3.0]], 10, axis=0), np.repeat([0, 0, 1, 1], 10)[:, None]
    X, Y = np.hstack([X, X]), np.hstack([Y, Y])
    model = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, Y)
    assert_array_equal(model.best_threshold_, [1.5, 1.5])
    assert model.best_score_ == 1.0
    assert_array_equal(model.predict([[1.5, 1.6]]), [[0, 1]])


@pytest.mark.filterwarnings("ignore:Label not .* is present in all training examples")
def test_tuning_improves_held_out_macro_f1_of_rare_labels(load_tabular):
    """45 labels, most with few positives: 0.5 predicts hardly any of them."""
    X, Y, X_test, Y_test = load_tabular("medical")
    logistic = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    model = TunedThresholdMultiLabelClassifierCV(logistic).fit(X, Y)
    tuned = f1_score(Y_test, model.predict(X_test), average="macro", zero_division=0)
    plain = f1_score(Y_test, model.estimator_.predict(X_test), average="macro", zero_division=0)
    assert tuned > plain + 0.1
    assert_array_equal(model.best_threshold_[Y.sum(axis=0) == 0], np.inf)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Label not .* is present in all training examples")
def test_pooling_rare_labels_keeps_real_predictions_from_harm(load_tabular):
    """Lucky thresholds of labels with one or two positives predict them for nearly all rows."""
    X, Y, X_test, Y_test = load_tabular("medical")
    logistic = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    micro, macro = (
        [
            f1_score(
                Y_test,
                TunedThresholdMultiLabelClassifierCV(logistic, min_positives=minimum).fit(X, Y).predict(X_test),
                average=average,
                zero_division=0,
            )
            for minimum in (0, 5)
        ]
        for average in ("micro", "macro")
    )
    assert micro[1] > micro[0] + 0.1
    assert macro[1] > macro[0]


def test_response_method_auto_prefers_probabilities(data):
    """As scikit-learn does; "decision_function" and "predict_proba" force one."""
    X, Y = data
    model = TunedThresholdMultiLabelClassifierCV(LOGISTIC)
    assert model.fit(X, Y).response_method_ == "predict_proba"
    by_decision = clone(model).set_params(response_method="decision_function").fit(X, Y)
    assert by_decision.response_method_ == "decision_function"
    assert by_decision.best_threshold_.min() < 0
    assert_array_equal(by_decision.predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_other_methods_are_those_of_the_fitted_estimator(data):
    """Delegated, and absent where the estimator lacks them."""
    X, Y = data
    model = TunedThresholdMultiLabelClassifierCV(LOGISTIC).fit(X, Y)
    assert_array_equal(model.predict_proba(X), model.estimator_.predict_proba(X))
    assert_array_equal(model.decision_function(X), model.estimator_.decision_function(X))
    forest = TunedThresholdMultiLabelClassifierCV(RandomForestClassifier(5, random_state=0)).fit(X, Y)
    assert_array_equal(forest.predict_log_proba(X), forest.estimator_.predict_log_proba(X))
    assert not hasattr(forest, "decision_function")
    assert not hasattr(TunedThresholdMultiLabelClassifierCV(RidgeClassifier()), "predict_proba")


class TestScoring:
    """Which metrics can be maximised."""

    @pytest.mark.parametrize(
        ("scorer", "name"),
        [
            (make_scorer(f1_score, average="macro"), "f1_macro"),
            (make_scorer(f1_score, average="micro", zero_division=0), "f1_micro"),
            (get_scorer("f1_samples"), "f1_samples"),
            (make_scorer(accuracy_score), "accuracy"),
            (make_scorer(hamming_loss, greater_is_better=False), "neg_hamming_loss"),
        ],
        ids=["macro", "micro", "samples", "accuracy", "hamming"],
    )
    def test_scorer_of_a_named_metric_gives_the_same_thresholds(self, scorer, name, data):
        """A scorer object is recognised by what it computes."""
        by_name = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=name).fit(*data)
        by_object = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=scorer).fit(*data)
        assert_array_equal(by_name.best_threshold_, by_object.best_threshold_)
        assert by_name.best_score_ == by_object.best_score_

    @pytest.mark.parametrize("scope", ["label", "shared"])
    def test_scorer_that_has_to_be_called(self, scope):
        """F2 rates recall higher: its thresholds lie below those of F1, and its value above that of theirs."""
        X, Y = scored_labels(n_samples=60)
        scorer = make_scorer(fbeta_score, beta=2, average="micro")
        f1 = TunedThresholdMultiLabelClassifierCV(Scores(), scoring="f1_micro", scope=scope).fit(X, Y)
        f2 = clone(f1).set_params(scoring=scorer).fit(X, Y)
        assert (f2.best_threshold_ <= f1.best_threshold_).all()
        assert f2.best_score_ > fbeta_score(Y, f1.predict(X), beta=2, average="micro")
        assert f2.best_score_ == fbeta_score(Y, f2.predict(X), beta=2, average="micro")

    def test_greater_is_not_better(self, data):
        """The sign of the scorer counts."""
        scorer = make_scorer(lambda y, p: np.abs(y.sum(axis=0) - p.sum(axis=0)).sum(), greater_is_better=False)
        model = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=scorer).fit(*data)
        assert model.best_score_ == 0

    def test_plain_function_gets_a_classifier_and_the_held_out_rows(self):
        """Any callable (estimator, X, y) that calls predict; its estimator is a classifier."""
        X, Y = scored_labels(n_samples=60)
        target_of_row = dict(zip(X[:, 0], Y.tolist(), strict=True))

        def scorer(estimator, X_seen, y_seen):
            assert [target_of_row[x] for x in X_seen[:, 0]] == y_seen.tolist()
            assert is_classifier(estimator)
            return f1_score(y_seen, estimator.predict(X_seen), average="macro")

        called = TunedThresholdMultiLabelClassifierCV(Scores(), scoring=scorer).fit(X, Y)
        exact = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, Y)
        assert called.best_score_ == exact.best_score_

    @pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "neg_log_loss"])
    def test_scorer_of_scores_is_refused(self, scoring, data):
        """Thresholds do not change it."""
        with pytest.raises(ValueError, match=f"scoring must depend on predictions .* got '{scoring}'"):
            TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=scoring).fit(*data)

    @pytest.mark.parametrize(
        "scoring", [make_scorer(f1_score, average=None), lambda *_: {"f1": 1.0}], ids=["one a label", "dict"]
    )
    def test_scorer_of_several_numbers_is_refused(self, scoring, data):
        """Their average has to be chosen by the user."""
        with pytest.raises(ValueError, match=r"scoring must give one number for all labels, got .* Average over"):
            TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=scoring).fit(*data)

    def test_unknown_name_is_refused_with_the_allowed_ones(self, data):
        """Scikit-learn's message lists them."""
        with pytest.raises(ValueError, match=r"'scoring' parameter .*neg_hamming_loss.* Got 'hamming' instead"):
            TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring="hamming").fit(*data)

    def test_scorer_that_is_never_finite_is_refused(self, data):
        """NaN for all thresholds leaves nothing to choose."""
        scorer = make_scorer(lambda y, p: np.nan)
        with pytest.raises(ValueError, match=r"must give a finite number .* got none on the .* single class there: \["):
            TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=scorer).fit(*data)


class TestSplits:
    """How rows are held out."""

    def test_default_folds_spread_every_label(self):
        """5 folds; each of 12 rare labels with 5 positives in rows of their own has one in each fold."""
        Y = np.zeros((400, 13), dtype=int)
        Y[:60, :12] = np.repeat(np.eye(12, dtype=int), 5, axis=0)
        Y[60:200, 12] = 1
        X = np.random.default_rng(0).normal(size=Y.shape)
        results = TunedThresholdMultiLabelClassifierCV(Scores(), store_cv_results=True).fit(X, Y).cv_results_
        fold = results["split"][np.argsort(results["indices"])]
        for j in range(12):
            assert_array_equal(np.sort(fold[Y[:, j] == 1]), np.arange(5))
        assert_array_equal(np.bincount(fold), [80] * 5)
        assert_array_equal(np.bincount(fold[Y[:, 12] == 1]), [28] * 5)

    def test_folds_of_a_single_label_are_those_of_scikit_learn(self):
        """1-D targets are split as by StratifiedKFold."""
        X, Y = scored_labels(n_labels=1)
        model = TunedThresholdMultiLabelClassifierCV(RidgeClassifier(), cv=4, store_cv_results=True)
        results = model.fit(X, Y[:, 0]).cv_results_
        for k, (_, test) in enumerate(StratifiedKFold(4).split(X, Y[:, 0])):
            assert_array_equal(results["indices"][results["split"] == k], test)

    def test_is_deterministic(self, data):
        """Without randomness in the estimator, two fits agree and the global random state is not touched."""
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        one, two = (TunedThresholdMultiLabelClassifierCV(LOGISTIC).fit(*data) for _ in range(2))
        assert_array_equal(one.best_threshold_, two.best_threshold_)
        assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_fraction_holds_out_a_stratified_part(self):
        """A quarter of the rows of each stratum, drawn by random_state."""
        X, Y = scored_labels(n_samples=400)
        model = TunedThresholdMultiLabelClassifierCV(Scores(), cv=0.25, random_state=0, store_cv_results=True)
        rows = model.fit(X, Y).cv_results_["indices"]
        assert len(np.unique(rows)) == 100
        alone = Y[:, 0] == 1
        assert_allclose(alone[rows].sum() / alone.sum(), 0.25, atol=0.05)
        assert_array_equal(clone(model).fit(X, Y).cv_results_["indices"], rows)
        other = clone(model).set_params(random_state=1).fit(X, Y).cv_results_["indices"]
        assert set(other) != set(rows)

    def test_iterative_stratification_as_cv(self, data):
        """The splitter of a third package."""
        iterstrat = pytest.importorskip("iterstrat.ml_stratifiers")
        cv = iterstrat.MultilabelStratifiedKFold(3, shuffle=True, random_state=0)
        for y in (data[1], sparse.csr_matrix(data[1])):
            model = TunedThresholdMultiLabelClassifierCV(LOGISTIC, cv=cv).fit(data[0], y)
            scores = cross_val_predict(LOGISTIC, *data, cv=cv.split(*data), method="predict_proba")
            assert model.best_score_ == METRICS["f1_macro"](data[1], scores > model.best_threshold_)

    @pytest.mark.parametrize("cv", [RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), ShuffleSplit(3)])
    def test_rows_may_be_held_out_more_or_less_than_once(self, cv):
        """All held-out scores count."""
        X, Y = scored_labels()
        model = TunedThresholdMultiLabelClassifierCV(Scores(), cv=cv, store_cv_results=True).fit(X, Y)
        assert_allclose(model.best_score_, METRICS["f1_macro"](
            Y[model.cv_results_["indices"]], model.cv_results_["scores"] > model.best_threshold_
        ))  # fmt: skip

    def test_thresholds_come_from_pooled_scores_not_from_averages(self):
        """With one positive in each of 5 folds, no fold could place a threshold that all agree on."""
        X, Y = scored_labels(n_samples=100)
        Y[:, 0] = 0
        Y[::20, 0] = 1
        X[::20, 0] = [1.0, 5.0, 5.0, 5.0, 5.0]
        X[:, 0] = np.where(Y[:, 0] == 1, X[:, 0], np.linspace(-2, 0.5, 100))
        model = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, Y)
        assert 0.5 <= model.best_threshold_[0] < 1.0

    def test_prefit_is_used_as_it_is(self, data):
        """No fitting; thresholds are tuned on the rows given."""
        X, Y = data
        fitted = clone(LOGISTIC).fit(X[:60], Y[:60])
        model = TunedThresholdMultiLabelClassifierCV(fitted, cv="prefit", refit=False).fit(X[60:], Y[60:])
        assert model.estimator_ is fitted
        expected = METRICS["f1_macro"](Y[60:], fitted.predict_proba(X[60:]) > model.best_threshold_)
        assert model.best_score_ == expected
        frozen = TunedThresholdMultiLabelClassifierCV(FrozenEstimator(fitted)).fit(X[60:], Y[60:])
        assert_array_equal(frozen.best_threshold_, model.best_threshold_)
        assert_array_equal(frozen.predict(X), model.predict(X))

    def test_prefit_classifier_may_know_labels_that_the_tuning_rows_lack(self):
        """Such a label takes the shared threshold rather than being never predicted."""
        X, Y = scored_labels()
        model = TunedThresholdMultiLabelClassifierCV(Scores().fit(X, Y), cv="prefit", refit=False)
        rows = Y[:, 2] == 0
        model.fit(X[rows], Y[rows])
        assert model.pooled_[2]
        assert np.isfinite(model.best_threshold_[2])

    def test_without_refit_the_classifier_of_the_split_is_kept(self):
        """It has seen the training part only."""
        X, Y = scored_labels()
        model = TunedThresholdMultiLabelClassifierCV(Scores(), cv=0.25, refit=False, random_state=0).fit(X, Y)
        assert len(model.estimator_.seen_) == 150
        assert len(clone(model).set_params(refit=True).fit(X, Y).estimator_.seen_) == 200

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"cv": "prefit"}, "When cv='prefit', refit cannot be True"),
            ({"refit": False}, "refit cannot be False, got cv=None of 5"),
            ({"cv": 500}, "cv=500 folds need at least 500 rows, got n_samples=120"),
            ({"cv": 0.9999}, "leaves no row to train on"),
            ({"cv": 1.5}, "The 'cv' parameter"),
            ({"cv": []}, "cv must give at least one split"),
            ({"scope": "labels"}, "The 'scope' parameter"),
            ({"min_positives": -1}, "The 'min_positives' parameter"),
        ],
        ids=[
            "prefit-refit",
            "folds-no-refit",
            "too-many-folds",
            "no-training",
            "fraction",
            "no-split",
            "scope",
            "minimum",
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, options, message, data):
        """Each message names the parameter."""
        with pytest.raises(ValueError, match=message):
            TunedThresholdMultiLabelClassifierCV(LOGISTIC, **options).fit(*data)

    @pytest.mark.parametrize("wrap", [lambda e: e, FrozenEstimator], ids=["prefit", "frozen"])
    def test_unfitted_prefit_estimator_is_refused(self, wrap, data):
        """NotFittedError says what must be fitted."""
        with pytest.raises(NotFittedError, match="`estimator` must be fitted"):
            TunedThresholdMultiLabelClassifierCV(wrap(LOGISTIC), cv="prefit", refit=False).fit(*data)

    def test_parallel_fits_agree_with_serial_ones(self, data):
        """n_jobs changes nothing."""
        serial = TunedThresholdMultiLabelClassifierCV(LOGISTIC).fit(*data)
        parallel = TunedThresholdMultiLabelClassifierCV(LOGISTIC, n_jobs=2).fit(*data)
        assert_array_equal(serial.best_threshold_, parallel.best_threshold_)


class TestTargets:
    """What y may be."""

    @pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.coo_matrix, sparse.csc_array])
    def test_sparse_targets_give_sparse_predictions(self, container, data):
        """CSR of the same family, equal to the dense ones."""
        X, Y = data
        dense = TunedThresholdMultiLabelClassifierCV(LOGISTIC).fit(X, Y)
        model = TunedThresholdMultiLabelClassifierCV(LOGISTIC).fit(sparse.csr_matrix(X), container(Y))
        predicted = model.predict(sparse.csr_matrix(X))
        assert predicted.format == "csr"
        assert predicted.dtype == np.int64
        assert isinstance(predicted, sparse.sparray) == isinstance(container(Y), sparse.sparray)
        assert_allclose(model.best_threshold_, dense.best_threshold_, rtol=1e-4)
        assert_array_equal(predicted.toarray(), dense.predict(X))

    def test_data_frames(self, data):
        """Names of features and of labels are kept where the estimator keeps them."""
        X, Y = data
        frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(8)])
        labels = pd.DataFrame(Y, columns=list("abcd"))
        model = TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier()).fit(frame, labels)
        assert_array_equal(model.feature_names_in_, frame.columns)
        assert_array_equal(model.label_names_in_, list("abcd"))
        assert model.n_features_in_ == 8
        plain = TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier()).fit(X, Y)
        assert_array_equal(model.predict(frame), plain.predict(X))

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, pd.DataFrame], ids=["array", "csr", "frame"])
    @pytest.mark.parametrize("dtype", [np.int8, np.uint8])
    def test_small_integers_are_widened_for_the_estimator(self, dtype, container):
        """They reach it in the same container."""
        X, Y = scored_labels()
        seen = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, container(Y.astype(dtype))).estimator_.seen_
        assert type(seen) is type(container(Y))
        assert np.asarray(seen.toarray() if sparse.issparse(seen) else seen).dtype == np.int64

    def test_small_integers_do_not_permute_labels(self):
        """LabelBinarizer does, beyond 127 labels of int8: tuned scores would belong to other labels."""
        rng = np.random.default_rng(0)
        Y = (rng.random((40, 130)) < 0.3).astype(np.int64)
        X = Y + 0.1 * rng.normal(size=Y.shape)
        model = TunedThresholdMultiLabelClassifierCV(OneVsRestClassifier(GaussianNB()), cv=0.5, random_state=0)
        assert clone(model).fit(X, Y.astype(np.int8)).best_score_ == clone(model).fit(X, Y).best_score_

    @pytest.mark.parametrize("classes", [(0, 1), (-1, 1), ("no", "yes"), (False, True)], ids=str)
    def test_one_dimensional_targets_are_one_label(self, classes):
        """The second class is the positive one; predictions are classes."""
        X, Y = scored_labels(n_labels=1)
        y = np.array(classes)[Y[:, 0]]
        model = TunedThresholdMultiLabelClassifierCV(LogisticRegression(), cv=3, store_cv_results=True).fit(X, y)
        assert model.best_threshold_.shape == (1,)
        assert set(model.predict(X)) == set(classes)
        scores = model.cv_results_["scores"][:, 0] > model.best_threshold_
        assert model.best_score_ == f1_score(Y[model.cv_results_["indices"], 0], scores)

    @pytest.mark.parametrize("scoring", ["balanced_accuracy", "f1", make_scorer(f1_score, pos_label=0)])
    def test_binary_scorers_work_on_one_dimensional_targets(self, scoring):
        """They are called with classes, as by TunedThresholdClassifierCV."""
        X, Y = scored_labels(n_labels=1, n_samples=60)
        model = TunedThresholdMultiLabelClassifierCV(LogisticRegression(), scoring=scoring, store_cv_results=True)
        results = model.fit(X, Y[:, 0]).cv_results_
        y, scores = Y[results["indices"], 0], results["scores"][:, 0]
        values = [
            get_scorer(scoring)._score_func(y, (scores > threshold).astype(int), **get_scorer(scoring)._kwargs)
            for threshold in np.append(-np.inf, np.unique(scores))
        ]
        assert model.best_score_ == pytest.approx(max(values), abs=1e-12)

    def test_column_is_raveled_with_a_warning(self):
        """As scikit-learn does."""
        X, Y = scored_labels(n_labels=1)
        with pytest.warns(UserWarning, match="column-vector y was passed"):
            model = TunedThresholdMultiLabelClassifierCV(RidgeClassifier()).fit(X, Y)
        assert model.predict(X).shape == (200,)

    def test_unknown_labels_are_left_out_of_the_search(self):
        """Hiding targets is like never having asked; the estimator takes NaN."""
        X, Y = scored_labels(n_samples=300)
        Y = Y.astype(float)
        Y[np.random.default_rng(1).random(Y.shape) < 0.3] = np.nan
        model = TunedThresholdMultiLabelClassifierCV(
            QuadrantMultiLabelClassifier(missing_labels="ignore"), store_cv_results=True
        ).fit(X, Y)
        results = model.cv_results_
        y, predicted = Y[results["indices"]], results["scores"] > model.best_threshold_
        values = [f1_score(y[~np.isnan(y[:, j]), j], predicted[~np.isnan(y[:, j]), j]) for j in range(3)]
        assert model.best_score_ == pytest.approx(np.mean(values), abs=1e-12)
        assert not np.isnan(model.best_threshold_).any()

    def test_unknown_labels_of_sparse_targets_are_unknown(self):
        """Stored NaN are no negatives: the thresholds are those of the dense targets."""
        X, Y = scored_labels()
        Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.3, np.nan, Y)
        model = TunedThresholdMultiLabelClassifierCV(Scores(), cv=KFold(3))
        sparse_model = clone(model).fit(X, sparse.csr_matrix(Y))
        assert_array_equal(sparse_model.best_threshold_, clone(model).fit(X, Y).best_threshold_)

    def test_unknown_labels_and_a_scorer_that_takes_none_are_refused(self):
        """A scorer of scikit-learn cannot leave out entries."""
        X, Y = scored_labels()
        Y = np.where(np.arange(200)[:, None] == 0, np.nan, Y)
        with pytest.raises(ValueError, match=r"scoring must be one of \[.*'f1_macro'.*\] when y has unknown labels"):
            TunedThresholdMultiLabelClassifierCV(Scores(), scoring="jaccard_macro").fit(X, Y)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.full((6, 2), 0.3), r"indicator matrix .* of 0 and 1, .* got .*0\.3"),
            (np.tile([[-1, 1]], (6, 1)), r"indicator matrix .* got .*-1"),
            (sparse.csr_matrix(np.full((6, 2), 2)), r"indicator matrix .* got .*2"),
            (np.zeros((6, 2, 2)), r"y must have shape .* got \(6, 2, 2\)"),
            (np.arange(6) % 3, "got a multiclass target"),
            (np.linspace(0, 1, 6), "got a continuous target"),
            (np.array([0, 1, np.nan, 0, 1, 1]), "Input y contains NaN"),
            (None, "requires y to be passed"),
            (np.zeros((5, 2), dtype=int), "inconsistent numbers of samples"),
        ],
        ids=["soft", "signs", "sparse-twos", "3-D", "multiclass", "continuous", "NaN", "None", "length"],
    )
    def test_other_targets_are_refused(self, y, message):
        """Each message says what is allowed or what came."""
        with pytest.raises(ValueError, match=message):
            TunedThresholdMultiLabelClassifierCV(Scores(), cv=2).fit(np.zeros((6, 2)), y)


class TestLabelsInOneClassOnly:
    """Labels that are constant in y or in a part of it."""

    def test_constant_labels_are_predicted_as_they_are(self, data):
        """Never or always, in either scope."""
        X, Y = data
        Y = np.column_stack([np.zeros(120), np.ones(120), Y]).astype(int)
        for scope in ("label", "shared"):
            with pytest.warns(UserWarning, match="is present in all training examples"):
                model = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scope=scope).fit(X, Y)
            assert_array_equal(model.best_threshold_[:2], [np.inf, -np.inf])
            assert np.isfinite(model.best_threshold_[2:]).all()
            assert_array_equal(model.predict(X)[:, :2], Y[:, :2])

    def test_no_positive_at_all(self):
        """Nothing is predicted."""
        X, Y = scored_labels()
        model = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, np.zeros_like(Y))
        assert_array_equal(model.best_threshold_, np.inf)
        assert model.best_score_ == 0
        assert not model.predict(X).any()

    def test_scores_of_a_fold_without_the_label_do_not_count(self):
        """OneVsRest gives a label it never saw a decision value of 0, which is above those of most rows."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(200, 3))
        Y = (X + 0.3 * rng.normal(size=X.shape) > 1.2).astype(int)
        Y[40:, 0] = 0
        svm = OneVsRestClassifier(LinearSVC(random_state=0))
        model = TunedThresholdMultiLabelClassifierCV(svm, cv=KFold(5), store_cv_results=True, min_positives=0)
        with pytest.warns(UserWarning, match="is present in all training examples"):
            model.fit(X, Y)
        first = model.cv_results_["split"] == 0
        assert_array_equal(model.cv_results_["scores"][first, 0], -np.inf)
        assert np.isfinite(model.cv_results_["scores"][~first]).all()
        assert model.best_threshold_[0] == np.inf

    @pytest.mark.parametrize("name", ["list-of-arrays-forest", "list-of-arrays-neighbors", "list-of-arrays-tree"])
    def test_single_columns_of_a_list_of_probabilities(self, name):
        """A fold or all of y without a class makes arrays of one column."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(100, 3))
        Y = (X > [0, 1, -9]).astype(int)
        Y[:, 1] *= np.arange(100) < 20
        model = TunedThresholdMultiLabelClassifierCV(CLASSIFIERS[name], cv=KFold(5)).fit(X, Y)
        assert model.estimator_.predict_proba(X)[2].shape == (100, 1)
        assert model.best_threshold_[2] == -np.inf
        assert_array_equal(model.predict(X)[:, 2], 1)
        assert not np.isnan(model.best_threshold_).any()

    def test_default_folds_leave_a_label_with_two_positives_in_every_training_part(self):
        """Where unshuffled KFold would not."""
        X, Y = scored_labels(n_samples=60)
        Y[:, 1] = np.arange(60) < 2
        model = TunedThresholdMultiLabelClassifierCV(MultiOutputClassifier(LogisticRegression())).fit(X, Y)
        assert np.isfinite(model.best_threshold_).all()

    def test_single_class_of_one_dimensional_targets(self):
        """The only class is predicted."""
        X, _ = scored_labels(n_labels=1)
        model = TunedThresholdMultiLabelClassifierCV(DecisionTreeClassifier()).fit(X, np.full(200, "only"))
        assert set(model.predict(X)) == {"only"}


class Broken(Scores):
    """A classifier with scores of a wrong shape or without value."""

    def __init__(self, fault="nan"):
        self.fault = fault

    def decision_function(self, X):
        """Return faulty scores."""
        return {"nan": np.full((len(X), 3), np.nan), "shape": np.zeros((len(X), 2)), "flat": np.zeros(len(X))}[
            self.fault
        ]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Broken("nan"), r"Broken\.decision_function must not give NaN, got 120 NaN among 120 scores"),
        (Broken("shape"), r"must give one score a label, shape \(40, 3\), got shape \(40, 2\)"),
        (Broken("flat"), r"must give one score a label, shape \(40, 3\), got shape \(40, 1\)"),
        (StandardScaler(), "The 'estimator' parameter"),
    ],
    ids=["nan", "shape", "flat", "transformer"],
)
def test_unsuitable_estimators_are_refused(estimator, message):
    """Each message says what is missing."""
    with pytest.raises(ValueError, match=message):
        TunedThresholdMultiLabelClassifierCV(estimator).fit(*scored_labels())


def test_response_method_that_the_estimator_lacks_is_refused(data):
    """The message names method and estimator."""
    model = TunedThresholdMultiLabelClassifierCV(RidgeClassifier(), response_method="predict_proba")
    with pytest.raises(ValueError, match=r"response_method='predict_proba' .* which RidgeClassifier does not have"):
        model.fit(*data)


def test_constant_scores_give_infinite_thresholds():
    """All rows or none, whichever is better; no error, no NaN."""
    Y = np.column_stack([np.arange(100) < 30, np.arange(100) % 2]).astype(int)
    f1 = TunedThresholdMultiLabelClassifierCV(Scores()).fit(np.zeros((100, 2)), Y)
    hamming = TunedThresholdMultiLabelClassifierCV(Scores(), scoring="neg_hamming_loss").fit(np.zeros((100, 2)), Y)
    assert_array_equal(f1.best_threshold_, -np.inf)
    assert hamming.best_threshold_[0] == np.inf


def test_predict_refuses_nan_scores():
    """A comparison with NaN would silently be a no."""
    X, Y = scored_labels()
    model = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, Y)
    with pytest.raises(ValueError, match=r"Scores\.decision_function must not give NaN"):
        model.predict(np.full((2, 3), np.nan))


def test_predict_before_fit_is_refused():
    """NotFittedError, as for any estimator."""
    with pytest.raises(NotFittedError):
        TunedThresholdMultiLabelClassifierCV(LOGISTIC).predict([[0.0]])


class TestComposition:
    """Inside other tools of scikit-learn."""

    def test_tuning_inside_a_grid_search(self, data):
        """Parameters of the base classifier and of the tuning."""
        pipeline = make_pipeline(StandardScaler(), TunedThresholdMultiLabelClassifierCV(RidgeClassifier(), cv=3))
        name = "tunedthresholdmultilabelclassifiercv"
        grid = {f"{name}__estimator__alpha": [0.1, 100.0], f"{name}__scope": ["label", "shared"]}
        search = GridSearchCV(pipeline, grid, scoring="f1_macro", cv=KFold(3), error_score="raise").fit(*data)
        assert search.best_score_ > 0.5
        assert search.predict(data[0]).shape == data[1].shape

    def test_clone_and_pickle(self, data):
        """A clone has the parameters, a pickle the predictions."""
        model = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring="f1_samples", scope="shared", min_positives=3)
        model.fit(*data)
        assert clone(model).get_params()["min_positives"] == 3
        assert not hasattr(clone(model), "best_threshold_")
        restored = pickle.loads(pickle.dumps(model))
        assert_array_equal(restored.predict(data[0]), model.predict(data[0]))

    def test_a_second_fit_forgets_the_first(self, data):
        """Names of features and held-out scores go when there are none."""
        frame = pd.DataFrame(data[0], columns=[f"x{i}" for i in range(8)])
        model = TunedThresholdMultiLabelClassifierCV(RidgeClassifier(), store_cv_results=True).fit(frame, data[1])
        model.set_params(store_cv_results=False).fit(*data)
        assert not hasattr(model, "feature_names_in_")
        assert not hasattr(model, "cv_results_")

    def test_its_html_shows_the_estimator(self):
        """The diagram in notebooks."""
        assert "RidgeClassifier" in TunedThresholdMultiLabelClassifierCV(RidgeClassifier())._repr_html_()


class TestMetadata:
    """Routing of sample weights and groups."""

    def test_weights_reach_the_estimator_and_the_search(self, routing):
        """The part of the training rows in each fit; all held-out rows in the metric."""
        X, Y = scored_labels()
        weight = np.random.default_rng(0).integers(0, 3, 200).astype(float)
        scorer = get_scorer("f1_macro").set_score_request(sample_weight=True)
        base = Scores().set_fit_request(sample_weight=True)
        model = TunedThresholdMultiLabelClassifierCV(base, scoring=scorer).fit(X, Y, sample_weight=weight)
        assert_array_equal(model.estimator_.weight_, weight)
        expected = f1_score(Y, model.predict(X), average="macro", sample_weight=weight)
        assert model.best_score_ == pytest.approx(expected, abs=1e-12)
        rows = np.repeat(np.arange(200), weight.astype(int))
        repeated = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X[rows], Y[rows])
        assert_allclose(model.best_threshold_, repeated.best_threshold_)

    def test_weights_for_the_estimator_alone(self, routing):
        """The search is not weighted when the scorer does not ask for it."""
        X, Y = scored_labels()
        base = Scores().set_fit_request(sample_weight=True)
        scorer = get_scorer("f1_macro").set_score_request(sample_weight=False)
        model = TunedThresholdMultiLabelClassifierCV(base, scoring=scorer).fit(X, Y, sample_weight=np.arange(200.0))
        plain = TunedThresholdMultiLabelClassifierCV(Scores()).fit(X, Y)
        assert_array_equal(model.best_threshold_, plain.best_threshold_)
        assert_array_equal(model.estimator_.weight_, np.arange(200.0))

    def test_weights_reach_a_scorer_that_is_called(self, routing):
        """In the order of the held-out rows."""
        X, Y = scored_labels(n_samples=60)
        weight = np.random.default_rng(0).random(60)
        scorer = make_scorer(jaccard_score, average="macro").set_score_request(sample_weight=True)
        base = Scores().set_fit_request(sample_weight=False)
        model = TunedThresholdMultiLabelClassifierCV(base, scoring=scorer).fit(X, Y, sample_weight=weight)
        expected = jaccard_score(Y, model.predict(X), average="macro", sample_weight=weight)
        assert model.best_score_ == pytest.approx(expected, abs=1e-12)

    def test_groups_reach_the_splitter(self, routing):
        """No group is held out in two splits."""
        X, Y = scored_labels()
        groups = np.arange(200) % 7
        model = TunedThresholdMultiLabelClassifierCV(Scores(), cv=GroupKFold(3), store_cv_results=True)
        results = model.fit(X, Y, groups=groups).cv_results_
        assert len({(g, k) for g, k in zip(groups[results["indices"]], results["split"], strict=True)}) == 7

    @pytest.mark.parametrize(
        ("weight", "message"),
        [
            (-np.ones(200), "sample_weight must not be negative"),
            (np.zeros(200), "sample_weight must have a positive value"),
            (np.ones((200, 2)), r"shape \(n_samples,\) or \(n_samples, n_labels\)"),
        ],
        ids=["negative", "zero", "2-D"],
    )
    def test_weights_that_make_no_sense_are_refused(self, weight, message, routing):
        """Before anything is tuned with them."""
        scorer = get_scorer("f1_macro").set_score_request(sample_weight=True)
        model = TunedThresholdMultiLabelClassifierCV(Scores().set_fit_request(sample_weight=False), scoring=scorer)
        with pytest.raises(ValueError, match=message):
            model.fit(*scored_labels(), sample_weight=weight)

    def test_metadata_without_routing_are_refused(self, data):
        """Scikit-learn's message says how to enable it."""
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            TunedThresholdMultiLabelClassifierCV(LOGISTIC).fit(*data, sample_weight=np.ones(120))
