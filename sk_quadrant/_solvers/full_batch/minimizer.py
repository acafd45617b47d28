r"""The part that the minimisers over a block of labels share: results, stops, and labels that are dropped.

The labels are in groups: each is a group for a labelwise loss, all are one for a set-wise loss. A group stops where the
estimated distance of its objective f to the optimum is small relative to the objective, for most losses at most
:math:`tol^2 f`. The distance is half the squared Newton decrement [1]_ or a duality gap. Near the optimum f is
quadratic, so that the relative error of the parameters is about tol.

References
----------
.. [1] S. Boyd, L. Vandenberghe, "Convex Optimization", Cambridge University Press 2004, section 9.5.1.
   :doi:`10.1017/CBO9780511804441`
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.tensors import take_labels

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.monitor import Monitor

DROP = 0.2  # share of finished labels above which dropping them pays for the copies
SEPARABLE = 0.01  # share of the objective at the start below which an estimate of the distance has to be confirmed
CERTAIN = 1e-3  # distance to the optimum, relative to the objective, that is confirmed
TINY = 1e-30


class Limits(NamedTuple):
    """Where a minimisation ends, and its progress reports."""

    tol: float
    max_iter: int
    monitor: Monitor


class LabelMinimizer(ABC):
    """A minimisation over a block of labels; labels that have converged are dropped.

    Parameters
    ----------
    n_labels : int
    limits : Limits
        A group stops at a distance of tol^2 to the optimum, relative to the objective.
    per_label : bool, default=True
        Whether each label is a group.
    device : torch.device, default=None

    Attributes
    ----------
    solution : NamedTuple of Tensor
        Parameters, and more, of all labels.
    labels : int Tensor
        Labels that have not been dropped.
    done : bool Tensor of shape (n_groups,)
        Which of their groups have stopped.
    reached : bool Tensor of shape (n_labels,)
        Which labels have reached the tolerance.
    scale : Tensor of shape (n_groups,)
        Objective at the start; that of the rows' span is times C.
    relative_to : Tensor of shape (n_groups,)
        Value to which the tolerance is relative, not times C.
    trace : Trace
    """

    BY_LABEL: ClassVar[tuple[str, ...]] = ()  # further attributes of which finished labels are dropped
    solution: Any
    scale: Tensor
    relative_to: Tensor | None = None
    noise: float  # slope, relative to the scale, that is rounding

    def __init__(self, n_labels: int, limits: Limits, *, per_label: bool = True, device: Any = None) -> None:
        self.per_label, self.n_groups = per_label, n_labels if per_label else 1
        self.smallest, self.max_iter, self.monitor = limits.tol**2, limits.max_iter, limits.monitor
        self.labels = torch.arange(n_labels, device=device)
        self.reached = torch.zeros(n_labels, dtype=torch.bool, device=device)
        self.done = self.reached[: self.n_groups].clone()
        self.finished_value = 0.0
        self.trace = Trace()

    def run(self) -> Trace:
        """Minimise; see the attributes for the result.

        Raises
        ------
        FloatingPointError
            If the loss becomes infinite or NaN.
        KeyboardInterrupt
            If the user stops it before the start is evaluated. Later, the last iteration is the result.
        """
        try:
            self._iterate()
        except KeyboardInterrupt:
            if not self.trace.values:
                raise
            self.trace.interrupted = True
        self._store()
        self.trace.converged = bool(self.reached.all())
        return self.trace

    @property
    @abstractmethod
    def parameters(self) -> Tensor:
        """Theta of the solution, (n_labels, n_columns)."""

    @abstractmethod
    def _iterate(self) -> None:
        """Minimise, and accept the start and each iteration."""

    @abstractmethod
    def _objectives(self) -> Tensor:
        """Return the objective of each group."""

    @abstractmethod
    def _reference(self) -> Tensor:
        """Return the value of each group to which the distance to the optimum is relative."""

    def _accept(self, state: Any) -> None:
        """Note the start, or the state after an iteration, as the result if the next one is interrupted."""
        self.trace.values.append(float(self._objectives().sum()) + self.finished_value)
        self._accepted = self.labels, state

    def _is_certain(self, bound: Tensor) -> Tensor:
        """Return which groups have a large objective, or a bound of the distance that confirms that it is small."""
        values = self._reference()
        return (values >= SEPARABLE * self.scale) | (bound <= max(CERTAIN, self.smallest) * values)

    def _finish(self, finished: Tensor, *, reached: bool = True) -> None:
        finished = finished & ~self.done
        if finished.any():
            self.done = self.done | finished
            self.reached[self.labels[self.spread(finished)]] |= reached

    def _give_up(self, failed: Tensor, slope: Tensor) -> None:
        """Finish the groups in which no decrease was found: converged up to rounding, or not converged."""
        # for a Newton step -phi'(0) = g' H^-1 g, twice the estimated distance to the optimum
        self._finish(failed & (-slope <= (self.noise * self.scale).minimum(CERTAIN * self._reference())))
        self._finish(failed, reached=False)

    def _store(self, here: Tensor | None = None) -> None:
        """Write the state of all labels, or of some, to the solution."""
        labels, state = self._accepted
        if here is not None:
            labels, state = labels[here], take_labels(state, here)
        for whole, part in zip(self.solution, state, strict=True):
            if whole is not part:
                whole[labels] = part

    def _drop_finished(self, *parts: Any) -> Any:
        """Store the finished labels if they are many, drop them, and return other tensors without them."""
        if not self.per_label or float(self.done.double().mean()) <= DROP:
            return parts
        self._store(self.done.nonzero()[:, 0])
        # the objective in the trace stays that of all labels of the block
        self.finished_value += float(self._objectives()[self.done].sum())
        keep = (~self.done).nonzero()[:, 0]
        for name in ("labels", "done", *self.BY_LABEL):
            setattr(self, name, take_labels(getattr(self, name), keep))
        return take_labels(list(parts), keep)

    def grouped(self, values: Tensor) -> Tensor:
        """Return sums over the labels of each group."""
        return values if self.per_label else values.sum(dim=0, keepdim=True)

    def spread(self, groups: Tensor) -> Tensor:
        """Return values of groups as values of labels."""
        return groups if self.per_label else groups.expand(len(self.labels), *groups.shape[1:])

    def _report(self, distance: Tensor) -> None:
        """Report an iteration, given the distance of each group to the optimum, relative as the tolerance is."""
        # progress to the tolerance is logarithmic, from 0 to 1
        left = 1 - distance.clamp(TINY, 1.0).log() / math.log(min(max(self.smallest, TINY), 0.5))
        share = 1 - float(left.clamp(0.0, 1.0).where(~self.done, 0.0).sum()) / max(self.n_groups, 1)
        groups = f", labels left: {int((~self.done).sum())}" if self.per_label else ""
        objective = self.trace.values[-1]
        line = f"iteration {self.trace.n_iter}: objective {objective:.8g}{groups}"
        self.monitor.step(share, objective, line, self._present)

    def _present(self) -> Tensor:
        self._store()
        return self.parameters
