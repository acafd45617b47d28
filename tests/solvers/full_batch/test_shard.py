"""Sums over the rows of a shard."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from sk_quadrant._solvers.full_batch import shard as module
from sk_quadrant._solvers.full_batch.design import design_of
from sk_quadrant._solvers.full_batch.objective import EvaluationPoint
from sk_quadrant._solvers.full_batch.shard import Block, BlockTargets
from sk_quadrant.losses import LOSSES, BCEWithLogits


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


LABELWISE = [name for name, loss in LOSSES.items() if loss.labelwise]


@pytest.mark.parametrize("name", LABELWISE)
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_sums_at_constant_scores_are_those_of_weights_of_zero(name, weighted):
    """Without a product for the scores."""
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.random(30)) if weighted else None
    design = design_of(
        rng.normal(size=(30, 4)), weight, fit_intercept=True, dtype=torch.float64, device=torch.device("cpu")
    )
    block = Block(design, BlockTargets(torch.from_numpy(rng.integers(0, 2, (3, 30)).astype(np.uint8))))
    shift = torch.tensor([0.3, -0.2, 1.5], dtype=torch.float64)
    at = EvaluationPoint(LOSSES[name](), torch.zeros(3, 4, dtype=torch.float64), shift, "mean")
    for one, other in zip(block.loss_sums(at)[:3], block.loss_sums(at._replace(constant=True))[:3], strict=True):
        assert_allclose(other, one, rtol=1e-12, atol=1e-12)


def test_hessians_of_shards_without_rows_and_of_many_columns():
    """One triangle in blocks, mirrored, is the whole matrix; without rows it is zero."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 130)), rng.integers(0, 2, (2, 40)).astype(np.uint8)
    at = EvaluationPoint(BCEWithLogits(), torch.zeros(2, 130, dtype=torch.float64), None)
    for n in (0, 40):
        design = design_of(X[:n], None, fit_intercept=False, dtype=torch.float64, device=torch.device("cpu"))
        block = Block(design, BlockTargets(torch.from_numpy(Y[:, :n])))
        hessian = block.hessian_sums(at, None, torch.ones(130, dtype=torch.float64))
        assert_allclose(hessian, np.broadcast_to(X[:n].T @ X[:n] / 4, (2, 130, 130)), atol=1e-12)
