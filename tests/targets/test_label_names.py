"""Labels have names: columns are realigned or refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._targets.label_names import align_labels
from sk_quadrant._targets.responses import find_label_names

NAMES = ["u", "v", "w"]
VALUES = np.array([[1, 2, 3], [4, 5, 6]])
pairs = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])


@pytest.mark.parametrize(
    ("frame", "names"),
    [
        (pd.DataFrame(VALUES, columns=NAMES), NAMES),
        (pl.DataFrame(VALUES, schema=NAMES), NAMES),
        (pd.DataFrame(VALUES), [0, 1, 2]),
        (pd.DataFrame(VALUES, columns=pairs), list(pairs)),
        (pd.DataFrame(VALUES, columns=["u", 1, None]), ["u", 1, None]),
    ],
    ids=["pandas", "polars", "numbers", "pairs", "mixed"],
)
def test_columns_in_another_order_are_realigned(frame, names):
    """Whatever the names are."""
    moved = frame[[frame.columns[column] for column in (2, 0, 1)]]
    assert_array_equal(align_labels(moved, names), VALUES)
    assert align_labels(frame, names) is frame


@pytest.mark.parametrize("y", [VALUES, sparse.csr_array(VALUES), VALUES.tolist(), pd.DataFrame(VALUES), None])
def test_what_has_no_names_is_read_by_position(y):
    """Arrays, and frames whose columns pandas has numbered."""
    assert align_labels(y, NAMES) is y


def test_a_fit_without_names_takes_any_names():
    """Neither an array nor numbered columns can be compared with names."""
    frame = pd.DataFrame(VALUES, columns=NAMES)
    assert align_labels(frame, None) is frame
    assert align_labels(frame, [0, 1, 2]) is frame


@pytest.mark.parametrize(
    "columns",
    [["u", "v", "x"], ["u", "v"], ["u", "v", "w", "x"], ["u", "u", "w"]],
    ids=["other", "less", "more", "twice"],
)
def test_other_names_are_refused_with_both_lists(columns):
    """The message names the argument."""
    frame = pd.DataFrame(np.ones((2, len(columns))), columns=columns)
    match = r"sample_weight must have the labels of fit as columns, \['u', 'v', 'w'\], in any order, got \['u', '[vu]'"
    with pytest.raises(ValueError, match=match):
        align_labels(frame, NAMES, name="sample_weight")


def test_names_of_labels_are_found_inside_of_pipelines_and_searches():
    """scikit-learn's meta-estimators do not pass them on."""
    X, Y = make_quadrants(60, random_state=0)
    y = pd.DataFrame(Y, columns=["right", "up"])
    search = GridSearchCV(make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier()), {}, cv=2, scoring="f1_micro")
    assert find_label_names(search) is None
    for estimator in (search.fit(X, y), FrozenEstimator(search.best_estimator_), make_pipeline(search)):
        assert_array_equal(find_label_names(estimator), ["right", "up"])


def test_class_weights_are_read_by_label_name():
    """They are those of a list in the order of the labels, and labels that are not named have weights of 1."""
    X, Y = make_quadrants(60, random_state=0)
    y = pd.DataFrame(Y, columns=["spam", "ad"])
    by_name = QuadrantMultiLabelClassifier(class_weight={"ad": {0: 1, 1: 9}, "spam": "balanced"}).fit(X, y)
    listed = QuadrantMultiLabelClassifier(class_weight=["balanced", {0: 1, 1: 9}]).fit(X, y)
    assert_array_equal(by_name.coef_, listed.coef_)
    part = QuadrantMultiLabelClassifier(class_weight={"ad": {0: 1, 1: 9}}).fit(X, y)
    assert_array_equal(part.coef_, QuadrantMultiLabelClassifier(class_weight=[None, {0: 1, 1: 9}]).fit(X, y).coef_)
    with pytest.raises(ValueError, match=r"class_weight must have keys among \['spam', 'ad'\], got \['ham'\]"):
        QuadrantMultiLabelClassifier(class_weight={"ham": {0: 1, 1: 9}}).fit(X, y)


@pytest.mark.parametrize("to_y", [lambda y: 0.9 * y, lambda y: y[:, 0], pd.DataFrame], ids=["soft", "1-D", "frame"])
def test_a_list_of_class_weights_may_have_one_entry_for_one_label(to_y):
    """It is the class weight of that label, named or not."""
    X, Y = make_quadrants(60, random_state=0)
    y = to_y(Y[:, :1])
    listed = QuadrantMultiLabelClassifier(class_weight=[{1: 9}]).fit(X, y)
    assert_array_equal(listed.coef_, QuadrantMultiLabelClassifier(class_weight={1: 9}).fit(X, y).coef_)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_that_goes_on_realigns_labels(frame, method):
    """A warm start and partial_fit give the bits of the same labels in the first order."""
    X, Y = make_quadrants(60, random_state=0)
    y = frame({"right": Y[:, 0], "up": Y[:, 1]})

    def trained(second):
        clf = QuadrantMultiLabelClassifier(solver="adamw", warm_start=True, max_iter=2, tol=0, random_state=0)
        return getattr(getattr(clf, method)(X, y), method)(X, second)

    expected, found = trained(y), trained(y[["up", "right"]])
    assert_array_equal(found.coef_, expected.coef_)
    assert_array_equal(found.label_names_in_, ["right", "up"])
