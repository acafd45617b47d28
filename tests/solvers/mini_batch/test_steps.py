"""Training on mini-batches: fast steps that are the plain steps."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.mini_batch import batches as batches_module
from sk_quadrant._solvers.mini_batch import steps
from sk_quadrant._solvers.mini_batch.net import MultiLabelNet
from sk_quadrant.losses import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_rows(n_samples=90, n_features=5, n_labels=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)).astype(dtype)
    Y = (X[:, :n_labels] + rng.standard_normal((n_samples, n_labels)) > 0.3).astype(int)
    return X, Y


def fit(X, Y, sample_weight=None, **params):
    defaults = {"solver": "adamw", "max_iter": 4, "batch_size": 16, "random_state": 0, "learning_rate_init": 0.05}
    return QuadrantMultiLabelClassifier(**defaults | params).fit(X, Y, sample_weight=sample_weight)


def autograd_step(net, batch, **fit_params):
    """Return loss and scores after autograd of the criterion and the penalty."""
    features, targets = batch
    scores = net.module_(features)
    loss = net.criterion_(scores, targets)
    (loss + 0.5 * net.penalty_ * sum(layer.weight.square().sum() for layer in net.module_.layers)).backward()
    return {"loss": loss, "y_pred": scores}


@pytest.fixture
def plain_steps(monkeypatch):
    """Return a function that makes all later training take steps in the loop of skorch, with autograd."""

    def start():
        monkeypatch.setattr(MultiLabelNet, "_shows_batches", lambda net: True)
        monkeypatch.setattr(MultiLabelNet, "train_step_single", autograd_step)

    return start


def assert_same_model(first, second, rtol=1e-7):
    for attribute in ("coef_", "intercept_", "loss_curve_"):
        np.testing.assert_allclose(getattr(first, attribute), getattr(second, attribute), rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_analytic_steps_are_those_of_autograd(loss, plain_steps):
    """Coefficients and losses agree with skorch's own steps for every loss."""
    X, Y = make_rows()
    fast = fit(X, Y, loss=loss)
    plain_steps()
    assert_same_model(fast, fit(X, Y, loss=loss))


@pytest.mark.parametrize(
    ("params", "weighted", "masked", "as_sparse"),
    [
        ({"fit_intercept": False}, False, False, False),
        ({"C": np.inf}, False, False, False),
        ({"C": 0.01}, "rows", False, False),
        ({}, "labels", True, False),
        ({}, False, False, True),
        ({"fit_intercept": False, "C": 0.1}, "labels", True, True),
    ],
    ids=["no-intercept", "no-penalty", "row-weights", "label-weights-and-mask", "sparse", "sparse-everything"],
)
@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr"])
def test_analytic_steps_agree_with_autograd_on_all_kinds_of_data(
    loss, params, weighted, masked, as_sparse, plain_steps
):
    """Intercepts, penalties, weights, unknown labels and sparse rows all enter as in skorch's own steps."""
    X, Y = make_rows()
    rng = np.random.default_rng(1)
    weight = {"rows": rng.uniform(0.5, 2, len(X)), "labels": rng.uniform(0.5, 2, Y.shape), False: None}[weighted]
    if masked:
        Y = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
    params = {"loss": loss, "missing_labels": "ignore", **params}
    X = sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0)) if as_sparse else X
    fast = fit(X, Y, weight, **params)
    plain_steps()
    assert_same_model(fast, fit(X, Y, weight, **params))


def test_a_step_on_all_rows_is_a_step_of_pytorch():
    """With one batch an epoch the coefficients are those of a plain PyTorch loop on the documented objective."""
    X, Y = make_rows()
    clf = fit(X, Y, C=0.5, max_iter=20, batch_size=len(X), tol=0)
    model = torch.nn.Linear(5, 3, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0)
    for _ in range(20):
        optimizer.zero_grad()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            model(torch.from_numpy(X)), torch.from_numpy(Y).double(), reduction="sum"
        )
        objective = (0.5 * losses + 0.5 * model.weight.square().sum()) / (0.5 * len(X))
        objective.backward()
        optimizer.step()
    np.testing.assert_allclose(clf.coef_, model.weight.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(clf.intercept_, model.bias.detach().numpy(), rtol=1e-10)


def test_without_the_private_kernel_the_steps_are_the_same(monkeypatch):
    """A PyTorch that has no fused kernel under that name gets the same coefficients by other operations."""
    X, Y = make_rows()
    fused = fit(X, Y)
    monkeypatch.setattr(steps, "fused_kernel_works", lambda device: False)
    assert_same_model(fused, fit(X, Y))


def test_a_kernel_that_does_something_else_is_not_used(monkeypatch):
    """The kernel is tried on known numbers before it is trusted."""
    steps.fused_kernel_works.cache_clear()
    monkeypatch.setattr(torch, "_fused_adamw_", lambda *args, **kwargs: None)
    try:
        assert not steps.fused_kernel_works("cpu")
    finally:
        steps.fused_kernel_works.cache_clear()


def test_rows_gathered_in_small_chunks_give_the_same_model(monkeypatch):
    """How many rows are gathered at a time changes memory, not results."""
    X, Y = make_rows()
    whole = fit(X, Y)
    monkeypatch.setattr(batches_module, "CHUNK_ELEMENTS", 300)
    assert_same_model(whole, fit(X, Y), rtol=1e-13)


def test_sparse_rows_are_not_densified(monkeypatch):
    """Training and prediction on sparse rows never ask for their dense form."""

    def refuse(*args, **kwargs):
        raise AssertionError("the features were densified")

    X, Y = make_rows(n_features=40)
    rows = sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0))
    expected = fit(rows.toarray(), Y)
    for kind in (sparse.csr_matrix, sparse.csr_array):
        monkeypatch.setattr(kind, "toarray", refuse)
    assert_same_model(fit(rows, Y), expected)


def test_weight_zero_is_a_row_left_out_of_the_sum():
    """Rows of weight zero do not change the objective of a full batch."""
    X, Y = make_rows()
    weight = np.r_[np.ones(60), np.zeros(30)]
    weighted = fit(X, Y, weight, batch_size=90, tol=0)
    removed = fit(X[:60], Y[:60], batch_size=60, tol=0)
    np.testing.assert_allclose(weighted.coef_, removed.coef_, rtol=1e-9)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_loss_has_the_same_gradient_alone_as_with_its_value(loss):
    """`gradient` is the second part of `values_and_gradient`, with and without masks and weights."""
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(20, 4, generator=generator, dtype=torch.float64)
    targets = (torch.rand(20, 4, generator=generator) < 0.4).double()
    mask, weight = torch.rand(2, 20, 4, generator=generator, dtype=torch.float64)
    loss = LOSSES[loss]()
    for extra in ((), (mask < 0.7, weight)):
        expected = loss.values_and_gradient(scores, targets, *extra)[1]
        torch.testing.assert_close(loss.gradient(scores, targets, *extra), expected)


def test_order_of_rows_depends_on_the_seed_alone():
    """The same random_state gives the same bits, another one another model, whatever the global random states."""
    X, Y = make_rows()
    first = fit(X, Y, random_state=3)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    second, other = fit(X, Y, random_state=3), fit(X, Y, random_state=4)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert (first.coef_ != other.coef_).any()


def test_training_leaves_global_random_states_alone():
    """Neither NumPy's nor PyTorch's global generator is drawn from."""
    X, Y = make_rows()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    fit(X, Y)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
