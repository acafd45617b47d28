"""Labels in a tree: their parents, closed and pruned sets, and consistent probabilities."""

import numpy as np
import polars
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant.hierarchy import LabelHierarchy

NAMES = ["H04L", "A01B", "A", "A01", "H", "A01C", "H04"]
HIERARCHY = LabelHierarchy.from_names(NAMES)
ABOVE = {"H04L": ["H04", "H"], "A01B": ["A01", "A"], "A01C": ["A01", "A"], "A01": ["A"], "H04": ["H"], "A": [], "H": []}


def closed(row):
    """Return a label set with all labels above, by names."""
    present = {name for name, value in zip(NAMES, row, strict=True) if value}
    return [int(name in present | {above for each in present for above in ABOVE[each]}) for name in NAMES]


def test_names_give_parents():
    """The longest other name that a name begins with, in any order of columns; or a mapping."""
    assert [NAMES[j] if j >= 0 else None for j in HIERARCHY.parents] == ["H04", "A01", None, "A", None, "A01", "H"]
    other = LabelHierarchy.from_names(["dog", "animal", "plant"], {"dog": "animal", "animal": None})
    assert other.parents == (1, -1, -1)


def test_closed_sets_have_all_ancestors_in_every_container(data):
    """Against sets of names; unknown labels stay unknown unless a descendant is present."""
    Y = data[1].to_numpy()
    expected = [closed(row) for row in Y]
    assert_array_equal(HIERARCHY.close(Y), expected)
    assert_array_equal(HIERARCHY.close(data[1]).to_numpy(), expected)
    for container in (sparse.csr_array, sparse.csr_matrix):
        found = HIERARCHY.close(container(Y))
        assert isinstance(found, container)
        assert_array_equal(found.toarray(), expected)
    assert_array_equal(HIERARCHY.close(polars.DataFrame(Y, schema=NAMES)).to_numpy(), expected)
    unknown = np.array([[0, 1, np.nan, np.nan, np.nan, 0, 0.0]])
    assert_array_equal(HIERARCHY.close(unknown), [[0, 1, 1, 1, np.nan, 0, 0]])


def test_pruned_sets_are_the_largest_closed_subsets(data):
    """A label stays if and only if all labels above it are there."""
    for row in data[1].to_numpy():
        present = {name for name, value in zip(NAMES, row, strict=True) if value}
        expected = [int(name in present and set(ABOVE[name]) <= present) for name in NAMES]
        assert_array_equal(HIERARCHY.prune(row[None])[0], expected)
        assert_array_equal(HIERARCHY.prune(sparse.csr_array(row[None])).toarray()[0], expected)


def test_probabilities_are_consistent_and_moved_as_little_as_possible():
    """A parent becomes the largest of itself and its descendants, a child the smallest of itself and its ancestors."""
    P = np.random.default_rng(0).random((50, 7))
    raised, lowered = HIERARCHY.raise_parents(P), HIERARCHY.lower_children(P)
    for j, name in enumerate(NAMES):
        below = [k for k, other in enumerate(NAMES) if name in [other, *ABOVE[other]]]
        above = [k for k, other in enumerate(NAMES) if other in [name, *ABOVE[name]]]
        assert_allclose(raised[:, j], P[:, below].max(axis=1))
        assert_allclose(lowered[:, j], P[:, above].min(axis=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelHierarchy((1, 0, -1)), r"must not have a cycle, got one above the labels \[0, 1\]"),
        (lambda: LabelHierarchy((5, -1)), "parents must be the column of the parent"),
        (lambda: LabelHierarchy.from_names(["A", "A"]), "names must be unique"),
        (lambda: LabelHierarchy.from_names(["A"], {"A": "B"}), r"must relate labels in names, got \['B'\]"),
        (lambda: HIERARCHY.close(np.zeros((2, 3))), r"a column for each of the 7 labels, got \(2, 3\)"),
    ],
)
def test_what_is_no_hierarchy_is_refused(make, message):
    """With the labels that are wrong."""
    with pytest.raises(ValueError, match=message):
        make()
