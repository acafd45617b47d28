r"""Preconditioners: approximate inverse Hessians for the steps of the full-batch solver.

The Hessian of label j is ``X' diag(h_j) X + I / C`` with the curvatures h_j of its rows. Its diagonal D_j is cheap;
its off-diagonal part is nearly the same for all labels: that of the correlation R of the features. So

.. math::
    H_j \approx D_j^{1/2} \bigl((1 - \rho_j) R + \rho_j I\bigr) D_j^{1/2}, \qquad
    \rho_j = \operatorname{mean}_k \frac{1}{C D_{jk}},

and one eigendecomposition ``R = Q diag(e) Q'`` serves all labels: a step costs two products with Q. Where h_j is
constant over rows and the features have equal variances this is the Hessian itself. Without R (sparse or very wide
data) it is the diagonal. Labels that do not converge so get Newton steps (see `newton`). The inverse of the
approximation is the matrix :math:`H_0` of L-BFGS [1]_.

References
----------
.. [1] J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition, Springer 2006, section 7.2.
   :doi:`10.1007/978-0-387-40065-5`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.newton import without_flat
from sk_quadrant._solvers.full_batch.shard import Shard

if TYPE_CHECKING:
    from sk_quadrant._solvers.full_batch.objective import Evaluation, Objective
    from sk_quadrant._solvers.full_batch.shard import RowSums
    from sk_quadrant._solvers.full_batch.space import Space

MAX_FEATURES = 2000  # an eigendecomposition takes 9 d^3 operations
ROWS_PER_FEATURE, FEWEST_ROWS = 32, 4096  # enough for the correlation of features without heavy tails
HEAVY_TAIL = 8.0  # kurtosis; 3 for Gaussian features, 1 / p for a binary feature of frequency p


@dataclass(frozen=True)
class SharedHessian:
    """Hessians of all labels with one correlation matrix of the features; see the module docstring.

    An approximation has the `curvature` that an evaluation has to return where a preconditioner is made.

    Attributes
    ----------
    eigenvectors : Tensor of shape (n_features, n_features) or None
        Eigenvectors of the correlation matrix; None to use the diagonal alone.
    eigenvalues : Tensor of shape (n_features,) or None
    curvature : {"mean", "diagonal"}
        How the diagonal of the Hessian is estimated.
    """

    eigenvectors: Tensor | None
    eigenvalues: Tensor | None
    curvature: Literal["mean", "diagonal"]

    def single(self) -> SharedHessian:
        """Return the approximation in single precision."""
        if self.eigenvectors is None or self.eigenvalues is None:
            return self
        return replace(self, eigenvectors=self.eigenvectors.float(), eigenvalues=self.eigenvalues.float())

    def is_due(self, iteration: int) -> bool:
        """Whether to make a new preconditioner after an iteration; the curvature soon stays the same."""
        return iteration in ({1, 2, 4, 8, 16, 32} if self.curvature == "mean" else {2, 6, 18, 54})

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> SharedPreconditioner:
        """Return the preconditioner at a point, where the objective has been evaluated."""
        curvature: Tensor = point.curvature  # type: ignore[assignment]
        # D^(-1/2), and rho = mean_k 1 / (C D_k)
        scale, d = without_flat(curvature).rsqrt(), objective.space.n_features
        rho = (objective.penalty.to(scale.dtype)[:, None] * scale[:, :d] ** 2).mean(dim=1, keepdim=True).clamp(max=1.0)
        return SharedPreconditioner(self, scale, rho)


def choose_hessian(space: Space, rows: RowSums) -> SharedHessian:
    """Choose the approximation from the data.

    The correlation of the features is used if its eigendecomposition is cheap: up to 100 features, or less than the
    products of 40 iterations and the two Hessians of a label that needs Newton steps. If it costs more than two
    iterations, it is estimated from a sample of rows, unless a feature has a heavy tail. Without heavy tails the
    diagonal of the Hessian is the variance of the features times the mean curvature of the label; otherwise it is
    computed.
    """
    d, n, n_labels = space.n_features, space.n_rows, rows.n_labels
    enough = max(ROWS_PER_FEATURE * d, FEWEST_ROWS)
    step = max(1, n // enough) if space.dense and d > 8 * n_labels else 1
    cost = 9 * d**3 + d**2 * n // step
    worth = 40 * 4 * space.n_values * n_labels + (2 * space.n_values * d if space.dense else 0)
    if not (space.correlated and (d <= 100 or (d <= MAX_FEATURES and cost < worth))):
        return SharedHessian(None, None, "diagonal")
    gram, kurtosis = space.mean_coupling(*rows.total(Shard.coupling_sums, space.mean, step))
    if step > 1 and kurtosis > HEAVY_TAIL:
        gram, kurtosis = space.mean_coupling(*rows.total(Shard.coupling_sums, space.mean, 1))
    # R = S^(-1/2) G S^(-1/2), with S the diagonal of the covariance G
    scale = gram.diagonal().sqrt()
    scale = scale.where(scale > 0, 1.0)
    eigenvalues, eigenvectors = torch.linalg.eigh(gram / scale / scale[:, None])
    noise = torch.finfo(space.dtype).eps * d
    return SharedHessian(
        eigenvectors.to(space.dtype),
        eigenvalues.where(eigenvalues > noise, 0.0).to(space.dtype),
        "diagonal" if kurtosis > HEAVY_TAIL else "mean",
    )


@dataclass(frozen=True)
class SharedPreconditioner:
    """Inverse Hessian from a label's own diagonal and the correlation of the features; see the module docstring.

    Attributes
    ----------
    hessian : SharedHessian
    scale : Tensor of shape (n_labels, n_columns)
        D^(-1/2).
    rho : Tensor of shape (n_labels, 1)
    """

    hessian: SharedHessian
    scale: Tensor
    rho: Tensor

    @property
    def couples(self) -> bool:
        """Whether it includes the correlation of features; otherwise steps along correlated features are too long."""
        return self.hessian.eigenvectors is not None

    def take(self, labels: Tensor) -> SharedPreconditioner:
        """Return the preconditioner of some of the labels."""
        return SharedPreconditioner(self.hessian, self.scale[labels], self.rho[labels])

    def solve(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian times the gradient, (n_labels, n_columns)."""
        scaled = gradient * self.scale
        Q, eigenvalues = self.hessian.eigenvectors, self.hessian.eigenvalues
        if Q is not None and eigenvalues is not None:
            d = len(eigenvalues)
            # D^(-1/2) Q ((1 - rho) e + rho)^(-1) Q' D^(-1/2) g; no step along directions without curvature
            stiffness = (1 - self.rho) * eigenvalues + self.rho
            rotated = (scaled[:, :d] @ Q / stiffness).where(stiffness > 0, 0.0)
            scaled[:, :d] = rotated @ Q.T
        return scaled.mul_(self.scale)
