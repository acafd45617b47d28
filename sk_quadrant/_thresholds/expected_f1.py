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
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import roots_legendre

from sk_quadrant._arrays import BoolArray, FloatArray, IndexArray, row_blocks

ELEMENTS_AT_ONCE = 2**18
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
    inside = (probabilities >= 0) & (probabilities <= 1)
    if not inside.all():
        raise ValueError(
            f"rule='expected_f1' needs probabilities in [0, 1], got {np.unique(probabilities[~inside])[:3].tolist()}."
        )
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


def _best_sizes(ordered: FloatArray, smallest: int, largest: int) -> IndexArray:
    """Return the size of the best set of each row, whose probabilities are in descending order."""
    nodes, weights = _quadrature(ordered.shape[1])
    # at node t of weight w: 2 w prod_{i > 1} (1 - p_i + p_i t), and times 1 - p_1 + p_1 t
    without_first = 2 * weights * _products(ordered[:, 1:], nodes)
    products = without_first * (1 - ordered[:, :1] * (1 - nodes))
    # t^k of a set with k labels
    powers = nodes[:, None] ** np.arange(1, largest + 1)
    # the two products are E[2 / (k + 1 + N_{-1})] and E[2 / (k + 1 + N)] for each k
    last = _last_sizes(ordered, without_first @ powers, products @ powers, smallest)
    # the empty set has F1 = 1 if no label is present, otherwise 0; -1 is below every F1
    empty = (1 - ordered).prod(axis=1) if smallest == 0 else np.full(len(ordered), -1.0)
    sizes = np.empty(len(ordered), dtype=np.intp)
    by_size = np.argsort(last)
    while by_size.size:
        n_rows = max(1, ELEMENTS_AT_ONCE // (nodes.size * last[by_size[-1]]))
        by_size, rows = by_size[:-n_rows], by_size[-n_rows:]
        n_sizes = last[rows[-1]]
        p = ordered[rows, np.newaxis, :n_sizes]
        # sum_{j <= k} p_j / (1 - p_j + p_j t), which takes factor j out of the product; t > 0, so that no factor is 0
        sums = np.cumsum(p / (1 - p * (1 - nodes)[:, np.newaxis]), axis=2)
        integrals = np.einsum("rq,qk,rqk->rk", products[rows], powers[:, :n_sizes], sums)
        values = np.column_stack([empty[rows], integrals])
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
    # a size with an upper bound below the largest lower bound cannot be the best
    reached = (total * lower)[:, max(smallest, 1) - 1 :].max(axis=1)
    possible = total * upper >= reached[:, None] - TIE
    return np.asarray(upper.shape[1] - np.argmax(possible[:, ::-1], axis=1))


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
        # one more label: P(N = c) <- (1 - p) P(N = c) + p P(N = c - 1)
        moved = counts[:, :k] * p
        counts[:, :k] -= moved
        counts[:, 1 : k + 1] += moved
    return counts


@lru_cache(maxsize=16)
def _quadrature(n_labels: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on [0, 1] for polynomials of degree 2 n_labels - 1 without negative coefficients.

    The relative error is at most that of a monomial of this degree, since it grows with the degree and no mixture of
    monomials has a larger one. It falls below rounding at about 2.8 times the square root of the degree.
    """
    n_nodes = min(n_labels, int(3 * np.sqrt(2 * n_labels)) + 16)
    nodes, weights = roots_legendre(n_nodes)
    # from [-1, 1] to [0, 1]
    return (nodes + 1) / 2, weights / 2
