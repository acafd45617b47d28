r"""Newton steps: the Hessian of each label as its preconditioner.

With the Hessian in place of an estimate, the direction of L-BFGS without curvature pairs is Newton's [1]_,

.. math:: -H_j^{-1} g_j, \qquad H_j = \sum_i h_{ij} \begin{pmatrix} x_i - m \\ 1 \end{pmatrix}
   \begin{pmatrix} x_i - m \\ 1 \end{pmatrix}^\top + \frac{1}{C_j} \begin{pmatrix} I & 0 \\ 0 & 0 \end{pmatrix},

which converges quadratically near the optimum. It takes n d^2 operations per label, and so is used for the labels that
the shared approximation does not solve: few rows per feature, or a weak penalty.

References
----------
.. [1] J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition, Springer 2006, chapter 3.
   :doi:`10.1007/978-0-387-40065-5`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.objective import Evaluation, Objective
    from sk_quadrant._solvers.full_batch.shard import Curvature


@dataclass(frozen=True)
class LabelHessian:
    """The Hessian of each label; see `SharedHessian`.

    Attributes
    ----------
    every : int
        Number of iterations from one Hessian to the next; between them curvature pairs update it.
    """

    every: int = 1
    curvature: ClassVar[Curvature] = None

    def is_due(self, iteration: int) -> bool:
        """Whether to compute the Hessian again after an iteration."""
        return (iteration - 1) % self.every == 0

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> CholeskyPreconditioner:
        """Return the preconditioner at a point."""
        return CholeskyPreconditioner.of(objective.hessian(theta))


class CholeskyPreconditioner(NamedTuple):
    r"""Inverse Hessian from the Cholesky factor of each label's Hessian; see `SharedPreconditioner`.

    .. math:: D^{-1/2} H D^{-1/2} + \epsilon I = L L^\top

    with D the diagonal of H: at unit diagonal the smallest shift that makes rounding harmless is known [1]_.

    Attributes
    ----------
    scale : double Tensor of shape (n_labels, n_columns)
        D^(-1/2).
    factor : double Tensor of shape (n_labels, n_columns, n_columns)
        L.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM 2002, chapter 10.
       :doi:`10.1137/1.9780898718027`
    """

    scale: Tensor
    factor: Tensor

    @property
    def couples(self) -> bool:
        """Whether it includes the correlation of features."""
        return True

    @classmethod
    def of(cls, hessian: Tensor) -> CholeskyPreconditioner:
        """Return the factors of positive semidefinite matrices, which are overwritten."""
        if not hessian.sum().isfinite():
            raise FloatingPointError("the second derivatives are not finite: scale the features of X")
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        diagonal.copy_(without_flat(diagonal))
        # D^(-1/2) H D^(-1/2) has a diagonal of 1, so that one shift suits all features
        scale = diagonal.rsqrt()
        hessian.mul_(scale[:, :, None]).mul_(scale[:, None, :])
        shift = 1e3 * torch.finfo(hessian.dtype).eps * hessian.shape[1]  # noise in singular directions stays small
        # more of the identity until there is a Cholesky factor: Nocedal and Wright (2006), algorithm 3.3
        while True:
            hessian.diagonal(dim1=1, dim2=2).add_(shift)
            factor, failed = torch.linalg.cholesky_ex(hessian)
            if not failed.any():
                return cls(scale, factor)
            shift *= 100

    def solve(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian times the gradient, (n_labels, n_columns)."""
        # D^(-1/2) (L L')^-1 D^(-1/2) g
        scaled = (gradient.double() * self.scale)[:, :, None]
        return (torch.cholesky_solve(scaled, self.factor)[:, :, 0] * self.scale).to(gradient.dtype)


def without_flat(curvature: Tensor) -> Tensor:
    """Replace curvatures of zero by the label's largest finite one: a piecewise linear loss may have none."""
    if bool((curvature > 0).all()):
        return curvature
    largest = curvature.where(curvature.isfinite(), 0.0).amax(dim=1, keepdim=True)
    return curvature.where(curvature > 0, largest.where(largest > 0, 1.0))
