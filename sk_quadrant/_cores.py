"""Threads for predictions: one thread of BLAS, and several blocks of rows in parallel if cores are idle.

The threads of BLAS spin while they wait. If another process uses one of their cores, this costs milliseconds, more
than the product of a block of rows usually takes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, TypeVar

from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

SHORT = 2**18  # multiplications of a matrix product up to which BLAS uses one thread anyway
SHORT_SUM = 10_000  # the same for an inner product
LONG = 2**26  # multiplications, tens of milliseconds, from which threads are worth their start

Block = TypeVar("Block")
Result = TypeVar("Result")


def is_core_idle() -> bool:
    """Return whether fewer threads are running, or ready to run, than there are cores; True if unknown."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            n_running = int(file.read().split()[3].partition("/")[0])
        return n_running < len(os.sched_getaffinity(0))
    except (OSError, AttributeError):  # not on Linux
        return True


def sum_of_squares(values: NDArray[Any]) -> float:
    """Return the sum of the squares of a vector."""
    with one_blas_thread() if len(values) > SHORT_SUM else nullcontext():
        return float(values @ values)


def map_blocks(function: Callable[[Block], Result], blocks: Sequence[Block], work: int) -> list[Result]:
    """Return the results of a function for blocks of rows, in their order.

    Parameters
    ----------
    function : callable
        Function of a block, which calls BLAS for small products.
    blocks : sequence
    work : int
        Number of multiplications of all blocks together.
    """
    if work < SHORT:
        return [function(block) for block in blocks]
    with one_blas_thread() as n_threads:
        if n_threads == 1 or work < LONG or len(blocks) == 1 or not is_core_idle():
            return [function(block) for block in blocks]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(function, blocks))


@contextmanager
def one_blas_thread() -> Iterator[int]:
    """Give BLAS one thread, and yield how many it had before."""
    n_threads = _USERS.enter()
    try:
        yield n_threads
    finally:
        _USERS.leave()


class _Users:
    """Count of threads that hold BLAS at one thread, a setting of the whole process; the last one restores it."""

    def __init__(self) -> None:
        self._lock, self._number, self._before = threading.Lock(), 0, [1]

    def enter(self) -> int:
        """Return how many threads there were before the first user."""
        libraries = _blas_libraries()
        with self._lock:
            if self._number == 0:
                self._before = [library.get_num_threads() or 1 for library in libraries]
                _set_threads(libraries, [1] * len(libraries))
            self._number += 1
            return max(self._before, default=1)

    def leave(self) -> None:
        """Restore the number of threads after the last user."""
        with self._lock:
            self._number -= 1
            if self._number == 0:
                _set_threads(_blas_libraries(), self._before)


_USERS = _Users()


@cache
def _blas_libraries() -> list[Any]:
    controllers: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return controllers


def _set_threads(libraries: list[Any], numbers: list[int]) -> None:
    for library, number in zip(libraries, numbers, strict=True):
        if number != library.get_num_threads():
            library.set_num_threads(number)
