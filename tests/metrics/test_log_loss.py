"""Multi-label log loss against scikit-learn's, label by label."""

import warnings

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import log_loss

from sk_quadrant.datasets import make_quadrants
from sk_quadrant.metrics import multilabel_log_loss


@pytest.fixture
def data():
    """Labels and probabilities of 200 rows and 4 labels; some are 0 or 1 and wrong."""
    rng = np.random.default_rng(0)
    proba = rng.random((200, 4))
    proba[:5] = rng.integers(0, 2, size=(5, 4))
    return (rng.random((200, 4)) < 0.3).astype(int), proba


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_each_label_has_the_loss_of_scikit_learn(data, weighted, dtype):
    """A label by itself is a binary problem, which sklearn.metrics.log_loss gets right, clipping included."""
    y, proba = data
    proba = proba.astype(dtype)
    weight = np.random.default_rng(1).random(len(y)) if weighted else None
    expected = [log_loss(y[:, j], proba[:, j], sample_weight=weight, labels=[0, 1]) for j in range(4)]
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    losses = multilabel_log_loss(y, proba, average=None, sample_weight=weight)
    np.testing.assert_allclose(losses, expected, rtol=rtol)
    for average in ("micro", "macro"):
        loss = multilabel_log_loss(y, proba, average=average, sample_weight=weight)
        np.testing.assert_allclose(loss, np.mean(expected), rtol=rtol)


def test_unknown_labels_are_left_out_of_each_label(data):
    """With unknown labels, each label has the loss of its known rows; micro weighs entries, macro labels."""
    y, proba = data
    y = y.astype(float)
    y[:150, 0] = np.nan
    y[7:20, 2] = np.nan
    known = ~np.isnan(y)
    expected = [log_loss(y[known[:, j], j], proba[known[:, j], j], labels=[0, 1]) for j in range(4)]
    np.testing.assert_allclose(multilabel_log_loss(y, proba, average=None), expected)
    np.testing.assert_allclose(multilabel_log_loss(y, proba, average="macro"), np.mean(expected))
    pooled = log_loss(y[known], proba[known], labels=[0, 1])
    np.testing.assert_allclose(multilabel_log_loss(y, proba), pooled)
    assert abs(pooled - np.mean(expected)) > 1e-3


def test_scikit_learn_rewards_predicting_every_label():
    """All ones score as well as the truth in scikit-learn, and far worse than an informed guess here."""
    _, Y, proba = make_quadrants(n_samples=400, n_features=3, slope=2.0, random_state=0, return_proba=True)
    ones = np.ones_like(proba)
    has_label = Y.any(axis=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The y_pr", UserWarning)  # rows do not sum to one: all that it says
        assert log_loss(Y[has_label], ones[has_label]) == log_loss(Y[has_label], Y[has_label].astype(float))
        assert log_loss(Y[has_label], ones[has_label]) < log_loss(Y[has_label], proba[has_label])
    assert multilabel_log_loss(Y, ones) > 10 > 1 > multilabel_log_loss(Y, proba) > multilabel_log_loss(Y, Y)


def test_true_probabilities_have_the_smallest_loss():
    """The loss is proper: tilting the true probabilities either way makes it larger, by more than chance."""
    _, Y, proba = make_quadrants(n_samples=40_000, slope=1.5, random_state=0, return_proba=True)
    best = multilabel_log_loss(Y, proba)
    for tilt in (0.7, 1.4):
        odds = (proba / (1 - proba)) ** tilt
        assert multilabel_log_loss(Y, odds / (1 + odds)) > best + 1e-3


def test_soft_targets_reach_their_entropy():
    """With soft targets the loss of the targets themselves is their entropy, and of others cross-entropy."""
    _, Y, _ = make_quadrants(n_samples=400, slope=2.0, soft_labels=True, random_state=0, return_proba=True)
    outcomes = np.stack([Y, 1 - Y])
    np.testing.assert_allclose(multilabel_log_loss(Y, Y), entropy(outcomes).mean())
    other = np.full_like(Y, 0.3)
    gap = entropy(outcomes, np.stack([other, 1 - other])).mean()
    np.testing.assert_allclose(multilabel_log_loss(Y, other), multilabel_log_loss(Y, Y) + gap)


def test_soft_targets_equal_the_mix_of_hard_ones(data):
    """A target of 1/4 costs a quarter of a 1 and three quarters of a 0."""
    _, proba = data
    soft = multilabel_log_loss(np.full_like(proba, 0.25), proba)
    mixed = (
        multilabel_log_loss(np.ones_like(proba), proba) / 4 + multilabel_log_loss(np.zeros_like(proba), proba) * 3 / 4
    )
    np.testing.assert_allclose(soft, mixed)


@pytest.mark.parametrize(("dtype", "largest"), [(np.float64, 36.04365), (np.float32, 15.942385)])
@pytest.mark.parametrize("target", [0, 1])
def test_certain_and_wrong_costs_a_finite_loss(dtype, largest, target):
    """Probabilities are clipped by the eps of their type: the loss is -log(eps), not infinite."""
    loss = multilabel_log_loss([[target]], np.array([[1 - target]], dtype=dtype))
    np.testing.assert_allclose(loss, largest, rtol=1e-6)


def test_certain_and_right_costs_nothing():
    """The truth as prediction has loss 0 up to clipping."""
    y = np.array([[0, 1], [1, 1]])
    assert 0 <= multilabel_log_loss(y, y) < 1e-15


def test_one_label_is_the_binary_log_loss(data):
    """A single column is legal and has the loss of the binary problem."""
    y, proba = data
    np.testing.assert_allclose(multilabel_log_loss(y[:, :1], proba[:, :1]), log_loss(y[:, 0], proba[:, 0]))


def test_unknown_average_is_refused(data):
    """The error lists what is allowed."""
    with pytest.raises(ValueError, match=r"'average' parameter of multilabel_log_loss must be a str among .* or None"):
        multilabel_log_loss(*data, average="samples")
