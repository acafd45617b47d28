"""What is read as a label matrix or as classes; what gives equal models is in test_inputs."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sk_quadrant._targets.encodings import recognize
from sk_quadrant._targets.reading import LabelArray

Y = np.array([[0, 1, 1], [1, 0, 1]])
KNOWN = np.array([[True, True, False], [False, True, True]])
UNKNOWN = {
    "float64": np.where(KNOWN, Y, np.nan),
    "float32": np.where(KNOWN, Y, np.nan).astype(np.float32),
    "float16": np.where(KNOWN, Y, np.nan).astype(np.float16),
    "objects with None": np.where(KNOWN, Y, None),
    "list with None": np.where(KNOWN, Y, None).tolist(),
    "objects with pandas.NA": pd.DataFrame(Y, dtype=object).where(KNOWN, pd.NA),
    "frame of floats": pd.DataFrame(np.where(KNOWN, Y, np.nan)),
    "nullable integers": pd.DataFrame(Y).astype("Int64").where(KNOWN),
    "nullable booleans": pd.DataFrame(Y).astype("boolean").where(KNOWN),
    "masked integers": np.ma.masked_array(Y, ~KNOWN),
    "masked booleans": np.ma.masked_array(Y.astype(bool), ~KNOWN),
}


@pytest.mark.parametrize("y", UNKNOWN.values(), ids=UNKNOWN)
def test_every_form_of_an_unknown_label_is_masked(y):
    """Targets are 0 there, and hard elsewhere."""
    assert LabelArray(y).is_matrix
    targets = LabelArray(y).targets("ignore")
    assert targets.values.dtype == np.uint8
    assert_array_equal(targets.values, np.where(KNOWN, Y, 0))
    assert_array_equal(targets.mask, KNOWN)


@pytest.mark.parametrize("y", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_labels_have_to_be_asked_for(y):
    """The message tells how."""
    with pytest.raises(ValueError, match=r"Input y_true contains NaN. Pass missing_labels='ignore'"):
        LabelArray(y, "y_true").targets("error")


@pytest.mark.parametrize(("given", "kept"), [(np.float16, np.float32), (np.float32, np.float32), (float, float)])
def test_soft_targets_keep_their_precision(given, kept):
    """Half precision becomes single."""
    targets = LabelArray(np.array([[0.25, 1.0]], dtype=given)).targets("error")
    assert targets.values.dtype == kept
    assert targets.is_soft


def test_sparse_targets_are_csc_without_zeros():
    """Stored zeros are dropped, in a copy."""
    y = sparse.csr_array((np.array([0, 1, 1]), [0, 1, 2], [0, 2, 3]), shape=(2, 3))
    targets = LabelArray(y).targets("error")
    assert (targets.values.format, targets.values.nnz, y.nnz) == ("csc", 2, 3)
    assert_array_equal(targets.values.toarray(), y.toarray())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 2]], r"y must be 0, 1 or a probability .* from 0 to 2. Multiclass-multioutput"),
        ([[-0.5, 1]], r"y must be 0, 1 or a probability .* from -0.5 to 1.0"),
        ([[0, np.inf]], r"y must be 0, 1 or a probability .* from 0.0 to inf"),
        ([["0", "1"]], r"y must hold numbers in \[0, 1\] when it has several columns, got <U1"),
        (np.array([[0, "1"]], dtype=object), r"y must hold numbers in \[0, 1\] .* got object"),
        (np.array([[1j, 0]]), r"y must hold numbers in \[0, 1\] .* got complex128"),
        ([[0, 1], [1]], "y must be 1-D or have rows of one length.*MultiLabelBinarizer"),
        (np.empty((2, 0)), r"y must have shape \(n_samples, n_labels\), at least 1 of each, got \(2, 0\)"),
        (np.zeros((1, 2, 2)), r"y must have shape \(n_samples, n_labels\), .* got \(1, 2, 2\)"),
        (sparse.csr_array([[0.5, 1]]), "Sparse y must hold 0 and 1 only"),
        (sparse.csr_array([[np.nan, 1]]), "Sparse y must hold 0 and 1 only"),
        (sparse.coo_array(([1, 1], ([0, 0], [1, 1])), shape=(1, 2)), "Sparse y must hold 0 and 1 only"),
        (sparse.csr_array((0, 2)), r"y must have shape .* got \(0, 2\)"),
    ],
    ids=[
        "two",
        "negative",
        "infinite",
        "text",
        "objects",
        "complex",
        "rows of different lengths",
        "no labels",
        "three dimensions",
        "sparse and soft",
        "sparse and unknown",
        "sparse and twice",
        "sparse without rows",
    ],
)
def test_what_is_no_label_matrix_is_refused(y, message):
    """An error says what y must be, what came, and what to do."""
    with pytest.raises(ValueError, match=message):
        LabelArray(y).targets("ignore")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.0, 1.0, np.nan], "a class cannot be unknown"),
        (["a", None], "a class cannot be unknown"),
        (pd.Series([0, pd.NA], dtype="Int64"), "a class cannot be unknown"),
        (np.ma.masked_array([0, 1], [True, False]), "a class cannot be unknown"),
        ([0.0, np.inf], "Input y contains infinity"),
        (np.zeros((2, 2, 2)), r"y must have shape \(n_samples,\) or \(n_samples, n_labels\), got \(2, 2, 2\)"),
    ],
    ids=["NaN", "None", "pandas.NA", "masked", "infinite", "three dimensions"],
)
def test_what_is_no_class_is_refused(y, message):
    """A 1-D y has no unknown classes."""
    with pytest.raises(ValueError, match=message):
        LabelArray(y).classes()


def test_classes_are_sorted():
    """The second one of two is the label."""
    assert recognize(np.array(["b", "a", "b"])).classes.tolist() == ["a", "b"]
