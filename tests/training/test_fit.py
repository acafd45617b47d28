"""Training in several calls: partial_fit, warm_start, and what they keep across pickling."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.neural_network import MLPClassifier

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_rows(n_samples=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, 4))
    return X, (X[:, :3] + rng.standard_normal((n_samples, 3)) > 0.3).astype(int)


def make_classifier(**params):
    defaults = {"solver": "adamw", "max_iter": 3, "batch_size": 16, "random_state": 0, "learning_rate_init": 0.02}
    return QuadrantMultiLabelClassifier(**defaults | params)


def through_pickle(clf):
    return pickle.loads(pickle.dumps(clf))


KINDS = pytest.mark.parametrize(
    "params", [{}, {"solver": "sgd"}, {"hidden_layer_sizes": (5,)}], ids=["adamw", "sgd", "network"]
)


@KINDS
def test_partial_fit_goes_on_across_pickling_as_without_it(params):
    """Four calls with a pickle in between give the bits of four calls: moments, order and all."""
    X, Y = make_rows()
    straight, halted = make_classifier(**params), make_classifier(**params)
    for start in range(0, 120, 30):
        rows = slice(start, start + 30)
        straight.partial_fit(X[rows], Y[rows])
        halted = through_pickle(halted.partial_fit(X[rows], Y[rows]))
    np.testing.assert_array_equal(halted.decision_function(X), straight.decision_function(X))
    assert straight.n_iter_ == len(straight.loss_curve_) == 4
    assert [row["epoch"] for row in straight.history_] == [1, 2, 3, 4]


@KINDS
def test_warm_start_goes_on_across_pickling_as_without_it(params):
    """Two fits with a pickle in between give the bits of two fits."""
    X, Y = make_rows()
    straight = make_classifier(**params, warm_start=True).fit(X, Y).fit(X, Y)
    halted = through_pickle(make_classifier(**params, warm_start=True).fit(X, Y)).fit(X, Y)
    np.testing.assert_array_equal(halted.decision_function(X), straight.decision_function(X))
    assert straight.loss_curve_[0] < make_classifier(**params).fit(X, Y).loss_curve_[-1]


def test_warm_start_goes_on_with_the_moments():
    """On all rows at once twice three epochs are six, which holds only with the optimizer's memory."""
    X, Y = make_rows()
    twice = make_classifier(batch_size=120, warm_start=True, tol=0).fit(X, Y).fit(X, Y)
    once = make_classifier(batch_size=120, max_iter=6, tol=0).fit(X, Y)
    np.testing.assert_allclose(twice.coef_, once.coef_, rtol=1e-10)


def test_what_is_kept_are_plain_arrays():
    """A pickle names no class of PyTorch or skorch, and without warm_start holds no moments."""
    X, Y = make_rows()
    kept = pickle.dumps(make_classifier(warm_start=True).fit(X, Y))
    assert b"torch" not in kept
    assert b"skorch" not in kept
    assert b"exp_avg" in kept
    assert b"exp_avg" not in pickle.dumps(make_classifier().fit(X, Y))


def test_another_solver_begins_without_the_moments():
    """After a change from adamw to sgd partial_fit starts from the coefficients alone."""
    X, Y = make_rows()
    clf = make_classifier().partial_fit(X, Y)
    before = clf.coef_.copy()
    clf.set_params(solver="sgd", learning_rate_init=1e-9).partial_fit(X, Y)
    np.testing.assert_allclose(clf.coef_, before, atol=1e-6)


@pytest.mark.parametrize("as_sparse", [False, True], ids=["dense", "sparse"])
def test_partial_fit_learns_from_chunks(as_sparse):
    """Ten passes over chunks of 50 rows come close to the full-batch solution."""
    X, Y = make_rows(400)
    clf = make_classifier(C=np.inf, learning_rate_init=0.05)
    for _ in range(10):
        for start in range(0, 400, 50):
            rows = X[start : start + 50]
            clf.partial_fit(sparse.csr_matrix(rows) if as_sparse else rows, Y[start : start + 50])
    exact = QuadrantMultiLabelClassifier(C=np.inf).fit(X, Y)
    assert np.abs(clf.coef_ - exact.coef_).max() < 0.25


@pytest.mark.parametrize("solver", ["adamw", "sgd"])
def test_errors_of_partial_fit_are_those_of_scikit_learns_network(solver):
    """The classes are needed at first and must stay, and y must not have other ones."""
    X, Y = make_rows()
    y = Y.sum(axis=1) % 3
    clf, theirs = make_classifier(solver=solver), MLPClassifier(max_iter=2)

    def message(call):
        with pytest.raises(ValueError) as info:  # noqa: PT011
            call()
        return str(info.value)

    for estimator in (clf, theirs):
        assert "classes must be passed on the first call" in message(lambda: estimator.partial_fit(X, y))  # noqa: B023
        estimator.partial_fit(X, y, classes=[0, 1, 2])
        assert "is not the same as" in message(lambda: estimator.partial_fit(X, y, classes=[0, 1]))  # noqa: B023
        assert "not in `self.classes_`" in message(lambda: estimator.partial_fit(X, y + 1))  # noqa: B023


def test_labels_must_stay_the_same():
    """Another number of labels in a later call is an error, and the model stays as it was."""
    X, Y = make_rows()
    clf = make_classifier().partial_fit(X, Y)
    before = clf.coef_
    with pytest.raises(ValueError, match="3 labels as in the first call, got 2"):
        clf.partial_fit(X, Y[:, :2])
    assert clf.coef_ is before
    warm = make_classifier(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="3 labels"):
        warm.fit(X, Y[:, :2])


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"early_stopping": True}, "rows held out"),
        ({"learning_rate": "cosine"}, "number of steps is not known"),
        ({"warmup_fraction": 0.1}, "number of steps is not known"),
    ],
    ids=["early-stopping", "cosine", "warmup"],
)
def test_partial_fit_refuses_what_needs_all_rows_or_epochs(params, reason):
    """The error names the parameter and the reason."""
    with pytest.raises(ValueError, match=f"partial_fit does not support {next(iter(params))}=.*{reason}"):
        make_classifier(**params).partial_fit(*make_rows())


@pytest.mark.parametrize("name", ["X_val", "y_val", "sample_weight_val", "groups"])
def test_partial_fit_refuses_validation_data(name):
    """The error names the parameter of `fit` and the reason; None is as if it was not passed."""
    clf, (X, Y) = make_classifier(), make_rows()
    with pytest.raises(ValueError, match=f"{name} cannot be used with partial_fit: .*does not stop early. Use fit"):
        clf.partial_fit(X, Y, **{name: X})
    assert not hasattr(clf, "coef_")
    assert hasattr(clf.partial_fit(X, Y, **{name: None}), "coef_")


def test_partial_fit_refuses_unknown_parameters():
    """A misspelt name is a TypeError, as of any function."""
    with pytest.raises(TypeError, match="partial_fit got an unexpected keyword argument 'X_vall'"):
        make_classifier().partial_fit(*make_rows(), X_vall=None)


def test_an_error_in_training_leaves_the_model_as_it_was():
    """A learning rate that makes the loss infinite raises, and predictions are those of before."""
    X, Y = make_rows()
    clf = make_classifier(loss="exponential", warm_start=True).fit(X, Y)
    before = pickle.dumps(clf)
    with pytest.raises(FloatingPointError, match=r"loss became .*lower learning_rate_init"):
        clf.set_params(learning_rate_init=1e6).fit(X, Y)
    assert pickle.dumps(clf.set_params(learning_rate_init=0.02)) == before


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_streaming_a_memory_mapped_array_needs_little_memory(tmp_path):
    """A pass over 400 000 x 50 numbers in chunks, and one in a single call, add less than 100 MB each."""
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(400_000, 50))
    rng = np.random.default_rng(0)
    for start in range(0, 400_000, 50_000):
        X[start : start + 50_000] = rng.standard_normal((50_000, 50), dtype=np.float32)
    np.save(tmp_path / "Y.npy", (X[:, :5] > 0).astype(np.uint8))
    X.flush()
    code = textwrap.dedent(
        """
        import sys, threading, time
        import numpy as np
        from sk_quadrant import QuadrantMultiLabelClassifier

        def anonymous():  # pages of the file itself can be dropped at any time
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

        X, Y = np.load("X.npy", mmap_mode="r"), np.load("Y.npy", mmap_mode="r")
        size = int(sys.argv[1])
        QuadrantMultiLabelClassifier(solver="adamw").partial_fit(X[:1000], Y[:1000])
        before, peak, done = anonymous(), [0.0], threading.Event()

        def watch():
            while not done.is_set():
                peak[0] = max(peak[0], anonymous())
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        clf = QuadrantMultiLabelClassifier(solver="adamw", random_state=0)
        for start in range(0, len(X), size):
            clf.partial_fit(X[start : start + size], Y[start : start + size])
        done.set()
        watcher.join()
        assert clf.score(X[:1000], Y[:1000]) > 0.8
        print(peak[0] - before)
        """
    )
    for size in (20_000, 400_000):
        command = [sys.executable, "-c", code, str(size)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) < 100


@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr"])
def test_a_model_that_is_far_off_does_not_hold_a_fit_back(loss):
    """Data that have moved far from the present model are fitted as well as from the beginning."""
    X, Y = make_quadrants(1000, slope=3, random_state=0)
    clf = QuadrantMultiLabelClassifier(loss, warm_start=True, tol=1e-7).fit(X, Y)
    clf.fit(X + 10, Y)
    fresh = QuadrantMultiLabelClassifier(loss, tol=1e-7).fit(X + 10, Y)
    assert_allclose(clf.coef_, fresh.coef_, rtol=1e-4)


def test_a_model_that_fits_already_needs_no_iteration():
    """The same data again end where they began."""
    X, Y = make_quadrants(1000, slope=3, random_state=0)
    clf = QuadrantMultiLabelClassifier(warm_start=True).fit(X, Y)
    assert clf.fit(X, Y).n_iter_ <= 1
