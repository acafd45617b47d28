"""A loss as a PyTorch module: in skorch, with accumulated gradients, with unknown labels."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import ZLPR, BCEWithLogits, Focal, LossModule


@pytest.fixture(scope="module")
def data():
    """Features and labels of 60 rows and 4 labels in single precision."""
    X, Y = make_multilabel_classification(60, 10, n_classes=4, random_state=0)
    return X.astype(np.float32), Y.astype(np.float32)


@pytest.fixture
def batch():
    """Scores and targets of 16 rows and 3 labels."""
    rng = np.random.default_rng(0)
    return torch.tensor(rng.normal(size=(16, 3))), torch.tensor(rng.integers(0, 2, (16, 3)))


def test_module_moves_saves_and_copies_as_any_other(batch):
    """It has no parameters, an empty state, and survives pickle, copies and changes of type."""
    module = Focal(gamma=3.0, alpha=[0.2, 0.3, 0.5]).module(ignore_index=-100)
    assert isinstance(module, torch.nn.Module)
    assert list(module.parameters()) == []
    assert module.state_dict() == {}
    expected = module(*batch)
    for other in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), module.to(torch.float64), module.eval()):
        assert other(*batch) == expected
    assert repr(module) == "LossModule(Focal(gamma=3.0, alpha=(0.2, 0.3, 0.5)), ignore_index=-100)"


def test_a_loss_that_is_called_without_arguments_names_its_module():
    """A skorch net calls a criterion that is no module."""
    with pytest.raises(TypeError, match=r"needs scores and targets. As criterion of a skorch net pass .*module"):
        Focal(gamma=3.0)()


@pytest.mark.parametrize(
    "criterion",
    [
        {"criterion": LossModule, "criterion__loss": "focal", "criterion__gamma": 3.0},
        {"criterion": LossModule, "criterion__loss": Focal, "criterion__gamma": 3.0},
        {"criterion": LossModule, "criterion__loss": Focal(gamma=3.0)},
        {"criterion": Focal(gamma=3.0).module()},
        {"criterion": partial(LossModule, Focal(gamma=3.0))},
        {"criterion": Focal(gamma=3.0).module},
        {"criterion": partial(Focal, gamma=3.0)},
    ],
    ids=["class and name", "class of loss", "class and loss", "instance", "partial", "method", "loss itself"],
)
def test_criterion_of_skorch(criterion, data):
    """Whatever the form, a net of skorch has the loss of these parameters."""
    X, Y = data
    torch.manual_seed(0)
    net = NeuralNet(
        torch.nn.Linear, module__in_features=10, module__out_features=4, verbose=0, train_split=None, max_epochs=2,
        batch_size=-1, lr=0.01, **criterion,
    ).fit(X, Y)  # fmt: skip
    torch.manual_seed(0)
    scores = torch.nn.Linear(10, 4)(torch.from_numpy(X))
    assert net.history[0, "train_loss"] == pytest.approx(Focal(gamma=3.0)(scores, torch.from_numpy(Y)).item(), rel=1e-6)


def test_search_of_skorch_reaches_parameters_of_the_loss(data):
    """Names and parameters of losses are searched like other parameters of a net."""
    net = NeuralNet(
        torch.nn.Linear, module__in_features=10, module__out_features=4, verbose=0, train_split=None, max_epochs=1,
        criterion=LossModule, criterion__loss="focal", optimizer__lr=0.01,
    )  # fmt: skip
    grid = {"criterion__gamma": [0.0, 3.0]}
    search = GridSearchCV(net, grid, scoring=lambda net, X, y: net.criterion_.loss.gamma, cv=2).fit(*data)
    assert search.best_params_ == {"criterion__gamma": 3.0}
    assert search.best_estimator_.criterion_.loss == Focal(gamma=3.0)


def test_search_over_parameters_of_the_loss(data):
    """``loss__gamma`` is a parameter of the classifier; clones keep it, fitted models do not follow changes."""
    loss = Focal()
    search = GridSearchCV(QuadrantMultiLabelClassifier(loss), {"loss__gamma": [0.0, 3.0]}, scoring="f1_micro", cv=2)
    search.fit(*data)
    assert {params["loss__gamma"] for params in search.cv_results_["params"]} == {0.0, 3.0}
    best = search.best_estimator_
    assert best.loss_ == Focal(gamma=search.best_params_["loss__gamma"])
    assert loss == Focal()
    expected = best.predict_proba(data[0])
    best.set_params(loss__gamma=1.0)
    assert best.loss == Focal(gamma=1.0)
    assert_array_equal(best.predict_proba(data[0]), expected)


@pytest.mark.parametrize("loss", [BCEWithLogits(), Focal(), ZLPR()], ids=repr)
@pytest.mark.parametrize("count", [int, torch.tensor], ids=["int", "tensor"])
def test_accumulated_gradients_are_those_of_one_batch(loss, count, batch):
    """Four batches of four rows, each told how many labels all of them know, give the gradient of sixteen rows."""
    scores, targets = batch
    module = loss.module(ignore_index=-100)
    whole, parts = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    module(whole, targets).backward()
    for rows in torch.arange(16).split(4):
        module(parts[rows], targets[rows], num_items_in_batch=count(targets.numel())).backward()
    assert_allclose(parts.grad, whole.grad, rtol=1e-12)


def test_targets_that_are_ignored_have_no_gradient(batch):
    """Marked targets contribute nothing, in any type of targets, with a mask or without."""
    scores, targets = batch
    marked = targets.clone()
    marked[3, 1] = marked[5] = -100
    leaf = scores.clone().requires_grad_()
    ZLPR().module("sum", ignore_index=-100)(leaf, marked, targets > -1).backward()
    assert (leaf.grad[5] == 0).all()
    assert leaf.grad[3, 1] == 0
    assert (leaf.grad != 0).sum() == 16 * 3 - 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"loss": "crossentropy"}, ValueError, "loss must be one of asymmetric, .* got 'crossentropy'"),
        ({"loss": 3}, TypeError, "loss must be a name, a Loss or its class, got 3"),
        (
            {"loss": Focal(), "gamma": 3.0},
            TypeError,
            r"Parameters \['gamma'\] need a name or a class of loss, got Focal",
        ),
        ({"reduction": "average"}, ValueError, "reduction must be 'mean', 'sum' or 'none', got 'average'"),
        ({"ignore_index": "nan"}, TypeError, "ignore_index must be a number or None, got 'nan'"),
    ],
)
def test_invalid_arguments_are_refused(arguments, error, message):
    """Messages name the argument, what is allowed and what came."""
    with pytest.raises(error, match=message):
        LossModule(**arguments)
