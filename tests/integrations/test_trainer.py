"""Losses in the Trainer of Hugging Face, whose count of labels makes accumulated gradients exact."""

import numpy as np
import pytest
import torch

from sk_quadrant.losses import ZLPR, Asymmetric, BCEWithLogits

pytestmark = pytest.mark.slow
LOSSES = [BCEWithLogits(), Asymmetric(), ZLPR()]
N_LABELS = 3


def train(model, dataset, loss, **arguments):
    """Train a model of transformers; targets of -100 are unknown."""
    from transformers import Trainer, TrainingArguments

    criterion = loss.module(ignore_index=-100)

    def compute_loss(outputs, labels, num_items_in_batch=None):
        return criterion(outputs.logits, labels, num_items_in_batch=num_items_in_batch)

    trainer = Trainer(model, TrainingArguments(**arguments), train_dataset=dataset, compute_loss_func=compute_loss)
    trainer.train()
    return trainer


@pytest.fixture(scope="module", autouse=True)
def _installed():
    """Skip without the library, which is not imported before a test asks for it: this takes seconds."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")


@pytest.fixture
def build():
    """Return a function that builds the same tiny BERT each time, without dropout."""
    from transformers import BertConfig, BertForSequenceClassification

    def build():
        torch.manual_seed(0)
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                max_position_embeddings=8, num_labels=N_LABELS, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
            )
        )  # fmt: skip

    return build


@pytest.fixture
def texts():
    """Return a function: number of rows, share of unknown labels -> token ids with the words that they mention."""

    def draw(n_rows, unknown=0.0):
        rng = np.random.default_rng(0)
        ids = rng.integers(1, 20, (n_rows, 6))
        Y = np.stack([(ids == word).any(axis=1) for word in range(1, N_LABELS + 1)], axis=1).astype(np.float32)
        Y[rng.random(Y.shape) < unknown] = -100
        return [{"input_ids": row, "labels": labels} for row, labels in zip(ids, Y, strict=True)]

    return draw


@pytest.fixture
def arguments(tmp_path):
    """Arguments of a training by plain gradient descent that writes nothing."""
    return {
        "output_dir": str(tmp_path), "optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant",
        "max_grad_norm": 0, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
    }  # fmt: skip


def largest_difference(model, other):
    """Return the largest difference of two models' parameters."""
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


@pytest.mark.parametrize("unknown", [0.0, 0.3], ids=["all known", "some unknown"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_four_small_batches_give_the_weights_of_a_large_one(loss, unknown, build, texts, arguments):
    """Accumulation of 4 batches of 4 rows trains as batches of 16 do, whatever number of labels each batch knows."""
    rows = texts(48, unknown)
    whole = train(build(), rows, loss, per_device_train_batch_size=16, max_steps=3, **arguments).model
    parts = train(
        build(), rows, loss, per_device_train_batch_size=4, gradient_accumulation_steps=4, max_steps=3, **arguments
    ).model

    assert largest_difference(whole, build()) > 1e-2
    assert largest_difference(whole, parts) < 1e-6


def test_first_step_is_the_gradient_of_the_mean_over_rows(build, texts, arguments):
    """What the Trainer does with the loss is one step of gradient descent on the loss of the sixteen rows."""
    loss, rows, expected = ZLPR(), texts(16), build()
    ids, targets = (torch.tensor(np.stack([row[key] for row in rows])) for key in ("input_ids", "labels"))
    loss(expected(ids).logits, targets).backward()
    with torch.no_grad():
        for parameter in expected.parameters():
            parameter -= 0.5 * parameter.grad

    trained = train(build(), rows, loss, per_device_train_batch_size=4, gradient_accumulation_steps=4, max_steps=1,
                    **arguments).model  # fmt: skip

    assert largest_difference(trained, expected) < 1e-6


def test_without_the_count_of_labels_a_step_is_four_times_as_long(build, texts, arguments):
    """The Trainer does not divide by the number of batches: this is why the count is passed on."""

    class Forgetful:
        def module(self, ignore_index):
            criterion = ZLPR().module(ignore_index=ignore_index)
            return lambda scores, targets, num_items_in_batch: criterion(scores, targets)

    rows, start = texts(16), build().classifier.bias
    arguments |= {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "max_steps": 1}
    right, wrong = (train(build(), rows, loss, **arguments).model.classifier.bias for loss in (ZLPR(), Forgetful()))

    torch.testing.assert_close(wrong - start, 4 * (right - start), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_link_and_thresholds_serve_predictions_of_the_trainer(loss, build, texts, arguments, check_link_and_thresholds):
    """`predict` of the Trainer gives scores; the loss turns them into probabilities and labels of the words."""
    rows = texts(600)
    arguments |= {"optim": "adamw_torch", "learning_rate": 5e-3, "num_train_epochs": 15}
    trainer = train(build(), rows, loss, per_device_train_batch_size=32, **arguments)

    predicted = trainer.predict(rows)
    proba = check_link_and_thresholds(predicted.predictions, predicted.label_ids, loss)

    assert ((proba > 0.5) == predicted.label_ids).mean() > 0.9  # 0.72 without any label
    scores, targets = torch.tensor(predicted.predictions), torch.tensor(predicted.label_ids)
    mean_of_batches = torch.stack(
        [loss(*batch) for batch in zip(scores.split(8), targets.split(8), strict=True)]
    ).mean()
    assert predicted.metrics["test_loss"] == pytest.approx(mean_of_batches.item(), rel=1e-4)
