r"""The squared error: one linear system for all labels.

A `quadratic` loss has the second derivative 1, so that with centred rows and the same weights of rows for all labels

.. math:: w_j = w_j^0 - \Bigl(\sum_i v_i\, x_i x_i^\top + \frac{1}{C_j} I\Bigr)^{-1} \nabla_{w_j} f

is the optimum from any start, and the intercept, the score of the mean row, is that of the frequency of the label. One
Cholesky factor serves all labels, one eigendecomposition if C differs between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.space import Space
    from sk_quadrant._solvers.full_batch.sums import RowSums

MAX_FEATURES = 4000  # the matrix takes 128 MB


class NormalEquations:
    """The linear systems of all labels.

    Parameters
    ----------
    gram : double Tensor of shape (n_features, n_features)
        Weighted sum of the outer products of the centred rows.
    penalty : double Tensor of shape (n_all_labels,)
        1 / C of each label.
    """

    def __init__(self, gram: Tensor, penalty: Tensor) -> None:
        self.factor: Tensor | None = None
        if bool((penalty == penalty[0]).all()):
            gram.diagonal().add_(penalty[0])
            self.factor, failed = torch.linalg.cholesky_ex(gram)
            self.usable = not bool(failed)
        else:
            self.eigenvalues, self.eigenvectors = torch.linalg.eigh(gram)
            self.usable = True

    @classmethod
    def of(cls, space: Space, rows: RowSums, penalty: Tensor) -> NormalEquations | None:
        """Return the equations of all rows, None if they are singular or slower than iterations."""
        if rows.design() is None or space.n_features > MAX_FEATURES or space.n_counted < space.n_features:
            return None
        if not (space.dense or space.n_values * 2 * space.n_features >= space.n_features**2):
            return None
        gram, *_ = rows.coupling_sums(space.mean, 1)
        equations = cls(gram, penalty)
        return equations if equations.usable else None

    def solve(self, gradient: Tensor, penalty: Tensor) -> Tensor:
        """Return the inverse Hessian of each label times its gradient, (n_labels, n_features)."""
        right = gradient.double()
        solution: Tensor
        if self.factor is not None:
            solution = torch.cholesky_solve(right.T, self.factor).T
        else:
            stiffness = self.eigenvalues.clamp(min=0) + penalty[:, None]
            solution = (right @ self.eigenvectors / stiffness) @ self.eigenvectors.T
        return solution
