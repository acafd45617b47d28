"""Progress reports of a full-batch fit: display of progress, and callbacks that may read the solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sk_quadrant._progress import Progress


def _as_it_is(solution: Any) -> Any:
    return solution


@dataclass(frozen=True)
class Monitor:
    """Progress reports of the iterations over some labels.

    Attributes
    ----------
    progress : Progress
    observe : callable or None
        Called after each iteration with a function that returns the weights.
    convert : callable
        Function that turns the solution of a minimiser into these weights.
    before, size : float
        Share of all labels that were finished before, and share of these labels.
    """

    progress: Progress
    observe: Callable[[Callable[[], Any]], None] | None = None
    convert: Callable[[Any], Any] = _as_it_is
    before: float = 0.0
    size: float = 1.0

    @property
    def is_on(self) -> bool:
        """Whether iterations are reported."""
        return self.progress.is_on or self.observe is not None

    def step(self, share: float, objective: float, line: str, solution: Callable[[], Any]) -> None:
        """Report an iteration: progress from 0 to 1, objective, line to print, function that returns the solution."""
        self.progress.step(self.before + self.size * share, line, f"objective={objective:.6g}")
        if self.observe is not None:
            self.observe(lambda: self.convert(solution()))

    def part(self, share: float, convert: Callable[[Any], Any]) -> Monitor:
        """Return the reports of a share of these labels; the others are finished."""
        before = self.before + self.size * (1 - share)
        return Monitor(self.progress, self.observe, lambda part: self.convert(convert(part)), before, self.size * share)


def progress_to_tolerance(distance: Tensor, done: Tensor, tol: float, n_groups: int) -> float:
    """Return the mean progress to the tolerance, from 0 to 1, on a logarithmic scale.

    Parameters
    ----------
    distance : Tensor of shape (n_left,)
        Estimated distance to the optimum, relative as the tolerance is.
    done : bool Tensor of shape (n_left,)
    tol : float
        Distance at which a group is finished.
    n_groups : int
        Number of groups, including those that are finished.
    """
    tiny = 1e-30
    logarithms = distance.clamp(tiny, 1.0).log() / math.log(min(max(tol, tiny), 0.5))
    return 1 - float((1 - logarithms.clamp(0.0, 1.0)).where(~done, 0.0).sum()) / max(n_groups, 1)
