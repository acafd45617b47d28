"""The processes of a group: collectives, and errors that are raised on all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Result = TypeVar("Result")


class Ranks:
    """A process group, in which every rank makes the same calls in the same order.

    Parameters
    ----------
    group : ProcessGroup or None, default=None
        None for the group of all processes.

    Attributes
    ----------
    rank, size : int
        Rank of this process, and number of processes.
    broken : bool
        Whether the ranks have agreed to stop, so that none waits for another.

    Raises
    ------
    ValueError
        If there is no process group, or this process is not in it.
    """

    def __init__(self, group: Any = None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError(
                "There is no process group. Call torch.distributed.init_process_group first, in a program that "
                "torchrun has started."
            )
        self.group, self.broken = group, False
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        if self.rank < 0:
            raise ValueError(f"group must hold this process, which has rank {dist.get_rank()}, got a group without it.")
        on_gpu = dist.get_backend(group) == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        self._first = 0 if group is None else dist.get_global_rank(group, 0)

    def share(self, value: Any = None) -> Any:
        """Return the value of rank 0."""
        values = [value]
        with self._reach_all():
            dist.broadcast_object_list(values, src=self._first, group=self.group, device=self._device)
        return values[0]

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all ranks."""
        values: list[Any] = [None] * self.size
        with self._reach_all():
            dist.all_gather_object(values, value, group=self.group)
        return values

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks, the same bits on each rank, in the memory order and on the device of values."""
        moved = values.to(self._device, memory_format=torch.contiguous_format, copy=True)
        with self._reach_all():
            dist.all_reduce(moved, group=self.group)
        return torch.empty_like(values).copy_(moved)

    @contextmanager
    def _reach_all(self) -> Iterator[None]:
        """Explain the error of a failed collective."""
        try:
            yield
        except RuntimeError as error:
            self.broken = True
            raise RuntimeError(
                "The fit has ended because a rank cannot be reached: its process has ended, or has not answered within "
                "the timeout of the process group. Start the program again."
            ) from error

    def attempt(self, function: Callable[[], Result], *, token: Callable[[Result], int] | None = None) -> Result:
        """Return the result of a function on this rank if it raises no error on any rank.

        Parameters
        ----------
        function : callable
        token : callable or None, default=None
            Result -> number that must be equal on all ranks.

        Raises
        ------
        RuntimeError
            If another rank has failed, or has another token.
        """
        error, mine = None, 0
        result: Any = None
        try:
            result = function()
            mine = 0 if token is None else token(result)
        except Exception as caught:
            error = caught
        failed, total = self.sum(torch.tensor([int(error is not None), mine])).tolist()
        if failed:
            self.give_up(error)
        if total != self.size * mine:
            self.broken = True
            raise RuntimeError(
                "The ranks have taken different steps: their processors round differently. Run all ranks on processors "
                "of one type."
            )
        returned: Result = result
        return returned

    def give_up(self, error: Exception | None) -> NoReturn:
        """Raise the error of this rank, or an error that names a failed rank.

        Raises
        ------
        RuntimeError
            If another rank has failed.
        """
        self.broken = True
        messages = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        rank, message = next((rank, message) for rank, message in enumerate(messages) if message is not None)
        raise RuntimeError(f"The fit has ended because of an error on rank {rank}. {message}")
