"""Sample weights are checked in one place, and multiply class weights."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant._targets.encodings import read_targets
from sk_quadrant._targets.weights import check_known, check_sample_weight, weight_targets

Y = {
    "binary": (["no", "yes", "no", "yes", "yes"], {"yes": 3.0}),
    "multiclass": ([0, 1, 2, 1, 0], {0: 2.0, 2: 0.5}),
    "multilabel": ([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1]], {0: 0.5, 1: 4.0}),
}
every_y = pytest.mark.parametrize(("y", "class_weight"), Y.values(), ids=Y)


def weight_of(y, class_weight, sample_weight):
    """Return targets with weights; the classes of a 1-D y are those of Y."""
    classes = [0, 1, 2] if np.ndim(y) == 1 and y[0] == 0 else None
    encoding, targets = read_targets(y, missing_labels="error", classes=classes)
    weight = check_sample_weight(sample_weight, targets.n_samples, targets.n_labels)
    if class_weight is not None:
        class_weight = encoding.read_class_weight(class_weight, encoding.count(targets))
    return weight_targets(targets, encoding, class_weight, weight)


def weight_or_1(targets):
    """Return the weights as a matrix."""
    return np.ones((targets.n_samples, 1)) if targets.weight is None else targets.weight.reshape(targets.n_samples, -1)


@every_y
@pytest.mark.parametrize("with_classes", [False, True], ids=["alone", "times class weights"])
def test_weight_2_equals_a_repeated_row(y, class_weight, with_classes):
    """Sums over rows of weighted targets, and of weights, are the same."""
    n_times = np.array([2, 1, 0, 3, 1])
    given = class_weight if with_classes else None
    weighted = weight_of(y, given, n_times)
    repeated = weight_of([row for row, n in zip(y, n_times, strict=True) for _ in range(n)], given, None)
    for moment in (lambda t: t.dense(), lambda t: np.ones(t.values.shape)):
        sums = [(weight_or_1(t) * moment(t)).sum(axis=0) for t in (weighted, repeated)]
        assert_allclose(*sums)


@every_y
def test_sample_weights_multiply_class_weights(y, class_weight):
    """Those of entries as well as those of rows."""
    encoding, targets = read_targets(y, missing_labels="error")
    weights = encoding.read_class_weight(class_weight, encoding.count(targets))
    factor = encoding.weigh(targets, weights).reshape(5, -1)
    rows = np.random.default_rng(0).random(5)
    entries = np.random.default_rng(0).random(targets.values.shape)
    assert_allclose(weight_of(y, class_weight, rows).weight.reshape(5, -1), factor * rows[:, None])
    assert_allclose(weight_of(y, class_weight, entries).weight, factor * entries)
    assert_allclose(weight_of(y, class_weight, None).weight.reshape(5, -1), factor)


@every_y
def test_without_weights_there_are_none(y, class_weight):
    """None stays None, and sample weights alone stay as they are."""
    rows = np.arange(5.0)
    assert weight_of(y, None, None).weight is None
    assert_array_equal(weight_of(y, None, rows).weight, rows)


@pytest.mark.parametrize(
    "given",
    [[1, 0, 2], np.array([1, 0, 2], dtype=np.int8), np.array([1, 0, 2], dtype=np.float32), (True, False, 2)],
    ids=["list", "int8", "float32", "tuple"],
)
def test_weights_become_float64(given):
    """Whatever they were."""
    weight = check_sample_weight(given, 3)
    assert weight.dtype == np.float64
    assert_array_equal(weight, [1, 0, 2])


def test_a_number_is_the_weight_of_every_row():
    """As in scikit-learn."""
    assert_array_equal(check_sample_weight(2, 3), [2, 2, 2])


def test_part_of_the_rows_may_have_no_weight():
    """A block of rows does not know the others."""
    assert_array_equal(check_sample_weight([0, 0], 2, allow_zeros=True), [0, 0])


@pytest.mark.parametrize(
    ("weight", "n_labels", "message"),
    [
        ([1, 1], None, r"sample_weight must have shape \(n_samples,\), here \(3,\), got \(2,\)"),
        ([1, 1], 2, r"shape \(n_samples,\) or \(n_samples, n_labels\), here \(3,\) or \(3, 2\), got \(2,\)"),
        (np.ones((3, 2)), None, r"sample_weight must have shape \(n_samples,\), here \(3,\), got \(3, 2\)"),
        (np.ones((3, 1)), 2, r"here \(3,\) or \(3, 2\), got \(3, 1\)"),
        ([1, -2, 1], None, r"sample_weight must not be negative, got a smallest value of -2"),
        ([0, 0, 0], None, "sample_weight must have a positive value, got zero for every sample"),
        ([1, np.nan, 1], None, "sample_weight must be an array of finite numbers: .*NaN"),
        ([1, np.inf, 1], None, "sample_weight must be an array of finite numbers: .*infinity"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), None, "sample_weight must be an array of finite numbers: .*NaN"),
        (["a", "b", "c"], None, "sample_weight must be an array of finite numbers"),
    ],
    ids=["short", "short, labels", "of entries", "column", "negative", "zero", "NaN", "infinite", "masked", "text"],
)
def test_wrong_weights_are_refused(weight, n_labels, message):
    """An error says what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        check_sample_weight(weight, 3, n_labels)


@pytest.mark.parametrize(
    ("n_known", "weight", "message"),
    [(0, 0.0, "y must have a known label, got NaN for every one"), (3, 0.0, "leave no known label .* positive weight")],
)
def test_something_has_to_be_known_and_to_count(n_known, weight, message):
    """There is nothing to train on otherwise."""
    with pytest.raises(ValueError, match=message):
        check_known(n_known, weight)
    check_known(3, 0.5)
