r"""Exact reduction of sparse columns that are empty or have an entry in one row only.

Text has many columns that occur in one row. Those of a row, with values u, change the scores through :math:`u^\top w`
only, and the penalised optimum has :math:`w = \omega\, u / \lVert u \rVert`: a part of w orthogonal to u changes no
score and costs penalty. So one column with the value :math:`\lVert u \rVert` replaces them. This is a rotation: it
keeps scores and penalty. An empty column has the weight 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sk_quadrant._solvers.tensors import as_tensor

WORTH = 0.9  # share of columns left above which a copy of the features does not pay


@dataclass(frozen=True)
class RareColumns:
    """Features with fewer columns, and the map from original columns to them.

    Attributes
    ----------
    X : sparse CSR array of shape (n_rows, n_kept + n_joined)
        Features with the columns that occur in several rows, then one for the rare columns of each row that has any.
    source : int ndarray of shape (n_features,)
        Column of `X` for each original column.
    factor : ndarray of shape (n_features,)
        Factor of its weight: 1 for a column that is kept, u / ||u|| for a rare one, 0 for an empty one.
    """

    X: Any
    source: NDArray[np.intp]
    factor: NDArray[np.float64]

    @classmethod
    def of(cls, X: Any) -> RareColumns | None:
        """Return the reduced features, None if X is dense or the reduction does not pay."""
        if not sparse.issparse(X):
            return None
        counts = np.bincount(X.indices, minlength=X.shape[1])
        alone = counts[X.indices] == 1
        rows, values = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[alone], X.data[alone].astype(np.float64)
        norms = np.sqrt(np.bincount(rows, weights=values**2, minlength=X.shape[0]))
        kept, joined = np.flatnonzero(counts > 1), np.unique(rows)
        if not 0 < len(kept) + len(joined) <= WORTH * X.shape[1] or not np.isfinite(norms).all():
            return None
        source, factor = np.zeros(X.shape[1], dtype=np.intp), np.zeros(X.shape[1])
        source[kept], factor[kept] = np.arange(len(kept)), 1.0
        rare = X.indices[alone]
        source[rare] = len(kept) + np.searchsorted(joined, rows)
        factor[rare] = np.divide(values, norms[rows], out=np.zeros(len(rows)), where=norms[rows] > 0)
        before = np.concatenate([[0], np.cumsum(~alone)])  # entries kept
        common = (X.data[~alone], source[X.indices[~alone]].astype(X.indices.dtype), before[X.indptr])
        parts = (
            sparse.csr_array(common, shape=(X.shape[0], len(kept))),
            sparse.csr_array(
                (norms[joined].astype(X.dtype), (joined, np.arange(len(joined)))), shape=(X.shape[0], len(joined))
            ),
        )
        return cls(sparse.hstack(parts, format="csr"), source, factor)

    def restore(self, coef: Tensor, into: Tensor, labels: Tensor) -> None:
        """Write the weights of the original columns to some rows of a matrix, given those of the reduced columns.

        Parameters
        ----------
        coef : Tensor of shape (n_labels, n_kept + n_joined)
        into : Tensor of shape (n_all_labels, n_features)
        labels : int Tensor of shape (n_labels,)
        """
        source, factor = as_tensor(self.source, device=into.device), as_tensor(self.factor, into.dtype, into.device)
        for label, weights in zip(labels.tolist(), coef.contiguous(), strict=True):
            torch.mul(weights[source], factor, out=into[label])

    def reduce(self, coef: Tensor) -> Tensor:
        """Return the weights of the reduced columns that give the same scores: the inverse of `restore`."""
        source, factor = as_tensor(self.source, device=coef.device), as_tensor(self.factor, coef.dtype, coef.device)
        return coef.new_zeros(len(coef), self.X.shape[1]).index_add_(1, source, coef * factor)
