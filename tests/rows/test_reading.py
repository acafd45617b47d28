"""Rows that no module takes are refused."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier

WRONG_ROWS = {
    "sparse": (sparse.csr_matrix(np.eye(3, 2)), TypeError, "Sparse X is not possible with a module"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "rows of different lengths. Pad them"),
    "mixed": (["a", 3], ValueError, r"X\[1\] = 3"),
    "a string": ("text", ValueError, "got a single string"),
    "a column of strings": (np.array([["a"], ["b"], ["c"]]), ValueError, "Pass a single column"),
    "empty dict": ({}, ValueError, r"a dict with the keys \[\]"),
    "unequal dict": ({"a": [1, 2], "b": [1]}, ValueError, "same number of rows, got"),
    "NaN": (np.full((3, 2), np.nan), ValueError, "NaN"),
    "dates": (np.zeros((3, 2), "datetime64[s]"), ValueError, "must hold real numbers|datetime"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_rows_that_no_module_takes_are_refused(case):
    """The error says what X may be, or what to do."""
    X, error, message = WRONG_ROWS[case]
    clf = QuadrantMultiLabelClassifier(module=torch.nn.Linear(2, 2), solver="adamw")
    with pytest.raises(error, match=message):
        clf.fit(X, np.eye(2, dtype=int)[[0, 1, 0]])
