"""Labels are read, named and chosen in one way by all displays."""

import numpy as np
import pytest

from sk_quadrant.displays import (
    LabelConfusionDisplay,
    ThresholdDisplay,
)


def test_names_come_from_dataframe(pyplot, data, classifier, ClassifierDisplay, names_of):
    """Check that labels carry the names of the columns of y."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    display = ClassifierDisplay.from_estimator(classifier, X, pandas.DataFrame(y, columns=["cat", "dog", "owl"]))
    assert names_of(display) == ["cat", "dog", "owl"]


def test_names_given_come_first(pyplot, data, classifier, ClassifierDisplay, names_of):
    """Check that `label_names` overrides the columns of y."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    frame = pandas.DataFrame(y, columns=["cat", "dog", "owl"])
    assert names_of(ClassifierDisplay.from_estimator(classifier, X, frame, label_names="abc")) == ["a", "b", "c"]


def test_predictions_are_realigned_to_y(pyplot, data, PredictionDisplay, assert_same_lines):
    """Check that a frame of predictions whose columns are in another order gives the same picture."""
    pandas = pytest.importorskip("pandas")
    _, y = data
    truth = pandas.DataFrame(y, columns=["cat", "dog", "owl"])
    predicted = pandas.DataFrame(np.roll(y, 1, axis=0), columns=truth.columns)
    assert_same_lines(
        *(PredictionDisplay.from_predictions(truth, each) for each in (predicted, predicted[["owl", "cat", "dog"]]))
    )


def test_wrong_number_of_names_is_refused(pyplot, data, PredictionDisplay):
    """Check the message for names that do not fit."""
    _, y = data
    with pytest.raises(ValueError, match="label_names must hold one name a label: expected 3, got 2"):
        PredictionDisplay.from_predictions(y, y, label_names=["cat", "dog"])


def test_shapes_must_agree(pyplot, data, PredictionDisplay):
    """Check the message for predictions of another shape."""
    _, y = data
    with pytest.raises(ValueError, match=r"y_\w+ must have the shape of y_true, \(150, 3\), got \(150, 2\)"):
        PredictionDisplay.from_predictions(y, y[:, :2])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 0.5], [1, 0]], "y_true must hold 0 and 1.*, got 0.5"),
        ([[0, 2], [1, 0]], "y_true must be 0, 1 or a probability .* got values from 0 to 2"),
        ([["cat"], ["dog", "owl"]], "y_true must be 1-D or have rows of one length.*MultiLabelBinarizer"),
        (["no", "yes"], "y_true must hold 0, 1 .*one label, got <U3 values.* pass y_true == the class that is present"),
        (np.array([-1, 1]), "y_true must hold 0, 1 .*one label, got values from -1 to 1.* pass y_true == the class"),
        (np.zeros((0, 2)), r"y_true must have shape \(n_samples, n_labels\), at least 1 of each, got \(0, 2\)"),
    ],
    ids=["soft", "counts", "sets", "strings", "signs", "empty"],
)
def test_other_targets_are_refused(pyplot, PredictionDisplay, y, message):
    """Check the message for what is no indicator matrix."""
    with pytest.raises(ValueError, match=message):
        PredictionDisplay.from_predictions(y, y)


def test_sparse_labels_are_read(pyplot, data, PredictionDisplay, assert_same_lines):
    """Check that a sparse y gives what a dense one gives."""
    sparse = pytest.importorskip("scipy.sparse")
    _, y = data
    assert_same_lines(
        *(PredictionDisplay.from_predictions(labels, y, label_names="abc") for labels in (y, sparse.csr_matrix(y)))
    )


@pytest.mark.parametrize("labels", [["owl", "cat"], [2, 0]], ids=["names", "columns"])
def test_labels_are_chosen_by_name_or_column(pyplot, data, classifier, ClassifierDisplay, labels, names_of):
    """Check the choice and the order of labels."""
    display = ClassifierDisplay.from_estimator(classifier, *data, labels=labels, label_names=["cat", "dog", "owl"])
    if ClassifierDisplay is LabelConfusionDisplay:
        ticks = [text.get_text() for text in display.ax_.get_yticklabels()]
        assert ticks == ["owl", "cat", "1 other", "no label"]
    else:
        assert names_of(display) == ["owl", "cat"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["fox"]}, "labels must be names or columns between 0 and 2, got 'fox'"),
        ({"labels": [3]}, "labels must be names or columns between 0 and 2, got 3"),
        ({"max_labels": 0}, "max_labels must be at least 1, got 0"),
    ],
    ids=["name", "column", "max_labels"],
)
def test_unknown_labels_are_refused(pyplot, data, PredictionDisplay, options, message):
    """Check the messages for labels that are not there."""
    _, y = data
    with pytest.raises(ValueError, match=message):
        PredictionDisplay.from_predictions(y, y, **options)


@pytest.mark.parametrize("Display", [ThresholdDisplay, LabelConfusionDisplay], ids=lambda display: display.__name__)
def test_no_labels_at_all_are_refused(pyplot, data, Display):
    """Check the message for an empty choice."""
    _, y = data
    with pytest.raises(ValueError, match="labels must hold at least one name or column, got none"):
        Display.from_predictions(y, y, labels=[])


def test_sparse_predictions_are_read(pyplot, data, PredictionDisplay, assert_same_lines):
    """Check that a sparse matrix of predictions gives the picture of the dense one."""
    sparse = pytest.importorskip("scipy.sparse")
    _, y = data
    predicted = np.roll(y, 1, axis=0)
    assert_same_lines(
        *(PredictionDisplay.from_predictions(y, each) for each in (predicted, sparse.csr_matrix(predicted)))
    )


def test_predictions_of_text_are_refused(pyplot, data):
    """Check that the message names the parameter."""
    _, y = data
    with pytest.raises(ValueError, match="y_pred must be an array of numbers: could not convert string"):
        LabelConfusionDisplay.from_predictions(y, np.where(y, "a", "b"))
