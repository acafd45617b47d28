"""The full-batch fit: rank 0 solves, and asks all ranks for sums over their rows.

One process takes the decisions of the solver, so that ranks with processors that round differently still agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sk_quadrant._partitioned.partitions import Answer, Partitions, Query
from sk_quadrant._partitioned.reading import Agreement
from sk_quadrant.distributed._ranks import Ranks

if TYPE_CHECKING:
    from torch import Tensor


class Request(NamedTuple):
    """What rank 0 wants all ranks to do.

    Attributes
    ----------
    method : str
        Of `Desk`.
    rows : int
        Which rows it is about, by number.
    arguments : tuple
    """

    method: str
    rows: int
    arguments: tuple[Any, ...]


class Failure(NamedTuple):
    """Word of rank 0 that the solver has failed."""

    message: str


class Desk:
    """What a rank does with its own rows, at the same time as the others.

    Parameters
    ----------
    ranks : Ranks
    rows : Partitions
        The rows of this rank.
    """

    def __init__(self, ranks: Ranks, rows: Partitions) -> None:
        self.ranks, self.rows = ranks, [rows]

    def do(self, request: Request) -> Any:
        """Do as requested."""
        return getattr(self, request.method)(request.rows, *request.arguments)

    def total(self, rows: int, query: Query, *arguments: Any) -> Answer:
        """Return the sum of all ranks' answers; see `Partitions.total`."""
        answer = self.ranks.attempt(self.rows[rows].total, query, *arguments)
        return tuple(None if part is None else self.ranks.sum(part) for part in answer)

    def with_moments(self, rows: int, mean: Tensor | None, variance: Tensor | None) -> int:
        """Return the number of the same rows with given moments; see `Partitions.with_moments`."""
        self.rows.append(self.rows[rows].with_moments(mean, variance))
        return len(self.rows) - 1


class RankPartitions(Partitions):
    """Rows of all ranks, from the point of view of rank 0, while the others `serve`.

    Parameters
    ----------
    desk : Desk
    agreement : Agreement
    n_rows, block_rows : int
        In all, and of the largest part.
    rows : int, default=0
        Number of the rows at the desk of each rank.
    """

    def __init__(self, desk: Desk, agreement: Agreement, *, n_rows: int, block_rows: int, rows: int = 0) -> None:
        self.desk, self.agreement, self.rows = desk, agreement, rows
        self.n_rows, self.block_rows = n_rows, block_rows
        self.n_features, self.n_labels = agreement.head.shape[1], agreement.encoding.n_labels
        self.array_dtype, self.dense = agreement.dtype, not agreement.is_sparse

    def total(self, query: Query, *arguments: Any) -> Answer:
        """Return the sum of all answers; see `Partitions.total`."""
        answer: Answer = self._request("total", query, *arguments)
        return answer

    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> RankPartitions:
        """Return the same rows with given moments; see `Partitions.with_moments`."""
        rows = self._request("with_moments", mean, variance)
        return RankPartitions(self.desk, self.agreement, n_rows=self.n_rows, block_rows=self.block_rows, rows=rows)

    def _request(self, method: str, *arguments: Any) -> Any:
        request = Request(method, self.rows, arguments)
        self.desk.ranks.share(request)
        return self.desk.do(request)


def lead(ranks: Ranks, solve: Callable[[], Any]) -> Any:
    """Return what rank 0 has solved, and let the other ranks go, with an error if there is one."""
    try:
        result = solve()
    except Exception as error:
        if not ranks.broken:
            ranks.share(Failure(f"{type(error).__name__}: {error}"))
        raise
    ranks.share()
    return result


def serve(ranks: Ranks, desk: Desk) -> None:
    """Do what rank 0 asks for until it has solved the problem.

    Raises
    ------
    RuntimeError
        If a rank has failed.
    """
    while (request := ranks.share()) is not None:
        if isinstance(request, Failure):
            raise RuntimeError(f"The fit has ended because of an error on rank 0. {request.message}")
        desk.do(request)
