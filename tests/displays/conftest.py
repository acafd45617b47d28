"""Fixtures of the displays: matplotlib, classifiers of every kind, and an eye for overlaps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sk_quadrant.displays import (
    DecisionRegionDisplay,
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelPrecisionRecallDisplay,
    LabelRocCurveDisplay,
    ThresholdDisplay,
)

PREDICTION_DISPLAYS = [
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelPrecisionRecallDisplay,
    LabelRocCurveDisplay,
    ThresholdDisplay,
]


@pytest.fixture(params=PREDICTION_DISPLAYS, ids=lambda display: display.__name__)
def PredictionDisplay(request):
    """Each display that has `from_predictions`."""
    return request.param


@pytest.fixture(params=[DecisionRegionDisplay, *PREDICTION_DISPLAYS], ids=lambda display: display.__name__)
def ClassifierDisplay(request):
    """Each display that draws a classifier."""
    return request.param


@pytest.fixture
def names_of():
    """Return a function: display -> names of its labels."""

    def names(display):
        for attribute in ("label_names", "curve_names"):
            if hasattr(display, attribute):
                return getattr(display, attribute)
        return [name for name in display.panel_names if "average" not in name and "pooled" not in name]

    return names


@pytest.fixture
def assert_same_lines():
    """Return a check that two displays show the same lines and numbers."""

    def check(display, other):
        for ax, other_ax in zip(display.axes_, other.axes_, strict=True):
            for line, other_line in zip(ax.lines, other_ax.lines, strict=True):
                assert_allclose(other_line.get_xydata(), line.get_xydata())
            assert [text.get_text() for text in ax.texts] == [text.get_text() for text in other_ax.texts]

    return check


@pytest.fixture
def pyplot():
    """Return matplotlib.pyplot, without figures before and after the test."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="session")
def data():
    """Features and labels, (n_samples, 4) and (n_samples, 3)."""
    return make_multilabel_classification(150, n_features=4, n_classes=3, n_labels=2, random_state=0)


@pytest.fixture(scope="session")
def classifier(data):
    """Logistic regressions, one a label."""
    return OneVsRestClassifier(LogisticRegression()).fit(*data)


@pytest.fixture(scope="session")
def make_predictions():
    """Return a function: n_labels -> (y_true, y_prob, y_pred, label_names), names long and of several lengths."""

    def make(n_labels):
        rng = np.random.default_rng(n_labels)
        frequency = rng.uniform(0.02, 0.5, size=n_labels)
        logits = np.log(frequency / (1 - frequency)) + rng.normal(scale=1.5, size=(300, n_labels))
        y_prob = 1 / (1 + np.exp(-logits))
        y_true = (rng.random(y_prob.shape) < y_prob).astype(int)
        names = [f"B60{j}: {'vehicles, in general, ' * (j % 3)}power supply $ {j}" for j in range(n_labels)]
        return y_true, y_prob, (y_prob > 0.4).astype(int), names

    return make


@pytest.fixture
def assert_nothing_overlaps():
    """Return a check that all text of a figure lies inside of it, apart from other text and outside of panels."""

    def check(figure):
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        outside = [text for text in _outside_texts(figure) if text.get_visible() and text.get_text().strip()]
        inside = [text for ax in figure.axes for text in ax.texts if text.get_text().strip()]
        boxes = np.array([_box(text, renderer) for text in outside + inside])
        words = [text.get_text() for text in outside + inside]
        for i, box in enumerate(boxes):
            others = np.flatnonzero(_intersect(box, boxes))
            assert [words[j] for j in others if j != i] == [], f"{words[i]!r} overlaps"
        width, height = figure.canvas.get_width_height()
        cut = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2] > width) | (boxes[:, 3] > height)
        assert [words[j] for j in np.flatnonzero(cut)] == []
        panels = np.array([_box(ax.patch, renderer) for ax in figure.axes if ax.axison])
        hidden = [words[j] for j in range(len(outside)) if _intersect(boxes[j], panels).any()]
        assert hidden == []

    return check


def _outside_texts(figure):
    for part in (figure, *figure.subfigs):
        yield from (text for text in (part._suptitle, part._supxlabel, part._supylabel) if text is not None)
        for legend in part.legends:
            yield from legend.get_texts()
    for ax in figure.axes:
        yield ax.title
        for axis in (ax.xaxis, ax.yaxis):
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield from (label for label in (tick.label1, tick.label2) if label.get_visible())


def _box(artist, renderer):
    """Extent in pixels, a pixel smaller on each side."""
    extent = artist.get_window_extent(renderer)
    return extent.x0 + 1, extent.y0 + 1, extent.x1 - 1, extent.y1 - 1


def _intersect(box, boxes):
    return (boxes[:, 0] < box[2]) & (box[0] < boxes[:, 2]) & (boxes[:, 1] < box[3]) & (box[1] < boxes[:, 3])
