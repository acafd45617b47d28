"""
Time to train a module of one's own
===================================

A network of one hidden layer, written as a module, takes its steps in less time than plain skorch needs: batches are
gathered many at a time, and callbacks that do not look at single batches are not asked about them. The gap is widest
where batches are large, because skorch fetches rows one by one. A bare loop of PyTorch over slices of shuffled rows
says what is left to gain.

All train the same epochs by AdamW on cross-entropy, on one thread, without validation. The median CPU time of
interleaved runs is printed in seconds, and as a ratio to plain skorch.

    python examples/benchmarks/own_module.py
    python examples/benchmarks/own_module.py --samples 2000 --repeats 3
"""

import argparse
import os
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from time import process_time

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from sk_quadrant import QuadrantMultiLabelClassifier


class Network(nn.Module):
    """One hidden layer."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 64), nn.ReLU(), nn.Linear(64, n_labels))

    def forward(self, X):
        """Return scores."""
        return self.layers(X)


def make_rows(n_samples, n_features, n_labels):
    """Return features in single precision, and labels that are signs of linear functions."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features)).astype(np.float32)
    return X, (X @ rng.standard_normal((n_features, n_labels)) > 0).astype(np.int64)


def fit_skorch(X, Y, batch_size, epochs):
    """Train with plain skorch, with the callbacks that it comes with."""
    NeuralNet(
        Network(X.shape[1], Y.shape[1]),
        criterion=nn.BCEWithLogitsLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.0,
        lr=1e-3,
        batch_size=batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).fit(X, Y.astype(np.float32))


def fit_loop(X, Y, batch_size, epochs):
    """Train with a bare loop over slices."""
    X, Y = torch.as_tensor(X), torch.as_tensor(Y, dtype=torch.float32)
    network, loss = Network(X.shape[1], Y.shape[1]), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            loss(network(X[rows]), Y[rows]).backward()
            optimizer.step()


def fit_own(X, Y, batch_size, epochs, *, C=np.inf):
    """Train with this package, by default without a penalty, which the others do not have."""
    options = {"learning_rate_init": 1e-3, "batch_size": batch_size, "max_iter": epochs, "tol": 0, "random_state": 0}
    QuadrantMultiLabelClassifier(module=Network, solver="adamw", C=C, n_iter_no_change=epochs, **options).fit(X, Y)


def fit_penalised(X, Y, batch_size, epochs):
    """Train with this package and a penalty."""
    fit_own(X, Y, batch_size, epochs, C=1.0)


CONTESTANTS = {
    "plain skorch": fit_skorch,
    "sk_quadrant": fit_own,
    "sk_quadrant, C=1": fit_penalised,
    "bare loop": fit_loop,
}


def measure(X, Y, batch_size, epochs, repeats):
    """Return the median CPU seconds of each contestant over interleaved runs."""
    seconds = {name: [] for name in CONTESTANTS}
    for _ in range(repeats):
        for name, fit in CONTESTANTS.items():
            start = process_time()
            fit(X, Y, batch_size, epochs)
            seconds[name].append(process_time() - start)
    return {name: float(np.median(runs)) for name, runs in seconds.items()}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # nothing is to converge
    X, Y = make_rows(options.samples, options.features, options.labels)
    for fit in CONTESTANTS.values():  # the first fit of a process imports what it needs
        fit(X[:256], Y[:256], 64, 1)
    print(f"{'batch size':>10}  {'contestant':18}{'seconds':>9}{'times faster':>14}")
    for batch_size in options.batch_sizes:
        rows = slice(0, min(options.samples, 1000 * batch_size))  # few rows for tiny batches
        seconds = measure(X[rows], Y[rows], batch_size, options.epochs, options.repeats)
        for name, value in seconds.items():
            print(f"{batch_size:10}  {name:18}{value:9.3f}{seconds['plain skorch'] / value:14.2f}", flush=True)


if __name__ == "__main__":
    main()
