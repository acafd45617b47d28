"""Threads of predictions: BLAS in one, which is restored, and blocks of rows in several while cores are idle."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_quadrant import QuadrantMultiLabelClassifier, _cores  # which threads run shows from the inside only
from sk_quadrant._cores import LONG, map_blocks, one_blas_thread


class Library:
    """BLAS that remembers its number of threads."""

    def __init__(self, number):
        self.number = number

    def get_num_threads(self):
        """Return the number."""
        return self.number

    def set_num_threads(self, number):
        """Set the number."""
        self.number = number


@pytest.fixture
def libraries(monkeypatch):
    """Return two libraries with different numbers of threads, in place of those of this process."""
    libraries = [Library(4), Library(3)]
    monkeypatch.setattr(_cores, "_blas_libraries", lambda: libraries)
    return libraries


@pytest.fixture(params=[False, True], ids=["busy", "idle"])
def idle(request, monkeypatch):
    """Say whether a core is idle."""
    monkeypatch.setattr(_cores, "is_core_idle", lambda: request.param)
    return request.param


def numbers(libraries):
    """Return the numbers of threads."""
    return [library.number for library in libraries]


def test_blas_has_one_thread_and_then_those_of_before(libraries):
    """Check the numbers inside, after an error, and what is yielded."""

    def fail():
        with one_blas_thread() as before:
            assert (numbers(libraries), before) == ([1, 1], 4)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert numbers(libraries) == [4, 3]


def test_the_last_of_several_users_restores(libraries):
    """Overlap two users that do not end in the order of their start."""
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert numbers(libraries) == [1, 1]
    second.__exit__(None, None, None)
    assert numbers(libraries) == [4, 3]


@pytest.mark.parametrize("work", [1, LONG - 1, LONG])
def test_blocks_share_cores_only_for_long_work_while_a_core_is_idle(libraries, idle, work):
    """Check in which threads blocks are, and the order of results."""
    barrier = threading.Barrier(2, timeout=30)

    def block(number):
        if idle and work >= LONG:
            barrier.wait()  # both are in threads of their own at the same time
        return number, threading.get_ident() == own, tuple(numbers(libraries))

    own = threading.get_ident()
    alone = not (idle and work >= LONG)
    inside = (4, 3) if work == 1 else (1, 1)
    assert map_blocks(block, [0, 1], work) == [(0, alone, inside), (1, alone, inside)]
    assert numbers(libraries) == [4, 3]


def test_predictions_are_the_same_in_threads(idle, libraries):
    """Compare with one product, over several blocks of rows."""
    rng = np.random.default_rng(0)
    model = QuadrantMultiLabelClassifier().fit(rng.normal(size=(50, 60)), rng.integers(0, 2, (50, 40)))
    X = rng.normal(size=(30_000, 60))
    scores = X @ model.coef_.T + model.intercept_
    assert_array_equal(model.predict(X), scores > 0)
    np.testing.assert_allclose(model.decision_function(X), scores, atol=1e-12)
    assert numbers(libraries) == [4, 3]
