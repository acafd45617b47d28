"""F1 of label sets with their ancestors."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sk_quadrant.hierarchy import LabelHierarchy, hierarchical_f1_score

NAMES = ["H04L", "A01B", "A", "A01", "H", "A01C", "H04"]
HIERARCHY = LabelHierarchy.from_names(NAMES)


@pytest.mark.parametrize("weighted", [False, True])
def test_hierarchical_f1_is_scikit_learns_of_closed_sets(weighted, data):
    """With weights of rows; unknown labels do not count."""
    Y = data[1].to_numpy()
    predicted = np.roll(Y, 1, axis=0)
    weight = np.random.default_rng(0).random(100) if weighted else None
    expected = f1_score(HIERARCHY.close(Y), HIERARCHY.close(predicted), average="micro", sample_weight=weight)
    assert hierarchical_f1_score(Y, predicted, HIERARCHY, sample_weight=weight) == pytest.approx(expected)
    unknown = Y.astype(float)
    unknown[:, 0] = np.nan  # a leaf
    kept = HIERARCHY.close(unknown)[:, 1:], HIERARCHY.close(predicted)[:, 1:]
    expected = f1_score(*kept, average="micro", sample_weight=weight)
    assert hierarchical_f1_score(unknown, predicted, HIERARCHY, sample_weight=weight) == pytest.approx(expected)
    assert hierarchical_f1_score(np.zeros((2, 7)), np.zeros((2, 7)), HIERARCHY) == 0.0


def test_labels_and_predictions_of_other_shapes_are_refused():
    """They would be broadcast."""
    with pytest.raises(ValueError, match="must have one shape"):
        hierarchical_f1_score(np.zeros((2, 7)), np.zeros((3, 7)), HIERARCHY)
