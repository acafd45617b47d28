"""The most probable labels of each row, of every multi-label classifier, against a full sort."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    top_k_labels,
)

X, Y = make_multilabel_classification(n_samples=60, n_features=8, n_classes=5, random_state=0)
OURS = QuadrantMultiLabelClassifier(tol=0.01)
WITH_PROBABILITIES = {
    "linear": OURS,
    "one-vs-rest": OneVsRestClassifier(LogisticRegression()),
    "forest": RandomForestClassifier(n_estimators=5, random_state=0),
    "neighbours": KNeighborsClassifier(3),
    "multi-output": MultiOutputClassifier(LogisticRegression()),
    "chain": ClassifierChain(LogisticRegression(), cv=2),
    "pipeline": make_pipeline(StandardScaler(), OURS),
    "search": GridSearchCV(RandomForestClassifier(n_estimators=5, random_state=0), {"max_depth": [2]}, cv=2),
    "tuned": TunedThresholdMultiLabelClassifierCV(OURS, cv=2),
    "calibrated": CalibratedMultiLabelClassifierCV(OURS, cv=2),
}
WITH_SCORES = {
    "hinge": QuadrantMultiLabelClassifier(loss="hinge", tol=0.01),
    "machines": OneVsRestClassifier(LinearSVC()),
    "ridge": RidgeClassifier(),
}


def presence(estimator):
    """Return the probability of each label."""
    answer = estimator.predict_proba(X)
    return np.column_stack([part[:, 1] for part in answer]) if isinstance(answer, list) else answer


def fully_sorted(values, k):
    """Return the k labels with the largest values; of equal ones the first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("name", WITH_PROBABILITIES)
def test_labels_are_the_first_of_a_full_sort(name, k):
    """Compare labels and probabilities of many classifiers; those of trees and neighbours are tied."""
    estimator = WITH_PROBABILITIES[name].fit(X, Y)
    expected = presence(estimator)
    found = top_k_labels(estimator, X, k)
    assert found.response_method == "predict_proba"
    assert_array_equal(found.labels, fully_sorted(expected, k))
    assert_array_equal(found.values, np.take_along_axis(expected, found.labels, axis=1))


@pytest.mark.parametrize("name", WITH_SCORES)
def test_scores_count_without_probabilities(name):
    """Check labels, scores and what they are called."""
    estimator = WITH_SCORES[name].fit(X, Y)
    labels, values, response_method = top_k_labels(estimator, X, 2)
    assert response_method == "decision_function"
    assert_array_equal(labels, fully_sorted(estimator.decision_function(X), 2))
    assert_array_equal(values, -np.sort(-estimator.decision_function(X), axis=1)[:, :2])


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_labels_have_the_names_of_columns(wrap):
    """Fit with a DataFrame."""
    pd = pytest.importorskip("pandas")
    names = np.array(["A01", "A61", "B25", "C07", "G06"], dtype=object)
    estimator = wrap(OURS).fit(X, pd.DataFrame(Y, columns=names))
    assert_array_equal(top_k_labels(estimator, X, 2).labels, names[fully_sorted(presence(estimator), 2)])


@pytest.mark.parametrize("as_rows", [sparse.csr_array, sparse.csc_matrix, sparse.coo_matrix, list], ids=str)
def test_rows_may_be_of_any_kind(as_rows):
    """Compare sparse rows and lists with an array."""
    estimator = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    assert_array_equal(top_k_labels(estimator, as_rows(X), 2).labels, top_k_labels(estimator, X, 2).labels)


@pytest.mark.parametrize("estimator", [OURS, RandomForestClassifier(3), OneVsRestClassifier(LogisticRegression())])
def test_a_single_label_has_index_zero_and_its_own_probability(estimator):
    """Fit with two classes."""
    estimator = estimator.fit(X, Y[:, 0])
    labels, values, _ = top_k_labels(estimator, X, 1)
    assert_array_equal(labels, np.zeros((60, 1)))
    assert_array_equal(values[:, 0], estimator.predict_proba(X)[:, -1])


def test_a_single_column_has_its_name():
    """Fit with a DataFrame of one column."""
    pd = pytest.importorskip("pandas")
    estimator = OURS.fit(X, pd.DataFrame({"A01": Y[:, 0]}))
    labels, values, _ = top_k_labels(estimator, X, 1)
    assert (labels == "A01").all()
    assert_array_equal(values[:, 0], estimator.predict_proba(X)[:, 1])


def test_two_labels_are_not_two_classes():
    """Check that both columns count, though their probabilities are those of different labels."""
    estimator = OURS.fit(X, Y[:, :2])
    assert_array_equal(top_k_labels(estimator, X, 2).labels, fully_sorted(estimator.predict_proba(X), 2))


def test_a_label_that_was_never_present_comes_last():
    """Fit trees, whose `predict_proba` then has a single column for it."""
    never = Y * [1, 1, 0, 1, 1]
    labels, values, _ = top_k_labels(RandomForestClassifier(3, random_state=0).fit(X, never), X, 5)
    assert (values[labels == 2] == 0).all()


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "2", None])
def test_k_is_a_positive_integer(k):
    """Check the error, before the estimator is asked."""
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got"):
        top_k_labels(None, X, k)


def test_k_is_at_most_the_number_of_labels():
    """Check that the error has both numbers."""
    with pytest.raises(ValueError, match="k must be at most the number of labels, 5, got 6"):
        top_k_labels(OURS.fit(X, Y), X, 6)


def test_classes_that_exclude_each_other_are_refused():
    """Check the error for three classes."""
    estimator = LogisticRegression().fit(X, Y[:, 0] + Y[:, 1])
    with pytest.raises(ValueError, match="got a LogisticRegression of 3 classes that exclude each other"):
        top_k_labels(estimator, X, 1)


def test_an_estimator_without_responses_is_refused():
    """Check the error for a transformer."""
    with pytest.raises(TypeError, match="must have predict_proba or decision_function, got StandardScaler"):
        top_k_labels(StandardScaler().fit(X), X, 1)


def test_probabilities_never_exist_all_at_once():
    """Compare the peak with the size of the matrix of all probabilities, 160 MB."""
    rng = np.random.default_rng(0)
    estimator = QuadrantMultiLabelClassifier(max_iter=1, tol=10).fit(X, rng.integers(0, 2, (60, 5000)))
    many = np.tile(X, (4000 // 60 + 1, 1))[:4000]
    tracemalloc.start()
    try:
        top_k_labels(estimator, many, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.7 * 4000 * 5000 * 8


def test_a_dict_of_arrays_is_refused():
    """Its rows cannot be taken; the message names the container whose rows can."""
    with pytest.raises(TypeError, match=r"X must have rows .* got a dict. Pass skorch.helper.SliceDict"):
        top_k_labels(OURS, {"input_ids": X}, 1)
