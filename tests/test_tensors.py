"""Values of NumPy go beside tensors on their device."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sk_quadrant._tensors import beside


@pytest.mark.parametrize(("device", "dtype"), [("cuda:1", "float64"), ("mps", "float32")])
def test_values_beside_a_tensor_are_on_its_device_in_a_precision_that_it_has(device, dtype, monkeypatch):
    """Thresholds are doubles, which Apple's GPUs do not have; no GPU is needed to see what would be sent there."""
    scores, sent = SimpleNamespace(device=torch.device(device), detach=None), []
    monkeypatch.setattr(torch, "as_tensor", lambda values, device: sent.append((values.dtype, device)))
    beside(np.array([0.5]), scores)
    assert sent == [(np.dtype(dtype), torch.device(device))]
