r"""Newton steps for the method of multipliers, where the inner products of the rows fit in memory.

The function that `multipliers` minimises in an outer iteration is piecewise quadratic in each margin. With the gradient
:math:`X_c^\top b` and its scores :math:`z = K b`, :math:`K = X_c X_c^\top`, and the second derivatives D of the
losses, which are positive only for the rows between the bounds of their dual variables, a Newton step has the
coefficients :math:`\beta` and the intercept a with

.. math:: \beta + D (K \beta + a 1) = -b, \qquad 1^\top D (K \beta + a 1) = -1^\top r.

With :math:`S = D^{1/2}` and :math:`\beta = -b - S u` this is a system in these rows only,

.. math:: (I + S K S)\, u = S (a 1 - z), \qquad 1^\top S u = -1^\top r,

a few percent of all rows. So the proximal term can be weak, and few outer iterations are needed [1]_.

References
----------
.. [1] X. Li, D. Sun, K.-C. Toh, "A highly efficient semismooth Newton augmented Lagrangian method for solving Lasso
   problems", SIAM Journal on Optimization 28, 2018. :doi:`10.1137/16M1097572`
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.multipliers import MultiplierMinimizer
from sk_quadrant._solvers.full_batch.row_span import Gradient, inner
from sk_quadrant._solvers.tensors import take_labels

ELEMENTS = 2**22  # in systems solved at the same time: 32 MiB
LEAST_CURVATURE = 1e-4  # of an intercept, relative to a typical one: there may be no row between the bounds


class SemismoothMinimizer(MultiplierMinimizer):
    """The method of multipliers with Newton steps, which need `RowSpan.kernel`; see `MultiplierMinimizer`."""

    largest, growth = 1000.0, 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most = 1  # a gradient
        self._forget()

    def _direction(self) -> Tensor:
        """Compute the Newton step, and return its coefficient, 1."""
        curvature = self.objective.curvature(self.point.scores)
        size = max(1, ELEMENTS // int((curvature > 0).sum(dim=1).max().clamp(min=1)) ** 2)
        steps = [self._newton_step(curvature, labels) for labels in torch.split(torch.arange(len(self.labels)), size)]
        b, intercept = (torch.cat(parts) for parts in zip(*steps, strict=True))
        scaled = intercept / self.kappa.clamp(min=torch.finfo(torch.float64).tiny)
        self.move = Gradient(b, b @ self.span.kernel, scaled)
        return torch.ones(len(b), 1, dtype=torch.float64)

    def _newton_step(self, curvature: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the Newton step of some labels: coefficients of rows, and intercepts."""
        gradient, curvature = self.gradients[-1].take(labels), take_labels(curvature, labels)
        count = max(1, int((curvature > 0).sum(dim=1).max()))
        between, rows = curvature.topk(count, dim=1)
        root = between.sqrt()
        system = self.span.kernel[rows[:, :, None], rows[:, None, :]] * root[:, :, None] * root[:, None, :]
        system.diagonal(dim1=1, dim2=2).add_(1.0)
        right = torch.stack([root, root * gradient.scores.gather(1, rows)], dim=2)
        factor, failed = torch.linalg.cholesky_ex(system)
        factor.masked_fill_(failed[:, None, None] > 0, torch.nan)
        along, down = torch.cholesky_solve(right, factor).unbind(dim=2)
        kappa = self.kappa[labels]
        least = LEAST_CURVATURE / kappa.square().clamp(min=torch.finfo(torch.float64).tiny)
        residual = self.point.residuals[labels].sum(dim=1)
        intercept = (inner(root, down) - residual) / (inner(root, along) + least)
        intercept = intercept.where(kappa > 0, 0.0)
        u = along * intercept.to(along.dtype)[:, None] - down
        return (-gradient.rows).scatter_add(1, rows, -root * u), intercept

    def _along(self, coefficients: Tensor) -> Tensor:
        """Return the slope of each label along the step."""
        gradient = self.gradients[-1]
        return inner(gradient.rows, self.move.scores) + gradient.intercept * self.move.intercept

    def _move(self, coefficients: Tensor) -> Gradient:
        """Return the step."""
        return self.move

    def _compact(self, coefficients: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        self.move = self.move.take((~self.done).nonzero()[:, 0])
        return super()._compact(coefficients, slope)
