"""Progress reports of a full-batch fit: display of progress, and callbacks that may read the solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sk_quadrant._progress import Progress


@dataclass(frozen=True)
class Monitor:
    """Progress reports of the iterations over some labels.

    Attributes
    ----------
    progress : Progress
    observe : callable or None
        Called after each iteration with a function that returns the weights.
    convert : callable
        Function that turns theta of these labels into these weights.
    before, size : float
        Share of all labels that were finished before, and share of these labels.
    """

    progress: Progress
    observe: Callable[[Callable[[], Any]], None] | None
    convert: Callable[[Tensor], Any]
    before: float
    size: float

    @property
    def is_on(self) -> bool:
        """Whether iterations are reported."""
        return self.progress.is_on or self.observe is not None

    def step(self, share: float, objective: float, line: str, parameters: Callable[[], Tensor]) -> None:
        """Report an iteration: progress from 0 to 1, objective, line to print, function that returns theta."""
        self.progress.step(self.before + self.size * share, line, f"objective={objective:.6g}")
        if self.observe is not None:
            self.observe(lambda: self.convert(parameters()))

    def part(self, share: float, convert: Callable[[Tensor], Tensor]) -> Monitor:
        """Return the reports of a share of these labels; the others are finished."""
        before = self.before + self.size * (1 - share)
        return Monitor(self.progress, self.observe, lambda part: self.convert(convert(part)), before, self.size * share)
