"""Curves of metrics against the cut-off are those of scikit-learn's metrics."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    jaccard_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)
from sklearn.multioutput import ClassifierChain

from sk_quadrant.displays import ThresholdDisplay

METRICS = {
    "precision": precision_score,
    "recall": recall_score,
    "f1": f1_score,
    "jaccard": jaccard_score,
}
GRID = [0.05, 0.2, 0.5, 0.8, 0.97]


@pytest.mark.parametrize("average", [None, "micro", "macro"])
@pytest.mark.parametrize(
    ("name", "zero_division"),
    [pair for pair in product(METRICS, (0.0, 1.0, np.nan)) if pair[0] != "jaccard" or pair[1] in (0, 1)],
)
def test_curves_agree_with_scikit_learn(pyplot, make_predictions, name, average, zero_division):
    """Check each metric at each cut against scikit-learn's on the predictions at that cut."""
    y_true, y_prob, _, _ = make_predictions(6)
    y_prob = y_prob.round(2)  # scores on the cuts, which are not above them
    y_true[:, 0] = 0
    display = ThresholdDisplay.from_predictions(
        y_true, y_prob, metrics=name, average=average, thresholds=GRID, zero_division=zero_division
    )
    expected = [METRICS[name](y_true, y_prob > cut, average=average, zero_division=zero_division) for cut in GRID]
    assert_allclose(display.scores[name], np.transpose(np.reshape(expected, (len(GRID), -1))))


def test_accuracy_agrees_with_scikit_learn(pyplot, make_predictions):
    """Check the accuracy of each label."""
    y_true, y_prob, _, _ = make_predictions(3)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, metrics=["accuracy"], thresholds=GRID)
    expected = [[accuracy_score(y_true[:, j], y_prob[:, j] > cut) for cut in GRID] for j in range(3)]
    assert_allclose(display.scores["accuracy"], expected)


def test_curve_passes_through_precision_recall_curve(pyplot, make_predictions):
    """Check all points of scikit-learn's precision-recall curve, whose cuts are scores that count as predicted."""
    y_true, y_prob, _, _ = make_predictions(1)
    precision, recall, cuts = precision_recall_curve(y_true, y_prob)
    below = np.nextafter(cuts, 0)  # a score is above the number below it
    display = ThresholdDisplay.from_predictions(y_true, y_prob, thresholds=below)
    assert_allclose(display.scores["precision"][0], precision[:-1])
    assert_allclose(display.scores["recall"][0], recall[:-1])


@pytest.mark.parametrize("average", [None, "micro", "macro"])
def test_callable_metric(pyplot, make_predictions, average):
    """Check a callable against the same metric by name, per label and pooled."""
    y_true, y_prob, _, _ = make_predictions(3)
    metrics = {"f1": "f1", "own": partial(fbeta_score, beta=1)}
    display = ThresholdDisplay.from_predictions(y_true, y_prob, metrics=metrics, average=average, thresholds=GRID)
    assert_allclose(display.scores["own"], display.scores["f1"])


def test_callables_are_named_after_themselves(pyplot, make_predictions):
    """Check names in the legend: of a function and of a partial one."""
    y_true, y_prob, _, _ = make_predictions(2)
    display = ThresholdDisplay.from_predictions(
        y_true, y_prob, metrics=[balanced_accuracy_score, partial(fbeta_score, beta=2)], thresholds=GRID
    )
    assert [text.get_text() for text in display.legend_.get_texts()] == ["balanced_accuracy_score", "fbeta_score"]


def test_lines_hold_the_scores(pyplot, make_predictions):
    """Check that what is drawn is what was computed."""
    y_true, y_prob, _, _ = make_predictions(2)
    display = ThresholdDisplay.from_predictions(y_true, y_prob)
    for name, lines in display.lines_.items():
        for line, curve in zip(lines, display.scores[name], strict=True):
            assert_array_equal(line.get_xdata(), display.thresholds)
            assert_array_equal(line.get_ydata(), curve)


def test_unknown_labels_have_no_influence(pyplot, make_predictions):
    """Check that an entry that is NaN counts nowhere."""
    y_true, y_prob, _, _ = make_predictions(2)
    partly = y_true.astype(float)
    partly[:100, 0] = np.nan
    display = ThresholdDisplay.from_predictions(partly, y_prob, thresholds=GRID)
    expected = ThresholdDisplay.from_predictions(y_true[100:], y_prob[100:], thresholds=GRID)
    assert_allclose(display.scores["f1"][0], expected.scores["f1"][0])


def test_chosen_cut_is_marked_on_every_curve(pyplot, make_predictions):
    """Check the line and the dots at cuts of the labels: scikit-learn's F1 at that cut."""
    y_true, y_prob, _, _ = make_predictions(2)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, metrics="f1", cuts=[0.123, 0.456])
    assert [line.get_xdata()[0] for line in display.cut_lines_] == [0.123, 0.456]
    for j, (ax, cut) in enumerate(zip(display.axes_, [0.123, 0.456], strict=True)):
        (dot,) = (line for line in ax.lines if line.get_marker() == "o")
        assert_allclose(dot.get_xydata(), [[cut, f1_score(y_true[:, j], y_prob[:, j] > cut)]])


def test_cuts_of_pooled_labels_are_ticks(pyplot, make_predictions):
    """Check that different cuts in one panel are drawn as ticks at its lower end."""
    y_true, y_prob, _, _ = make_predictions(3)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, average="micro", cuts=[0.3, 0.1, 0.3])
    (ticks,) = display.cut_lines_
    assert_array_equal(ticks.get_xdata(), [0.1, 0.3])
    assert display.legend_.get_texts()[-1].get_text() == "thresholds of the labels"


def test_a_label_without_a_cut_has_no_mark(pyplot, make_predictions):
    """Check that a NaN or infinite cut draws nothing."""
    y_true, y_prob, _, _ = make_predictions(3)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, cuts=[np.nan, np.inf, 0.5])
    assert len(display.cut_lines_) == 1


def test_thresholds_are_read_by_label_name(pyplot, make_predictions):
    """Check that a dict of thresholds marks each label at its own."""
    y_true, y_prob, _, _ = make_predictions(2)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, cuts={"b": 0.3, "a": 0.2}, label_names=["a", "b"])
    assert_array_equal(display.cuts, [0.2, 0.3])


@pytest.mark.parametrize("attribute", ["threshold_", "best_threshold_"])
def test_cut_of_the_estimator_is_marked(pyplot, data, attribute):
    """Check that the cuts an estimator says it uses are the marks, as it predicts by them."""

    class Cut(LogisticRegression):
        def predict(self, X):
            return (self.predict_proba(X)[:, 1] > getattr(self, attribute)).astype(int)

    X, y = data
    classifier = Cut().fit(X, y[:, 0])
    setattr(classifier, attribute, 0.3)
    display = ThresholdDisplay.from_estimator(classifier, X, y[:, 0])
    assert_allclose(display.cuts, [0.3])


def test_probability_of_the_estimator_is_no_cut_of_scores(pyplot, data):
    """Check that a threshold on the other scale is not marked, though no score may lie between it and the right one."""

    class Cut(LogisticRegression):
        threshold_ = 0.5

    X, y = data
    classifier = Cut().fit(X[:, :1] - 9, y[:, 0])
    display = ThresholdDisplay.from_estimator(classifier, X[:, :1] + 99, y[:, 0], response_method="decision_function")
    assert_array_equal(display.cuts, [0])


def test_tuned_cut_is_on_the_scale_it_was_tuned_on(pyplot, data):
    """Check the cut of a tuned classifier that says on which response it decides."""

    class Tuned(LogisticRegression):
        best_threshold_ = -0.7
        response_method_ = "decision_function"

        def predict(self, X):
            return (self.decision_function(X) > self.best_threshold_).astype(int)

    X, y = data
    classifier = Tuned().fit(X, y[:, 0])
    display = ThresholdDisplay.from_estimator(classifier, X, y[:, 0], response_method="decision_function")
    assert_array_equal(display.cuts, [-0.7])
    (cut,) = ThresholdDisplay.from_estimator(classifier, X, y[:, 0]).cuts
    assert_array_equal(classifier.predict_proba(X)[:, 1] > cut, classifier.predict(X))


def test_cut_is_found_in_the_predictions(pyplot, data):
    """Check the cut of a classifier that does not say where it decides."""

    class Cut(LogisticRegression):
        def predict(self, X):
            return (self.predict_proba(X)[:, 1] > 0.3).astype(int)

    X, y = data
    classifier = Cut().fit(X, y[:, 0])
    (cut,) = ThresholdDisplay.from_estimator(classifier, X, y[:, 0]).cuts
    probabilities = classifier.predict_proba(X)[:, 1]
    assert_array_equal(probabilities > cut, probabilities > 0.3)


def test_decision_function_is_cut_at_zero(pyplot, data):
    """Check a classifier without probabilities."""
    X, y = data
    display = ThresholdDisplay.from_estimator(RidgeClassifier().fit(X, y), X, y)
    assert display.score_name == "decision function"
    assert_array_equal(display.cuts, [0, 0, 0])


def test_chain_is_cut_where_it_predicts(pyplot, data):
    """Check that the recall at the marked cuts is that of the predictions of a chain."""
    X, y = data
    chain = ClassifierChain(LogisticRegression()).fit(X, y)
    display = ThresholdDisplay.from_estimator(chain, X, y)
    at_cut = [
        display.scores["recall"][j, np.searchsorted(display.thresholds, cut)] for j, cut in enumerate(display.cuts)
    ]
    assert_allclose(at_cut, recall_score(y, chain.predict(X), average=None))


def test_most_frequent_labels_are_shown(pyplot, make_predictions):
    """Check which of too many labels are shown, and that the figure says so."""
    y_true, y_prob, _, names = make_predictions(30)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, max_labels=4, label_names=names)
    assert display.curve_names == [names[j] for j in np.argsort(-y_true.sum(axis=0), kind="stable")[:4]]
    assert display.figure_.get_suptitle() == "4 of 30 labels: most frequent"


def test_line_keywords_reach_the_lines(pyplot, make_predictions):
    """Check an alias of matplotlib among the keywords."""
    y_true, y_prob, _, _ = make_predictions(1)
    display = ThresholdDisplay.from_predictions(y_true, y_prob, line_kw={"lw": 5, "c": "red"})
    assert {(line[0].get_linewidth(), line[0].get_color()) for line in display.lines_.values()} == {(5, "red")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["f2"]}, "metrics that are no callables must be among precision, .*, got 'f2'"),
        ({"metrics": []}, "metrics must name at least one metric"),
        ({"average": "samples"}, "average must be among None, micro, macro, got 'samples'"),
        ({"thresholds": "all"}, "thresholds that are no numbers must be among auto, got 'all'"),
        ({"thresholds": [np.nan]}, "thresholds must be finite numbers"),
        ({"cuts": [0.1, 0.2, 0.3]}, r"cuts must be one number or have shape \(2,\), got \(3,\)"),
    ],
    ids=["metric", "no metric", "average", "thresholds", "nan", "cuts"],
)
def test_wrong_options_are_refused(pyplot, make_predictions, options, message):
    """Check the messages for options that are not offered."""
    y_true, y_prob, _, _ = make_predictions(2)
    with pytest.raises(ValueError, match=message):
        ThresholdDisplay.from_predictions(y_true, y_prob, **options)
