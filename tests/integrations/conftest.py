"""Fixtures of the tests with other libraries."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV


@pytest.fixture(autouse=True)
def _seeded():
    """Start every test from the same random state of PyTorch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def check_link_and_thresholds():
    """Return a function: scores of a network, targets and loss -> probabilities, after decisions are checked."""

    def check(scores, Y, loss):
        scores, Y = np.asarray(scores), np.asarray(Y).astype(int)
        proba = loss.proba(scores)
        np.testing.assert_array_equal(loss.decide(scores, 0.3), proba > 0.3)

        on_scores = QuadrantMultiLabelClassifier.from_module(torch.nn.Identity(), Y.shape[1], loss=loss)
        tuned = TunedThresholdMultiLabelClassifierCV(on_scores, scoring="f1_macro", cv="prefit", refit=False)
        threshold = tuned.fit(scores, Y).best_threshold_
        labels = loss.decide(scores, threshold)

        np.testing.assert_array_equal(labels, tuned.predict(scores))
        natural = f1_score(Y, loss.decide(scores), average="macro", zero_division=0)
        assert f1_score(Y, labels, average="macro", zero_division=0) >= natural
        return proba

    return check
