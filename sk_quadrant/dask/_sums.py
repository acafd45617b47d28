"""Sums over the rows that the workers of a Dask cluster hold."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

import dask
import distributed
import torch
from distributed import Client, Future, wait
from distributed.scheduler import KilledWorker

from sk_quadrant._rows.parts import Part, Schema
from sk_quadrant._solvers.full_batch.shard import Shard, ShardMethod, SumTensors, add, sum_over
from sk_quadrant._solvers.full_batch.sums import ShardedSums

ATTEMPTS = 3  # the death of a worker can cancel tasks of other workers
FAN_IN = 8  # sums that are added by one task; a tree of such tasks returns a single sum
LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"
PATIENCE = 30.0  # seconds without an answer of the scheduler until it counts as dead
ABSENCE = 300.0  # seconds without a worker until all count as lost; a job queue may take minutes to restart them


class DaskSums(ShardedSums):
    """Sums over the shards on the workers of a cluster; see `RowSums`.

    Each thread of a worker adds up its own shards. Messages hold parameters and sums only.

    Parameters
    ----------
    client : Client
    schema : Schema
    parts : list of Future
        Futures of `Part`, which stay on their workers.
    fit_intercept : bool
    """

    def __init__(self, client: Client, schema: Schema, parts: Sequence[Future], *, fit_intercept: bool) -> None:
        super().__init__(schema)
        self.client = client
        self.groups = [
            client.submit(_shards, schema, group, fit_intercept, workers=[worker], allow_other_workers=True, pure=False)
            for worker, group in _by_thread(client, parts)
        ]

    def total(self, method: ShardMethod, *arguments: Any) -> SumTensors:
        """Return the sum over all workers."""
        sums: SumTensors = result_of(self.client, lambda: self._submit(method, arguments))
        return sums

    def _submit(self, method: ShardMethod, arguments: tuple[Any, ...]) -> Future:
        with dask.config.set({LARGE_GRAPH: "1TiB"}):  # parameters may be large
            sent = self.client.submit(tuple, arguments, pure=False)  # recomputed if its worker dies
        futures = [self.client.submit(sum_over, group, method, sent, pure=False) for group in self.groups]
        while len(futures) > 1:
            futures = [
                self.client.submit(add, futures[start : start + FAN_IN], pure=False)
                for start in range(0, len(futures), FAN_IN)
            ]
        return futures[0]


def _shards(schema: Schema, parts: list[Part], fit_intercept: bool) -> list[Shard]:
    return [Shard(schema.rows(part), fit_intercept=fit_intercept, device=torch.device("cpu")) for part in parts]


def _by_thread(client: Client, parts: Sequence[Future]) -> list[tuple[str, list[Future]]]:
    """Return one entry per thread of each worker with its share of the parts there, in a fixed order."""
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


def result_of(client: Client, submit: Callable[[], Future]) -> Any:
    """Return the result of a future, which is submitted again if its worker has died.

    Raises
    ------
    RuntimeError
        If rows are lost, there is no worker, or the scheduler does not answer.
    """
    failure: BaseException | None = None
    for _ in range(ATTEMPTS):
        try:
            return _result(client, submit())
        except (CancelledError, KilledWorker, OSError) as error:  # noqa: PERF203
            _check_alive(client)
            failure = error
    raise RuntimeError(
        f"The fit has lost rows with a worker, and they could not be computed again ({failure}). Load the data on the "
        "workers, by dask.array.from_zarr or dask.dataframe.read_parquet for instance: then Dask can load them again."
    ) from failure


def _result(client: Client, future: Future) -> Any:
    """Return the result of a future, and check from time to time that scheduler and workers are alive."""
    seen, patience = time.monotonic(), PATIENCE / 6
    while True:
        try:
            wait(future, timeout=PATIENCE / 6)
            return future.result(timeout=patience)
        except distributed.TimeoutError:
            _check_alive(client)
        if _has_workers(client):
            seen = time.monotonic()
        elif time.monotonic() - seen > ABSENCE:
            raise RuntimeError(
                f"{client} has had no worker for {ABSENCE:.0f} seconds, so that the fit cannot go on. Start workers, "
                "wait for them with Client.wait_for_workers, and fit again."
            )
        if future.done():
            patience *= 2  # each attempt transfers a large result from the start


def _has_workers(client: Client) -> bool:
    """Return whether there is a worker, or raise a RuntimeError if the scheduler does not answer."""
    try:
        return bool(client.sync(client.scheduler.ncores, callback_timeout=PATIENCE))
    except distributed.TimeoutError:
        raise _no_answer(client) from None


def _check_alive(client: Client) -> None:
    """Raise a RuntimeError if the scheduler does not come back for PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while client.status == "connecting" and time.monotonic() < deadline:
        time.sleep(0.1)
    if client.status != "running":
        raise _no_answer(client)


def _no_answer(client: Client) -> RuntimeError:
    return RuntimeError(
        f"The Dask scheduler of {client} does not answer, so that the fit cannot go on. Start a new cluster."
    )
