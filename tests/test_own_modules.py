"""Modules of the user as the model: what X may be, what training does, and with which tools it works."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.helper import SliceDict
from torch import nn

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS, N_WORDS, LENGTH = 120, 12, 6


class Linear(nn.Module):
    """Linear model of all numbers of a row."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(n_features)), n_labels)

    def forward(self, X):
        """Return scores."""
        return self.layer(X.flatten(1).to(self.layer.weight.dtype))


class Bag(nn.Module):
    """Mean embedding of words; returns a tuple, as many encoders do."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.embedding = nn.EmbeddingBag(N_WORDS, 8)
        self.head = nn.Linear(8, n_labels)

    def forward(self, input_ids, attention_mask=None):
        """Return scores and the embedding."""
        weights = None if attention_mask is None else attention_mask.float()
        if weights is not None:
            self.embedding.mode = "sum"
        values = self.embedding(input_ids, per_sample_weights=weights)
        return self.head(values), values


class Words(Bag):
    """The same for texts, which it takes apart itself."""

    def forward(self, texts):
        """Return scores and the embedding."""
        return super().forward(torch.tensor([[int(word) for word in text.split()] for text in texts]))


def ids_and_labels():
    """Return rows of word numbers, and two labels that ask whether words 0 and 1 occur."""
    ids = np.random.default_rng(0).integers(0, N_WORDS, (N_ROWS, LENGTH))
    return ids, np.c_[(ids < 3).any(axis=1), (ids > 8).any(axis=1)].astype(int)


IDS, Y = ids_and_labels()
COUNTS = np.stack([(word == IDS).sum(axis=1) for word in range(N_WORDS)], axis=1).astype(np.float32)
TEXTS = [" ".join(map(str, row)) for row in IDS]
PARTS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}
KINDS = {
    "matrix": (Linear, COUNTS),
    "data frame": (Linear, pd.DataFrame(COUNTS, columns=[f"word {k}" for k in range(N_WORDS)])),
    "images": (Linear, COUNTS.reshape(N_ROWS, 1, 3, 4)),
    "token ids": (Bag, IDS),
    "list of texts": (Words, TEXTS),
    "array of texts": (Words, np.array(TEXTS)),
    "series of texts": (Words, pd.Series(TEXTS, index=np.arange(N_ROWS) + 7)),
    "SliceDict": (Bag, SliceDict(**PARTS)),
    "dict": (Bag, PARTS),
}
SPLIT = [kind for kind in KINDS if kind != "dict"]  # scikit-learn does not split a dict


def make_classifier(module, **params):
    defaults = {"solver": "adamw", "max_iter": 4, "batch_size": 32, "learning_rate_init": 0.05, "random_state": 0}
    return QuadrantMultiLabelClassifier(module=module, **defaults | params)


def head_of(X, n):
    """Return the first rows of any kind of X."""
    if isinstance(X, dict):
        return {name: part[:n] for name, part in X.items()}
    return X.iloc[:n] if hasattr(X, "iloc") else X[:n]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_is_fitted_and_predicted(kind):
    """Labels follow the probabilities, few rows have the scores that they have among many, and something is learnt."""
    module, X = KINDS[kind]
    clf = make_classifier(module, max_iter=20).fit(X, Y)
    proba = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict(X), proba > 0.5)
    np.testing.assert_allclose(clf.predict_proba(head_of(X, 5)), proba[:5], rtol=1e-5)
    assert clf.score(X, Y) > np.mean((np.round(Y.mean(axis=0)) == Y).all(axis=1))


@pytest.mark.parametrize("scoring", [None, "f1_macro"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_is_stopped_early(kind, scoring):
    """The held-out rows have a loss in each epoch, and a score where one is asked for."""
    module, X = KINDS[kind]
    clf = make_classifier(module, early_stopping=True, scoring=scoring).fit(X, Y)
    assert all("valid_loss" in row and ("valid_score" in row) == (scoring is not None) for row in clf.history_)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_is_learnt_in_parts(kind):
    """Two calls of `partial_fit` go on from each other."""
    module, X = KINDS[kind]
    clf = make_classifier(module).partial_fit(X, Y)
    first = clf.predict_proba(X)
    clf.partial_fit(head_of(X, 60), Y[:60])
    assert clf.n_iter_ == 2
    assert np.abs(clf.predict_proba(X) - first).max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_survives_pickle(kind):
    """A loaded model predicts what the saved one did."""
    module, X = KINDS[kind]
    clf = make_classifier(module).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), clf.predict_proba(X))


TOOLS = {
    "GridSearchCV": lambda clf, X: GridSearchCV(clf, {"loss": ["zlpr", "focal"]}, cv=2).fit(X, Y).predict(X),
    "search over modules": lambda clf, X: (
        GridSearchCV(clf, {"module": [clf.module, partial(clf.module)]}, cv=2).fit(X, Y).predict(X)
    ),
    "cross_val_predict": lambda clf, X: cross_val_predict(clf, X, Y, cv=2),
    "thresholds": lambda clf, X: TunedThresholdMultiLabelClassifierCV(clf, cv=2).fit(X, Y).predict(X),
    "thresholds, prefit": lambda clf, X: (
        TunedThresholdMultiLabelClassifierCV(clone(clf).fit(X, Y), cv="prefit", refit=False).fit(X, Y).predict(X)
    ),
    "calibration": lambda clf, X: CalibratedMultiLabelClassifierCV(clf, cv=2).fit(X, Y).predict(X),
    "calibration, frozen": lambda clf, X: (
        CalibratedMultiLabelClassifierCV(FrozenEstimator(clone(clf).fit(X, Y))).fit(X, Y).predict(X)
    ),
    "Pipeline": lambda clf, X: make_pipeline(FunctionTransformer(), clf).fit(X, Y).predict(X),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", SPLIT)
def test_every_tool_takes_every_kind_of_rows(kind, tool):
    """Searches, cross-validation, pipelines and meta-estimators predict labels."""
    module, X = KINDS[kind]
    assert TOOLS[tool](make_classifier(module, max_iter=2), X).shape == Y.shape
