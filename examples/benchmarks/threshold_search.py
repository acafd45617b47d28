"""
Time to tune the thresholds of many labels
==========================================

Tuning is O(n L log n): the exact metrics take seconds for 100 000 rows and 500 labels. Scores are given, so that only
the search of the public estimator is timed (``cv="prefit"``). The peers are loops over labels: the threshold with the
best F1 on scikit-learn's ``precision_recall_curve``, which has the same macro-F1, and ``f1_score`` on a grid of 100
thresholds, as in ``TunedThresholdClassifierCV``. All use one thread; the medians of interleaved runs are printed. Peers
are timed on some labels, and their time is scaled to all labels.

    python examples/benchmarks/threshold_search.py                      # 100 000 x 500, minutes
    python examples/benchmarks/threshold_search.py --samples 10000 --labels 50
"""

import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from time import perf_counter, process_time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import f1_score, precision_recall_curve

from sk_quadrant import TunedThresholdMultiLabelClassifierCV

EXACT = [
    ("f1_macro", "label"),
    ("f1_macro", "shared"),
    ("f1_micro", "label"),
    ("f1_micro", "shared"),
    ("neg_hamming_loss", "label"),
    ("neg_hamming_loss", "shared"),
]
SEARCHED = [("f1_samples", "label"), ("f1_samples", "shared"), ("accuracy", "label")]


class GivenScores(ClassifierMixin, BaseEstimator):
    """Fitted classifier that returns its features as scores."""

    def fit(self, X, y):
        """Do nothing."""
        return self

    def __sklearn_is_fitted__(self):
        """Return True: there is nothing to fit."""
        return True

    def decision_function(self, X):
        """Return the features."""
        return X


def make_scores(n_samples, n_labels, *, seed=0):
    """Return scores and labels; frequencies follow a power law from 30% down."""
    rng = np.random.default_rng(seed)
    frequency = np.clip(0.3 * np.arange(1, n_labels + 1) ** -0.8, 5e-4, 0.5)
    Y = (rng.random((n_samples, n_labels)) < frequency).astype(np.int64)
    scores = rng.normal(size=Y.shape)
    scores += 2 * Y
    scores += np.log(frequency)
    return scores, Y


def tune(scores, Y, scoring, scope):
    """Return the tuned thresholds."""
    model = TunedThresholdMultiLabelClassifierCV(
        GivenScores(), scoring=scoring, scope=scope, cv="prefit", refit=False, min_positives=0
    )
    return model.fit(scores, Y).best_threshold_


def tune_by_curve(scores, Y):
    """Return the threshold with the best F1 on the precision-recall curve of each label."""
    cuts = []
    for j in range(Y.shape[1]):
        precision, recall, thresholds = precision_recall_curve(Y[:, j], scores[:, j])
        f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
        cuts.append(np.nextafter(thresholds[np.argmax(f1[:-1])], -np.inf))
    return np.array(cuts)


def tune_on_grid(scores, Y, n_thresholds=100):
    """Return the threshold with the best F1 on a grid for each label."""
    cuts = []
    for j in range(Y.shape[1]):
        grid = np.linspace(scores[:, j].min(), scores[:, j].max(), n_thresholds)
        cuts.append(max(grid, key=lambda cut, j=j: f1_score(Y[:, j], scores[:, j] > cut, zero_division=0)))
    return np.array(cuts)


def timed(function, *args):
    """Return the result, wall seconds and CPU seconds."""
    wall, processor = perf_counter(), process_time()
    result = function(*args)
    return result, perf_counter() - wall, process_time() - processor


def compare(n_samples, n_labels, *, repeat, peer_labels, searched):
    """Print the medians of interleaved measurements of all contestants."""
    scores, Y = make_scores(n_samples, n_labels)
    part = np.linspace(0, n_labels - 1, min(peer_labels, n_labels)).astype(int)
    scale = n_labels / part.size
    ours = EXACT + (SEARCHED if searched else [])
    seconds = {key: [] for key in [*ours, "precision_recall_curve", "grid of 100"]}
    for _ in range(repeat):
        for key in ours:
            cuts, *took = timed(tune, scores, Y, *key)
            seconds[key].append(took)
            if key == ("f1_macro", "label"):
                own = f1_score(Y[:, part], scores[:, part] > cuts[part], average="macro", zero_division=0)
        found = {}
        for key, function in (("precision_recall_curve", tune_by_curve), ("grid of 100", tune_on_grid)):
            cuts, *took = timed(function, scores[:, part], Y[:, part])
            seconds[key].append(np.multiply(took, scale))
            found[key] = f1_score(Y[:, part], scores[:, part] > cuts, average="macro", zero_division=0)
    print(f"{n_samples} rows, {n_labels} labels, medians of {repeat}; peers on {part.size} labels, scaled by {scale:g}")
    for key, took in seconds.items():
        wall, processor = np.median(took, axis=0)
        name = key if isinstance(key, str) else f"{key[0]}, {key[1]}"
        print(f"  {name:28} {wall:9.2f} s wall {processor:9.2f} s CPU")
    print(f"  macro-F1 of these labels: exact {own:.4f}, curve {found['precision_recall_curve']:.4f}, ", end="")
    print(f"grid {found['grid of 100']:.4f}")


def grow(n_samples, n_labels, *, repeat):
    """Print the growth of the time for macro-F1 with rows and labels."""
    sizes = [(n_samples // 4, n_labels), (n_samples // 2, n_labels), (n_samples, n_labels)]
    sizes += [(n_samples, n_labels // 4), (n_samples, n_labels // 2)]
    data = {size: make_scores(*size) for size in sizes}
    seconds = {size: [] for size in sizes}
    for _ in range(repeat):
        for size in sizes:
            seconds[size].append(timed(tune, *data[size], "f1_macro", "label")[2])
    medians = {size: np.median(took) for size, took in seconds.items()}
    last = medians[n_samples, n_labels]
    print("growth of f1_macro, label: exponents of rows and of labels, from a quarter to all:", end=" ")
    print(f"{np.log(last / medians[sizes[0]]) / np.log(4):.2f}", end=" ")
    print(f"{np.log(last / medians[sizes[3]]) / np.log(4):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peer-labels", type=int, default=5, help="number of labels on which peers are timed")
    parser.add_argument("--exact-only", action="store_true", help="skip metrics with a coordinate search")
    options = parser.parse_args()
    compare(
        options.samples,
        options.labels,
        repeat=options.repeat,
        peer_labels=options.peer_labels,
        searched=not options.exact_only,
    )
    if options.samples * options.labels <= 10_000_000:
        grow(options.samples, options.labels, repeat=options.repeat)
    else:
        grow(options.samples // 4, options.labels // 4, repeat=options.repeat)
