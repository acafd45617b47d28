"""What every encoding obeys, for each form of y, and what each of them refuses."""

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant._targets.encodings import Binary, MultiLabel, encoding_from_dict, read_targets, recognize

N_ROWS = 30
_rng = np.random.default_rng(0)
_index = np.r_[0, 1, 2, 3, _rng.integers(0, 4, N_ROWS - 4)]
_matrix = _rng.integers(0, 2, size=(N_ROWS, 3))

BINARY = {
    "binary": _index % 2,
    "binary, -1 and 1": 2 * (_index % 2) - 1,
    "binary, bool": _index % 2 == 1,
    "binary, text": np.array(["no", "yes"])[_index % 2],
    "binary, objects": np.array(["no", "yes"], dtype=object)[_index % 2],
    "binary, floats": (_index % 2).astype(float),
}
MULTICLASS = {
    "multiclass": _index,
    "multiclass, gaps": np.array([-5, 2, 7, 300])[_index],
    "multiclass, text": np.array(["a", "bb", "c", "d"])[_index],
}
DENSE = {
    "multilabel": _matrix,
    "multilabel, bool": _matrix.astype(bool),
    "multilabel, frame": pd.DataFrame(_matrix, columns=["u", "v", "w"]),
    "multilabel, list": _matrix.tolist(),
}
SPARSE = {
    "multilabel, csr_matrix": sparse.csr_matrix(_matrix),
    "multilabel, csr_array": sparse.csr_array(_matrix),
    "multilabel, csc_array": sparse.csc_array(_matrix),
}
EXCLUSIVE = BINARY | MULTICLASS
FORMS = EXCLUSIVE | DENSE | SPARSE

every_form = pytest.mark.parametrize("y", FORMS.values(), ids=FORMS)
exclusive_form = pytest.mark.parametrize("y", EXCLUSIVE.values(), ids=EXCLUSIVE)


def read(y):
    """Return encoding and targets."""
    return read_targets(y, missing_labels="error")


def as_dense(y):
    """Return an ndarray of anything."""
    return np.asarray(y.toarray() if sparse.issparse(y) else y)


def head(y):
    """Return five rows of anything."""
    if sparse.issparse(y):
        return y.tocsr()[:5]
    return y.head(5) if hasattr(y, "head") else y[:5]


def predict(encoding, scores, thresholds, n_blocks=1):
    """Return the predictions of scores in blocks of rows."""
    return encoding.decode([encoding.decide(block, thresholds) for block in np.array_split(scores, n_blocks)])


def predict_row(encoding, scores, thresholds):
    """Return the prediction of one row, by the definition."""
    if encoding.kind == "binary":
        return encoding.classes[int(scores[0] > thresholds[0])]
    if encoding.kind == "multiclass":
        return encoding.classes[max(range(len(scores)), key=lambda j: scores[j])]
    return [int(score > threshold) for score, threshold in zip(scores, thresholds, strict=True)]


@pytest.fixture
def scores_of():
    """Return a function: encoding -> random scores and thresholds; some scores are at their threshold."""

    def make(encoding):
        rng = np.random.default_rng(1)
        thresholds = rng.integers(-1, 2, size=encoding.n_labels) / 2
        return rng.integers(-4, 5, size=(N_ROWS, encoding.n_labels)) / 2, thresholds

    return make


# laws


@every_form
@pytest.mark.parametrize("n_blocks", [1, 4])
def test_targets_decode_to_y(y, n_blocks):
    """Scores on the side of the targets give y back."""
    encoding, targets = read(y)
    decoded = predict(encoding, targets.dense() - 0.5, np.zeros(encoding.n_labels), n_blocks)
    assert_array_equal(as_dense(decoded), as_dense(y))


@every_form
def test_targets_are_one_column_per_label(y):
    """Hard targets are uint8 with n_labels columns, which all are known."""
    encoding, targets = read(y)
    assert targets.values.shape == (N_ROWS, encoding.n_labels)
    assert targets.values.dtype == np.uint8
    assert targets.mask is None


@every_form
@pytest.mark.parametrize("n_blocks", [1, 4])
def test_predictions_are_those_of_the_definition(y, n_blocks, scores_of):
    """In any blocks: above the threshold, the largest score, or above the threshold of each label."""
    encoding, _ = read(y)
    scores, thresholds = scores_of(encoding)
    expected = [predict_row(encoding, row, thresholds) for row in scores]
    assert_array_equal(as_dense(predict(encoding, scores, thresholds, n_blocks)), expected)


@every_form
def test_prediction_meta_is_an_empty_prediction(y, scores_of):
    """Class, dtype and shape of a row are those of predictions."""
    encoding, _ = read(y)
    predicted, meta = predict(encoding, *scores_of(encoding)), encoding.prediction_meta
    assert type(meta) is type(predicted)
    assert meta.dtype == predicted.dtype
    assert meta.shape == (0, *encoding.prediction_shape)
    assert predicted.shape == (N_ROWS, *encoding.prediction_shape)


@every_form
def test_decision_function_has_the_shape_that_is_announced(y, scores_of):
    """One score per label, 1-D for two classes."""
    encoding, _ = read(y)
    scores, thresholds = scores_of(encoding)
    centred = encoding.centre(scores, thresholds)
    assert centred.shape == (N_ROWS, *encoding.decision_shape)
    if encoding.kind != "binary":
        assert centred is scores


@pytest.mark.parametrize("y", BINARY.values(), ids=BINARY)
def test_the_decision_function_of_two_classes_is_positive_for_the_second(y, scores_of):
    """As scikit-learn expects, whatever the threshold is."""
    encoding, _ = read(y)
    scores, thresholds = scores_of(encoding)
    is_second = predict(encoding, scores, thresholds) == encoding.classes[1]
    assert_array_equal(encoding.centre(scores, thresholds) > 0, is_second)
    assert encoding.positive == encoding.classes[1]


@exclusive_form
def test_probabilities_of_exclusive_classes_sum_to_one(y):
    """One column per class; those of the targets keep their ratios."""
    encoding, _ = read(y)
    given = np.random.default_rng(1).random((N_ROWS, encoding.n_labels))
    complete = encoding.complete(given)
    assert encoding.exclusive
    assert complete.shape == (N_ROWS, len(encoding.classes))
    assert_allclose(complete.sum(axis=1), 1)
    kept = complete[:, -encoding.n_labels :]
    assert_allclose(kept * given[:, :1], given * kept[:, :1])


@pytest.mark.parametrize("y", (DENSE | SPARSE).values(), ids=DENSE | SPARSE)
def test_probabilities_of_labels_stay_as_they_are(y):
    """Labels do not exclude each other."""
    encoding, _ = read(y)
    given = np.random.default_rng(1).random((N_ROWS, 3))
    assert encoding.complete(given) is given
    assert not encoding.exclusive


@every_form
def test_an_encoding_is_the_same_as_that_of_other_rows(y):
    """It accepts itself and reads part of y."""
    encoding, targets = read(y)
    encoding.check_same(encoding)
    encoding.check_same(recognize(y))
    assert_array_equal(encoding.encode(head(y), missing_labels="error").dense(), targets.dense()[:5])


DIFFERENT = {
    "0 and 1": Binary(np.array([0, 1])),
    "no and yes": Binary(np.array(["no", "yes"])),
    "four classes": recognize(MULTICLASS["multiclass"]),
    "three labels": MultiLabel(np.arange(3)),
    "two labels": MultiLabel(np.arange(2)),
}


@pytest.mark.parametrize(("first", "second"), list(permutations(DIFFERENT, 2)))
def test_other_classes_or_labels_are_not_the_same(first, second):
    """The message has both."""
    pattern = rf"y must have {DIFFERENT[first].description} .* got {DIFFERENT[second].description}"
    with pytest.raises(ValueError, match=pattern.replace("[", r"\[").replace("]", r"\]")):
        DIFFERENT[first].check_same(DIFFERENT[second])


def test_names_of_labels_are_compared_where_both_have_them():
    """The order counts; an array has no names."""
    encoding = recognize(DENSE["multilabel, frame"])
    encoding.check_same(recognize(_matrix))
    recognize(_matrix).check_same(encoding)
    with pytest.raises(ValueError, match=r"columns of the first call in their order, \['u', 'v', 'w'\], got \['v', "):
        encoding.check_same(recognize(DENSE["multilabel, frame"][["v", "u", "w"]]))


def test_columns_in_another_order_are_realigned():
    """The targets are those of the same labels."""
    frame = DENSE["multilabel, frame"]
    targets = recognize(frame).encode(frame[["v", "w", "u"]], missing_labels="error")
    assert_array_equal(targets.dense(), frame)


@every_form
def test_a_dict_gives_the_encoding_back(y, scores_of):
    """All but arrays can go through JSON, and the predictions are the same."""
    encoding, _ = read(y)
    values = encoding.to_dict()
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if name not in arrays}
    again = encoding_from_dict(json.loads(json.dumps(plain)) | arrays)
    assert type(again) is type(encoding)
    assert_array_equal(again.label_names, encoding.label_names)
    expected, found = (predict(one, *scores_of(encoding)) for one in (encoding, again))
    assert type(found) is type(expected)
    assert_array_equal(as_dense(found), as_dense(expected))


@every_form
def test_parts_of_the_rows_have_the_class_weights_of_the_whole(y):
    """Counts of parts add up to those of all rows, from which "balanced" becomes numbers."""
    encoding, targets = read(y)
    parts = [type(targets)(targets.dense(rows)) for rows in (slice(0, 4), slice(4, None))]
    counts = sum(encoding.count(part) for part in parts)
    assert_array_equal(counts, encoding.count(targets))
    weights = encoding.read_class_weight("balanced", counts)
    assert_allclose(
        np.concatenate([encoding.weigh(part, weights) for part in parts]), encoding.weigh(targets, weights), rtol=1e-12
    )


def weigh(encoding, targets, class_weight):
    """Return the weight of each row or entry."""
    return encoding.weigh(targets, encoding.read_class_weight(class_weight, encoding.count(targets)))


@every_form
def test_balanced_weights_give_presence_and_absence_half_of_the_weight(y):
    """For classes each has the same weight in total, for labels absence and presence of each have."""
    encoding, targets = read(y)
    weights, present = weigh(encoding, targets, "balanced"), targets.present()
    if encoding.exclusive:
        assert weights.shape == (N_ROWS,)
        totals = [weights[as_dense(y) == each].sum() for each in encoding.classes]
        assert_allclose(totals, N_ROWS / len(encoding.classes))
    else:
        assert weights.shape == (N_ROWS, 3)
        assert_allclose((weights * present).sum(axis=0), N_ROWS / 2)
        assert_allclose((weights * ~present).sum(axis=0), N_ROWS / 2)


def test_balanced_weights_count_known_labels():
    """Presence and absence of a label have the same weight over its known rows."""
    known = np.random.default_rng(1).random((N_ROWS, 3)) < 0.6
    y = np.where(known, _matrix, np.nan)
    encoding, targets = read_targets(y, missing_labels="ignore")
    weights = weigh(encoding, targets, "balanced")
    assert_allclose((weights * (y == 1)).sum(axis=0), known.sum(axis=0) / 2)
    assert_allclose((weights * (y == 0)).sum(axis=0), known.sum(axis=0) / 2)


def test_a_class_without_rows_changes_no_balanced_weight():
    """Two classes share the weight of three rows."""
    encoding, targets = read_targets([0, 2, 2], missing_labels="error", classes=[0, 1, 2])
    assert_allclose(weigh(encoding, targets, "balanced"), [1.5, 0.75, 0.75])


# cases


@pytest.mark.parametrize(("name", "container"), [("csr_matrix", "csr_matrix"), ("csc_array", "csr_array")])
def test_sparse_predictions_are_csr(name, container, scores_of):
    """The interface of y stays, its format does not matter."""
    encoding, _ = read(SPARSE[f"multilabel, {name}"])
    predicted = predict(encoding, *scores_of(encoding), n_blocks=3)
    assert type(predicted).__name__ == container
    assert predicted.dtype == np.int64


def test_a_single_class_is_never_present():
    """One class has targets of 0 and is what is predicted for them."""
    encoding, targets = read_targets(["a"] * 4, missing_labels="error", min_classes=1)
    assert_array_equal(targets.values, np.zeros((4, 1)))
    assert_array_equal(predict(encoding, targets.dense() - 0.5, np.zeros(1)), ["a"] * 4)


@pytest.mark.parametrize("y", [BINARY["binary, text"], MULTICLASS["multiclass, text"]], ids=["binary", "multiclass"])
def test_unseen_classes_are_refused(y):
    """The message names them."""
    with pytest.raises(ValueError, match=r"has classes not in `self.classes_`.*new \['zzz'\]"):
        recognize(y).encode(np.array([y[0], "zzz"]), missing_labels="error")


def test_another_number_of_labels_is_refused():
    """The message has both numbers."""
    with pytest.raises(ValueError, match="y must have 3 labels as in the first call, got 2 labels"):
        recognize(_matrix).encode(_matrix[:, :2], missing_labels="error")
