"""The classifier as the head of SetFit: `fit(embeddings, lists of 0 and 1)`, `predict`, `predict_proba`, joblib."""

import io

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV

LABELS = 3


def train_head(encoder, texts, Y, head):
    """Train the head of a SetFit model on texts and lists of 0 and 1; the encoder stays as it is."""
    from setfit import SetFitModel

    model = SetFitModel(model_body=encoder, model_head=head)
    model.fit(texts, Y, num_epochs=1)  # the number of epochs is for heads in PyTorch
    return model


class CountsOfLetters(torch.nn.Module):
    """Stands for an encoder of sentences."""

    def encode(self, texts, **options):
        """Return an embedding of each text."""
        return np.array([[text.count(letter) for letter in "abcdef"] for text in texts], dtype=np.float32)


@pytest.fixture
def embeddings():
    """Embeddings of unit length, as an encoder of sentences returns them, and lists of 0 and 1, one for each text."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(120, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    Y = (vectors[:, :LABELS] + rng.normal(scale=0.05, size=(120, LABELS)) > 0.1).astype(int)
    return vectors, [[int(label) for label in row] for row in Y]


@pytest.mark.parametrize(
    "head",
    [
        QuadrantMultiLabelClassifier("zlpr", C=100),
        TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier("asymmetric", C=100), scoring="f1_macro"),
    ],
    ids=["natural threshold", "tuned threshold"],
)
def test_head_takes_and_gives_what_setfit_does(head, embeddings):
    """Lists as targets, arrays of numbers as labels, one text at a time, and joblib as the way to disk."""
    vectors, Y = embeddings
    head.fit(vectors, list(Y))

    labels, proba = head.predict(vectors), head.predict_proba(vectors)

    assert labels.shape == proba.shape == (120, LABELS)
    assert_array_equal(torch.from_numpy(labels), labels)
    assert (labels == np.array(Y)).mean() > 0.9
    assert_array_equal(head.predict(vectors[:1]), labels[:1])
    joblib.dump(head, file := io.BytesIO())
    file.seek(0)
    assert_array_equal(joblib.load(file).predict_proba(vectors), proba)


def test_head_decides_by_link_and_thresholds(embeddings, check_link_and_thresholds):
    """Scores, probabilities and labels of the head are those of its loss."""
    vectors, Y = embeddings
    head = QuadrantMultiLabelClassifier("asymmetric", C=100).fit(vectors, Y)

    scores = head.decision_function(vectors)

    assert_array_equal(head.loss_.decide(scores), head.predict(vectors))
    np.testing.assert_allclose(check_link_and_thresholds(scores, Y, head.loss_), head.predict_proba(vectors), atol=1e-6)


@pytest.mark.slow
def test_model_of_setfit_predicts_by_the_head(check_link_and_thresholds):
    """SetFit itself trains the head and returns its labels and probabilities, of all texts and of a single one."""
    pytest.importorskip("setfit")
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdef"), 4)) for _ in range(200)]
    Y = [[int(letter in text) for letter in "abc"] for text in texts]
    head = QuadrantMultiLabelClassifier("asymmetric", C=100)

    model = train_head(CountsOfLetters(), texts, Y, head)

    assert_array_equal(model.predict(texts), Y)
    proba = check_link_and_thresholds(head.decision_function(model.encode(texts)), Y, head.loss_)
    np.testing.assert_allclose(model.predict_proba(texts), proba, atol=1e-6)
    assert_array_equal(model.predict(texts[0]), Y[0])
    assert_array_equal(model.predict_proba(texts[0]), model.predict_proba(texts[:1])[0])
