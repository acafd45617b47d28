"""Links: the probability that a score of a loss stands for.

A link maps the probability ``eta = P(y = 1 | x)`` to the score that minimises the expected loss; its inverse maps a
score to its probability. If only the inverse has a closed form, the link is the root of a monotone function, found to
full precision.

Links, and the elementwise functions below that losses share with them, take NumPy arrays and PyTorch tensors alike;
only tensors need PyTorch.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from scipy import special

Array: TypeAlias = NDArray[np.floating[Any]]
FAR = 1e30  # in place of an infinite score: 0 * FAR is 0
MAX_DOUBLINGS = 100
MAX_ROOT_STEPS = 100  # 20 to 30 are usual


@dataclass(frozen=True)
class Link(ABC):
    """Strictly increasing map between probabilities and scores.

    A subclass writes `_link` and `_inverse` for floating arrays and tensors of at least single precision.

    Attributes
    ----------
    high : float
        Supremum of the probabilities that a score can express; the infimum is always 0.

    See Also
    --------
    LogOddsLink : Base class of links of which only the inverse has a closed form.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> @dataclass(frozen=True)
    ... class CloglogLink(Link):
    ...     def _link(self, p):
    ...         return np.log(-np.log1p(-p))
    ...     def _inverse(self, s):
    ...         return -np.expm1(-np.exp(s))
    >>> CloglogLink().inverse([0.0]).round(3)  # 1 - 1/e
    array([0.632])
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
            Scores; infinite for the probabilities 0 and `high`.
        """
        with np.errstate(all="ignore"):
            return self._link(as_floating(p))

    def inverse(self, s: Any) -> Any:
        """Return the probabilities of scores.

        Parameters
        ----------
        s : array-like or Tensor of any shape, or a recorded array
            Scores. A recorded array is a `numpy.lib.mixins.NDArrayOperatorsMixin` that records the operations of NumPy
            on it, as the conversion to ONNX does.

        Returns
        -------
        ndarray or Tensor of the same shape, or a recorded array
            Probabilities.
        """
        with np.errstate(all="ignore"):
            return self._inverse(as_floating(s))

    def cut(self, p: Any) -> Any:
        """Return the scores above which the probability exceeds a threshold.

        Parameters
        ----------
        p : array-like of any shape
            Probability thresholds in [0, 1].

        Returns
        -------
        ndarray of the same shape
            Thresholds in score space: infinite for p >= `high`, which no score exceeds, and minus infinite for 0.
        """
        p = np.asarray(p, dtype=np.float64)
        inside = (p > 0) & (p < self.high)
        return np.where(inside, self.link(np.where(inside, p, self.high / 2)), np.where(p > 0, np.inf, -np.inf))

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
    center : float or tuple of float, default=0.0
        The score c of probability 1/2, one for all labels or one for each.

    See Also
    --------
    ShiftedLogitLink : Link of a sigmoid with values below 1.

    Examples
    --------
    >>> LogitLink(slope=2.0).inverse([0.0])
    array([0.5])
    """

    slope: float = 1.0
    center: float | Sequence[float] = 0.0

    def _link(self, p: Any) -> Any:
        return logit(p) / self.slope + like(self.center, p)

    def _inverse(self, s: Any) -> Any:
        if self.slope == 1 and self.center == 0:
            return sigmoid(s)
        return sigmoid(self.slope * (s - like(self.center, s)))


@dataclass(frozen=True)
class ShiftedLogitLink(Link):
    r"""Link of the shifted sigmoid, :math:`\eta = 1 / (c + e^{-s})`, with values in (0, 1/c).

    Parameters
    ----------
    offset : float, default=2.0
        The constant c >= 1; 1 gives the logistic link.

    See Also
    --------
    ShiftedSigmoidBCE : The loss of this link.

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
        # c eta = c / (c + e^-s) = sigmoid(s + log c)
        return logit(p * self.offset) - math.log(self.offset)

    def _inverse(self, s: Any) -> Any:
        return sigmoid(s + math.log(self.offset)) / self.offset


@dataclass(frozen=True)
class ClippedLinearLink(Link):
    r"""Link of the squared hinge family, :math:`\eta = \mathrm{clip}((s + 1) / 2, 0, 1)`.

    0 and 1 are replaced by the nearest floating point numbers inside (0, 1), so that logarithms of probabilities are
    finite.

    See Also
    --------
    SquaredHinge : Loss of this link.
    ModifiedHuber : Loss of this link, with a bounded gradient.
    SquaredError : Loss of this link, quadratic in the scores.

    Examples
    --------
    >>> ClippedLinearLink().inverse([-0.5, 0.0, 0.5])
    array([0.25, 0.5 , 0.75])
    """

    def _link(self, p: Any) -> Any:
        return 2 * p - 1

    def _inverse(self, s: Any) -> Any:
        return strictly_inside((s + 1) / 2)


@dataclass(frozen=True)
class LogOddsLink(Link):
    """Link with a closed form of the log-odds of scores. Subclass it and write `log_odds`.

    See Also
    --------
    Link : Base class of all links.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class CubicLink(LogOddsLink):
    ...     def log_odds(self, s):
    ...         return s**3 + s
    >>> CubicLink().link(CubicLink().inverse([-1.0, 2.0])).round(6)
    array([-1.,  2.])
    """

    @abstractmethod
    def log_odds(self, s: Any) -> Any:
        """Return log(eta / (1 - eta)) of finite scores, a function that never decreases.

        Parameters
        ----------
        s : ndarray or Tensor of any shape
            Finite scores.

        Returns
        -------
        ndarray or Tensor of the same shape
            Log-odds of their probabilities.
        """

    def _inverse(self, s: Any) -> Any:
        return sigmoid(self.log_odds(namespace(s).clip(s, -FAR, FAR)))

    def _link(self, p: Any) -> Any:
        xp = namespace(p)
        if xp is not np:
            return xp.as_tensor(self._link(p.detach().cpu().numpy()), dtype=p.dtype, device=p.device)
        log_odds = np.where((p >= self.high) & (p <= 1), np.inf, logit(p.astype(np.float64)))
        finite = np.isfinite(log_odds)
        scores = increasing_root(self.log_odds, np.where(finite, log_odds, 0.0))
        return np.where(finite, scores, log_odds).astype(p.dtype)


@dataclass(frozen=True)
class Poly1Link(LogOddsLink):
    r"""Link of the Poly-1 loss, :math:`\mathrm{logit}\,\eta = s + \log\frac{1 + \varepsilon q}{1 + \varepsilon p}`.

    Here :math:`p = 1 - q = \mathrm{sigmoid}(s)`.

    Parameters
    ----------
    epsilon : float, default=1.0
        The coefficient :math:`\varepsilon \ge -1`; 0 gives the logistic link.

    See Also
    --------
    Poly1 : The loss of this link.

    Examples
    --------
    >>> Poly1Link(epsilon=1.0).inverse([0.0])
    array([0.5])
    """

    epsilon: float = 1.0

    def log_odds(self, s: Any) -> Any:
        xp, p, q = namespace(s), sigmoid(s), sigmoid(-s)
        weight = 1 + self.epsilon
        return s + xp.log(p + weight * q) - xp.log(q + weight * p)  # p + q for 1: no cancellation near epsilon = -1


@dataclass(frozen=True)
class FocalLink(LogOddsLink):
    r"""Link of the focal loss, see `Focal`.

    .. math::
        \mathrm{logit}\,\eta = (\gamma + 1) s + \log\frac{1 + \gamma h(s)}{1 + \gamma h(-s)} - \mathrm{logit}\,\alpha,
        \quad h(s) = e^{-s} \log(1 + e^s)

    Parameters
    ----------
    gamma : float, default=2.0
        Focus >= 0 of the loss; 0 gives the logistic link.
    alpha : float or tuple of float, default=0.5
        Weight of present labels in (0, 1), one for all labels or one for each; absent ones have 1 - alpha.

    See Also
    --------
    Focal : The loss of this link.

    Examples
    --------
    >>> FocalLink(alpha=0.25).inverse([0.0])
    array([0.75])
    """

    gamma: float = 2.0
    alpha: float | Sequence[float] = 0.5

    def log_odds(self, s: Any) -> Any:
        # log B - log A with B = (1 - alpha) p^(gamma + 1) (1 + gamma e^-s softplus(s)); A has alpha, q and -s instead
        log1p, alpha = namespace(s).log1p, np.asarray(self.alpha)
        balance = log1p(self.gamma * damped_softplus(s)) - log1p(self.gamma * damped_softplus(-s))
        return (self.gamma + 1) * s + balance - like(logit(alpha).tolist(), s)


@dataclass(frozen=True)
class AsymmetricLink(LogOddsLink):
    r"""Link of the asymmetric loss, see `Asymmetric`.

    Scores below logit(clip) have the smallest positive probability of their precision, so that logarithms of
    probabilities are finite.

    Parameters
    ----------
    gamma_pos : float, default=1.0
        Focus >= 0 of present labels.
    gamma_neg : float, default=4.0
        Focus >= 0 of absent labels.
    clip : float, default=0.05
        Margin in [0, 1) of absent labels.

    See Also
    --------
    Asymmetric : The loss of this link.

    Examples
    --------
    >>> AsymmetricLink().inverse([0.0]).round(5)
    array([0.14729])
    """

    gamma_pos: float = 1.0
    gamma_neg: float = 4.0
    clip: float = 0.05

    @property
    def high(self) -> float:
        """Supremum of the probabilities, below 1 with a margin and no focus on present labels."""
        if self.gamma_pos > 0 or self.clip == 0:
            return 1.0
        rest, gamma = 1 - self.clip, self.gamma_neg
        # B / A as s -> inf, where p = 1 and p_m = 1 - m
        odds = math.pow(rest, gamma) / self.clip - gamma * math.pow(rest, gamma - 1) * math.log(self.clip)
        return 1.0 if math.isinf(odds) else odds / (1 + odds)

    def log_odds(self, s: Any) -> Any:
        # log B - log A of the absolute derivatives A and B in `Asymmetric`, each divided by 1 - p, whose logarithm,
        # large and negative at large scores, would cancel
        present = self.gamma_pos * log_sigmoid(-s) + namespace(s).log1p(self.gamma_pos * damped_softplus(-s))
        return self._log_absent_slope(s) - present

    def _log_absent_slope(self, s: Any) -> Any:
        """Return log(B / (1 - p))."""
        xp, gamma = namespace(s), self.gamma_neg
        if self.clip == 0:
            # B as for the focal loss
            return (gamma + 1) * log_sigmoid(s) - log_sigmoid(-s) + xp.log1p(gamma * damped_softplus(s))
        excess, rest = sigmoid(s) - self.clip, sigmoid(-s) + self.clip
        ignored = excess <= 0
        excess = xp.where(ignored, 0.5, excess)
        # B = p q p_m^gamma / (1 - p_m) [1 - gamma log(1 - p_m) (1 - p_m) / p_m]
        bracket = gamma * xp.log(excess) - xp.log(rest) + xp.log1p(-gamma * xp.log1p(-excess) * rest / excess)
        return xp.where(ignored, -math.inf, log_sigmoid(s) + bracket)

    def _inverse(self, s: Any) -> Any:
        return strictly_inside(super()._inverse(s)) if self.clip else super()._inverse(s)


@dataclass(frozen=True)
class HillLink(LogOddsLink):
    r"""Link of the Hill loss, see `Hill`.

    Parameters
    ----------
    margin : float, default=1.0
        Margin of present labels.
    gamma : float, default=2.0
        Focus of present labels.
    lambda_ : float, default=1.5
        Constant of absent labels.

    See Also
    --------
    Hill : The loss of this link.

    Examples
    --------
    >>> HillLink().inverse([0.0]).round(5)
    array([0.19618])
    """

    margin: float = 1.0
    gamma: float = 2.0
    lambda_: float = 1.5

    def log_odds(self, s: Any) -> Any:
        # log B - log A of the absolute derivatives A and B in `Hill`
        xp, shifted = namespace(s), s - self.margin
        present = (self.gamma + 1) * log_sigmoid(-shifted) + xp.log1p(self.gamma * damped_softplus(-shifted))
        # B = p^2 q (2 lambda - 3 + 3 q)
        absent = 2 * log_sigmoid(s) + log_sigmoid(-s)
        rest = 2 * self.lambda_ - 3
        if rest == 0:  # 3 (1 - p) underflows before its logarithm
            return absent + log_sigmoid(-s) + math.log(3) - present
        return absent + xp.log(rest + 3 * sigmoid(-s)) - present


@dataclass(frozen=True)
class NegativeTolerantLink(LogOddsLink):
    r"""Link of the negative-tolerant loss, :math:`\eta = \sigma(\lambda u) / (\sigma(\lambda u) + \sigma(-u))`.

    Here :math:`u = s - \nu`, and :math:`\sigma` is the sigmoid.

    Parameters
    ----------
    scale : float, default=2.0
        Scale of the scores of absent labels, > 0; 1 gives the logistic link.
    shift : float or tuple of float, default=0.0
        The score of probability 1/2, one for all labels or one for each.

    See Also
    --------
    NegativeTolerant : The loss of this link.

    Examples
    --------
    >>> NegativeTolerantLink().inverse([0.0])
    array([0.5])
    """

    scale: float = 2.0
    shift: float | Sequence[float] = 0.0

    def log_odds(self, s: Any) -> Any:
        u = s - like(self.shift, s)
        return log_sigmoid(self.scale * u) - log_sigmoid(-u)


def strictly_inside(p: Any) -> Any:
    """Return probabilities, those of 0 and 1 replaced by the nearest numbers of their precision inside (0, 1)."""
    limits = namespace(p).finfo(p.dtype)
    return namespace(p).clip(p, float(limits.tiny), 1 - float(limits.eps) / 2)


def increasing_root(function: Callable[[Array], Array], values: Array) -> Array:
    """Return x with function(x) = value for each value, for an elementwise increasing function.

    Chandrupatla's method [1]_: inverse quadratic interpolation where it is safe, bisection elsewhere.

    References
    ----------
    .. [1] T. R. Chandrupatla, "A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function
       without using derivatives", Advances in Engineering Software 28, 1997. :doi:`10.1016/S0965-9978(96)00051-8`
    """
    a, b = _bracket(function, values)
    f_a, f_b = function(a) - values, function(b) - values
    fraction = np.full_like(values, 0.5)
    for _ in range(MAX_ROOT_STEPS):
        x = a + fraction * (b - a)
        f_x = function(x) - values
        # a becomes the newest point and b keeps the root between them; c is the point that leaves the bracket
        same = (f_x > 0) == (f_a > 0)
        c, f_c = np.where(same, a, b), np.where(same, f_a, f_b)
        b, f_b = np.where(same, b, a), np.where(same, f_b, f_a)
        a, f_a = x, f_x
        best = np.where(np.abs(f_a) < np.abs(f_b), a, b)
        smallest = np.finfo(np.float64).eps * np.abs(best) / np.abs(b - a)  # fraction of b - a that changes x
        if np.all((smallest >= 0.5) | (f_a == 0) | (f_b == 0)):
            break
        xi, phi = (a - b) / (c - b), (f_a - f_b) / (f_c - f_b)
        # inverse quadratic interpolation is monotone between a and b: criterion of Chandrupatla
        quadratic = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        # its zero, by Lagrange's formula, as the fraction of the way from a to b
        step = f_a / (f_b - f_a) * f_c / (f_b - f_c) + (c - a) / (b - a) * f_a / (f_c - f_a) * f_b / (f_c - f_b)
        smallest = np.minimum(smallest, 0.5)
        fraction = np.clip(np.where(quadratic, step, 0.5), smallest, 1 - smallest)
    return best


def _bracket(function: Callable[[Array], Array], values: Array) -> tuple[Array, Array]:
    """Return numbers below and above the roots."""
    low, high = np.full_like(values, -1.0), np.full_like(values, 1.0)
    for _ in range(MAX_DOUBLINGS):
        above, below = function(low) > values, function(high) < values
        if not (above.any() or below.any()):
            break
        low, high = np.where(above, 2 * low, low), np.where(below, 2 * high, high)
    return low, high


def namespace(x: Any) -> ModuleType:
    """Return ``torch`` for a tensor and ``numpy`` for everything else."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):  # another thread is still importing torch
        return np
    return torch if isinstance(x, torch.Tensor) else np


def as_floating(x: Any) -> Any:
    """Return x as a floating tensor or array of at least single precision, recorded arrays as they are.

    A recorded array, an `NDArrayOperatorsMixin`, records the operations of NumPy on it, to run elsewhere.
    """
    xp = namespace(x)
    if xp is np:
        if type(x) is not np.ndarray:
            if isinstance(x, NDArrayOperatorsMixin):
                return x
            x = np.asarray(x)
        return x if x.dtype in (np.float32, np.float64) else x.astype(np.result_type(x.dtype, np.float32))
    return x if x.dtype in (xp.float32, xp.float64) else x.to(xp.float32)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x))."""
    xp = namespace(x)
    if xp is not np:
        return xp.sigmoid(x)
    out = np.negative(x)
    with np.errstate(over="ignore"):  # an infinite exponential gives the probability 0
        out = np.exp(out, out=out if out.ndim else None)  # two to three times as fast as scipy.special.expit
    out += 1
    return np.reciprocal(out, out=out if out.ndim else None)


def softplus(x: Any) -> Any:
    """Return log(1 + exp(x)), accurate on both sides of zero."""
    xp = namespace(x)
    # log(1 + exp(40)) is 40 in double precision; PyTorch's default threshold of 20 suits single precision, and its
    # logsigmoid starts all threads even for the smallest tensors
    return -special.log_expit(-x) if xp is np else xp.nn.functional.softplus(x, threshold=40)


def log_sigmoid(x: Any) -> Any:
    """Return log(sigmoid(x)), accurate on both sides of zero."""
    return -softplus(-x)


def logit(p: Any) -> Any:
    """Return log(p / (1 - p)), the inverse of `sigmoid`."""
    xp = namespace(p)
    return special.logit(p) if xp is np else xp.logit(p)


def power(x: Any, exponent: float) -> Any:
    """Return x ** exponent for x >= 0, with a finite derivative at 0 whatever the exponent."""
    if exponent in (1, 2, 3, 4):  # products: PyTorch's power takes eight times as long
        square = x if exponent == 1 else x * x
        return square if exponent <= 2 else square * (x if exponent == 3 else square)
    xp = namespace(x)
    return xp.clip(x, float(xp.finfo(x.dtype).tiny), None) ** exponent


def like(values: Any, x: Any) -> Any:
    """Return a number as it is, and a sequence of numbers, one for each label, as an array or tensor like x."""
    if isinstance(values, float | int):
        return values
    xp = namespace(x)
    return np.asarray(values, dtype=x.dtype) if xp is np else xp.tensor(values, dtype=x.dtype, device=x.device)


def damped_softplus(x: Any) -> Any:
    """Return exp(-x) softplus(x), which falls from 1 to 0."""
    xp = namespace(x)
    small = xp.exp(-xp.abs(x))  # exp(-x) overflows for large negative x: one formula for each side
    rising = xp.where(small > 0, xp.log1p(small) / xp.where(small > 0, small, 1), 1)
    return xp.where(x > 0, small * (x + xp.log1p(small)), rising)
