"""Trace of a minimisation: iterations, objective and convergence."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Trace:
    """Trace of a minimisation.

    Attributes
    ----------
    n_iter : int
        Iterations of the slowest label.
    converged : bool
        Whether every label reached the tolerance.
    values : list of float
        Objective, summed over labels, at the start and after each iteration.
    interrupted : bool
        Whether the user stopped it.
    """

    n_iter: int = 0
    converged: bool = True
    values: list[float] = field(default_factory=list)
    interrupted: bool = False

    def then(self, other: Trace) -> Trace:
        """Return the trace of this and a later part, which may have been over some of the labels."""
        rest = self.values[-1] - other.values[0]
        return Trace(
            self.n_iter + other.n_iter,
            other.converged,
            self.values + [rest + value for value in other.values[1:]],
            self.interrupted or other.interrupted,
        )

    def beside(self, other: Trace) -> Trace:
        """Return the trace of this and another block of labels; the one that ends first keeps its last value."""
        length = max(len(self.values), len(other.values))
        padded = (part.values + part.values[-1:] * (length - len(part.values)) for part in (self, other))
        return Trace(
            max(self.n_iter, other.n_iter),
            self.converged and other.converged,
            [a + b for a, b in zip(*padded, strict=True)],
            self.interrupted or other.interrupted,
        )
