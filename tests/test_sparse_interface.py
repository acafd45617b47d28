"""Sparse results follow `sklearn.set_config(sparse_interface=...)`, and sparse arrays stay sparse arrays."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy

if "sparse_interface" not in sklearn.get_config():
    pytest.skip("scikit-learn has the setting from version 1.9 on", allow_module_level=True)

ONE = QuadrantMultiLabelClassifier()
ESTIMATORS = [
    ONE,
    QuadrantMultiLabelClassifierCV("bce_with_logits", Cs=[1.0], cv=2, estimator=ONE),
    TunedThresholdMultiLabelClassifierCV(ONE, cv=2),
    FixedThresholdMultiLabelClassifier(ONE),
    CalibratedMultiLabelClassifierCV(ONE, cv=2),
    HierarchicalMultiLabelClassifier(ONE, hierarchy=LabelHierarchy((-1, 0))),
]
CLASSES = {"spmatrix": sparse.spmatrix, "sparray": sparse.sparray}

each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)


@pytest.fixture(scope="module")
def data():
    """Return 60 rows and two labels."""
    return make_quadrants(60, slope=2.0, random_state=0)


@each_estimator
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array], ids=["matrix", "array"])
def test_predictions_are_sparse_arrays_where_the_setting_asks_for_them(estimator, container, data):
    """The setting at the time of the prediction counts; without it predictions are of the class of y."""
    X, Y = data
    fitted = sklearn.clone(estimator).fit(container(X), container(Y))
    usual = fitted.predict(container(X))
    assert isinstance(usual, container)
    with sklearn.config_context(sparse_interface="sparray"):
        found = fitted.predict(container(X))
    assert isinstance(found, sparse.csr_array)
    assert_array_equal(found.toarray(), usual.toarray())


@each_estimator
def test_everything_works_where_sparse_arrays_are_the_rule(estimator, data):
    """Fit, predict and score, on sparse and on dense data, as with the default."""
    X, Y = data
    expected = sklearn.clone(estimator).fit(X, Y).score(X, Y)
    with sklearn.config_context(sparse_interface="sparray"):
        assert sklearn.clone(estimator).fit(X, Y).score(X, Y) == expected
        fitted = sklearn.clone(estimator).fit(sparse.csr_array(X), sparse.csr_array(Y))
        assert fitted.score(sparse.csr_array(X), sparse.csr_array(Y)) == expected


@pytest.mark.parametrize("interface", CLASSES)
def test_sparse_coefficients_follow_the_setting(interface, data):
    """Of `coef_threshold`, of `sparsify`, and of estimators of scikit-learn, alike."""
    X, Y = data
    with sklearn.config_context(sparse_interface=interface):
        thresholded = QuadrantMultiLabelClassifier(coef_threshold=1e-8).fit(X, Y)
        dense = QuadrantMultiLabelClassifier().fit(X, Y)
        peer = OneVsRestClassifier(LogisticRegression()).fit(X, Y).estimators_[0].sparsify()
        assert isinstance(peer.coef_, CLASSES[interface])
        assert isinstance(thresholded.coef_, CLASSES[interface])
        assert isinstance(sklearn.clone(dense).fit(X, Y).sparsify().coef_, CLASSES[interface])
    np.testing.assert_allclose(thresholded.coef_.toarray(), dense.coef_, rtol=1e-2)


def test_labels_of_a_hierarchy_follow_the_setting():
    """Closing and pruning keep the class, and give arrays where the setting asks for them."""
    y, hierarchy = sparse.csr_matrix([[0, 1], [1, 0]]), LabelHierarchy((-1, 0))
    for method in (hierarchy.close, hierarchy.prune):
        assert isinstance(method(y), sparse.csr_matrix)
        with sklearn.config_context(sparse_interface="sparray"):
            assert isinstance(method(y), sparse.csr_array)
