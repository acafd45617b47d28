"""A forest of labels: the parent of each label, ancestors of label sets, consistent probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from sk_quadrant._arrays import follow_sparse_interface


@dataclass(frozen=True)
class LabelHierarchy:
    """A forest of labels: each has one parent, or none.

    Parameters
    ----------
    parents : tuple of int
        For each label the column of its parent, -1 for a root.

    See Also
    --------
    HierarchicalMultiLabelClassifier : Consistent predictions of any multi-label classifier.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.hierarchy import LabelHierarchy
    >>> hierarchy = LabelHierarchy.from_names(["A", "A01", "A01B", "B"])
    >>> hierarchy.parents
    (-1, 0, 1, -1)
    >>> hierarchy.close(np.array([[0, 0, 1, 0]]))
    array([[1, 1, 1, 0]])
    >>> hierarchy.raise_parents(np.array([[0.2, 0.5, 0.4, 0.1]]))
    array([[0.5, 0.5, 0.4, 0.1]])
    """

    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        parents = np.asarray(self.parents)
        if parents.ndim != 1 or parents.dtype.kind != "i" or not ((parents >= -1) & (parents < parents.size)).all():
            raise ValueError(
                f"parents must be the column of the parent of each label, or -1 for a root, got {self.parents!r}."
            )
        object.__setattr__(self, "parents", tuple(parents.tolist()))
        above = parents
        for _ in range(parents.size):  # after so many steps up from every label only a cycle is left
            above = np.where(above >= 0, parents[above], -1)
        if (above >= 0).any():
            cycle = np.flatnonzero(above >= 0)[:5].tolist()
            raise ValueError(f"parents must not have a cycle, got one above the labels {cycle}.")

    @classmethod
    def from_names(cls, names: Sequence[str], parents: Mapping[str, str | None] | None = None) -> LabelHierarchy:
        """Return the hierarchy of labels with names.

        Parameters
        ----------
        names : sequence of str
            Names in the order of the columns.
        parents : mapping of str to str, default=None
            The parent of each label that has one. None takes the longest other name that a name begins with, so that
            A01 is the parent of A01B.

        Returns
        -------
        LabelHierarchy
            The hierarchy of the columns.

        Raises
        ------
        ValueError
            If names are not unique, or a parent is no label.
        """
        names = [str(name) for name in names]
        column = {name: j for j, name in enumerate(names)}
        if len(column) != len(names):
            raise ValueError("names must be unique.")
        if parents is None:
            parents = {name: _longest_prefix(name, column) for name in names}
        unknown = {name for pair in parents.items() for name in pair if name is not None} - column.keys()
        if unknown:
            raise ValueError(f"parents must relate labels in names, got {sorted(unknown)[:5]}.")
        above = (parents.get(name) for name in names)
        return cls(tuple(-1 if name is None else column[name] for name in above))

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.parents)

    @cached_property
    def upwards(self) -> tuple[int, ...]:
        """Labels that have a parent, the deepest first."""
        order = np.argsort(-self._ancestors.sum(axis=1), kind="stable").tolist()
        return tuple(label for label in order if self.parents[label] >= 0)

    def close(self, y: Any) -> Any:
        """Return label sets with all ancestors of their labels added.

        Parameters
        ----------
        y : {ndarray, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            Indicators; NaN, an unknown label, stays unknown unless a descendant is present.

        Returns
        -------
        {ndarray, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            Indicators in the form of `y`.

        Raises
        ------
        ValueError
            If `y` has another number of columns than labels.
        """
        if hasattr(y, "columns"):
            closed = self.close(np.asarray(y))
            if not hasattr(y, "index"):  # polars
                return type(y)(closed, schema=list(y.columns))
            return type(y)(closed, index=y.index, columns=y.columns)
        self._check(y)
        if sparse.issparse(y):
            # entry (i, k) counts the labels of row i that are label k or below it
            closed = ((y @ type(y)(self._ancestors)) > 0).astype(y.dtype)
            return follow_sparse_interface(type(y)(closed))
        return np.where((y == 1) @ self._ancestors > 0, 1, y).astype(y.dtype)

    def prune(self, y: Any) -> Any:
        """Return label sets without the labels whose parent is absent.

        Parameters
        ----------
        y : {ndarray, sparse matrix} of shape (n_samples, n_labels)
            Indicators.

        Returns
        -------
        {ndarray, sparse matrix} of shape (n_samples, n_labels)
            Indicators in the form of `y`.

        Raises
        ------
        ValueError
            If `y` has another number of columns than labels.
        """
        if sparse.issparse(y):
            return follow_sparse_interface(type(y)(self.prune(y.toarray())))
        return self.lower_children(y)

    def raise_parents(self, probabilities: Any) -> Any:
        """Raise the probability of each parent to that of its most probable child.

        Parameters
        ----------
        probabilities : ndarray of shape (n_samples, n_labels)
            Probability of each label.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Consistent probabilities.

        Raises
        ------
        ValueError
            If there is another number of columns than labels.
        """
        self._check(probabilities)
        consistent = np.array(probabilities)
        for label in self.upwards:
            parent = self.parents[label]
            np.maximum(consistent[:, parent], consistent[:, label], out=consistent[:, parent])
        return consistent

    def lower_children(self, probabilities: Any) -> Any:
        """Lower the probability of each child to that of its parent.

        Parameters
        ----------
        probabilities : ndarray of shape (n_samples, n_labels)
            Probability of each label.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Consistent probabilities.

        Raises
        ------
        ValueError
            If there is another number of columns than labels.
        """
        self._check(probabilities)
        consistent = np.array(probabilities)
        for label in reversed(self.upwards):
            np.minimum(consistent[:, label], consistent[:, self.parents[label]], out=consistent[:, label])
        return consistent

    @cached_property
    def _ancestors(self) -> Any:
        """1 where the column is the label of the row or above it."""
        parents, labels = np.asarray(self.parents), np.arange(self.n_labels)
        ancestors, above = sparse.eye_array(self.n_labels, dtype=np.int64, format="csr"), parents
        while (above >= 0).any():
            is_below = above >= 0
            entries = np.ones(is_below.sum(), dtype=np.int64), (labels[is_below], above[is_below])
            ancestors = ancestors + sparse.csr_array(entries, shape=ancestors.shape)
            above = np.where(is_below, parents[above], -1)
        return ancestors

    def _check(self, values: Any) -> None:
        if len(values.shape) != 2 or values.shape[1] != self.n_labels:
            raise ValueError(f"There must be a column for each of the {self.n_labels} labels, got {values.shape}.")


def _longest_prefix(name: str, names: Mapping[str, int]) -> str | None:
    prefixes = (name[:length] for length in range(len(name) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in names), None)
