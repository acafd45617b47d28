"""Equal content gives equal models: features and labels in every dtype and memory layout, against the plainest."""

import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.losses import LOSSES

pytestmark = pytest.mark.filterwarnings(
    "error::RuntimeWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",  # few epochs, on purpose
    "ignore:.* labels have no positive or no negative row:UserWarning",
)

DTYPES = ["f2", "f4", "f8", ">f4", ">f8", "g", "i1", "u1", "i4", "u8", "i8", "?", "O"]
SMOOTH = sorted(name for name in LOSSES if LOSSES[name]().convex and name != "hinge")
SINGLE_PRECISION = 5e-3  # of scores: tol has a floor of about 4e-4 there
META_ESTIMATORS = {
    "tuned": TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(tol=1e-8), cv=2),
    "calibrated": CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(tol=1e-8), cv=2, ensemble=False),
}


# %% layouts of dense arrays


def strided(array):
    """Return a view of every third entry of a larger array."""
    larger = np.zeros((3 * array.shape[0], 3 * array.shape[1]), dtype=array.dtype)
    larger[1::3, 2::3] = array
    return larger[1::3, 2::3]


def backwards(array):
    """Return a view with negative strides."""
    return array[::-1, ::-1].copy()[::-1, ::-1]


def read_only(array):
    """Return a copy that cannot be written to."""
    array = array.copy()
    array.flags.writeable = False
    return array


def field(array):
    """Return a field of records, whose rows are not a whole number of entries apart."""
    records = np.zeros(len(array), dtype=[("flag", "u1"), ("row", array.dtype, array.shape[1:])])
    records["row"] = array
    return records["row"]


def unaligned(array):
    """Return an array that begins in the middle of a word."""
    if array.dtype == object:
        return array
    memory = np.zeros(array.nbytes + 1, dtype="u1")[1:].view(array.dtype).reshape(array.shape)
    memory[:] = array
    return memory


def mapped(array):
    """Return an array on disk."""
    if array.dtype == object:
        return array
    with tempfile.NamedTemporaryFile() as file:
        np.save(file, array)
        file.flush()
        return np.load(file.name, mmap_mode="r")


DENSE = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": strided,
    "backwards": backwards,
    "read-only": read_only,
    "field": field,
    "unaligned": unaligned,
    "mapped": mapped,
    "list": lambda array: array.tolist(),
}


# %% layouts of sparse matrices


@st.composite
def entries(draw, array):
    """Draw the coordinates of an array in any order, with zeros that are stored and values in several parts."""
    rows, columns = np.indices(array.shape).reshape(2, -1)
    values = array.ravel()
    parts = draw(st.lists(st.integers(0, 2), min_size=array.size, max_size=array.size))
    kept = [k for k in range(array.size) if values[k] or parts[k]]
    split = [] if array.dtype == bool else [k for k in kept if parts[k] == 2]
    where = np.array(draw(st.permutations(kept + split)), dtype=int)
    halves = np.array([values[k] for k in where], dtype=array.dtype)
    for k in split:
        first, second = np.flatnonzero(where == k)
        halves[first], halves[second] = values[k] + 1, -1
    return rows[where], columns[where], halves


def compress(rows, columns, values, shape, index):
    """Return the three arrays of a compressed matrix in the order and with the repetitions of its coordinates."""
    order = np.argsort(rows, kind="stable")
    offsets = np.r_[0, np.cumsum(np.bincount(rows, minlength=shape[0]))]
    return values[order], columns[order].astype(index), offsets.astype(index)


@st.composite
def sparse_layouts(draw, array):
    """Draw a sparse matrix or array of any format and index, canonical or not."""
    rows, columns, values = draw(entries(array))
    index = draw(st.sampled_from([np.int32, np.int64]))
    suffix = draw(st.sampled_from(["array", "matrix"]))
    name = draw(st.sampled_from(["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]))
    make = getattr(sparse, f"{name}_{suffix}")
    if name == "csr":
        return make(compress(rows, columns, values, array.shape, index), shape=array.shape)
    if name == "csc":
        return make(compress(columns, rows, values, array.shape[::-1], index), shape=array.shape)
    if name == "coo":
        return make((values, (rows.astype(index), columns.astype(index))), shape=array.shape)
    return make(array)


# %% arrays


@st.composite
def numbers(draw, shape, dtype):
    """Draw an array of few bits, so that every dtype holds it and sums of it are exact."""
    low, high = (0, 1) if dtype == "?" else (0, 9) if "u" in dtype else (-9, 9)
    array = draw(arrays(np.int64, shape, elements=st.integers(low, high)))
    return (array if dtype in ("?", "i1", "u1", "i4", "u8", "i8") else array / 4).astype(dtype)


@st.composite
def features(draw, n_rows):
    """Draw features as they come, and the same in the plainest form."""
    dtype = draw(st.sampled_from(DTYPES))
    array = draw(numbers((n_rows, draw(st.integers(1, 4))), dtype))
    plain = np.ascontiguousarray(array, dtype=np.float32 if dtype == "f4" else np.float64)
    if dtype in ("f4", "f8", "i4", "i8", "?") and draw(st.booleans()):
        return draw(sparse_layouts(array)), plain
    layout = DENSE[draw(st.sampled_from(sorted(DENSE)))](array)
    return layout, np.float64(plain) if isinstance(layout, list) else plain


@st.composite
def targets(draw, n_rows, *, soft=True):
    """Draw a label matrix as it comes, and the same in the plainest form."""
    shape = n_rows, draw(st.integers(2, 3))
    kind = draw(st.sampled_from(["hard", "sparse", "soft", "unknown"] if soft else ["hard", "sparse"]))
    hard = draw(arrays(np.int64, shape, elements=st.integers(0, 1)))
    if kind == "hard":
        array = hard.astype(draw(st.sampled_from(DTYPES)))
    elif kind == "sparse":
        return draw(sparse_layouts(hard.astype(draw(st.sampled_from(["f4", "f8", "i1", "i8", "?"]))))), hard
    else:
        array = np.where(hard, 0.5, draw(arrays(np.int64, shape, elements=st.integers(0, 8))) / 8)
        if kind == "unknown":
            array[draw(arrays(bool, shape, elements=st.booleans()))] = np.nan
            array[0] = hard[0]
        array = array.astype(draw(st.sampled_from(["f2", "f4", "f8", ">f4", ">f8", "g", "O"])))
    plain = np.ascontiguousarray(array, dtype=np.float64)
    return DENSE[draw(st.sampled_from(sorted(DENSE)))](array), plain if kind in ("soft", "unknown") else hard


n_rows = st.integers(4, 12)


def responses(model, X):
    """Return all that a model says about rows, as dense arrays."""
    names = [name for name in ("decision_function", "predict_proba") if hasattr(model, name)]
    return {name: np.asarray(getattr(model, name)(X)) for name in names}


def assert_same(model, other, X, plain_X, *, atol):
    """Check that two models say the same about the same rows, and each the same about rows in two layouts."""
    for name, expected in responses(other, plain_X).items():
        found = getattr(model, name)(X)
        assert found.shape == expected.shape
        assert np.isfinite(found).all()
        scale = 1 + np.abs(expected).max()
        far = 10  # a score without a best value, that of a label that is always there, is only known to be far
        assert_allclose(found.clip(-far, far), expected.clip(-far, far), rtol=0, atol=atol * scale)
        assert_allclose(found, getattr(model, name)(plain_X), rtol=1e-5, atol=1e-6 * scale)
    assert model.predict(X).shape == other.predict(plain_X).shape


@given(data=st.data(), n_rows=n_rows, loss=st.sampled_from(SMOOTH), intercept=st.booleans())
def test_full_batch_fits_do_not_depend_on_the_layout(data, n_rows, loss, intercept):
    """Where there is one solution, features and labels of any dtype and layout lead to it."""
    X, plain_X = data.draw(features(n_rows))
    y, plain_y = data.draw(targets(n_rows))
    clf = QuadrantMultiLabelClassifier(loss, C=0.5, fit_intercept=intercept, tol=1e-8, missing_labels="ignore")
    model, other = clone(clf).fit(X, y), clone(clf).fit(plain_X, plain_y)
    assert model.coef_.dtype == plain_X.dtype
    assert_same(model, other, X, plain_X, atol=SINGLE_PRECISION if plain_X.dtype == np.float32 else 1e-5)


@given(data=st.data(), n_rows=n_rows, loss=st.sampled_from(sorted(LOSSES)), solver=st.sampled_from(["adamw", "sgd"]))
def test_steps_through_batches_do_not_depend_on_the_layout(data, n_rows, loss, solver):
    """Batches of the same rows take the same steps."""
    X, plain_X = data.draw(features(n_rows))
    y, plain_y = data.draw(targets(n_rows))
    clf = QuadrantMultiLabelClassifier(
        loss,
        solver=solver,
        max_iter=3,
        batch_size=3,
        learning_rate_init=1e-3,
        random_state=0,
        missing_labels="ignore",
    )
    model, other = clone(clf).fit(X, y), clone(clf).fit(plain_X, plain_y)
    assert_same(model, other, X, plain_X, atol=1e-4)


@pytest.mark.parametrize("meta", META_ESTIMATORS)
@given(data=st.data(), n_rows=n_rows)
def test_meta_estimators_do_not_depend_on_the_layout(meta, data, n_rows):
    """They train the same classifier on all rows, and answer in the form of the labels.

    Maps and thresholds are found from few scores, which may differ by no more than rounding.
    """
    X, plain_X = data.draw(features(n_rows))
    y, plain_y = data.draw(targets(n_rows, soft=False))
    model, other = (clone(META_ESTIMATORS[meta]).fit(*pair) for pair in ((X, y), (plain_X, plain_y)))
    inner, plain = (
        one.estimator_ if meta == "tuned" else one.calibrated_classifiers_[0].estimator for one in (model, other)
    )
    assert_same(inner, plain, X, plain_X, atol=SINGLE_PRECISION if plain_X.dtype == np.float32 else 1e-4)
    assert np.isfinite(model.predict_proba(X)).all()
    predicted = model.predict(X)
    assert predicted.dtype == np.int64
    assert sparse.issparse(predicted) == sparse.issparse(y)
