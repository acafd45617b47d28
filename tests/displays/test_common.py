"""What every display of a classifier does alike."""

import subprocess
import sys

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
    DecisionRegionDisplay,
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelPrecisionRecallDisplay,
    LabelRocCurveDisplay,
    LearningHistoryDisplay,
    LossDisplay,
    ThresholdDisplay,
)
from sk_quadrant.displays._fitted import respond

PREDICTION_DISPLAYS = [
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelPrecisionRecallDisplay,
    LabelRocCurveDisplay,
    ThresholdDisplay,
]
CLASSIFIER_DISPLAYS = [DecisionRegionDisplay, *PREDICTION_DISPLAYS]

by_classifier = pytest.mark.parametrize("Display", CLASSIFIER_DISPLAYS, ids=lambda display: display.__name__)
by_predictions = pytest.mark.parametrize("Display", PREDICTION_DISPLAYS, ids=lambda display: display.__name__)


def _names(display):
    """Names of the labels of a display."""
    for attribute in ("label_names", "curve_names"):
        if hasattr(display, attribute):
            return getattr(display, attribute)
    return [name for name in display.panel_names if "average" not in name and "pooled" not in name]


def _assert_same_lines(display, other):
    """Check that two displays show the same lines and numbers."""
    for ax, other_ax in zip(display.axes_, other.axes_, strict=True):
        for line, other_line in zip(ax.lines, other_ax.lines, strict=True):
            assert_allclose(other_line.get_xydata(), line.get_xydata())
        assert [text.get_text() for text in ax.texts] == [text.get_text() for text in other_ax.texts]


def test_import_needs_no_matplotlib():
    """Check that importing the displays imports neither matplotlib nor torch nor skorch."""
    code = (
        "import sys, sk_quadrant.displays; "
        "sys.exit(sum(name in sys.modules for name in ('matplotlib', 'torch', 'skorch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda: LossDisplay.from_loss("zlpr"),
        lambda: DecisionRegionDisplay.from_estimator(None, None),
        lambda: ThresholdDisplay.from_predictions([[1]], [[0.5]]),
        lambda: LabelCalibrationDisplay.from_predictions([[1]], [[0.5]]),
        lambda: LabelConfusionDisplay.from_predictions([[1]], [[1]]),
        lambda: LabelRocCurveDisplay.from_predictions([[1]], [[1]]),
        lambda: LearningHistoryDisplay.from_history([{"train_loss": 1.0}]),
    ],
    ids=["loss", "region", "threshold", "calibration", "confusion", "roc", "history"],
)
def test_missing_matplotlib_names_the_extra(monkeypatch, draw):
    """Check that drawing without matplotlib says how to install it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib; `pip install sk-quadrant\[plot\]`"):
        draw()


@by_classifier
def test_from_estimator_keeps_figure_and_axes(pyplot, data, classifier, Display):
    """Check the attributes after drawing a figure of its own."""
    display = Display.from_estimator(classifier, *data)
    assert isinstance(display, Display)
    assert isinstance(display.figure_, pyplot.Figure)
    assert display.ax_ is display.axes_[0]
    assert all(ax.figure is display.figure_ for ax in display.axes_)


@by_classifier
def test_plot_returns_itself_and_draws_anew(pyplot, data, classifier, Display):
    """Check that `plot` returns the display and makes a new figure."""
    display = Display.from_estimator(classifier, *data)
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first


@by_classifier
def test_one_axes_is_divided_into_panels(pyplot, data, classifier, Display):
    """Check that several panels find room in one axes of a grid, which is itself switched off."""
    figure, (left, right) = pyplot.subplots(1, 2)
    display = Display.from_estimator(classifier, *data, ax=left)
    assert display.figure_ is figure
    assert len(display.axes_) > 1
    assert not left.axison
    assert right.axison
    figure.canvas.draw()
    assert all(ax.get_window_extent().x1 <= right.get_window_extent().x0 for ax in display.axes_)


@by_classifier
def test_axes_of_a_subfigure_are_divided(pyplot, data, classifier, Display):
    """Check that a part of a figure does as well as a figure."""
    _, part = pyplot.figure(figsize=(12, 5), layout="constrained").subfigures(1, 2)
    display = Display.from_estimator(classifier, *data, ax=part.subplots())
    assert display.figure_ is part


@by_classifier
def test_array_of_axes_is_used_as_given(pyplot, data, classifier, Display):
    """Check that axes given one a panel are drawn into."""
    n_panels = len(Display.from_estimator(classifier, *data).axes_)
    _, axes = pyplot.subplots(1, n_panels)
    assert list(Display.from_estimator(classifier, *data, ax=axes).axes_) == list(axes)


@by_classifier
def test_wrong_number_of_axes_is_refused(pyplot, data, classifier, Display):
    """Check the message for too many axes."""
    _, axes = pyplot.subplots(1, 7)
    with pytest.raises(ValueError, match=r"ax must hold one axes a panel: expected \d, got 7"):
        Display.from_estimator(classifier, *data, ax=axes)


def test_free_axes_cannot_be_divided(pyplot, data, classifier):
    """Check the message for an axes that is in no grid."""
    ax = pyplot.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="ax must be an axes of a subplot grid"):
        ThresholdDisplay.from_estimator(classifier, *data, ax=ax)


@by_classifier
def test_unfitted_classifier_is_refused(pyplot, data, Display):
    """Check that an unfitted classifier raises NotFittedError."""
    with pytest.raises(NotFittedError):
        Display.from_estimator(OneVsRestClassifier(LogisticRegression()), *data)


@by_classifier
def test_regressor_is_refused(pyplot, data, Display):
    """Check the message for a regressor."""
    with pytest.raises(ValueError, match=f"{Display.__name__}.from_estimator only supports classifiers, got Linear"):
        Display.from_estimator(LinearRegression().fit(*data), *data)


@by_classifier
def test_names_come_from_dataframe(pyplot, data, classifier, Display):
    """Check that labels carry the names of the columns of y."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    display = Display.from_estimator(classifier, X, pandas.DataFrame(y, columns=["cat", "dog", "owl"]))
    assert _names(display) == ["cat", "dog", "owl"]


@by_classifier
def test_names_come_from_the_estimator(pyplot, data, Display):
    """Check that labels carry the names the classifier was fitted with, also at the end of a pipeline."""
    X, y = data
    pipeline = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())).fit(X, y)
    pipeline[-1].label_names_in_ = np.array(["cat", "dog", "owl"])
    assert _names(Display.from_estimator(pipeline, X, y)) == ["cat", "dog", "owl"]


@by_classifier
def test_names_given_come_first(pyplot, data, classifier, Display):
    """Check that `label_names` overrides the columns of y."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    frame = pandas.DataFrame(y, columns=["cat", "dog", "owl"])
    assert _names(Display.from_estimator(classifier, X, frame, label_names="abc")) == ["a", "b", "c"]


@by_classifier
def test_columns_in_another_order_are_realigned(pyplot, data, Display):
    """Check that each column of y is drawn under its own name, against the scores of that label."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    classifier = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    classifier.label_names_in_ = np.array(["cat", "dog", "owl"])
    frame = pandas.DataFrame(y, columns=["cat", "dog", "owl"])
    displays = [
        Display.from_estimator(classifier, X, frame[order]) for order in (["cat", "dog", "owl"], ["owl", "cat", "dog"])
    ]
    assert _names(displays[1]) == ["cat", "dog", "owl"]
    _assert_same_lines(*displays)


@by_classifier
def test_columns_of_other_labels_are_refused(pyplot, data, Display):
    """Check that y of labels the classifier was not fitted on is not drawn."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    classifier = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    classifier.label_names_in_ = np.array(["cat", "dog", "owl"])
    with pytest.raises(ValueError, match=r"y must have the labels of fit as columns, \['cat', 'dog', 'owl'\], .*'fox'"):
        Display.from_estimator(classifier, X, pandas.DataFrame(y, columns=["dog", "cat", "fox"]))


@by_predictions
def test_predictions_are_realigned_to_y(pyplot, data, Display):
    """Check that a frame of predictions whose columns are in another order gives the same picture."""
    pandas = pytest.importorskip("pandas")
    _, y = data
    truth = pandas.DataFrame(y, columns=["cat", "dog", "owl"])
    predicted = pandas.DataFrame(np.roll(y, 1, axis=0), columns=truth.columns)
    _assert_same_lines(
        *(Display.from_predictions(truth, each) for each in (predicted, predicted[["owl", "cat", "dog"]]))
    )


@by_predictions
def test_wrong_number_of_names_is_refused(pyplot, data, Display):
    """Check the message for names that do not fit."""
    _, y = data
    with pytest.raises(ValueError, match="label_names must hold one name a label: expected 3, got 2"):
        Display.from_predictions(y, y, label_names=["cat", "dog"])


@by_predictions
def test_shapes_must_agree(pyplot, data, Display):
    """Check the message for predictions of another shape."""
    _, y = data
    with pytest.raises(ValueError, match=r"y_true and y_\w+ must have the same shape, got \(150, 3\) and \(150, 2\)"):
        Display.from_predictions(y, y[:, :2])


@by_predictions
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 0.5], [1, 0]], "y_true must hold 0 and 1.*, got 0.5"),
        ([[0, 2], [1, 0]], "y_true must be 0, 1 or a probability .* got values from 0 to 2"),
        ([["cat"], ["dog", "owl"]], "y_true must be 1-D or have rows of one length.*MultiLabelBinarizer"),
        (np.zeros((0, 2)), r"y_true must have shape \(n_samples, n_labels\), at least 1 of each, got \(0, 2\)"),
    ],
    ids=["soft", "counts", "sets", "empty"],
)
def test_other_targets_are_refused(pyplot, Display, y, message):
    """Check the message for what is no indicator matrix."""
    with pytest.raises(ValueError, match=message):
        Display.from_predictions(y, y)


@by_predictions
def test_sparse_labels_are_read(pyplot, data, Display):
    """Check that a sparse y gives what a dense one gives."""
    sparse = pytest.importorskip("scipy.sparse")
    _, y = data
    _assert_same_lines(
        *(Display.from_predictions(labels, y, label_names="abc") for labels in (y, sparse.csr_matrix(y)))
    )


@by_classifier
@pytest.mark.parametrize("labels", [["owl", "cat"], [2, 0]], ids=["names", "columns"])
def test_labels_are_chosen_by_name_or_column(pyplot, data, classifier, Display, labels):
    """Check the choice and the order of labels."""
    display = Display.from_estimator(classifier, *data, labels=labels, label_names=["cat", "dog", "owl"])
    if Display is LabelConfusionDisplay:
        ticks = [text.get_text() for text in display.ax_.get_yticklabels()]
        assert ticks == ["owl", "cat", "1 other", "no label"]
    else:
        assert _names(display) == ["owl", "cat"]


@by_predictions
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["fox"]}, "labels must be names or columns of labels, got 'fox'"),
        ({"labels": [3]}, "labels must be names or columns between 0 and 2, got 3"),
        ({"max_labels": 0}, "max_labels must be at least 1, got 0"),
    ],
    ids=["name", "column", "max_labels"],
)
def test_unknown_labels_are_refused(pyplot, data, Display, options, message):
    """Check the messages for labels that are not there."""
    _, y = data
    with pytest.raises(ValueError, match=message):
        Display.from_predictions(y, y, **options)


@pytest.mark.parametrize("Display", [ThresholdDisplay, LabelConfusionDisplay], ids=lambda display: display.__name__)
def test_no_labels_at_all_are_refused(pyplot, data, Display):
    """Check the message for an empty choice."""
    _, y = data
    with pytest.raises(ValueError, match="labels must hold at least one name or column, got none"):
        Display.from_predictions(y, y, labels=[])


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


@by_classifier
def test_binary_classifier_is_one_label(pyplot, data, Display):
    """Check that a classifier of a 1-D y is drawn as one label."""
    X, y = data
    display = Display.from_estimator(LogisticRegression().fit(X, y[:, 0]), X, y[:, 0], label_names=["cat"])
    assert _names(display) == ["cat"]


def test_multiclass_is_refused(pyplot, data):
    """Check the message for a classifier of three classes."""
    X, y = data
    with pytest.raises(ValueError, match="Only binary and multi-label classifiers can be drawn, got one of 4 classes"):
        ThresholdDisplay.from_estimator(KNeighborsClassifier().fit(X, y.sum(axis=1)), X, y)


def test_unknown_response_method_is_refused(pyplot, data, classifier):
    """Check the message for a method that is not offered."""
    with pytest.raises(ValueError, match=r"response_method must be one of auto, .*, got 'predict'"):
        ThresholdDisplay.from_estimator(classifier, *data, response_method="predict")


def test_missing_probabilities_are_named(pyplot, data):
    """Check the message for calibration of a classifier without probabilities."""
    X, y = data
    with pytest.raises(AttributeError, match="RidgeClassifier has none of: predict_proba"):
        LabelCalibrationDisplay.from_estimator(RidgeClassifier().fit(X, y), X, y)


def test_curves_do_not_rest_on_colour_alone(pyplot, make_predictions):
    """Check that curves of a panel differ in line style as well as in colour."""
    y_true, y_prob, _, _ = make_predictions(2)
    display = ThresholdDisplay.from_predictions(y_true, y_prob)
    lines = [lines[0] for lines in display.lines_.values()]
    assert len({line.get_linestyle() for line in lines}) == len(lines)
    assert len({line.get_color() for line in lines}) == len(lines)
