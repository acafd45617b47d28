"""Masked arrays become arrays with NaN."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_quadrant._targets import masked_as_nan


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
