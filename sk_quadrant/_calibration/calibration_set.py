"""The calibration set: held-out scores with targets and weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray

if TYPE_CHECKING:
    from sk_quadrant._targets.targets import Targets

LARGEST = 1e300  # differences of larger scores overflow: they count as infinite


@dataclass(frozen=True)
class CalibrationSet:
    """Scores of rows that the classifier was not fitted to, with targets and weights.

    Attributes
    ----------
    scores, targets, weight : ndarray of shape (n_samples, n_labels)
        Finite scores, targets in [0, 1], and weights, which are 0 where a target is unknown. A weight of 2 is a
        repeated row.
    """

    scores: FloatArray
    targets: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, targets: Targets, rows: IndexArray | None = None) -> CalibrationSet:
        """Return the set of some rows, None for all; unknown targets and infinite scores get weight 0.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_labels)
            Scores of these rows, without NaN.
        targets : Targets
            Targets and weights of all rows.
        rows : ndarray, default=None
        """
        weight = np.ones(1) if targets.weight is None else targets.weight if rows is None else targets.weight[rows]
        weight = np.broadcast_to(weight[:, np.newaxis] if weight.ndim == 1 else weight, scores.shape)
        values = targets.dense(rows).astype(np.float64)
        counts = (np.abs(scores) <= LARGEST) & targets.known(rows)
        if counts.all():
            return cls(scores, values, weight)
        return cls(*(np.where(counts, array, 0.0) for array in (scores, values, weight)))

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.scores.shape[1])

    def pooled(self) -> CalibrationSet:
        """Return the entries of all labels as those of one label."""
        return CalibrationSet(*(values.reshape(-1, 1) for values in (self.scores, self.targets, self.weight)))

    def labels(self, columns: slice) -> CalibrationSet:
        """Return some of the labels."""
        return CalibrationSet(*(values[:, columns] for values in (self.scores, self.targets, self.weight)))

    @cached_property
    def rows_per_weight(self) -> FloatArray:
        """Number of rows that a weight of 1 counts for in each label: 1, or more where weights are small.

        Weights that sum to less than the number of positive ones, as normalised ones do, rank rows by importance and
        do not mean that there are few.
        """
        n_weighted = np.count_nonzero(self.weight > 0, axis=0)
        return np.asarray(np.maximum(1.0, n_weighted / np.maximum(self.weight.sum(axis=0), 1e-300)))

    @cached_property
    def n_positive(self) -> FloatArray:
        """Number of positives of each label, in which a weight of 2 counts twice; see `rows_per_weight`."""
        return self.rows_per_weight * column_sums(self.weight, self.targets)

    @cached_property
    def n_negative(self) -> FloatArray:
        """Number of negatives of each label; see `n_positive`."""
        return self.rows_per_weight * column_sums(self.weight, 1 - self.targets)

    @property
    def one_sided(self) -> BoolArray:
        """Whether the known targets of a label are all 0 or all 1, or none is known."""
        return np.asarray((self.n_positive == 0) | (self.n_negative == 0))

    @property
    def frequency(self) -> FloatArray:
        """Smoothed frequency (n_positive + 1) / (n + 2) of each label: Laplace's rule of succession."""
        return (self.n_positive + 1) / (self.n_positive + self.n_negative + 2)


def column_sums(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the sum of a * b over rows."""
    sums: FloatArray = np.einsum("ij,ij->j", a, b)
    return sums
