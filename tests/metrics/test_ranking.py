"""Precision and recall at k against scikit-learn and against every order of the ties."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ndcg_score, precision_score, recall_score, top_k_accuracy_score
from sklearn.multiclass import OneVsRestClassifier

from sk_quadrant.metrics import precision_at_k_score, recall_at_k_score

both_metrics = pytest.mark.parametrize("metric", [precision_at_k_score, recall_at_k_score], ids=["precision", "recall"])


@pytest.fixture
def data():
    """Labels and scores without ties of 100 rows and 8 labels; every row has a label."""
    rng = np.random.default_rng(0)
    y = (rng.random((100, 8)) < 0.3).astype(int)
    y[np.arange(100), rng.integers(0, 8, size=100)] = 1
    return y, rng.normal(size=(100, 8))


@pytest.fixture(scope="module")
def bibtex_scores(load_tabular):
    """Test labels and scores of bibtex, by one logistic regression for each of its 159 labels."""
    X_train, Y_train, X_test, Y_test = load_tabular("bibtex")
    classifier = OneVsRestClassifier(LogisticRegression(C=0.1)).fit(X_train, Y_train)
    return Y_test, classifier.decision_function(X_test)


def select_top(scores, k):
    """Return the indicator of the k highest scores of each row."""
    selected = np.zeros(scores.shape, dtype=int)
    np.put_along_axis(selected, np.argsort(-scores, axis=1)[:, :k], 1, axis=1)
    return selected


def mean_over_tie_orders(y, scores, k):
    """Return the mean number of hits of each row over all orders of its labels, by enumeration."""
    hits = np.zeros(len(y))
    orders = list(permutations(range(y.shape[1])))
    for order in orders:
        ranked = np.take(scores, order, axis=1)
        top = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
        hits += np.take_along_axis(np.take(y, order, axis=1), top, axis=1).sum(axis=1)
    return hits / len(orders)


@pytest.mark.parametrize("k", [1, 2, 5, 8])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_without_ties_they_are_precision_and_recall_of_the_top(data, k, weighted):
    """Predicting the k highest scores, scikit-learn's sample-averaged precision and recall are the same."""
    y, scores = data
    weight = np.random.default_rng(1).random(len(y)) if weighted else None
    predicted = select_top(scores, k)
    for metric, oracle in ((precision_at_k_score, precision_score), (recall_at_k_score, recall_score)):
        expected = oracle(y, predicted, average="samples", sample_weight=weight)
        np.testing.assert_allclose(metric(y, scores, k=k, sample_weight=weight), expected)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_recall_of_one_label_a_row_is_top_k_accuracy(k):
    """With exactly one label a row, recall at k is scikit-learn's top-k accuracy and precision a k-th of it."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 8, size=200)
    scores = rng.normal(size=(200, 8))
    accuracy = top_k_accuracy_score(classes, scores, k=k, labels=range(8))
    np.testing.assert_allclose(recall_at_k_score(np.eye(8)[classes], scores, k=k), accuracy)
    np.testing.assert_allclose(precision_at_k_score(np.eye(8)[classes], scores, k=k), accuracy / k)


@pytest.mark.parametrize("n_levels", [1, 2, 5])
def test_precision_at_1_with_ties_is_ndcg_at_1(data, n_levels):
    """scikit-learn averages over ties in the same way; at k=1 NDCG is precision, where every row has a label."""
    y, _ = data
    scores = np.random.default_rng(2).integers(0, n_levels, size=y.shape)
    np.testing.assert_allclose(precision_at_k_score(y, scores, k=1), ndcg_score(y, scores, k=1))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("n_levels", [1, 2, 3])
def test_ties_have_the_expected_value_over_their_orders(k, n_levels):
    """The value is the mean over all orders of the columns of what breaking ties by position gives."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=(30, 5))
    y[:, 0] = 1
    scores = rng.integers(0, n_levels, size=(30, 5))
    hits = mean_over_tie_orders(y, scores, k)
    np.testing.assert_allclose(precision_at_k_score(y, scores, k=k), np.mean(hits / k))
    np.testing.assert_allclose(recall_at_k_score(y, scores, k=k), np.mean(hits / y.sum(axis=1)))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_constant_scores_have_no_skill(data, k):
    """A constant score gets the share of relevant labels as precision and k of n_labels as recall."""
    y, scores = data
    constant = np.zeros_like(scores)
    np.testing.assert_allclose(precision_at_k_score(y, constant, k=k), y.mean())
    np.testing.assert_allclose(recall_at_k_score(y, constant, k=k), k / 8)


@both_metrics
@pytest.mark.parametrize("k", [1, 2, 4])
def test_unknown_labels_are_removed_from_their_row(metric, k):
    """Each row has the value of its known labels alone, all of them where fewer than k are known."""
    rng = np.random.default_rng(0)
    y = (rng.random((50, 5)) < 0.5).astype(float)
    y[rng.random((50, 5)) < 0.4] = np.nan
    scores = rng.integers(-2, 2, size=(50, 5)).astype(float)
    scores[scores == -2] = -np.inf  # a known label with the lowest score there is
    values = []
    for labels, row in zip(y, scores, strict=True):
        known = ~np.isnan(labels)
        if known.any() and (metric is precision_at_k_score or np.nansum(labels) > 0):
            values.append(metric(labels[np.newaxis, known], row[np.newaxis, known], k=min(k, known.sum())))
    np.testing.assert_allclose(metric(y, scores, k=k), np.mean(values))


@both_metrics
def test_infinite_scores_are_in_order(metric):
    """A masked label at -inf is last, one at +inf first."""
    assert metric([[1, 0, 0]], [[np.inf, 0.0, -np.inf]], k=1) == 1
    assert metric([[0, 0, 1]], [[np.inf, 0.0, -np.inf]], k=2) == 0


@both_metrics
def test_monotone_transformations_change_nothing(metric, data):
    """Probabilities and scores of the same order give the same value."""
    y, scores = data
    assert metric(y, scores, k=3) == metric(y, 1 / (1 + np.exp(-scores)), k=3)


@pytest.mark.parametrize(("zero_division", "expected"), [(np.nan, 0.5), (0.0, 0.25), (1, 0.75)])
def test_rows_without_relevant_labels_have_the_recall_asked_for(zero_division, expected):
    """They are left out by default, and have recall 0 or 1 otherwise."""
    y = [[0, 0, 0], [1, 0, 1]]
    scores = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]
    assert recall_at_k_score(y, scores, k=1, zero_division=zero_division) == expected


def test_rows_without_known_labels_have_no_recall():
    """zero_division is for rows known to have no label, not for unknown ones."""
    assert recall_at_k_score([[np.nan, np.nan], [1, 0]], [[0.1, 0.2], [0.2, 0.1]], zero_division=0.0) == 1


def test_recall_without_any_relevant_label_warns():
    """Where no row is left the value is NaN, and a warning says why; zero_division gives a value without one."""
    with pytest.warns(UndefinedMetricWarning, match=r"recall_at_k_score is NaN: .*Set zero_division"):
        assert np.isnan(recall_at_k_score([[0, 0]], [[0.1, 0.2]]))
    assert recall_at_k_score([[0, 0]], [[0.1, 0.2]], zero_division=1.0) == 1


def test_definition_by_hand():
    """Two rows counted by hand."""
    y = [[1, 0, 1, 0], [0, 0, 0, 1]]
    scores = [[4, 3, 2, 1], [4, 3, 2, 1]]
    assert precision_at_k_score(y, scores, k=3) == (2 / 3 + 0) / 2
    assert recall_at_k_score(y, scores, k=1) == (1 / 2 + 0) / 2


@pytest.mark.parametrize(("k", "published"), [(1, 0.6262), (3, 0.3909), (5, 0.2879)])
@pytest.mark.slow
def test_linear_models_have_the_published_precision_on_bibtex(bibtex_scores, k, published):
    """One logistic regression a label is within a point of 1-vs-All in the Extreme Classification Repository."""
    assert precision_at_k_score(*bibtex_scores, k=k) == pytest.approx(published, abs=0.01)


@both_metrics
def test_k_above_the_number_of_labels_is_refused(metric, data):
    """There are no nine best of eight labels."""
    with pytest.raises(ValueError, match=r"k must be at most the number of labels, 8, got k=9"):
        metric(*data, k=9)


@both_metrics
@pytest.mark.parametrize("k", [0, -1, 2.0, None])
def test_k_is_a_positive_integer(metric, data, k):
    """The error says which numbers are allowed."""
    with pytest.raises(ValueError, match=rf"'k' parameter .* must be an int in the range \[1, inf\). Got {k}"):
        metric(*data, k=k)


def test_zero_division_has_three_values(data):
    """The error names the parameter."""
    with pytest.raises(ValueError, match="'zero_division' parameter of recall_at_k_score"):
        recall_at_k_score(*data, zero_division=0.5)
