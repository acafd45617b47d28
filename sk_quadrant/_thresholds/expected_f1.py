r"""The label set of the highest expected F1, for labels that are independent given their probabilities.

Of all sets with k labels the best one holds the k most probable labels (Lewis, 1995), so only k has to be found.
Let :math:`p_1 \ge \dots \ge p_L`, :math:`Y_j` independent with these probabilities and
:math:`N_{-j} = \sum_{i \ne j} Y_i`. For the set of the first k labels, with :math:`1 / m = \int_0^1 t^{m-1} dt`,

.. math::
    E[F_1] = \sum_{j \le k} p_j E\Big[\frac{2}{k + 1 + N_{-j}}\Big]
           = 2 \int_0^1 t^k \sum_{j \le k} p_j \prod_{i \ne j} (1 - p_i + p_i t) \, dt .

The integrand is a polynomial of degree at most 2 L - 1 with no negative coefficient. L nodes of Gauss and Legendre
integrate it exactly, and fewer do up to rounding: for many labels a multiple of the square root of L. Running sums over
j give all k from the same products, in O(L) per node: O(L^1.5) for many labels. Ye et al. (2012) count the sizes of
label sets in O(L^2) instead, and Waegeman et al. (2014) treat dependent labels.

As a function of one probability :math:`p_j` the expected F1 of any set is linear, since the product over all labels is.
For the set S of size k with the m most probable other labels, where :math:`f_i = 1 - p_i + p_i t`,
:math:`P = \prod_{i \ne j} f_i` and :math:`R_m = \sum_{i \le m} p_i / f_i`,

.. math::
    E[F_1] = 2 \int_0^1 t^k P \, R_{k-1} \, dt + 2 p_j \int_0^1 t^k P \, (1 - (1 - t) R_{k-1}) \, dt
    \quad \text{with j}, \qquad
    2 \int_0^1 t^k P \, R_k \, dt - 2 p_j \int_0^1 t^k P \, (1 - t) R_k \, dt \quad \text{without j}.

These four numbers of each size give the best set of a row at any :math:`p_j`, and so at any threshold of one label.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy.special import roots_legendre

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray, row_blocks

ELEMENTS_AT_ONCE = 2**18
SIZES_AT_ONCE = 64
FIRST_SIZES = 8  # most of the best sets are small; each block of sizes has twice as many as the one before
LABELS_AT_ONCE = 8
TIE = 1e-9  # smaller differences of expected F1 count as ties: rounding sums to 1e-11 for thousands of labels


def expected_f1_sets(probabilities: FloatArray, min_labels: int = 0, max_labels: int | None = None) -> BoolArray:
    """Return the set of the highest expected F1 of each row.

    The F1 of two empty sets is 1. Of equally good sets the smallest is taken, and of equally probable labels the first.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_labels)
        Probabilities in [0, 1], of labels that are independent given the row.
    min_labels : int, default=0
        Smallest size of a set.
    max_labels : int or None, default=None
        Largest size, None for all labels.

    Returns
    -------
    ndarray of bool of shape (n_samples, n_labels)

    Raises
    ------
    ValueError
        If a probability is NaN or outside of [0, 1].

    References
    ----------
    .. [1] D. D. Lewis. :doi:`"Evaluating and optimizing autonomous text classification systems"
       <10.1145/215206.215366>`. SIGIR 1995.
    .. [2] N. Ye, K. M. A. Chai, W. S. Lee, H. L. Chieu. :arxiv:`"Optimizing F-measures: a tale of two approaches"
       <1206.4625>`. ICML 2012.
    .. [3] W. Waegeman, K. Dembczynski, A. Jachnik, W. Cheng, E. Hullermeier. "On the Bayes-optimality of F-measure
       maximizers". Journal of Machine Learning Research 15, 2014.

    Examples
    --------
    A single label is taken if its probability is above 1/2, but several labels even below:

    >>> import numpy as np
    >>> expected_f1_sets(np.array([[0.4, 0.0, 0.0], [0.4, 0.4, 0.4]])).astype(int)
    array([[0, 0, 0],
           [1, 1, 1]])
    """
    check_probabilities(probabilities)
    n_rows, n_labels = probabilities.shape
    largest = n_labels if max_labels is None else min(max_labels, n_labels)
    decisions = np.zeros((n_rows, n_labels), dtype=bool)
    nodes, _ = _quadrature(n_labels)
    for rows in row_blocks(n_rows, max(1, ELEMENTS_AT_ONCE // max(nodes.size, n_labels))):
        order = np.argsort(-probabilities[rows], axis=1, kind="stable")
        ordered = np.take_along_axis(probabilities[rows], order, axis=1).astype(np.float64)
        sizes = _best_sizes(ordered, min_labels, largest)
        np.put_along_axis(decisions[rows], order, np.arange(n_labels) < sizes[:, None], axis=1)
    return decisions


def check_probabilities(probabilities: FloatArray) -> None:
    """Raise a ValueError unless all are in [0, 1]."""
    inside = (probabilities >= 0) & (probabilities <= 1)
    if not inside.all():
        raise ValueError(
            f"rule='expected_f1' needs probabilities in [0, 1], got {np.unique(probabilities[~inside])[:3].tolist()}."
        )


def _best_sizes(ordered: FloatArray, smallest: int, largest: int) -> IndexArray:
    """Return the size of the best set of each row, whose probabilities are in descending order."""
    nodes, weights = _quadrature(ordered.shape[1])
    without_first = 2 * weights * _products(ordered[:, 1:], nodes)
    products = without_first * (1 - ordered[:, :1] * (1 - nodes))
    powers = nodes[:, None] ** np.arange(1, largest + 1)
    last = _last_sizes(ordered, without_first @ powers, products @ powers, smallest)
    empty = (1 - ordered).prod(axis=1) if smallest == 0 else np.full(len(ordered), -1.0)
    sizes = np.empty(len(ordered), dtype=np.intp)
    by_size = np.argsort(last)
    while by_size.size:
        n_rows = max(1, ELEMENTS_AT_ONCE // (nodes.size * last[by_size[-1]]))
        by_size, rows = by_size[:-n_rows], by_size[-n_rows:]
        n_sizes = last[rows[-1]]
        sums = _running_sums(ordered[rows, :n_sizes], nodes)
        values = np.column_stack([empty[rows], _integrals(products[rows], powers, sums)])
        values[:, :smallest] = -1.0
        sizes[rows] = np.argmax(values >= values.max(axis=1, keepdims=True) - TIE, axis=1)
    return sizes


def _last_sizes(ordered: FloatArray, upper: FloatArray, lower: FloatArray, smallest: int) -> IndexArray:
    r"""Return the size of each row, at least 1, above which no set is the best.

    :math:`N_{-1} \le N_{-j} \le N` in distribution, so that the expected F1 of the first k labels is between the sum of
    their probabilities times :math:`E[2 / (k + 1 + N)]` and the same times :math:`E[2 / (k + 1 + N_{-1})]`.

    Parameters
    ----------
    ordered : ndarray of shape (n_samples, n_labels)
        Probabilities in descending order.
    upper, lower : ndarray of shape (n_samples, n_sizes)
        The two expectations for sets of 1 to n_sizes labels.
    smallest : int
        Smallest size of a set.
    """
    total = np.cumsum(ordered[:, : upper.shape[1]], axis=1)
    reached = (total * lower)[:, max(smallest, 1) - 1 :].max(axis=1)
    possible = total * upper >= reached[:, None] - TIE
    return np.asarray(upper.shape[1] - np.argmax(possible[:, ::-1], axis=1))


def _blocks_of_sizes(largest: int) -> Iterator[slice]:
    """Yield blocks of sizes of sets, less 1."""
    start, size = 0, FIRST_SIZES
    while start < largest:
        yield slice(start, min(start + size, largest))
        start, size = start + size, min(2 * size, SIZES_AT_ONCE)


class SetsOfLabel:
    """The best sets of rows at any probability of one label, given those of the others; see the module.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_labels)
        Probabilities in [0, 1]; those of the label do not matter.
    label : int
    min_labels : int, default=0
    max_labels : int or None, default=None
        See `expected_f1_sets`.

    Examples
    --------
    >>> import numpy as np
    >>> sets = SetsOfLabel(np.array([[0.4, 0.4, 0.0]]), label=2)
    >>> sets.at(np.array([0.0])).astype(int), sets.at(np.array([0.4])).astype(int)
    (array([[1, 1, 0]]), array([[1, 1, 1]]))
    """

    def __init__(
        self, probabilities: FloatArray, label: int, min_labels: int = 0, max_labels: int | None = None
    ) -> None:
        check_probabilities(probabilities)
        self.label, self.min_labels, n_labels = label, min_labels, probabilities.shape[1]
        largest = n_labels if max_labels is None else min(max_labels, n_labels)
        others = np.delete(probabilities, label, axis=1)
        order = np.argsort(-others, axis=1, kind="stable")
        self._column = np.delete(np.arange(n_labels), label)[order]
        self._ordered = np.take_along_axis(others, order, axis=1).astype(np.float64)
        self._empty = (1 - self._ordered).prod(axis=1)
        nodes, _ = _quadrature(n_labels)
        parts = [
            _lines_of_sizes(self._ordered[rows], min_labels, largest)
            for rows in row_blocks(len(others), max(1, ELEMENTS_AT_ONCE // (nodes.size * SIZES_AT_ONCE)))
        ]
        n_sizes = max((part.shape[3] for part in parts), default=0)
        self._lines = np.concatenate(
            [np.pad(part, [(0, 0)] * 3 + [(0, n_sizes - part.shape[3])]) for part in parts], axis=2
        )  # (with or without, constant or slope, n_samples, n_sizes); a size that was left out has the value 0

    def at(self, probability: FloatArray, rows: IndexArray | None = None) -> BoolArray:
        """Return the best sets of rows, None for all, where the label has probabilities of shape (n_rows,)."""
        chosen = slice(None) if rows is None else rows
        ordered, column = self._ordered[chosen], self._column[chosen]
        ahead = (ordered > probability[:, None]) | ((ordered == probability[:, None]) & (column < self.label))
        n_ahead = ahead.sum(axis=1)
        with_label, without = (line[0] + probability[:, None] * line[1] for line in self._lines[:, :, chosen])
        size = np.arange(1, with_label.shape[1] + 1)
        values = np.where(n_ahead[:, None] < size, with_label, without)
        values = np.column_stack([self._empty[chosen] * (1 - probability), values])
        values[:, : self.min_labels] = -1.0
        best = np.argmax(values >= values.max(axis=1, keepdims=True) - TIE, axis=1)
        sets, has_label = np.zeros((len(best), ordered.shape[1] + 1), dtype=bool), n_ahead < best
        place = np.arange(ordered.shape[1])
        np.put_along_axis(sets, column, place < (best - has_label)[:, None], axis=1)
        sets[:, self.label] = has_label
        return sets


def _lines_of_sizes(ordered: FloatArray, smallest: int, largest: int) -> FloatArray:
    """Return the constants and slopes of the expected F1 with and without a label, for sets of 1 to `largest` labels.

    Sizes that are best at no probability of the label are left out at the end.
    """
    n_rows, n_others = ordered.shape
    nodes, weights = _quadrature(n_others + 1)
    products = 2 * weights * _products(ordered, nodes)
    total = ordered.sum(axis=1) + 1
    sums, found, best = np.zeros((n_rows, nodes.size, 1)), [], np.full(n_rows, -1.0)
    for block in _blocks_of_sizes(largest):
        k = np.arange(block.start + 1, block.stop + 1)
        powers = nodes[:, None] ** k
        more = sums + _running_sums(ordered[:, block], nodes)
        partial = np.concatenate([sums, more], axis=2)  # of one label less than the size at its place, and the last
        before, after = partial[:, :, : k.size], partial[:, :, 1 : k.size + 1]
        lines = np.zeros((2, 2, n_rows, k.size))
        lines[0, 0] = _integrals(products, powers, before)
        lines[0, 1] = _integrals(products, powers, 1 - (1 - nodes)[:, None] * before)
        lines[1, 0, :, after.shape[2] :] = -1.0  # the set of all labels has the label
        lines[1, 0, :, : after.shape[2]] = _integrals(products, powers, after)
        lines[1, 1, :, : after.shape[2]] = -_integrals(products * (1 - nodes), powers, after)
        found.append(lines)
        sums = partial[:, :, -1:]
        at_worst = np.minimum(lines[:, 0], lines.sum(axis=1)).max(axis=0)  # of a line on [0, 1]
        best = np.maximum(best, at_worst.max(axis=1, where=k >= smallest, initial=-1.0))
        if (best >= 2 * total / (block.stop + 1 + total)).all():  # as in `_best_sizes`
            break
    return np.concatenate(found, axis=3)


def _products(probabilities: FloatArray, nodes: FloatArray) -> FloatArray:
    """Return the product of 1 - p + p t over the labels of each row, at each node t.

    The product over a few labels is a polynomial in t with the probabilities of their counts as coefficients, so that a
    matrix product gives its values at all nodes.
    """
    n_rows, n_labels = probabilities.shape
    n_groups = -(-n_labels // LABELS_AT_ONCE)
    padded = np.zeros((n_rows, n_groups * LABELS_AT_ONCE))
    padded[:, :n_labels] = probabilities
    counts = _counts(padded.reshape(n_rows * n_groups, LABELS_AT_ONCE))
    values = counts @ nodes ** np.arange(LABELS_AT_ONCE + 1)[:, None]
    return np.asarray(values.reshape(n_rows, n_groups, nodes.size).prod(axis=1))


def _counts(probabilities: FloatArray) -> FloatArray:
    """Return the probabilities of 0 to n_labels present labels of each row."""
    counts = np.zeros((len(probabilities), probabilities.shape[1] + 1))
    counts[:, 0] = 1.0
    for k, p in enumerate(probabilities.T[:, :, None], 1):
        moved = counts[:, :k] * p
        counts[:, :k] -= moved
        counts[:, 1 : k + 1] += moved
    return counts


def _running_sums(probabilities: FloatArray, nodes: FloatArray) -> FloatArray:
    """Return the running sums of p / (1 - p + p t) over labels, of shape (n_samples, n_nodes, n_labels)."""
    p = probabilities[:, None, :]
    return np.asarray(np.cumsum(p / (1 - p * (1 - nodes)[:, None]), axis=2))


def _integrals(products: FloatArray, powers: FloatArray, sums: FloatArray) -> FloatArray:
    """Return the integrals over nodes for each row and size."""
    return np.asarray(np.einsum("rq,qk,rqk->rk", products, powers[:, : sums.shape[2]], sums))


@lru_cache(maxsize=16)
def _quadrature(n_labels: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on [0, 1] for polynomials of degree 2 n_labels - 1 without negative coefficients.

    The relative error is at most that of a monomial of this degree, since it grows with the degree and no mixture of
    monomials has a larger one. It falls below rounding at about 2.8 times the square root of the degree.
    """
    n_nodes = min(n_labels, int(3 * np.sqrt(2 * n_labels)) + 16)
    nodes, weights = roots_legendre(n_nodes)
    return (nodes + 1) / 2, weights / 2
