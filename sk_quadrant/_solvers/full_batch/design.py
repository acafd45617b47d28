r"""The design matrix X of shape (n_rows, n_features) as the products that a full-batch solver needs.

Scores are ``X W'``, gradients ``G' X`` with G the derivatives with respect to the scores, diagonals of Hessians
``H' X**2``. A design knows neither labels nor centring (see `Space`): scores and gradients of centred features follow
from those of raw ones, so that sparse rows stay sparse.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_quadrant._arrays import row_blocks
from sk_quadrant._solvers.full_batch.compressed import Compressed
from sk_quadrant._solvers.tensors import as_tensor
from sk_quadrant._solvers.threads import divide

if TYPE_CHECKING:
    from typing_extensions import Self

WORTH_TRIANGLE = 128  # columns from which products of one triangle, in four blocks, are faster than of both
BLOCK_ELEMENTS = 2**18  # of a block of rows: 1 MiB in single precision, which stays in cache


class WeightedRows:
    """The part that dense and sparse designs share.

    Parameters
    ----------
    shape : tuple of int
        Numbers of rows and features.
    row_weight : Tensor of shape (n_rows,) or None
    fit_intercept : bool
        Whether sums have a last column, for a feature that is 1 in all rows.
    dtype : torch.dtype
    device : torch.device

    Attributes
    ----------
    dense : bool
        Whether rows are dense.
    n_values : int
        Number of values that a product goes through.
    weights : Tensor of shape (n_rows,)
        Row weights, also where all are 1.
    """

    dense: ClassVar[bool]

    def __init__(
        self,
        shape: tuple[int, int],
        row_weight: Tensor | None,
        *,
        fit_intercept: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.n_rows, self.n_features = shape
        self.n_values = shape[0] * shape[1]
        self.fit_intercept, self.dtype, self.device = fit_intercept, dtype, device
        self.row_weight = row_weight
        self.weights = torch.ones(self.n_rows, dtype=dtype, device=device) if row_weight is None else row_weight

    @property
    def total_weight(self) -> float:
        """Sum of the row weights."""
        return float(self.weights.sum(dtype=torch.float64))

    def to(self, dtype: torch.dtype) -> Self:
        """Return the same rows in another precision, single for a CPU only."""
        other = copy(self)
        other.dtype = dtype
        other.row_weight = None if self.row_weight is None else self.row_weight.to(dtype)
        other.weights = self.weights.to(dtype)
        return other


class DenseDesign(WeightedRows):
    """Design held as a tensor of shape (n_rows, n_features)."""

    dense = True

    def __init__(self, X: Tensor, row_weight: Tensor | None, *, fit_intercept: bool) -> None:
        super().__init__(X.shape, row_weight, fit_intercept=fit_intercept, dtype=X.dtype, device=X.device)  # type: ignore[arg-type]
        self.X = X

    def blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield blocks of rows whose scores for this number of labels fit in the cache."""
        size = self._rows_per_block(n_labels)
        for start in range(0, max(1, self.n_rows), size):  # without rows one empty block, so that sums are zeros
            yield slice(start, min(start + size, self.n_rows))

    def parts(self, n_labels: int) -> list[Sequence[slice]]:
        """Return the blocks in groups that may be processed in parallel, each with separate sums."""
        work = 2 * self.n_values * n_labels if self.device.type == "cpu" else 0
        return divide(list(self.blocks(n_labels)), work)

    def _rows_per_block(self, n_labels: int) -> int:
        """Return the rows of a block, as many as stay in cache: threads wait for each other between operations."""
        return max(64, min(4 * BLOCK_ELEMENTS // self.n_features, 2 * BLOCK_ELEMENTS // n_labels))

    def raw_scores(self, coef: Tensor, rows: slice) -> Tensor:
        """Return ``coef @ X[rows].T``, shape (n_labels, n_block_rows)."""
        return coef @ self.X[rows].T

    def feature_sums(self, n_labels: int, *, powers: tuple[int, ...] = (1,)) -> DenseFeatureSums:
        """Return an accumulator of ``factor @ [X, 1] ** power``, with the column of ones if there is an intercept."""
        return DenseFeatureSums(self, n_labels, powers)

    def backward(self, factor: Tensor, *, power: int = 1) -> Tensor:
        """Return ``factor @ [X, 1] ** power``, given a factor of shape (n_labels, n_rows); see `feature_sums`."""
        accumulator = self.feature_sums(len(factor), powers=(power,))
        for rows in self.blocks(len(factor)):
            accumulator.add(rows, factor[:, rows])
        return accumulator.totals()[0]

    def add_outer_products(
        self, total: Tensor, rows: slice, factor: Tensor, mean: Tensor | None, varies: Tensor
    ) -> None:
        """Add the outer products of centred rows times a factor, their upper triangles, to (n_labels, p, p).

        Parameters
        ----------
        total : double Tensor of shape (n_labels, n_columns, n_columns)
        rows : slice
            Block of rows; with an intercept each has a last column of 1.
        factor : Tensor of shape (n_labels, n_block_rows)
        mean : Tensor of shape (n_features,) or None
        varies : Tensor of shape (n_columns,)
            1, or 0 for a column that is left out.
        """
        columns = self.X[rows] if mean is None else self.X[rows] - mean
        if self.fit_intercept:
            columns = torch.cat([columns, columns.new_ones(len(columns), 1)], dim=1)
        columns = columns * varies
        for labels in row_blocks(len(total), max(1, BLOCK_ELEMENTS // (1 + columns.numel()))):
            # sum_i h_i z_i z_i' with z = (x - m, 1)
            weighed = columns * factor[labels, :, None]
            for some in triangle_blocks(len(varies)):
                total[labels, some, some.start :] += weighed[:, :, some].mT @ columns[:, some.start :]

    def to(self, dtype: torch.dtype) -> Self:
        """Return the same rows in single precision, converted when they are used."""
        other = super().to(dtype)
        other.X = SingleRows(self.X)  # type: ignore[assignment]
        return other

    def inner_products(self, mean: Tensor | None) -> Tensor:
        """Return the inner products of the centred rows in double precision, shape (n_rows, n_rows)."""
        products = torch.zeros(self.n_rows, self.n_rows, dtype=torch.float64, device=self.device)
        size = max(1, BLOCK_ELEMENTS // self.n_rows)
        for start in range(0, self.n_features, size):
            columns = slice(start, start + size)
            block = self.X[:, columns].double()
            if mean is not None:
                block = block - mean[columns].double()
            products += block @ block.T
        return products

    def square_sums(self, mean: Tensor | None) -> Tensor:
        """Return the weighted sums of the squared features, (n_features,), centred by the mean."""
        if mean is None:
            return self.backward(self.weights[None], power=2)[0, : self.n_features]
        total = torch.zeros_like(mean)
        for rows in self.blocks(1):
            total += self.weights[rows] @ (self.X[rows] - mean).square_()
        return total

    def coupling_sums(self, mean: Tensor | None, step: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return sums over every step-th row, weighted and centred: outer products, squares, fourth powers, weights.

        The first in double precision, (n_features, n_features), the last a number, the others of shape (n_features,).
        """
        gram = torch.zeros(self.n_features, self.n_features, dtype=torch.float64, device=self.device)
        seconds, fourths = torch.zeros(2, self.n_features, dtype=self.dtype, device=self.device)
        X, weights = self.X[::step], self.weights[::step]
        for rows in row_blocks(len(X), self._rows_per_block(self.n_features)):
            centred, weight = X[rows] - (0 if mean is None else mean), weights[rows]
            heavy = centred if self.row_weight is None else centred * weight[:, None]
            for columns in triangle_blocks(self.n_features):
                gram[columns, columns.start :] += heavy[:, columns].T @ centred[:, columns.start :]
            squares = centred.square_()
            seconds += weight @ squares
            fourths += weight @ squares.square_()
        return mirrored(gram), seconds, fourths, weights.sum(dtype=torch.float64)


def triangle_blocks(size: int) -> Iterator[slice]:
    """Yield blocks of rows; those of a square matrix from their own column on contain its upper triangle."""
    yield from row_blocks(size, size if size < WORTH_TRIANGLE else -(-size // 4))


def mirrored(matrices: Tensor) -> Tensor:
    """Return symmetric matrices, given their upper triangles up to blocks, in place."""
    if matrices.shape[-1] >= WORTH_TRIANGLE:
        # blocks on the diagonal hold entries below it, too
        matrices.triu_().add_(matrices.triu(1).mT)
    return matrices


class SingleRows:
    """Rows in single precision, converted when they are used; the last block is cached for a second product."""

    def __init__(self, X: Tensor) -> None:
        self._X, self._last = X, threading.local()

    def __getitem__(self, rows: slice) -> Tensor:
        if rows != getattr(self._last, "rows", None):
            self._last.rows, self._last.block = rows, self._X[rows].float()
        block: Tensor = self._last.block
        return block


class DenseFeatureSums:
    """Sums that are updated block by block, while the block is in cache; see `DenseDesign.feature_sums`."""

    def __init__(self, design: DenseDesign, n_labels: int, powers: tuple[int, ...]) -> None:
        self.design = design
        shape = n_labels, design.n_features + design.fit_intercept
        self.sums = {power: torch.zeros(shape, dtype=design.dtype, device=design.device) for power in powers}

    def add(self, rows: slice, factor: Tensor) -> None:
        """Add a block of rows with its factor of shape (n_labels, n_block_rows)."""
        d, block = self.design.n_features, self.design.X[rows]
        for power, total in self.sums.items():
            total[:, :d].addmm_(factor, block if power == 1 else block**power)
            if self.design.fit_intercept:
                total[:, -1] += factor.sum(dim=1)

    def totals(self) -> list[Tensor]:
        """Return the sums over all rows, (n_labels, n_columns), one for each power of the features."""
        return list(self.sums.values())


class SparseDesign(WeightedRows):
    """Design held as compressed rows and columns, multiplied without a dense copy; see `DenseDesign`."""

    dense = False

    def __init__(
        self, X: Any, row_weight: Tensor | None, *, fit_intercept: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(X.shape, row_weight, fit_intercept=fit_intercept, dtype=dtype, device=device)
        columns = X.T.tocsr()
        if not columns.has_canonical_format:  # duplicates are summed before they are squared
            columns.sum_duplicates()
            X = columns.T
        self._by_row = Compressed(X.tocsr(), dtype, device)
        self._by_column = Compressed(self._with_ones(columns), dtype, device)
        self.n_values = len(self._by_row.indices)

    def blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield blocks of rows; see `DenseDesign.blocks`."""
        size = BLOCK_ELEMENTS >> (n_labels - 1).bit_length()  # few sizes: products cache a tensor for each block
        yield from row_blocks(self.n_rows, max(256, size))

    def raw_scores(self, coef: Tensor, rows: slice) -> Tensor:
        """Return scores; see `DenseDesign.raw_scores`."""
        return self._by_row.times(coef.T, rows=rows).T

    def parts(self, n_labels: int) -> list[list[slice]]:
        """Return the blocks as one group; labels are divided among threads."""
        return [list(self.blocks(n_labels))]

    def feature_sums(self, n_labels: int, *, powers: tuple[int, ...] = (1,)) -> SparseFeatureSums:
        """Return an accumulator; see `DenseDesign.feature_sums`."""
        return SparseFeatureSums(self, n_labels, powers)

    def backward(self, factor: Tensor, *, power: int = 1) -> Tensor:
        """Return sums over all rows, without a copy of a factor in the memory order of scores."""
        return self._by_column.times(factor.T, power=power).T

    def square_sums(self, mean: Tensor | None) -> Tensor:
        """Return sums of squares, not centred; see `DenseDesign.square_sums`."""
        return self.backward(self.weights[None], power=2)[0, : self.n_features]

    def coupling_sums(self, mean: Tensor | None, step: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return sums over the centred rows, fourth powers as infinite; see `DenseDesign.coupling_sums`."""
        X = self._by_row.to_scipy()[::step]
        weights = self.weights[::step].double().cpu().numpy()
        gram = torch.as_tensor((X.T @ sparse.diags_array(weights) @ X).toarray(), device=self.device)
        if mean is not None:
            mean, firsts = mean.double(), torch.as_tensor(X.T @ weights, device=self.device)
            # sum v (x - m)(x - m)' = sum v x x' - m f' - (f - V m) m' with f = sum v x and V = sum v
            gram -= torch.outer(mean, firsts) + torch.outer(firsts - weights.sum() * mean, mean)
        seconds = gram.diagonal()
        fourths = torch.full_like(seconds, math.inf)  # many zeros make a heavy tail
        return gram, seconds, fourths, torch.tensor(weights.sum(), device=self.device)

    def to(self, dtype: torch.dtype) -> Self:
        """Return the same rows in another precision."""
        other = super().to(dtype)
        other._by_row, other._by_column = self._by_row.to(dtype), self._by_column.to(dtype)
        return other

    def _with_ones(self, columns: Any) -> Any:
        """Return the transposed features, with a row of ones if there is an intercept."""
        if not self.fit_intercept:
            return columns
        n = columns.shape[1]
        # one product then gives the derivatives of weights and intercepts
        parts = np.ones(n, dtype=columns.dtype), np.arange(n, dtype=columns.indices.dtype), np.array([0, n])
        return sparse.vstack([columns, sparse.csr_array(parts, shape=(1, n))], format="csr")

    def inner_products(self, mean: Tensor | None) -> Tensor:
        """Return inner products; see `DenseDesign.inner_products`."""
        X = self._by_row.to_scipy()
        products = torch.as_tensor((X @ X.T).toarray(), device=self.device)
        if mean is not None:
            mean = mean.double()
            along = torch.as_tensor(X @ mean.cpu().numpy(), device=self.device)
            # (x - m)'(z - m) = x'z + m'm - x'm - z'm
            products += mean.square().sum() - along - along[:, None]
        return products


class SparseFeatureSums:
    """Sums computed once the factors of all rows are known, as columns are compressed; see `DenseFeatureSums`."""

    def __init__(self, design: SparseDesign, n_labels: int, powers: tuple[int, ...]) -> None:
        self.design, self.powers = design, powers
        self.factors = torch.empty(design.n_rows, n_labels, dtype=design.dtype, device=design.device)

    def add(self, rows: slice, factor: Tensor) -> None:
        """Keep a block of rows; see `DenseFeatureSums.add`."""
        self.factors[rows] = factor.T

    def totals(self) -> list[Tensor]:
        """Return the sums; see `DenseFeatureSums.totals`."""
        return [self.design.backward(self.factors.T, power=power) for power in self.powers]


Design: TypeAlias = DenseDesign | SparseDesign


def design_of(
    X: Any, row_weight: Tensor | None, *, fit_intercept: bool, dtype: torch.dtype, device: torch.device
) -> Design:
    """Return the design of an array or SciPy sparse matrix."""
    if sparse.issparse(X):
        return SparseDesign(X, row_weight, fit_intercept=fit_intercept, dtype=dtype, device=device)
    return DenseDesign(as_tensor(X, dtype=dtype, device=device), row_weight, fit_intercept=fit_intercept)
