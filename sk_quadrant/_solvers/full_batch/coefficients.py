"""Storage of the fitted weights: a dense tensor, or sparse rows without small weights."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sk_quadrant._solvers.tensors import as_tensor

PART_ELEMENTS = 2**20  # weights copied at a time


class DenseCoefficients:
    """Weights in a tensor, read and written in blocks of labels.

    Parameters
    ----------
    weight : Tensor of shape (n_labels, n_features)
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.device = weight, weight.device
        self.n_labels, self.n_features = weight.shape

    def take(self, labels: Tensor) -> Tensor:
        """Return the weights of some labels."""
        return self.weight[labels]

    def put(self, labels: Tensor, weights: Tensor) -> None:
        """Write the weights of some labels."""
        self.weight[labels] = weights


class ThresholdedCoefficients:
    """Sparse weights: small ones are set to 0 block by block, without a dense matrix of all; see `DenseCoefficients`.

    Parameters
    ----------
    start : {CSR matrix, ndarray} of shape (n_labels, n_features)
        Initial weights, kept for labels that are not written.
    threshold : float
        Smallest size of a weight that is kept.
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(self, start: Any, threshold: float, dtype: torch.dtype, device: torch.device) -> None:
        self.start, self.threshold, self.dtype, self.device = start, threshold, dtype, device
        self.n_labels, self.n_features = map(int, start.shape)
        self._labels: list[NDArray[np.intp]] = []
        self._rows: list[Any] = []

    def take(self, labels: Tensor) -> Tensor:
        """Return initial weights of some labels."""
        rows = self.start[labels.cpu().numpy()]
        return as_tensor(rows.toarray() if sparse.issparse(rows) else rows, self.dtype, self.device)

    def put(self, labels: Tensor, weights: Tensor) -> None:
        """Store the large weights of some labels."""
        self._labels.append(labels.cpu().numpy())
        for part in torch.split(weights, max(1, PART_ELEMENTS // self.n_features)):
            array = np.array(part.cpu().numpy(), order="C")
            array[np.abs(array) < self.threshold] = 0
            self._rows.append(sparse.csr_matrix(array))

    def to_csr(self) -> Any:
        """Return all weights as a CSR matrix."""
        n_labels = self.start.shape[0]
        done = np.concatenate([np.empty(0, np.intp), *self._labels])
        left = np.setdiff1d(np.arange(n_labels), done)
        rows = sparse.vstack([*self._rows, sparse.csr_matrix(self.start[left])], format="csr")
        return rows[np.argsort(np.concatenate([done, left]))]


Coefficients: TypeAlias = DenseCoefficients | ThresholdedCoefficients
