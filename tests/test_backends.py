"""Many fits over the backends of joblib: the same results on each of them, without a fight for the cores."""

import sys
from types import ModuleType

import joblib
import numpy as np
import pytest
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


@pytest.fixture(params=["threading", *(pytest.param(name, marks=pytest.mark.slow) for name in ("loky", "dask"))])
def backend(request):
    """Run the body of a test with a backend of joblib that has two workers."""
    if request.param != "dask":
        with joblib.parallel_config(request.param, n_jobs=2):
            yield request.param
        return
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
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
@pytest.mark.parametrize("n_jobs", [2, 4])
def test_worker_processes_share_the_cores(n_jobs):
    """All PyTorch threads of loky's workers together are no more than cores, or one a worker."""
    ask = joblib.delayed(eval)("__import__('torch').get_num_threads()")
    threads = joblib.Parallel(n_jobs=n_jobs, backend="loky")([ask] * n_jobs)
    assert max(threads) <= max(1, joblib.cpu_count() // n_jobs)
