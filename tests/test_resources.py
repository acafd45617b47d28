"""Resources: memory as a multiple of the input, no growth from fit to fit, and fits that stop when they are told to."""

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import sk_quadrant
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._solvers.full_batch import stages
from sk_quadrant._solvers.full_batch.newton import LabelHessian
from sk_quadrant._solvers.full_batch.shard import Block
from sk_quadrant._solvers.full_batch.solve import LabelProblems

ROOT = Path(sk_quadrant.__file__).parents[1]
X, Y = make_quadrants(n_samples=200, n_features=3, slope=2.0, random_state=0)
on_linux = pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peaks of memory are Linux's")


def run_python(code, *arguments, timeout=300):
    """Run code in a process of its own and return what it prints, from JSON."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


PRELUDE = """
import json, sys, warnings
import numpy as np
from scipy import sparse
from sk_quadrant import QuadrantMultiLabelClassifier

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)

def rows_of(kind, n, d, per_row=50):
    if kind == "sparse":
        step = d // per_row  # one place in each stretch of columns, so that none comes twice
        places = rng.integers(0, step, (n, per_row), dtype="i4") + np.arange(0, step * per_row, step, dtype="i4")
        parts = rng.random(n * per_row, dtype="f4"), places.ravel(), np.arange(0, n * per_row + 1, per_row, dtype="i4")
        return sparse.csr_array(parts, shape=(n, d))
    X = rng.standard_normal((n, d), dtype="f4")
    return {"dense": X, "fortran": np.asfortranarray(X), "integers": X.astype("i4")}[kind]

def labels_of(kind, n, L, per_row=3):
    if kind == "dense":
        return rng.integers(0, 2, (n, L), dtype="u1")
    places = rng.integers(0, L, n * per_row)
    return sparse.csr_array((np.ones(n * per_row), places, np.arange(0, n * per_row + 1, per_row)), shape=(n, L)) > 0

def size_of(A):
    return A.nbytes if isinstance(A, np.ndarray) else A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
"""

PEAK = (
    PRELUDE
    + """
options, x, n, d, y, L = json.loads(sys.argv[1])

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

def peak(call):
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    call()
    return status("VmHWM") - before

def make():
    return QuadrantMultiLabelClassifier(**{"max_iter": 5, "tol": 1e-3, "random_state": 0} | options)

small = rows_of(x, 300, d if x == "sparse" else 20), labels_of(y, 300, 3)
model = make().fit(*small)  # imports and the like are done
model.predict(small[0]), model.predict_proba(small[0])
X, Y = rows_of(x, n, d), labels_of(y, n, L)
model = make()
fit = peak(lambda: model.fit(X, Y))
print(json.dumps({
    "X": size_of(X), "coef": model.coef_.nbytes, "scores": 4 * n * L,
    "fit": fit, "predict": peak(lambda: model.predict(X)), "predict_proba": peak(lambda: model.predict_proba(X)),
}))
"""
)

# (options, kind, rows and features of X, kind and number of labels), what fit takes, what predict takes;
# both in terms of X, coef and scores of shape (n_samples, n_labels) in single precision
NOTHING = 32e6  # bytes: caches of libraries and blocks of rows
MEMORY = {
    "dense": (({}, "dense", 400_000, 100, "dense", 5), {"X": 0.3}, {"scores": 4}),
    "fortran": (({}, "fortran", 400_000, 100, "dense", 5), {"X": 0.3}, {"scores": 4}),
    "integers": (({}, "integers", 200_000, 100, "dense", 5), {"X": 2.3}, {"X": 2, "scores": 4}),
    "wide": (({}, "dense", 400, 100_000, "dense", 5), {"X": 0.3, "coef": 8}, {"scores": 4, "coef": 1}),
    "class weights": (
        ({"class_weight": "balanced"}, "dense", 400_000, 50, "dense", 10), {"X": 0.3, "scores": 18}, {"scores": 4},
    ),
    "steps": (({"solver": "adamw"}, "dense", 400_000, 100, "dense", 5), {"X": 0.3}, {"scores": 4}),
    "sparse": (({}, "sparse", 200_000, 20_000, "sparse", 5), {"X": 3}, {"X": 0.5, "scores": 4}),
    "sparse steps": (({"solver": "adamw"}, "sparse", 200_000, 20_000, "sparse", 5), {"X": 1}, {"X": 0.5, "scores": 4}),
    "many labels": (
        ({}, "sparse", 20_000, 20_000, "sparse", 1000), {"X": 3, "coef": 4}, {"coef": 2, "scores": 1},
    ),
    "many labels steps": (
        ({"solver": "adamw", "max_iter": 1}, "sparse", 20_000, 20_000, "sparse", 1000), {"X": 1, "coef": 10},
        {"coef": 2, "scores": 1},
    ),
    "many labels of a set": (
        ({"loss": "zlpr"}, "sparse", 20_000, 2000, "sparse", 1000), {"X": 3, "coef": 40, "scores": 7},
        {"coef": 2, "scores": 1},
    ),
    "many dense labels": (({}, "dense", 50_000, 50, "dense", 600), {"X": 1, "scores": 3}, {"scores": 2.5}),
}  # fmt: skip


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize("case", MEMORY)
def test_memory_is_a_multiple_of_the_input(case):
    """Fit and predict take no more than the documentation says; predict_proba little beyond its answer."""
    arguments, fit, predict = MEMORY[case]
    sizes = run_python(PEAK, json.dumps(arguments))
    for method, multiples in (("fit", fit), ("predict", predict), ("predict_proba", predict | {"scores": 4})):
        limit = NOTHING + sum(factor * sizes[part] for part, factor in multiples.items())
        assert sizes[method] < limit, (method, sizes)


GROWTH = (
    PRELUDE
    + """
import gc, os

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

X, Y = rng.standard_normal((2000, 20)), rng.integers(0, 2, (2000, 5))
model = QuadrantMultiLabelClassifier(**json.loads(sys.argv[1]))
sizes = []
for k in range(1001):
    model.fit(X, Y).predict_proba(X)
    if k % 500 == 100 or k == 1000:
        sizes.append(resident())
print(json.dumps(sizes))
"""
)


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"tol": 1e-2}, {"loss": "zlpr", "tol": 1e-2}, {"solver": "adamw", "max_iter": 1}],
    ids=["lbfgs", "zlpr", "adamw"],
)
def test_a_thousand_fits_do_not_grow(options):
    """After a hundred fits, nine hundred more take no memory: one row of the data a fit would be 140 kB."""
    first, *_, last = run_python(GROWTH, json.dumps(options), timeout=600)
    assert last - first < 4e6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 50}, {"solver": "adamw", "max_iter": 2}, {"solver": "sgd", "max_iter": 2},
     {"solver": "adamw", "max_iter": 2, "hidden_layer_sizes": 3, "early_stopping": True, "scoring": "f1_macro"}],
    ids=["lbfgs", "lbfgs from disk", "adamw", "sgd", "scored"],
)  # fmt: skip
@pytest.mark.slow
def test_a_model_holds_no_rows(options):
    """What was trained on is free as soon as the caller lets go of it."""
    rows, labels = X.copy(), Y.copy()
    model = QuadrantMultiLabelClassifier(**options).fit(rows, labels)
    alive = [weakref.ref(rows), weakref.ref(labels)]
    del rows, labels
    gc.collect()
    assert [reference() for reference in alive] == [None, None]
    assert model.predict(X).shape == Y.shape


# %% interruption


INTERRUPTED = (
    PRELUDE
    + """
import os, signal, threading, time

options, x, n, d, y, L = json.loads(sys.argv[1])
QuadrantMultiLabelClassifier(**options | {"max_iter": 1}).fit(rows_of(x, 200, d), labels_of(y, 200, L))
X, Y = rows_of(x, n, d), labels_of(y, n, L)

def interrupt(delay, pressed):
    time.sleep(delay)
    pressed.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

def work_after_interruption(delay):
    pressed = []
    threading.Thread(target=interrupt, args=(delay, pressed), daemon=True).start()
    try:
        while not pressed:  # a fit that is over before is followed by another one
            QuadrantMultiLabelClassifier(**{"tol": 0, "max_iter": 10**6} | options).fit(X, Y)
    except KeyboardInterrupt:
        pass
    return time.process_time() - pressed[0]

print(json.dumps([work_after_interruption(delay) for delay in (0.2, 0.7, 2.0, 4.0)]))
"""
)
LARGE = {
    "dense": ({}, "dense", 200_000, 100, "dense", 20),
    "many features": ({}, "dense", 20_000, 1000, "dense", 20),
    "wide": ({}, "dense", 490, 50_000, "dense", 50),
    "sparse": ({}, "sparse", 300_000, 50_000, "sparse", 64),
    "set-wise": ({"loss": "zlpr"}, "sparse", 100_000, 50_000, "sparse", 200),
    "from disk": ({"batch_size": 100_000}, "dense", 300_000, 100, "dense", 20),
    "steps": ({"solver": "adamw"}, "dense", 300_000, 100, "dense", 20),
    "large batches": ({"solver": "adamw", "batch_size": 100_000}, "dense", 300_000, 100, "dense", 20),
    "sparse steps": ({"solver": "adamw"}, "sparse", 100_000, 20_000, "sparse", 100),
    "network": ({"solver": "adamw", "hidden_layer_sizes": 500}, "dense", 100_000, 200, "dense", 20),
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize("case", LARGE)
def test_a_large_fit_stops_within_a_second(case):
    """Early or late, after a second of the processor's work, so that other processes do not count."""
    assert max(run_python(INTERRUPTED, json.dumps(LARGE[case]))) < 1


def interrupting(original, at):
    """Return a method that is interrupted in its call of that number."""
    calls = []

    def method(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    return method


@pytest.mark.parametrize("fitted", [False, True], ids=["first fit", "second fit"])
@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_a_fit_that_has_not_begun_leaves_the_estimator_as_it_was(solver, fitted, monkeypatch):
    """Stopped before its first iteration or epoch is over, it raises, and a former model stays."""
    clf = QuadrantMultiLabelClassifier(solver=solver, max_iter=500, random_state=0, tol=1e-2)
    if fitted:
        clf.fit(X, Y)
    before = joblib.hash({name: value for name, value in vars(clf).items() if name != "net_"})
    if solver == "lbfgs":
        owner, name = Block, "loss_sums"
    else:
        from sk_quadrant._solvers.mini_batch.steps import AnalyticSteps

        owner, name = AnalyticSteps, "run"
    monkeypatch.setattr(owner, name, interrupting(getattr(owner, name), 1))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, 1 - Y)
    assert joblib.hash({name: value for name, value in vars(clf).items() if name != "net_"}) == before


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("at", range(3, 9))
def test_a_stopped_fit_has_the_coefficients_of_its_last_iteration(at, monkeypatch):
    """Whatever step of a line search it was in, the model is that of as many whole iterations."""
    monkeypatch.setattr(Block, "loss_sums", interrupting(Block.loss_sums, at))
    with pytest.warns(ConvergenceWarning, match="interrupted after"):
        stopped = QuadrantMultiLabelClassifier(tol=1e-12).fit(X, Y)
    monkeypatch.undo()
    if stopped.n_iter_:
        whole = QuadrantMultiLabelClassifier(tol=1e-12, max_iter=stopped.n_iter_).fit(X, Y)
        assert_array_equal(stopped.coef_, whole.coef_)
        assert stopped.loss_curve_ == whole.loss_curve_
    else:
        assert not stopped.coef_.any()


def test_a_fit_stopped_between_blocks_of_labels_keeps_those_it_has(monkeypatch):
    """The labels of the first block are solved, the others have not been begun."""
    rows = sparse.csr_array(X)
    whole = QuadrantMultiLabelClassifier().fit(rows, Y)
    monkeypatch.setattr(LabelProblems, "blocks", lambda self, **_: np_blocks())
    monkeypatch.setattr(stages.Minimization, "run", interrupting(stages.Minimization.run, 2))
    with pytest.warns(ConvergenceWarning, match="interrupted after"):
        stopped = QuadrantMultiLabelClassifier().fit(rows, Y)
    assert_array_equal(stopped.coef_[1:], 0)
    np.testing.assert_allclose(stopped.coef_[0], whole.coef_[0], rtol=1e-2)


def np_blocks():
    """Return one block a label."""
    import torch

    return [torch.tensor([label]) for label in range(3)]


def test_a_fit_stopped_in_the_second_stage_does_not_go_on(monkeypatch):
    """Labels that get their own Hessian are worked on in groups, of which none is begun after an interruption."""
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(40, 30)), rng.integers(0, 2, (40, 4))
    monkeypatch.setattr(stages, "PATIENCE", (1, 1))
    monkeypatch.setattr(stages, "HESSIAN_ELEMENTS", 1)
    begun = []
    precondition = LabelHessian.precondition

    def interrupt(self, *args):
        begun.append(1)
        if len(begun) > 1:
            raise KeyboardInterrupt
        return precondition(self, *args)

    monkeypatch.setattr(LabelHessian, "precondition", interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted after"):
        QuadrantMultiLabelClassifier(C=10.0).fit(rows, labels)
    assert len(begun) == 2
