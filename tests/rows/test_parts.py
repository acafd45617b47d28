"""Rows on disk that are read in batches: the fit of all rows in the memory of few."""

import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier

PRECISE = {"tol": 1e-12, "max_iter": 5000}


@pytest.fixture(scope="module")
def problem():
    """Features of mixed scales and centres, many of them zero, labels absent from the first rows, and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((307, 5)) * [1, 2, 3, 1, 0.1] * (rng.random((307, 5)) > 0.5) + [0, 5, 0, 0, 1]
    Y = (X[:, :4] - X[:, :4].mean(axis=0) + rng.standard_normal((307, 4)) > 1).astype(np.uint8)
    Y[:120, 1] = 0
    return X, Y, rng.random(307)


def on_disk(array, folder, name):
    """Return an array, or a sparse matrix, whose memory is a file that can only be read."""
    if sparse.issparse(array):
        parts = [on_disk(getattr(array, part), folder, f"{name}_{part}") for part in ("data", "indices", "indptr")]
        return sparse.csr_matrix(tuple(parts), shape=array.shape)
    np.save(folder / f"{name}.npy", array)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def assert_same_fit(a, b, rtol=1e-10):
    """Compare coefficients and intercepts, relatively to the largest of each."""
    assert_allclose(a.coef_, b.coef_, rtol=0, atol=rtol * np.abs(b.coef_).max())
    assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=rtol * max(1, np.abs(b.intercept_).max()))


@pytest.mark.parametrize("batch_size", [17, 100, 307, 1000])
def test_result_does_not_depend_on_the_batch_size(problem, tmp_path, batch_size):
    """Rows that the batch size does not divide, or of which it has more than there are, give the same coefficients."""
    X, Y, weight = problem
    expected = QuadrantMultiLabelClassifier(tol=1e-10).fit(X, Y, weight)
    clf = QuadrantMultiLabelClassifier(tol=1e-10, batch_size=batch_size)
    assert_same_fit(clf.fit(on_disk(X, tmp_path, "X"), on_disk(Y, tmp_path, "Y"), weight), expected)


def test_the_device_of_batches_is_the_cpu(problem, monkeypatch):
    """Where "auto" is the CPU it is as good as its name; where it is a GPU, rows are not read in batches for it."""
    X, Y, _ = problem
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    clf = QuadrantMultiLabelClassifier(batch_size=100, device="auto")
    assert_same_fit(clf.fit(X, Y), QuadrantMultiLabelClassifier(batch_size=100).fit(X, Y))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(
        ValueError, match="device must be 'cpu' for rows that solver='lbfgs' reads in batches, got 'auto'"
    ):
        clf.fit(X, Y)


@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr"])
@pytest.mark.parametrize("sparse_y", [False, True], ids=["dense y", "sparse y"])
def test_sparse_matrices_on_disk_are_read_in_batches(problem, tmp_path, loss, sparse_y):
    """CSR matrices made of arrays on disk give the coefficients, and the form of predictions, of those in memory."""
    X, Y, _ = problem
    X, Y = sparse.csr_matrix(X), sparse.csr_matrix(Y) if sparse_y else Y
    expected = QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, Y)
    clf = QuadrantMultiLabelClassifier(loss, batch_size=50, **PRECISE)
    clf.fit(on_disk(X, tmp_path, "X"), on_disk(Y, tmp_path, "Y"))
    assert_same_fit(clf, expected)
    assert sparse.issparse(clf.predict(X)) == sparse_y


def test_soft_unknown_and_weighted_labels_are_read_in_batches(problem):
    """Batches without a known label, weights of single labels, and balanced classes are as for all rows."""
    X, Y, _ = problem
    Y = np.where(np.arange(Y.size).reshape(Y.shape) % 3 == 0, np.nan, np.clip(Y, 0.1, 0.9))
    Y[:50] = np.nan
    weight = np.random.default_rng(1).random(Y.shape)
    options = PRECISE | {"missing_labels": "ignore", "class_weight": "balanced"}
    expected = QuadrantMultiLabelClassifier(**options).fit(X, Y, weight)
    assert_same_fit(QuadrantMultiLabelClassifier(batch_size=50, **options).fit(X, Y, weight), expected)


def test_data_frames_and_lists_are_read_in_batches(problem):
    """Names of features and labels are kept; lists are taken as arrays."""
    X, Y, _ = problem
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y)
    frames = pd.DataFrame(X, columns=list("abcde")), pd.DataFrame(Y, columns=list("wxyz"))
    clf = QuadrantMultiLabelClassifier(batch_size=64, **PRECISE).fit(*frames)
    assert clf.feature_names_in_.tolist() == list("abcde")
    assert clf.label_names_in_.tolist() == list("wxyz")
    assert_same_fit(clf, expected)
    assert_same_fit(QuadrantMultiLabelClassifier(batch_size=64, **PRECISE).fit(X.tolist(), Y.tolist()), expected)


def test_classes_need_not_be_in_every_batch(problem):
    """A sorted 1-D y, of which a batch has one class, is fitted as in memory."""
    X = problem[0]
    y = np.sort(np.array(["a", "b", "c"])[np.arange(len(X)) % 3])
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, y)
    clf = QuadrantMultiLabelClassifier(batch_size=64, **PRECISE).fit(X, y)
    assert_same_fit(clf, expected)
    assert_array_equal(clf.predict(X), expected.predict(X))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X, Y: (np.where(X > 6, np.nan, X), Y), "X contains NaN"),
        (lambda X, Y: (X, Y[:300]), "inconsistent numbers of samples"),
        (lambda X, Y: (X, 2 * Y), "y must be 0, 1 or a probability"),
        (lambda X, Y: (X, None), "requires y to be passed"),
    ],
    ids=["X", "rows", "y", "no y"],
)
def test_bad_rows_are_refused(problem, change, match):
    """A batch that is wrong is refused, and the estimator stays as it was."""
    clf = QuadrantMultiLabelClassifier(batch_size=64)
    with pytest.raises(ValueError, match=match):
        clf.fit(*change(*problem[:2]))
    assert not hasattr(clf, "n_features_in_")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_memory_is_that_of_a_batch(tmp_path, kind):
    """A fit of 160 MB on disk in batches of 2 MB adds less than 40 MB of memory, pages of files included."""
    program = f"""
        import numpy as np
        from scipy import sparse
        from sk_quadrant import QuadrantMultiLabelClassifier

        def load(name):
            return np.load("{tmp_path}/" + name + ".npy", mmap_mode="r")

        def peak():
            return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024

        if "{kind}" == "dense":
            X = load("X")
        else:
            X = sparse.csr_matrix((load("data"), load("indices"), load("indptr")), shape=(400_000, 50))
        clf = QuadrantMultiLabelClassifier(batch_size=5000, max_iter=3, tol=1e-1)
        clf.fit(X[:100], np.array(load("Y")[:100]))
        from sk_quadrant._rows.parts import release_pages as release
        release(X)
        open("/proc/self/clear_refs", "w").write("5")
        before = peak()
        clf.fit(X, load("Y"))
        print(peak() - before)
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400_000, 50))
    np.save(tmp_path / "Y.npy", (X[:, :5] > 0.5).astype(np.uint8))
    if kind == "sparse":
        X[rng.random(X.shape) > 0.7] = 0  # as many bytes, with their indices
        X = sparse.csr_matrix(X)
        for part in ("data", "indices", "indptr"):
            np.save(tmp_path / f"{part}.npy", getattr(X, part))
    else:
        np.save(tmp_path / "X.npy", X)
    run = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    added = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert added < 40
