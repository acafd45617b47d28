"""Scores of sparse rows: products with the weights of a linear model, which are never copied as a whole.

SciPy multiplies sparse rows by an array one row of the array at a time, and copies an array in any other memory order.
So weights of shape (n_labels, n_features) are used as they are if they are held feature by feature, as those of a fit
on sparse rows; others are brought into this order a few labels at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sk_quadrant._arrays import row_blocks

TILE_ELEMENTS = 2**20  # weights whose memory order is changed at a time
NARROWEST = 16  # labels of a tile at least, so that its rows fill whole cache lines
USES = 8  # average number of products with a weight that pay for changing its memory order
FEW_ROWS = 512  # up to this number of rows, products with sparse weights take less time than transposing them


class SparseScores:
    """Products of sparse rows with the transposed weights, block by block of rows.

    Parameters
    ----------
    X : sparse CSR matrix of shape (n_rows, n_features)
    coef : {ndarray, sparse matrix} of shape (n_labels, n_features)

    Attributes
    ----------
    fewest_rows : int
        Rows of a block below which changes of memory order would take longer than products.
    """

    def __init__(self, X: Any, coef: Any) -> None:
        self.dtype = np.result_type(X.dtype, coef.dtype)
        self.coef, self.by_feature, self.fewest_rows = coef, None, 1
        if sparse.issparse(coef):
            if X.shape[0] > FEW_ROWS:
                self.by_feature = coef.T.tocsr().astype(self.dtype, copy=False)
            self.fewest_rows = FEW_ROWS
        elif coef.dtype == self.dtype and coef.T.flags.c_contiguous:
            self.by_feature = coef.T
        else:
            self.fewest_rows = min(X.shape[1], 1 + USES * X.shape[1] * X.shape[0] // max(1, X.nnz))

    def of(self, rows: Any) -> NDArray[Any]:
        """Return ``rows @ coef.T``, shape (n_block_rows, n_labels)."""
        rows = rows.astype(self.dtype, copy=False)
        if self.by_feature is not None:
            return dense_product(rows, self.by_feature)
        if sparse.issparse(self.coef):
            return np.ascontiguousarray(dense_product(self.coef.astype(self.dtype, copy=False), rows.T.tocsr()).T)
        return self._in_tiles(rows)

    def _in_tiles(self, rows: Any) -> NDArray[Any]:
        features: Any = slice(None)
        if rows.nnz * USES < rows.shape[1]:  # most features do not occur
            features, positions = np.unique(rows.indices, return_inverse=True)
            rows = sparse.csr_array((rows.data, positions, rows.indptr), shape=(rows.shape[0], len(features)))
        scores = np.empty((rows.shape[0], self.coef.shape[0]), self.dtype)
        width = max(NARROWEST, TILE_ELEMENTS // max(1, rows.shape[1]))
        for labels in row_blocks(self.coef.shape[0], width):
            scores[:, labels] = rows @ np.ascontiguousarray(self.coef[labels, features].T, self.dtype)
        return scores


def dense_product(a: Any, b: Any) -> NDArray[Any]:
    """Return the product of a CSR matrix with another one, or with an array, of the same dtype, as an array."""
    if sparse.issparse(b):
        try:
            from sklearn.utils.sparsefuncs import sparse_matmul_to_dense  # three times as fast; since scikit-learn 1.7
        except ImportError:
            return np.asarray((a @ b).toarray())
        return np.asarray(sparse_matmul_to_dense(a, b))
    product: NDArray[Any] = a @ b
    return product
