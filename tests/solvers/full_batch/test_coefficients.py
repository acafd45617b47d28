"""Weights below `coef_threshold`: the others are those of a dense fit, and the dense matrix never exists."""

import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant._solvers.full_batch.coefficients import ThresholdedCoefficients  # memory shows from the inside only
from sk_quadrant._solvers.full_batch.stages import Minimization

RNG = np.random.default_rng(0)
TEXT = sparse.random(200, 150, 0.05, "csr", random_state=0)
TAGS = (RNG.random((200, 9)) < 0.2).astype(int)
THRESHOLD = 0.2


def fit(X=TEXT, Y=TAGS, threshold=THRESHOLD, **options):
    """Return a model whose small weights are dropped."""
    return QuadrantMultiLabelClassifier(coef_threshold=threshold, **options).fit(X, Y)


def dropped(coef, threshold=THRESHOLD):
    """Return weights with zeros in place of the small ones."""
    return np.where(np.abs(coef) < threshold, 0, coef)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_rows", [sparse.csr_array, sparse.csr_matrix.toarray], ids=["sparse", "dense"])
@pytest.mark.parametrize("loss", ["bce_with_logits", "squared_hinge", "zlpr"])
def test_large_weights_are_those_of_a_dense_fit(loss, as_rows, dtype, monkeypatch):
    """Compare weights, intercepts and scores, with the labels in several blocks."""
    monkeypatch.setattr("sk_quadrant._solvers.full_batch.solve.BLOCK_ELEMENTS", 4 * 200)
    X = as_rows(TEXT.astype(dtype))
    whole, model = (fit(X, threshold=threshold, loss=loss) for threshold in (0.0, THRESHOLD))
    assert isinstance(model.coef_, sparse.csr_matrix)
    assert model.coef_.dtype == dtype
    assert 0 < model.coef_.nnz < 0.9 * whole.coef_.size
    assert_array_equal(model.coef_.toarray(), dropped(whole.coef_))
    assert_array_equal(model.intercept_, whole.intercept_)
    scores = X @ dropped(whole.coef_).T + whole.intercept_
    assert_allclose(model.decision_function(X), scores, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-5)
    assert_array_equal(model.predict(X), scores > 0)


def test_a_single_label_and_classes_have_sparse_weights():
    """Fit a 1-D y of two and of three classes."""
    for y in (TAGS[:, 0], TAGS[:, 0] + TAGS[:, 1]):
        whole, model = fit(TEXT, y, 0.0), fit(TEXT, y)
        assert_array_equal(model.coef_.toarray(), dropped(whole.coef_))
        assert_array_equal(np.unique(model.predict(TEXT)), np.unique(whole.predict(TEXT)))


def test_the_dense_matrix_never_exists(monkeypatch):
    """Compare the peak of a fit, and the largest block that is written, with the dense matrix of 48 MB.

    There are fewer rows than features, so that all labels are solved together in a small space.
    """
    n_features, n_labels = 6000, 1000
    X = sparse.random(60, n_features, 0.005, "csr", random_state=0)
    Y = sparse.random(60, n_labels, 0.05, "csr", random_state=1, data_rvs=np.ones)
    put, sizes = ThresholdedCoefficients.put, []

    def watched(self, labels, *args):
        sizes.append(len(labels) * n_features)
        put(self, labels, *args)

    monkeypatch.setattr(ThresholdedCoefficients, "put", watched)
    monkeypatch.setattr("sk_quadrant._solvers.full_batch.solve.BLOCK_ELEMENTS", 2**20)
    tracemalloc.start()  # of NumPy; PyTorch allocates outside
    try:
        model = fit(X, Y, 0.5, tol=0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert model.coef_.shape == (n_labels, n_features)
    assert max(sizes) <= 2**20
    assert peak < 0.5 * 8 * n_features * n_labels


def test_densify_and_sparsify_go_to_and_fro():
    """Convert weights, and predict the same."""
    model = fit()
    scores = model.decision_function(TEXT)
    assert isinstance(model.densify().coef_, np.ndarray)
    assert_allclose(model.decision_function(TEXT), scores, atol=1e-12)
    assert sparse.issparse(model.sparsify().coef_)
    assert_allclose(model.decision_function(TEXT), scores, atol=1e-12)


def test_a_warm_start_continues_from_sparse_weights_and_to_dense_ones():
    """Fit again with and without a threshold; fewer iterations are needed, and the solution is the same."""
    model = fit(warm_start=True, tol=1e-6)
    first, n_iter = model.coef_.toarray(), model.n_iter_
    model.fit(TEXT, TAGS)
    assert model.n_iter_ < n_iter
    assert_allclose(model.coef_.toarray(), first, atol=1e-4)
    dense = model.set_params(coef_threshold=0.0).fit(TEXT, TAGS)
    assert_allclose(dense.coef_, fit(threshold=0.0, tol=1e-6).coef_, atol=1e-4)
    assert_allclose(dense.set_params(coef_threshold=THRESHOLD).fit(TEXT, TAGS).coef_.toarray(), first, atol=1e-4)


def test_the_net_is_built_from_sparse_weights():
    """Ask the net for probabilities."""
    model = fit(TEXT.toarray())
    assert_allclose(model.net_.predict_proba(TEXT.toarray()), model.predict_proba(TEXT), atol=1e-7)


def test_saved_models_stay_sparse(tmp_path):
    """Save by pickle and as safetensors."""
    pytest.importorskip("safetensors")
    from sk_quadrant.io import load_safetensors, save_safetensors

    model = fit()
    save_safetensors(model, tmp_path / "model.safetensors")
    for loaded in (load_safetensors(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert sparse.issparse(loaded.coef_)
        assert_array_equal(loaded.decision_function(TEXT), model.decision_function(TEXT))


@pytest.mark.parametrize(
    "meta", [TunedThresholdMultiLabelClassifierCV, CalibratedMultiLabelClassifierCV], ids=lambda meta: meta.__name__
)
def test_meta_estimators_take_sparse_weights(meta):
    """Fit around a classifier with a threshold."""
    fitted = meta(QuadrantMultiLabelClassifier(coef_threshold=THRESHOLD, tol=0.1), cv=2).fit(TEXT, TAGS)
    assert fitted.predict(TEXT).shape == TAGS.shape


def test_rows_on_disk_give_the_same_weights():
    """Read rows in batches."""
    assert_allclose(fit(batch_size=50, tol=1e-6).coef_.toarray(), fit(tol=1e-6).coef_.toarray(), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "adamw"}, "coef_threshold=0.2 is not possible with solver='adamw', whose steps change the weights"),
        ({"callbacks": [object()]}, "coef_threshold=0.2 cannot be used with callbacks"),
    ],
)
def test_what_needs_dense_weights_is_refused(options, message):
    """Check the errors, which leave the estimator as it was."""
    model = QuadrantMultiLabelClassifier(coef_threshold=THRESHOLD, **options)
    with pytest.raises(ValueError, match=message):
        model.fit(TEXT, TAGS)
    assert not hasattr(model, "model_")


def test_an_interrupted_fit_keeps_what_was_solved(monkeypatch):
    """Press Ctrl-C in the second of several blocks of labels."""
    X, Y = TEXT.toarray(), TAGS
    monkeypatch.setattr("sk_quadrant._solvers.full_batch.solve.BLOCK_ELEMENTS", 151)
    run, calls = Minimization.run, []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setattr(Minimization, "run", interrupted)
    with pytest.warns(match="Training was interrupted"):
        model = fit(X, Y)
    assert model.coef_.shape == (9, 150)
    assert (np.diff(model.coef_.indptr) > 0).sum() == 1
