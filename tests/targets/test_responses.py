"""Responses of classifiers of scikit-learn: one column per label, whatever they look like."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant._targets.encodings import recognize
from sk_quadrant._targets.responses import Response, delegates, first_method, positive_probabilities, respond
from sk_quadrant.datasets import make_quadrants

X, Y = make_quadrants(n_samples=120, n_features=3, slope=2.0, random_state=0)
WORDS = np.array(["no", "yes"])[Y[:, 0]]
FOREST = RandomForestClassifier(n_estimators=3, max_depth=2, random_state=0)
LOGISTIC = OneVsRestClassifier(LogisticRegression())


@pytest.mark.parametrize(
    "classifier",
    [LOGISTIC, MLPClassifier((), max_iter=300, random_state=0, tol=0.01)],
    ids=["OneVsRest", "MLP"],
)
def test_an_array_of_probabilities_is_taken_as_it_is(classifier):
    """One column per label already."""
    classifier = classifier.fit(X, Y)
    response = respond(classifier, X, "predict_proba", recognize(Y))
    assert_array_equal(response.values, classifier.predict_proba(X))
    assert response.is_probability


@pytest.mark.parametrize("classifier", [FOREST, MultiOutputClassifier(LogisticRegression())], ids=["forest", "multi"])
def test_a_list_of_probabilities_is_stacked(classifier):
    """The second column of each label."""
    classifier = classifier.fit(X, Y)
    expected = np.column_stack([label[:, 1] for label in classifier.predict_proba(X)])
    assert_array_equal(respond(classifier, X, "predict_proba", recognize(Y)).values, expected)


@pytest.mark.parametrize("value", [0, 1], ids=["never", "always"])
def test_a_label_with_one_class_in_training_is_certain(value):
    """Its single column belongs to the class that was seen."""
    constant = np.c_[Y[:, :2], np.full(len(Y), value)]
    forest = FOREST.fit(X, constant)
    assert_array_equal(respond(forest, X, "predict_proba", recognize(constant)).values[:, 2], value)


@pytest.mark.parametrize("y", [Y[:, 0], WORDS], ids=["numbers", "words"])
@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_two_classes_are_one_column(y, method):
    """That of the second class."""
    classifier = LogisticRegression().fit(X, y)
    answer = getattr(classifier, method)(X)
    expected = answer[:, 1:] if method == "predict_proba" else answer[:, None]
    assert_array_equal(respond(classifier, X, method, recognize(y)).values, expected)


def test_a_label_matrix_of_one_column_is_one_column():
    """Classifiers fit it as two classes and give two columns."""
    y = Y[:, :1]
    encoding = recognize(np.where(y == 1, 0.9, 0.1))
    for classifier in (LogisticRegression().fit(X, y.ravel()), FOREST.fit(X, y.ravel())):
        expected = classifier.predict_proba(X)[:, 1:]
        assert_array_equal(respond(classifier, X, "predict_proba", encoding).values, expected)
    column = np.full((len(X), 1), 0.3)
    flat = SimpleNamespace(predict_proba=lambda X: column[: len(X)], predict=lambda X: column[: len(X)] > 0)
    assert_array_equal(respond(flat, X, "predict_proba", encoding).values, 0.3)


def test_scores_are_taken_as_they_are():
    """A classifier without probabilities has scores with threshold 0."""
    classifier = RidgeClassifier().fit(X, Y)
    assert first_method(classifier, ("predict_proba", "decision_function")) == "decision_function"
    response = respond(classifier, X, "decision_function", recognize(Y))
    assert_allclose(response.values, classifier.decision_function(X))
    assert (response.name, response.middle) == ("decision function", 0.0)
    assert (Response(response.values, True).name, Response(response.values, True).middle) == ("probability", 0.5)


def test_no_method_is_none():
    """What has neither is reported by the caller."""
    assert first_method(object(), ("predict_proba", "decision_function")) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype):
    """Single precision stays single."""
    classifier = SimpleNamespace(decision_function=lambda X: X.astype(dtype))
    assert respond(classifier, X, "decision_function", recognize(Y)).values.dtype == dtype


def test_the_class_that_counts_may_be_another_one():
    """`positive` names the class of a single column."""
    estimator = SimpleNamespace(classes_=["no"])
    answer = np.ones((2, 1))
    for positive, expected in (("yes", 0), ("no", 1)):
        found = positive_probabilities(answer, estimator, positive=positive, one_label=True)
        assert_array_equal(found, np.full((2, 1), expected))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            np.zeros((120, 2)),
            r"SimpleNamespace.predict_proba must give one score a label, shape \(120, 3\), .*\(120, 2",
        ),
        (np.zeros((1, 3)), r"shape \(120, 3\), got shape \(1, 3\)"),
        (np.full((120, 3), np.nan), "SimpleNamespace.predict_proba must not give NaN, got 360 NaN among 360 scores"),
        ([np.ones((120, 1))] * 3, "estimator must have classes_ to tell which class a single column"),
    ],
    ids=["labels", "rows", "NaN", "one class"],
)
def test_what_is_no_response_is_refused(answer, message):
    """An error names the classifier, what is allowed and what came."""
    classifier = SimpleNamespace(predict_proba=lambda X: answer)
    with pytest.raises(ValueError, match=message):
        respond(classifier, X, "predict_proba", recognize(Y))


def test_pipelines_and_searches_are_followed():
    """Check a pipeline around a search around a pipeline, down to the classifier."""
    inner = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(inner, {}, cv=2)
    search.best_estimator_ = inner
    outer = make_pipeline(StandardScaler(), search)
    assert list(delegates(outer)) == [outer, search, inner, inner[-1]]
    assert list(delegates(inner[-1])) == [inner[-1]]


def test_the_first_attribute_that_is_there_is_followed():
    """Check meta-estimators, which name what they wrap differently."""
    classifier = LogisticRegression()
    outer = GridSearchCV(classifier, {})
    outer.estimator_ = classifier
    assert list(delegates(outer)) == [outer]
    assert list(delegates(outer, ("best_estimator_", "estimator_"))) == [outer, classifier]
