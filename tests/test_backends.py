"""Many fits over the backends of joblib: the same results on each of them, without a fight for the cores."""

import runpy
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.losses import LOSSES

SEARCHES = {
    "grid": GridSearchCV(
        QuadrantMultiLabelClassifier(),
        {"loss": ["bce_with_logits", "zlpr"], "C": [0.01, 1.0]},
        scoring="f1_macro",
        cv=2,
    ),
    "thresholds": TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2),
    "calibration": CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier("squared_hinge"), cv=2),
}


@pytest.fixture(scope="module")
def problem():
    """Noisy quadrants in three dimensions."""
    return make_quadrants(120, 3, slope=1.5, shuffle=True, random_state=0)


def results_of(search, problem):
    """Return what a search has found, as arrays."""
    X, Y = problem
    search.fit(X, Y)
    if isinstance(search, GridSearchCV):
        scores = [value for name, value in sorted(search.cv_results_.items()) if name.endswith("test_score")]
        return [*scores, np.array(str(search.best_params_)), search.best_estimator_.coef_]
    return [search.predict(X), search.predict_proba(X)]


@contextmanager
def dask_backend():
    """Give joblib two worker processes of Dask."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        yield


@contextmanager
def ray_backend():
    """Give joblib two worker processes of Ray."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        with joblib.parallel_config("ray", n_jobs=2):
            yield
    finally:
        ray.shutdown()


PROCESSES = {"loky": lambda: joblib.parallel_config("loky", n_jobs=2), "dask": dask_backend, "ray": ray_backend}


@pytest.fixture(params=["threading", *(pytest.param(name, marks=pytest.mark.slow) for name in PROCESSES)])
def backend(request):
    """Run the body of a test with a backend of joblib that has two workers."""
    with PROCESSES[request.param]() if request.param in PROCESSES else joblib.parallel_config(request.param, n_jobs=2):
        yield request.param


@pytest.mark.filterwarnings("ignore:Port 8787 is already in use")
def test_results_do_not_depend_on_the_backend(backend, problem):
    """Scores, best parameters, thresholds and probabilities are those of one process, to the bit."""
    found = {name: results_of(search, problem) for name, search in SEARCHES.items()}
    with joblib.parallel_config("sequential"):
        expected = {name: results_of(search, problem) for name, search in SEARCHES.items()}
    for name in SEARCHES:
        for one, other in zip(found[name], expected[name], strict=True):
            assert_array_equal(one, other)


def test_a_thread_does_not_trip_over_the_import_of_another(monkeypatch):
    """Links of arrays work while another thread is still importing PyTorch."""
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert LOSSES["bce_with_logits"]().link.inverse(np.zeros(2)).tolist() == [0.5, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_worker_processes_share_the_cores(name, monkeypatch):
    """Where nobody says otherwise, all PyTorch threads of two workers are no more than cores, or one a worker."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    get_reusable_executor().shutdown()  # workers of loky that are there have the environment of before
    ask = joblib.delayed(eval)("__import__('torch').get_num_threads()")
    with PROCESSES[name]():
        threads = joblib.Parallel()([ask] * 2)
    assert max(threads) <= max(1, joblib.cpu_count() // 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Port 8787 is already in use")
def test_the_recipe_searches_on_a_cluster(capsys):
    """The example finds, on two workers of Dask, the parameters that a search in one process finds."""
    pytest.importorskip("distributed")
    example = Path(__file__).parents[1] / "examples" / "distributed" / "many_fits.py"
    search = runpy.run_path(str(example), run_name="__main__")["search"]
    (X, Y), grid = make_quadrants(4000, 10, slope=2, shuffle=True, random_state=0), search.param_grid
    with joblib.parallel_config("sequential"):
        expected = GridSearchCV(QuadrantMultiLabelClassifier(), grid, scoring="f1_macro").fit(X, Y)
    assert search.best_params_ == expected.best_params_
    assert_array_equal(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
