"""Shards on the workers of a Dask cluster."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import dask
import distributed
from distributed import Client, Future, wait
from distributed.scheduler import KilledWorker

from sk_quadrant._partitioned.partitions import Answer, LocalPartitions, Partitions, Query, add
from sk_quadrant._partitioned.reading import Agreement, Description, Part, describe

if TYPE_CHECKING:
    from torch import Tensor

ATTEMPTS = 3  # a worker that dies takes questions with it that had been sent to others
FAN_IN = 8  # answers added at a time, so that one comes back however many workers there are
LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"
PATIENCE = 30.0  # seconds without an answer of the scheduler until it counts as dead
ABSENCE = 300.0  # seconds without a worker until they count as lost; those of a queue may take a while to start again


class DaskPartitions(Partitions):
    """Shards on the workers of a cluster.

    Parameters
    ----------
    client : Client
    agreement : Agreement
    groups : list of Future
        Of `LocalPartitions`.
    n_rows, block_rows : int
        In all, and in the largest block.
    """

    def __init__(
        self, client: Client, agreement: Agreement, groups: Sequence[Future], *, n_rows: int, block_rows: int
    ) -> None:
        self.client, self.agreement, self.groups = client, agreement, groups
        self.n_rows, self.block_rows = n_rows, block_rows
        self.n_features, self.n_labels = agreement.head.shape[1], agreement.encoding.n_labels
        self.array_dtype, self.dense = agreement.dtype, not agreement.is_sparse

    @classmethod
    def of(
        cls, client: Client, agreement: Agreement, parts: Sequence[Future], descriptions: Sequence[Description]
    ) -> DaskPartitions:
        """Return the shards of parts, which stay where they are, one group a thread of a worker."""
        rows = [description.n_rows for description in descriptions]
        kept = [part for part, n_rows in zip(parts, rows, strict=True) if n_rows]
        groups = [
            client.submit(_gather_shards, agreement, group, workers=[worker], allow_other_workers=True, pure=False)
            for worker, group in _by_thread(client, kept)
        ]
        return cls(client, agreement, groups, n_rows=sum(rows), block_rows=max(rows))

    def total(self, query: Query, *arguments: Any) -> Answer:
        """Return the sum of all answers; see `Partitions.total`."""
        answer: Answer = insist(self.client, lambda: self._ask(query, arguments))
        return answer

    def _ask(self, query: Query, arguments: tuple[Any, ...]) -> Future:
        with dask.config.set({LARGE_GRAPH: "1TiB"}):  # parameters are not data that should have been loaded by a worker
            sent = self.client.submit(_keep, arguments, pure=False)  # a task, which outlives the worker that has it
        futures = [self.client.submit(_answer, group, query, sent, pure=False) for group in self.groups]
        while len(futures) > 1:
            futures = [
                self.client.submit(add, futures[start : start + FAN_IN], pure=False)
                for start in range(0, len(futures), FAN_IN)
            ]
        return futures[0]

    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> DaskPartitions:
        """Return the same rows with given moments; see `Partitions.with_moments`."""
        groups = [self.client.submit(_with_moments, group, mean, variance, pure=False) for group in self.groups]
        return DaskPartitions(self.client, self.agreement, groups, n_rows=self.n_rows, block_rows=self.block_rows)


def _gather_shards(agreement: Agreement, parts: list[Part]) -> LocalPartitions:
    return LocalPartitions([agreement.shard(part) for part in parts])


def _keep(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments


def _answer(group: LocalPartitions, query: Query, arguments: tuple[Any, ...]) -> Answer:
    return group.total(query, *arguments)


def _with_moments(group: LocalPartitions, mean: Tensor | None, variance: Tensor | None) -> LocalPartitions:
    return group.with_moments(mean, variance)


def _by_thread(client: Client, parts: Sequence[Future]) -> list[tuple[str, list[Future]]]:
    """Return workers, each as often as it has threads, with the parts that they hold, in a fixed order."""
    holders = client.who_has(parts)
    threads = client.nthreads()
    held: dict[str, list[Future]] = defaultdict(list)
    for part in parts:
        addresses = holders.get(part.key) or sorted(threads)
        held[addresses[0]].append(part)
    return [
        (worker, mine[thread::n_threads])
        for worker, mine in held.items()
        for n_threads in [max(1, min(threads.get(worker, 1), len(mine)))]
        for thread in range(n_threads)
    ]


def read_descriptions(client: Client, parts: Sequence[Future]) -> list[Description]:
    """Return what each part holds."""
    descriptions: list[Description] = insist(
        client, lambda: client.submit(list, client.map(describe, parts, pure=False), pure=False)
    )
    return descriptions


def insist(client: Client, ask: Callable[[], Future]) -> Any:
    """Return the result of a future, asked for anew if a worker has died with it.

    Raises
    ------
    RuntimeError
        If rows are lost for good, there is no worker any more, or the scheduler does not answer.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _result(client, ask())
        except (CancelledError, KilledWorker, OSError) as error:  # noqa: PERF203
            _check_alive(client)
            if attempt == ATTEMPTS:
                raise RuntimeError(
                    f"The fit has lost rows with a worker, and they could not be computed again ({error}). Load the "
                    "data on the workers, by dask.array.from_zarr or dask.dataframe.read_parquet for instance, so that "
                    "Dask can load them again."
                ) from error
    raise AssertionError


def _result(client: Client, future: Future) -> Any:
    """Return the result of a future, and see now and then whether there is somebody to wait for."""
    seen = time.monotonic()
    patience = PATIENCE / 6
    while True:
        try:
            wait(future, timeout=PATIENCE / 6)
            return future.result(timeout=patience)
        except distributed.TimeoutError:  # noqa: PERF203
            _check_alive(client)
            seen = _last_seen(client, seen)
            if future.done():
                patience *= 2  # a large result takes its time, and starts from the beginning each time


def _last_seen(client: Client, seen: float) -> float:
    """Return when there was a worker, given when there was one before.

    Raises
    ------
    RuntimeError
        If there has been none for long, so that nobody will do what is waited for.
    """
    try:
        if client.sync(client.scheduler.ncores, callback_timeout=PATIENCE):
            return time.monotonic()
    except distributed.TimeoutError:
        raise _no_answer(client) from None
    if time.monotonic() - seen > ABSENCE:
        raise RuntimeError(
            f"{client} has had no worker for {ABSENCE:.0f} seconds, so that the fit cannot go on. Start workers, wait "
            "for them with Client.wait_for_workers, and fit again."
        )
    return seen


def _check_alive(client: Client) -> None:
    """Raise a RuntimeError if the scheduler is gone, and stays so for some time."""
    deadline = time.monotonic() + PATIENCE
    while client.status == "connecting" and time.monotonic() < deadline:
        time.sleep(0.1)
    if client.status != "running":
        raise _no_answer(client)


def _no_answer(client: Client) -> RuntimeError:
    return RuntimeError(
        f"The Dask scheduler of {client} does not answer, so that the fit cannot go on. Start a new cluster."
    )
