"""Confusions obey their rules and the table is scikit-learn's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import classification_report, confusion_matrix, multilabel_confusion_matrix, recall_score

from sk_quadrant.displays import LabelConfusionDisplay
from sk_quadrant.displays._confusion import count_confusions

PUBLISHED = [
    [63, 29, 29, 29, 31, 42],
    [37, 72, 32, 32, 38, 18],
    [27, 33, 72, 29, 30, 30],
    [30, 19, 20, 67, 26, 43],
    [20, 29, 22, 29, 55, 34],
    [13, 12, 15, 12, 10, 3],
]


def test_one_label_a_sample_gives_the_confusion_matrix(pyplot):
    """Check both rules against scikit-learn's matrix where every sample has one true and one predicted label."""
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(4, size=(2, 200))
    for counting in ("pairs", "shares"):
        display = LabelConfusionDisplay.from_predictions(np.eye(4)[y_true], np.eye(4)[y_pred], counting=counting)
        assert_array_equal(display.confusion_matrix[:4, :4], confusion_matrix(y_true, y_pred))
        assert display.confusion_matrix[4].sum() == display.confusion_matrix[:, 4].sum() == 0


@pytest.mark.parametrize(
    ("true", "predicted", "pairs", "shares"),
    [
        ([0, 0, 0], [0, 0, 0], {(3, 3): 1}, {(3, 3): 1}),
        ([1, 1, 0], [1, 1, 0], {(0, 0): 1, (1, 1): 1}, {(0, 0): 1, (1, 1): 1}),
        ([1, 1, 0], [1, 0, 0], {(0, 0): 1, (1, 3): 1}, {(0, 0): 1, (1, 3): 1}),
        ([1, 1, 0], [0, 0, 0], {(0, 3): 1, (1, 3): 1}, {(0, 3): 1, (1, 3): 1}),
        ([0, 0, 0], [1, 0, 1], {(3, 0): 1, (3, 2): 1}, {(3, 0): 1, (3, 2): 1}),
        ([1, 1, 0], [1, 0, 1], {(0, 0): 1, (1, 2): 1}, {(0, 0): 1, (1, 2): 1}),
        ([1, 0, 0], [0, 1, 1], {(0, 1): 1, (0, 2): 1}, {(0, 1): 0.5, (0, 2): 0.5}),
        ([1, 1, 0], [1, 1, 1], {(0, 0): 1, (1, 1): 1, (0, 2): 1, (1, 2): 1}, {(0, 0): 1, (1, 1): 1, (3, 2): 1}),
    ],
    ids=["empty", "right", "missed", "nothing found", "no label", "exchanged", "two for one", "one too many"],
)
def test_rules_of_counting(true, predicted, pairs, shares):
    """Check each rule on one sample; pairs as in the reference implementations of the paper's rule."""
    for counting, expected in (("pairs", pairs), ("shares", shares)):
        matrix = count_confusions(np.array([true]), np.array([predicted]), counting)
        assert {tuple(cell): matrix[tuple(cell)] for cell in np.argwhere(matrix)} == expected


def test_pairs_agree_with_published_implementations(pyplot):
    """Check the matrix that mlcm-fixed 0.1.0 and mlcevaluator2.py of D. Krstinic give for the same random labels."""
    rng = np.random.default_rng(0)
    y_true, y_pred = (rng.random((2, 400, 5)) < 0.4).astype(int)
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred)
    assert_array_equal(display.confusion_matrix, PUBLISHED)


def test_rows_of_shares_sum_to_supports(pyplot, make_predictions):
    """Check that each true label counts once, so that the diagonal over the row is scikit-learn's recall."""
    y_true, _, y_pred, _ = make_predictions(10)
    matrix = LabelConfusionDisplay.from_predictions(y_true, y_pred, counting="shares").confusion_matrix
    assert_allclose(matrix[:-1].sum(axis=1), y_true.sum(axis=0))
    assert_allclose(np.diag(matrix)[:-1] / matrix[:-1].sum(axis=1), recall_score(y_true, y_pred, average=None))


def test_table_is_the_classification_report(pyplot, make_predictions):
    """Check precision, recall, F1 and support of each label, and its errors."""
    y_true, _, y_pred, names = make_predictions(10)
    table = LabelConfusionDisplay.from_predictions(y_true, y_pred).table
    report = classification_report(y_true, y_pred, target_names=names, output_dict=True, zero_division=np.nan)
    for column, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("support", "support")):
        assert_allclose(table[column], [report[name][key] for name in names])
    counts = multilabel_confusion_matrix(y_true, y_pred)
    assert_array_equal(table["errors"], counts[:, 0, 1] + counts[:, 1, 0])


def test_table_is_written(pyplot):
    """Check the numbers in the table: a dash for a precision without predictions."""
    display = LabelConfusionDisplay.from_predictions([[1, 1], [1, 0], [0, 1]], [[1, 0], [0, 0], [1, 0]])
    texts = [[text.get_text() for text in row] for row in display.table_text_]
    assert texts == [[".50", ".50", ".50", "2"], ["-", "0", "0", "2"]]


def test_cells_are_written(pyplot):
    """Check the numbers in the matrix and that the diagonal is left out of the colours."""
    display = LabelConfusionDisplay.from_predictions([[1, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [0, 1]])
    assert [[text.get_text() for text in row] for row in display.text_] == [list("110"), list("010"), list("000")]
    assert display.im_.get_array().mask.diagonal().all()
    assert not display.im_.get_array().mask[0, 1]


@pytest.mark.parametrize(
    ("count", "word"), [(0, "0"), (37, "37"), (999, "999"), (1300, "1.3k"), (147_000, "147k"), (2_500_000, "2.5M")]
)
def test_large_counts_are_short(pyplot, count, word):
    """Check that a number of any size fits into a cell."""
    table = {name: np.array([1]) for name in ("precision", "recall", "f1", "support", "errors")}
    display = LabelConfusionDisplay(np.array([[1, count], [0, 0]]), table, label_names=["cat"]).plot()
    assert display.text_[0, 1].get_text() == word


@pytest.mark.parametrize(("normalize", "axis"), [("true", 1), ("pred", 0)])
def test_normalized_rows_or_columns_sum_to_one(pyplot, make_predictions, normalize, axis):
    """Check the coloured and the masked shares together."""
    y_true, _, y_pred, _ = make_predictions(5)
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred, normalize=normalize)
    assert_allclose(display.im_.get_array().data.sum(axis=axis), 1)


def test_worst_labels_are_shown_and_the_others_summed(pyplot, make_predictions):
    """Check that no count is lost when few of many labels are shown, the ones with most errors first."""
    y_true, _, y_pred, names = make_predictions(40)
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred, max_labels=5, label_names=names)
    errors = (y_true != y_pred).sum(axis=0)
    assert_array_equal(display.shown_labels_, np.argsort(-errors, kind="stable")[:5])
    assert display.im_.get_array().data.sum() == display.confusion_matrix.sum()
    assert display.table_text_.shape == (5, 4)
    assert display.figure_.get_suptitle() == "5 of 40 labels: most wrong decisions"


def test_most_confused_pairs(pyplot):
    """Check order and names of the pairs, without the diagonal, the missed and the unlabelled."""
    y_true, y_pred = np.eye(3)[[0, 0, 0, 1, 1, 2]], np.eye(3)[[1, 1, 0, 2, 1, 2]]
    y_pred[-1] = 0
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred, label_names=["cat", "dog", "owl"])
    assert display.most_confused() == [("cat", "dog", 2), ("dog", "owl", 1)]
    assert display.most_confused(1) == [("cat", "dog", 2)]


@pytest.mark.parametrize("part", ["matrix", "table"])
def test_parts_can_be_drawn_alone(pyplot, make_predictions, part):
    """Check one part in a user's axes, with the names of the labels."""
    y_true, _, y_pred, _ = make_predictions(2)
    _, ax = pyplot.subplots()
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred, parts=[part], label_names="ab", ax=ax)
    assert display.ax_ is ax
    assert [text.get_text() for text in ax.get_yticklabels()][:2] == ["a", "b"]
    assert (display.im_ is None) == (part == "table")
    assert (display.table_text_ is None) == (part == "matrix")


def test_values_are_left_out_on_request(pyplot, make_predictions):
    """Check that the numbers of a large matrix are left out, and of a small one if asked for."""
    y_true, _, y_pred, _ = make_predictions(25)
    display = LabelConfusionDisplay.from_predictions(y_true, y_pred, max_labels=25)
    assert display.text_ is None
    assert display.plot(include_values=False).text_ is None
    assert display.plot(max_labels=3).text_ is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counting": "rows"}, "counting must be among pairs, shares, got 'rows'"),
        ({"normalize": "all"}, "normalize must be among None, true, pred, got 'all'"),
        ({"parts": ["tables"]}, "parts must be among matrix, table, got 'tables'"),
        ({"parts": []}, "There is nothing to draw: parts is empty"),
    ],
    ids=["counting", "normalize", "part", "no part"],
)
def test_wrong_options_are_refused(pyplot, make_predictions, options, message):
    """Check the messages for options that are not offered."""
    y_true, _, y_pred, _ = make_predictions(2)
    with pytest.raises(ValueError, match=message):
        LabelConfusionDisplay.from_predictions(y_true, y_pred, **options)


def test_unknown_labels_are_refused(pyplot):
    """Check that NaN is refused: a sample whose labels are partly unknown has no confusions to count."""
    with pytest.raises(ValueError, match="y_true must hold 0 and 1, got NaN"):
        LabelConfusionDisplay.from_predictions([[1, np.nan]], [[1, 0]])
