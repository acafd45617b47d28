"""The design matrix as the products a solver needs, dense or sparse, in blocks that stay in cache."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag

from sk_quadrant._data import as_tensor

BLOCK_ELEMENTS = 2**18  # scores of a block of rows: 1 MiB in single precision, which stays in cache


class Design(ABC):
    """Rows of features, seen through products with weights of shape (n_labels, n_features).

    Attributes
    ----------
    n_rows, n_features : int
    dtype : torch.dtype
    device : torch.device
    """

    n_rows: int
    n_features: int
    dtype: torch.dtype
    device: torch.device
    feature_major: bool  # memory order of weights that makes the products fast

    @abstractmethod
    def row_blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield the blocks of rows whose scores for this number of labels are worked on together."""

    @abstractmethod
    def scores(self, weight: Tensor, rows: slice) -> Tensor:
        """Return ``weight @ X[rows].T``, shape (n_labels, n_block_rows)."""

    @abstractmethod
    def accumulate(self, rows: slice, factor: Tensor, out: Tensor, *, power: int = 1) -> None:
        """Add ``factor @ X[rows] ** power`` to out; factor is (n_labels, n_block_rows)."""

    @abstractmethod
    def inner_products(self, mean: Tensor | None) -> Tensor:
        """Return the inner products of the rows, less their mean if given, in double precision."""

    def columns(self, rows: slice, mean: Tensor | None) -> Tensor | None:
        """Return a dense block of rows, less their mean and with a column of ones if given; None if sparse."""
        return None

    def coupling(self, row_weight: Tensor | None, mean: Tensor | None) -> tuple[Tensor, float] | None:
        """Return the mean outer product of the (centred) rows in double precision and the largest kurtosis.

        None where features are uncorrelated or too many or too sparse for it to be of use.
        """
        return None

    def lift(self, weights: Tensor) -> Tensor:
        """Return the weights of the features as they came, given those of this design."""
        return weights

    def project(self, weights: Tensor) -> Tensor:
        """Return the weights of this design, given those of the features as they came."""
        return weights

    def zeros(self, n_labels: int, n_columns: int) -> Tensor:
        """Return zeros of shape (n_labels, n_columns) in the memory order of the products."""
        if self.feature_major:
            return torch.zeros(n_columns, n_labels, dtype=self.dtype, device=self.device).T
        return torch.zeros(n_labels, n_columns, dtype=self.dtype, device=self.device)

    def moments(self, row_weight: Tensor | None, power: int) -> Tensor:
        """Return the weighted mean of the features to a power, shape (n_features,)."""
        total = self.zeros(1, self.n_features)
        weight = self.row_weight_or_ones(row_weight)
        for rows in self.row_blocks(1):
            self.accumulate(rows, weight[None, rows], total, power=power)
        return total[0] / weight.sum()

    def centred_moment(self, row_weight: Tensor | None, mean: Tensor) -> Tensor:
        """Return the weighted variance of the features, 0 where it is only rounding, shape (n_features,)."""
        moments = self.moments(row_weight, 2)
        variance = moments - mean.square()
        return variance.where(variance > 100 * torch.finfo(self.dtype).eps * moments, 0.0)

    def row_weight_or_ones(self, row_weight: Tensor | None) -> Tensor:
        """Return the weights of the rows, shape (n_rows,)."""
        if row_weight is None:
            return torch.ones(self.n_rows, dtype=self.dtype, device=self.device)
        return row_weight


class DenseDesign(Design):
    """Design matrix held as a tensor of shape (n_rows, n_features)."""

    feature_major = False

    def __init__(self, X: Tensor) -> None:
        self.X = X
        self.n_rows, self.n_features = X.shape
        self.dtype, self.device = X.dtype, X.device

    def row_blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield blocks of rows; see `Design.row_blocks`."""
        size = max(64, BLOCK_ELEMENTS // max(n_labels, self.n_features))
        for start in range(0, self.n_rows, size):
            yield slice(start, min(start + size, self.n_rows))

    def scores(self, weight: Tensor, rows: slice) -> Tensor:
        """Return scores; see `Design.scores`."""
        return weight @ self.X[rows].T

    def accumulate(self, rows: slice, factor: Tensor, out: Tensor, *, power: int = 1) -> None:
        """Add a product; see `Design.accumulate`."""
        block = self.X[rows]
        out.addmm_(factor, block if power == 1 else block**power)

    def columns(self, rows: slice, mean: Tensor | None) -> Tensor:
        """Return a block; see `Design.columns`."""
        if mean is None:
            return self.X[rows]
        return torch.cat([self.X[rows] - mean, self.X.new_ones(rows.stop - rows.start, 1)], dim=1)

    def inner_products(self, mean: Tensor | None) -> Tensor:
        """Return inner products; see `Design.inner_products`."""
        products = torch.zeros(self.n_rows, self.n_rows, dtype=torch.float64, device=self.device)
        size = max(1, BLOCK_ELEMENTS // self.n_rows)
        for start in range(0, self.n_features, size):
            columns = slice(start, start + size)
            block = self.X[:, columns].double()
            products += (centred := block if mean is None else block - mean[columns].double()) @ centred.T
        return products

    def centred_moment(self, row_weight: Tensor | None, mean: Tensor) -> Tensor:
        """Return the variance without the cancellation of E[x^2] - E[x]^2; see `Design.centred_moment`."""
        weight = self.row_weight_or_ones(row_weight)
        total = torch.zeros(self.n_features, dtype=self.dtype, device=self.device)
        for rows in self.row_blocks(1):
            total += weight[rows] @ (self.X[rows] - mean).square_()
        variance = total / weight.sum()
        return variance.where(variance > (10 * torch.finfo(self.dtype).eps * mean).square(), 0.0)

    def coupling(self, row_weight: Tensor | None, mean: Tensor | None) -> tuple[Tensor, float] | None:
        """Return mean outer product and largest kurtosis; see `Design.coupling`."""
        weight, centre = self.row_weight_or_ones(row_weight), 0 if mean is None else mean
        gram = torch.zeros(self.n_features, self.n_features, dtype=torch.float64, device=self.device)
        seconds, fourths = torch.zeros(2, self.n_features, dtype=self.dtype, device=self.device)
        for rows in self.row_blocks(self.n_features):
            centred = self.X[rows] - centre
            gram += centred.T @ (centred * weight[rows, None])
            squares = centred.square_()
            seconds += weight[rows] @ squares
            fourths += weight[rows] @ squares.square_()
        kurtosis = weight.sum() * fourths / seconds.square()
        return gram / weight.sum(dtype=torch.float64), float(kurtosis.nan_to_num(0.0).max())


class SparseDesign(Design):
    """Design matrix held as compressed rows and columns, multiplied without being densified."""

    feature_major = True

    def __init__(self, X: Any, *, dtype: torch.dtype, device: torch.device) -> None:
        self.n_rows, self.n_features = X.shape
        self.dtype, self.device = dtype, device
        self._by_row = _Compressed(X.tocsr(), dtype, device)
        self._by_column = _Compressed(X.T.tocsr(), dtype, device)

    def row_blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield all rows at once: a block of columns' rows would need an index of its own."""
        yield slice(0, self.n_rows)

    def scores(self, weight: Tensor, rows: slice) -> Tensor:
        """Return scores; see `Design.scores`."""
        return self._by_row.times(weight.T).T

    def accumulate(self, rows: slice, factor: Tensor, out: Tensor, *, power: int = 1) -> None:
        """Add a product; see `Design.accumulate`."""
        out += self._by_column.times(factor.T, power=power).T

    def inner_products(self, mean: Tensor | None) -> Tensor:
        """Return inner products; see `Design.inner_products`."""
        X = self._by_row.to_scipy()
        products = torch.as_tensor((X @ X.T).toarray(), device=self.device)
        if mean is not None:
            along = torch.as_tensor(X @ mean.double().cpu().numpy(), device=self.device)
            products += mean.double().square().sum() - along - along[:, None]
        return products


class _Compressed:
    """Compressed rows for products with dense matrices, by the kernel that is fastest for the precision.

    Measured with 64 columns on 2 cores: `embedding_bag` takes a quarter of the time of a sparse tensor's product in
    single precision on a CPU, and three times as long in double precision.
    """

    def __init__(self, X: Any, dtype: torch.dtype, device: torch.device) -> None:
        index = np.int32 if max(X.nnz, *X.shape) < 2**31 else np.int64
        self.shape = X.shape
        self.indices = as_tensor(X.indices.astype(index, copy=False), device=device)
        self.offsets = as_tensor(X.indptr.astype(index, copy=False), device=device)
        self.values = as_tensor(X.data, dtype=dtype, device=device)
        self._product = _bag_product if dtype == torch.float32 and device.type == "cpu" else _tensor_product

    def to_scipy(self) -> Any:
        parts = self.values.double(), self.indices, self.offsets
        return sparse.csr_array(tuple(part.cpu().numpy() for part in parts), shape=self.shape)

    def times(self, dense: Tensor, *, power: int = 1) -> Tensor:
        values = self.values if power == 1 else self.values**power
        return self._product(self, values, dense.contiguous())


def _bag_product(matrix: _Compressed, values: Tensor, dense: Tensor) -> Tensor:
    return embedding_bag(
        matrix.indices, dense, matrix.offsets, mode="sum", per_sample_weights=values, include_last_offset=True
    )


def _tensor_product(matrix: _Compressed, values: Tensor, dense: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        compressed = torch.sparse_csr_tensor(matrix.offsets, matrix.indices, values, size=matrix.shape)
    product: Tensor = compressed @ dense
    return product


class SpanDesign(DenseDesign):
    """Rows in coordinates of the space they span, for fewer rows than features.

    The weights that minimise a penalised loss are combinations of the (centred) rows (representer theorem [1]_), so
    nothing is lost; distances are kept, so the penalty is the same; and the features are few and uncorrelated.

    Parameters
    ----------
    coordinates : Tensor of shape (n_rows, rank)
    back : Tensor of shape (rank, n_rows)
        Combinations of the rows that are the unit vectors of the coordinates.
    source : Design
        The design whose rows these are.
    mean : Tensor of shape (n_features,) or None
        Mean that is taken off the rows.

    References
    ----------
    .. [1] B. Schölkopf, R. Herbrich, A. J. Smola, "A generalized representer theorem", COLT 2001.
       :doi:`10.1007/3-540-44581-1_27`
    """

    MAX_ROWS = 1500  # an eigendecomposition takes 9 n^3 operations

    def __init__(self, coordinates: Tensor, back: Tensor, source: Design, mean: Tensor | None) -> None:
        super().__init__(coordinates)
        self.back, self.source, self.mean = back, source, mean

    @classmethod
    def of(cls, source: Design, row_weight: Tensor | None, mean: Tensor | None) -> SpanDesign | None:
        """Return the span of a design in the principal axes of its weighted rows, None if that is not worth it.

        It is where the rows count, by their weights, for less than the features, so that the path of a solver is the
        same for a row of weight 2 and for two rows.
        """
        weight = source.row_weight_or_ones(row_weight).double()
        if float(weight.sum()) >= source.n_features or source.n_rows > cls.MAX_ROWS:
            return None
        products, root = source.inner_products(mean), weight.sqrt()
        eigenvalues, vectors = torch.linalg.eigh(products * root * root[:, None])
        kept = eigenvalues > torch.finfo(torch.float64).eps * source.n_rows * eigenvalues.max()
        if not kept.any():
            return None
        back = (vectors[:, kept] / eigenvalues[kept].sqrt()).T * root
        return cls((products @ back.T).to(source.dtype), back.to(source.dtype), source, mean)

    def coupling(self, row_weight: Tensor | None, mean: Tensor | None) -> tuple[Tensor, float] | None:
        """Return None: principal axes are uncorrelated."""
        return None

    def lift(self, weights: Tensor) -> Tensor:
        """Return the weights of the features, (n_labels, n_features), given those of the coordinates."""
        combination = weights @ self.back
        lifted = self.source.zeros(len(weights), self.source.n_features)
        self.source.accumulate(slice(0, self.n_rows), combination, lifted)
        if self.mean is not None:
            lifted -= combination.sum(dim=1, keepdim=True) * self.mean
        return lifted

    def project(self, weights: Tensor) -> Tensor:
        """Return the weights of the coordinates that are nearest to weights of the features."""
        scores = self.source.scores(weights, slice(0, self.n_rows))
        if self.mean is not None:
            scores = scores - (weights @ self.mean)[:, None]
        return scores @ self.back.T


def as_design(X: Any, *, dtype: torch.dtype, device: torch.device) -> Design:
    """Return the design of an array or SciPy sparse matrix."""
    if sparse.issparse(X):
        return SparseDesign(X, dtype=dtype, device=device)
    return DenseDesign(as_tensor(X, dtype=dtype, device=device))
