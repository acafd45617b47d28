r"""Logistic calibration: slope and intercept of each label, by Newton's method for all labels at once.

For a label with scores :math:`s_i` and weights :math:`w_i`, the parameters a and b minimise

.. math::
    \sum_i w_i \left[\log(1 + e^{u_i}) - t_i u_i\right], \qquad u_i = a z_i + b,

where z is the standardised score. The targets t are those of Platt [1]_: not 1 and 0 but

.. math:: t_+ = \frac{N_+ + 1}{N_+ + 2}, \qquad t_- = \frac{1}{N_- + 2}

for the numbers :math:`N_+` of positives and :math:`N_-` of negatives, weights being numbers of rows, and in between for
soft targets. They lie inside (0, 1), so that a minimum exists also if scores separate positives from negatives. With
p = sigmoid(u),

.. math::
    g = \sum_i w_i (p_i - t_i) \binom{z_i}{1}, \qquad
    H = \sum_i w_i p_i (1 - p_i) \begin{pmatrix} z_i^2 & z_i \\ z_i & 1 \end{pmatrix},

and each step solves H d = -g, halved until the loss does not rise [2]_.

References
----------
.. [1] J. Platt. "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods".
   Advances in Large Margin Classifiers, MIT Press, 1999.
.. [2] H.-T. Lin, C.-J. Lin, R. C. Weng. :doi:`"A note on Platt's probabilistic outputs for support vector machines"
   <10.1007/s10994-007-5018-6>`. Machine Learning 68, 2007.
"""

from __future__ import annotations

import numpy as np

from sk_quadrant._arrays import FloatArray, row_blocks
from sk_quadrant._calibration.calibration_set import CalibrationSet, column_sums

MAX_STEPS = 100
MAX_HALVINGS = 40
ENTRIES_AT_ONCE = 2**15  # the temporaries of a block of labels stay in cache
FLATTEST = np.exp(-10.0)  # lowest slope without intercept, for scores scaled to root mean square 1


def fit_logistic(calibration_set: CalibrationSet, *, fit_intercept: bool) -> tuple[FloatArray, FloatArray]:
    """Return slopes and intercepts of shape (n_labels,), for scores that are not standardised.

    Without `fit_intercept` intercepts are 0 and slopes are positive.
    """
    blocks = row_blocks(calibration_set.n_labels, max(1, ENTRIES_AT_ONCE // len(calibration_set.scores)))
    parts = [_fit_block(calibration_set.labels(columns), fit_intercept) for columns in blocks]
    slope, intercept = map(np.concatenate, zip(*parts, strict=True))
    return slope, intercept


def _fit_block(labels: CalibrationSet, fit_intercept: bool) -> tuple[FloatArray, FloatArray]:
    """Fit to z = k (score / peak - c), where c and k make its root mean square 1; k = 0 where scores are equal."""
    n_positive, n_negative, weight = labels.n_positive, labels.n_negative, labels.weight
    peak = np.max(np.abs(labels.scores), axis=0)
    peak = np.where(peak > 1e-280, peak, 1.0)  # keeps squares and quotients within range
    z = labels.scores / peak
    total = np.maximum(weight.sum(axis=0), 1e-300)
    center = column_sums(weight, z) / total if fit_intercept else np.zeros(labels.n_labels)
    z -= center
    spread = np.sqrt(column_sums(weight, z**2) / total)
    constant = spread <= 1e-14  # rounding errors of equal scores, which are at most 1
    stretch = np.where(constant, 0.0, 1 / np.where(constant, 1.0, spread))
    # t_- and t_+; soft targets are in between
    low, high = 1 / (n_negative + 2), (n_positive + 1) / (n_positive + 2)
    # logit of (N_+ + 1) / (N + 2), as in Lin et al. (2007)
    start = np.log((n_positive + 1) / (n_negative + 1)) if fit_intercept else np.zeros(labels.n_labels)
    slope, intercept = _minimize(z * stretch, low + labels.targets * (high - low), weight, start, fit_intercept)
    steepness = stretch * (slope if fit_intercept else np.maximum(slope, FLATTEST))
    # u = a k (score / peak - c) + b as a function of the score
    return steepness / peak, intercept - steepness * center


def _minimize(
    z: FloatArray, targets: FloatArray, weight: FloatArray, intercept: FloatArray, fit_intercept: bool
) -> FloatArray:
    """Return slopes and intercepts of shape (2, n_labels), by Newton's method with step halving from a slope of 0."""
    is_free = np.array([1, 1, fit_intercept, 1, fit_intercept, 1])[:, np.newaxis]  # without its derivative, b stays

    def evaluate(point: FloatArray) -> FloatArray:
        parts = (_sums(z[rows], targets[rows], weight[rows], *point) for rows in row_blocks(len(z), ENTRIES_AT_ONCE))
        return np.asarray(sum(parts) * is_free)

    total, point = weight.sum(axis=0), np.stack([np.zeros_like(intercept), intercept])
    now = evaluate(point)
    for _ in range(MAX_STEPS):
        step = _newton_step(now[1:3], now[3:])
        decrease = -(now[1:3] * step).sum(axis=0)  # g' H^-1 g, twice the decrease of the quadratic model
        if np.all(decrease <= 1e-14 * total):
            # so close to the minimum the full step needs no line search
            return point + step
        for _ in range(MAX_HALVINGS):
            trial = evaluate(point + step)
            # a change of the loss within its rounding error is no rise
            worse = trial[0] > now[0] + 1e-14 * np.abs(now[0])
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        point, now = point + step, trial
    return point


def _sums(
    z: FloatArray, targets: FloatArray, weight: FloatArray, slope: FloatArray, intercept: FloatArray
) -> FloatArray:
    """Return the sums over rows of the loss, of g_a, g_b, H_aa, H_ab and H_bb, of shape (6, n_labels)."""
    u = z * slope + intercept
    small = np.exp(-np.abs(u))  # never overflows; log(1 + exp(u)) = max(u, 0) + log1p(small)
    share = 1 / (1 + small)
    loss = np.log1p(small) + np.maximum(u, 0) - targets * u
    # p = 1 / (1 + e^-u) for u >= 0, e^u / (1 + e^u) for u < 0
    residual = weight * (np.where(u >= 0, share, small * share) - targets)
    curvature = weight * small * share**2  # p (1 - p) without cancellation
    pairs = ((weight, loss), (residual, z), (residual, 1.0), (curvature * z, z), (curvature, z), (curvature, 1.0))
    return np.array([column_sums(a, np.broadcast_to(b, a.shape)) for a, b in pairs])


def _newton_step(gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    r"""Solve H d = -g for each label, by elimination of the intercept.

    .. math:: d_a = -\frac{g_a - H_{ab} g_b / H_{bb}}{H_{aa} - H_{ab}^2 / H_{bb}}, \qquad
              d_b = -\frac{g_b + H_{ab} d_a}{H_{bb}}

    If the Schur complement in the first denominator is 0 up to rounding, the scores are equal, slope and intercept
    cannot be separated, and the slope is not changed.
    """
    h00, h01, h11 = hessian
    # a label without weight has H = 0 and g = 0: no step
    h11 = np.where(h11 > 0, h11, 1.0)
    schur = h00 - h01**2 / h11
    solvable = schur > 1e-14 * h00
    slope = np.where(solvable, -(gradient[0] - h01 * gradient[1] / h11) / np.where(solvable, schur, 1.0), 0.0)
    return np.stack([slope, -(gradient[1] + h01 * slope) / h11])
