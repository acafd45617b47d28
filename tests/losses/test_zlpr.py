"""ZLPR: identities, hard and soft targets, masked spans, what its scores mean."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sk_quadrant.losses import ZLPR, BCEWithLogits, Exponential


def row(*values, dtype=torch.float64):
    """Return a tensor of one row."""
    return torch.tensor([values], dtype=dtype)


@pytest.fixture
def scores():
    """Scores of 50 rows and 7 labels."""
    return torch.tensor(np.random.default_rng(0).normal(scale=2, size=(50, 7)))


@pytest.fixture
def targets():
    """Hard targets of 50 rows and 7 labels."""
    return torch.tensor(np.random.default_rng(1).integers(0, 2, size=(50, 7)), dtype=torch.float64)


def test_zlpr_is_the_log_compressed_exponential_loss(scores, targets):
    """With N the sum of e^s over negatives and P that of e^-s over positives: log(1 + N) + log(1 + P) against N + P."""
    n = ((1 - targets) * scores.exp()).sum(dim=1)
    p = (targets * (-scores).exp()).sum(dim=1)
    assert_allclose(ZLPR().per_sample(scores, targets), n.log1p() + p.log1p(), rtol=1e-13)
    assert_allclose(Exponential().per_sample(scores, targets), n + p, rtol=1e-13)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_zlpr_of_one_label_is_binary_cross_entropy(target):
    """With one label and a hard target both losses are log(1 + e^(-/+ s))."""
    scores = torch.linspace(-50, 50, 101, dtype=torch.float64)[:, None]
    targets = torch.full_like(scores, target)
    assert_allclose(ZLPR().per_sample(scores, targets), BCEWithLogits().per_sample(scores, targets), rtol=1e-14)


def test_zlpr_with_a_great_bound_is_the_exponential_loss(scores, targets):
    """Times e^b, the loss above its minimum 2 b approaches the exponential loss."""
    bound = 18.0
    excess = math.exp(bound) * (ZLPR(bound=bound).per_sample(scores, targets) - 2 * bound)
    assert_allclose(excess, Exponential().per_sample(scores, targets), rtol=1e-5)


@pytest.mark.parametrize("masked", [-1e7, -1e12, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_masked_scores_contribute_nothing(masked, dtype):
    """A masked score of an absent label changes neither the loss nor a gradient, and gets none."""
    scores, targets = row(2, masked, 0.5, dtype=dtype), row(1, 0, 0, dtype=dtype)
    kept = [0, 2]
    leaf = scores.clone().requires_grad_()
    value = ZLPR().per_sample(leaf, targets)
    value.backward()
    _, gradient = ZLPR().values_and_gradient(scores, targets)
    _, expected = ZLPR().values_and_gradient(scores[:, kept], targets[:, kept])

    assert value.item() == pytest.approx(1.10100499522, abs=1e-11 if dtype == torch.float64 else 1e-7)
    assert value.item() == ZLPR().per_sample(scores[:, kept], targets[:, kept]).item()
    for actual in (leaf.grad, gradient):
        assert actual[0, 1] == 0
        assert_allclose(actual[:, kept], expected, rtol=1e-6)


def test_row_of_masked_scores_has_no_loss():
    """Where every score is masked the sums are empty: no loss, no gradient, no NaN."""
    scores = torch.full((1, 3), -math.inf).requires_grad_()
    value = ZLPR().per_sample(scores, torch.zeros(1, 3))
    value.backward()
    assert value.item() == 0
    assert (scores.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_tiny_targets_are_real_targets(dtype):
    """A target of 1e-9 at a score of -30 is worth 1e-9 e^30 = 10687, one of 1e-30 at -80 is worth 55406."""
    value = ZLPR().per_sample(row(-30, -1, 0.5, dtype=dtype), row(1e-9, 0, 1, dtype=dtype))
    assert value.item() == pytest.approx(9.59014617, abs=5e-9 if dtype == torch.float64 else 5e-6)
    value = ZLPR().per_sample(row(-80, dtype=dtype), row(1e-30, dtype=dtype))
    assert value.item() == pytest.approx(math.log1p(1e-30 * math.exp(80)), rel=1e-6)


def test_soft_targets_are_exact():
    """Soft targets give 2.319 where a formula for hard ones returns .474 in silence."""
    value = ZLPR().per_sample(row(2, -1e7, 0.5), row(0.3, 0, 1))
    assert value.item() == pytest.approx(2.3191130372235198982, rel=1e-14)


def test_weights_multiply_the_terms_of_the_sums(scores, targets):
    """Weight 2 on a label is that label twice in the row."""
    weight = torch.ones_like(scores)
    weight[:, 3] = 2
    twice = [0, 1, 2, 3, 3, 4, 5, 6]
    repeated = ZLPR().per_sample(scores[:, twice], targets[:, twice])
    assert_allclose(ZLPR().per_sample(scores, targets, None, weight), repeated, rtol=1e-13)


def test_temperature_and_threshold_scale_and_shift_the_scores(scores, targets):
    """The loss at temperature tau and threshold s0 is the plain loss of tau (s - s0), divided by tau."""
    loss = ZLPR(temperature=3.0, threshold=-0.25)
    expected = ZLPR().per_sample(3 * (scores + 0.25), targets) / 3
    assert_allclose(loss.per_sample(scores, targets), expected, rtol=1e-13)


def _best_scores(loss, outcomes, probabilities):
    """Return the constant scores that minimise the expected loss over outcomes, rows of 0/1 labels."""
    outcomes = torch.tensor(outcomes, dtype=torch.float64)
    probabilities = torch.tensor(probabilities, dtype=torch.float64)

    def objective(scores):
        values, gradient = loss.values_and_gradient(torch.tensor(scores).expand_as(outcomes), outcomes)
        return float(probabilities @ values[:, 0]), (probabilities @ gradient).numpy()

    start = np.zeros(outcomes.shape[1])
    return minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-10}).x


def test_zero_is_not_always_one_half():
    """A label of probability .535 has a negative score where it comes with another one often enough."""
    outcomes, joint = [[0, 0], [0, 1], [1, 0], [1, 1]], np.array([0.463, 0.003, 0.316, 0.219])
    eta = joint @ np.array(outcomes) / joint.sum()
    scores = _best_scores(ZLPR(), outcomes, joint / joint.sum())
    assert_allclose(eta, [0.5348, 0.2213], atol=1e-3)
    assert_allclose(scores, [-0.0078, -1.173], atol=3e-3)  # the joint probabilities are rounded to three digits


@pytest.mark.parametrize(
    ("n_labels", "slope"), [(1, 1.0), (5, 1.19), (10, 1.43)], ids=["one label", "five labels", "ten labels"]
)
def test_scores_of_independent_hard_labels_lie_between_two_links(n_labels, slope):
    """logit(eta) is slope times the score, 1 for one label and towards 2 for many: sigmoid(2 s) is for soft targets."""
    eta = 0.3
    outcomes = np.array(np.meshgrid(*[[0, 1]] * n_labels)).reshape(n_labels, -1).T
    probabilities = np.prod(np.where(outcomes == 1, eta, 1 - eta), axis=1)
    scores = _best_scores(ZLPR(), outcomes, probabilities)
    assert_allclose(math.log(eta / (1 - eta)) / scores, slope, atol=0.12)


@pytest.mark.parametrize(("bound", "error"), [(0, 0.1501), (2, 0.0309), (4, 0.00452), (6, 0.000619)])
def test_bound_makes_the_link_right_for_hard_labels(bound, error):
    """The largest error of the link for one hard label falls with the bound; expected values by root finding."""
    loss = ZLPR(bound=float(bound))
    etas = np.linspace(0.01, 0.99, 99)
    scores = np.array([_best_scores(loss, [[0], [1]], [1 - eta, eta])[0] for eta in etas])
    assert np.abs(loss.link.inverse(scores) - etas).max() == pytest.approx(error, rel=0.01)


def dense_of(indices, n_labels):
    """Return 0/1 targets of padded indices of shape (..., k)."""
    dense = torch.zeros(*indices.shape[:-1], n_labels + 1, dtype=torch.float64)
    return dense.scatter(-1, indices.masked_fill(indices < 0, n_labels), 1.0)[..., :-1]


INDICES = {
    "padded": [[2, 0, -100], [1, -100, -100], [-100, -100, -100], [5, 6, 0]],
    "padding first": [[-100, -100, 3], [-100, 0, -100], [6, -100, 6], [-100, -100, -100]],
    "repeated": [[2, 2, 2], [0, 0, 1], [6, 6, -100], [3, 4, 3]],
    "none": [[], [], [], []],
    "more than labels": [[0, 1, 2, 3, 4, 5, 6, -100, 0], [-100] * 9, [1] * 9, [6, -100, 5, -100, 4, 3, 2, 1, 1]],
}


@pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("loss", [ZLPR(), ZLPR(temperature=2.0, threshold=0.5, bound=1.0)], ids=repr)
@pytest.mark.parametrize("shape", [(4,), (2, 2)], ids=str)
def test_targets_as_indices_are_dense_targets(loss, indices, shape):
    """Losses and gradients are those of the dense targets, whatever the order, padding and repetition."""
    indices = torch.tensor(indices, dtype=torch.int64).reshape(*shape, -1)
    leaf = torch.tensor(np.random.default_rng(0).normal(scale=3, size=(*shape, 7)), requires_grad=True)
    for reduction in ("mean", "sum", "none"):
        sparse, dense = (
            loss.from_indices(leaf, indices, reduction=reduction),
            loss(leaf, dense_of(indices, 7), reduction=reduction),
        )
        assert_allclose(sparse.detach(), dense.detach(), rtol=1e-13)
        gradients = [torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0] for value in (sparse, dense)]
        assert_allclose(*gradients, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_indices_survive_extreme_scores(dtype):
    """Masked scores, equal scores and a present label that outweighs the rest: no NaN, the dense values."""
    scores = torch.tensor([[-math.inf, 3, -1e12, 80.0], [5, 5, 5, 5], [1e4, -1e4, 0, 90]]).to(dtype).requires_grad_()
    indices = torch.tensor([[1, -100], [0, 3], [3, -100]])
    value = ZLPR().from_indices(scores, indices)
    value.backward()
    dense = ZLPR()(scores.detach(), dense_of(indices, 4).to(dtype))
    assert_allclose(value.detach(), dense, rtol=1e-6)
    assert scores.grad.isfinite().all()


def test_other_padding_and_many_labels():
    """Any integer pads; ten thousand labels, of spans with heads, have the loss of dense targets."""
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.normal(size=(2, 3, 100 * 100)).astype(np.float32))
    indices = torch.tensor(rng.integers(0, 10_000, (2, 3, 5)))
    indices[0, 1, 2:] = 10_000
    dense = dense_of(indices.masked_fill(indices == 10_000, -100), 10_000).float()
    assert_allclose(ZLPR().from_indices(scores, indices, ignore_index=10_000), ZLPR()(scores, dense), rtol=1e-6)


def test_indices_that_do_not_fit_are_refused():
    """Other axes of rows, targets in place of indices, and indices of no label raise errors."""
    with pytest.raises(ValueError, match=r"indices must have shape \(2, 'k'\) .* got \(3, 1\)"):
        ZLPR().from_indices(torch.zeros(2, 4), torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"indices must be integers, got torch\.float32"):
        ZLPR().from_indices(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"reduction must be .* got 'average'"):
        ZLPR().from_indices(torch.zeros(2, 4), torch.zeros(2, 1, dtype=torch.int64), reduction="average")
    for index in (4, -1):
        with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
            ZLPR().from_indices(torch.zeros(1, 4), torch.tensor([[index, 0]]))
