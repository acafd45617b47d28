"""Values of labels are read by name or by position, or refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._targets.label_values import read_label_values

NAMES = ["u", "v", "w"]


@pytest.mark.parametrize(
    "values",
    [
        {"w": 3.0, "u": 1.0, "v": 2.0},
        pd.Series({"w": 3.0, "u": 1.0, "v": 2.0}),
        pd.DataFrame({"w": [3.0], "u": [1.0], "v": [2.0]}),
        pl.DataFrame({"w": [3.0], "u": [1.0], "v": [2.0]}),
        [1.0, 2.0, 3.0],
        np.array([1.0, 2.0, 3.0]),
        pd.Series([1.0, 2.0, 3.0]),
        pl.Series([1.0, 2.0, 3.0]),
        {2: 3.0, 0: 1.0, 1: 2.0},
    ],
    ids=["dict", "Series", "frame", "polars frame", "list", "array", "Series, numbered", "polars Series", "positions"],
)
def test_values_of_labels_are_read_by_name_or_else_by_position(values):
    """In float64 and in the order of the labels."""
    assert_array_equal(read_label_values(values, NAMES, 3, name="C"), [1.0, 2.0, 3.0], strict=True)


def test_numbers_that_are_names_are_names():
    """Columns 7, 2 and 0 of a frame."""
    assert_array_equal(read_label_values(pd.Series([1.0, 2.0, 3.0], [0, 2, 7]), [7, 2, 0], 3, name="C"), [3, 2, 1])
    assert_array_equal(read_label_values({0: 1.0, 1: 2.0, 2: 3.0}, [2, 1, 0], 3, name="C"), [3, 2, 1])


def test_one_number_is_for_all_labels():
    """A new array, which may be written to."""
    values = read_label_values(0.5, NAMES, 3, name="C")
    values[0] = 1
    assert_array_equal(values, [1, 0.5, 0.5])


@pytest.mark.parametrize(
    ("values", "names", "match"),
    [
        ({"u": 1, "v": 2}, NAMES, r"C must have one value for each of the labels \['u', 'v', 'w'\], got \['u', 'v'\]"),
        (pd.Series({"u": 1, "v": 2, "x": 3}), NAMES, r"for each of the labels .* got \['u', 'v', 'x'\]"),
        (
            pd.Series({"u": 1, "v": 2, "w": 3}),
            None,
            "C has the names .* but the labels have none. Pass y as a DataFrame",
        ),
        ([1, 2], NAMES, r"C must be one number or have shape \(3,\), got \(2,\)"),
        ("high", NAMES, r"C must be one number or have shape \(3,\), got 'high'"),
    ],
)
def test_values_of_other_labels_are_refused(values, names, match):
    """With both lists of names."""
    with pytest.raises(ValueError, match=match):
        read_label_values(values, names, 3, name="C")


@pytest.mark.parametrize("as_named", [dict, pd.Series, lambda d: pd.DataFrame([d]), lambda d: pl.DataFrame([d])])
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_named_threshold_is_that_of_the_label(as_named, frame):
    """Whatever the order of its names."""
    X, Y = make_quadrants(60, random_state=0)
    y = frame({"spam": Y[:, 0], "ad": Y[:, 1]})
    model = QuadrantMultiLabelClassifier(threshold=as_named({"ad": 0.9, "spam": 0.1})).fit(X, y)
    assert_array_equal(model.threshold_, [0.1, 0.9])
