"""Folds, and rows held out, that spread the positives of every label."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import KFold, StratifiedKFold

from sk_quadrant._targets.stratification import check_label_cv, hold_out


@pytest.fixture
def present():
    """Labels of 200 rows, in 50, 20 and 5% of them; some rows have none."""
    return np.random.default_rng(0).random((200, 3)) < [0.5, 0.2, 0.05]


def rows_of_tests(cv, present):
    """Return the test rows of each split."""
    return [test for _, test in check_label_cv(cv, present, random_state=0).split()]


@pytest.mark.parametrize("n_splits", [2, 3, 5])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_one_label_has_the_folds_of_scikit_learn(n_splits, share):
    """There are two strata, and nothing to decide."""
    y = np.random.default_rng(1).random(60) < share
    expected = [test for _, test in StratifiedKFold(n_splits).split(y, y)]
    for found, rows in zip(rows_of_tests(n_splits, y[:, None]), expected, strict=True):
        assert_array_equal(found, rows)


def test_strata_smaller_than_the_number_of_folds_are_accepted():
    """scikit-learn warns or refuses; here three positives are in three of five folds."""
    y = np.arange(20) < 3
    assert sorted(y[test].sum() for test in rows_of_tests(5, y[:, None])) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("cv", [None, 4])
def test_folds_spread_every_label(cv, present):
    """Each row is tested once; folds have the same size, and the rarest label is divided evenly."""
    tests = rows_of_tests(cv, present)
    assert len(tests) == (cv or 5)
    assert_array_equal(np.sort(np.concatenate(tests)), np.arange(200))
    assert np.ptp([len(test) for test in tests]) <= 1
    counts = np.array([present[test].sum(axis=0) for test in tests])
    assert np.ptp(counts[:, 2]) <= 1
    assert (counts > 0).all()


@pytest.mark.parametrize("as_sparse", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("cv", [3, 0.25])
def test_sparse_labels_have_the_folds_of_dense_ones(cv, as_sparse, present):
    """The container does not matter."""
    for found, rows in zip(rows_of_tests(cv, as_sparse(present)), rows_of_tests(cv, present), strict=True):
        assert_array_equal(found, rows)


def test_a_fraction_holds_out_rows_once(present):
    """As many as asked for, rounded up, other ones for another seed."""
    (test,) = rows_of_tests(0.123, present)
    assert len(test) == 25
    ((_, other),) = check_label_cv(0.123, present, random_state=1).split()
    assert not np.array_equal(test, other)


def test_other_splitters_are_those_of_scikit_learn(present):
    """A splitter and a list of splits go through."""
    splitter, splits = KFold(3), [(np.arange(100), np.arange(100, 200))]
    assert check_label_cv(splitter, present) is splitter
    ((_, test),) = check_label_cv(splits, present).split()
    assert_array_equal(test, splits[0][1])


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (5, "cv=5 folds need at least 5 rows, got n_samples=4"),
        (0.9, "cv=0.9 leaves no row to train on, got n_samples=4"),
    ],
)
def test_too_few_rows_are_refused(cv, message):
    """An error has both numbers."""
    with pytest.raises(ValueError, match=message):
        check_label_cv(cv, np.ones((4, 2), dtype=bool))


@pytest.mark.parametrize("seed", range(5))
def test_both_sides_have_positives_of_every_label(seed, present):
    """Rows are divided between the sides, in proportion for the rarest label."""
    train, validation = hold_out(present, 0.2, seed)
    assert_array_equal(np.sort(np.r_[train, validation]), np.arange(200))
    assert len(validation) == 40
    assert present[train].any(axis=0).all()
    assert present[validation].any(axis=0).all()
    assert abs(present[validation, 2].sum() - 0.2 * present[:, 2].sum()) <= 1


def test_the_seed_decides_what_is_held_out(present):
    """The same one holds out the same rows."""
    first, again, other = (hold_out(present, 0.2, seed)[1] for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_side_without_rows_is_refused(fraction):
    """The message has the fraction and the number of rows."""
    with pytest.raises(
        ValueError, match=rf"validation_fraction={fraction} of 3 rows leaves no row to train on or none"
    ):
        hold_out(np.ones((3, 1), dtype=bool), fraction, 0)
