"""Blocks of rows cover all rows once."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import gen_batches

from sk_quadrant._arrays import row_blocks


@pytest.mark.parametrize("n_rows", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("size", [1, 4, 20])
def test_blocks_are_those_of_scikit_learn(n_rows, size):
    """Check slices against `gen_batches`, which does the same for at least one row."""
    blocks = list(row_blocks(n_rows, size))
    assert blocks == (list(gen_batches(n_rows, size)) if n_rows else [])
    rows = np.arange(n_rows)
    assert_array_equal(np.concatenate([rows[:0], *(rows[block] for block in blocks)]), rows)
