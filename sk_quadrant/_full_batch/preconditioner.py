"""The metrics in which the full-batch solver takes its steps: approximate inverse Hessians.

The Hessian of label j is ``X' diag(h_j) X + I / C`` with the curvatures h_j of its rows. Its diagonal D_j is cheap to
know; what couples the features is nearly the same for all labels, the correlation R of the features. So

    H_j ~ D_j^(1/2) ((1 - rho_j) R + rho_j I) D_j^(1/2),    rho_j = mean over features of 1 / (C D_j),

and one eigendecomposition of R serves all labels. Where h_j is constant over rows and the features have equal variances
this is the Hessian itself. Without R (sparse or very wide data) the diagonal alone is left.

Labels for which that is not good enough (few rows for the features, weak penalty) get the Cholesky factor of their own
Hessian, which makes the solver Newton's method.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from sk_quadrant._full_batch.design import Columns
from sk_quadrant._full_batch.objective import Evaluation, Objective

MAX_FEATURES = 2000  # an eigendecomposition takes 9 d^3 operations
ROWS_PER_FEATURE, FEWEST_ROWS = 32, 4096  # enough to know the correlation of features without heavy tails
HEAVY_TAIL = 8.0  # kurtosis; 3 for Gaussian features, 1 / p for a binary feature of frequency p


class Preconditioner(Protocol):
    """Approximate inverse Hessian of each label of a block.

    Attributes
    ----------
    couples : bool
        Whether it knows how features go together. Without that, steps along features that rise together are too long.
    """

    @property
    def couples(self) -> bool:
        """Whether it knows how features go together."""
        ...

    def take(self, labels: Tensor) -> Preconditioner:
        """Return the preconditioner of some of the labels."""
        ...

    def solve(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian times the gradient, (n_labels, n_columns)."""
        ...


class Metric(Protocol):
    """Source of preconditioners.

    Attributes
    ----------
    curvature : {"mean", "diagonal"} or None
        What the objective is to say about the curvature where a preconditioner is to be made.
    """

    @property
    def curvature(self) -> Literal["mean", "diagonal"] | None:
        """What the objective is to say about the curvature."""
        ...

    def is_due(self, iteration: int) -> bool:
        """Whether a new preconditioner is worth its price after an iteration."""
        ...

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> Preconditioner:
        """Return the preconditioner at a point."""
        ...


@dataclass(frozen=True)
class SharedMetric:
    """Metric that couples the features of all labels by one correlation matrix.

    Attributes
    ----------
    eigenvectors : Tensor of shape (n_features, n_features) or None
        Eigenvectors of the correlation matrix; None to use the diagonal alone.
    eigenvalues : Tensor of shape (n_features,) or None
    curvature : {"mean", "diagonal"}
        How the diagonal of the Hessian is to be estimated.
    """

    eigenvectors: Tensor | None
    eigenvalues: Tensor | None
    curvature: Literal["mean", "diagonal"]

    def in_single(self) -> SharedMetric:
        """Return the metric in single precision."""
        if self.eigenvectors is None or self.eigenvalues is None:
            return self
        return replace(self, eigenvectors=self.eigenvectors.float(), eigenvalues=self.eigenvalues.float())

    def is_due(self, iteration: int) -> bool:
        """Whether the curvature, which settles soon, should be taken anew; see `Metric.is_due`."""
        return iteration in ({1, 2, 4, 8, 16, 32} if self.curvature == "mean" else {2, 6, 18, 54})

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> Preconditioner:
        """Return the preconditioner at a point; see `Metric.precondition`."""
        assert point.curvature is not None
        return SharedPreconditioner(self, point.curvature, objective.penalty)


def choose_metric(design: Columns, n_labels: int) -> SharedMetric:
    """Choose the metric from the data.

    The correlation of the features is used if its eigendecomposition costs next to nothing (100 features), or less than
    the products of 40 iterations and the two Hessians that a hard label would need. Where it would cost more than two
    iterations it is taken from a sample of rows, unless a feature has a heavy tail. Without heavy tails, too, the
    diagonal of the Hessian is that of the features times the mean curvature of the label; it is computed otherwise.
    """
    d, n = design.n_features, design.n_rows
    enough = max(ROWS_PER_FEATURE * d, FEWEST_ROWS)
    step = max(1, n // enough) if design.dense and d > 8 * n_labels else 1
    price = 9 * d**3 + d**2 * n // step
    worth = 40 * 4 * design.n_values * n_labels + (2 * design.n_values * d if design.dense else 0)
    coupling = _coupling(design, step) if d <= 100 or (d <= MAX_FEATURES and price < worth) else None
    if coupling is None:
        return SharedMetric(None, None, "diagonal")
    gram, kurtosis = coupling
    scale = gram.diagonal().sqrt()
    scale = scale.where(scale > 0, 1.0)
    eigenvalues, eigenvectors = torch.linalg.eigh(gram / scale / scale[:, None])
    noise = 10 * torch.finfo(design.dtype).eps * d
    return SharedMetric(
        eigenvectors.to(design.dtype),
        eigenvalues.where(eigenvalues > noise, 0.0).to(design.dtype),
        "diagonal" if kurtosis > HEAVY_TAIL else "mean",
    )


def _coupling(design: Columns, step: int) -> tuple[Tensor, float] | None:
    """Return what `Columns.coupling` does, from every step-th row unless a feature has a heavy tail there."""
    coupling = design.coupling(step)
    return design.coupling() if step > 1 and coupling is not None and coupling[1] > HEAVY_TAIL else coupling


class SharedPreconditioner:
    """Inverse Hessian from a label's own diagonal and the correlation of the features; see `Preconditioner`.

    Parameters
    ----------
    metric : SharedMetric
    curvature : Tensor of shape (n_labels, n_columns)
        Diagonal of the Hessian, penalty included.
    penalty : float
        Curvature that the penalty adds.
    """

    def __init__(self, metric: SharedMetric, curvature: Tensor, penalty: float) -> None:
        self.metric = metric
        self.scale = _without_flat(curvature).rsqrt()
        if metric.eigenvalues is not None:
            d = len(metric.eigenvalues)
            self.rho = (penalty * self.scale[:, :d] ** 2).mean(dim=1, keepdim=True).clamp(max=1.0)

    @property
    def couples(self) -> bool:
        """Whether there is a correlation; see `Preconditioner.couples`."""
        return self.metric.eigenvectors is not None

    def take(self, labels: Tensor) -> SharedPreconditioner:
        """Return the preconditioner of some of the labels."""
        taken = object.__new__(SharedPreconditioner)
        taken.metric, taken.scale = self.metric, self.scale[labels]
        if self.metric.eigenvalues is not None:
            taken.rho = self.rho[labels]
        return taken

    def solve(self, gradient: Tensor) -> Tensor:
        """Return the inverse Hessian times the gradient, (n_labels, n_columns)."""
        scaled = gradient * self.scale
        Q, eigenvalues = self.metric.eigenvectors, self.metric.eigenvalues
        if Q is not None and eigenvalues is not None:
            d = len(eigenvalues)
            stiffness = (1 - self.rho) * eigenvalues + self.rho
            rotated = (scaled[:, :d] @ Q / stiffness).where(stiffness > 0, 0.0)
            scaled[:, :d] = rotated @ Q.T
        return scaled.mul_(self.scale)


def _without_flat(curvature: Tensor) -> Tensor:
    """Replace curvatures of zero by the label's largest finite one: a piecewise linear loss has slopes without any."""
    largest = curvature.where(curvature.isfinite(), 0.0).amax(dim=1, keepdim=True)
    return curvature.where(curvature > 0, largest.where(largest > 0, 1.0))


class OwnMetric:
    """Metric of each label's own Hessian."""

    curvature: Literal["mean", "diagonal"] | None = None

    def is_due(self, iteration: int) -> bool:
        """Whether to take the Hessian anew; between two of them curvature pairs keep up."""
        return iteration <= 4 or iteration % 2 == 0

    def precondition(self, objective: Objective, theta: Tensor, point: Evaluation) -> Preconditioner:
        """Return the preconditioner at a point; see `Metric.precondition`."""
        return CholeskyPreconditioner(objective.hessian(theta))


class CholeskyPreconditioner:
    """Inverse Hessian from the factor of each label's Hessian; see `Preconditioner`.

    Parameters
    ----------
    hessian : double Tensor of shape (n_labels, n_columns, n_columns)
        Positive semidefinite matrices. They are scaled to unit diagonal, and shifted where the arithmetic needs it.
    """

    couples = True

    def __init__(self, hessian: Tensor) -> None:
        if not hessian.isfinite().all():
            raise FloatingPointError("the second derivatives are not finite: scale the features of X")
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        diagonal.copy_(_without_flat(diagonal))
        self.scale = diagonal.rsqrt()
        hessian = hessian * self.scale[:, :, None] * self.scale[:, None, :]
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
