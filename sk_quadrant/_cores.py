"""Cores for predictions: BLAS in one thread where others want the cores, blocks of rows in several where none does.

The threads of BLAS keep their cores busy while they wait. If another process has one of these cores this costs
milliseconds, more than the product of a block of rows usually takes.
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

SHORT = 2**18  # multiplications of a product for which BLAS takes one thread by itself
SHORT_SUM = 10_000  # multiplications of an inner product, likewise
LONG = 2**26  # multiplications of tens of milliseconds, for which threads pay

Block = TypeVar("Block")
Result = TypeVar("Result")


def is_core_idle() -> bool:
    """Return whether fewer threads are running, or ready to run, than there are cores; True where nobody knows."""
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
        It calls BLAS for small products.
    blocks : sequence
    work : int
        Multiplications for all blocks.
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
    """Users of BLAS with one thread. Its number of threads is that of the process: the last user restores it."""

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
