"""The stop of L-BFGS: small objectives, as of separable data, are minimised as well as others."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

from sk_quadrant import QuadrantMultiLabelClassifier

CLOSE = 1e-3  # relative distance to the optimum that is confirmed where the objective is small


def best_squared_hinge(X, signs, C):
    """Return the least ``C * sum((1 - m)_+^2) + ||w||^2 / 2``: its dual is a problem of non-negative least squares."""
    rows = X * signs[:, None]
    n = len(rows)
    dual, _ = nnls(
        np.vstack([rows.T, np.eye(n) / np.sqrt(2 * C)]), np.r_[np.zeros(X.shape[1]), np.full(n, 2 * C) ** 0.5]
    )
    return squared_hinge(rows @ (rows.T @ dual), rows.T @ dual, C)


def squared_hinge(margins, weights, C):
    """Return the objective."""
    return C * np.square(np.maximum(1 - margins, 0)).sum() + weights @ weights / 2


def fit_converges(model, *data, **weights):
    """Fit and return whether there is no warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(*data, **weights)
    return not caught


@pytest.mark.parametrize(
    ("as_format", "n_features"), [(np.asarray, 64), (sparse.csr_array, 40)], ids=["dense", "sparse"]
)
@pytest.mark.parametrize("loss", ["squared_hinge", pytest.param("modified_huber", marks=pytest.mark.slow)])
def test_a_small_objective_is_near_its_minimum_or_a_warning(loss, as_format, n_features):
    """Relative to itself, not to that at the start, of which a nearly separable label keeps a millionth."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, n_features)) / n_features**0.5
    y = (rng.random((60, 2)) < [0.1, 0.4]).astype(int)
    model = QuadrantMultiLabelClassifier(loss, C=1e6, fit_intercept=False, max_iter=400)

    converged = fit_converges(model, as_format(X), y)

    for weights, signs in zip(model.coef_, 2 * y.T - 1, strict=True):
        best = best_squared_hinge(X, signs, 1e6)
        assert not converged or squared_hinge(signs * (X @ weights), weights, 1e6) <= (1 + CLOSE) * best


@pytest.mark.slow
def test_a_small_objective_in_single_precision_is_near_its_minimum_or_a_warning():
    """With unknown labels, and weights over many magnitudes, there is no direct solution."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.normal(size=(200, 80)) * (rng.random((200, 80)) < 0.3), dtype=np.float32)
    y = np.where(rng.random((200, 2)) < 0.3, np.nan, rng.random((200, 2)))
    weight = 10 ** rng.uniform(-4, 4, size=200)
    model = QuadrantMultiLabelClassifier("squared_error", C=1e3, missing_labels="ignore", max_iter=2000)

    converged = fit_converges(model, X, y, sample_weight=weight)

    known = ~np.isnan(y)
    for j in range(2):
        rows, w = X[known[:, j]].toarray().astype(float), weight[known[:, j]]
        target = 2 * y[known[:, j], j] - 1
        best = Ridge(alpha=1e-3).fit(rows, target, sample_weight=w)
        values = [
            w @ np.square(rows @ coef + b - target) + 1e-3 * coef @ coef
            for coef, b in [(model.coef_[j].astype(float), model.intercept_[j]), (best.coef_, best.intercept_)]
        ]
        assert not converged or values[0] <= (1 + CLOSE) * values[1]
