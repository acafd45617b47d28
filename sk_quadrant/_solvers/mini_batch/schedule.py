"""Learning rates over the steps of a training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Schedule:
    """Learning rate of each step: a linear warm-up, then constant or half a cosine wave down to zero [1]_.

    Parameters
    ----------
    initial : float
        Largest learning rate.
    shape : {"constant", "cosine"}
    warmup_fraction : float
        Fraction of all steps over which the rate rises from zero.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017.
       :arxiv:`1608.03983`
    """

    initial: float
    shape: str = "constant"
    warmup_fraction: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether all steps have the same rate."""
        return self.shape == "constant" and self.warmup_fraction == 0

    def rates(self, steps: NDArray[np.intp], n_steps: int) -> NDArray[np.float64]:
        """Return the rates of steps that are numbered from 0, out of a number of steps."""
        warmup = int(self.warmup_fraction * n_steps)
        rising = (steps + 1) / (warmup + 1)
        falling = np.ones(len(steps))
        if self.shape == "cosine":
            falling = 0.5 * (1 + np.cos(np.pi * (steps - warmup) / max(1, n_steps - warmup)))
        return np.asarray(self.initial * np.where(steps < warmup, rising, falling))
