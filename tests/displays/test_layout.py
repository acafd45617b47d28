"""Every picture stays readable at 2, 14 and 200 labels."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from sk_quadrant.displays import (
    DecisionRegionDisplay,
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelPrecisionRecallDisplay,
    LabelRocCurveDisplay,
    LearningHistoryDisplay,
    LossDisplay,
    SearchDisplay,
    ThresholdDisplay,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("error::UserWarning"),  # matplotlib warns where a layout has no room
]

SIZES = pytest.mark.parametrize("n_labels", [2, 14, 200])


def test_overlap_is_seen(pyplot, assert_nothing_overlaps):
    """Check that the check fails on two texts in one place and on a title that is cut off."""
    figure, ax = pyplot.subplots()
    for word in ("one", "two"):
        ax.text(0.5, 0.5, word)
    with pytest.raises(AssertionError, match="'one' overlaps"):
        assert_nothing_overlaps(figure)
    figure, ax = pyplot.subplots()
    ax.set_title("a title that is far too long for the figure " * 4)
    with pytest.raises(AssertionError, match="a title"):
        assert_nothing_overlaps(figure)


@SIZES
def test_thresholds_do_not_overlap(pyplot, make_predictions, assert_nothing_overlaps, n_labels):
    """Check panels, titles, ticks and legend of metrics against the cut-off."""
    y_true, y_prob, _, names = make_predictions(n_labels)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, cuts=0.4, label_names=names)
    assert_nothing_overlaps(display.figure_)


@SIZES
def test_calibration_does_not_overlap(pyplot, make_predictions, assert_nothing_overlaps, n_labels):
    """Check panels, titles, ticks and legend of reliability curves of two classifiers."""
    y_true, y_prob, _, names = make_predictions(n_labels)
    display = LabelCalibrationDisplay.from_predictions(
        y_true, {"before": y_prob, "after": y_prob**2}, label_names=names
    )
    assert_nothing_overlaps(display.figure_)


@pytest.mark.parametrize(
    ("Display", "n_labels"), [(LabelPrecisionRecallDisplay, 200), (LabelRocCurveDisplay, 2)], ids=["pr", "roc"]
)
def test_ranking_curves_do_not_overlap(pyplot, make_predictions, assert_nothing_overlaps, Display, n_labels):
    """Check panels, titles, ticks and legends of precision-recall and ROC curves of two classifiers."""
    y_true, y_prob, _, names = make_predictions(n_labels)
    display = Display.from_predictions(y_true, {"one": y_prob, "other": 1 - y_prob}, label_names=names)
    assert_nothing_overlaps(display.figure_)


@SIZES
def test_confusions_do_not_overlap(pyplot, make_predictions, assert_nothing_overlaps, n_labels):
    """Check names, cells and table of the confusions."""
    y_true, _, y_pred, names = make_predictions(n_labels)
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred, label_names=names)
    assert_nothing_overlaps(display.figure_)


@SIZES
@pytest.mark.parametrize("combined", [False, True], ids=["panels", "combined"])
def test_regions_do_not_overlap(pyplot, make_predictions, assert_nothing_overlaps, n_labels, combined):
    """Check panels, titles, ticks, colour bar and legend of decision regions."""
    y_true, y_prob, _, names = make_predictions(n_labels)
    features = y_prob[:, :2]
    display = DecisionRegionDisplay.from_estimator(
        RidgeClassifier().fit(features, y_true),
        features,
        y_true,
        label_names=names,
        grid_resolution=20,
        combined=combined,
    )
    assert_nothing_overlaps(display.figure_)


@pytest.mark.parametrize("n_losses", [1, 4, 6])
def test_losses_do_not_overlap(pyplot, assert_nothing_overlaps, n_losses):
    """Check panels, titles, ticks and legend of losses, in one block of columns and in two."""
    names = ["bce_with_logits", "shifted_sigmoid_bce", "asymmetric", "exponential", "hinge", "zlpr"]
    assert_nothing_overlaps(LossDisplay.from_loss(names[:n_losses]).figure_)


def test_searches_do_not_overlap(pyplot, assert_nothing_overlaps):
    """Check panels, words below an axis and the legend of a search over four parameters."""
    params = [
        {"clf__loss": loss, "clf__C": 10.0**k, "clf__thresholds": kind, "p": p}
        for loss in ("bce_with_logits", "shifted_sigmoid_bce", "zlpr")
        for k in range(-3, 4)
        for kind in ("natural", "shared", "label")
        for p in (1, 2)
    ]
    scores = np.random.default_rng(0).uniform(size=(2, len(params)))
    results = {"params": params, "rank_test_score": np.argsort(np.argsort(-scores.mean(axis=0)))}
    results |= {f"split{k}_test_score": scores[k] for k in range(2)}
    for x in ("C", "loss"):
        assert_nothing_overlaps(SearchDisplay.from_results(results, x=x).figure_)


def test_history_does_not_overlap(pyplot, assert_nothing_overlaps):
    """Check panels and legend of a history with losses and scores."""
    history = [{"epoch": i, "train_loss": 1 / i, "valid_loss": 1.1 / i, "valid_f1": 1 - 1 / i} for i in range(1, 30)]
    assert_nothing_overlaps(LearningHistoryDisplay.from_history(history).figure_)


@SIZES
def test_displays_share_a_figure(pyplot, make_predictions, assert_nothing_overlaps, n_labels):
    """Check three axes of a figure, each replaced by the panels, notes and legend of a display."""
    y_true, y_prob, y_pred, names = make_predictions(n_labels)
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(36, 9), layout="constrained")
    ThresholdDisplay.from_predictions(y_true, y_prob, cuts=0.4, label_names=names, max_labels=6, ax=left)
    LabelCalibrationDisplay.from_predictions(y_true, y_prob, label_names=names, max_labels=5, ax=middle)
    LabelConfusionDisplay.from_predictions(y_true, y_pred, label_names=names, max_labels=8, ax=right)
    assert_nothing_overlaps(figure)
