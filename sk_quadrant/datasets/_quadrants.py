"""The quadrant data set: each label is the sign of one feature."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sk_quadrant._parameters import validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "flip_y": [Interval(Real, 0, 1, closed="both")],
        "slope": [None, Interval(Real, 0, None, closed="neither")],
        "soft_labels": ["boolean"],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "return_proba": ["boolean"],
    },
)
def make_quadrants(
    n_samples: int = 4000,
    n_features: int = 2,
    *,
    scale: float = 1.0,
    flip_y: float = 0.0,
    slope: float | None = None,
    soft_labels: bool = False,
    shuffle: bool = False,
    random_state: int | np.random.RandomState | None = None,
    return_proba: bool = False,
) -> tuple[NDArray[np.float64], ...]:
    r"""Generate points mirrored into every quadrant, with one label for the sign of each feature.

    The absolute values of normally distributed points are reflected into every quadrant of the plane (every orthant
    if `n_features` is not 2), so that the classes are balanced and the data is exactly symmetric about the origin.
    Label j is the sign of feature j: without noise, `Y[:, j] = X[:, j] > 0`. No coordinate is 0.

    The probability of each label is known:

    .. math::
        P(Y_j = 1 \mid x) = (1 - f)\, p_j + f\, (1 - p_j), \quad
        p_j = \begin{cases} [x_j > 0] & \text{without a slope} \\ \sigma(k x_j) & \text{with slope } k \end{cases}

    where f is `flip_y`. Given x the labels are drawn independently.

    Parameters
    ----------
    n_samples : int, default=4000
        Number of rows.

    n_features : int, default=2
        Number of features and of labels.

    scale : float, default=1.0
        Standard deviation of the normal distribution before it is folded into the first quadrant.

    flip_y : float, default=0.0
        Probability with which each label is flipped, in [0, 1].

    slope : float, default=None
        Slope k > 0 of the logistic curve from which labels are drawn. None makes each label the sign of its feature.

    soft_labels : bool, default=False
        Whether `Y` holds the probabilities of the labels instead of labels drawn from them.

    shuffle : bool, default=False
        Whether the rows are shuffled.

    random_state : int, RandomState instance or None, default=None
        Generates points, labels and the order of rows. `flip_y`, `slope` and `soft_labels` do not change the points
        and their order.

    return_proba : bool, default=False
        Whether the probabilities of the labels are returned as well.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64
        The points.

    Y : ndarray of shape (n_samples, n_features), int64
        The labels; float64 if `soft_labels` is true.

    proba : ndarray of shape (n_samples, n_features), float64
        The probability that each label is 1, noise included. Only if `return_proba` is true.

    Warns
    -----
    UserWarning
        If `n_samples` is at most `2 ** (n_features - 1)`: the last features are then positive in every row.

    See Also
    --------
    sklearn.datasets.make_multilabel_classification : Counts of words with several labels.

    Notes
    -----
    The `2 ** n_features` images of a point are consecutive rows. From one to the next, one coordinate changes sign, in
    the order of the reflected Gray code: (+, +), (-, +), (-, -), (+, -) in the plane. If `n_samples` is not a multiple
    of `2 ** n_features`, the last point has fewer images.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.datasets import make_quadrants
    >>> X, Y = make_quadrants(n_samples=4, random_state=0)
    >>> np.sign(X).astype(int).tolist()
    [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    >>> Y.tolist()
    [[1, 1], [0, 1], [0, 0], [1, 0]]
    """
    rng = check_random_state(random_state)
    X = _mirrored_points(int(n_samples), int(n_features), scale, rng)
    if shuffle:
        X = rng.permutation(X)
    proba = _label_probabilities(X, slope, flip_y)
    Y = proba.copy() if soft_labels else (rng.uniform(size=X.shape) < proba).astype(np.int64)
    return (X, Y, proba) if return_proba else (X, Y)


def _mirrored_points(n_samples: int, n_features: int, scale: float, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Return points mirrored into every quadrant, the images of a point in consecutive rows."""
    n_quadrants = 2**n_features  # a Python integer: it does not overflow
    n_points = -(-n_samples // n_quadrants)
    signs = _quadrant_signs(min(n_quadrants, n_samples), n_features)
    magnitudes = np.abs(rng.normal(scale=scale, size=(n_points, 1, n_features)))
    magnitudes = np.maximum(magnitudes, np.finfo(np.float64).tiny)  # 0 has no sign
    return (magnitudes * signs).reshape(-1, n_features)[:n_samples]


def _quadrant_signs(n_quadrants: int, n_features: int) -> NDArray[np.float64]:
    """Return the signs of the first quadrants in Gray code order, shape (n_quadrants, n_features)."""
    n_mirrored = (n_quadrants - 1).bit_length()
    if n_mirrored < n_features:
        warnings.warn(
            f"n_samples={n_quadrants} rows do not reach every quadrant of n_features={n_features}: the last "
            f"{n_features - n_mirrored} of the features are positive in every row. Raise n_samples above "
            f"2 ** (n_features - 1).",
            UserWarning,
            stacklevel=5,  # the caller of make_quadrants, past the wrapper that validates its parameters
        )
    # numbers next to each other differ in one bit of their Gray code, quadrants next to each other in one sign
    index = np.arange(n_quadrants)
    gray_code = index ^ (index >> 1)
    is_negative = (gray_code[:, np.newaxis] >> np.arange(n_mirrored)) & 1
    signs = np.ones((n_quadrants, n_features))
    signs[:, :n_mirrored] -= 2 * is_negative
    return signs


def _label_probabilities(X: NDArray[np.float64], slope: float | None, flip_y: float) -> NDArray[np.float64]:
    """Return the probability that each label is 1, label noise included."""
    clean = (X > 0).astype(np.float64) if slope is None else expit(slope * X)
    return (1 - flip_y) * clean + flip_y * (1 - clean)
