"""Losses agree with implementations and formulas published elsewhere."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import hinge_loss, log_loss
from torch.nn.functional import binary_cross_entropy_with_logits

from sk_quadrant.losses import (
    ZLPR,
    Asymmetric,
    BCEWithLogits,
    Focal,
    Hinge,
    ModifiedHuber,
    Poly1,
    ShiftedSigmoidBCE,
    SigmoidBCE,
)


@pytest.fixture(params=["hard", "soft"])
def problem(request):
    """Scores and targets of 40 rows and 5 labels."""
    rng = np.random.default_rng(7)
    scores, targets = rng.normal(scale=4, size=(40, 5)), rng.uniform(size=(40, 5))
    if request.param == "hard":
        targets = np.round(targets)
    return torch.tensor(scores, requires_grad=True), torch.tensor(targets)


def assert_same(loss, published, problem):
    """Compare values and gradients of a labelwise loss with a published function of scores and targets."""
    scores, targets = problem
    expected = published(scores, targets)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), scores)
    values, gradient = loss.per_label_and_gradient(scores.detach(), targets)
    assert_allclose(values, expected.detach(), rtol=1e-9)
    assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pos_weight", [1.0, 0.2, 5.0])
def test_bce_with_logits_is_that_of_pytorch(problem, pos_weight):
    """``torch.nn.BCEWithLogitsLoss`` with ``pos_weight``."""
    published = torch.nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor(pos_weight, dtype=torch.float64))
    assert_same(BCEWithLogits(pos_weight=pos_weight), published, problem)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sigmoid_bce_is_that_of_pytorch(dtype):
    """``torch.nn.Sigmoid`` and ``torch.nn.BCELoss``, with its clamp and its dead zone."""
    scores = torch.tensor([[-200.0], [-17], [-3], [0], [3], [17], [200]], dtype=dtype, requires_grad=True)
    for target in (0.0, 0.3, 1.0):
        targets = torch.full_like(scores, target)
        expected = torch.nn.BCELoss(reduction="none")(torch.nn.Sigmoid()(scores), targets)
        (expected_gradient,) = torch.autograd.grad(expected.sum(), scores)
        values, gradient = SigmoidBCE().per_label_and_gradient(scores, targets)
        assert_allclose(values, expected.detach(), rtol=0)
        assert_allclose(gradient, expected_gradient, rtol=0)


def test_sigmoid_bce_has_a_dead_zone_in_single_precision():
    """A score of 17 for an absent label costs 100 and is never corrected; with logits it costs 17 and is."""
    scores, targets = torch.tensor([[17.0]]), torch.tensor([[0.0]])
    assert [x.item() for x in SigmoidBCE().per_label_and_gradient(scores, targets)] == [100.0, 0.0]
    value, gradient = BCEWithLogits().per_label_and_gradient(scores, targets)
    assert value.item() == pytest.approx(17)
    assert gradient.item() == pytest.approx(1)


def test_shifted_sigmoid_bce_is_bce_of_the_modified_sigmoid(problem):
    """The tutorial's formula: ``BCELoss`` of ``1 / (2 + exp(-s))``."""
    assert_same(
        ShiftedSigmoidBCE(),
        lambda s, t: torch.nn.functional.binary_cross_entropy(1 / (2 + torch.exp(-s)), t, reduction="none"),
        problem,
    )


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (2.0, 0.25), (1.5, 0.7), (0.0, None)])
def test_focal_is_that_of_torchvision(problem, gamma, alpha):
    """The formula of ``torchvision.ops.sigmoid_focal_loss``, for hard targets as there."""
    scores, targets = problem
    targets = targets.round()

    def sigmoid_focal_loss(inputs, targets):
        p = torch.sigmoid(inputs)
        ce_loss = binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        p_t = p * targets + (1 - p) * (1 - targets)
        loss = ce_loss * ((1 - p_t) ** gamma)
        if alpha is not None:
            loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
        return loss

    assert_same(Focal(gamma=gamma, alpha=alpha), sigmoid_focal_loss, (scores, targets))


@pytest.mark.parametrize(
    ("gamma_pos", "gamma_neg", "clip"),
    [(1.0, 4.0, 0.05), (0.0, 4.0, 0.05), (0.0, 2.0, 0.0), (0.5, 1.0, 0.2), (1.0, 0.0, 0.2)],
)
def test_asymmetric_is_that_of_its_authors(problem, gamma_pos, gamma_neg, clip):
    """The formula of ``AsymmetricLoss`` in the ASL repository, with the gradient of the weights kept."""
    scores, targets = problem
    targets = targets.round()

    def asymmetric_loss(x, y):
        xs_pos = torch.sigmoid(x)
        xs_neg = (1 - xs_pos + clip).clamp(max=1)
        loss = y * torch.log(xs_pos.clamp(min=1e-8)) + (1 - y) * torch.log(xs_neg.clamp(min=1e-8))
        pt = xs_pos * y + xs_neg * (1 - y)
        return -loss * torch.pow(1 - pt, gamma_pos * y + gamma_neg * (1 - y))

    moderate = scores.detach().clamp(-8, 8).requires_grad_()  # further out the published formula loses digits
    assert_same(Asymmetric(gamma_pos=gamma_pos, gamma_neg=gamma_neg, clip=clip), asymmetric_loss, (moderate, targets))


@pytest.mark.parametrize("epsilon", [-0.5, 1.0, 2.0])
def test_poly1_is_that_of_its_authors(problem, epsilon):
    """Algorithm 1 of the PolyLoss paper: cross-entropy + epsilon (1 - p_t)."""
    scores, targets = problem
    targets = targets.round()

    def poly1_cross_entropy(logits, labels):
        p = torch.sigmoid(logits)
        pt = labels * p + (1 - labels) * (1 - p)
        return binary_cross_entropy_with_logits(logits, labels, reduction="none") + epsilon * (1 - pt)

    assert_same(Poly1(epsilon=epsilon), poly1_cross_entropy, (scores, targets))


def test_zlpr_is_that_of_its_authors(problem):
    """``multilabel_categorical_crossentropy`` of bert4keras, for hard targets as there."""
    scores, targets = problem
    targets = targets.round()
    y_pred = (1 - 2 * targets) * scores
    y_neg, y_pos = y_pred - targets * 1e12, y_pred - (1 - targets) * 1e12
    zeros = torch.zeros_like(y_pred[:, :1])
    expected = torch.cat([y_neg, zeros], dim=1).logsumexp(dim=1) + torch.cat([y_pos, zeros], dim=1).logsumexp(dim=1)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), scores)
    values, gradient = ZLPR().values_and_gradient(scores.detach(), targets)
    assert_allclose(values[:, 0], expected.detach(), rtol=1e-10)
    assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-12)


def test_hinge_is_that_of_scikit_learn():
    """``sklearn.metrics.hinge_loss`` of each label."""
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(30, 3)), rng.integers(0, 2, size=(30, 3))
    expected = [hinge_loss(targets[:, j], scores[:, j]) for j in range(3)]
    values = Hinge().per_label(torch.tensor(scores), torch.tensor(targets))
    assert_allclose(values.mean(dim=0), expected, rtol=1e-12)


def test_bce_is_the_log_loss_of_scikit_learn():
    """``sklearn.metrics.log_loss`` of the probabilities of each label."""
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(30, 3)), rng.integers(0, 2, size=(30, 3))
    probabilities = BCEWithLogits().link.inverse(scores)
    expected = [log_loss(targets[:, j], probabilities[:, j]) for j in range(3)]
    values = BCEWithLogits().per_label(torch.tensor(scores), torch.tensor(targets))
    assert_allclose(values.mean(dim=0), expected, rtol=1e-12)


def test_modified_huber_link_is_that_of_scikit_learn():
    """``SGDClassifier(loss="modified_huber").predict_proba``."""
    X, Y = make_multilabel_classification(n_samples=60, n_features=4, random_state=0)
    sgd = SGDClassifier(loss="modified_huber", random_state=0).fit(X, Y[:, 0])
    probabilities = ModifiedHuber().link.inverse(sgd.decision_function(X) / 20)  # mostly between -1 and 1
    sgd.coef_, sgd.intercept_ = sgd.coef_ / 20, sgd.intercept_ / 20
    assert_allclose(probabilities, sgd.predict_proba(X)[:, 1], atol=1e-12)
    assert np.ptp(probabilities) > 0.5
