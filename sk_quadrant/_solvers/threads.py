"""Threads by work: as many as are faster, also if other processes use the same cores.

The threads of a parallel operation of PyTorch spin while they wait for each other. If another process uses one of their
cores, this costs milliseconds, more than an operation of a fit usually takes: four processes on two cores can be slower
than one. So operations use one thread, unless one takes tens of milliseconds by itself. Passes over many rows are
divided among threads of Python instead, which sleep while they wait. Both need an idle core.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from itertools import islice
from typing import TypeVar

import torch

from sk_quadrant._arrays import equal_slices
from sk_quadrant._cores import is_core_idle

LONG = 2**26  # multiplications of sparse values: an operation of tens of milliseconds
PART_WORK = 2**26  # multiplications of dense values in a part of a pass: some milliseconds, worth waking a thread
MOST_PARTS = 4  # of a pass; each has its own sums

Part = TypeVar("Part")
Result = TypeVar("Result")


class Threads:
    """The threads of a fit.

    Parameters
    ----------
    number : int
        Largest number of threads.
    stack : ExitStack
        Contexts that end with the fit.
    """

    def __init__(self, number: int, stack: ExitStack) -> None:
        self.number, self._stack = number, stack
        self._pool: ThreadPoolExecutor | None = None
        self._busy = True

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads of Python with one thread of PyTorch each."""
        if self._pool is None:
            start = torch.is_grad_enabled(), self.number
            self._pool = self._stack.enter_context(ThreadPoolExecutor(self.number, "fit", _prepare, start))
        return self._pool

    def has_idle_core(self) -> bool:
        """Return whether a core is idle, now or at the last call: others run for an instant on a quiet machine, too."""
        before, self._busy = self._busy, not is_core_idle()
        return not (before and self._busy)


_SETTING = threading.Lock()
_THREADS: ContextVar[Threads | None] = ContextVar("threads of the fit", default=None)


@contextmanager
def fit_threads() -> Iterator[None]:
    """Limit operations of PyTorch in this thread to one thread; functions of this module use the others."""
    with _SETTING:
        number = torch.get_num_threads()
    if number == 1:
        yield
        return
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, number)
        token = _THREADS.set(Threads(number, stack))
        stack.callback(_THREADS.reset, token)
        _take_one(number)
        yield


@contextmanager
def long_operation(work: int) -> Iterator[None]:
    """Give an operation all threads of the fit if its work, in multiplications of sparse values, is long."""
    threads = _THREADS.get()
    if threads is None or work < LONG or not threads.has_idle_core():
        yield
        return
    torch.set_num_threads(threads.number)
    try:
        yield
    finally:
        _take_one(threads.number)


def divide(parts: Sequence[Part], work: int) -> list[Sequence[Part]]:
    """Return groups of parts, one per thread. They depend on the work only, so that sums do not depend on threads."""
    n = max(1, min(MOST_PARTS, len(parts), work // PART_WORK))
    return [parts[some] for some in equal_slices(len(parts), n)]


def in_threads(function: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """Return the results of a function for all parts, computed in threads of the fit if there are several."""
    threads = _THREADS.get()
    if threads is None or len(parts) == 1 or not threads.has_idle_core():
        return map(function, parts)
    return threads.pool.map(function, parts)


def until_interrupted(
    function: Callable[[Part], Result], parts: Iterable[Part], stop: threading.Event, *, parallel: bool
) -> Iterator[Result]:
    """Yield the results of a function for all parts, if parallel like `in_threads`, with one for each thread at a time.

    After Ctrl-C `stop` is set, which should end the function with a result or a KeyboardInterrupt. The results of parts
    that had begun are yielded, then no more.
    """
    threads = _THREADS.get()
    if threads is None or not parallel or not threads.has_idle_core():
        with suppress(KeyboardInterrupt):
            yield from map(function, parts)
        return
    left = iter(parts)
    futures = deque(threads.pool.submit(function, part) for part in islice(left, threads.number))
    try:
        while futures:
            try:
                yield futures[0].result()
            except KeyboardInterrupt:
                if not stop.is_set():  # Ctrl-C came to this thread, which waits for a result
                    stop.set()
                    continue
            futures.popleft()
            if not stop.is_set():
                futures.extend(threads.pool.submit(function, part) for part in islice(left, 1))
    finally:
        stop.set()


def _prepare(has_gradients: bool, default: int) -> None:
    torch.set_grad_enabled(has_gradients)
    _take_one(default)


def _take_one(default: int) -> None:
    """Set one thread here, and set the default of threads that PyTorch has not seen yet, which follows, back.

    Where there are no other threads the end of the fit is soon enough.
    """
    with _SETTING:
        torch.get_num_threads()  # of a thread that PyTorch has not seen yet: it sets the default, which would follow
        torch.set_num_threads(1)
        if threading.active_count() > 1:  # to start a thread takes milliseconds on a busy machine
            other = threading.Thread(target=torch.set_num_threads, args=(default,))
            other.start()
            other.join()
