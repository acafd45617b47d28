"""Panels are axes of the user, parts of them, or a new figure."""

import sys

import pytest

from sk_quadrant.displays import (
    DecisionRegionDisplay,
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelRocCurveDisplay,
    LearningHistoryDisplay,
    LossDisplay,
    SearchDisplay,
    ThresholdDisplay,
)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: LossDisplay.from_loss("zlpr"),
        lambda: DecisionRegionDisplay.from_estimator(None, None),
        lambda: ThresholdDisplay.from_predictions([[1]], [[0.5]]),
        lambda: LabelCalibrationDisplay.from_predictions([[1]], [[0.5]]),
        lambda: LabelConfusionDisplay.from_predictions([[1]], [[1]]),
        lambda: LabelRocCurveDisplay.from_predictions([[1]], [[1]]),
        lambda: SearchDisplay.from_results({"params": []}),
        lambda: LearningHistoryDisplay.from_history([{"train_loss": 1.0}]),
    ],
    ids=["loss", "region", "threshold", "calibration", "confusion", "roc", "search", "history"],
)
def test_missing_matplotlib_names_the_extra(monkeypatch, draw):
    """Check that drawing without matplotlib says how to install it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib.*`pip install sk-quadrant\[plot\]`"):
        draw()


def test_one_axes_is_divided_into_panels(pyplot, data, classifier, ClassifierDisplay):
    """Check that several panels find room in one axes of a grid, which is itself switched off."""
    figure, (left, right) = pyplot.subplots(1, 2)
    display = ClassifierDisplay.from_estimator(classifier, *data, ax=left)
    assert display.figure_ is figure
    assert len(display.axes_) > 1
    assert not left.axison
    assert right.axison
    figure.canvas.draw()
    assert all(ax.get_window_extent().x1 <= right.get_window_extent().x0 for ax in display.axes_)


def test_axes_of_a_subfigure_are_divided(pyplot, data, classifier, ClassifierDisplay):
    """Check that a part of a figure does as well as a figure."""
    _, part = pyplot.figure(figsize=(12, 5), layout="constrained").subfigures(1, 2)
    display = ClassifierDisplay.from_estimator(classifier, *data, ax=part.subplots())
    assert display.figure_ is part


def test_array_of_axes_is_used_as_given(pyplot, data, classifier, ClassifierDisplay):
    """Check that axes given one a panel are drawn into."""
    n_panels = len(ClassifierDisplay.from_estimator(classifier, *data).axes_)
    _, axes = pyplot.subplots(1, n_panels)
    assert list(ClassifierDisplay.from_estimator(classifier, *data, ax=axes).axes_) == list(axes)


def test_wrong_number_of_axes_is_refused(pyplot, data, classifier, ClassifierDisplay):
    """Check the message for too many axes."""
    _, axes = pyplot.subplots(1, 7)
    with pytest.raises(ValueError, match=r"ax must hold one axes a panel: expected \d, got 7"):
        ClassifierDisplay.from_estimator(classifier, *data, ax=axes)


def test_free_axes_cannot_be_divided(pyplot, data, classifier):
    """Check the message for an axes that is in no grid."""
    ax = pyplot.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="ax must be an axes of a subplot grid"):
        ThresholdDisplay.from_estimator(classifier, *data, ax=ax)


def test_curves_do_not_rest_on_colour_alone(pyplot, make_predictions):
    """Check that curves of a panel differ in line style as well as in colour."""
    y_true, y_prob, _, _ = make_predictions(2)
    display = ThresholdDisplay.from_predictions(y_true, y_prob)
    lines = [lines[0] for lines in display.lines_.values()]
    assert len({line.get_linestyle() for line in lines}) == len(lines)
    assert len({line.get_color() for line in lines}) == len(lines)
