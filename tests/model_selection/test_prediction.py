"""Cross-validated probabilities, which are those of the same folds by hand."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.model_selection import MultilabelStratifiedKFold, multilabel_cross_val_predict

FORMS = {
    "array": lambda Y: Y,
    "always present": lambda Y: np.c_[np.ones(len(Y)), Y[:, 1:]],
    "NaN": lambda Y: np.where(np.random.default_rng(0).random(Y.shape) < 0.2, np.nan, Y),
    "present or unknown": lambda Y: np.where(Y == 1, 1.0, np.nan),
    "soft": lambda Y: 0.8 * Y + 0.1,
    "sparse": sparse.csr_array,
    "frame": lambda Y: pd.DataFrame(Y, columns=list("abc")),
    "classes": lambda Y: np.array(["no", "yes"])[Y[:, 0]],
}


@pytest.fixture(scope="module")
def rows():
    """150 rows with three labels."""
    return make_multilabel_classification(150, 5, n_classes=3, random_state=0)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_row_has_what_a_fit_of_the_other_folds_gives(form, method, rows):
    """For each form of y."""
    X, y = rows[0], form(rows[1])
    model, cv = QuadrantMultiLabelClassifier(missing_labels="ignore"), KFold(3)
    found = multilabel_cross_val_predict(model, X, y, cv=cv, method=method)
    for train, test in cv.split(X):
        y_train = y.iloc[train] if hasattr(y, "iloc") else y[train]
        expected = getattr(clone(model).fit(X[train], y_train), method)(X[test])
        expected = expected if expected.ndim == 2 else expected[:, np.newaxis]
        assert_array_equal(found[test], expected[:, -found.shape[1] :])


@pytest.mark.parametrize(
    "model",
    [OneVsRestClassifier(LogisticRegression()), RandomForestClassifier(5, random_state=0)],
    ids=["array", "list"],
)
def test_other_classifiers_give_what_scikit_learn_gives(model, rows):
    """Where each label has both classes in all folds, encoding changes nothing."""
    expected = cross_val_predict(model, *rows, cv=KFold(3), method="predict_proba")
    if isinstance(expected, list):
        expected = np.column_stack([columns[:, 1] for columns in expected])
    assert_array_equal(multilabel_cross_val_predict(model, *rows, cv=KFold(3)), expected)


def test_folds_groups_and_parameters_of_fit(rows):
    """An integer gives stratified folds, groups go to the splitter, and weights to the rows that they are of."""
    X, Y = rows
    model, groups = QuadrantMultiLabelClassifier(), np.arange(150) // 10
    assert_array_equal(
        multilabel_cross_val_predict(model, X, Y, cv=3),
        multilabel_cross_val_predict(model, X, Y, cv=MultilabelStratifiedKFold(3)),
    )
    by_group = multilabel_cross_val_predict(model, X, Y, cv=GroupKFold(3), groups=groups)
    assert_array_equal(by_group, multilabel_cross_val_predict(model, X, Y, cv=list(GroupKFold(3).split(X, Y, groups))))
    weight = np.random.default_rng(0).random(150)
    with sklearn.config_context(enable_metadata_routing=True):
        requests = clone(model).set_fit_request(sample_weight=True)
        expected = cross_val_predict(
            requests, X, Y, cv=KFold(3), method="predict_proba", params={"sample_weight": weight}
        )
    found = multilabel_cross_val_predict(model, X, Y, cv=KFold(3), fit_params={"sample_weight": weight})
    assert_array_equal(found, expected)


def test_rows_that_are_not_tested_once_are_refused(rows):
    """There would be nothing to return for some, and two values for others."""
    with pytest.raises(ValueError, match="must test each row exactly once, got 60 tests of 150 rows by Shuffle"):
        multilabel_cross_val_predict(
            QuadrantMultiLabelClassifier(), *rows, cv=ShuffleSplit(2, test_size=30, random_state=0)
        )


def test_a_classifier_without_the_method_is_named(rows):
    """And so is the method."""
    with pytest.raises(AttributeError, match="'RandomForestClassifier' object has no attribute 'decision_function'"):
        multilabel_cross_val_predict(RandomForestClassifier(2), *rows, cv=2, method="decision_function")
