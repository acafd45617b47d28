"""Labels in a tree: closed label sets, consistent probabilities, and hierarchical F1."""

import pickle

import numpy as np
import pandas as pd
import polars
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy, hierarchical_f1_score

NAMES = ["H04L", "A01B", "A", "A01", "H", "A01C", "H04"]
HIERARCHY = LabelHierarchy.from_names(NAMES)
ABOVE = {"H04L": ["H04", "H"], "A01B": ["A01", "A"], "A01C": ["A01", "A"], "A01": ["A"], "H04": ["H"], "A": [], "H": []}


@pytest.fixture(scope="module")
def data():
    """100 rows with seven labels that keep to no hierarchy."""
    X, Y = make_multilabel_classification(100, n_features=8, n_classes=7, random_state=0)
    return X, pd.DataFrame(Y, columns=NAMES)


def closed(row):
    """Return a label set with all labels above, by names."""
    present = {name for name, value in zip(NAMES, row, strict=True) if value}
    return [int(name in present | {above for each in present for above in ABOVE[each]}) for name in NAMES]


def test_names_give_parents():
    """The longest other name that a name begins with, in any order of columns; or a mapping."""
    assert [NAMES[j] if j >= 0 else None for j in HIERARCHY.parents] == ["H04", "A01", None, "A", None, "A01", "H"]
    other = LabelHierarchy.from_names(["dog", "animal", "plant"], {"dog": "animal", "animal": None})
    assert other.parents == (1, -1, -1)


def test_closed_sets_have_all_ancestors_in_every_container(data):
    """Against sets of names; unknown labels stay unknown unless a descendant is present."""
    Y = data[1].to_numpy()
    expected = [closed(row) for row in Y]
    assert_array_equal(HIERARCHY.close(Y), expected)
    assert_array_equal(HIERARCHY.close(data[1]).to_numpy(), expected)
    for container in (sparse.csr_array, sparse.csr_matrix):
        found = HIERARCHY.close(container(Y))
        assert isinstance(found, container)
        assert_array_equal(found.toarray(), expected)
    assert_array_equal(HIERARCHY.close(polars.DataFrame(Y, schema=NAMES)).to_numpy(), expected)
    unknown = np.array([[0, 1, np.nan, np.nan, np.nan, 0, 0.0]])
    assert_array_equal(HIERARCHY.close(unknown), [[0, 1, 1, 1, np.nan, 0, 0]])


def test_pruned_sets_are_the_largest_closed_subsets(data):
    """A label stays if and only if all labels above it are there."""
    for row in data[1].to_numpy():
        present = {name for name, value in zip(NAMES, row, strict=True) if value}
        expected = [int(name in present and set(ABOVE[name]) <= present) for name in NAMES]
        assert_array_equal(HIERARCHY.prune(row[None])[0], expected)
        assert_array_equal(HIERARCHY.prune(sparse.csr_array(row[None])).toarray()[0], expected)


def test_probabilities_are_consistent_and_moved_as_little_as_possible():
    """A parent becomes the largest of itself and its descendants, a child the smallest of itself and its ancestors."""
    P = np.random.default_rng(0).random((50, 7))
    raised, lowered = HIERARCHY.raise_parents(P), HIERARCHY.lower_children(P)
    for j, name in enumerate(NAMES):
        below = [k for k, other in enumerate(NAMES) if name in [other, *ABOVE[other]]]
        above = [k for k, other in enumerate(NAMES) if other in [name, *ABOVE[name]]]
        assert_allclose(raised[:, j], P[:, below].max(axis=1))
        assert_allclose(lowered[:, j], P[:, above].min(axis=1))


@pytest.mark.parametrize("weighted", [False, True])
def test_hierarchical_f1_is_scikit_learns_of_closed_sets(weighted, data):
    """With weights of rows; unknown labels do not count."""
    Y = data[1].to_numpy()
    predicted = np.roll(Y, 1, axis=0)
    weight = np.random.default_rng(0).random(100) if weighted else None
    expected = f1_score(HIERARCHY.close(Y), HIERARCHY.close(predicted), average="micro", sample_weight=weight)
    assert hierarchical_f1_score(Y, predicted, HIERARCHY, sample_weight=weight) == pytest.approx(expected)
    unknown = Y.astype(float)
    unknown[:, 0] = np.nan  # a leaf
    kept = HIERARCHY.close(unknown)[:, 1:], HIERARCHY.close(predicted)[:, 1:]
    expected = f1_score(*kept, average="micro", sample_weight=weight)
    assert hierarchical_f1_score(unknown, predicted, HIERARCHY, sample_weight=weight) == pytest.approx(expected)
    assert hierarchical_f1_score(np.zeros((2, 7)), np.zeros((2, 7)), HIERARCHY) == 0.0


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelHierarchy((1, 0, -1)), r"must not have a cycle, got one above the labels \[0, 1\]"),
        (lambda: LabelHierarchy((5, -1)), "parents must be the column of the parent"),
        (lambda: LabelHierarchy.from_names(["A", "A"]), "names must be unique"),
        (lambda: LabelHierarchy.from_names(["A"], {"A": "B"}), r"must relate labels in names, got \['B'\]"),
        (lambda: HIERARCHY.close(np.zeros((2, 3))), r"a column for each of the 7 labels, got \(2, 3\)"),
        (lambda: hierarchical_f1_score(np.zeros((2, 7)), np.zeros((3, 7)), HIERARCHY), "must have one shape"),
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
def test_what_is_no_hierarchy_is_refused(make, message):
    """With the labels that are wrong."""
    with pytest.raises(ValueError, match=message):
        make()


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
    above = pd.DataFrame([closed(row) for row in Y.to_numpy()], columns=NAMES)
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
    above = pd.DataFrame([closed(row) for row in Y.to_numpy()], columns=NAMES)
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
