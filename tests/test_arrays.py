"""Blocks of rows cover all rows once; masked entries become NaN."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import gen_batches

from sk_quadrant._arrays import masked_as_nan, row_blocks


@pytest.mark.parametrize("n_rows", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("size", [1, 4, 20])
def test_blocks_are_those_of_scikit_learn(n_rows, size):
    """Check slices against `gen_batches`, which does the same for at least one row."""
    blocks = list(row_blocks(n_rows, size))
    assert blocks == (list(gen_batches(n_rows, size)) if n_rows else [])
    rows = np.arange(n_rows)
    assert_array_equal(np.concatenate([rows[:0], *(rows[block] for block in blocks)]), rows)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float32, float])
def test_masked_numbers_become_nan(dtype):
    """Integers and booleans become floats."""
    array = masked_as_nan(np.ma.masked_array(np.ones(3, dtype), [False, True, False]))
    assert not isinstance(array, np.ma.MaskedArray)
    assert_array_equal(array, [1, np.nan, 1])


def test_masked_words_become_none():
    """Among text nothing is NaN."""
    assert masked_as_nan(np.ma.masked_array(["a", "b"], [True, False])).tolist() == [None, "b"]


@pytest.mark.parametrize("array", [[1, 2], np.arange(2), np.ma.masked_array([1, 2])], ids=["list", "array", "unmasked"])
def test_anything_else_stays_as_it_is(array):
    """Nothing is copied."""
    assert masked_as_nan(array) is array
