"""Losses in a training loop of plain PyTorch, whose optimum is that of the classifier."""

import numpy as np
import pytest
import torch

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import ZLPR, Asymmetric, BCEWithLogits, SquaredHinge


@pytest.mark.parametrize("loss", [BCEWithLogits(pos_weight=3.0), SquaredHinge(), ZLPR(), Asymmetric()], ids=repr)
def test_full_batch_loop_reaches_the_coefficients_of_the_classifier(loss, check_link_and_thresholds):
    """The loss in a loop and the loss in the classifier are one objective: same coefficients, same probabilities."""
    X, Y = make_quadrants(n_samples=200, slope=3, random_state=0)
    C = 0.1
    clf = QuadrantMultiLabelClassifier(loss, C=C, tol=1e-10, max_iter=1000).fit(X, Y)

    features, targets = torch.tensor(X), torch.tensor(Y)
    model = torch.nn.Linear(2, 2).double()
    torch.nn.init.zeros_(model.weight)
    criterion = loss.module(reduction="sum")
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=1000, tolerance_grad=1e-9, tolerance_change=0,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        optimizer.zero_grad()
        objective = C * criterion(model(features), targets) + 0.5 * model.weight.square().sum()
        objective.backward()
        return objective

    optimizer.step(closure)

    np.testing.assert_allclose(model.weight.detach(), clf.coef_, atol=1e-6)
    np.testing.assert_allclose(model.bias.detach(), clf.intercept_, atol=1e-6)
    proba = check_link_and_thresholds(model(features).detach(), Y, loss)
    np.testing.assert_allclose(proba, clf.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("loss", [BCEWithLogits(), Asymmetric(), ZLPR()], ids=repr)
def test_accumulated_gradients_of_parts_are_those_of_the_batch(loss):
    """Parts of unequal size add up to the batch, each loss times its share of the rows."""
    X, Y = make_quadrants(n_samples=50, slope=3, random_state=0)
    features, targets, model = torch.tensor(X), torch.tensor(Y), torch.nn.Linear(2, 2).double()
    expected = torch.autograd.grad(loss(model(features), targets), model.weight)[0]

    criterion = loss.module()
    for part, part_targets in zip(features.split(16), targets.split(16), strict=True):
        (criterion(model(part), part_targets) * len(part) / len(features)).backward()

    torch.testing.assert_close(model.weight.grad, expected, rtol=1e-12, atol=1e-15)
