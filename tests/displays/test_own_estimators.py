"""The package's own estimators are drawn with their names, thresholds, losses and histories."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV
from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV
from sk_quadrant.displays import (
    DecisionRegionDisplay,
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LearningHistoryDisplay,
    LossDisplay,
    ThresholdDisplay,
)


@pytest.fixture(scope="module")
def quadrants():
    """Frames of two features and two labels, with names."""
    pandas = pytest.importorskip("pandas")
    X, y = make_quadrants(400, slope=2, random_state=0)
    return pandas.DataFrame(X, columns=["across", "up"]), pandas.DataFrame(y, columns=["right", "top"])


@pytest.mark.parametrize(
    ("loss", "threshold", "cut"),
    [
        ("bce_with_logits", "natural", 0.5),
        ("shifted_sigmoid_bce", "natural", 1 / 3),
        ("asymmetric", "natural", 0.14729357),
        ("asymmetric", "bayes", 0.5),
        ("bce_with_logits", [0.2, 0.7], [0.2, 0.7]),
    ],
    ids=["sigmoid", "shifted", "asymmetric", "bayes", "numbers"],
)
def test_thresholds_are_drawn(pyplot, loss, threshold, cut):
    """Check that the line of each region and the mark on each curve are at the threshold the loss gives."""
    X, y = make_quadrants(400, random_state=0)
    classifier = QuadrantMultiLabelClassifier(loss=loss, threshold=threshold).fit(X, y)
    regions = DecisionRegionDisplay.from_estimator(classifier, X)
    for j, line in enumerate(regions.cut_lines_):
        points = np.concatenate([path.vertices for path in line.get_paths()])
        assert_allclose(classifier.predict_proba(points)[:, j], np.broadcast_to(cut, 2)[j], atol=2e-2)
    assert_allclose(ThresholdDisplay.from_estimator(classifier, X, y).cuts, np.broadcast_to(cut, 2), rtol=1e-6)


def test_names_of_the_fit_are_drawn(pyplot, quadrants):
    """Check that the names of labels and features are those of the frames, y being an array when drawing."""
    X, y = quadrants
    classifier = QuadrantMultiLabelClassifier().fit(X, y)
    regions = DecisionRegionDisplay.from_estimator(classifier, X, y.to_numpy())
    assert regions.label_names == LabelConfusionDisplay.from_estimator(classifier, X, y).label_names == ["right", "top"]
    assert regions.feature_names == ("across", "up")


def test_tuned_cuts_are_drawn(pyplot, quadrants):
    """Check that the marks are at the tuned thresholds and at scikit-learn's F1 of the predictions."""
    X, y = quadrants
    tuned = TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(loss="zlpr")).fit(X, y)
    display = ThresholdDisplay.from_estimator(tuned, X, y, metrics="f1")
    assert_array_equal(display.cuts, tuned.best_threshold_)
    at_cut = display.scores["f1"][[0, 1], np.searchsorted(display.thresholds, display.cuts)]
    assert_allclose(at_cut, f1_score(y, tuned.predict(X), average=None))


def test_calibration_is_drawn_before_and_after(pyplot, quadrants):
    """Check two classifiers in the same panels: ZLPR as it is, and calibrated, nearer to the diagonal."""
    X, y = quadrants
    zlpr = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, y)
    calibrated = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(loss="zlpr")).fit(X, y)
    display = LabelCalibrationDisplay.from_estimator({"before": zlpr, "after": calibrated}, X, y)
    assert display.panel_names == ["all labels pooled", "right", "top"]
    error = {}
    for name, (curve, *_) in display.curves.items():
        counts = curve.counts[curve.counts > 0]
        error[name] = np.average(np.abs(curve.prob_true - curve.prob_pred), weights=counts)
    assert error["after"] < error["before"] / 2


def test_loss_and_history_are_drawn(pyplot, quadrants):
    """Check that the fitted loss and the objective of each iteration are found."""
    classifier = QuadrantMultiLabelClassifier(loss="asymmetric").fit(*quadrants)
    assert_allclose(LossDisplay.from_estimator(classifier).bayes_thresholds, 0.568652078005)
    (curve,) = LearningHistoryDisplay.from_estimator(classifier).losses.values()
    assert_array_equal(curve, classifier.loss_curve_)
