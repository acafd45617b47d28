"""When do several processes pay off? Seconds per evaluation of the objective, for growing numbers of rows.

One process is compared with the workers of a Dask cluster and with processes of torchrun. Each worker generates its own
rows.

Examples
--------
``python examples/benchmarks/scaling_out.py --rows 1e5 1e6 1e7 --workers 4``
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import time

import dask.array as da
import numpy as np
import torch
import torch.distributed as dist
from distributed import Client, LocalCluster, wait

from sk_quadrant._rows.parts import Schema, read_part
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.full_batch.shard import EvaluationPoint, Shard
from sk_quadrant._solvers.full_batch.solve import LabelProblems
from sk_quadrant._targets.encodings import read_targets
from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier
from sk_quadrant.distributed._ranks import Ranks
from sk_quadrant.distributed._sums import RankSums
from sk_quadrant.losses import BCEWithLogits

LOSS = BCEWithLogits()


def make_rows(n_rows, n_features, n_labels, chunk):
    """Return features and labels as Dask arrays with a fixed seed."""
    rng = da.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), chunks=(chunk, n_features))
    noise = rng.standard_normal((n_rows, n_labels), chunks=(chunk, n_labels))
    return X, (X[:, :n_labels] + noise > 1).astype(np.uint8)


def parameters(problems):
    """Return the numbers of the labels, and parameters."""
    labels = torch.arange(problems.rows.n_labels)
    return labels, torch.full((len(labels), problems.space.n_columns), 0.01, dtype=torch.float64)


def seconds_per_evaluation(problems, repeats):
    """Return the median time of an evaluation of value and gradient for all labels."""
    labels, theta = parameters(problems)
    objective = problems.objective(labels)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        objective.evaluate(theta)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def bytes_of_sums(problems):
    """Return the bytes of a request for an evaluation, and of the sum of the replies."""
    labels, theta = parameters(problems)
    request = labels, EvaluationPoint(LOSS, *problems.space.split(theta))
    reply = problems.rows.total(Shard.loss_sums, *request)
    return len(pickle.dumps(request)), len(pickle.dumps(reply))


def problems_of(sums):
    """Return the problem of all labels, given the sums over rows."""
    return LabelProblems(sums, LOSS, C=1.0, fit_intercept=True)


def measure_one(X, Y, options):
    """Return seconds per evaluation of one process."""
    encoding, targets = read_targets(Y.compute(), missing_labels="error")
    rows = TrainingRows(X.compute(), targets, encoding)
    sums = Shard(rows, fit_intercept=True, device=torch.device("cpu"))
    return seconds_per_evaluation(problems_of(sums), options.repeats)


def measure_dask(X, Y, options):
    """Return seconds per evaluation of the cluster, and the bytes sent to and from all workers."""
    sums = DaskQuadrantMultiLabelClassifier()._send(X, Y, None).row_sums(fit_intercept=True)
    problems = problems_of(sums)
    return seconds_per_evaluation(problems, options.repeats), len(sums.groups) * sum(bytes_of_sums(problems))


def measure_torchrun(n_rows, options):
    """Return seconds per evaluation under torchrun, and the bytes sent between processes."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(options.workers)]
    sizes = {"rows": n_rows, "features": options.features, "labels": options.labels, "repeats": options.repeats}
    given = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([*run, __file__, *given], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def run_rank(options):
    """Print the result of `measure_torchrun` from rank 0."""
    dist.init_process_group("gloo")
    ranks, (n_rows,) = Ranks(), map(int, options.rows)
    counts = [len(part) for part in np.array_split(np.empty(n_rows, np.uint8), ranks.size)]
    rng = np.random.default_rng(ranks.rank)
    X = rng.standard_normal((counts[ranks.rank], options.features))
    Y = X[:, : options.labels] + rng.standard_normal((len(X), options.labels)) > 1
    part = read_part(X, Y, None, missing_labels="error")
    schema = Schema.merge(ranks.gather(part.summary), class_weight=None, label_smoothing=0.0)
    shard = Shard(schema.rows(part), fit_intercept=True, device=torch.device("cpu"))
    problems = problems_of(RankSums(ranks, schema, [shard]))
    _, reply = bytes_of_sums(problems)
    sent = (ranks.size - 1) * 2 * reply  # a ring all-reduce sends the sum twice
    seconds = seconds_per_evaluation(problems, options.repeats)
    if not ranks.rank:
        print(json.dumps([seconds, sent]))
    dist.destroy_process_group()


def main(options):
    """Print a line for each number of rows."""
    n = options.workers
    several = (f"{n} of Dask", "sent", f"{n} of torchrun", "sent")
    print("".join(f"{title:>16}" for title in ("rows", "one process", *several)))
    cluster = {"n_workers": n, "threads_per_worker": 1, "dashboard_address": None}
    for n_rows in map(int, options.rows):
        with LocalCluster(**cluster) as workers, Client(workers):
            X, Y = (part.persist() for part in make_rows(n_rows, options.features, options.labels, options.chunk))
            wait([X, Y])
            found = [measure_dask(X, Y, options)]
            one = measure_one(X, Y, options)
        found.append(measure_torchrun(n_rows, options))
        pairs = "".join(f"{seconds:14.4f} s{sent / 1024:12.1f} KiB" for seconds, sent in found)
        print(f"{n_rows:16d}{one:14.4f} s{pairs}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e4, 1e5])
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--chunk", type=int, default=50_000, help="rows of a Dask chunk")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    torch.set_num_threads(1)
    run = run_rank if "RANK" in os.environ else main
    run(parser.parse_args())
