"""Class weights against scikit-learn and by hand, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_sample_weight

from sk_quadrant._targets.class_weights import class_weights, label_weights

CLASSES = np.array(["a", "b", "c"])


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 2.0, "b": 0.0, "c": 0.5}, {"c": 3}], ids=str)
def test_classes_have_the_weights_of_scikit_learn(class_weight):
    """A class that is not in the dict has weight 1."""
    index = np.array([0, 1, 1, 2, 2, 2, 0])
    expected = compute_sample_weight(class_weight, CLASSES[index])
    assert_allclose(class_weights(np.bincount(index), CLASSES, class_weight)[index], expected)


def test_balanced_takes_the_classes_that_are_there():
    """A class that no row has changes nothing."""
    assert_allclose(class_weights(np.array([1, 0, 2]), CLASSES, "balanced"), [1.5, 1.0, 0.75])


def test_a_dict_may_name_classes_that_are_not_there():
    """A fold of cross-validation need not have all."""
    given = {"a": 2, "b": 3, "c": 4, "d": 5}
    assert_array_equal(class_weights(np.array([1, 0, 1]), CLASSES, given), [2, 3, 4])


@pytest.mark.parametrize(
    ("class_weight", "expected"),
    [
        ({1: 3.0}, [[1, 3]] * 3),
        ("balanced", [[0.5 / 0.75, 0.5 / 0.25], [1, 0.5], [0.5, 1]]),
        ([None, {0: 2.0}, "balanced"], [[1, 1], [2, 1], [0.5, 1]]),
    ],
    ids=["dict", "balanced", "list"],
)
def test_weights_of_absence_and_presence(class_weight, expected):
    """For labels present in a quarter, all and none of the rows; what does not occur has weight 1."""
    assert_allclose(label_weights(np.array([0.25, 1.0, 0.0]), class_weight), expected)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"d": 2.0}, r"class_weight must have keys among \['a', 'b', 'c'\], got \['d'\]"),
        ({"a": -1.0}, "class_weight must hold finite numbers that are not negative, got -1.0"),
        ({"a": np.inf}, "finite numbers .* got inf"),
        ({"a": "2"}, "finite numbers .* got '2'"),
        ("auto", "class_weight must be 'balanced', a dict or None for a 1-D y, got 'auto'"),
    ],
    ids=["unknown class", "negative", "infinite", "text", "word"],
)
def test_wrong_weights_of_classes_are_refused(class_weight, message):
    """An error says what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        class_weights(np.array([1, 1, 0]), CLASSES, class_weight)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({2: 1.0}, r"class_weight must have keys among \[0, 1\], got \[2\]"),
        ([None, {1: np.nan}], "finite numbers .* got nan"),
        ([None], "class_weight must be one for all or a list of 2, got 1"),
        ("auto", "class_weight must be 'balanced', a dict, a list of these or None, got 'auto'"),
    ],
    ids=["unknown class", "NaN", "short list", "word"],
)
def test_wrong_weights_of_labels_are_refused(class_weight, message):
    """An error says what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        label_weights(np.array([0.5, 0.5]), class_weight)
