"""Reliability curves are those of scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibrationDisplay, calibration_curve
from sklearn.neighbors import KNeighborsClassifier

from sk_quadrant.displays import LabelCalibrationDisplay


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_curves_agree_with_scikit_learn(pyplot, make_predictions, strategy):
    """Check the lines of each label and of the pool against `calibration_curve`."""
    y_true, y_prob, _, _ = make_predictions(3)
    display = LabelCalibrationDisplay.from_predictions(y_true, y_prob, n_bins=7, strategy=strategy)
    columns = [slice(None), 0, 1, 2]
    for line, column in zip(display.lines_["classifier"], columns, strict=True):
        truth, prob = y_true[:, column].ravel(), y_prob[:, column].ravel()
        prob_true, prob_pred = calibration_curve(truth, prob, n_bins=7, strategy=strategy)
        assert_allclose(line.get_xydata(), np.column_stack([prob_pred, prob_true]))


def test_pool_is_scikit_learns_display(pyplot, data, classifier):
    """Check the pooled line against scikit-learn's own display of all decisions."""
    X, y = data
    display = LabelCalibrationDisplay.from_estimator(classifier, X, y, n_bins=5, labels=[])
    expected = CalibrationDisplay.from_predictions(y.ravel(), classifier.predict_proba(X).ravel(), n_bins=5)
    assert_allclose(display.lines_["OneVsRestClassifier"][0].get_xydata(), expected.line_.get_xydata())


def test_counts_are_those_of_a_histogram(pyplot, make_predictions):
    """Check the number of predictions in each bin, empty ones among them."""
    y_true, y_prob, _, _ = make_predictions(2)
    y_prob = y_prob / 2
    display = LabelCalibrationDisplay.from_predictions(y_true, y_prob, n_bins=10)
    expected, edges = np.histogram(y_prob[:, 1], bins=10, range=(0, 1))
    curve = display.curves["classifier"][2]
    assert_array_equal(curve.counts, expected)
    assert_allclose(curve.edges, edges)
    assert len(curve.prob_true) == np.count_nonzero(expected)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_hold_all_predictions_and_positives(pyplot, make_predictions, strategy):
    """Check that counts add up to the predictions, and counts times fractions to the positives."""
    y_true, y_prob, _, _ = make_predictions(2)
    y_prob = y_prob.round(1)  # ties, and values on the edges
    display = LabelCalibrationDisplay.from_predictions(y_true, y_prob, strategy=strategy)
    curve = display.curves["classifier"][0]
    assert curve.counts.sum() == y_true.size
    assert_allclose(curve.counts[curve.counts > 0] @ curve.prob_true, y_true.sum())


def test_heights_of_counts_are_logarithmic(pyplot):
    """Check the strip: full height for the largest number, the share of its logarithm for others."""
    y_true = np.zeros((100, 1))
    y_prob = np.repeat([[0.1], [0.9]], [91, 9], axis=0)
    display = LabelCalibrationDisplay.from_predictions(y_true, y_prob, n_bins=2, labels=[])
    (steps,) = display.count_steps_["classifier"]
    heights = steps.get_data().values - steps.get_data().baseline
    assert_allclose(heights[1] / heights[0], np.log(10) / np.log(92))
    assert [text.get_text() for text in display.ax_.get_yticklabels()][:2] == ["0", "91"]


def test_several_classifiers_share_the_panels(pyplot, data, classifier):
    """Check names, lines and legend of two classifiers."""
    X, y = data
    other = KNeighborsClassifier(30).fit(X, y)
    display = LabelCalibrationDisplay.from_estimator({"before": other, "after": classifier}, X, y, n_bins=4)
    assert list(display.lines_) == ["before", "after"]
    assert [text.get_text() for text in display.legend_.get_texts()][:2] == ["before", "after"]
    for j, panel in enumerate(display.axes_):
        assert {display.lines_[name][j].axes for name in ("before", "after")} == {panel}


def test_unknown_labels_have_no_influence(pyplot, make_predictions):
    """Check that an entry that is NaN counts nowhere, and that a label of NaN only is an empty panel."""
    y_true, y_prob, _, _ = make_predictions(2)
    partly = y_true.astype(float)
    partly[:100, 0] = np.nan
    partly[:, 1] = np.nan
    pooled, known, unknown = LabelCalibrationDisplay.from_predictions(partly, y_prob).curves["classifier"]
    expected = LabelCalibrationDisplay.from_predictions(y_true[100:, :1], y_prob[100:, :1]).curves["classifier"][0]
    for curve in (pooled, known):
        assert_allclose(curve.prob_true, expected.prob_true)
        assert_array_equal(curve.counts, expected.counts)
    assert unknown.counts.sum() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "equal"}, "strategy must be among uniform, quantile, got 'equal'"),
        ({"n_bins": 0}, "n_bins must be at least 1, got 0"),
        ({"pooled": False, "labels": []}, "There is nothing to draw: pooled is False and labels is empty"),
    ],
    ids=["strategy", "n_bins", "nothing"],
)
def test_wrong_options_are_refused(pyplot, make_predictions, options, message):
    """Check the messages for options that are not offered."""
    y_true, y_prob, _, _ = make_predictions(2)
    with pytest.raises(ValueError, match=message):
        LabelCalibrationDisplay.from_predictions(y_true, y_prob, **options)


def test_scores_are_not_probabilities(pyplot, make_predictions):
    """Check the message for scores outside [0, 1]."""
    y_true, y_prob, _, _ = make_predictions(2)
    with pytest.raises(ValueError, match=r"y_prob must lie in \[0, 1\], got -.* calibrate scores first"):
        LabelCalibrationDisplay.from_predictions(y_true, 4 * y_prob - 2)
