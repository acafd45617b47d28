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
SIZES_AT_ONCE = 64
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
    for rows in row_blocks(n_rows, max(1, ELEMENTS_AT_ONCE // (nodes.size * n_labels))):
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
    n_rows, n_labels = ordered.shape
    nodes, weights = _quadrature(n_labels)
    factors = 1 - ordered[:, None, :] * (1 - nodes)[:, None]  # (rows, nodes, labels)
    products = 2 * weights * factors.prod(axis=2)
    total = ordered.sum(axis=1)
    sizes = np.full(n_rows, smallest)
    best = (1 - ordered).prod(axis=1) if smallest == 0 else np.full(n_rows, -1.0)
    sums = np.zeros((n_rows, nodes.size, 1))
    for block in row_blocks(largest, SIZES_AT_ONCE):
        k = np.arange(block.start + 1, block.stop + 1)
        partial = sums + np.cumsum(ordered[:, None, block] / factors[:, :, block], axis=2)
        sums = partial[:, :, -1:]
        values = np.einsum("rq,qk,rqk->rk", products, nodes[:, None] ** k, partial)
        values[:, k < smallest] = -1.0
        highest = values.max(axis=1)
        better = highest > best + TIE
        first = np.argmax(values >= highest[:, None] - TIE, axis=1)
        sizes, best = np.where(better, k[first], sizes), np.maximum(best, highest)
        # E[F1] <= E[2 N / (k + N)] with the number N of labels, concave in N: no larger set can be better
        if (best >= 2 * total / (block.stop + 1 + total)).all():
            break
    return sizes


@lru_cache(maxsize=16)
def _quadrature(n_labels: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on [0, 1] for polynomials of degree 2 n_labels - 1 without negative coefficients.

    The relative error is at most that of a monomial of this degree, since it grows with the degree and no mixture of
    monomials has a larger one. It falls below rounding at about 2.8 times the square root of the degree.
    """
    n_nodes = min(n_labels, int(3 * np.sqrt(2 * n_labels)) + 16)
    nodes, weights = roots_legendre(n_nodes)
    return (nodes + 1) / 2, weights / 2
