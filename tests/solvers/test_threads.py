"""Threads of fits: one for each operation of PyTorch but long ones, and the caller's number afterwards."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._solvers import threads  # which threads run shows from the inside only
from sk_quadrant._solvers.full_batch import solve
from sk_quadrant.losses import BCEWithLogits

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few iterations, on purpose

X, Y = make_quadrants(n_samples=300, n_features=3, random_state=0)


@pytest.fixture(autouse=True)
def three_threads():
    """Give the caller three threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[False, True], ids=["busy", "idle"])
def idle(request, monkeypatch):
    """Say whether a core is idle."""
    monkeypatch.setattr(threads, "is_core_idle", lambda: request.param)
    return request.param


@pytest.fixture
def other_thread():
    """Let another thread run during the test."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield
    stop.set()
    thread.join()


def number_in_new_thread():
    """Return the number of threads that PyTorch gives to a thread that it has not seen yet."""
    numbers = []
    thread = threading.Thread(target=lambda: numbers.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return numbers[0]


class Watching(BCEWithLogits):
    """Loss that remembers in how many threads it is computed, and may fail."""

    seen: set = set()  # noqa: RUF012
    fails = False

    def per_label(self, *args):
        """Remember, and compute."""
        self.seen.add(torch.get_num_threads())
        if self.fails:
            raise ZeroDivisionError
        return super().per_label(*args)

    def values_and_gradient(self, *args):
        """Remember, and compute."""
        self.seen.add(torch.get_num_threads())
        if self.fails:
            raise ZeroDivisionError
        return super().values_and_gradient(*args)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw", "sgd"])
def test_a_small_fit_has_one_thread_and_leaves_the_callers(solver, monkeypatch):
    """Look from inside the loss, and afterwards at this thread and a new one."""
    monkeypatch.setattr(Watching, "seen", set())
    QuadrantMultiLabelClassifier(Watching(), solver=solver, max_iter=100).fit(X, Y)
    assert Watching.seen == {1}
    assert (torch.get_num_threads(), number_in_new_thread()) == (3, 3)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_a_fit_that_fails_leaves_the_callers_threads(solver, monkeypatch):
    """Raise an error in the loss."""
    monkeypatch.setattr(Watching, "fails", True)
    with pytest.raises(ZeroDivisionError):
        QuadrantMultiLabelClassifier(Watching(), solver=solver).fit(X, Y)
    assert (torch.get_num_threads(), number_in_new_thread()) == (3, 3)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_small_fits_and_predictions_start_no_threads():
    """Count the threads of a process before and after, with two cores allowed."""
    program = """
import os, torch, numpy as np, skorch
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
X, Y = make_quadrants(n_samples=300, n_features=3, random_state=0)
torch.set_num_threads(4)
before = len(os.listdir("/proc/self/task"))
for solver in ("lbfgs", "adamw"):
    QuadrantMultiLabelClassifier(solver=solver, max_iter=100).fit(X, Y).predict_proba(X)
print(len(os.listdir("/proc/self/task")) - before, torch.get_num_threads())
"""
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", program]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["0", "4"]


@pytest.mark.usefixtures("other_thread")
def test_a_long_operation_has_the_callers_threads_while_a_core_is_idle(idle):
    """Look inside short and long operations of a fit, and outside a fit."""
    with threads.fit_threads():
        with threads.long_operation(threads.LONG - 1):
            assert torch.get_num_threads() == 1
        with threads.long_operation(threads.LONG):
            assert torch.get_num_threads() == (3 if idle else 1)
        assert (torch.get_num_threads(), number_in_new_thread()) == (1, 3)
    with threads.long_operation(threads.LONG):
        assert torch.get_num_threads() == 3


def test_parts_of_a_pass_are_in_threads_of_one_thread_while_a_core_is_idle(idle):
    """Check order, number of threads and gradient mode; a barrier shows that parts run at the same time."""
    barrier = threading.Barrier(3, timeout=30)

    def work(part):
        if idle:
            barrier.wait()
        return part, torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident() != own

    own = threading.get_ident()
    with torch.no_grad(), threads.fit_threads():
        assert list(threads.in_threads(work, [0, 1, 2])) == [(part, 1, False, idle) for part in range(3)]
        assert list(threads.in_threads(lambda part: threading.get_ident() == own, [0])) == [True]
    assert (torch.get_num_threads(), number_in_new_thread()) == (3, 3)


@pytest.mark.parametrize(("work", "n"), [(0, 1), (threads.PART_WORK, 1), (2 * threads.PART_WORK, 2), (2**60, 4)])
def test_groups_depend_on_the_work_and_cover_all_parts(work, n):
    """Check number, order and sizes."""
    parts = list(range(11))
    groups = threads.divide(parts, work)
    assert (len(groups), [part for group in groups for part in group]) == (n, parts)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert threads.divide(parts[:1], work) == [parts[:1]]


@pytest.mark.parametrize("as_rows", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_coefficients_do_not_depend_on_idle_cores(as_rows, monkeypatch):
    """Compare bits of fits whose passes, or labels, are divided, with work to divide made small."""
    monkeypatch.setattr(threads, "PART_WORK", 100)
    monkeypatch.setattr(solve, "WORTH_THREADS", 100)
    monkeypatch.setattr(solve, "FEWEST_IN_THREAD", 1)
    monkeypatch.setattr(threads, "LONG", 100)
    rng = np.random.default_rng(0)
    rows, labels = as_rows(rng.normal(size=(4000, 90)) * (rng.random((4000, 90)) < 0.4)), rng.integers(0, 2, (4000, 40))
    found = []
    for answer in (False, True):
        monkeypatch.setattr(threads, "is_core_idle", lambda answer=answer: answer)
        found.append(QuadrantMultiLabelClassifier(max_iter=5).fit(rows, labels).coef_)
    np.testing.assert_array_equal(*found)


class Counting(BCEWithLogits):
    """Loss that counts its evaluations, and acts from one of them on."""

    act = staticmethod(lambda: None)
    on, n = 0, 0

    def per_label_and_gradient(self, *args):
        """Count, and compute."""
        type(self).n += 1
        if self.n >= self.on:
            self.act()
        return super().per_label_and_gradient(*args)


@pytest.fixture
def blocks_in_threads(monkeypatch):
    """Solve even the smallest sparse problems in two blocks, in threads, with a loss that counts."""
    monkeypatch.setattr(solve, "WORTH_THREADS", 1)
    monkeypatch.setattr(solve, "FEWEST_IN_THREAD", 1)
    monkeypatch.setattr(threads, "is_core_idle", lambda: True)
    monkeypatch.setattr(Counting, "n", 0)
    rng = np.random.default_rng(0)
    return sparse.random(300, 40, 0.1, "csr", random_state=0), rng.integers(0, 2, (300, 6))


def test_an_error_in_one_block_of_labels_is_raised(blocks_in_threads, monkeypatch):
    """The other block does not hide it, and the caller's threads are back."""

    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(Counting, "act", staticmethod(fail))
    monkeypatch.setattr(Counting, "on", 6)
    with pytest.raises(ZeroDivisionError):
        QuadrantMultiLabelClassifier(Counting(), tol=1e-10).fit(*blocks_in_threads)
    assert (torch.get_num_threads(), number_in_new_thread()) == (3, 3)


def test_an_interruption_of_one_block_stops_the_other_and_keeps_what_both_have(blocks_in_threads, monkeypatch):
    """The labels that were begun keep their last iteration, there is a warning, and the model predicts."""

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(Counting, "act", staticmethod(interrupt))
    monkeypatch.setattr(Counting, "on", 8)
    clf = QuadrantMultiLabelClassifier(Counting(), tol=1e-12)
    with pytest.warns(UserWarning, match="interrupted after"):
        clf.fit(*blocks_in_threads)
    assert clf.coef_.any(axis=1).sum() >= 3
    assert clf.predict(blocks_in_threads[0]).shape == (300, 6)


def test_parts_that_have_begun_are_finished_after_an_interruption(monkeypatch):
    """Two threads have two parts; after an interruption in one of them the other ends, and no third is begun."""
    monkeypatch.setattr(threads, "is_core_idle", lambda: True)
    stop, both = threading.Event(), threading.Barrier(2, timeout=30)

    def work(part):
        both.wait()
        if part == 0:
            raise KeyboardInterrupt
        return part, stop.wait(timeout=30)

    torch.set_num_threads(2)
    with threads.fit_threads():
        assert list(threads.until_interrupted(work, range(5), stop, parallel=True)) == [(1, True)]
