"""Scores of sparse rows: right in every memory order and precision, in little memory."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier

CONTAINERS = [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.csc_array]
LAYOUTS = {
    "by label": np.ascontiguousarray,
    "by feature": np.asfortranarray,
    "every second": lambda coef: np.repeat(coef, 2, axis=0)[::2],
    "sparse": sparse.csr_matrix,
    "sparse array": sparse.csr_array,
}


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few iterations, on purpose


def fitted(n_features, n_labels, *, dtype=np.float64, density=0.02, n_rows=40):
    """Return a model of sparse rows, and the rows."""
    rng = np.random.default_rng(0)
    X = sparse.random(n_rows, n_features, density, "csr", dtype=dtype, random_state=rng)
    Y = (rng.random((n_rows, n_labels)) < 0.3).astype(int)
    return QuadrantMultiLabelClassifier(max_iter=3, tol=0.1).fit(X, Y), X


@pytest.mark.parametrize("weights", [np.float32, np.float64])
@pytest.mark.parametrize("features", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 5, 40])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_are_products_with_weights_in_every_layout_and_precision(layout, n_rows, features, weights):
    """Compare with the product of dense arrays, in the more precise of both."""
    model, X = fitted(300, 7)
    rng = np.random.default_rng(1)
    coef = rng.normal(size=(7, 300)).astype(weights) * (rng.random((7, 300)) < 0.5)
    X = X[:n_rows].astype(features)
    expected = X.toarray() @ coef.T + model.intercept_.astype(weights)
    model.coef_, model.intercept_ = LAYOUTS[layout](coef), model.intercept_.astype(weights)
    scores = model.decision_function(X)
    assert scores.dtype == np.result_type(features, weights)
    assert_allclose(scores, expected, rtol=1e-5 if scores.dtype == np.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize("container", CONTAINERS)
def test_all_predictions_take_all_sparse_containers(container):
    """Compare with the predictions of dense rows."""
    model, X = fitted(50, 3, density=0.2)
    for method in ("decision_function", "predict_proba", "predict"):
        assert_allclose(getattr(model, method)(container(X)), getattr(model, method)(X.toarray()), atol=1e-12)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_weights_of_a_fit_on_sparse_rows_are_held_feature_by_feature(solver):
    """Check the memory order, in which sparse rows are multiplied without a copy."""
    _, X = fitted(50, 3)
    Y = np.random.default_rng(0).integers(0, 2, (40, 3))
    assert QuadrantMultiLabelClassifier(solver=solver, max_iter=2).fit(X, Y).coef_.flags.f_contiguous
    assert QuadrantMultiLabelClassifier(solver=solver, max_iter=2).fit(X.toarray(), Y).coef_.flags.c_contiguous


@pytest.mark.parametrize("layout", ["by label", "by feature"])
@pytest.mark.parametrize("n_rows", [1, 600])
def test_prediction_takes_little_memory_beside_the_weights(layout, n_rows):
    """Compare the peak with the size of the weights, 48 MB, of which no copy is made."""
    model, _ = fitted(20000, 300, density=0.0005)
    X = sparse.random(n_rows, 20000, 0.005, "csr", random_state=0)
    model.coef_ = LAYOUTS[layout](model.coef_)
    tracemalloc.start()
    try:
        model.predict_proba(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (0.4 if n_rows > 1 else 0.02) * model.coef_.nbytes


def test_files_keep_the_memory_order(tmp_path):
    """Load a model of sparse rows from a safetensors file."""
    pytest.importorskip("safetensors")
    from sk_quadrant.io import load_safetensors, save_safetensors

    model, X = fitted(50, 3)
    save_safetensors(model, tmp_path / "model.safetensors")
    loaded = load_safetensors(tmp_path / "model.safetensors")
    assert loaded.coef_.flags.f_contiguous
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
