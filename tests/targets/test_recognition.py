"""Which encoding a y has."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from sk_quadrant._targets.encodings import read_targets, recognize

KINDS = {
    "two numbers": ([0, 1, 1], "binary", 1),
    "two words": (["a", "b", "a"], "binary", 1),
    "column of integers": (np.array([[0], [1]]), "binary", 1),
    "three numbers": ([0, 1, 2], "multiclass", 3),
    "floats that are classes": (np.array([[0.0], [1.0], [2.0]]), "multiclass", 3),
    "matrix": ([[0, 1], [1, 1]], "multilabel", 2),
    "matrix of one row": ([[0, 1, 1]], "multilabel", 3),
    "column of probabilities": (np.array([[0.5], [1.0]]), "binary", 1),
    "column with an unknown label": (np.array([[0.0], [np.nan]]), "binary", 1),
    "frame of one column": (pd.DataFrame({"a": [0, 1]}), "binary", 1),
    "frame of zeros": (pd.DataFrame({"a": [0, 0]}), "binary", 1),
    "frame of words": (pd.DataFrame({"a": ["no", "yes"]}), "binary", 1),
    "frame of three classes": (pd.DataFrame({"a": [0, 2, 1]}), "multiclass", 3),
    "frame with an unknown label": (pd.DataFrame({"a": [0, None]}), "binary", 1),
    "nullable column": (pd.DataFrame({"a": [True, None]}, dtype="boolean"), "binary", 1),
    "polars column": (pl.DataFrame({"a": [0, 1]}), "binary", 1),
    "polars column with null": (pl.DataFrame({"a": [False, True, None]}), "binary", 1),
    "masked column": (np.ma.masked_array([[0], [1]], [[True], [False]]), "binary", 1),
    "column of categories": (pd.DataFrame({"a": [0, 1]}).astype("category"), "binary", 1),
    "sparse column": (sparse.csr_array([[0], [1]]), "binary", 1),
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize(("y", "kind", "n_labels"), KINDS.values(), ids=KINDS)
def test_kind_and_number_of_labels(y, kind, n_labels):
    """A single column is one label, or classes, in every container."""
    encoding, targets = read_targets(y, missing_labels="ignore")
    assert (encoding.kind, encoding.n_labels) == (kind, n_labels)
    assert targets.values.shape == (targets.n_samples, n_labels)


@pytest.mark.parametrize(("classes", "kind"), [([0, 1], "binary"), ([2, 1, 0], "multiclass")], ids=str)
def test_classes_may_be_more_than_those_in_y(classes, kind):
    """As for the first call of partial_fit; they are sorted."""
    encoding, _ = read_targets([1, 1, 0], missing_labels="error", classes=classes)
    assert encoding.kind == kind
    assert encoding.classes.tolist() == sorted(classes)


def test_names_of_labels_are_the_columns():
    """An array has none."""
    assert recognize(pd.DataFrame([[0, 1]], columns=["a", 3])).label_names.tolist() == ["a", 3]
    assert recognize([[0, 1]]).label_names is None


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        ([1, 1, 1], {}, r"y must have at least 2 classes, got 1 class: \[1\]"),
        (np.empty((0, 2)), {}, r"y must have shape \(n_samples, n_labels\), at least 1 of each, got \(0, 2\)"),
        ([[0, 1]], {"classes": [0, 1, 2]}, r"classes must be None or arange\(2\) for a y of 2 labels, got \[0, 1, 2\]"),
        ([0, 1, 2], {"classes": [0, 1]}, r"has classes not in `self.classes_`.*new \[2\]"),
        ([0.5, 0.1, 0.2], {}, "Unknown label type: continuous"),
        (np.array(["a", 1], dtype=object), {}, "y must hold classes of one type"),
    ],
    ids=["one class", "no rows", "classes of a matrix", "unlisted class", "continuous", "mixed types"],
)
def test_what_is_no_target_is_refused(y, options, message):
    """An error says what y must be and what came."""
    with pytest.raises(ValueError, match=message):
        read_targets(y, missing_labels="error", **options)
