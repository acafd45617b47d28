"""Targets of a multi-label loss: numbers, which of them are known, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class Targets:
    """Targets of all rows, one column per label.

    Attributes
    ----------
    values : ndarray or sparse CSC array of shape (n_samples, n_labels)
        Hard targets as uint8, soft ones as float32 or float64; unknown ones are 0.
    mask : bool ndarray of shape (n_samples, n_labels) or None
        True where the target is known, None if all are.
    weight : float64 ndarray of shape (n_samples,) or (n_samples, n_labels), or None
        Sample weights times class weights, None if all are 1.
    """

    values: Any
    mask: NDArray[np.bool_] | None = None
    weight: NDArray[np.float64] | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.values.shape[1])

    @property
    def is_soft(self) -> bool:
        """Whether targets are probabilities rather than 0 and 1."""
        return bool(self.values.dtype.kind == "f")

    def dense(self, rows: Any = None) -> NDArray[Any]:
        """Return the values of some rows as an ndarray, None for all."""
        values = self.values
        if rows is not None:
            values = values.tocsr()[rows] if sparse.issparse(values) else values[rows]
        return np.asarray(values.toarray() if sparse.issparse(values) else values)

    def present(self, rows: Any = None) -> NDArray[np.bool_]:
        """Return which labels are known and at least half present in some rows, None for all."""
        return self.dense(rows) >= 0.5

    def known(self, rows: Any = None) -> NDArray[np.bool_]:
        """Return which targets of some rows are known, None for all; read-only."""
        if self.mask is not None:
            return self.mask if rows is None else self.mask[rows]
        n_rows = self.n_samples if rows is None else len(np.arange(self.n_samples)[rows])
        return np.broadcast_to(np.True_, (n_rows, self.n_labels))

    def n_known(self) -> NDArray[np.intp]:
        """Return the number of known targets of each label."""
        return np.full(self.n_labels, self.n_samples) if self.mask is None else self.mask.sum(axis=0)

    def observed(self) -> NDArray[np.bool_]:
        """Return which labels have a known target of positive weight."""
        if self.weight is None or self.weight.ndim == 1:
            rows = slice(None) if self.weight is None else self.weight > 0
            return np.asarray(self.known(rows).any(axis=0))
        return np.asarray(((self.weight > 0) & self.known()).any(axis=0))

    def counts(self) -> NDArray[np.float64]:
        """Return the unweighted sum of the known targets of each label."""
        return np.asarray(self.values.sum(axis=0, dtype=np.float64)).ravel()

    def constant_labels(self, rows: Any = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which labels are 0 in all known targets of some rows, None for all, and which are 1."""
        values = self.dense(rows)
        never = np.logical_not(values.any(axis=0))
        always = np.all((values == 1) | ~self.known(rows), axis=0)
        return never, always & ~never

    def frequency(self) -> NDArray[np.float64]:
        """Return the unweighted mean target of each label over its known rows."""
        return np.asarray(self.counts() / np.maximum(self.n_known(), 1), dtype=np.float64)

    def known_weight(self) -> tuple[float, float]:
        """Return the number of known targets, and the sum of their weights."""
        n_known = float(self.n_known().sum())
        if self.weight is None:
            return n_known, n_known
        weight = self.weight.reshape(self.n_samples, -1)
        if self.mask is None:
            return n_known, float(weight.sum()) * (self.n_labels / weight.shape[1])  # one weight per row
        return n_known, float((weight * self.mask).sum())


def one_class_labels(targets: Targets, names: NDArray[Any] | None = None) -> list[Any]:
    """Return the labels whose known targets have a single class, by name or number."""
    is_constant = np.logical_or(*targets.constant_labels())
    found: list[Any] = (np.arange(targets.n_labels) if names is None else names)[is_constant].tolist()
    return found
