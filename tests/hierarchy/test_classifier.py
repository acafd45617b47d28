"""HierarchicalMultiLabelClassifier: consistent predictions and probabilities around any classifier."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy

NAMES = ["H04L", "A01B", "A", "A01", "H", "A01C", "H04"]
HIERARCHY = LabelHierarchy.from_names(NAMES)


@pytest.mark.parametrize("method", ["raise_parents", "lower_children"])
@pytest.mark.parametrize(
    "estimator",
    [QuadrantMultiLabelClassifier(), RandomForestClassifier(5, random_state=0), RidgeClassifier()],
    ids=["quadrant", "forest", "ridge"],
)
def test_any_classifier_becomes_consistent(estimator, method, data):
    """Predictions are closed, no child is more probable than its parent, and the tree comes from the names of y."""
    X, Y = data
    model = HierarchicalMultiLabelClassifier(estimator, method=method).fit(X, Y)
    predicted = model.predict(X)
    assert model.hierarchy_ == HIERARCHY
    assert_array_equal(predicted, HIERARCHY.close(predicted))
    assert hasattr(model, "predict_proba") == hasattr(estimator, "predict_proba")
    if hasattr(estimator, "predict_proba"):
        proba = model.predict_proba(X)
        child = np.array(HIERARCHY.parents) >= 0
        assert (proba[:, child] <= proba[:, np.array(HIERARCHY.parents)[child]]).all()
        if isinstance(estimator, QuadrantMultiLabelClassifier):
            assert_array_equal(predicted, proba > 0.5)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), predicted)


def test_a_frozen_classifier_is_used_as_it_is(data):
    """Without names of labels, with a hierarchy that is given, and sparse predictions."""
    X, Y = data
    fitted = QuadrantMultiLabelClassifier().fit(X, sparse.csr_array(Y.to_numpy()))
    model = HierarchicalMultiLabelClassifier(FrozenEstimator(fitted), hierarchy=HIERARCHY).fit(X, Y.to_numpy())
    assert_array_equal(model.predict(X).toarray(), HIERARCHY.close(fitted.predict(X).toarray()))


def test_skops_trusts_no_hierarchy(data):
    """The parents are saved as numbers."""
    skops_io = pytest.importorskip("skops.io")
    X, Y = data
    model = HierarchicalMultiLabelClassifier(QuadrantMultiLabelClassifier(), hierarchy=HIERARCHY).fit(X, Y)
    stored = skops_io.dumps(model)
    untrusted = skops_io.get_untrusted_types(data=stored)
    assert all(name.endswith("MultiLabelClassifier") for name in untrusted)
    loaded = skops_io.loads(stored, trusted=untrusted)
    assert loaded.hierarchy == loaded.hierarchy_ == HIERARCHY


def test_labels_follow_a_classifier_that_is_fitted_already(data):
    """Columns of y in another order are those of the frozen classifier, whose predictions they name."""
    X, Y = data
    frozen = FrozenEstimator(QuadrantMultiLabelClassifier().fit(X, Y))
    clf = HierarchicalMultiLabelClassifier(frozen).fit(X, Y[NAMES[::-1]])
    assert clf.label_names_in_.tolist() == NAMES
    assert clf.hierarchy_ == HIERARCHY


@pytest.mark.parametrize("container", [pd.DataFrame, np.asarray, sparse.csr_array], ids=["frame", "array", "sparse"])
def test_score_adds_ancestors_as_fit_does(data, container):
    """Labels without their ancestors, in any order of names, score as those with them; unknown ones are left out."""
    X, Y = data
    above = HIERARCHY.close(Y)
    clf = HierarchicalMultiLabelClassifier(RandomForestClassifier(5, random_state=0), hierarchy=HIERARCHY).fit(X, Y)
    expected = (clf.predict(X) == above).all(axis=1).mean()
    assert expected > 0.5
    assert clf.score(X, container(Y)) == clf.score(X, container(above)) == pytest.approx(expected)
    unknown = Y.astype(float)
    unknown[50:] = np.nan
    assert clf.score(X, unknown) == pytest.approx((clf.predict(X) == above)[:50].all(axis=1).mean())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ancestors_are_added_to_validation_data(data):
    """Early stopping watches the loss of closed label sets, whose columns are in the order of y."""
    X, Y = data
    above = HIERARCHY.close(Y)
    options = {"solver": "adamw", "early_stopping": True, "max_iter": 3, "random_state": 0}
    with config_context(enable_metadata_routing=True):
        estimator = QuadrantMultiLabelClassifier(**options).set_fit_request(X_val=True, y_val=True)
        clf = HierarchicalMultiLabelClassifier(estimator).fit(X[:70], Y[:70], X_val=X[70:], y_val=Y[70:][NAMES[::-1]])
    expected = QuadrantMultiLabelClassifier(**options).fit(X[:70], above[:70], X_val=X[70:], y_val=above[70:])
    losses = [[epoch["valid_loss"] for epoch in each.history_] for each in (clf.estimator_, expected)]
    assert losses[0] == losses[1]


def test_a_dict_of_arrays_is_refused(data):
    """Its rows cannot be taken apart."""
    with pytest.raises(TypeError, match="X must have rows that can be split, got a dict"):
        HierarchicalMultiLabelClassifier(QuadrantMultiLabelClassifier()).fit({"X": data[0]}, data[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: HierarchicalMultiLabelClassifier(RidgeClassifier()).fit(np.eye(4), np.eye(4)),
            "hierarchy must be given where y has no names",
        ),
        (
            lambda: HierarchicalMultiLabelClassifier(RidgeClassifier()).fit(np.eye(4), [0, 1, 0, 1]),
            "y must be a label matrix",
        ),
        (
            lambda: HierarchicalMultiLabelClassifier(RidgeClassifier()).fit(np.eye(12), pd.DataFrame(np.eye(12))),
            "hierarchy must be given where names of labels are not strings, got .*from_names",  # 1 and 10
        ),
        (
            lambda: HierarchicalMultiLabelClassifier(RidgeClassifier()).fit(
                np.eye(4), pd.DataFrame({"A": [0, 1, 0, 1]})
            ),
            "y must have at least two labels, got one",
        ),
    ],
)
def test_labels_without_a_hierarchy_are_refused(make, message):
    """With what to pass."""
    with pytest.raises(ValueError, match=message):
        make()
