"""Decision regions are where the classifier predicts."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.utils import _array_api

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.datasets import make_quadrants
from sk_quadrant.displays import DecisionRegionDisplay


@pytest.fixture(scope="module")
def quadrants():
    """Two features, two labels, and a logistic regression for each."""
    X, y = make_quadrants(400, slope=2, random_state=0)
    return X, y, MultiOutputClassifier(LogisticRegression()).fit(X, y)


def _points(display):
    return np.column_stack([display.xx0.ravel(), display.xx1.ravel()])


def _vertices(contours):
    return np.concatenate([path.vertices for path in contours.get_paths()])


def test_shade_is_the_probability(pyplot, quadrants):
    """Check the drawn values against `predict_proba` at the points of the grid."""
    X, _, classifier = quadrants
    display = DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=11)
    for j, surface in enumerate(display.surfaces_):
        expected = classifier.predict_proba(_points(display))[j][:, 1]
        assert_allclose(np.ravel(surface.get_array()), expected)
        assert surface.get_clim() == (0, 1)


def test_region_is_scikit_learns(pyplot, quadrants):
    """Check one label against scikit-learn's display of its own classifier on the same grid."""
    X, y, _ = quadrants
    classifier = LogisticRegression().fit(X, y[:, 0])
    display = DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=7)
    corners = np.array([[ends.min(), ends.max()] for ends in (display.xx0, display.xx1)]).T
    expected = DecisionBoundaryDisplay.from_estimator(
        classifier, corners, eps=0, grid_resolution=7, response_method="predict_proba"
    )
    assert_allclose(display.xx0, expected.xx0)
    assert_allclose(display.xx1, expected.xx1)
    assert_allclose(display.response[..., 0], np.reshape(expected.response, (7, 7)))


def test_line_is_at_the_threshold(pyplot, quadrants):
    """Check that the probability along the line is one half."""
    X, _, classifier = quadrants
    display = DecisionRegionDisplay.from_estimator(classifier, X)
    for j, line in enumerate(display.cut_lines_):
        assert_allclose(classifier.predict_proba(_vertices(line))[j][:, 1], 0.5, atol=2e-3)


def test_line_follows_the_threshold_of_the_estimator(pyplot, quadrants):
    """Check that the line lies where the classifier says and predicts, not at one half."""
    X, y, _ = quadrants

    class Careful(LogisticRegression):
        threshold_ = 0.8

        def predict(self, X):
            return (self.predict_proba(X)[:, 1] > self.threshold_).astype(int)

    classifier = Careful().fit(X, y[:, 0])
    display = DecisionRegionDisplay.from_estimator(classifier, X)
    assert_array_equal(display.cuts, [0.8])
    assert_allclose(classifier.predict_proba(_vertices(display.cut_lines_[0]))[:, 1], 0.8, atol=5e-3)


def test_line_of_other_deciders_surrounds_their_decisions(pyplot, quadrants):
    """Check a classifier whose predictions are no matter of its own response: the line is the edge of its regions."""
    X, y, _ = quadrants

    class Contrary(LogisticRegression):
        def predict(self, X):
            return (np.asarray(X)[:, 1] > 0.5).astype(int)

    display = DecisionRegionDisplay.from_estimator(Contrary().fit(X, y[:, 0]), X, grid_resolution=101)
    assert np.isnan(display.cuts).all()
    assert_allclose(_vertices(display.cut_lines_[0])[:, 1], 0.5, atol=np.ptp(display.xx1) / 100)


def test_decisions_are_the_predictions(pyplot, data):
    """Check the decisions of a chain at the grid, with other features held at their medians."""
    X, y = data
    chain = ClassifierChain(LogisticRegression()).fit(X, y)
    display = DecisionRegionDisplay.from_estimator(chain, X, features=(2, 0), grid_resolution=9)
    rows = np.tile(np.median(X, axis=0), (81, 1))
    rows[:, [2, 0]] = _points(display)
    assert_array_equal(display.decisions.reshape(81, 3), chain.predict(rows))
    assert display.feature_names == ("feature 2", "feature 0")
    assert display.figure_.get_suptitle() == "2 other features held"


def test_further_levels_are_drawn(pyplot, quadrants):
    """Check lines at other probabilities than the threshold."""
    X, _, classifier = quadrants
    display = DecisionRegionDisplay.from_estimator(classifier, X, levels=[0.9, 0.1])
    (levels,) = (line for line in display.ax_.collections if getattr(line, "levels", [0])[0] == 0.1)
    assert_array_equal(levels.levels, [0.1, 0.9])
    assert display.legend_.get_texts()[1].get_text() == "at 0.1, 0.9"


def test_samples_are_drawn_by_label(pyplot, quadrants):
    """Check that points with and without the label are drawn where they are, at most 400 of them."""
    X, y, classifier = quadrants
    display = DecisionRegionDisplay.from_estimator(classifier, X, y)
    for j, ax in enumerate(display.axes_):
        absent, present = (dots.get_offsets() for dots in ax.collections[-2:])
        assert_array_equal(np.sort(present[:, 0]), np.sort(X[y[:, j] == 1, 0]))
        assert_array_equal(np.sort(absent[:, 1]), np.sort(X[y[:, j] == 0, 1]))
    many = DecisionRegionDisplay.from_estimator(classifier, np.tile(X, (3, 1)), np.tile(y, (3, 1)))
    assert many.points.shape == (400, 2)


def test_picture_without_lines_and_samples_has_no_legend(pyplot, quadrants):
    """Check a classifier that predicts its label everywhere, combined and not: the words of the line, or no legend."""
    X, y, _ = quadrants
    classifier = LogisticRegression().fit(X, y[:, 0])
    classifier.intercept_ += 100
    assert DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=5).legend_ is None
    combined = DecisionRegionDisplay.from_estimator(classifier, X, X[:, 0] > 0, grid_resolution=5, combined=True)
    assert combined.legend_.get_texts()[0].get_text() == "label 0: everywhere"
    assert len(combined.ax_.collections[-1].get_offsets()) == 400


def test_label_on_one_side_has_no_line(pyplot, data):
    """Check a label that is predicted nowhere, alone and in the combined picture."""
    X, y = data
    y = y.copy()
    y[:, 0], y[0, 0] = 0, 1
    classifier = OneVsRestClassifier(LogisticRegression(C=1e-3)).fit(X, y)
    assert DecisionRegionDisplay.from_estimator(classifier, X).cut_lines_[0] is None
    combined = DecisionRegionDisplay.from_estimator(classifier, X, combined=True)
    assert combined.legend_.get_texts()[0].get_text() == "label 0: nowhere"


def test_combined_picture_mixes_colours(pyplot, quadrants):
    """Check one image for both labels: nearly white where none is likely, darkest where both are."""
    X, _, classifier = quadrants
    display = DecisionRegionDisplay.from_estimator(classifier, 3 * X, combined=True)
    assert len(display.axes_) == 1
    assert len(display.cut_lines_) == 2
    assert display.colorbar_ is None
    image = display.surfaces_[0].get_array()
    brightness = image.sum(axis=2)
    assert_allclose(image[0, 0], 1, atol=0.05)
    assert_allclose(brightness[-1, -1], brightness.min(), rtol=1e-3)
    assert brightness[-1, -1] < brightness[0, -1] < brightness[0, 0]
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names[2:] == ["no label", "label 0", "label 1", "label 0 + label 1"]


def test_combined_picture_of_many_labels_counts_them(pyplot, make_predictions):
    """Check that more than three labels are shaded by their expected number."""
    y_true, y_prob, _, _ = make_predictions(5)
    classifier = MultiOutputClassifier(LogisticRegression()).fit(y_prob[:, :2], y_true)
    display = DecisionRegionDisplay.from_estimator(classifier, y_prob[:, :2], combined=True, grid_resolution=6)
    expected = sum(table[:, 1] for table in classifier.predict_proba(_points(display)))
    assert_allclose(np.ravel(display.surfaces_[0].get_array()), expected)
    assert display.colorbar_.ax.get_ylabel() == "expected number of labels"


def test_scores_without_probabilities(pyplot, quadrants):
    """Check the shade of a classifier with a decision function only."""
    X, y, _ = quadrants
    classifier = RidgeClassifier().fit(X, y)
    display = DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=9)
    assert_allclose(display.response.reshape(81, 2), classifier.decision_function(_points(display)))
    assert_array_equal(display.cuts, [0, 0])
    assert display.colorbar_.ax.get_ylabel() == "decision function"


@pytest.mark.parametrize("dispatch", [True, False], ids=["with dispatch", "without"])
def test_tensors_are_drawn_like_arrays(dispatch, pyplot):
    """The points of the grid go to the classifier as tensors or NumPy arrays, as it was fitted."""
    if dispatch and not hasattr(_array_api, "move_to"):
        pytest.skip("scikit-learn before 1.9 does not move arrays between libraries")
    X, y = make_quadrants(60, random_state=0)
    expected = DecisionRegionDisplay.from_estimator(QuadrantMultiLabelClassifier().fit(X, y), X, grid_resolution=3)
    X, y = torch.tensor(X), torch.tensor(y)
    with config_context(array_api_dispatch=dispatch):
        classifier = QuadrantMultiLabelClassifier().fit(X, y)
        display = DecisionRegionDisplay.from_estimator(classifier, X, y, grid_resolution=3)
    assert_allclose(display.response, expected.response)
    assert_array_equal(np.sort(display.points, axis=0), np.sort(X, axis=0))


def test_labels_that_vary_most_are_shown(pyplot, make_predictions):
    """Check which of too many labels are shown."""
    y_true, y_prob, _, _ = make_predictions(30)
    classifier = RidgeClassifier().fit(y_prob[:, :2], y_true)
    display = DecisionRegionDisplay.from_estimator(classifier, y_prob[:, :2], max_labels=2, grid_resolution=5)
    assert sorted(display.label_names) == ["label 0", "label 1"]  # the two features are their probabilities
    assert display.figure_.get_suptitle() == "2 of 30 labels: varying most"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid_resolution": 1}, "grid_resolution must be at least 2, got 1"),
        ({"features": (0, 0)}, r"features must be two different names or columns of X, got \(0, 0\)"),
        ({"features": (0, 4)}, "features must be names or columns between 0 and 3, got 4"),
        ({"features": ("age", 1)}, "features must be names or columns between 0 and 3, got 'age'"),
        ({"held": [1, 2]}, "held must hold one value a feature: expected 4, got 2"),
        ({"labels": []}, "labels must hold at least one name or column"),
        ({"y": [[1, 0, 0]]}, r"predict\(X\) must have the shape of y, \(1, 3\), got \(150, 3\)"),
    ],
    ids=["resolution", "same feature", "column", "name", "held", "labels", "y"],
)
def test_wrong_options_are_refused(pyplot, data, classifier, options, message):
    """Check the messages for options that are not offered."""
    with pytest.raises(ValueError, match=message):
        DecisionRegionDisplay.from_estimator(classifier, data[0], **options)
