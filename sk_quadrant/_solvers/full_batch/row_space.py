r"""The space of the rows: fewer, uncorrelated features where there are fewer rows than features.

The weights that minimise a penalised loss are combinations of the centred rows [1]_, w = X' c. With the
eigendecomposition of the weighted inner products,

.. math:: D^{1/2} (X X^\top) D^{1/2} = V \Lambda V^\top,

the coordinates of the rows in their principal axes are Z = X X' D^(1/2) V Lambda^(-1/2): distances, and so the
penalty, stay the same, and the features are few and uncorrelated.

References
----------
.. [1] B. Schölkopf, R. Herbrich, A. J. Smola, "A generalized representer theorem", COLT 2001.
   :doi:`10.1007/3-540-44581-1_27`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sk_quadrant._solvers.full_batch.design import DenseDesign, Design
from sk_quadrant._solvers.full_batch.space import Space

MAX_ROWS = 500  # an eigendecomposition takes 9 n^3 operations: with more rows it outweighs what it saves


@dataclass
class RowSpace(Space):
    """Parameters as weights of the principal axes of the rows; see `Space`.

    Attributes
    ----------
    axes : Tensor of shape (rank, n_rows)
        Unit vectors of the axes, as combinations of the rows.
    design : Design
        The rows that span the space.
    features : Space
        The space of their features.
    """

    correlated = False
    axes: Tensor
    design: Design
    features: Space

    def publish(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return coef and intercept; see `Space.publish`."""
        # w = (X - 1 m')' A' omega, with omega the weights of the axes A
        combination = theta[:, : self.n_features] @ self.axes
        lifted = self.features.centre(self.design.backward(combination))
        if self.fit_intercept:
            lifted[:, -1] = theta[:, -1]
        return self.features.publish(lifted)

    def theta_of(self, coef: Tensor, intercept: Tensor | None) -> Tensor:
        """Return theta of the projection of coef to the space; see `Space.theta_of`."""
        theirs = self.features.theta_of(coef, intercept)
        weights, shift = self.features.split(theirs)
        # omega = A (X - 1 m') w
        scores = self.design.raw_scores(weights, slice(0, self.design.n_rows))
        if shift is not None:
            scores = scores + (shift - theirs[:, -1])[:, None]
        return super().theta_of(scores @ self.axes.T, theirs[:, -1])


def row_space(design: Design, features: Space) -> tuple[DenseDesign, RowSpace] | None:
    """Return the coordinates of the rows and their space, None if that is not worth it.

    It is used if there are fewer rows than features. A row of weight 2 counts twice, so that the iterates are the same
    as for a repeated row.
    """
    if features.n_counted >= features.n_features or design.n_rows > MAX_ROWS:
        return None
    products, root = design.inner_products(features.mean), design.weights.double().sqrt()
    # D^(1/2) X X' D^(1/2) = V Lambda V', here with centred rows X
    eigenvalues, vectors = torch.linalg.eigh(products * root * root[:, None])
    # the others are rounding: the tolerance is that of numpy.linalg.matrix_rank
    kept = eigenvalues > torch.finfo(torch.float64).eps * design.n_rows * eigenvalues.max()
    if not kept.any():
        return None
    # A = Lambda^(-1/2) V' D^(1/2): the rows of A X are orthonormal
    axes = (vectors[:, kept] / eigenvalues[kept].sqrt()).T * root
    coordinates = DenseDesign(
        (products @ axes.T).to(features.dtype), design.row_weight, fit_intercept=features.fit_intercept
    )
    changed: dict[str, Any] = {
        "n_features": coordinates.n_features,
        "dense": True,
        "n_rows": coordinates.n_rows,
        "n_values": coordinates.n_values,
        "mean": None,
        "variance": coordinates.square_sums(None) / features.total_weight,
    }
    space = RowSpace(**vars(features) | changed, axes=axes.to(features.dtype), design=design, features=features)
    return coordinates, space
