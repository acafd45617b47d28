"""Losses in Lightning, where the mean over rows is what accumulated gradients need."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from sk_quadrant import make_quadrants
from sk_quadrant.losses import ZLPR, Asymmetric, BCEWithLogits

pytestmark = pytest.mark.slow
LOSSES = [BCEWithLogits(), Asymmetric(), ZLPR()]
ROWS = 48


def train(network, batches, loss, learning_rate=0.5, **options):
    """Train a network with Lightning; its scores are what `predict` returns."""
    from lightning import LightningModule, Trainer

    class Tagger(LightningModule):
        def __init__(self):
            super().__init__()
            self.network, self.criterion = network, loss.module()

        def training_step(self, batch, index):
            features, targets = batch
            return self.criterion(self.network(features), targets)

        def predict_step(self, batch, index):
            return self.network(batch[0])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=learning_rate)

    trainer = Trainer(**options)
    trainer.fit(tagger := Tagger(), batches)
    return trainer, tagger


@pytest.fixture(scope="module", autouse=True)
def _installed():
    """Skip without the library, which is not imported before a test asks for it: this takes seconds."""
    pytest.importorskip("lightning")


@pytest.fixture
def options(tmp_path):
    """Options of a training on the CPU that writes nothing."""
    return {
        "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "barebones": True,
        "default_root_dir": tmp_path,
    }  # fmt: skip


@pytest.fixture
def rows():
    """Quadrants as a data set."""
    X, Y = make_quadrants(n_samples=ROWS, slope=3, random_state=0)
    return TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y))


def build():
    """Return the same small network each time."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))


def scores_of(network, rows):
    """Return the scores of all rows."""
    with torch.no_grad():
        return network(rows.tensors[0])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_four_small_batches_give_the_weights_of_a_large_one(loss, rows, options):
    """Accumulation of 4 batches of 4 rows trains as batches of 16 do."""
    whole = train(network := build(), DataLoader(rows, batch_size=16), loss, max_epochs=2, **options)[1]
    parts = train(build(), DataLoader(rows, batch_size=4), loss, max_epochs=2, accumulate_grad_batches=4, **options)[1]

    assert whole.network is network
    for weight, other, start in zip(whole.parameters(), parts.parameters(), build().parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=1e-6)
        assert (weight - start).abs().max() > 1e-2


def test_mixed_precision_trains_as_single_precision(rows, options):
    """Under bfloat16 the loss is computed in single precision, and weights differ by the rounding of the network."""
    batches = DataLoader(rows, batch_size=16)
    single = train(build(), batches, Asymmetric(), max_epochs=2, **options)[1]
    mixed = train(build(), batches, Asymmetric(), max_epochs=2, precision="bf16-mixed", **options)[1]

    for weight, other in zip(single.parameters(), mixed.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=0.02)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_link_and_thresholds_serve_predictions_of_lightning(loss, rows, options, check_link_and_thresholds):
    """`predict` of Lightning gives scores; the loss turns them into probabilities and labels."""
    batches = DataLoader(rows, batch_size=16)
    trainer, tagger = train(build(), batches, loss, max_epochs=150, **options)

    scores = torch.cat(trainer.predict(tagger, batches))
    proba = check_link_and_thresholds(scores, rows.tensors[1], loss)

    np.testing.assert_allclose(scores, scores_of(tagger.network, rows), atol=1e-6)
    assert ((proba > 0.5) == rows.tensors[1].numpy()).mean() > 0.9
