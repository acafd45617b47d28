"""Elementwise functions behind losses and links."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant.losses._links import as_floating, damped_softplus, log_sigmoid, logit, power, sigmoid, softplus

X = np.r_[-1e7, -745.0, -100.0, np.linspace(-60, 60, 481), 100.0, 1e7]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (softplus, np.logaddexp(0, X)),
        (log_sigmoid, -np.logaddexp(0, -X)),
        (sigmoid, np.exp(-np.logaddexp(0, -X))),
        (damped_softplus, np.exp(np.log(np.maximum(np.logaddexp(0, X), 1e-323)) - np.clip(X, -700, None))),
    ],
    ids=["softplus", "log_sigmoid", "sigmoid", "damped_softplus"],
)
def test_functions_keep_relative_accuracy(function, expected, kind):
    """Arrays and tensors agree with formulas in logarithms over the whole range of scores."""
    inside = np.abs(X) <= 700 if function is damped_softplus else np.full(X.shape, True)
    actual = np.asarray(function(kind(X)))
    assert_allclose(actual[inside], expected[inside], rtol=2e-13, atol=1e-300)
    assert np.isfinite(actual).all()


def test_damped_softplus_falls_from_one_to_zero():
    """It ends at exactly 1 and 0 and is log 2 in the middle."""
    assert_allclose(damped_softplus(np.array([-1e30, 0.0, 1e30])), [1, np.log(2), 0], rtol=1e-15)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0, 2.0])
def test_power_has_a_finite_derivative_at_zero(exponent):
    """The derivative of x^0.3 at 0 is infinite, and infinity times zero would be NaN."""
    x = torch.tensor([0.0, 0.25], requires_grad=True)
    values = power(x, exponent)
    values.sum().backward()
    assert x.grad.isfinite().all()
    assert_allclose(values.detach()[1], 0.25**exponent, rtol=1e-6)


def test_logit_undoes_sigmoid():
    """Probability to log-odds and back."""
    p = np.array([1e-300, 1e-10, 0.3, 0.5])
    assert_allclose(sigmoid(logit(p)), p, rtol=1e-13)


def test_as_floating_keeps_single_and_double_precision():
    """Other types become floats of at least single precision."""
    assert as_floating(np.ones(2, dtype=np.float32)).dtype == np.float32
    assert as_floating([1, 2]).dtype == np.float64
    assert as_floating(np.ones(2, dtype=np.float16)).dtype == np.float32
    assert as_floating(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32
    assert_array_equal(as_floating(torch.tensor([1, 2])), torch.tensor([1.0, 2.0]))
