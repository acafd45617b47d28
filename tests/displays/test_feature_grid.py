"""Grids over two features hold the others as asked."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier

from sk_quadrant.displays import DecisionRegionDisplay, _feature_grid


@pytest.mark.parametrize("held", [{1: 7.0}, {"width": 7.0}, [0.0, 7.0, None, 2.5]], ids=["column", "name", "all"])
def test_other_features_are_held_as_asked(pyplot, data, held):
    """Check given values of other features, in a frame and in an array."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    frame = pandas.DataFrame(X, columns=["age", "width", "mass", "cost"])
    classifier = OneVsRestClassifier(LogisticRegression()).fit(frame, y)
    display = DecisionRegionDisplay.from_estimator(
        classifier, frame, features=("age", "mass"), held=held, grid_resolution=5
    )
    rows = frame.iloc[[0] * 25].assign(width=7.0, cost=held[3] if isinstance(held, list) else frame["cost"].median())
    rows[["age", "mass"]] = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    assert_allclose(display.response.reshape(25, 3), classifier.predict_proba(rows))
    assert display.feature_names == ("age", "mass")


@pytest.mark.parametrize("dtype", ["object", "category", "bool"])
def test_other_values_are_held_at_the_most_frequent(pyplot, data, dtype):
    """Check a feature that is no number: its value and its type, under a name that is no word."""
    pandas = pytest.importorskip("pandas")
    X, y = data
    seen = []

    class Look(LogisticRegression):
        def predict_proba(self, X):
            seen.append(X[2])
            return super().predict_proba(X[[0, 1]].to_numpy())

        def predict(self, X):
            return super().predict(X[[0, 1]].to_numpy())

    words = pandas.Series([False, True, True] * 50 if dtype == "bool" else ["red", "blue", "blue"] * 50, dtype=dtype)
    frame = pandas.DataFrame({0: X[:, 0], 1: X[:, 1], 2: words})
    DecisionRegionDisplay.from_estimator(Look().fit(X[:, :2], y[:, 0]), frame, grid_resolution=3)
    held = pandas.concat(seen)
    assert held.dtype == words.dtype
    assert (held == words[1]).all()


def test_words_in_an_array_stay_words_and_numbers_numbers(pyplot, data):
    """Check rows of an object array, whose columns are of several types."""
    X, y = data
    seen = []

    class Look(LogisticRegression):
        def predict_proba(self, X):
            seen.append(X)
            return super().predict_proba(X[:, :2].astype(float))

        def predict(self, X):
            return super().predict(X[:, :2].astype(float))

    words = np.array(["red", "blue", "blue"] * 50, dtype=object)
    mixed = np.column_stack([X[:, :2].astype(object), words])
    DecisionRegionDisplay.from_estimator(Look().fit(X[:, :2], y[:, 0]), mixed, grid_resolution=3)
    assert all(isinstance(value, float) for value in np.concatenate(seen)[:, 0])
    assert set(np.concatenate(seen)[:, 2]) == {"blue"}


def test_sparse_features_stay_sparse(pyplot, data, monkeypatch):
    """Check that the classifier gets sparse rows, a chunk at a time, and the same answers."""
    X, y = data
    classifier = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    expected = DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=8)
    monkeypatch.setattr(_feature_grid, "VALUES_AT_ONCE", 40)
    kinds = []

    class Look(OneVsRestClassifier):
        def predict_proba(self, X):
            kinds.append((sparse.issparse(X), X.shape[0]))
            return super().predict_proba(X)

    look = Look(LogisticRegression()).fit(X, y)
    display = DecisionRegionDisplay.from_estimator(look, sparse.csr_matrix(X), grid_resolution=8)
    assert (True, 10) in kinds
    assert {is_sparse for is_sparse, _ in kinds} == {True}
    assert_allclose(display.response, expected.response)


def test_one_feature_is_refused(pyplot, data):
    """Check the message for X with one feature."""
    X, y = data[0][:, :1], data[1]
    with pytest.raises(ValueError, match="X must have at least 2 features, got 1"):
        DecisionRegionDisplay.from_estimator(RidgeClassifier().fit(X, y), X)


def test_medians_of_sparse_features_are_those_of_dense_ones():
    """Check what features of a sparse matrix are held at, explicit and implicit zeros among them."""
    X = sparse.random(50, 7, density=0.6, random_state=0, format="csr")
    X.data[:5] = 0
    assert_allclose(_feature_grid.typical_row(X), [np.median(X.toarray(), axis=0)])


def test_nullable_numbers_have_a_median_and_dates_a_most_frequent_one():
    """Check a row of a frame with missing numbers, words and dates, each with its type."""
    pandas = pytest.importorskip("pandas")
    dates = pandas.to_datetime(["2020-01-02", "2020-01-01", "2020-01-01"])
    numbers = pandas.array([1, 4, None], dtype="Int64")
    frame = pandas.DataFrame({"a": numbers, "b": dates, "c": [None, "u", "u"]}, index=[7, 8, 9])
    row = _feature_grid.typical_row(frame)
    assert row.iloc[0].tolist() == [2.5, pandas.Timestamp("2020-01-01"), "u"]
    assert list(row.dtypes[["b", "c"]]) == list(frame.dtypes[["b", "c"]])
