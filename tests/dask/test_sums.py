"""Sums over the rows of a cluster, and what a fit does when machines fail."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.full_batch.shard import Shard

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier, _sums  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:Port 8787 is already in use",
    "ignore:.*unclosed:ResourceWarning",
    "ignore:Couldn.t detect a suitable IP address",
)
PRECISE = {"tol": 1e-12, "max_iter": 2000}


def assert_same_fit(a, b):
    """Compare coefficients and intercepts, relatively to the largest of each."""
    assert_allclose(a.coef_, b.coef_, rtol=0, atol=1e-10 * np.abs(b.coef_).max())
    assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=1e-10 * max(1, np.abs(b.intercept_).max()))


def before_question(monkeypatch, number, act):
    """Act before some question to the workers."""
    ask, count = _sums.DaskSums.total, iter(range(1, 10**6))

    def total(self, *arguments):
        if next(count) == number:
            act(self)
        return ask(self, *arguments)

    monkeypatch.setattr(_sums.DaskSums, "total", total)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr"])
def test_worker_processes_keep_their_rows(processes, loss):
    """The fit is that of one machine, and in the whole of it no worker has got the rows of another."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 10))
    Y = (X[:, :3] + rng.standard_normal((20_000, 3)) > 0.5).astype(np.uint8)
    collections = [da.from_array(part, chunks=(1700, -1)).persist() for part in (X, Y)]
    distributed.wait(collections)
    clf = DaskQuadrantMultiLabelClassifier(loss, **PRECISE).fit(*collections)
    assert_same_fit(clf, QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, Y))
    moved = processes.run(lambda dask_worker: [key for one in dask_worker.transfer_incoming_log for key in one["keys"]])
    keys = [str(key) for worker in moved.values() for key in worker]
    assert any(key.startswith("sum_over") for key in keys)
    assert not any(key.startswith("_shards") for key in keys)


@pytest.mark.slow
@pytest.mark.parametrize("question", [2, 9], ids=["before the fit", "in the fit"])
def test_fit_survives_the_death_of_a_worker(processes, problem, monkeypatch, question):
    """Blocks of a worker that is killed are computed again, and the coefficients are the same."""
    X, Y, _ = problem
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y)
    before_question(monkeypatch, question, lambda _: os.kill(min(processes.run(os.getpid).values()), signal.SIGKILL))
    collections = (da.from_array(part, chunks=(70, -1)) for part in (X, Y))
    assert_same_fit(DaskQuadrantMultiLabelClassifier(**PRECISE).fit(*collections), expected)


@pytest.mark.slow
def test_each_of_two_fits_survives_the_death_of_a_worker(problem, monkeypatch):
    """The second fit waits for the workers to come back if none of those of before is left, and ends as it should."""
    X, Y, _ = problem
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"})  # a busy machine starts one slowly
    with patient, distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        for _ in range(2):
            with monkeypatch.context() as patch:
                before_question(patch, 9, lambda _: os.kill(min(client.run(os.getpid).values()), signal.SIGKILL))
                collections = (da.from_array(part, chunks=(70, -1)).persist() for part in (X, Y))
                assert_same_fit(DaskQuadrantMultiLabelClassifier(**PRECISE).fit(*collections), expected)


@pytest.mark.slow
def test_rows_lost_for_good_are_an_error(processes, problem, monkeypatch):
    """Rows that were scattered cannot be computed again, which is said."""
    parts = [
        [da.from_delayed(dask.delayed(future), (101, array.shape[1]), dtype=array.dtype) for future in futures]
        for array in problem[:2]
        for futures in [processes.scatter(np.split(array, 3))]
    ]
    before_question(monkeypatch, 9, lambda _: os.kill(min(processes.run(os.getpid).values()), signal.SIGKILL))
    with pytest.raises(RuntimeError, match="lost rows with a worker, and they could not be computed again"):
        DaskQuadrantMultiLabelClassifier(**PRECISE).fit(*(da.concatenate(part) for part in parts))


def test_a_cluster_without_workers_is_an_error(problem, monkeypatch):
    """When the last worker leaves in a fit and none comes, the fit does not wait for ever."""
    monkeypatch.setattr(_sums, "PATIENCE", 0.6)
    monkeypatch.setattr(_sums, "ABSENCE", 0.5)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        before_question(monkeypatch, 9, lambda _: client.sync(cluster.workers[0].close))
        with pytest.raises(RuntimeError, match=r"has had no worker for .* Client.wait_for_workers"):
            DaskQuadrantMultiLabelClassifier(**PRECISE).fit(*(da.from_array(part, chunks=101) for part in problem[:2]))


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_dead_scheduler_is_an_error(problem, monkeypatch, tmp_path, end):
    """When the scheduler is killed in a fit, or does nothing any more, the fit ends with an error that says so."""
    monkeypatch.setattr(_sums, "PATIENCE", 3.0)
    where = ["--scheduler-file", str(tmp_path / "scheduler.json"), "--no-dashboard", "--host", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = [sys.executable, "-m"]
    scheduler = subprocess.Popen([*run, "distributed.cli.dask_scheduler", *where, "--port", "0"], **quiet)
    worker = subprocess.Popen([*run, "distributed.cli.dask_worker", *where, "--no-nanny", "--nthreads", "1"], **quiet)
    try:
        with distributed.Client(scheduler_file=where[1], timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
            before_question(monkeypatch, 9, lambda _: scheduler.send_signal(end))
            with pytest.raises(RuntimeError, match=r"scheduler of .* does not answer"):
                DaskQuadrantMultiLabelClassifier(**PRECISE).fit(
                    *(da.from_array(part, chunks=101) for part in problem[:2])
                )
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def test_answers_are_one_however_many_workers(client, problem):
    """Sums are added on the workers, pairs of partial sums last, and are those of all rows."""
    X, Y, weight = problem
    clf = DaskQuadrantMultiLabelClassifier()
    sums = clf._send(*(da.from_array(part, chunks=101) for part in (X, Y, weight))).row_sums(fit_intercept=True)
    assert_allclose(sums.total(Shard.size)[0], [303, 303 * 4, weight.sum(), 303])
    assert len(sums.groups) == 2
