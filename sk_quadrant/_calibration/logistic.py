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
LABELS_AT_ONCE = 64
FLATTEST = np.exp(-10.0)  # lowest slope without intercept, for scores scaled to root mean square 1


def fit_logistic(calibration_set: CalibrationSet, *, fit_intercept: bool) -> tuple[FloatArray, FloatArray]:
    """Return slopes and intercepts of shape (n_labels,), for scores that are not standardised.

    Without `fit_intercept` intercepts are 0 and slopes are positive.
    """
    blocks = row_blocks(calibration_set.n_labels, LABELS_AT_ONCE)
    parts = [_fit_block(calibration_set.labels(columns), fit_intercept) for columns in blocks]
    slope, intercept = map(np.concatenate, zip(*parts, strict=True))
    return slope, intercept


def _fit_block(calibration_set: CalibrationSet, fit_intercept: bool) -> tuple[FloatArray, FloatArray]:
    objective = _Objective(calibration_set, fit_intercept)
    slope, intercept = _minimize(objective)
    if not fit_intercept:
        slope = np.maximum(slope, FLATTEST)
    steepness = slope * objective.stretch
    return steepness / objective.peak, intercept - steepness * objective.center


class _Objective:
    """Loss of each label, with gradient and Hessian; see the module."""

    def __init__(self, calibration_set: CalibrationSet, fit_intercept: bool) -> None:
        self.calibration_set = calibration_set
        self.fit_intercept = fit_intercept
        self.total = calibration_set.total_weight
        self.low = 1 / (calibration_set.n_negative + 2)
        self.high = (calibration_set.n_positive + 1) / (calibration_set.n_positive + 2)
        peak = np.max(np.abs(calibration_set.scores), axis=0)
        self.peak = np.where(peak > 1e-280, peak, 1.0)  # keeps squares and quotients within range
        self.center = np.zeros_like(peak)
        self.stretch = np.ones_like(peak)
        self._standardize()

    def _standardize(self) -> None:
        """Choose c and k such that z = k (score / peak - c) has root mean square 1; k = 0 where scores are equal."""
        total = np.where(self.total > 0, self.total, 1.0)
        blocks = self.calibration_set.blocks
        if self.fit_intercept:
            self.center = sum(column_sums(b.weight, b.scores / self.peak) for b in blocks()) / total
        squares = (column_sums(b.weight, (b.scores / self.peak - self.center) ** 2) for b in blocks())
        spread = np.sqrt(sum(squares) / total)
        constant = spread <= 1e-14  # rounding errors of equal scores, which are at most 1
        self.stretch = np.where(constant, 0.0, 1 / np.where(constant, 1.0, spread))

    def start(self) -> FloatArray:
        """Return slope 0 and the log-odds of the smoothed frequency as intercept, shape (2, n_labels)."""
        intercept = np.log((self.calibration_set.n_positive + 1) / (self.calibration_set.n_negative + 1))
        return np.stack([np.zeros_like(intercept), intercept if self.fit_intercept else np.zeros_like(intercept)])

    def __call__(self, point: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the loss (n_labels,), its gradient (2, n_labels) and its Hessian (2, 2, n_labels)."""
        parts = [self._block(block, *point) for block in self.calibration_set.blocks()]
        loss, gradient, hessian = (sum(values) for values in zip(*parts, strict=True))
        if not self.fit_intercept:  # the intercept is fixed
            gradient[1], hessian[0, 1], hessian[1, 0], hessian[1, 1] = 0.0, 0.0, 0.0, 1.0
        return loss, gradient, hessian

    def _block(self, block: CalibrationSet, slope: FloatArray, intercept: FloatArray) -> tuple[FloatArray, ...]:
        z = (block.scores / self.peak - self.center) * self.stretch
        targets = self.low + block.targets * (self.high - self.low)
        u = z * slope + intercept
        small = np.exp(-np.abs(u))  # never overflows; log(1 + exp(u)) = max(u, 0) + log1p(small)
        proba = np.where(u >= 0, 1.0, small) / (1 + small)
        loss = column_sums(block.weight, np.log1p(small) + np.maximum(u, 0) - targets * u)
        residual = block.weight * (proba - targets)
        curvature = block.weight * small / (1 + small) ** 2  # p (1 - p) without cancellation
        h01 = column_sums(curvature, z)
        gradient = np.stack([column_sums(residual, z), residual.sum(axis=0)])
        h = np.stack([column_sums(curvature * z, z), h01, h01, curvature.sum(axis=0)]).reshape(2, 2, -1)
        return loss, gradient, h


def _minimize(objective: _Objective) -> FloatArray:
    """Return slopes and intercepts of shape (2, n_labels), by Newton's method with step halving."""
    point = objective.start()
    loss, gradient, hessian = objective(point)
    for _ in range(MAX_STEPS):
        step = _newton_step(gradient, hessian)
        decrease = -(gradient * step).sum(axis=0)  # g' H^-1 g, twice the decrease of the quadratic model
        if np.all(decrease <= 1e-14 * objective.total):
            return point + step
        for _ in range(MAX_HALVINGS):
            trial = objective(point + step)
            worse = trial[0] > loss + 1e-14 * np.abs(loss)
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        point, (loss, gradient, hessian) = point + step, trial
    return point


def _newton_step(gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    r"""Solve H d = -g for each label, by elimination of the intercept.

    .. math:: d_a = -\frac{g_a - H_{ab} g_b / H_{bb}}{H_{aa} - H_{ab}^2 / H_{bb}}, \qquad
              d_b = -\frac{g_b + H_{ab} d_a}{H_{bb}}

    If the Schur complement in the first denominator is 0 up to rounding, the scores are equal, slope and intercept
    cannot be separated, and the slope is not changed.
    """
    (h00, h01), (_, h11) = hessian
    h11 = np.where(h11 > 0, h11, 1.0)
    schur = h00 - h01**2 / h11
    solvable = schur > 1e-14 * h00
    slope = np.where(solvable, -(gradient[0] - h01 * gradient[1] / h11) / np.where(solvable, schur, 1.0), 0.0)
    return np.stack([slope, -(gradient[1] + h01 * slope) / h11])
