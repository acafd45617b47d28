"""Products of a compressed sparse matrix with dense ones, by the kernel that is fastest for the precision."""

from __future__ import annotations

import math
import warnings
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag

from sk_quadrant._solvers.tensors import as_tensor
from sk_quadrant._solvers.threads import long_operation

NARROW = 16  # columns in one product with a sparse tensor: their cache lines stay in cache
LONGEST_PRODUCT = 2**27  # multiplications between checks for Ctrl-C: a tenth of a second


class Compressed:
    """Compressed sparse rows.

    With 64 columns on 2 cores of a CPU `embedding_bag` takes a quarter of the time of a sparse tensor's product in
    single precision, and three times as long in double precision.

    Parameters
    ----------
    X : sparse CSR matrix of shape (n_rows, n_columns)
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(self, X: Any, dtype: torch.dtype, device: torch.device) -> None:
        index = np.int32 if max(X.nnz, *X.shape) < 2**31 else np.int64
        self.shape = X.shape
        self.indices = as_tensor(X.indices.astype(index, copy=False), device=device)
        self.offsets = as_tensor(X.indptr.astype(index, copy=False), device=device)
        self.powers = {1: as_tensor(X.data, dtype=dtype, device=device)}
        self.tensors: dict[tuple[int, int, int], Tensor] = {}

    def to(self, dtype: torch.dtype) -> Compressed:
        """Return the matrix in another precision."""
        other = copy(self)
        other.powers = {1: self.powers[1].to(dtype)}
        other.tensors = {}
        return other

    def times(self, dense: Tensor, *, rows: slice = slice(None), power: int = 1) -> Tensor:
        """Return ``X[rows] ** power @ dense`` with the power taken value by value.

        Parameters
        ----------
        dense : Tensor of shape (n_columns, n)
        rows : slice, default=slice(None)
            Rows to take, without a step.
        power : int, default=1

        Returns
        -------
        Tensor of shape (n_block_rows, n)
        """
        dense = dense.contiguous()
        parts = self._parts(rows, dense.shape[1])
        with long_operation(len(self.indices) * dense.shape[1] // len(parts)):
            products = [self._times(dense, part, power) for part in parts]
        return products[0] if len(products) == 1 else torch.cat(products)

    def _times(self, dense: Tensor, rows: slice, power: int) -> Tensor:
        if dense.dtype != torch.float32 or dense.device.type != "cpu":
            return self._sparse_product(self._tensor(rows, power), dense)
        indices, offsets, values = self._part(rows, power)
        return embedding_bag(indices, dense, offsets, mode="sum", per_sample_weights=values, include_last_offset=True)

    @staticmethod
    def _sparse_product(X: Tensor, dense: Tensor) -> Tensor:
        if dense.device.type != "cpu":
            product: Tensor = X @ dense
            return product
        product = dense.new_zeros(X.shape[0], dense.shape[1])
        for into, columns in zip(torch.split(product, NARROW, 1), torch.split(dense, NARROW, 1), strict=True):
            torch.addmm(into, X, columns, beta=0, out=into)
        return product

    def _parts(self, rows: slice, n: int) -> list[slice]:
        """Return rows in parts that are small enough for Ctrl-C to take effect soon."""
        start, stop, _ = rows.indices(self.shape[0])
        if self.offsets.device.type != "cpu" or len(self.indices) * n <= LONGEST_PRODUCT:
            return [rows]
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        n_parts = 2 ** math.ceil(
            math.log2(max(1, (last - first) * n / LONGEST_PRODUCT))
        )  # few sizes, few cached tensors
        if n_parts == 1:
            return [rows]
        # parts with about the same number of stored values
        inner = torch.linspace(first, last, n_parts + 1, dtype=torch.float64)[1:-1].to(self.offsets.dtype)
        edges = [start, *torch.searchsorted(self.offsets, inner).clamp(start, stop).tolist(), stop]
        return [slice(*edge) for edge in pairwise(edges) if edge[0] < edge[1]]

    def _part(self, rows: slice, power: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return indices, offsets and values of some rows."""
        values = self._power(power)
        start, stop, _ = rows.indices(self.shape[0])
        if stop - start == self.shape[0]:
            return self.indices, self.offsets, values
        offsets = self.offsets[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return self.indices[first:last], offsets - first, values[first:last]

    def to_scipy(self) -> Any:
        """Return the matrix as a SciPy array in double precision."""
        parts = (self.powers[1].double().cpu().numpy(), self.indices.cpu().numpy(), self.offsets.cpu().numpy())
        return sparse.csr_array(parts, shape=self.shape)

    def _power(self, power: int) -> Tensor:
        if power not in self.powers:
            self.powers[power] = self.powers[1] ** power
        return self.powers[power]

    def _tensor(self, rows: slice, power: int) -> Tensor:
        """Return some rows as a sparse tensor, cached because its construction takes longer than a product."""
        key = (rows.start, rows.stop, power)
        if key not in self.tensors:
            indices, offsets, values = self._part(rows, power)
            size = (len(offsets) - 1, self.shape[1])
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
                self.tensors[key] = torch.sparse_csr_tensor(offsets, indices, values, size=size)
        return self.tensors[key]
