r"""The squared error: one linear system for all labels.

A `quadratic` loss has the second derivative 1, so that with centred rows and the same weights of rows for all labels

.. math:: w_j = w_j^0 - \Bigl(\sum_i v_i\, x_i x_i^\top + \frac{1}{C_j} I\Bigr)^{-1} \nabla_{w_j} f

is the optimum from any start, and the intercept, the score of the mean row, is that of the frequency of the label: one
step of Newton's method, which is ridge regression [1]_, with a single Cholesky factor for all labels, or one
eigendecomposition if C differs.

References
----------
.. [1] A. E. Hoerl, R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 12,
   1970. :doi:`10.1080/00401706.1970.10488634`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.shard import Shard

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.objective import Evaluation, Objective
    from sk_quadrant._solvers.full_batch.shard import Curvature, RowSums
    from sk_quadrant._solvers.full_batch.space import Space

MAX_FEATURES = 4000  # the matrix takes 128 MB


@dataclass(frozen=True)
class NormalEquations:
    """The Hessian of each label, in place of a `SharedHessian`, and its inverse, in place of a preconditioner.

    Attributes
    ----------
    vectors : double Tensor of shape (n_features, n_features)
        Cholesky factor of the matrix, or eigenvectors of its sum over rows if labels have different penalties.
    eigenvalues : double Tensor of shape (n_features,) or None
        The eigenvalues of this sum.
    total_weight : float
        Sum of the row weights, which is the second derivative with respect to an intercept.
    penalty : double Tensor of shape (n_labels,)
        1 / C of each label.
    """

    vectors: Tensor
    eigenvalues: Tensor | None
    total_weight: float
    penalty: Tensor
    curvature: ClassVar[Curvature] = None
    couples: ClassVar[bool] = True

    @classmethod
    def of(cls, space: Space, rows: RowSums, penalty: Tensor) -> NormalEquations | None:
        """Return the equations, None if labels have different rows, or they are singular or slower than iterations."""
        if not isinstance(rows, Shard) or space.n_features > MAX_FEATURES or space.n_counted < space.n_features:
            return None
        if rows.label_weight is not None or rows.rows.targets.mask is not None:
            return None
        if not (space.dense or space.n_values * 2 * space.n_features >= space.n_features**2):
            return None
        # G = sum_i v_i (x_i - m)(x_i - m)'
        gram, *_ = rows.total(Shard.coupling_sums, space.mean, 1)
        if not (penalty == penalty[0]).all():
            # G = U diag(e) U' for all labels; rounding can make an eigenvalue negative
            eigenvalues, eigenvectors = torch.linalg.eigh(gram)
            return cls(eigenvectors, eigenvalues.clamp(min=0), space.total_weight, penalty)
        # G + I / C = L L'
        gram.diagonal().add_(penalty[0])
        factor, failed = torch.linalg.cholesky_ex(gram)
        return None if failed else cls(factor, None, space.total_weight, penalty)

    def is_due(self, iteration: int) -> bool:
        """Return that the Hessian stays the same."""
        return False

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> NormalEquations:
        """Return the equations of the labels of an objective."""
        return replace(self, penalty=objective.penalty)

    def take(self, labels: Tensor) -> NormalEquations:
        """Return the equations of some labels."""
        return replace(self, penalty=self.penalty[labels])

    def solve(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian times the gradient, (n_labels, n_columns)."""
        # features are centred, so that the intercept, the last column, has an equation of its own
        solution, d = gradient / self.total_weight, len(self.vectors)
        right = gradient[:, :d].double()
        if self.eigenvalues is None:
            solution[:, :d] = torch.cholesky_solve(right.T, self.vectors).T
        else:
            # (G + I / C_j)^-1 = U diag(1 / (e + 1 / C_j)) U'
            stiffness = self.eigenvalues + self.penalty[:, None]
            solution[:, :d] = (right @ self.vectors / stiffness) @ self.vectors.T
        return solution
