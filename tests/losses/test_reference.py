"""Losses, gradients and probabilities agree with values computed with 50 digits.

The values are in `reference_values.json`, by loss and parameters. Labelwise losses have rows of a score, a target, the
loss, its derivative (absent at kinks) and, where the target is 0 and there is a link, the probability of the score.
Set-wise losses have the same for all labels of a row, with probabilities as for soft targets. All were computed with
mpmath from the published formulas and cut to 22 digits. A loss is tested here as soon as the file has values of it.
`SigmoidBCE`, whose clamp is PyTorch's, is compared with PyTorch in `test_published.py`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sk_quadrant.losses import LOSSES

VALUES = json.loads(Path(__file__).with_name("reference_values.json").read_text(encoding="utf-8"))
LOSS_RTOL = {"float64": 1e-13, "float32": 2e-6}
GRADIENT_ATOL = {"float64": 1e-14, "float32": 1e-6}  # times max(1, |gradient|)
PROBABILITY_RTOL = {"float64": 1e-13, "float32": 1e-5}
SMALLEST = {"float64": 1e-300, "float32": 1e-37}  # smaller numbers count as 0


def loss_of(text):
    """Return the loss of a text as ``focal(gamma=2, alpha=0.25)``."""
    name = re.match(r"\w+", text).group()
    return LOSSES[name](**{key: float(value) for key, value in re.findall(r"(\w+)=([^,)]+)", text)})


def numbers(values, dtype):
    """Return numbers written as text as an array; those beyond the range of the type become infinite or 0."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64).astype(dtype)


def column(rows, key, dtype):
    """Return the values of rows that have the key, of shape (n_rows, 1)."""
    return numbers([[row[key]] for row in rows], dtype)


def assert_same_losses(actual, expected, dtype):
    """Compare with a relative tolerance."""
    assert_allclose(actual, expected, rtol=LOSS_RTOL[dtype], atol=SMALLEST[dtype])


def assert_same_gradients(actual, expected, dtype):
    """Compare with an absolute tolerance times max(1, |gradient|)."""
    scale = np.maximum(1, np.abs(np.where(np.isfinite(expected), expected, 1)))
    assert_allclose(actual / scale, expected / scale, rtol=0, atol=GRADIENT_ATOL[dtype])


def assert_same_probabilities(link, scores, expected, dtype):
    """Compare the inverse link of arrays and of tensors with a relative tolerance."""
    for actual in (link.inverse(scores), link.inverse(torch.from_numpy(scores)).numpy()):
        assert actual.dtype == dtype
        assert_allclose(actual, expected, rtol=PROBABILITY_RTOL[dtype], atol=SMALLEST[dtype])


by_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
by_kind = pytest.mark.parametrize("kind", ["hard", "soft"])
by_labelwise = pytest.mark.parametrize("name", VALUES["labelwise"])


@by_dtype
@by_kind
@by_labelwise
def test_labelwise_losses_have_the_reference_values(name, kind, dtype):
    """Loss, closed-form gradient and autograd agree with 50-digit values up to scores of 1e7."""
    loss = loss_of(name)
    rows = [row for row in VALUES["labelwise"][name] if (row["t"] in ("0", "1")) == (kind == "hard")]
    scores, targets = (torch.from_numpy(column(rows, key, dtype)) for key in ("s", "t"))
    expected = column(rows, "loss", dtype)
    leaf = scores.clone().requires_grad_()

    values, gradient = loss.per_label_and_gradient(scores, targets)
    followed = loss.per_label(leaf, targets)
    followed[torch.isfinite(followed)].sum().backward()

    for actual in (values, followed.detach()):
        assert_same_losses(actual.numpy(), expected, dtype)
    smooth = np.array(["grad" in row for row in rows])
    expected_gradient = column([row for row in rows if "grad" in row], "grad", dtype)
    assert_same_gradients(gradient.numpy()[smooth], expected_gradient, dtype)
    finite = np.isfinite(expected[smooth, 0])
    assert_same_gradients(leaf.grad.numpy()[smooth][finite], expected_gradient[finite], dtype)


@by_dtype
@pytest.mark.parametrize("name", [name for name in VALUES["labelwise"] if loss_of(name).link is not None])
def test_links_have_the_reference_values(name, dtype):
    """The inverse link agrees with 50-digit values up to scores of 1e7."""
    rows = [row for row in VALUES["labelwise"][name] if "prob" in row]
    assert rows
    expected = column(rows, "prob", np.float64)
    assert_same_probabilities(loss_of(name).link, column(rows, "s", dtype), expected, dtype)


@by_dtype
@pytest.mark.parametrize(
    ("name", "row"),
    [pytest.param(name, row, id=f"{name}: {row['case']}") for name, rows in VALUES["setwise"].items() for row in rows],
)
def test_setwise_losses_have_the_reference_values(name, row, dtype):
    """Loss, closed-form gradient, autograd and the inverse link agree with 50-digit values."""
    loss = loss_of(name)
    scores, targets, expected_gradient = (numbers(row[key], dtype) for key in ("s", "t", "grad"))
    leaf, targets = torch.from_numpy(scores)[None].requires_grad_(), torch.from_numpy(targets)[None]

    values, gradient = loss.values_and_gradient(leaf.detach(), targets)
    followed = loss.per_sample(leaf, targets)
    followed.sum().backward()

    for actual in (values, followed.detach()):
        assert_same_losses(actual.item(), float(row["loss"]), dtype)
    for actual in (gradient, leaf.grad):
        assert_same_gradients(actual[0].numpy(), expected_gradient, dtype)
    assert_same_probabilities(loss.link, scores, numbers(row["prob"], np.float64), dtype)
