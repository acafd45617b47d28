"""Precision-recall and ROC curves are those of scikit-learn, and so are their averages."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import (
    PrecisionRecallDisplay,
    RocCurveDisplay,
    average_precision_score,
    roc_auc_score,
)
from sklearn.neighbors import KNeighborsClassifier

from sk_quadrant.displays import LabelPrecisionRecallDisplay, LabelRocCurveDisplay

KINDS = [
    pytest.param(LabelPrecisionRecallDisplay, PrecisionRecallDisplay, "average_precision", id="pr"),
    pytest.param(LabelRocCurveDisplay, RocCurveDisplay, "roc_auc", id="roc"),
]
SCORES = {LabelPrecisionRecallDisplay: average_precision_score, LabelRocCurveDisplay: roc_auc_score}

by_kind = pytest.mark.parametrize(("Display", "Expected", "score"), KINDS)


def _areas(display, score, name="classifier"):
    return [getattr(curve, score) for curve in display.curves[name]]


def _ranked(make_predictions, n_labels):
    """Labels, scores with ties, and positive weights of samples."""
    y_true, y_prob, _, _ = make_predictions(n_labels)
    return y_true, y_prob.round(2), np.random.default_rng(0).uniform(0.1, 3, size=len(y_true))


@by_kind
def test_lines_are_scikit_learns(pyplot, make_predictions, Display, Expected, score):
    """Check each label, and all pairs of a sample and a label, against scikit-learn's display with weights."""
    y_true, y_score, weight = _ranked(make_predictions, 3)
    display = Display.from_predictions(y_true, y_score, sample_weight=weight, averages="micro")
    columns = [(y_true.ravel(), y_score.ravel(), np.repeat(weight, 3))]
    columns += [(y_true[:, j], y_score[:, j], weight) for j in range(3)]
    expected = [
        Expected.from_predictions(truth, scores, sample_weight=each, drop_intermediate=True)
        for truth, scores, each in columns
    ]
    for line, each in zip(display.lines_["classifier"], expected, strict=True):
        assert_allclose(line.get_xydata(), each.line_.get_xydata())
    assert_allclose(_areas(display, score), [getattr(each, score) for each in expected])


@by_kind
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_averages_are_scikit_learns(pyplot, make_predictions, Display, Expected, score, average):
    """Check the area written into the panel of an average against the metric."""
    y_true, y_score, weight = _ranked(make_predictions, 5)
    display = Display.from_predictions(y_true, y_score, sample_weight=weight, averages=[average], labels=[])
    expected = SCORES[Display](y_true, y_score, average=average, sample_weight=weight)
    assert_allclose(_areas(display, score), [expected])
    (text,) = display.ax_.get_legend().get_texts()
    assert text.get_text().endswith(f"= {expected:.2f}")


def test_area_under_macro_curve_is_the_mean_area(pyplot, make_predictions):
    """Check the drawn macro curves by the area under their steps and under their lines."""
    y_true, y_score, _ = _ranked(make_predictions, 5)
    steps = LabelPrecisionRecallDisplay.from_predictions(y_true, y_score, averages="macro").curves["classifier"][0]
    assert_allclose(-np.sum(np.diff(steps.recall) * steps.precision[:-1]), steps.average_precision, atol=2e-3)
    lines = LabelRocCurveDisplay.from_predictions(y_true, y_score, averages="macro").curves["classifier"][0]
    assert_allclose(np.trapezoid(lines.tpr, lines.fpr), lines.roc_auc, atol=2e-3)


@by_kind
def test_weight_two_is_a_repeated_sample(pyplot, make_predictions, Display, Expected, score):
    """Check the areas under all curves where some samples count twice and some not at all."""
    y_true, y_score, _ = _ranked(make_predictions, 3)
    weight = np.arange(len(y_true)) % 3
    weighted = Display.from_predictions(y_true, y_score, sample_weight=weight)
    repeated = Display.from_predictions(np.repeat(y_true, weight, axis=0), np.repeat(y_score, weight, axis=0))
    assert_allclose(_areas(weighted, score), _areas(repeated, score))


@by_kind
def test_weights_of_labels_are_read_by_name(pyplot, data, Display, Expected, score):
    """Check that weights in a frame follow the columns of y, and the labels of fit where y has no names."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    names = ["cat", "dog", "owl"]
    truth, moved = pandas.DataFrame(y, columns=names), ["owl", "cat", "dog"]
    weight = pandas.DataFrame(np.random.default_rng(0).random(y.shape), columns=names)
    classifier = RidgeClassifier().fit(X, y)
    classifier.label_names_in_ = np.array(names)
    scores = classifier.decision_function(X)
    expected = _areas(Display.from_predictions(y, scores, sample_weight=weight.to_numpy()), score)
    assert_allclose(_areas(Display.from_predictions(truth, scores, sample_weight=weight[moved]), score), expected)
    drawn = Display.from_estimator(classifier, X, y, sample_weight=weight[moved])
    assert_allclose(_areas(drawn, score, "RidgeClassifier"), expected)
    with pytest.raises(ValueError, match=r"sample_weight must have the labels of fit as columns, .* got .*'fox'"):
        Display.from_predictions(truth, scores, sample_weight=weight.rename(columns={"cat": "fox"}))


@by_kind
def test_unknown_labels_have_no_influence(pyplot, make_predictions, Display, Expected, score):
    """Check NaN against a weight of 0 for the same entries, the weights being those of each label."""
    y_true, y_score, _ = _ranked(make_predictions, 3)
    unknown = np.random.default_rng(1).random(y_true.shape) < 0.3
    display = Display.from_predictions(np.where(unknown, np.nan, y_true), y_score)
    expected = Display.from_predictions(y_true, y_score, sample_weight=~unknown * 1.0)
    assert_allclose(_areas(display, score), _areas(expected, score))


@by_kind
def test_label_without_a_curve_is_left_out_of_the_macro_average(pyplot, make_predictions, Display, Expected, score):
    """Check a label without positives: an empty panel that says so, a note, and the mean of the other labels."""
    y_true, y_score, _ = _ranked(make_predictions, 3)
    y_true[:, 1] = 0
    display = Display.from_predictions(y_true, y_score)
    _, macro, *each = _areas(display, score)
    assert np.isnan(each[1])
    assert_allclose(macro, np.mean([each[0], each[2]]))
    assert display.axes_[3].get_legend().get_texts()[0].get_text().endswith("= nan")
    assert display.figure_.get_suptitle() == "macro average of the 2 labels that have a curve"


def test_label_without_negatives_has_precision_and_no_roc_curve(pyplot, make_predictions):
    """Check a label that is always present: precision 1, and no false positive rate."""
    y_true, y_score, _ = _ranked(make_predictions, 2)
    y_true[:, 0] = 1
    precision_recall = LabelPrecisionRecallDisplay.from_predictions(y_true, y_score)
    assert_allclose(precision_recall.curves["classifier"][2].average_precision, 1)
    assert np.isnan(LabelRocCurveDisplay.from_predictions(y_true, y_score).curves["classifier"][2].roc_auc)


def test_chance_is_the_frequency_of_the_label(pyplot, make_predictions):
    """Check the dotted lines: weighted frequencies, their mean for the macro average, and the diagonal of ROC."""
    y_true, y_score, weight = _ranked(make_predictions, 3)
    display = LabelPrecisionRecallDisplay.from_predictions(y_true, y_score, sample_weight=weight)
    frequency = np.average(y_true, axis=0, weights=weight)
    heights = [line.get_ydata()[0] for line in display.chance_lines_]
    assert_allclose(heights, [frequency.mean(), frequency.mean(), *frequency])
    for line in LabelRocCurveDisplay.from_predictions(y_true, y_score).chance_lines_:
        assert_array_equal(line.get_xydata(), [[0, 0], [1, 1]])


@by_kind
def test_several_classifiers_share_the_panels(pyplot, data, Display, Expected, score):
    """Check two classifiers, one of which has no probabilities, in the same panels with their areas."""
    X, y = data
    classifiers = {"ridge": RidgeClassifier().fit(X, y), "neighbours": KNeighborsClassifier(30).fit(X, y)}
    display = Display.from_estimator(classifiers, X, y, label_names=["cat", "dog", "owl"])
    assert display.panel_names == ["micro average", "macro average", "cat", "dog", "owl"]
    assert [text.get_text() for text in display.legend_.get_texts()] == ["ridge", "neighbours", "chance level"]
    expected = SCORES[Display](y, classifiers["ridge"].decision_function(X), average=None)
    assert_allclose(_areas(display, score, "ridge")[2:], expected)
    assert all(len(ax.get_legend().get_texts()) == 2 for ax in display.axes_)
    assert len({line.get_linestyle() for lines in display.lines_.values() for line in lines}) == 2


def test_response_method_is_chosen(pyplot, data, classifier):
    """Check that curves of decisions by the decision function are those of its order."""
    X, y = data
    display = LabelRocCurveDisplay.from_estimator(classifier, X, y, response_method="decision_function")
    expected = roc_auc_score(y, classifier.decision_function(X), average="micro")
    assert_allclose(display.curves["OneVsRestClassifier"][0].roc_auc, expected)


def test_line_keywords_reach_the_lines(pyplot, make_predictions):
    """Check an alias of matplotlib among the keywords."""
    y_true, y_score, _ = _ranked(make_predictions, 1)
    display = LabelRocCurveDisplay.from_predictions(y_true, y_score, line_kw={"lw": 5, "c": "red"})
    assert {(line.get_linewidth(), line.get_color()) for line in display.lines_["classifier"]} == {(5, "red")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"averages": ["samples"]}, "averages must be among micro, macro, got 'samples'"),
        ({"averages": [], "labels": []}, "There is nothing to draw: averages and labels are empty"),
        ({"sample_weight": [1.0]}, "sample_weight must have shape"),
    ],
    ids=["average", "nothing", "weight"],
)
def test_wrong_options_are_refused(pyplot, make_predictions, options, message):
    """Check the messages for options that are not offered."""
    y_true, y_score, _ = _ranked(make_predictions, 2)
    with pytest.raises(ValueError, match=message):
        LabelPrecisionRecallDisplay.from_predictions(y_true, y_score, **options)


def test_no_classifiers_are_refused(pyplot):
    """Check the message for a dict without scores."""
    with pytest.raises(ValueError, match="nothing to draw: y_score is an empty dict"):
        LabelRocCurveDisplay.from_predictions([[0], [1]], {})


def test_nan_scores_are_refused(pyplot):
    """Check that a score that is no number is not ranked."""
    with pytest.raises(ValueError, match="y_score must not hold NaN"):
        LabelRocCurveDisplay.from_predictions([[0], [1]], [[0.5], [np.nan]])
