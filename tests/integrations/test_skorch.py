"""Losses as criteria of skorch, in each form that it takes."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_predict

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import ZLPR, Asymmetric, BCEWithLogits, LossModule


def train(network, X, Y, loss, **options):
    """Train a network with skorch; `predict_proba` gives probabilities by the link of the loss."""
    from skorch import NeuralNet

    net = NeuralNet(network, criterion=loss.module(), predict_nonlinearity=loss.proba, **options)
    return net.fit(X, Y)


OPTIONS = {
    "optimizer": torch.optim.AdamW, "lr": 0.02, "max_epochs": 30, "batch_size": 64, "train_split": None, "verbose": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    """Quadrants in single precision."""
    X, Y = make_quadrants(n_samples=400, slope=3, random_state=0)
    return X.astype(np.float32), Y


def build():
    """Return the same small network each time."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))


@pytest.mark.slow
@pytest.mark.parametrize("loss", [BCEWithLogits(), Asymmetric(), ZLPR()], ids=repr)
def test_link_and_thresholds_serve_predictions_of_skorch(loss, data, check_link_and_thresholds):
    """Probabilities of the net are those of its scores, and of the wrapped network."""
    X, Y = data
    net = train(build(), X, Y, loss, **OPTIONS)

    scores = net.forward(X).numpy()
    proba = check_link_and_thresholds(scores, Y, loss)

    np.testing.assert_allclose(net.predict_proba(X), proba, atol=1e-6)
    wrapped = QuadrantMultiLabelClassifier.from_module(net.module_, Y.shape[1], loss=loss)
    np.testing.assert_allclose(wrapped.predict_proba(X), proba, atol=1e-6)
    assert ((proba > 0.5) == Y).mean() > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    "criterion",
    [
        {"criterion": LossModule, "criterion__loss": "asymmetric", "criterion__gamma_neg": 2.0},
        {"criterion": partial(LossModule, "asymmetric", gamma_neg=2.0)},
    ],
    ids=["class", "partial"],
)
def test_class_and_partial_train_as_the_instance_does(criterion, data):
    """The form of the criterion makes no difference for the scores."""
    from skorch import NeuralNet

    X, Y = data
    expected = train(build(), X, Y, Asymmetric(gamma_neg=2.0), **OPTIONS)
    net = NeuralNet(build(), **criterion, **OPTIONS).fit(X, Y)

    np.testing.assert_array_equal(net.forward(X), expected.forward(X))


@pytest.mark.slow
def test_thresholds_are_tuned_on_rows_that_were_not_trained_on(data, check_link_and_thresholds):
    """Without a nonlinearity, `predict` of a net gives scores, so cross-validation does for rows that were held out."""
    X, Y = data
    loss = Asymmetric()
    net = train(build(), X, Y, loss, **OPTIONS).set_params(predict_nonlinearity=None)

    scores = cross_val_predict(net, X, Y, cv=3)

    check_link_and_thresholds(scores, Y, loss)
