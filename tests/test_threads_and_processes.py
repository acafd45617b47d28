"""Threads and processes: concurrent calls give what one call after the other gives, and leave nothing changed."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

import sk_quadrant
from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant._solvers.registry import SOLVERS

ROOT = Path(sk_quadrant.__file__).parents[1]
X, Y = make_quadrants(n_samples=200, n_features=3, slope=2.0, random_state=0)
N_THREADS = 8

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few epochs, on purpose


def estimator_of(solver, **options):
    """Return an estimator that trains briefly."""
    epochs = {"max_iter": 4, "random_state": 0, "learning_rate_init": 0.05} if SOLVERS[solver].random else {}
    return QuadrantMultiLabelClassifier(solver=solver, **epochs | options)


ESTIMATORS = {
    **{solver: estimator_of(solver) for solver in SOLVERS},
    "set-wise": QuadrantMultiLabelClassifier("zlpr"),
    "early stopping": estimator_of("adamw", early_stopping=True),
    "network": estimator_of("adamw", hidden_layer_sizes=(4,)),
    "network of autograd": estimator_of("sgd", hidden_layer_sizes=(4,), mixup_alpha=0.5, label_smoothing=0.1),
    "tuned": TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2),
    "calibrated": CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier("hinge", tol=1e-2), cv=2),
}
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def answers(model, rows=X):
    """Return all answers of a model."""
    names = ("decision_function", "predict_proba", "predict")
    return [getattr(model, name)(rows) for name in names if hasattr(model, name)]


def assert_all_equal(found, expected):
    """Check that lists of arrays are the same, entry by entry."""
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def in_threads(function, arguments):
    """Return the results of calls that all begin at once, each in a thread of its own."""
    barrier = threading.Barrier(len(arguments))

    def call(argument):
        barrier.wait(timeout=60)
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments, timeout=120))


def on_subset(k):
    """Return the rows that thread k trains on."""
    return np.random.default_rng(k).permutation(len(X))[:150]


# %% threads


@each_estimator
@pytest.mark.slow
def test_fits_in_many_threads_are_those_of_one(name):
    """Several estimators, each with data of its own."""

    def fit(k):
        rows = on_subset(k)
        return answers(clone(ESTIMATORS[name]).fit(X[rows], Y[rows]))

    expected = [fit(k) for k in range(N_THREADS)]
    for found, one in zip(in_threads(fit, range(N_THREADS)), expected, strict=True):
        assert_all_equal(found, one)


@each_estimator
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_one_model_answers_many_threads(name, container):
    """Predictions do not write to the model, also where its net has to be built again first."""
    model = joblib.load(_dumped(clone(ESTIMATORS[name]).fit(X, Y)))
    parts = [container(X[on_subset(k)]) for k in range(N_THREADS)]
    found = in_threads(lambda rows: answers(model, rows), parts)
    for one, rows in zip(found, parts, strict=True):
        assert_all_equal(one, answers(model, rows))


def _dumped(model):
    """Return a file of a model, which has no net when it is loaded."""
    file = BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return file


@each_estimator
def test_one_estimator_fitted_by_many_threads_ends_with_the_fit_of_one(name):
    """The last one wins, with attributes that belong together."""
    shared = clone(ESTIMATORS[name])
    expected = answers(clone(shared).fit(X, Y))
    in_threads(lambda _: shared.fit(X, Y), range(N_THREADS))
    assert_all_equal(answers(shared), expected)


def test_coefficients_and_intercepts_are_of_one_model():
    """A fit that ends between the two, in another thread, does not mix them."""
    old, new = (QuadrantMultiLabelClassifier().fit(X, labels) for labels in (Y, 1 - Y))
    shared = clone(old).fit(X, Y)

    class Refitted:
        """Coefficients that are replaced when they are read."""

        @property
        def T(self):
            shared.model_ = new.model_
            return old.coef_.T

    shared.coef_ = Refitted()
    assert_array_equal(shared.decision_function(X), old.decision_function(X))
    assert_array_equal(shared.decision_function(X), new.decision_function(X))


@pytest.mark.parametrize("name", ["lbfgs", "adamw", "network"])
def test_predictions_during_a_fit_are_of_the_old_or_the_new_model(name):
    """A model that is fitted anew answers meanwhile, with one of the two."""
    models = [clone(ESTIMATORS[name]).fit(X, labels) for labels in (Y, 1 - Y)]
    possible = {model.decision_function(X).tobytes() for model in models}
    shared, ready = clone(ESTIMATORS[name]).fit(X, Y), threading.Event()

    def refit(labels):
        ready.wait(timeout=60)
        for _ in range(5):
            shared.fit(X, labels)

    def predict(_):
        ready.set()
        return {shared.decision_function(X).tobytes() for _ in range(100)}

    with ThreadPoolExecutor(3) as pool:
        fits = pool.submit(refit, 1 - Y)
        seen = set().union(*pool.map(predict, range(2), timeout=120))
        fits.result(timeout=120)
    assert seen <= possible


def test_threads_of_joblib_train_as_processes_do():
    """A search over a backend of threads finds what one thread finds."""
    losses = ["bce_with_logits", "zlpr", "focal", "squared_hinge"]
    with joblib.parallel_backend("threading", n_jobs=4):
        found = joblib.Parallel()(
            joblib.delayed(lambda loss: QuadrantMultiLabelClassifier(loss).fit(X, Y).coef_)(loss) for loss in losses
        )
    assert_all_equal(found, [QuadrantMultiLabelClassifier(loss).fit(X, Y).coef_ for loss in losses])


@each_estimator
def test_threads_leave_global_states_alone(name):
    """Number of threads, default type, gradient mode and random states are those of before, in every thread."""
    clone(ESTIMATORS[name]).fit(X, Y)  # imports and the like are done
    torch.set_num_threads(2)
    try:
        before = global_state()
        after = in_threads(lambda _: (clone(ESTIMATORS[name]).fit(X, Y).predict(X), global_state())[1], range(4))
        for state in (*after, global_state()):
            assert state == before
    finally:
        torch.set_num_threads(1)


def global_state():
    """Return what calls could have changed."""
    return {
        "torch generator": torch.get_rng_state().numpy().tobytes(),
        "numpy generator": str(np.random.get_state()),  # noqa: NPY002
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": str(torch.get_default_dtype()),
        "gradients": torch.is_grad_enabled(),
        "numpy errors": str(np.geterr()),
    }


# %% processes


FORKED = """
import multiprocessing, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants

X, Y = make_quadrants(n_samples=400, n_features=3, slope=2.0, random_state=0)

def fit(solver):
    options = {} if solver == "lbfgs" else {"max_iter": 4, "random_state": 0}
    return QuadrantMultiLabelClassifier(solver=solver, **options).fit(X, Y).predict_proba(X)

if __name__ == "__main__":
    method, solvers = sys.argv[1], ["lbfgs", "adamw", "sgd", "lbfgs"]
    import torch
    torch.set_num_threads(2)  # a pool of threads that a fork does not take along
    expected = [fit(solver) for solver in solvers]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(fit, solvers).get(timeout=100)
    again = [fit(solver) for solver in solvers]
    same = lambda a, b: all(np.allclose(x, y, rtol=1e-6, atol=1e-9) for x, y in zip(a, b, strict=True))
    print(same(found, expected), same(again, expected))
"""


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(name, marks=pytest.mark.slow) for name in ("forkserver", "spawn"))]
)
@pytest.mark.slow
def test_processes_of_every_kind_train_after_their_parent_has(method, tmp_path):
    """No deadlock after a fork of a process whose threads have worked, and the same models everywhere."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    (tmp_path / "program.py").write_text(FORKED)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", method], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.slow
@each_estimator
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_processes_of_joblib_train_as_this_one(backend, name):
    """In the processes of both backends."""
    expected = cross_val_predict(clone(ESTIMATORS[name]), X, Y, cv=2)
    with joblib.parallel_backend(backend, n_jobs=2):
        assert_array_equal(cross_val_predict(clone(ESTIMATORS[name]), X, Y, cv=2), expected)
