r"""The parameters of the full-batch solver, and the centred features that they multiply.

The parameters of label j are :math:`\theta_j = (w_j, a_j)`: the weights of the features and, last, the intercept if
there is one. With an intercept the features count as centred by their weighted mean m, without being copied,

.. math:: s_{ij} = w_j^\top (x_i - m) + a_j = w_j^\top x_i + (a_j - w_j^\top m).

Then the intercept is the score of the mean row, and the Hessian of a label has no entries between weights and
intercept where its rows are equally curved, which makes it better conditioned [1]_. `Space.publish` returns
:math:`b_j = a_j - w_j^\top m`.

References
----------
.. [1] Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller, "Efficient BackProp", Neural Networks: Tricks of the Trade,
   Springer 2012, section 4.3. :doi:`10.1007/978-3-642-35289-8_3`
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.shard import Shard

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.shard import RowSums


@dataclass
class Space:
    """Number, precision, mean and variance of the features, without the rows.

    Attributes
    ----------
    n_features : int
    fit_intercept : bool
    dtype : torch.dtype
    device : torch.device
    dense : bool
        Whether rows are dense; products of sparse rows are fastest with theta in feature-major memory order.
    n_rows, n_values : int
        Number of rows, and of stored values.
    total_weight : float
        Sum of the row weights.
    n_counted : float
        Sum of the row weights, or number of positive ones if that is more.
    mean : Tensor of shape (n_features,) or None
        Mean that is subtracted from the features, None for no centring.
    variance : Tensor of shape (n_features,)
        Mean square of the centred features, 0 where it is rounding.
    correlated : bool
        Whether features may be correlated.
    """

    correlated: ClassVar[bool] = True

    n_features: int
    fit_intercept: bool
    dtype: torch.dtype
    device: torch.device
    dense: bool
    n_rows: int
    n_values: int
    total_weight: float
    n_counted: float
    mean: Tensor | None
    variance: Tensor

    @classmethod
    def of(cls, rows: RowSums, *, fit_intercept: bool) -> Space:
        """Return the space of rows, given their sums.

        Raises
        ------
        FloatingPointError
            If squares of features are not finite.
        """
        n_rows, n_values, total_weight, n_weighted = rows.total(Shard.size)[0].tolist()
        mean = rows.total(Shard.feature_sums)[0] / total_weight if fit_intercept else None
        (squares,) = rows.total(Shard.square_sums, mean)
        variance = _variance(squares, total_weight, mean, dtype=rows.dtype, dense=rows.dense)
        return cls(
            rows.n_features, fit_intercept, rows.dtype, rows.device, rows.dense, int(n_rows), int(n_values),
            total_weight, max(total_weight, n_weighted), mean, variance,
        )  # fmt: skip

    @property
    def n_columns(self) -> int:
        """Number of parameters per label."""
        return self.n_features + self.fit_intercept

    def zeros(self, n_labels: int) -> Tensor:
        """Return theta of zeros in the memory order of the products."""
        shape = (n_labels, self.n_columns) if self.dense else (self.n_columns, n_labels)
        zeros = torch.zeros(shape, dtype=self.dtype, device=self.device)
        return zeros if self.dense else zeros.T

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights, and the shift (n_labels,) that is added to the products of raw features."""
        coef = theta[:, : self.n_features]
        if not self.fit_intercept:
            return coef, None
        return coef, theta[:, -1] if self.mean is None else theta[:, -1] - coef @ self.mean

    def centre(self, sums: Tensor) -> Tensor:
        """Turn sums over rows of raw features, (n_labels, n_columns), into sums of centred ones, in place."""
        if self.mean is not None:
            # sum_i g_i (x_i - m) = sum_i g_i x_i - m sum_i g_i, where the last column holds sum_i g_i
            sums[:, : self.n_features].addcmul_(sums[:, -1:], self.mean, value=-1)
        return sums

    def centred_squares(self, squares: Tensor, firsts: Tensor | None) -> Tensor:
        """Return sums of squared centred features, from those of raw squares and raw features, in place."""
        if self.mean is None or firsts is None:
            return squares
        # sum h (x - m)^2 = sum h x^2 - 2 m sum h x + m^2 sum h, at least what rounding leaves of its first term
        total, coef = squares[:, -1:], squares[:, : self.n_features]
        smallest = torch.finfo(coef.dtype).eps * coef
        coef += self.mean * (total * self.mean - 2 * firsts[:, : self.n_features])
        torch.maximum(coef, smallest, out=coef)
        return squares

    publish = split  # coef (n_labels, n_features) and intercept (n_labels,) for the raw features

    def theta_of(self, coef: Tensor, intercept: Tensor | None) -> Tensor:
        """Return theta of coef and intercept: the inverse of `publish`."""
        theta = self.zeros(len(coef))
        theta[:, : self.n_features] = coef
        if self.fit_intercept and intercept is not None:
            theta[:, -1] = intercept if self.mean is None else intercept + coef @ self.mean
        return theta

    def single(self) -> Space | None:
        """Return the space in single precision.

        None if it is in single precision, or if a feature would overflow, underflow or become constant there.
        """
        if self.dtype == torch.float32 or self.device.type != "cpu":
            return None
        single = torch.finfo(torch.float32)
        second = self.variance if self.mean is None else self.variance + self.mean.square()
        # a factor of 1e4 away from rounding errors of squares, and of squares from the limits of the range
        varies = self.variance > 1e4 * single.eps * second
        in_range = (self.variance > 1e4 * single.tiny) & (self.n_rows * second < 1e-4 * single.max)
        if not ((self.variance == 0) | (in_range & varies)).all():
            return None
        other = copy(self)
        other.dtype, other.variance = torch.float32, self.variance.float()
        other.mean = None if self.mean is None else self.mean.float()
        return other

    def mean_coupling(self, gram: Tensor, seconds: Tensor, fourths: Tensor, weight: Tensor) -> tuple[Tensor, float]:
        """Return the mean outer product of the centred rows in double precision, and the largest kurtosis.

        The arguments are the sums over some rows that `Design.coupling_sums` returns.
        """
        # E[z^4] / E[z^2]^2, from weighted sums
        kurtosis = (weight * fourths / seconds.square()).nan_to_num(0.0, posinf=math.inf)
        unseen = (seconds == 0) & (self.variance > 0)  # constant in the sampled rows
        return gram / weight, float(kurtosis.masked_fill(unseen, math.inf).max())


def _variance(squares: Tensor, total_weight: float, mean: Tensor | None, *, dtype: torch.dtype, dense: bool) -> Tensor:
    """Return the variance, given the sums of squared features, which are centred if dense; 0 where it is rounding.

    Raises
    ------
    FloatingPointError
        If a sum is not finite.
    """
    if not squares.isfinite().all():
        raise FloatingPointError(f"squares of features are not finite in {dtype}: scale the features of X")
    variance, eps = squares / total_weight, torch.finfo(dtype).eps
    # sparse rows are not centred: their variance is a difference of two squares, which loses more digits
    if mean is None:
        noise = torch.zeros_like(variance)
    elif dense:
        # a constant feature deviates from its computed mean by a few rounding errors
        noise = (10 * eps * mean).square()
    else:
        # E[x^2] - m^2: T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance: analysis
        # and recommendations", The American Statistician 37, 1983. :doi:`10.1080/00031305.1983.10483115`
        noise = 100 * eps * variance
        variance = variance - mean.square()
    return variance.where(variance > noise, 0.0)
