"""Label sets of rules, and the search for thresholds with a rule in force, against all sets and all thresholds."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from sk_quadrant._thresholds.curves import all_thresholds
from sk_quadrant._thresholds.held_out import HeldOut
from sk_quadrant._thresholds.metrics import METRICS as COUNT_METRICS
from sk_quadrant._thresholds.rules import Rule, margins, shifted
from sk_quadrant._thresholds.search import TuningObjective, _State, sets_along

METRICS = {
    "f1_macro": lambda y, p, w: f1_score(y, p, average="macro", zero_division=0, sample_weight=w),
    "f1_micro": lambda y, p, w: f1_score(y, p, average="micro", zero_division=0, sample_weight=w),
    "f1_samples": lambda y, p, w: f1_score(y, p, average="samples", zero_division=0, sample_weight=w),
    "accuracy": lambda y, p, w: accuracy_score(y, p, sample_weight=w),
    "neg_hamming_loss": lambda y, p, w: -hamming_loss(y, p, sample_weight=w),
}
RULES = [Rule(1, None), Rule(0, 1), Rule(1, 2), Rule(2, 2), Rule(4, 4), Rule(3, None)]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_no_set_of_allowed_size_has_a_larger_sum_of_margins(rule):
    """The set is within its bounds, and no other set of an allowed size has a larger sum of score minus threshold."""
    rng = np.random.default_rng(0)
    scores, thresholds = rng.random((50, 4)), rng.random(4)
    sets = np.array(list(product([0, 1], repeat=4)))
    size = sets.sum(axis=1)
    sets = sets[(size >= rule.min_labels) & (size <= (rule.max_labels or 4))]
    found = rule.decide(scores, thresholds)
    best = ((scores - thresholds) @ sets.T).max(axis=1)
    assert_allclose(((scores - thresholds) * found).sum(axis=1), best, atol=1e-12)
    assert np.isin(found.sum(axis=1), sets.sum(axis=1)).all()


def test_ties_are_broken_by_score_and_then_by_order():
    """Equal margins: the larger score first; equal scores too: the first label."""
    scores, thresholds = np.array([[0.25, 0.5, 0.5]]), np.array([0.5, 0.75, 0.75])
    assert_array_equal(Rule(min_labels=1).decide(scores, thresholds), [[False, True, False]])
    assert_array_equal(Rule(min_labels=2).decide(scores, thresholds), [[False, True, True]])


def test_infinite_thresholds_and_scores_come_last_and_first():
    """A label that is never predicted is only taken to fill a row, one that always is only left out for others."""
    thresholds = np.array([np.inf, 0.5, -np.inf])
    scores = np.array([[0.9, 0.1, 0.0], [0.9, -np.inf, -np.inf], [0.1, np.inf, 0.3]])
    assert_array_equal(Rule().decide(scores, thresholds), [[0, 0, 1], [0, 0, 0], [0, 1, 1]])
    assert_array_equal(Rule(2).decide(scores, thresholds), [[0, 1, 1], [1, 1, 0], [0, 1, 1]])
    assert_array_equal(Rule(3).decide(scores, thresholds), np.ones((3, 3)))
    assert_array_equal(Rule(0, 1).decide(scores, thresholds), [[0, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert_array_equal(margins(scores[1:2], thresholds), [[-np.inf] * 3])


def test_thresholds_become_the_probability_of_one_half():
    """Odds are divided by the odds of the threshold; 0 and below count as 0, 1 and above as never."""
    p = np.array([[0.2, 0.2, 0.2, 0.2, 0.2, 0.0]])
    thresholds = np.array([0.2, 0.5, 0.0, 1.0, np.inf, 0.0])
    assert_allclose(shifted(p, thresholds), [[0.5, 0.2, 1.0, 0.0, 0.0, 0.0]])
    assert shifted(p, np.full(6, 0.5)) is p


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", ["plain", "weighted", "unknown", "ties"])
def test_each_step_takes_the_best_of_all_thresholds_of_a_label(name, rule, kind):
    """Every threshold between two distinct scores of any margin is tried for one label, given those of the others."""
    rng = np.random.default_rng(1)
    steps = 8 if kind == "ties" else 2**20  # powers of two: differences of scores and thresholds are exact
    scores, thresholds = rng.integers(0, steps, (25, 4)) / steps, rng.integers(0, 64, 4) / 64
    targets = rng.random((25, 4)) < scores
    weight = rng.integers(1, 4, 25).astype(float) if kind == "weighted" else None
    known = rng.random((25, 4)) < 0.8 if kind == "unknown" else None
    held_out = HeldOut(scores, targets & known if known is not None else targets, known, weight)
    metric = TuningObjective(COUNT_METRICS[name], rule)
    state = _State(metric, held_out, thresholds)
    before = state.value
    state.improve(np.array([2]))
    tried = np.unique(np.concatenate([scores[:, 2] - m for m in margins(scores, thresholds).T] + [scores[:, 2]]))
    best = max(
        metric.value(held_out, np.r_[thresholds[:2], each, thresholds[3]]) for each in [*all_thresholds(tried), np.inf]
    )
    assert state.value == pytest.approx(max(best, before), abs=1e-9)
    assert state.value == pytest.approx(metric.value(held_out, state.thresholds), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_those_of_scikit_learn(name, weighted):
    """The metric of label sets under a rule is scikit-learn's."""
    rng = np.random.default_rng(2)
    scores = rng.random((30, 4))
    targets = rng.random((30, 4)) < scores
    weight = rng.random(30) if weighted else None
    rule, thresholds = Rule(1, 2), np.full(4, 0.6)
    value = TuningObjective(COUNT_METRICS[name], rule).value(HeldOut(scores, targets, None, weight), thresholds)
    assert value == pytest.approx(METRICS[name](targets, rule.decide(scores, thresholds), weight), abs=1e-12)


@pytest.mark.parametrize("rule", [Rule(3, 2), Rule(5)], ids=str)
def test_rules_that_cannot_be_kept_are_refused(rule):
    """More labels at least than at most, or than there are."""
    with pytest.raises(ValueError, match="min_labels must be at most"):
        rule.check(4)


@pytest.mark.parametrize("group", [[0, 1, 2, 3, 4], [1, 3]], ids=["all labels", "two labels"])
@pytest.mark.parametrize("rule", [Rule(1, 2), Rule(2), Rule(name="expected_f1"), Rule(1, 3, "expected_f1")], ids=str)
def test_sets_along_the_thresholds_of_a_group_are_those_of_each_threshold(rule, group):
    """Rows that are skipped, because their set is the same at a lower and a higher threshold, have the right sets."""
    rng = np.random.default_rng(1)
    held_out = HeldOut(rng.beta(0.5, 1, (200, 5)), rng.random((200, 5)) < 0.3)
    state = _State(TuningObjective(COUNT_METRICS["f1_micro"], rule), held_out, np.full(5, 0.4))
    thresholds, group = np.append(np.linspace(0, 1, 33), np.inf), np.array(group)
    found = dict(sets_along(lambda k, rows: state.sets_at(group, thresholds[k], rows), thresholds.size, 200))
    for k, threshold in enumerate(thresholds):
        assert_array_equal(found[k], rule.decide(held_out.scores, np.where(np.isin(range(5), group), threshold, 0.4)))
