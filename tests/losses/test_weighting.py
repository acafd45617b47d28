"""Masks and weights of rows and labels."""

import subprocess
import sys

import torch
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant.losses.weighting import known, split_weight, weighted

NAN, INF = float("nan"), float("inf")
MASK = torch.tensor([[True, False, True], [False, False, False]])


def test_unknown_labels_are_zero_in_scores_and_targets():
    """Scores and targets of unknown labels become 0, the others stay, and so do all without a mask."""
    scores, targets = torch.tensor([[1.0, INF, 3.0], [4.0, NAN, 6.0]]), torch.full((2, 3), NAN).masked_fill(MASK, 1)
    expected = torch.tensor([[1.0, 0, 3], [0, 0, 0]])
    assert_array_equal(known(scores, targets, MASK)[0], expected)
    assert_array_equal(known(scores, targets, MASK)[1], MASK.float())
    assert known(scores, targets, None) == (scores, targets)


def test_labels_that_are_unknown_or_of_weight_zero_have_no_value():
    """Values times weights, but 0, not NaN, where an infinite or unknown value has no weight or no target."""
    values, weight = torch.tensor([[2.0, NAN, INF], [INF, NAN, 1.0]]), torch.tensor([[3.0, 1, 0], [1, 1, 1]])
    assert_array_equal(weighted(values, MASK, weight), torch.tensor([[6.0, 0, 0], [0, 0, 0]]))
    assert weighted(values, None, None) is values


def test_weights_are_the_mean_of_a_row_times_relative_ones():
    """The mean of a row is over known labels; relative weights are 1 on average; rows without a weight have none."""
    weight = torch.tensor([[1.0, 100, 3], [5, 5, 5]])
    rows, labels = split_weight(weight, MASK)
    assert_allclose(rows, [2, 0])
    assert_allclose(labels, [[0.5, 0, 1.5], [0, 0, 0]])
    rows, labels = split_weight(weight, None)
    assert_allclose(rows[:, None] * labels, weight)


def test_weights_of_rows_stay_as_they_are():
    """Neither weights of rows nor absent ones are split."""
    weight = torch.tensor([1.0, 2.0])
    assert split_weight(weight, MASK) == (weight, None)
    assert split_weight(None, MASK) == (None, None)


def test_module_imports_no_torch():
    """Whoever handles masks and weights imports nothing heavy with this module."""
    code = "import sys, sk_quadrant.losses.weighting; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
