"""Newton steps: the Hessian of each label as its preconditioner.

With ``H = sum_i h_i x_i x_i' + I / C`` in place of an estimate, the direction of L-BFGS without curvature pairs is
Newton's ``-H^(-1) g``, which converges quadratically near the optimum. It takes n d^2 operations per label, and so is
used for the labels that the shared approximation does not solve: few rows per feature, or a weak penalty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.preconditioner import Preconditioner, without_flat

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.objective import Evaluation, Objective
    from sk_quadrant._solvers.full_batch.shard import Curvature


@dataclass(frozen=True)
class LabelHessian:
    """The Hessian of each label; see `HessianApproximation`.

    Attributes
    ----------
    every : int
        Number of iterations from one Hessian to the next; between them curvature pairs update it.
    """

    every: int = 1
    curvature: ClassVar[Curvature] = None

    def is_due(self, iteration: int) -> bool:
        """Whether to compute the Hessian again; see `HessianApproximation.is_due`."""
        return (iteration - 1) % self.every == 0

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> Preconditioner:
        """Return the preconditioner at a point; see `HessianApproximation.precondition`."""
        return CholeskyPreconditioner(objective.hessian(theta))


class CholeskyPreconditioner:
    r"""Inverse Hessian from the Cholesky factor of each label's Hessian; see `Preconditioner`.

    .. math:: D^{-1/2} H D^{-1/2} + \epsilon I = L L^\top

    with D the diagonal of H: at unit diagonal the smallest shift that makes rounding harmless is known [1]_.

    Parameters
    ----------
    hessian : double Tensor of shape (n_labels, n_columns, n_columns)
        Positive semidefinite matrices, which are overwritten.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM 2002, chapter 10.
       :doi:`10.1137/1.9780898718027`
    """

    couples = True

    def __init__(self, hessian: Tensor) -> None:
        if not hessian.sum().isfinite():
            raise FloatingPointError("the second derivatives are not finite: scale the features of X")
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        diagonal.copy_(without_flat(diagonal))
        self.scale = diagonal.rsqrt()
        hessian.mul_(self.scale[:, :, None]).mul_(self.scale[:, None, :])
        shift = 1e3 * torch.finfo(hessian.dtype).eps * hessian.shape[1]  # noise in singular directions stays small
        while True:
            hessian.diagonal(dim1=1, dim2=2).add_(shift)
            self.factor, failed = torch.linalg.cholesky_ex(hessian)
            if not failed.any():
                return
            shift *= 100

    def take(self, labels: Tensor) -> CholeskyPreconditioner:
        """Return the preconditioner of some of the labels."""
        taken = object.__new__(CholeskyPreconditioner)
        taken.scale, taken.factor = self.scale[labels], self.factor[labels]
        return taken

    def solve(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian times the gradient, (n_labels, n_columns)."""
        scaled = (gradient.double() * self.scale)[:, :, None]
        return (torch.cholesky_solve(scaled, self.factor)[:, :, 0] * self.scale).to(gradient.dtype)
