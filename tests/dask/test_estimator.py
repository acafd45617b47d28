"""The estimator on Dask collections against the one in memory."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sk_quadrant import QuadrantMultiLabelClassifier

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:Port 8787 is already in use",
    "ignore:.*unclosed:ResourceWarning",
    "ignore:Couldn.t detect a suitable IP address",
)
PRECISE = {"tol": 1e-12, "max_iter": 2000}
ROWS = (70, 0, 101, 1, 131)  # rows of the blocks: one has none, one has one


def as_blocks(array, rows=ROWS, *, unknown=False, as_block=np.asarray):
    """Return an array in blocks of rows, of sizes that Dask knows or not."""
    starts = np.cumsum([0, *rows])
    kind = as_block(array[:0])
    parts = [
        da.from_delayed(
            dask.delayed(as_block(array[start : start + n])), (np.nan if unknown else n, *array.shape[1:]),
            dtype=array.dtype, meta=kind,
        )
        for start, n in zip(starts, rows, strict=False)
    ]  # fmt: skip
    return da.concatenate(parts, allow_unknown_chunksizes=True)


def as_frame(array, names, rows=ROWS):
    """Return a DataFrame in blocks of rows."""
    frame = pd.DataFrame(array, columns=names)
    starts = np.cumsum([0, *rows])
    parts = [dask.delayed(frame.iloc[start : start + n]) for start, n in zip(starts, rows, strict=False)]
    return dd.from_delayed(parts, meta=frame.iloc[:0])


def assert_same_fit(a, b, rtol=1e-10):
    """Compare coefficients and intercepts, relatively to the largest of each."""
    assert_allclose(a.coef_, b.coef_, rtol=0, atol=rtol * np.abs(b.coef_).max())
    assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=rtol * max(1, np.abs(b.intercept_).max()))


# the fit


@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr"])
def test_coefficients_are_those_of_one_machine(client, problem, loss):
    """Blocks that have no common cut, an empty one among them, weights included, give the fit of all rows."""
    X, Y, weight = problem
    expected = QuadrantMultiLabelClassifier(loss, **PRECISE).fit(X, Y, weight)
    clf = DaskQuadrantMultiLabelClassifier(loss, **PRECISE)
    clf.fit(as_blocks(X), da.from_array(Y, chunks=(100, 2)), da.from_array(weight, chunks=77))
    assert_same_fit(clf, expected)
    assert clf.n_iter_ == expected.n_iter_


@pytest.mark.parametrize("sparse_y", [False, True], ids=["dense y", "sparse y"])
def test_sparse_blocks_stay_sparse(client, problem, sparse_y):
    """Blocks of CSR matrices are fitted as such; predictions of a sparse y are sparse blocks."""
    X, Y, _ = problem
    X = X * (np.abs(X) > 1)
    as_y = sparse.csr_matrix if sparse_y else np.asarray
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(sparse.csr_matrix(X), as_y(Y))
    blocks = as_blocks(X, as_block=sparse.csr_matrix)
    clf = DaskQuadrantMultiLabelClassifier(**PRECISE).fit(blocks, as_blocks(Y, as_block=as_y))
    assert_same_fit(clf, expected)
    found = clf.predict(blocks).compute()
    assert sparse.issparse(found) == sparse_y
    assert_array_equal(sparse.csr_matrix(found).toarray(), sparse.csr_matrix(expected.predict(X)).toarray())


def test_predictions_on_workers_follow_the_sparse_interface_of_the_caller(client, problem):
    """Blocks of lazy predictions are sparse arrays where the setting asked for them when they were ordered."""
    sklearn = pytest.importorskip("sklearn", minversion="1.9")
    X, Y, _ = problem
    clf = DaskQuadrantMultiLabelClassifier().fit(as_blocks(X), as_blocks(Y, as_block=sparse.csr_matrix))
    usual = clf.predict(as_blocks(X)).compute()
    with sklearn.config_context(sparse_interface="sparray"):
        lazy = clf.predict(as_blocks(X))
    found = lazy.compute()
    assert isinstance(usual, sparse.csr_matrix)
    assert isinstance(found, sparse.csr_array)
    assert_array_equal(found.toarray(), usual.toarray())


def test_unknown_sizes_labels_and_weights(client, problem):
    """Blocks of unknown sizes, unknown labels, a block without any known one, and weights of single labels."""
    X, Y, _ = problem
    Y = np.where(np.arange(Y.size).reshape(Y.shape) % 5 == 0, np.nan, Y)
    Y[:70] = np.nan
    weight = np.random.default_rng(1).random(Y.shape)
    options = PRECISE | {"missing_labels": "ignore", "class_weight": "balanced"}
    expected = QuadrantMultiLabelClassifier(**options).fit(X, Y, weight)
    clf = DaskQuadrantMultiLabelClassifier(**options)
    clf.fit(*(as_blocks(part, unknown=True) for part in (X, Y, weight)))
    assert_same_fit(clf, expected)


@pytest.mark.filterwarnings("error:X does not have valid feature names")
def test_data_frames_keep_their_names(client, problem):
    """Names of features and labels come from DataFrames, and predictions take them."""
    X, Y, _ = problem
    names, labels = ["a", "b", "c", "d"], ["x", "y", "z"]
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y)
    frame = as_frame(X, names)
    clf = DaskQuadrantMultiLabelClassifier(**PRECISE).fit(frame, as_frame(Y, labels))
    assert clf.feature_names_in_.tolist() == names
    assert clf.label_names_in_.tolist() == labels
    assert_same_fit(clf, expected)
    assert_allclose(clf.predict_proba(frame).compute(), expected.predict_proba(X), rtol=1e-8)


@pytest.mark.parametrize("classes", [["no", "yes"], [1, 5, 9]], ids=["binary", "multiclass"])
def test_classes_need_not_be_in_every_block(client, problem, classes):
    """A 1-D y that is sorted, so that blocks have few classes, is fitted and predicted as in memory."""
    X = problem[0]
    y = np.sort(np.asarray(classes)[np.arange(len(X)) % len(classes)])
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, y)
    clf = DaskQuadrantMultiLabelClassifier(**PRECISE).fit(as_blocks(X), as_blocks(y))
    assert_same_fit(clf, expected)
    assert_array_equal(clf.predict(as_blocks(X)).compute(), expected.predict(X))
    assert clf.decision_function(as_blocks(X)).shape == expected.decision_function(X).shape


def test_warm_start_goes_on(client, problem):
    """A second fit starts at the solution of the first."""
    X, Y, _ = problem
    clf = DaskQuadrantMultiLabelClassifier(tol=1e-8, warm_start=True).fit(as_blocks(X), as_blocks(Y))
    first = clf.n_iter_
    assert clf.fit(as_blocks(X), as_blocks(Y)).n_iter_ < first / 2


def test_partial_fit_is_that_of_block_after_block(client, problem):
    """The model that has gone through the blocks is that of calls with each of them."""
    X, Y, weight = problem
    options = {"solver": "adamw", "random_state": 0, "batch_size": 16}
    expected = QuadrantMultiLabelClassifier(**options)
    for start, n in zip(np.cumsum([0, *ROWS]), ROWS, strict=False):
        if n:
            rows = slice(start, start + n)
            expected.partial_fit(X[rows], Y[rows], sample_weight=weight[rows])
    clf = DaskQuadrantMultiLabelClassifier(**options)
    clf.partial_fit(*(as_blocks(part) for part in (X, Y)), sample_weight=as_blocks(weight))
    assert_array_equal(clf.coef_, expected.coef_)
    assert clf.n_iter_ == expected.n_iter_ == 4


# what is fitted


def test_predictions_are_lazy_and_block_by_block(client, problem):
    """Predictions are in blocks like X, are computed when asked for, and are those of the estimator in memory."""
    X, Y, _ = problem
    blocks = as_blocks(X)
    clf = DaskQuadrantMultiLabelClassifier().fit(blocks, as_blocks(Y))
    local = clf.to_local()
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        found = getattr(clf, method)(blocks)
        assert isinstance(found, da.Array)
        assert sum(found.chunks[0]) == len(X)
        assert found.numblocks[0] > 1
        assert found.dtype == getattr(local, method)(X).dtype
        assert_allclose(found.compute(), getattr(local, method)(X))
    assert clf.score(blocks, as_blocks(Y)) == pytest.approx(local.score(X, Y))
    assert_array_equal(clf.predict(X), local.predict(X))


def test_to_local_is_an_ordinary_estimator(client, problem):
    """What is fitted is of the class in memory, with the same parameters, and can be pickled."""
    X, Y, _ = problem
    clf = clone(DaskQuadrantMultiLabelClassifier(C=3.0)).fit(as_blocks(X), as_blocks(Y))
    local = pickle.loads(pickle.dumps(clf.to_local()))
    assert type(local) is QuadrantMultiLabelClassifier
    assert local.get_params() == clf.get_params()
    assert_array_equal(local.predict(X), clf.predict(as_blocks(X)).compute())


# errors


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda X, Y: (X.compute(), Y), TypeError, "X must be a Dask array, DataFrame or Series, got ndarray"),
        (lambda X, Y: (X, Y.compute()), TypeError, "y must be a Dask array"),
        (lambda X, Y: (X, Y[:300]), ValueError, "same number of rows, got 303 and 300"),
        (lambda X, Y: (X * np.nan, Y), ValueError, "X contains NaN"),
        (lambda X, Y: (X, Y * 2), ValueError, "y must be 0, 1 or a probability"),
        (lambda X, Y: (X[:0], Y[:0]), ValueError, "X must have at least 1 row"),
    ],
    ids=["X", "y", "rows", "NaN", "values", "no rows"],
)
def test_bad_collections_are_refused(client, problem, change, error, match):
    """The error of a worker is the estimator's own, and the estimator stays unfitted."""
    clf = DaskQuadrantMultiLabelClassifier()
    with pytest.raises(error, match=match):
        clf.fit(*change(*(as_blocks(part) for part in problem[:2])))
    assert not hasattr(clf, "n_features_in_")


def test_blocks_that_do_not_match_are_refused(client, problem):
    """Where sizes are unknown blocks must be as many, and of the same rows."""
    X, Y, _ = problem
    blocks = as_blocks(X, unknown=True)
    with pytest.raises(ValueError, match="same number of blocks when their sizes are unknown, got 5 and 1"):
        DaskQuadrantMultiLabelClassifier().fit(blocks, as_blocks(Y, (303,), unknown=True))
    with pytest.raises(ValueError, match="same row chunks"):
        DaskQuadrantMultiLabelClassifier().fit(blocks, as_blocks(Y, (0, 70, 101, 1, 131), unknown=True))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"solver": "adamw"}, "fit needs solver='lbfgs' on Dask collections"),
        ({"device": "auto"}, "device must be 'cpu'"),
    ],
    ids=["solver", "device"],
)
def test_what_does_not_work_on_collections_is_refused(client, problem, options, match):
    """Solvers that go through batches have partial_fit."""
    with pytest.raises(ValueError, match=match):
        DaskQuadrantMultiLabelClassifier(**options).fit(*(as_blocks(part) for part in problem[:2]))


@pytest.mark.slow
def test_the_recipe_fits_and_ends():
    """The example fits rows on two worker processes, predicts without them, and ends with none of them left."""
    root = Path(__file__).parents[2]
    run = [sys.executable, str(root / "examples" / "distributed" / "many_rows.py")]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[[1 1 1 1 1]]"


@pytest.mark.parametrize(("method", "reason"), [("fit", "'lbfgs' does not stop early"), ("partial_fit", "Use fit")])
def test_validation_data_are_refused(problem, method, reason):
    """Nothing on Dask collections stops early, which is said before a client is needed; None is no validation data."""
    X, Y, _ = problem
    clf = DaskQuadrantMultiLabelClassifier(solver="lbfgs" if method == "fit" else "adamw")
    with pytest.raises(ValueError, match=f"X_val and y_val cannot be used with {method}.*{reason}"):
        getattr(clf, method)(as_blocks(X), as_blocks(Y), X_val=X, y_val=Y, groups=None)


def test_no_client_is_an_error(problem, monkeypatch):
    """Without a client there is nobody to ask, which is said with what to do."""

    def get_client():
        raise ValueError("No clients found")

    monkeypatch.setattr("sk_quadrant.dask._estimator.get_client", get_client)
    with pytest.raises(ValueError, match=r"There is no Dask client. Make one by distributed.Client\(\)"):
        DaskQuadrantMultiLabelClassifier().fit(*(as_blocks(part) for part in problem[:2]))


def _named(array, names):
    return as_frame(array, names), pd.DataFrame(array, columns=names)


def test_labels_are_known_by_name(client, problem):
    """Columns in another order are realigned in fits that go on, in weights and in score; other names are refused."""
    X, Y, _ = problem
    names = [f"label {j}" for j in range(Y.shape[1])]
    lazy, y = _named(Y, names)
    weight, W = _named(np.random.default_rng(0).random(Y.shape), names)
    moved = names[::-1]
    rows = as_frame(X, [f"x{j}" for j in range(X.shape[1])])
    clf = DaskQuadrantMultiLabelClassifier(warm_start=True, **PRECISE).fit(rows, lazy, sample_weight=weight[moved])
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(X, y, sample_weight=W)
    assert_allclose(clf.coef_, expected.coef_, rtol=1e-8)
    score = clf.score(rows, lazy[moved], sample_weight=weight[moved])
    assert score == pytest.approx(expected.score(X, y, sample_weight=W))
    assert clf.fit(rows, lazy[moved]).label_names_in_.tolist() == names
    with pytest.raises(ValueError, match="y must have the labels of fit as columns"):
        clf.fit(rows, lazy.rename(columns={names[0]: "other"}))


def test_a_column_is_one_label(client, problem):
    """In the form of a 1-D y, also where some blocks have unknown labels."""
    X, Y, _ = problem
    for column in (Y[:, [0]], np.where(np.arange(len(Y)) % 5 == 0, np.nan, Y[:, 0])[:, None]):
        y = pd.DataFrame(column, columns=["spam"])
        clf = DaskQuadrantMultiLabelClassifier(missing_labels="ignore", **PRECISE).fit(as_blocks(X), as_blocks(column))
        expected = QuadrantMultiLabelClassifier(missing_labels="ignore", **PRECISE).fit(X, y)
        assert_same_fit(clf, expected)
        assert clf.predict(as_blocks(X)).compute().shape == (len(X),)
        assert clf.predict_proba(as_blocks(X)).compute().shape == (len(X), 2)
        assert clf.score(as_blocks(X), as_blocks(column)) == pytest.approx(expected.score(X, y))
