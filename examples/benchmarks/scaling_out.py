"""When do worker processes pay? Seconds per evaluation of the objective as rows grow, on one process and on a cluster.

Rows are made on the workers, so that no process holds them all but the one that stands for one machine.

Examples
--------
``python examples/benchmarks/scaling_out.py --rows 1e5 1e6 1e7 --workers 4``
"""

import argparse
import pickle
import time

import dask.array as da
import numpy as np
import torch
from distributed import Client, LocalCluster, wait

from sk_quadrant._data import TrainingData
from sk_quadrant._partitions import Shard
from sk_quadrant._problem import RowProblem
from sk_quadrant._targets import Targets
from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier
from sk_quadrant.losses import BCEWithLogits

LOSS = BCEWithLogits()


def make_rows(n_rows, n_features, n_labels, chunk):
    """Return features and labels as Dask arrays, the same for each run."""
    rng = da.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), chunks=(chunk, n_features))
    noise = rng.standard_normal((n_rows, n_labels), chunks=(chunk, n_labels))
    return X, (X[:, :n_labels] + noise > 1).astype(np.uint8)


def seconds_per_evaluation(problem, repeats):
    """Return the median time of an evaluation of value and gradient for all labels."""
    objective = problem.objective(torch.arange(len(problem.frequency)))
    theta = torch.full((objective.n_labels, problem.design.n_columns), 0.01, dtype=torch.float64)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        objective.evaluate(theta)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def bytes_sent(problem):
    """Return the bytes of the questions and answers of an evaluation, to and from all workers."""
    columns, labels = problem.design, torch.arange(len(problem.frequency))
    theta = torch.full((len(labels), columns.n_columns), 0.01, dtype=torch.float64)
    question = (labels, LOSS, theta, None, False)
    answer = columns.partitions.total(Shard.sums, *question)
    return len(columns.partitions.groups) * (len(pickle.dumps(question)) + len(pickle.dumps(answer)))


def measure(n_rows, options):
    """Return seconds of one process and of the cluster, and the bytes that an evaluation sends."""
    X, Y = (part.persist() for part in make_rows(n_rows, options.features, options.labels, options.chunk))
    wait([X, Y])
    clf = DaskQuadrantMultiLabelClassifier()
    problem = clf._send(X, Y, None).problem(LOSS, C=1.0, fit_intercept=True)
    cluster = seconds_per_evaluation(problem, options.repeats)
    sent = bytes_sent(problem)
    data = TrainingData(X.compute(), Targets(Y.compute()))
    here = RowProblem(data, LOSS, C=1.0, fit_intercept=True, device=torch.device("cpu"))
    return seconds_per_evaluation(here, options.repeats), cluster, sent


def main():
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e4, 1e5])
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--chunk", type=int, default=50_000, help="rows of a block")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cluster = {"n_workers": options.workers, "threads_per_worker": 1, "dashboard_address": None}
    print(f"{'rows':>10} {'one process':>12} {f'{options.workers} workers':>12} {'sent per evaluation':>21}")
    with LocalCluster(**cluster) as workers, Client(workers):
        for n_rows in map(int, options.rows):
            here, there, sent = measure(n_rows, options)
            print(f"{n_rows:10d} {here:10.4f} s {there:10.4f} s {sent / 1024:17.1f} KiB", flush=True)


if __name__ == "__main__":
    main()
