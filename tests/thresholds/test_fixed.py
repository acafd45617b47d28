"""FixedThresholdMultiLabelClassifier, and rules and constraints of TunedThresholdMultiLabelClassifierCV."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, KFold, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_quadrant import (
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.metrics import get_scorer

LOGISTIC = OneVsRestClassifier(LogisticRegression())
CLASSIFIERS = {
    "list-of-arrays": RandomForestClassifier(10, random_state=0),
    "list-of-arrays-multioutput": MultiOutputClassifier(LogisticRegression()),
    "ovr": LOGISTIC,
    "decision": RidgeClassifier(),
    "pipeline": make_pipeline(StandardScaler(), LOGISTIC),
    "search": GridSearchCV(QuadrantMultiLabelClassifier("asymmetric"), {"C": [1.0]}, cv=2),
    "quadrant": QuadrantMultiLabelClassifier("asymmetric"),
    "quadrant-hinge": QuadrantMultiLabelClassifier("hinge"),
    "tuned": TunedThresholdMultiLabelClassifierCV(LOGISTIC, cv=3),
}


@pytest.fixture(scope="module")
def data():
    """120 rows with four labels."""
    return make_multilabel_classification(120, n_features=8, n_classes=4, random_state=0)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge", "ignore:divide by zero", "ignore:invalid value")
@parametrize_with_checks(
    [FixedThresholdMultiLabelClassifier(each) for each in (RidgeClassifier(), KNeighborsClassifier())]
)
def test_scikit_learn_checks(estimator, check):
    """The checks of scikit-learn, with base classifiers that take 1-D targets and label matrices."""
    check(estimator)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("is_fitted", [True, False])
def test_without_parameters_the_classifier_predicts_as_before(name, is_fitted, data):
    """Whatever form probabilities have, "auto" finds the thresholds of the classifier, fitted before or in `fit`."""
    X, Y = data
    classifier = clone(CLASSIFIERS[name]).fit(X, Y)
    model = FixedThresholdMultiLabelClassifier(classifier)
    model = model if is_fitted else model.fit(X, Y)
    assert_array_equal(model.predict(X), classifier.predict(X))
    assert is_fitted or model.estimator_ is not classifier


def test_the_decision_function_of_a_loss_is_compared_with_its_own_score_threshold(data):
    """The natural threshold of a loss is known as a score as well."""
    X, Y = data
    fitted = QuadrantMultiLabelClassifier("asymmetric").fit(X, Y)
    model = FixedThresholdMultiLabelClassifier(fitted, response_method="decision_function")
    assert_array_equal(model.predict(X), fitted.predict(X))
    y = Y[:, 0]
    binary = QuadrantMultiLabelClassifier("asymmetric").fit(X, y)
    assert_array_equal(clone(model).set_params(estimator=FrozenEstimator(binary)).predict(X), binary.predict(X))


def test_one_binary_label_agrees_with_scikit_learn(data):
    """FixedThresholdClassifier includes the threshold itself, which no probability equals here."""
    X, Y = data
    y = np.where(Y[:, 1], "yes", "no")
    own = FixedThresholdMultiLabelClassifier(LogisticRegression(), threshold=0.3).fit(X, y)
    theirs = FixedThresholdClassifier(LogisticRegression(), threshold=0.3).fit(X, y)
    assert_array_equal(own.predict(X), theirs.predict(X))
    assert_array_equal(FixedThresholdMultiLabelClassifier(own.estimator_, threshold=0.3).predict(X), theirs.predict(X))


@pytest.mark.parametrize(
    "threshold",
    [
        [0.1, 0.4, 0.6, 0.9],
        pd.Series({"d": 0.9, "c": 0.6, "b": 0.4, "a": 0.1}),
        {"b": 0.4, "a": 0.1, "d": 0.9, "c": 0.6},
        pd.DataFrame({"c": [0.6], "a": [0.1], "b": [0.4], "d": [0.9]}),
    ],
    ids=["list", "Series", "dict", "DataFrame"],
)
def test_thresholds_have_an_order_or_names(threshold, data):
    """Named thresholds are read by name, around a fitted classifier too."""
    X, Y = data
    fitted = QuadrantMultiLabelClassifier().fit(X, pd.DataFrame(Y, columns=list("abcd")))
    expected = fitted.predict_proba(X) > [0.1, 0.4, 0.6, 0.9]
    model = FixedThresholdMultiLabelClassifier(fitted, threshold=threshold)
    assert_array_equal(model.predict(X), expected)
    model.fit(X, pd.DataFrame(Y, columns=list("abcd")))
    assert_array_equal(model.predict(X), expected)
    assert_allclose(model.threshold_, [0.1, 0.4, 0.6, 0.9])


def test_all_parameters_can_be_changed_after_fit(data):
    """`set_params` is applied by the next prediction, and a value that does not fit is refused there."""
    X, Y = data
    model = FixedThresholdMultiLabelClassifier(LOGISTIC).fit(X, Y)
    proba = model.predict_proba(X)
    assert_array_equal(model.set_params(threshold=0.9).predict(X), proba > 0.9)
    assert_array_equal(model.set_params(threshold=0.5, min_labels=1).predict(X).sum(axis=1) >= 1, True)
    assert_array_equal(model.set_params(max_labels=1).predict(X).argmax(axis=1), proba.argmax(axis=1))
    with pytest.raises(ValueError, match=r"threshold must be one number or have shape \(4,\), got \(3,\)"):
        model.set_params(threshold=[0.1, 0.2, 0.3]).predict(X)
    with pytest.raises(ValueError, match="threshold must hold probabilities"):
        model.set_params(threshold=1.5).predict(X)
    with pytest.raises(ValueError, match="min_labels must be at most the number of labels, 4"):
        model.set_params(threshold=0.5, min_labels=5, max_labels=None).predict(X)
    with pytest.raises(ValueError, match="'rule' parameter"):
        model.set_params(min_labels=0, rule="f1").predict(X)


def test_a_rule_needs_probabilities(data):
    """Scores have no expected F1; the error says what gives probabilities."""
    X, Y = data
    with pytest.raises(ValueError, match=r"needs probabilities.*CalibratedMultiLabelClassifierCV"):
        FixedThresholdMultiLabelClassifier(RidgeClassifier(), rule="expected_f1").fit(X, Y)


def test_sparse_predictions_keep_their_class(data):
    """A sparse y gives sparse predictions, with and without rules."""
    X, Y = data
    for container in (sparse.csr_matrix, sparse.csr_array):
        fitted = QuadrantMultiLabelClassifier().fit(X, container(Y))
        for options in ({}, {"max_labels": 1}, {"rule": "expected_f1"}):
            predicted = FixedThresholdMultiLabelClassifier(fitted, **options).predict(X)
            assert isinstance(predicted, container)
            assert predicted.dtype == np.int64
        assert_array_equal(predicted.toarray(), clone(model_of(fitted.fit(X, Y))).predict(X))


def model_of(fitted):
    """Return the rule around a fitted classifier."""
    return FixedThresholdMultiLabelClassifier(FrozenEstimator(fitted), rule="expected_f1")


def test_one_column_is_one_label(data):
    """At least one label is that label, and the expected F1 cuts at 1/2."""
    X, Y = data
    fitted = QuadrantMultiLabelClassifier().fit(X, pd.DataFrame(Y[:, :1]))
    assert_array_equal(FixedThresholdMultiLabelClassifier(fitted, min_labels=1).predict(X), np.ones(120))
    assert_array_equal(
        FixedThresholdMultiLabelClassifier(fitted, rule="expected_f1").predict(X), fitted.predict_proba(X)[:, 1] > 0.5
    )


def test_nan_probabilities_are_refused(data):
    """A classifier that gives NaN is named."""
    X, Y = data

    class Broken(QuadrantMultiLabelClassifier):
        def predict_proba(self, X):
            return np.where(np.arange(4) == 2, np.nan, super().predict_proba(X))

    fitted = Broken().fit(X, Y)
    with pytest.raises(ValueError, match="predict_proba must not give NaN, got 120 NaN"):
        FixedThresholdMultiLabelClassifier(fitted, rule="expected_f1").predict(X)


def test_unfitted_says_what_to_do(data):
    """Neither the object nor its classifier is fitted."""
    with pytest.raises(NotFittedError, match="Call fit, or give it a fitted estimator"):
        FixedThresholdMultiLabelClassifier(LOGISTIC).predict(data[0])
    with pytest.raises(AttributeError, match="threshold_ is only available after fit"):
        FixedThresholdMultiLabelClassifier(LOGISTIC).threshold_  # noqa: B018


def test_a_failed_fit_changes_nothing(data):
    """Thresholds and rules are checked before training."""
    X, Y = data
    model = FixedThresholdMultiLabelClassifier(LOGISTIC, threshold=[0.5] * 3)
    with pytest.raises(ValueError, match=r"shape \(4,\), got \(3,\)"):
        model.fit(X, Y)
    assert "estimator_" not in vars(model)


def test_survives_pickle(data):
    """A copy predicts the same."""
    X, Y = data
    model = FixedThresholdMultiLabelClassifier(QuadrantMultiLabelClassifier(), rule="expected_f1", max_labels=2).fit(
        X, Y
    )
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


# %% Tuned with a rule or a constraint in force


@pytest.mark.parametrize("scoring", ["f1_macro", "f1_micro", "f1_samples", "accuracy"])
@pytest.mark.parametrize("rule", [{"min_labels": 1, "max_labels": 2}, {"rule": "expected_f1"}], ids=str)
def test_tuning_with_the_rule_in_force_does_not_lose_to_the_rule_alone(scoring, rule, data):
    """The score that was maximised is that of the rule's label sets, and is not below that at thresholds of 1/2."""
    X, Y = data
    tuned = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=scoring, cv=KFold(3), store_cv_results=True, **rule)
    tuned.fit(X, Y)
    proba = tuned.cv_results_["scores"]
    held_out = FixedThresholdMultiLabelClassifier(Given().fit(proba, Y), **rule)
    scorer = get_scorer(scoring)
    rows = tuned.cv_results_["indices"]
    assert tuned.best_score_ >= scorer(held_out.set_params(threshold=0.5), proba, Y[rows]) - 1e-12
    held_out.set_params(threshold=np.clip(tuned.best_threshold_, 0, 1))
    assert tuned.best_score_ == pytest.approx(scorer(held_out, proba, Y[rows]), abs=1e-12)
    sizes = tuned.predict(X).sum(axis=1)
    assert sizes.max() <= rule.get("max_labels", 4)
    assert sizes.min() >= rule.get("min_labels", 0)


class Given(QuadrantMultiLabelClassifier):
    """Classifier whose probabilities are its features."""

    def predict_proba(self, X):
        """Return the features."""
        return np.asarray(X)


def test_a_rule_pools_all_thresholds(data):
    """One threshold is tuned for the expected F1."""
    X, Y = data
    tuned = TunedThresholdMultiLabelClassifierCV(LOGISTIC, cv=3, rule="expected_f1", scoring="f1_samples").fit(X, Y)
    assert tuned.pooled_.all()
    assert np.ptp(tuned.best_threshold_) == 0


def test_constraint_holds_on_held_out_rows_and_labels_that_cannot_keep_it_are_named():
    """A precision of 0.9 with confidence, and a label of noise, which is never predicted."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    Y = pd.DataFrame(X + rng.normal(scale=0.5, size=X.shape) > 0, columns=["a", "b", "noise"]).astype(int)
    Y["noise"] = rng.permutation(Y["noise"])
    tuned = TunedThresholdMultiLabelClassifierCV(
        LOGISTIC, constraint=("precision", 0.9), cv=KFold(3), store_cv_results=True
    )
    with pytest.warns(UserWarning, match=r"1 of 3 labels cannot meet a precision of 0.9.*never predicted: \['noise'\]"):
        tuned.fit(X, Y)
    assert_array_equal(tuned.constraint_met_, [True, True, False])
    predicted = tuned.cv_results_["scores"] > tuned.best_threshold_
    truth = Y.to_numpy()[tuned.cv_results_["indices"]]
    precision = (predicted & (truth == 1)).sum(axis=0)[:2] / predicted.sum(axis=0)[:2]
    assert (precision > 0.92).all()
    assert_array_equal(tuned.predict(X)[:, 2], 0)
    loose = clone(tuned).set_params(confidence=None)
    with pytest.warns(UserWarning, match="noise"):
        loose.fit(X, Y)
    assert (loose.best_threshold_ <= tuned.best_threshold_).all()


def test_constraints_and_rules_exclude_each_other(data):
    """Labels that a rule adds could break the constraint."""
    X, Y = data
    tuned = TunedThresholdMultiLabelClassifierCV(LOGISTIC, constraint=("recall", 0.9), min_labels=1)
    with pytest.raises(ValueError, match=r"constraint=.* is not possible with min_labels"):
        tuned.fit(X, Y)


def test_a_scorer_of_predictions_is_maximised_under_a_rule(data):
    """A scorer that has to be called sees the label sets of the rule."""
    X, Y = data[0][:30], data[1][:30]
    seen = []

    def watched(y, predicted):
        seen.append(predicted.sum(axis=1).max())
        return f1_score(y, predicted, average="macro", zero_division=0)

    tuned = TunedThresholdMultiLabelClassifierCV(LOGISTIC, scoring=make_scorer(watched), max_labels=1, cv=2).fit(X, Y)
    assert max(seen) == 1
    assert tuned.predict(X).sum(axis=1).max() == 1


@pytest.mark.parametrize("method", ["auto", "decision_function"])
def test_the_tuned_threshold_of_scikit_learn_is_kept(method, data):
    """Its classifiers name the method of their threshold by a parameter only."""
    X, y = data[0], data[1][:, 0]
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring="precision", response_method=method).fit(X, y)
    kept = FixedThresholdMultiLabelClassifier(tuned, response_method=method)
    assert_array_equal(kept.predict(X), tuned.predict(X))
    assert (tuned.predict(X) != tuned.estimator_.predict(X)).any()
