"""Data of the benchmarks: generated from fixed seeds, or read from the folder of real data sets."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.preprocessing import StandardScaler

FOLDER = Path(os.environ.get("SK_QUADRANT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


class AbsentError(Exception):
    """Missing data, package or parameter; the message is printed."""


@dataclass(frozen=True)
class Data:
    """Training and test part. X is float32, so that both precisions solve the same problem.

    Attributes
    ----------
    X, X_test : ndarray or sparse CSR matrix of shape (n_rows, n_features)
    Y, Y_test : int64 ndarray of shape (n_rows, n_labels)
    texts, texts_test : list of str or None
        What the features were made from.
    """

    X: Any
    Y: Any
    X_test: Any
    Y_test: Any
    texts: list[str] | None = None
    texts_test: list[str] | None = None

    @property
    def size(self) -> str:
        """Rows, features and labels of the training part."""
        return f"{self.X.shape[0]} x {self.X.shape[1]} x {self.Y.shape[1]}"

    @cached_property
    def X64(self) -> Any:
        """The training features in double precision."""
        return self.X.astype(np.float64)

    def features(self, dtype: str) -> Any:
        """Return the training features in a precision."""
        return self.X64 if dtype == "float64" else self.X

    @cached_property
    def proper(self) -> Any:
        """Labels that are both absent and present in training; the optimum of the others is at infinity."""
        return (self.Y.min(axis=0) == 0) & (self.Y.max(axis=0) == 1)

    def head(self, n_rows: int) -> Data:
        """Return the data with the first rows of the training part only."""
        texts = None if self.texts is None else self.texts[:n_rows]
        return replace(self, X=self.X[:n_rows], Y=self.Y[:n_rows], texts=texts)

    def frequent(self, n_labels: int) -> Data:
        """Return the data with the most frequent labels only."""
        labels = np.sort(np.argsort(-self.Y.sum(axis=0), kind="stable")[:n_labels])
        return replace(self, Y=np.ascontiguousarray(self.Y[:, labels]), Y_test=self.Y_test[:, labels])


def split(X: Any, Y: Any, n_train: int) -> Data:
    """Return data whose first rows are the training part."""
    return Data(X[:n_train], np.ascontiguousarray(Y[:n_train]), X[n_train:], Y[n_train:])


def make_dense(n_samples: int, n_features: int, n_labels: int, *, seed: int = 0) -> Data:
    """Return correlated Gaussian features and labels from logistic models, some of them rare."""
    rng = np.random.default_rng(seed)
    n_rows = n_samples + max(500, n_samples // 5)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    X = X @ (rng.standard_normal((n_features, n_features)) / np.sqrt(n_features)).astype(np.float32)
    weights = rng.standard_normal((n_features, n_labels)).astype(np.float32) / np.sqrt(n_features)
    frequency = np.clip(0.5 * np.arange(1, n_labels + 1) ** -0.5, 0.02, 0.5)
    scores = 2 * X @ weights + np.log(frequency / (1 - frequency)).astype(np.float32)
    Y = (rng.random(scores.shape, dtype=np.float32) < 1 / (1 + np.exp(-scores))).astype(np.int64)
    return split(X, Y, n_samples)


def make_text(n_samples: int, n_words: int, n_labels: int, *, n_tokens: int = 100, seed: int = 0) -> Data:
    """Return TF-IDF of random texts of about 95 words, a quarter of them from the topics of the labels."""
    rng = np.random.default_rng(seed)
    n_rows = n_samples + n_samples // 5
    frequency = 1.0 / np.arange(5, n_labels + 5)
    labels = rng.choice(n_labels, size=(n_rows, 3), p=frequency / frequency.sum())
    words = np.cumsum(1.0 / (np.arange(n_words) + 30))
    topics = rng.integers(0, n_words, size=(n_labels, 40))
    lengths = rng.poisson(n_tokens, n_rows)
    rows = np.repeat(np.arange(n_rows), lengths)
    tokens = np.searchsorted(words, rng.random(rows.size) * words[-1])
    on_topic = rng.random(rows.size) < 0.25
    label = labels[rows, rng.integers(0, 3, rows.size)]
    tokens[on_topic] = topics[label, rng.integers(0, 40, rows.size)][on_topic]
    counts = sparse.coo_matrix((np.ones(rows.size), (rows, tokens)), shape=(n_rows, n_words)).tocsr()
    X = TfidfTransformer(sublinear_tf=True).fit_transform(counts).astype(np.float32)
    Y = np.zeros((n_rows, n_labels), dtype=np.int64)
    np.put_along_axis(Y, labels, 1, axis=1)
    return split(X, Y, n_samples)


def make_tutorial() -> Data:
    """Return the four quadrants in two dimensions with noisy labels."""
    from sk_quadrant import make_quadrants

    X, Y = make_quadrants(n_samples=5000, slope=4.0, shuffle=True, random_state=0)
    return split(X.astype(np.float32), Y, 4000)


def read_real(name: str) -> Data:
    """Return a real data set: standardised dense features, unchanged sparse features, or TF-IDF of texts."""
    folder = FOLDER / name
    if not folder.is_dir():
        raise AbsentError("no data set of this name in the folder of real data; set SK_QUADRANT_DATA to that folder")
    if (folder / "train.jsonl.gz").exists():
        return _read_text(folder)
    X, X_test = (_read_array(folder / part) for part in ("X_train", "X_test"))
    Y, Y_test = (sparse.load_npz(folder / f"{part}.npz").toarray().astype(np.int64) for part in ("Y_train", "Y_test"))
    if not sparse.issparse(X):
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Data(X.astype(np.float32), Y, X_test.astype(np.float32), Y_test)


def _read_array(path: Path) -> Any:
    if path.with_suffix(".npy").exists():
        return np.load(path.with_suffix(".npy"))
    return sparse.load_npz(path.with_suffix(".npz")).tocsr()


def _read_text(folder: Path) -> Data:
    names = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["labels"]
    column = {label: j for j, label in enumerate(names)}
    texts, targets = [], []
    for part in ("train", "test"):
        with gzip.open(folder / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        texts.append([row["text"] for row in rows])
        Y = np.zeros((len(rows), len(names)), dtype=np.int64)
        for i, row in enumerate(rows):
            Y[i, [column[label] for label in row["labels"]]] = 1
        targets.append(Y)
    vectorizer = tfidf()
    return Data(vectorizer.fit_transform(texts[0]), targets[0], vectorizer.transform(texts[1]), targets[1], *texts)


def tfidf() -> TfidfVectorizer:
    """Return the features of texts."""
    return TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
