"""The design matrix as the products a solver needs: dense, sparse, or in the span of few rows.

Parameters of the model are held as theta of shape (n_labels, n_columns): the weights of the features and, last, the
intercept if there is one. With an intercept the features count as centred by their mean, without being copied: theta's
intercept is the score of the mean row, which decouples it from the weights. `publish` undoes this.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import copy
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_quadrant._full_batch.compressed import Compressed
from sk_quadrant._inputs.data import as_tensor

BLOCK_ELEMENTS = 2**18  # scores of a block of rows: 1 MiB in single precision, which stays in cache


class Columns:
    """The features as the parameters of a model see them: all about a design that does not take its rows.

    Parameters
    ----------
    n_features : int
    fit_intercept : bool
    dtype : torch.dtype
    device : torch.device

    Attributes
    ----------
    n_columns : int
        Parameters of a label.
    n_rows : int
    n_values : int
        Number of values that a product goes through.
    total_weight : float
        Sum of the row weights.
    mean : Tensor of shape (n_features,) or None
        What the features are centred by, None if by nothing.
    variance : Tensor of shape (n_features,)
        Mean square of the centred features, 0 where it is only rounding.
    feature_major : bool
        Memory order of theta that makes the products fast.
    dense : bool
        Whether rows are dense, so that they can be centred as they are.
    """

    feature_major: bool
    dense: bool
    n_rows: int
    n_values: int
    total_weight: float
    variance: Tensor

    def __init__(self, n_features: int, *, fit_intercept: bool, dtype: torch.dtype, device: torch.device) -> None:
        self.n_features, self.n_columns = n_features, n_features + fit_intercept
        self.fit_intercept, self.dtype, self.device = fit_intercept, dtype, device
        self.mean: Tensor | None = None

    def coupling(self, step: int = 1) -> tuple[Tensor, float] | None:
        """Return the mean outer product of the centred rows in double precision, and the largest kurtosis.

        None where the features are uncorrelated. With a step of k they are those of every k-th row.
        """
        raise NotImplementedError

    def zeros(self, n_labels: int) -> Tensor:
        """Return theta of zeros in the memory order of the products."""
        if self.feature_major:
            return torch.zeros(self.n_columns, n_labels, dtype=self.dtype, device=self.device).T
        return torch.zeros(n_labels, self.n_columns, dtype=self.dtype, device=self.device)

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights, and the shift (n_labels,) that makes raw scores those of theta."""
        coef = theta[:, : self.n_features]
        if not self.fit_intercept:
            return coef, None
        return coef, theta[:, -1] if self.mean is None else theta[:, -1] - coef @ self.mean

    def centre(self, sums: Tensor) -> Tensor:
        """Turn sums over rows of raw features, from `backward`, into sums of centred ones, in place."""
        if self.mean is not None:
            sums[:, : self.n_features].addcmul_(sums[:, -1:], self.mean, value=-1)
        return sums

    def centred_squares(self, squares: Tensor, firsts: Tensor | None) -> Tensor:
        """Return sums of squares of centred features, from those of raw squares and raw features, in place."""
        if self.mean is None or firsts is None:
            return squares
        total, coef = squares[:, -1:], squares[:, : self.n_features]
        smallest = torch.finfo(coef.dtype).eps * coef
        coef += self.mean * (total * self.mean - 2 * firsts[:, : self.n_features])
        torch.maximum(coef, smallest, out=coef)
        return squares

    def publish(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return coef (n_labels, n_features) and intercept (n_labels,) for the features as they came."""
        return self.split(theta)

    def adopt(self, coef: Tensor, intercept: Tensor | None) -> Tensor:
        """Return theta of a published model."""
        theta = self.zeros(len(coef))
        theta[:, : self.n_features] = coef
        if self.fit_intercept and intercept is not None:
            theta[:, -1] = intercept if self.mean is None else intercept + coef @ self.mean
        return theta

    def set_variance(self, squares: Tensor) -> None:
        """Set the variance, given `Design.square_sums`."""
        if not squares.isfinite().all():
            raise FloatingPointError(f"squares of features are not finite in {self.dtype}: scale the features of X")
        variance = squares / self.total_weight
        if self.mean is None:
            noise = torch.zeros_like(variance)
        elif self.dense:
            noise = (10 * torch.finfo(self.dtype).eps * self.mean).square()
        else:
            noise = 100 * torch.finfo(self.dtype).eps * variance
            variance = variance - self.mean.square()
        self.variance = variance.where(variance > noise, 0.0)

    def mean_coupling(self, gram: Tensor, seconds: Tensor, fourths: Tensor, weight: Tensor) -> tuple[Tensor, float]:
        """Return what `coupling` does, given `Design.coupling_sums`."""
        kurtosis = (weight * fourths / seconds.square()).nan_to_num(0.0, posinf=math.inf)
        unseen = (seconds == 0) & (self.variance > 0)  # in every k-th row
        return gram / weight, float(kurtosis.masked_fill(unseen, math.inf).max())


class Gathering(Protocol):
    """Sums over rows of features times a factor that becomes known block by block."""

    def add(self, rows: slice, factor: Tensor) -> None:
        """Take a block of rows, given its factor of shape (n_labels, n_block_rows)."""
        ...

    def totals(self) -> list[Tensor]:
        """Return the sums over all rows, (n_labels, n_columns), one for each power of the features."""
        ...


class Design(Columns, ABC):
    """Weighted rows of features, seen through products; see `Columns` for what does not take the rows.

    Parameters
    ----------
    shape : tuple of int
        Numbers of rows and features.
    row_weight : Tensor of shape (n_rows,) or None
    fit_intercept : bool
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(
        self,
        shape: tuple[int, int],
        row_weight: Tensor | None,
        *,
        fit_intercept: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(shape[1], fit_intercept=fit_intercept, dtype=dtype, device=device)
        self.n_rows, self.n_values = shape[0], shape[0] * shape[1]
        self.row_weight = row_weight
        self.weights = torch.ones(self.n_rows, dtype=dtype, device=device) if row_weight is None else row_weight
        self.total_weight = float(self.weights.sum(dtype=torch.float64))

    @abstractmethod
    def row_blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield the blocks of rows whose scores for this number of labels are worked on together."""

    @abstractmethod
    def raw_scores(self, coef: Tensor, rows: slice) -> Tensor:
        """Return ``coef @ X[rows].T``, shape (n_labels, n_block_rows)."""

    @abstractmethod
    def gathering(self, n_labels: int, *, powers: tuple[int, ...] = (1,)) -> Gathering:
        """Return a gathering of the sums ``factor @ [X, 1] ** power``, with a column of ones if there is an intercept.

        Parameters
        ----------
        n_labels : int
        powers : tuple of int, default=(1,)
        """

    def backward(self, factor: Tensor, *, power: int = 1) -> Tensor:
        """Return ``factor @ [X, 1] ** power``, given a factor of shape (n_labels, n_rows); see `gathering`."""
        gathering = self.gathering(len(factor), powers=(power,))
        for rows in self.row_blocks(len(factor)):
            gathering.add(rows, factor[:, rows])
        (sums,) = gathering.totals()
        return sums

    @abstractmethod
    def inner_products(self) -> Tensor:
        """Return the inner products of the centred rows in double precision, shape (n_rows, n_rows)."""

    @abstractmethod
    def square_sums(self) -> Tensor:
        """Return the weighted sums of the squared features, (n_features,), of dense ones centred by the mean."""

    @abstractmethod
    def coupling_sums(self, step: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return sums over every step-th row, weighted and centred: outer products, squares, fourth powers, weights.

        The first in double precision, (n_features, n_features), the last a number, the others of shape (n_features,).
        """

    def coupling(self, step: int = 1) -> tuple[Tensor, float] | None:
        """Return mean outer product and largest kurtosis; see `Columns.coupling`."""
        return self.mean_coupling(*self.coupling_sums(step))

    def augmented(self, rows: slice) -> Tensor:
        """Return a block of centred rows, with a column of ones if there is an intercept, of a dense design."""
        raise NotImplementedError

    def power_sums(self, power: int) -> Tensor:
        """Return the weighted sums of the raw features to a power, shape (n_features,)."""
        return self.backward(self.weights[None], power=power)[0, : self.n_features]

    def in_single(self) -> Design | None:
        """Return the same rows in single precision, for a CPU.

        None for rows that are so, and where a feature that varies is out of the range of single precision, or seems
        constant there.
        """
        if self.dtype == torch.float32 or self.device.type != "cpu" or not self._varies_in_single():
            return None
        other = copy(self)
        other.dtype = torch.float32
        other.mean = None if self.mean is None else self.mean.float()
        other.row_weight = None if self.row_weight is None else self.row_weight.float()
        other.variance, other.weights = self.variance.float(), self.weights.float()
        other.convert()
        return other

    @abstractmethod
    def convert(self) -> None:
        """Take the features for single precision."""

    def _varies_in_single(self) -> bool:
        single = torch.finfo(torch.float32)
        second = self.variance if self.mean is None else self.variance + self.mean.square()
        varies = self.variance > 1e4 * single.eps * second
        in_range = (self.variance > 1e4 * single.tiny) & (self.n_rows * second < 1e-4 * single.max)
        return bool(((self.variance == 0) | (in_range & varies)).all())

    def with_moments(self, mean: Tensor | None, variance: Tensor | None) -> Design:
        """Return the same rows with mean and variance of the rows that they are a part of."""
        other = copy(self)
        other.mean = mean
        if variance is not None:
            other.variance = variance
        return other

    def with_own_moments(self) -> Design:
        """Return the same rows with their mean and variance."""
        other = self.with_moments(self.power_sums(1) / self.total_weight if self.fit_intercept else None, None)
        other.set_variance(other.square_sums())
        return other


class DenseDesign(Design):
    """Design held as a tensor of shape (n_rows, n_features); see `Design`."""

    feature_major = False
    dense = True

    def __init__(self, X: Tensor, row_weight: Tensor | None, *, fit_intercept: bool) -> None:
        super().__init__(X.shape, row_weight, fit_intercept=fit_intercept, dtype=X.dtype, device=X.device)  # type: ignore[arg-type]
        self.X = X

    def row_blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield blocks of rows; see `Design.row_blocks`."""
        size = self._rows_per_block(n_labels)
        for start in range(0, max(1, self.n_rows), size):  # no rows are a block, too, so that their sums are zeros
            yield slice(start, min(start + size, self.n_rows))

    def _rows_per_block(self, n_labels: int) -> int:
        return max(64, BLOCK_ELEMENTS // max(n_labels, self.n_features))

    def raw_scores(self, coef: Tensor, rows: slice) -> Tensor:
        """Return scores; see `Design.raw_scores`."""
        return coef @ self.X[rows].T

    def gathering(self, n_labels: int, *, powers: tuple[int, ...] = (1,)) -> Gathering:
        """Return a gathering; see `Design.gathering`."""
        return DenseGathering(self, n_labels, powers)

    def augmented(self, rows: slice) -> Tensor:
        """Return a block; see `Design.augmented`."""
        block = self.X[rows] if self.mean is None else self.X[rows] - self.mean
        return torch.cat([block, block.new_ones(len(block), 1)], dim=1) if self.fit_intercept else block

    def convert(self) -> None:
        """Convert rows when they are wanted; see `Design.convert`."""
        self.X = SingleRows(self.X)  # type: ignore[assignment]

    def inner_products(self) -> Tensor:
        """Return inner products; see `Design.inner_products`."""
        products = torch.zeros(self.n_rows, self.n_rows, dtype=torch.float64, device=self.device)
        size = max(1, BLOCK_ELEMENTS // self.n_rows)
        for start in range(0, self.n_features, size):
            columns = slice(start, start + size)
            block = self.X[:, columns].double()
            if self.mean is not None:
                block = block - self.mean[columns].double()
            products += block @ block.T
        return products

    def square_sums(self) -> Tensor:
        """Return sums of squares; see `Design.square_sums`."""
        if self.mean is None:
            return self.power_sums(2)
        total = torch.zeros_like(self.mean)
        for rows in self.row_blocks(1):
            total += self.weights[rows] @ (self.X[rows] - self.mean).square_()
        return total

    def coupling_sums(self, step: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return sums over the centred rows; see `Design.coupling_sums`."""
        gram = torch.zeros(self.n_features, self.n_features, dtype=torch.float64, device=self.device)
        seconds, fourths = torch.zeros(2, self.n_features, dtype=self.dtype, device=self.device)
        X, weights = self.X[::step], self.weights[::step]
        for rows in slices(len(X), self._rows_per_block(self.n_features)):
            centred, weight = X[rows] - (0 if self.mean is None else self.mean), weights[rows]
            gram += centred.T @ (centred * weight[:, None])
            squares = centred.square_()
            seconds += weight @ squares
            fourths += weight @ squares.square_()
        return gram, seconds, fourths, weights.sum(dtype=torch.float64)


class SingleRows:
    """Rows in single precision, converted when they are wanted; the last ones are kept for a second product."""

    def __init__(self, X: Tensor) -> None:
        self._X, self._rows, self._block = X, slice(0), X[:0].float()

    def __getitem__(self, rows: slice) -> Tensor:
        if rows != self._rows:
            self._rows, self._block = rows, self._X[rows].float()
        return self._block


class DenseGathering:
    """Sums that are added up block by block, while the block is in cache; see `Gathering`."""

    def __init__(self, design: DenseDesign, n_labels: int, powers: tuple[int, ...]) -> None:
        self.design = design
        self.sums = {power: design.zeros(n_labels) for power in powers}

    def add(self, rows: slice, factor: Tensor) -> None:
        """Add a block of rows; see `Gathering.add`."""
        d, block = self.design.n_features, self.design.X[rows]
        for power, total in self.sums.items():
            total[:, :d].addmm_(factor, block if power == 1 else block**power)
            if self.design.fit_intercept:
                total[:, -1] += factor.sum(dim=1)

    def totals(self) -> list[Tensor]:
        """Return the sums; see `Gathering.totals`."""
        return list(self.sums.values())


class SparseDesign(Design):
    """Design held as compressed rows and columns, multiplied without being densified; see `Design`."""

    feature_major = True
    dense = False

    def __init__(
        self, X: Any, row_weight: Tensor | None, *, fit_intercept: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(X.shape, row_weight, fit_intercept=fit_intercept, dtype=dtype, device=device)
        columns = X.T.tocsr()
        if not columns.has_canonical_format:  # squares of the parts of an entry are not that of their sum
            columns.sum_duplicates()
            X = columns.T
        self._by_row = Compressed(X.tocsr(), dtype, device)
        if fit_intercept:
            columns = sparse.vstack([columns, sparse.csr_array(np.ones((1, self.n_rows)))], format="csr")
        self._by_column = Compressed(columns, dtype, device)
        self.n_values = len(self._by_row.indices)

    def row_blocks(self, n_labels: int) -> Iterator[slice]:
        """Yield blocks of rows; see `Design.row_blocks`."""
        size = BLOCK_ELEMENTS >> (n_labels - 1).bit_length()  # few sizes: products keep a tensor of each block
        yield from slices(self.n_rows, max(256, size))

    def raw_scores(self, coef: Tensor, rows: slice) -> Tensor:
        """Return scores; see `Design.raw_scores`."""
        return self._by_row.times(coef.T, rows=rows).T

    def gathering(self, n_labels: int, *, powers: tuple[int, ...] = (1,)) -> Gathering:
        """Return a gathering; see `Design.gathering`."""
        return SparseGathering(self._by_column, self.n_rows, n_labels, powers)

    def square_sums(self) -> Tensor:
        """Return sums of squares, not centred; see `Design.square_sums`."""
        return self.power_sums(2)

    def coupling_sums(self, step: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return sums over the centred rows, fourth powers as infinite; see `Design.coupling_sums`."""
        X = self._to_scipy()[::step]
        weights = self.weights[::step].double().cpu().numpy()
        gram = torch.as_tensor((X.T @ sparse.diags_array(weights) @ X).toarray(), device=self.device)
        if self.mean is not None:
            mean, firsts = self.mean.double(), torch.as_tensor(X.T @ weights, device=self.device)
            gram -= torch.outer(mean, firsts) + torch.outer(firsts - weights.sum() * mean, mean)
        seconds = gram.diagonal()
        fourths = torch.full_like(seconds, math.inf)  # many zeros are a heavy tail
        return gram, seconds, fourths, torch.tensor(weights.sum(), device=self.device)

    def convert(self) -> None:
        """Take values in single precision; see `Design.convert`."""
        self._by_row, self._by_column = self._by_row.in_single(), self._by_column.in_single()

    def _to_scipy(self) -> Any:
        return sparse.csr_array(self._by_row.to_scipy(), shape=self._by_row.shape)

    def inner_products(self) -> Tensor:
        """Return inner products; see `Design.inner_products`."""
        X = self._to_scipy()
        products = torch.as_tensor((X @ X.T).toarray(), device=self.device)
        if self.mean is not None:
            mean = self.mean.double()
            along = torch.as_tensor(X @ mean.cpu().numpy(), device=self.device)
            products += mean.square().sum() - along - along[:, None]
        return products


class SparseGathering:
    """Factors that are kept until all rows are there: their columns are compressed for all rows; see `Gathering`."""

    def __init__(self, columns: Compressed, n_rows: int, n_labels: int, powers: tuple[int, ...]) -> None:
        self.columns, self.powers = columns, powers
        self.factors = columns.empty(n_rows, n_labels)

    def add(self, rows: slice, factor: Tensor) -> None:
        """Keep a block of rows; see `Gathering.add`."""
        self.factors[rows] = factor.T

    def totals(self) -> list[Tensor]:
        """Return the sums; see `Gathering.totals`."""
        return [self.columns.times(self.factors, power=power).T for power in self.powers]


class SpanDesign(DenseDesign):
    """Rows in coordinates of the space they span, for fewer rows than features; see `Design`.

    The weights that minimise a penalised loss are combinations of the centred rows (representer theorem [1]_), so
    nothing is lost; distances are kept, so the penalty is the same; and the features are few and uncorrelated.

    Parameters
    ----------
    coordinates : Tensor of shape (n_rows, rank)
    back : Tensor of shape (rank, n_rows)
        Combinations of the rows that are the unit vectors of the coordinates.
    source : Design
        The design whose rows these are.

    References
    ----------
    .. [1] B. Schölkopf, R. Herbrich, A. J. Smola, "A generalized representer theorem", COLT 2001.
       :doi:`10.1007/3-540-44581-1_27`
    """

    MAX_ROWS = 500  # an eigendecomposition takes 9 n^3 operations: with more rows it outweighs what it saves

    def __init__(self, coordinates: Tensor, back: Tensor, source: Design) -> None:
        super().__init__(coordinates, source.row_weight, fit_intercept=source.fit_intercept)
        self.back, self.source = back, source
        self.set_variance(self.square_sums())

    @classmethod
    def of(cls, source: Design) -> SpanDesign | None:
        """Return the span of a design in the principal axes of its weighted rows, None if that is not worth it.

        It is where the rows count, by their weights, for less than the features, so that the path of a solver is the
        same for a row of weight 2 and for two rows.
        """
        if source.total_weight >= source.n_features or source.n_rows > cls.MAX_ROWS:
            return None
        products, root = source.inner_products(), source.weights.double().sqrt()
        eigenvalues, vectors = torch.linalg.eigh(products * root * root[:, None])
        kept = eigenvalues > torch.finfo(torch.float64).eps * source.n_rows * eigenvalues.max()
        if not kept.any():
            return None
        back = (vectors[:, kept] / eigenvalues[kept].sqrt()).T * root
        return cls((products @ back.T).to(source.dtype), back.to(source.dtype), source)

    def coupling(self, step: int = 1) -> tuple[Tensor, float] | None:
        """Return None: principal axes are uncorrelated."""
        return None

    def publish(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return coef and intercept; see `Design.publish`."""
        combination = theta[:, : self.n_features] @ self.back
        lifted = self.source.centre(self.source.backward(combination))
        if self.fit_intercept:
            lifted[:, -1] = theta[:, -1]
        return self.source.publish(lifted)

    def adopt(self, coef: Tensor, intercept: Tensor | None) -> Tensor:
        """Return theta of the published model's part in the span; see `Design.adopt`."""
        theirs = self.source.adopt(coef, intercept)
        weights, shift = self.source.split(theirs)
        scores = self.source.raw_scores(weights, slice(0, self.n_rows))
        if shift is not None:
            scores = scores + (shift - theirs[:, -1])[:, None]
        return super().adopt(scores @ self.back.T, theirs[:, -1])


def slices(n_rows: int, size: int) -> Iterator[slice]:
    """Yield slices of a size that cover all rows, the last of which may be shorter."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def plain_design(
    X: Any, row_weight: Tensor | None, *, fit_intercept: bool, dtype: torch.dtype, device: torch.device
) -> Design:
    """Return the design of an array or SciPy sparse matrix as it is, without mean and variance."""
    if sparse.issparse(X):
        return SparseDesign(X, row_weight, fit_intercept=fit_intercept, dtype=dtype, device=device)
    return DenseDesign(as_tensor(X, dtype=dtype, device=device), row_weight, fit_intercept=fit_intercept)


def as_design(
    X: Any, row_weight: Tensor | None, *, fit_intercept: bool, dtype: torch.dtype, device: torch.device
) -> Design:
    """Return the design of an array or SciPy sparse matrix that is best to work with."""
    design = plain_design(X, row_weight, fit_intercept=fit_intercept, dtype=dtype, device=device).with_own_moments()
    if not design.variance.isfinite().all():
        raise FloatingPointError(f"The squares of the features are beyond {dtype}. Scale the features of X.")
    return SpanDesign.of(design) or design
