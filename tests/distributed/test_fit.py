"""Fits of rows that are spread over processes, which this file runs as a program: each is that of one process."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import BCEWithLogits

PRECISE = {"tol": 1e-12, "max_iter": 2000}
EPOCHS = {"solver": "adamw", "random_state": 0, "max_iter": 5, "batch_size": 32, "learning_rate_init": 0.05}
N_ROWS = 303
CUTS = {2: [0, 101, 303], 3: [0, 30, 30, 303]}  # rank 1 of 3 has no rows
EMPTY = {2: [0, 303, 303], 3: [0, 0, 0, 303]}


def features(rng):
    """Features of mixed scales and centres."""
    return rng.standard_normal((N_ROWS, 4)) * [1, 2, 3, 0.1] + [0, 5, 0, 1]


def rows():
    """Features, labels of which one is absent from the first rows, and weights."""
    rng = np.random.default_rng(0)
    X = features(rng)
    Y = (X[:, :3] - X[:, :3].mean(axis=0) + rng.standard_normal((N_ROWS, 3)) > 1).astype(int)
    Y[:120, 1] = 0
    return X, Y, rng.random(N_ROWS)


def unweighted():
    """Rows without weights."""
    return *rows()[:2], None


def sparse_rows():
    """Sparse features and labels."""
    X, Y, weight = rows()
    return sparse.csr_matrix(X * (np.abs(X) > 1)), sparse.csr_matrix(Y), weight


def partly_known():
    """Labels that are unknown here and there, all of them on the first rank, with a weight for each."""
    X, Y, _ = rows()
    Y = np.where(np.arange(Y.size).reshape(Y.shape) % 5 == 0, np.nan, Y)
    Y[:25] = np.nan
    return X, Y, np.random.default_rng(1).random(Y.shape)


def partly_soft():
    """Labels that are 0 and 1 on the first ranks, and probabilities on the last."""
    X, Y, weight = rows()
    return X, np.where(np.arange(N_ROWS)[:, None] < 200, Y, 0.2 + 0.6 * Y), weight


def sorted_classes():
    """Classes in order, so that no rank has all of them."""
    return rows()[0], np.sort(np.array(["a", "b", "c"])[np.arange(N_ROWS) % 3]), None


def frames():
    """Features and labels with names."""
    X, Y, weight = rows()
    return pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(Y, columns=list("xyz")), pd.Series(weight)


def single():
    """Features in single precision."""
    X, Y, weight = rows()
    return X.astype(np.float32), Y, weight


def collinear():
    """Powers of features, for which labels need their own Hessian."""
    X, Y, _ = rows()
    return X.repeat(4, axis=1) ** np.tile(np.arange(1, 5), 4), Y, None


@dataclass(frozen=True)
class Case:
    """A fit: of what, with which parameters, cut where, how often, and how close it is to that of one process."""

    options: dict = field(default_factory=lambda: PRECISE)
    rows: object = rows
    cuts: dict = field(default_factory=lambda: CUTS)
    n_fits: int = 1
    close: float = 1e-10


CASES = {
    "lbfgs": Case(),
    "lbfgs, set-wise loss": Case(PRECISE | {"loss": "zlpr"}),
    "lbfgs, loss with a kink": Case(PRECISE | {"loss": "hinge"}, close=1e-6),
    "lbfgs, no weights": Case(rows=unweighted),
    "lbfgs, sparse": Case(rows=sparse_rows),
    "lbfgs, unknown labels": Case(PRECISE | {"missing_labels": "ignore", "class_weight": "balanced"}, partly_known),
    "lbfgs, soft labels": Case(rows=partly_soft),
    "lbfgs, classes": Case(PRECISE | {"class_weight": "balanced"}, sorted_classes),
    "lbfgs, names": Case(rows=frames),
    "lbfgs, single precision": Case(rows=single, close=1e-4),
    "lbfgs, no rows on a rank": Case(cuts=EMPTY),
    "lbfgs, no sparse rows on a rank": Case(rows=sparse_rows, cuts=EMPTY),
    "lbfgs, rows on disk": Case(PRECISE | {"batch_size": 50}),
    "lbfgs, no intercept": Case(PRECISE | {"fit_intercept": False, "label_smoothing": 0.1}),
    "lbfgs, own Hessians": Case({"C": 1e6, "tol": 1e-10, "max_iter": 1000}, collinear, close=1e-5),
    "lbfgs, warm start": Case({"warm_start": True}, n_fits=2),
    "adamw": Case(EPOCHS),
    "adamw, no weights": Case(EPOCHS | {"batch_size": "auto"}, unweighted),
    "adamw, sparse": Case(EPOCHS, sparse_rows),
    "adamw, unknown labels": Case(EPOCHS | {"missing_labels": "ignore", "class_weight": "balanced"}, partly_known),
    "adamw, soft labels": Case(EPOCHS, partly_soft),
    "adamw, classes": Case(EPOCHS | {"class_weight": "balanced"}, sorted_classes),
    "adamw, single precision": Case(EPOCHS, single, close=1e-4),
    "adamw, no rows on a rank": Case(EPOCHS, cuts=EMPTY),
    "adamw, no sparse rows on a rank": Case(EPOCHS, sparse_rows, EMPTY),
    "adamw, small batches": Case(EPOCHS | {"batch_size": 3, "loss": "zlpr"}),  # some of them without rows on a rank
    "adamw, schedule": Case(EPOCHS | {"learning_rate": "cosine", "warmup_fraction": 0.2, "label_smoothing": 0.1}),
    "adamw, network": Case(EPOCHS | {"hidden_layer_sizes": (4, 6), "residual": True, "activation": "gelu"}),
    "adamw, sparse network": Case(EPOCHS | {"hidden_layer_sizes": 5}, sparse_rows, EMPTY),
    "adamw, patience": Case(EPOCHS | {"max_iter": 200, "n_iter_no_change": 2, "tol": 1e-3}),
    "adamw, early stopping": Case(EPOCHS | {"max_iter": 40, "early_stopping": True, "n_iter_no_change": 3}),
    "adamw, early stopping, sparse": Case(EPOCHS | {"early_stopping": True}, sparse_rows, EMPTY),
    "adamw, warm start": Case(EPOCHS | {"warm_start": True}, n_fits=2),
    "sgd": Case(EPOCHS | {"solver": "sgd", "learning_rate_init": 1e-3}),
}


ON_GPU = ["lbfgs", "lbfgs, set-wise loss", "lbfgs, sparse", "adamw", "adamw, network", "adamw, early stopping", "sgd"]
SLOW = {"lbfgs, loss with a kink", "lbfgs, own Hessians"}


@dataclass(frozen=True)
class FailingLoss(BCEWithLogits):
    """Loss that fails on one rank when it has been asked some times."""

    rank: int = 1
    calls: int = 3

    def __post_init__(self):
        object.__setattr__(self, "left", [self.calls])

    def _count(self):
        self.left[0] -= 1
        if self.left[0] < 0 and os.environ.get("RANK") == str(self.rank):
            raise ArithmeticError("these scores are too much")

    def per_label_and_gradient(self, scores, targets):
        """Fail now and then."""
        self._count()
        return super().per_label_and_gradient(scores, targets)

    def per_label_gradient(self, scores, targets):
        """Fail now and then."""
        self._count()
        return super().per_label_gradient(scores, targets)


# errors: parameters that differ from the default ones, what rank 1 does to its rows, and what it is told


def spoiled(X, Y, weight):
    """Return rows of which a feature is unknown."""
    return np.where(np.arange(len(X))[:, None] == 7, np.nan, X), Y, weight


FAILURES = {
    "X": ({}, spoiled, "Input X contains NaN"),
    "X of adamw": (EPOCHS, spoiled, "Input X contains NaN"),
    "y": ({}, lambda X, Y, weight: (X, Y * 2, weight), "y must be 0, 1 or a probability"),
    "rows": ({}, lambda X, Y, weight: (X, Y[:9], weight), "inconsistent numbers of samples"),
    "weights": (EPOCHS, lambda X, Y, weight: (X, Y, -weight), "sample_weight must not be negative"),
    "weights of some": ({}, lambda X, Y, weight: (X, Y, None), "sample_weight must be passed on all ranks or on none"),
    "features": ({}, lambda X, Y, weight: (X[:, :2], Y, weight), "must have the same features, got 4 and 2"),
    "labels": ({}, lambda X, Y, weight: (X, Y[:, :2], weight), "labels"),
    "loss on rank 1": ({"loss": FailingLoss()}, None, "these scores are too much"),
    "loss on rank 0": ({"loss": FailingLoss(rank=0)}, None, "these scores are too much"),
    "loss of adamw": (EPOCHS | {"loss": FailingLoss()}, None, "these scores are too much"),
    "loss of adamw after a step": (
        EPOCHS | {"loss": FailingLoss(calls=10)},
        None,
        "these scores are too much",
    ),
    "steps": (EPOCHS | {"solver": "sgd", "learning_rate_init": 1e300}, None, "the loss became"),
    "C": ({"C": -1}, None, "The 'C' parameter"),
    "mixup": (EPOCHS | {"mixup_alpha": 0.5}, None, "mixup_alpha cannot be used with fit_distributed"),
    "scoring": (EPOCHS | {"early_stopping": True, "scoring": "f1_micro"}, None, "scoring cannot be used"),
    "callbacks": (EPOCHS | {"callbacks": [object()]}, None, "callbacks cannot be used"),
}


def part(array, rank, cuts):
    """Return the rows of a rank."""
    if array is None:
        return None
    piece = slice(cuts[rank], cuts[rank + 1])
    return array.iloc[piece] if hasattr(array, "iloc") else array[piece]


def run_cases(rank, size, found):
    """Fit all cases, and collect the estimators."""
    for name in CASES if size > 2 else sorted(CASES.keys() - SLOW):
        found[name] = fit_case(CASES[name], rank, size)


def fit_case(case, rank, size, **options):
    """Return an estimator that is fitted as often as the case says."""
    from sk_quadrant.distributed import fit_distributed

    clf = QuadrantMultiLabelClassifier(**case.options, **options)
    own = [part(array, rank, case.cuts[size]) for array in case.rows()]
    for _ in range(case.n_fits):
        assert fit_distributed(clf, *own) is clf
    return clf


def run_on_gpu(rank, size, found):
    """Fit some cases on a GPU, one for each rank where there are as many."""
    for name in ON_GPU:
        found[name] = fit_case(CASES[name], rank, size, device="cuda")


def run_failures(rank, size, found):
    """Fit what fails, and collect errors and what the estimators have become."""
    from sk_quadrant.distributed import fit_distributed

    for name, (options, change, _) in FAILURES.items():
        own = [part(array, rank, CUTS[2]) for array in rows()]
        if rank == 1 and change is not None:
            own = change(*own)
        clf = QuadrantMultiLabelClassifier(**options)
        before = dict(vars(clf))
        try:
            fit_distributed(clf, *own)
        except Exception as error:
            found[f"error: {name}"] = f"{type(error).__name__}: {error}", vars(clf) == before
    free = {"solver": "adamw", "max_iter": 2, "batch_size": 50}
    found["no seed"] = fit_distributed(QuadrantMultiLabelClassifier(**free), *(part(a, rank, CUTS[2]) for a in rows()))
    mine = QuadrantMultiLabelClassifier(C=1 + rank)
    found["parameters"] = fit_distributed(mine, *(part(a, rank, CUTS[2]) for a in rows()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_distributed(QuadrantMultiLabelClassifier(max_iter=1), *(part(a, rank, CUTS[2]) for a in rows()))
    found["group"] = run_group(rank)
    found["warnings"] = [(str(warning.message), warning.filename) for warning in caught]


def run_group(rank):
    """Return what a fit of the last rank alone gives."""
    import torch.distributed as dist

    from sk_quadrant.distributed import fit_distributed

    group = dist.new_group([1])
    try:
        return fit_distributed(QuadrantMultiLabelClassifier(**PRECISE), *rows(), group=group)
    except ValueError as error:
        return str(error)


def run_end(rank, size, found):
    """Let a rank be killed or interrupted in the fit, and see what becomes of the other."""
    from sk_quadrant.distributed import _ranks, fit_distributed

    calls = iter(range(30))
    add = _ranks.Ranks.sum

    def add_or_end(self, values):
        if rank == int(os.environ["LAST_RANK"]) and next(calls, None) is None:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        return add(self, values)

    _ranks.Ranks.sum = add_or_end
    options = EPOCHS if os.environ["SOLVER"] == "adamw" else PRECISE
    try:
        fit_distributed(QuadrantMultiLabelClassifier(**options), *(part(a, rank, CUTS[2]) for a in rows()))
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}"


def main(folder, *programs):
    """Run as a rank, and write what has been found."""
    import torch.distributed as dist

    warnings.simplefilter("ignore")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    dist.init_process_group(os.environ.get("BACKEND", "gloo"))
    rank, size, found = dist.get_rank(), dist.get_world_size(), {}
    for program in programs:
        globals()[program](rank, size, found)
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def launch(folder, n_ranks, *programs, **environment):
    """Run this file under torchrun, and return what each rank has found."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_ranks)]
    run += [__file__, str(folder), *programs]
    done = subprocess.run(run, env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return found_in(folder)


def found_in(folder):
    """Return what each rank has found."""
    return {int(file.stem): pickle.loads(file.read_bytes()) for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return what two ranks have found, which they are asked once, however many processes run tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "two_ranks"
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return found_in(folder)
        folder.mkdir()
        return launch(folder, 2, "run_cases", "run_failures")


def assert_same(a, b, close):
    """Compare weights of all layers, relatively to the largest of each, and what is known of the training."""
    for own, other in zip(a.model_.layers, b.model_.layers, strict=True):
        for one, two in zip(own, other, strict=True):
            assert_allclose(one, two, rtol=0, atol=close * max(1, np.abs(two).max()))
            assert one.dtype == two.dtype
    if close < 1e-6:
        assert a.n_iter_ == b.n_iter_
        assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-9)


def expected_of(case):
    """Return the estimator that one process has fitted."""
    clf = QuadrantMultiLabelClassifier(**case.options)
    X, y, weight = case.rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(case.n_fits):
            clf.fit(X, y, weight)
    return clf


def check_case(found, name):
    """Compare the estimator of each rank with that of one process, and with that of the first rank."""
    clf, expected = found[0][name], expected_of(CASES[name])
    assert type(clf) is QuadrantMultiLabelClassifier
    assert_same(clf, expected, CASES[name].close)
    assert sorted(vars(clf)) == sorted(set(vars(expected)) - {"net_"})
    X = CASES[name].rows()[0]
    if hasattr(X, "columns"):
        assert_array_equal(clf.feature_names_in_, expected.feature_names_in_)
        assert_array_equal(clf.label_names_in_, expected.label_names_in_)
    for other in found.values():
        assert all(
            np.array_equal(one, two)
            for own, others in zip(clf.model_.layers, other[name].model_.layers, strict=True)
            for one, two in zip(own, others, strict=True)
        )
        assert other[name].loss_curve_ == clf.loss_curve_


@pytest.mark.parametrize("name", sorted(CASES.keys() - SLOW))
def test_fit_of_two_ranks_is_that_of_one_process(two, name):
    """Coefficients, iterations and losses are those of all rows in one place, and the same on both ranks."""
    check_case(two, name)


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_on_one_rank_is_one_on_all(two, name):
    """The rank itself gets its own error, the other one that says where to look, and both stay unfitted."""
    for found in two.values():
        message, is_unchanged = found[f"error: {name}"]
        assert FAILURES[name][2] in message
        assert is_unchanged
    if FAILURES[name][1] is spoiled:
        assert two[0][f"error: {name}"][0].startswith("RuntimeError: The fit has ended because of an error on rank 1.")
        assert two[1][f"error: {name}"][0].startswith("ValueError: Input X")


def test_ranks_draw_one_seed(two):
    """Without random_state both ranks shuffle alike, and the parameter stays None."""
    assert_array_equal(two[0]["no seed"].coef_, two[1]["no seed"].coef_)
    assert two[1]["no seed"].random_state is None


def test_parameters_are_those_of_the_first_rank(two):
    """Ranks that were given other parameters end with the estimator of rank 0."""
    assert two[1]["parameters"].C == two[0]["parameters"].C == 1


def test_a_group_is_of_the_ranks_that_take_part(two):
    """A group of the last rank fits without the first, which is told that it does not belong."""
    assert_same(two[1]["group"], QuadrantMultiLabelClassifier(**PRECISE).fit(*rows()), 1e-10)
    assert two[0]["group"].startswith("group must hold this process, which has rank 0")


def test_the_first_rank_warns_of_the_line_of_the_user(two):
    """One warning, of the call, comes from rank 0, and none from the other."""
    ((message, file),) = two[0]["warnings"]
    assert message.startswith("The lbfgs solver did not converge within max_iter=1")
    assert file == __file__
    assert not two[1]["warnings"]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "n_gpus"), [("gloo", 1), ("nccl", 2)])
def test_fit_on_gpus_is_that_of_one_process(tmp_path, backend, n_gpus):
    """Rows on GPUs, which two ranks may share where collectives are those of the CPU, have the fit of all rows."""
    if torch.cuda.device_count() < n_gpus:
        pytest.skip(f"needs {n_gpus} GPUs")
    found = launch(tmp_path, 2, "run_on_gpu", BACKEND=backend)
    for name in ON_GPU:
        for ranks in found.values():
            ranks[name].device = "cpu"
        check_case(found, name)


@pytest.mark.slow
def test_the_recipe_gives_all_processes_one_model():
    """The example prints the same weight from each process."""
    example = Path(__file__).parents[2] / "examples" / "distributed" / "many_processes.py"
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(example)]
    done = subprocess.run(run, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=True)
    first, second = sorted(done.stdout.splitlines())
    assert first.replace("Rank 0", "Rank 1") == second


@pytest.mark.slow
def test_fit_of_three_ranks_is_that_of_one_process(tmp_path):
    """With a rank more, which has no rows, all results are the same."""
    found = launch(tmp_path, 3, "run_cases")
    for name in CASES:
        check_case(found, name)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize(("last", "end"), [(1, signal.SIGKILL), (0, signal.SIGINT)], ids=["killed", "interrupted"])
def test_a_rank_that_ends_ends_the_fit_of_the_others(tmp_path, solver, last, end):
    """When a process ends in a fit, that of the other ends with an error, long before collectives time out."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2", "SOLVER": solver}
    place |= {"LAST_RANK": str(last), "SIGNAL": str(int(end))}
    run = [sys.executable, __file__, str(tmp_path), "run_end"]
    ranks = [subprocess.Popen(run, env=ENVIRONMENT | place | {"RANK": str(rank)}) for rank in range(2)]
    try:
        codes = [process.wait(timeout=120) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    assert codes[last] != 0  # PyTorch may abort a process when it tidies up after a connection that is lost
    found = pickle.loads((tmp_path / f"{1 - last}.pickle").read_bytes())
    assert found["error"].startswith("RuntimeError: The fit has ended because a rank cannot be reached")


def test_validation_data_are_refused():
    """A group of this process alone says what is held out instead."""
    from torch import distributed as dist

    from sk_quadrant.distributed import fit_distributed

    X, Y, _ = rows()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match=r"X_val and y_val cannot be used with .* ranks, validation_fraction"):
            fit_distributed(QuadrantMultiLabelClassifier(), X, Y, X_val=X, y_val=Y)
        assert fit_distributed(QuadrantMultiLabelClassifier(), X, Y, X_val=None, y_val=None).n_iter_ > 0
    finally:
        dist.destroy_process_group()


def test_without_a_process_group_there_is_an_error():
    """A program that torchrun has not started, or that has not joined a group, is told so."""
    from sk_quadrant.distributed import fit_distributed

    with pytest.raises(ValueError, match=r"There is no process group. Call torch.distributed.init_process_group"):
        fit_distributed(QuadrantMultiLabelClassifier(), *rows())


if __name__ == "__main__":
    main(*sys.argv[1:])
