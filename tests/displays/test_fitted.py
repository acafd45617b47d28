"""What displays read from a fitted classifier."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sk_quadrant.displays import (
    LabelCalibrationDisplay,
    LabelRocCurveDisplay,
    ThresholdDisplay,
)
from sk_quadrant.displays._fitted import respond


def test_unfitted_classifier_is_refused(pyplot, data, ClassifierDisplay):
    """Check that an unfitted classifier raises NotFittedError."""
    with pytest.raises(NotFittedError):
        ClassifierDisplay.from_estimator(OneVsRestClassifier(LogisticRegression()), *data)


def test_regressor_is_refused(pyplot, data, ClassifierDisplay):
    """Check the message for a regressor."""
    with pytest.raises(
        ValueError, match=f"{ClassifierDisplay.__name__}.from_estimator only supports classifiers, got Linear"
    ):
        ClassifierDisplay.from_estimator(LinearRegression().fit(*data), *data)


def test_names_come_from_the_estimator(pyplot, data, ClassifierDisplay, names_of):
    """Check that labels carry the names the classifier was fitted with, also at the end of a pipeline."""
    X, y = data
    pipeline = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())).fit(X, y)
    pipeline[-1].label_names_in_ = np.array(["cat", "dog", "owl"])
    assert names_of(ClassifierDisplay.from_estimator(pipeline, X, y)) == ["cat", "dog", "owl"]


def test_columns_in_another_order_are_realigned(pyplot, data, ClassifierDisplay, names_of, assert_same_lines):
    """Check that each column of y is drawn under its own name, against the scores of that label."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    classifier = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    classifier.label_names_in_ = np.array(["cat", "dog", "owl"])
    frame = pandas.DataFrame(y, columns=["cat", "dog", "owl"])
    displays = [
        ClassifierDisplay.from_estimator(classifier, X, frame[order])
        for order in (["cat", "dog", "owl"], ["owl", "cat", "dog"])
    ]
    assert names_of(displays[1]) == ["cat", "dog", "owl"]
    assert_same_lines(*displays)


@pytest.mark.parametrize("classes", [["no", "yes"], [-1, 1], [1, 2]], ids=["strings", "signs", "numbers"])
@pytest.mark.parametrize("n_seen", [150, 1], ids=["both classes", "one class"])
def test_second_of_two_classes_is_the_label(pyplot, data, ClassifierDisplay, assert_same_lines, classes, n_seen):
    """Check that two classes are drawn as 0 and 1 are, as in scikit-learn's displays, also if y has one of them."""
    X, y = data[0], data[1][:, 0]
    named = np.array(classes)[y]
    displays = [
        ClassifierDisplay.from_estimator(LogisticRegression().fit(X, each), X[-n_seen:], each[-n_seen:])
        for each in (y, named)
    ]
    assert_same_lines(*displays)


def test_unknown_labels_of_a_single_label_are_left_out(pyplot, data):
    """Check a vector with NaN, of a classifier of the classes 0 and 1, against the known rows."""
    X, y = data[0], data[1][:, 0]
    classifier, known = LogisticRegression().fit(X, y), np.arange(len(y)) % 3 > 0
    displays = [
        LabelRocCurveDisplay.from_estimator(classifier, X, np.where(known, y, np.nan)),
        LabelRocCurveDisplay.from_estimator(classifier, X[known], y[known]),
    ]
    areas = [[curve.roc_auc for curve in display.curves["LogisticRegression"]] for display in displays]
    assert_allclose(*areas)
    with pytest.raises(ValueError, match=r"a class cannot be unknown. Drop these rows"):
        LabelRocCurveDisplay.from_estimator(LogisticRegression().fit(X, y + 1), X, np.where(known, 1, np.nan))


def test_classes_of_two_classifiers_must_agree(pyplot, data):
    """Check the message for classifiers of other classes in one picture."""
    X, y = data[0], data[1][:, 0]
    classifiers = {
        name: LogisticRegression().fit(X, np.array(classes)[y]) for name, classes in (("a", [0, 2]), ("b", [2, 3]))
    }
    with pytest.raises(
        ValueError, match=r"classifiers must have the same labels in the same order, got \[2\] and \[3\]"
    ):
        LabelRocCurveDisplay.from_estimator(classifiers, X, np.full(len(y), 2))


def test_labels_of_two_classifiers_must_be_in_one_order(pyplot, data):
    """Check that curves of one label are not drawn under the name of another."""
    X, y = data
    classifiers = {name: OneVsRestClassifier(LogisticRegression()).fit(X, y) for name in "ab"}
    for name, names in (("a", ["cat", "dog", "owl"]), ("b", ["owl", "cat", "dog"])):
        classifiers[name].label_names_in_ = np.array(names)
    with pytest.raises(ValueError, match=r"must have the same labels in the same order, got \['cat', .* and \['owl'"):
        LabelRocCurveDisplay.from_estimator(classifiers, X, y)


def test_columns_of_other_labels_are_refused(pyplot, data, ClassifierDisplay):
    """Check that y of labels the classifier was not fitted on is not drawn."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    classifier = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    classifier.label_names_in_ = np.array(["cat", "dog", "owl"])
    with pytest.raises(ValueError, match=r"y must have the labels of fit as columns, \['cat', 'dog', 'owl'\], .*'fox'"):
        ClassifierDisplay.from_estimator(classifier, X, pandas.DataFrame(y, columns=["dog", "cat", "fox"]))


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsRestClassifier(LogisticRegression()),
        MLPClassifier((3,), max_iter=5, random_state=0),
        ClassifierChain(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        KNeighborsClassifier(),
        DecisionTreeClassifier(random_state=0),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3]}),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_probabilities_of_every_form_are_read(data, estimator):
    """Check that one array and a list of arrays, one a label, give the probability of presence."""
    X, y = data
    response = respond(estimator.fit(X, y), X)
    answers = estimator.predict_proba(X)
    expected = answers if isinstance(answers, np.ndarray) else np.transpose([table[:, 1] for table in answers])
    assert response.is_probability
    assert response.values.shape == y.shape
    assert_allclose(response.values, expected)


@pytest.mark.parametrize("present", [0, 1])
def test_probability_of_a_constant_label_is_read(data, present):
    """Check a label without variation, for which scikit-learn's list holds one column only."""
    X, y = data
    y = y.copy()
    y[:, 1] = present
    assert (respond(KNeighborsClassifier().fit(X, y), X).values[:, 1] == present).all()


def test_single_column_of_unknown_class_is_refused(data):
    """Check that a certainty of an unknown class is not drawn as presence."""
    X, _ = data

    class Unclear(KNeighborsClassifier):
        classes_ = None

        def predict_proba(self, X):
            return [np.ones((len(X), 1))] * 3

        def predict(self, X):
            return np.ones((len(X), 3))

    with pytest.raises(ValueError, match="must have classes_ to tell which class a single column"):
        respond(Unclear(), X)


def test_binary_classifier_is_one_label(pyplot, data, ClassifierDisplay, names_of):
    """Check that a classifier of a 1-D y is drawn as one label."""
    X, y = data
    display = ClassifierDisplay.from_estimator(LogisticRegression().fit(X, y[:, 0]), X, y[:, 0], label_names=["cat"])
    assert names_of(display) == ["cat"]


def test_multiclass_is_refused(pyplot, data):
    """Check the message for a classifier of three classes."""
    X, y = data
    with pytest.raises(
        ValueError, match="must predict labels or one of two classes, got a KNeighborsClassifier of 4 classes"
    ):
        ThresholdDisplay.from_estimator(KNeighborsClassifier().fit(X, y.sum(axis=1)), X, y)


def test_unknown_response_method_is_refused(pyplot, data, classifier):
    """Check the message for a method that is not offered."""
    with pytest.raises(ValueError, match=r"response_method must be among auto, .*, got 'predict'"):
        ThresholdDisplay.from_estimator(classifier, *data, response_method="predict")


def test_missing_probabilities_are_named(pyplot, data):
    """Check the message for calibration of a classifier without probabilities."""
    X, y = data
    with pytest.raises(AttributeError, match="RidgeClassifier has none of: predict_proba"):
        LabelCalibrationDisplay.from_estimator(RidgeClassifier().fit(X, y), X, y)
