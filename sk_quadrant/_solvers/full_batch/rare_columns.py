r"""Fewer columns of sparse features, exactly: those that never occur, and those that occur in one row only.

Text has many columns that occur in one row. Row i sees its own ones, with values u, through :math:`u^\top w` alone, and
the penalised optimum has :math:`w = \omega\, u / \lVert u \rVert`: a part of w that is orthogonal to u changes no score
and costs penalty. So one column with the value :math:`\lVert u \rVert` takes their place. It is a rotation, under which
scores and penalty stay the same. A column without an entry has the weight 0.
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

WORTH = 0.9  # share of columns left, above which another copy of the features does not pay


@dataclass(frozen=True)
class RareColumns:
    """What was done to the columns of features.

    Attributes
    ----------
    X : sparse CSR array of shape (n_rows, n_kept + n_joined)
        Features with the columns that occur in several rows, then those that stand for the rare columns of a row.
    n_features : int
        Number of original columns.
    kept : int ndarray of shape (n_kept,)
        Original columns that occur in several rows.
    rare : int ndarray of shape (n_rare,)
        Original columns that occur in one row.
    place : int ndarray of shape (n_rare,)
        The column of `X` that each of them is part of.
    share : ndarray of shape (n_rare,)
        u / ||u||.
    """

    X: Any
    n_features: int
    kept: NDArray[np.intp]
    rare: NDArray[np.intp]
    place: NDArray[np.intp]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, X: Any) -> RareColumns | None:
        """Return fewer columns for features, None if they are dense or it does not pay."""
        if not sparse.issparse(X):
            return None
        counts = np.bincount(X.indices, minlength=X.shape[1])
        kept = np.flatnonzero(counts > 1)
        alone = counts[X.indices] == 1
        values = np.where(alone, X.data, 0).astype(np.float64)
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[alone]
        norms = np.sqrt(np.bincount(rows, weights=values[alone] ** 2, minlength=X.shape[0]))
        with_rare = np.unique(rows)
        n_columns = len(kept) + len(with_rare)
        if n_columns > WORTH * X.shape[1] or not np.isfinite(norms).all():
            return None
        of_row = np.zeros(X.shape[0], dtype=np.intp)
        of_row[with_rare] = len(kept) + np.arange(len(with_rare))
        column = np.zeros(X.shape[1], dtype=X.indices.dtype)
        column[kept] = np.arange(len(kept))
        common = sparse.csr_array(
            (X.data[~alone], column[X.indices[~alone]], _pointers(X, ~alone)), shape=(X.shape[0], len(kept))
        )
        joined = sparse.csr_array(
            (norms[with_rare].astype(X.dtype), (with_rare, np.arange(len(with_rare)))),
            shape=(X.shape[0], len(with_rare)),
        )  # fmt: skip
        share = np.divide(values[alone], norms[rows], out=np.zeros(len(rows)), where=norms[rows] > 0)
        columns = sparse.hstack([common, joined], format="csr")
        return cls(columns, X.shape[1], kept, X.indices[alone].astype(np.intp), of_row[rows], share)

    def restore(self, coef: Tensor) -> Tensor:
        """Return the weights of the original columns, (n_labels, n_features), given those of the fewer ones."""
        by_column = coef.T.contiguous()
        full = by_column.new_zeros(self.n_features, len(coef))
        full[self.kept] = by_column[: len(self.kept)]
        full[self.rare] = by_column[self.place] * as_tensor(self.share, by_column.dtype, by_column.device)[:, None]
        return full.T

    def reduce(self, coef: Tensor) -> Tensor:
        """Return the weights of the fewer columns whose scores are those of the original ones: the inverse."""
        reduced = coef.new_zeros(self.X.shape[1], len(coef))
        by_column = coef.T
        reduced[: len(self.kept)] = by_column[self.kept]
        share = as_tensor(self.share, coef.dtype, coef.device)[:, None]
        reduced.index_add_(0, torch.from_numpy(self.place).to(coef.device), by_column[self.rare] * share)
        return reduced.T


def _pointers(X: Any, chosen: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the row pointers of some of the entries."""
    return np.concatenate([[0], np.cumsum(chosen)])[X.indptr].astype(X.indptr.dtype)
