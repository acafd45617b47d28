"""
A round on a GPU
================

All measurements that need a GPU, in under 8 minutes: fits of dense rows and of texts by "lbfgs", of a module by
"adamw", all losses, and the tests that need a GPU. Each is compared with two CPU cores, dense rows also with
``torch.optim.LBFGS`` on the GPU. Lines show time, peak memory, and the share of the speed of a matrix product measured
before. Two cores fit a tenth of the rows; the speed-up is then per row. When the budget of time is spent, no further
part is begun.

    python examples/benchmarks/gpu.py
    python examples/benchmarks/gpu.py --small --device cpu
"""

import argparse
import subprocess
import sys
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import LOSSES

TESTS = ["tests/solvers/test_own_modules.py", "tests/test_array_api.py", "tests/distributed"]
SIZES = {  # rows, features and labels; texts have 100 words each
    "dense": {False: (200_000, 1000, 1000), True: (600, 20, 10)},
    "text": {False: (100_000, 100_000, 500), True: (300, 1000, 10)},
    "module": {False: (100_000, 512, 200), True: (400, 20, 10)},
    "losses": {False: (4096, 1, 10_000), True: (32, 1, 50)},
}
EPOCHS = 3
TOL = 1e-3


class Clock:
    """Time and memory of calls on a device."""

    def __init__(self, device, budget):
        self.device, self.start, self.budget = torch.device(device), perf_counter(), budget

    @property
    def left(self):
        """Seconds of the budget that are left."""
        return self.budget - (perf_counter() - self.start)

    def synchronize(self, device):
        """Wait until a device has done its work."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def time(self, function, device=None, *, warm=False):
        """Return the result of a function, seconds, and the peak of memory in GiB on a GPU."""
        device = self.device if device is None else torch.device(device)
        if warm:
            function()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        self.synchronize(device)
        start = perf_counter()
        result = function()
        self.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
        return result, perf_counter() - start, peak


def show(part, who, seconds, *, peak=float("nan"), share=float("nan"), note=""):
    """Print a line of the report."""
    memory = "" if np.isnan(peak) else f"{peak:.2f} GiB"
    of_peak = "" if np.isnan(share) else f"{share:.1%} of peak"
    print(f"{part:8} {who:28} {seconds:10.4f} s {memory:>11} {of_peak:>14}  {note}", flush=True)


def measure_peak(clock, dtype, size):
    """Return the operations a second of a product of square matrices."""
    a, b = (torch.randn(size, size, dtype=dtype, device=clock.device) for _ in range(2))
    seconds = min(clock.time(lambda: a @ b, warm=True)[1] for _ in range(5))
    return 2 * size**3 / seconds


def make_dense(n_rows, n_features, n_labels):
    """Return rows in single precision, and labels of which a tenth is present."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    scores = X @ rng.standard_normal((n_features, n_labels), dtype=np.float32) / np.sqrt(n_features, dtype=np.float32)
    scores += rng.standard_normal(n_labels, dtype=np.float32)
    return X, (scores > 1.8).astype(np.uint8)


def make_text(n_rows, n_features, n_labels, n_words=100):
    """Return rows with the weights of Zipf's words, and sparse labels of words that occur."""
    rng = np.random.default_rng(0)
    words = np.minimum(rng.zipf(1.3, n_rows * n_words), n_features) - 1
    places = np.repeat(np.arange(n_rows), n_words)
    X = sparse.csr_array((np.ones(len(words), np.float32), (places, words)), shape=(n_rows, n_features))
    X.data = np.log1p(X.data) / np.sqrt(n_words)
    return X, sparse.csr_array((X[:, 5 : 5 + n_labels] > 0).astype(np.int64))


def fit(X, Y, device, **options):
    """Fit the classifier."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return QuadrantMultiLabelClassifier(device=str(device), **options).fit(X, Y)


def fit_torch(X, Y, device, target):
    """Minimise the objective of the classifier by torch.optim.LBFGS until it reaches a target, in at most 300 steps."""
    X, Y = torch.as_tensor(X, device=device), torch.as_tensor(Y, device=device)
    linear = nn.Linear(X.shape[1], Y.shape[1], device=device)
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    options = {"max_iter": 5, "history_size": 10, "line_search_fn": "strong_wolfe", "tolerance_grad": 0}
    optimizer = torch.optim.LBFGS(linear.parameters(), **options, tolerance_change=0)

    def objective():
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(linear(X), Y.to(X.dtype), reduction="sum")
        value = (loss + 0.5 * linear.weight.square().sum()) / len(X)
        value.backward()
        return value

    for _ in range(60):
        optimizer.step(objective)
        reached = float(objective().detach())
        if reached <= target:
            break
    return reached


def run_dense(clock, small):
    """Compare fits of dense rows."""
    n_rows, n_features, n_labels = SIZES["dense"][small]
    X, Y = make_dense(n_rows, n_features, n_labels)
    peak_speed = measure_peak(clock, torch.float32, 256 if small else 8192)
    fit(X[: n_rows // 10], Y[: n_rows // 10], clock.device, tol=TOL)
    clf, seconds, memory = clock.time(lambda: fit(X, Y, clock.device, tol=TOL))
    share = 4 * n_rows * n_features * n_labels * clf.n_iter_ / seconds / peak_speed
    show("dense", f"lbfgs on {clock.device}", seconds, peak=memory, share=share, note=f"{clf.n_iter_} iterations")
    target = clf.loss_curve_[-1] * (1 + 1e-4)
    fit_torch(X[:10], Y[:10], clock.device, np.inf)  # the first one imports the compiler of PyTorch
    reached, torch_seconds, memory = clock.time(lambda: fit_torch(X, Y, clock.device, target))
    note = f"{torch_seconds / seconds:.1f} times, objective {reached / clf.loss_curve_[-1] - 1:+.1e}"
    show("dense", f"torch.optim.LBFGS on {clock.device}", torch_seconds, peak=memory, note=note)
    few = slice(0, n_rows // 10)
    _, cpu_seconds, _ = clock.time(lambda: fit(X[few], Y[few], "cpu", tol=TOL), "cpu")
    show("dense", "lbfgs, a tenth, two cores", cpu_seconds, note=f"{10 * cpu_seconds / seconds:.1f} times, per row")


def run_text(clock, small):
    """Compare fits of texts."""
    X, Y = make_text(*SIZES["text"][small])
    clf, seconds, memory = clock.time(lambda: fit(X, Y, clock.device, tol=TOL))
    show("text", f"lbfgs on {clock.device}", seconds, peak=memory, note=f"{clf.n_iter_} iterations")
    few = slice(0, X.shape[0] // 10)
    _, cpu_seconds, _ = clock.time(lambda: fit(X[few], Y[few], "cpu", tol=TOL), "cpu")
    show("text", "lbfgs, a tenth, two cores", cpu_seconds, note=f"{10 * cpu_seconds / seconds:.1f} times, per row")


def make_network(n_features, n_labels, width=2048):
    """Return a network with one wide hidden layer."""
    return nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_labels))


def run_module(clock, small):
    """Compare epochs of a module."""
    n_rows, n_features, n_labels = SIZES["module"][small]
    X, Y = make_dense(n_rows, n_features, n_labels)
    options = {"solver": "adamw", "module": make_network, "C": np.inf, "max_iter": EPOCHS, "random_state": 0}
    options |= {"batch_size": min(1024, n_rows), "n_iter_no_change": EPOCHS}
    peak_speed = measure_peak(clock, torch.float32, 256 if small else 8192)
    _, seconds, memory = clock.time(lambda: fit(X, Y, clock.device, **options), warm=small)
    share = 6 * n_rows * 2048 * (n_features + n_labels) * EPOCHS / seconds / peak_speed
    show("module", f"adamw on {clock.device}", seconds, peak=memory, share=share, note=f"{EPOCHS} epochs")
    few = slice(0, n_rows // 10)
    _, cpu_seconds, _ = clock.time(lambda: fit(X[few], Y[few], "cpu", **options), "cpu")
    show("module", "adamw, a tenth, two cores", cpu_seconds, note=f"{10 * cpu_seconds / seconds:.1f} times, per row")


def run_losses(clock, small):
    """Compare forward and backward passes of all losses."""
    n_rows, _, n_labels = SIZES["losses"][small]

    def passes(loss, device):
        generator = torch.Generator().manual_seed(0)
        scores = torch.randn(n_rows, n_labels, generator=generator).to(device).requires_grad_()
        targets = (torch.rand(n_rows, n_labels, generator=generator) < 0.01).to(device, torch.float32)

        def once():
            scores.grad = None
            loss(scores, targets).backward()

        return min(clock.time(once, device, warm=True)[1:] for _ in range(3))

    for name, kind in LOSSES.items():
        (seconds, memory), (cpu_seconds, _) = passes(kind(), clock.device), passes(kind(), torch.device("cpu"))
        show("losses", name, seconds, peak=memory, note=f"{cpu_seconds / seconds:.1f} times two cores")


def run_tests(clock, small):
    """Run the tests that need a GPU."""
    if clock.device.type != "cuda":
        print("tests    left out without a GPU", flush=True)
        return
    root = Path(__file__).resolve().parents[2]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "slow or not slow",
        "-k",
        "cuda or gpu or GPU or device",
        *TESTS,
    ]
    start = perf_counter()
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=min(120, clock.left), check=False
        )
        outcome = (done.stdout or done.stderr).splitlines()[-1]
    except subprocess.TimeoutExpired:
        outcome = "not over in time"
    show("tests", "pytest", perf_counter() - start, note=outcome)


PARTS = {"dense": run_dense, "losses": run_losses, "module": run_module, "text": run_text, "tests": run_tests}


def main():
    """Run all parts for which there is time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--small", action="store_true", help="the smallest sizes, in seconds on a CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget", type=float, default=450.0, help="seconds after which no part is begun")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    clock = Clock(arguments.device, arguments.budget)
    name = torch.cuda.get_device_name(clock.device) if clock.device.type == "cuda" else "two cores"
    dtypes = {"float32": torch.float32, "float64": torch.float64}
    speeds = {key: measure_peak(clock, dtype, 256 if arguments.small else 4096) for key, dtype in dtypes.items()}
    print(f"{name}: " + ", ".join(f"{key} {speed / 1e9:.0f} GFLOP/s" for key, speed in speeds.items()), flush=True)
    for part in arguments.only:
        if clock.left <= 0:
            print(f"{part:8} left out: the budget of {arguments.budget:g} s is spent", flush=True)
            continue
        try:
            PARTS[part](clock, arguments.small)
        except (ArithmeticError, RuntimeError, ValueError, MemoryError) as error:  # the other parts shall still run
            print(f"{part:8} failed: {type(error).__name__}: {str(error)[:200]}", flush=True)
    print(f"{perf_counter() - clock.start:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
