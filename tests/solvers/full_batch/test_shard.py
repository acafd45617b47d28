"""Sums over the rows of a shard."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from sk_quadrant._solvers.full_batch import shard as module
from sk_quadrant._solvers.full_batch.design import design_of
from sk_quadrant._solvers.full_batch.shard import Block, BlockTargets, EvaluationPoint
from sk_quadrant.losses import BCEWithLogits


@pytest.mark.parametrize("curvature", [None, "mean", "diagonal"])
def test_sums_in_panels_of_labels_are_those_of_all_labels(curvature, monkeypatch):
    """Values, gradients and curvatures do not depend on the size of panels, with parameters by label."""
    rng = np.random.default_rng(0)
    X = sparse.random(30, 8, 0.3, "csr", random_state=0)
    weight = torch.from_numpy(rng.random(30))
    design = design_of(X, weight, fit_intercept=True, dtype=torch.float64, device=torch.device("cpu"))
    targets = BlockTargets(torch.from_numpy(rng.integers(0, 2, (30, 7)).astype(np.uint8)).T)
    coef, shift = torch.from_numpy(rng.normal(size=(8, 7))).T, torch.from_numpy(rng.normal(size=7))
    at = EvaluationPoint(BCEWithLogits(pos_weight=(1, 2, 3, 1, 2, 3, 1)), coef, shift, curvature, centred=True)
    whole = Block(design, targets).loss_sums(at)
    monkeypatch.setattr(module, "NARROWEST", 2)
    monkeypatch.setattr(module, "PANEL_ELEMENTS", 1)
    for one, other in zip(whole, Block(design, targets).loss_sums(at), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_allclose(other, one, rtol=1e-12)
            assert other.stride() == one.stride()
