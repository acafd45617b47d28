"""Links: what a score of a loss means as a probability.

A link maps the probability ``eta = P(y = 1 | x)`` to the score that minimises the expected loss, and its inverse maps
a score back. Each takes NumPy arrays and PyTorch tensors.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_quadrant.losses._functions import as_floating, logit, namespace, sigmoid


@dataclass(frozen=True)
class Link(ABC):
    """Strictly increasing map between probabilities and scores.

    Attributes
    ----------
    high : float
        Supremum of the probabilities that a score can express; the infimum is always 0.
    """

    @property
    def high(self) -> float:
        """Supremum of the probabilities that a score can express."""
        return 1.0

    def link(self, p: Any) -> Any:
        """Return the scores of probabilities.

        Parameters
        ----------
        p : array-like or Tensor of any shape
            Probabilities in [0, `high`].

        Returns
        -------
        ndarray or Tensor of the same shape
        """
        with np.errstate(divide="ignore"):
            return self._link(as_floating(p))

    def inverse(self, s: Any) -> Any:
        """Return the probabilities of scores.

        Parameters
        ----------
        s : array-like or Tensor of any shape
            Scores.

        Returns
        -------
        ndarray or Tensor of the same shape
        """
        return self._inverse(as_floating(s))

    def cut(self, p: Any) -> Any:
        """Return the scores above which the probability exceeds p, infinite where none does."""
        p = np.asarray(p, dtype=np.float64)
        reachable = p < self.high
        return np.where(reachable, self.link(np.where(reachable, p, self.high / 2)), np.inf)

    @abstractmethod
    def _link(self, p: Any) -> Any: ...

    @abstractmethod
    def _inverse(self, s: Any) -> Any: ...


@dataclass(frozen=True)
class LogitLink(Link):
    r"""Logistic link, :math:`\eta = \mathrm{sigmoid}(k (s - c))`.

    Parameters
    ----------
    slope : float, default=1.0
        The slope k > 0.
    center : float, default=0.0
        The score c of probability 1/2.

    Examples
    --------
    >>> LogitLink(slope=2.0).inverse([0.0])
    array([0.5])
    """

    slope: float = 1.0
    center: float = 0.0

    def _link(self, p: Any) -> Any:
        return logit(p) / self.slope + self.center

    def _inverse(self, s: Any) -> Any:
        return sigmoid(self.slope * (s - self.center))


@dataclass(frozen=True)
class ShiftedLogitLink(Link):
    r"""Link of the shifted sigmoid, :math:`\eta = 1 / (c + e^{-s})`, with values in (0, 1/c).

    Parameters
    ----------
    offset : float, default=2.0
        The constant c >= 1; 1 gives the logistic link.

    Examples
    --------
    >>> ShiftedLogitLink(offset=2.0).inverse([0.0])
    array([0.33333333])
    """

    offset: float = 2.0

    @property
    def high(self) -> float:
        """The supremum 1/c."""
        return 1.0 / self.offset

    def _link(self, p: Any) -> Any:
        return logit(p * self.offset) - math.log(self.offset)

    def _inverse(self, s: Any) -> Any:
        return sigmoid(s + math.log(self.offset)) / self.offset


@dataclass(frozen=True)
class ClippedLinearLink(Link):
    r"""Link of the squared hinge family, :math:`\eta = \mathrm{clip}((s + 1) / 2, 0, 1)`.

    The ends are moved to the nearest floating point numbers inside (0, 1), so that no logarithm of a probability
    is infinite.

    Examples
    --------
    >>> ClippedLinearLink().inverse([-0.5, 0.0, 0.5])
    array([0.25, 0.5 , 0.75])
    """

    def _link(self, p: Any) -> Any:
        return 2 * p - 1

    def _inverse(self, s: Any) -> Any:
        return strictly_inside((s + 1) / 2)


def strictly_inside(p: Any) -> Any:
    """Clip probabilities to the nearest numbers of their precision inside (0, 1)."""
    limits = namespace(p).finfo(p.dtype)
    return namespace(p).clip(p, float(limits.tiny), 1 - float(limits.eps) / 2)
