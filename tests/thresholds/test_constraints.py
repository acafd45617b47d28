"""Thresholds that keep a precision or a recall, against all thresholds."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest

from sk_quadrant._thresholds.constraints import Constraint, lower_bound
from sk_quadrant._thresholds.curves import all_thresholds
from sk_quadrant._thresholds.held_out import HeldOut

CASES = list(product(["precision", "recall"], [0.5, 0.8, 0.95], [None, 0.8]))


def held_out_of(seed, n_samples=60, n_labels=2, weighted=False):
    """Return scores in (0, 1) that are about the probabilities of their targets."""
    rng = np.random.default_rng(seed)
    scores = rng.random((n_samples, n_labels)) ** 1.5
    return HeldOut(scores, rng.random(scores.shape) < scores, None, rng.random(n_samples) if weighted else None)


def precision_and_recall(held_out, thresholds):
    """Return both for all labels counted together, a precision of 0 without predictions."""
    found, predicted, positive = (count.sum() for count in held_out.counts(held_out.scores > thresholds))
    return found / predicted if predicted else 0.0, found / positive


@pytest.mark.parametrize("k", [0, 1, 7, 20])
def test_the_bound_is_that_of_clopper_and_pearson(k):
    """SciPy's exact one-sided interval of a binomial proportion."""
    interval = binomtest(k, 20, alternative="greater").proportion_ci(0.9, method="exact")
    assert_allclose(lower_bound(np.array([k]), np.array([20]), 0.9), interval.low, atol=1e-12)


@pytest.mark.parametrize(("kind", "bound", "confidence"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_threshold_that_keeps_the_constraint_has_a_higher_other_value(kind, bound, confidence, weighted):
    """All thresholds of each label are tried; one that cannot keep it is never predicted, or always."""
    held_out = held_out_of(0, weighted=weighted)
    constraint = Constraint(kind, bound, "label", confidence)
    groups = [np.array([0]), np.array([1])]
    found = constraint.tune(held_out, groups, np.full(2, np.inf), 1)
    met = constraint.met(held_out, found, np.zeros(2, dtype=bool))
    for label, threshold in enumerate(found):
        alone = held_out.labels(np.array([label]))
        tried = [each for each in all_thresholds(alone.scores) if keeps(constraint, alone, np.array([each]))]
        other = [precision_and_recall(alone, np.array([each]))[kind == "precision"] for each in tried]
        assert met[label] == bool(tried)
        if tried:
            value = precision_and_recall(alone, np.array([threshold]))[kind == "precision"]
            assert value == pytest.approx(max(other), abs=1e-12)
        else:
            assert threshold == (np.inf if kind == "precision" else -np.inf)


def keeps(constraint, held_out, thresholds):
    """Return whether all labels counted together keep a constraint."""
    return constraint.met(held_out, thresholds, np.ones(held_out.n_labels, dtype=bool)).all()


@pytest.mark.parametrize(("kind", "bound", "confidence"), CASES)
def test_together_labels_do_better_than_with_one_threshold(kind, bound, confidence):
    """The micro-averaged value is kept, with at least the other value of the best shared threshold, up to one row."""
    held_out = held_out_of(1, 200, 4)
    constraint = Constraint(kind, bound, "micro", confidence)
    shared = constraint.tune(held_out, [np.arange(4)], np.full(4, np.inf), 1)
    found = constraint.tune(held_out, [np.array([j]) for j in range(4)], np.full(4, np.inf), 1)
    assert keeps(constraint, held_out, found)
    values = [precision_and_recall(held_out, each)[kind == "precision"] for each in (found, shared)]
    assert values[0] >= values[1] - 0.02


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("kind", "bound", "confidence"), CASES)
def test_no_shared_threshold_that_keeps_the_constraint_on_all_labels_is_better(seed, kind, bound, confidence):
    """One threshold of all labels is found among all thresholds, as that of a single label is."""
    held_out = held_out_of(seed)
    constraint = Constraint(kind, bound, "micro", confidence)
    found = constraint.tune(held_out, [np.arange(2)], np.full(2, np.inf), 1)
    tried = [np.full(2, each) for each in all_thresholds(held_out.scores)]
    other = [
        precision_and_recall(held_out, each)[kind == "precision"] for each in tried if keeps(constraint, held_out, each)
    ]
    if other:
        assert precision_and_recall(held_out, found)[kind == "precision"] == pytest.approx(max(other), abs=1e-12)
    else:
        assert found[0] == (np.inf if kind == "precision" else -np.inf)


def test_a_constraint_on_all_labels_is_met_by_all_or_none():
    """`met` counts together what shares a threshold."""
    held_out = held_out_of(2)
    assert_array_equal(
        Constraint("recall", 0.9, "micro", None).met(held_out, np.full(2, -np.inf), np.zeros(2, bool)), True
    )
    assert_array_equal(
        Constraint("precision", 0.9, "label", None).met(held_out, np.full(2, np.inf), np.zeros(2, bool)), False
    )


@pytest.mark.parametrize(
    "constraint", [("f1", 0.9), ("precision",), ("recall", 0.0), ("recall", 1.5), ("recall", 0.5, "macro")], ids=str
)
def test_other_constraints_are_refused(constraint):
    """The error shows what is allowed."""
    with pytest.raises(ValueError, match=r"constraint must be \('precision', value\) or \('recall', value\)"):
        Constraint.of(constraint, 0.95)
