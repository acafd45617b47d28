"""Hostile input: extreme numbers, degenerate shapes and odd containers give a right result or one clear error."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant._solvers.registry import SOLVERS
from sk_quadrant.losses import LOSSES
from sk_quadrant.metrics import multilabel_log_loss, precision_at_k_score

PRECISE = {"tol": 1e-10, "max_iter": 2000}
X, Y = make_quadrants(n_samples=60, n_features=4, slope=3.0, random_state=0)
Y = Y[:, :3]
CONTAINERS = {"dense": np.asarray, "sparse": sparse.csr_array}

each_container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
each_loss = pytest.mark.parametrize("name", LOSSES)
each_solver = pytest.mark.parametrize("solver", SOLVERS)


def quick(solver, **options):
    """Return an estimator whose training by epochs is short and whose steps suit features of about 1."""
    epochs = {"max_iter": 200, "learning_rate_init": 0.02, "random_state": 0} if SOLVERS[solver].random else {}
    return QuadrantMultiLabelClassifier(solver=solver, **epochs | options)


# %% magnitudes


@each_container
@pytest.mark.parametrize("scale", [1e30, 1e150, 1e-30, 1e-150])
def test_a_full_batch_fit_does_not_mind_the_unit_of_features(scale, container):
    """Without a penalty huge and tiny features give the scores of ordinary ones."""
    rows, labels = make_quadrants(n_samples=240, n_features=3, slope=2.0, random_state=0)
    plain, scaled = (
        QuadrantMultiLabelClassifier(C=np.inf, tol=1e-6).fit(container(factor * rows), labels)
        for factor in (1.0, scale)
    )
    assert_allclose(scaled.decision_function(scale * rows), plain.decision_function(rows), rtol=1e-4, atol=1e-5)


@each_container
@pytest.mark.parametrize("scales", [[1e30, 1, 1, 1e-30], [1e100, 1, 1e-100, 1e-300]], ids=str)
def test_features_of_unlike_units_are_solved_together(scales, container):
    """The columns that a penalty leaves some weight have that of the exact solution, whatever stands beside them."""
    scaled = X * np.array(scales)
    clf = QuadrantMultiLabelClassifier(**PRECISE).fit(container(scaled), Y)
    free = np.array(scales) >= 1  # of the others the penalty is far above what they could gain
    exact = np.where(np.array(scales) > 1, X * 1e6, X)[:, free]  # a weight so small that its penalty does not matter
    expected = QuadrantMultiLabelClassifier(**PRECISE).fit(exact, Y)
    assert_allclose(clf.decision_function(scaled), expected.decision_function(exact), rtol=1e-3, atol=1e-4)


@each_solver
def test_denormal_features_say_nothing(solver):
    """Features next to zero, in which no penalised weight can make a difference, leave the frequencies."""
    clf = quick(solver).fit(5e-310 * X, Y)
    assert np.isfinite(clf.coef_).all()
    frequencies = np.broadcast_to(Y.mean(axis=0), Y.shape)
    assert_allclose(clf.predict_proba(5e-310 * X), frequencies, atol=1e-3 if solver == "lbfgs" else 0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_solver
def test_features_whose_squares_overflow_are_an_error_in_every_solver(solver, dtype):
    """Adaptive steps would be zero, and training would end where it began without a word."""
    huge = X.astype(dtype) * (np.finfo(dtype).max ** 0.9)
    clf = quick(solver)
    with pytest.raises(FloatingPointError, match=r"[Ss]cale.* X"):
        clf.fit(huge, Y)
    assert not hasattr(clf, "coef_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the answer does not matter
@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,)], ids=["linear", "network"])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_scores_beyond_all_numbers_are_an_error(method, hidden_layer_sizes):
    """Rows so large that a score is infinity, or infinity minus infinity, are refused: its sign may be wrong."""
    rows = np.random.default_rng(0).normal(size=(60, 2))
    clf = quick("adamw", hidden_layer_sizes=hidden_layer_sizes, activation="identity")
    clf.set_params(C=np.inf, learning_rate_init=2.0)
    clf.fit(0.01 * rows, np.c_[rows @ [1, -1] > 0, rows @ [-1, 1] > 0])  # small features have large weights
    with pytest.raises(FloatingPointError, match=r"Scores overflow float64 \(max abs\(X\) = 1e\+308\)"):
        getattr(clf, method)([[0.1, 0.2], [1e308, 1e308]])


def test_a_row_without_weight_may_have_an_infinite_loss():
    """An outlier that is weighed out does not come back as zero times infinity."""
    rows = np.r_[X, [[1e4, -1e4, 1e4, -1e4]]]
    targets, weight = np.r_[Y, [[0, 1, 0]]], np.r_[np.ones(len(X)), 0]
    clf = QuadrantMultiLabelClassifier("exponential", **PRECISE).fit(rows, targets, sample_weight=weight)
    assert_allclose(clf.coef_, QuadrantMultiLabelClassifier("exponential", **PRECISE).fit(X, Y).coef_, rtol=1e-6)


# %% columns


@each_container
@pytest.mark.parametrize("value", [0.0, 1.0, 1e6])
def test_a_constant_feature_takes_no_part(value, container):
    """Next to an intercept it has nothing to say: its weight is zero, the others' are as without it."""
    without = QuadrantMultiLabelClassifier(**PRECISE).fit(container(X), Y)
    clf = QuadrantMultiLabelClassifier(**PRECISE).fit(container(np.c_[X, np.full(len(X), value)]), Y)
    assert_allclose(clf.coef_[:, :4], without.coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(clf.coef_[:, 4], 0, atol=1e-9)


@each_container
def test_nothing_but_constant_features_leaves_the_frequencies(container):
    """There is nothing to learn but how often each label is present."""
    clf = QuadrantMultiLabelClassifier().fit(container(np.ones((60, 2))), Y)
    assert_allclose(clf.predict_proba(np.ones((1, 2)))[0], Y.mean(axis=0), rtol=1e-6)


@each_container
@pytest.mark.parametrize("C", [1.0, np.inf])
def test_duplicated_columns_share_their_weight(C, container):
    """Twice the same features share the weight, which with a penalty is that of features longer by a root of two."""
    clf = QuadrantMultiLabelClassifier(C=C, **PRECISE).fit(container(np.c_[X, X]), Y)
    longer = QuadrantMultiLabelClassifier(C=C, **PRECISE).fit(container(np.sqrt(2) * X), Y)
    assert_allclose(clf.coef_[:, :4] + clf.coef_[:, 4:], np.sqrt(2) * longer.coef_, rtol=1e-5)
    assert_allclose(clf.coef_[:, :4], clf.coef_[:, 4:], rtol=1e-5)


@each_container
@each_loss
def test_separable_data_without_a_penalty_are_separated(name, container):
    """Coefficients without an optimum stay finite, and every label is right."""
    signs = (X[:, :3] > 0).astype(int)
    clf = QuadrantMultiLabelClassifier(name, C=np.inf).fit(container(X), signs)
    assert np.isfinite(clf.coef_).all()
    assert_array_equal(clf.predict(X), signs)


# %% sizes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # present or absent is enough
@pytest.mark.parametrize("n_features", [1, 4])
@each_loss
def test_one_row_is_learnt(name, n_features):
    """A single row is predicted as it is, with all solvers."""
    threshold = "bayes" if name in {"asymmetric", "hill"} else "natural"  # probabilities of .15 and .20
    for solver in SOLVERS:
        rate = {"learning_rate_init": 0.5} if SOLVERS[solver].random else {}
        clf = quick(solver, loss=name, threshold=threshold, max_iter=20, **rate).fit(X[:1, :n_features], Y[:1])
        assert_array_equal(clf.predict(X[:1, :n_features]), Y[:1])
        assert np.isfinite(clf.coef_).all()


@each_container
def test_one_feature_and_one_label_are_logistic_regression(container):
    """The smallest model is the known one."""
    clf = QuadrantMultiLabelClassifier(**PRECISE).fit(container(X[:, :1]), sparse.csr_array(Y[:, :1]))
    other = LogisticRegression(tol=1e-12, max_iter=1000).fit(X[:, :1], Y[:, 0])
    assert_allclose(clf.coef_, other.coef_, rtol=1e-5)
    assert_allclose(clf.intercept_, other.intercept_, rtol=1e-5, atol=1e-9)
    assert_array_equal(clf.predict(container(X[:, :1])), other.predict(X[:, :1]))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool])
def test_more_labels_than_a_byte_counts_keep_their_columns(dtype, kind):
    """300 labels of one byte each: every label finds its own feature."""
    features = np.random.default_rng(0).standard_normal((60, 300))
    labels = (features > 0).astype(dtype)
    predicted = QuadrantMultiLabelClassifier().fit(features, kind(labels)).predict(features)
    assert_array_equal(predicted.toarray() if sparse.issparse(predicted) else predicted, labels)


@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr"])
def test_five_thousand_labels(name):
    """Far more labels than rows or features, most of them never present."""
    rng = np.random.default_rng(0)
    labels = sparse.csr_array((rng.random((80, 5000)) < 0.002).astype(np.float64))
    clf = QuadrantMultiLabelClassifier(name, tol=1e-2).fit(rng.standard_normal((80, 5)), labels)
    assert clf.coef_.shape == (5000, 5)
    assert np.isfinite(clf.coef_).all()
    assert clf.predict(rng.standard_normal((7, 5))).shape == (7, 5000)


@pytest.mark.slow
@each_container
def test_a_million_rows(container):
    """A million rows of two labels find the slope that their labels were drawn with."""
    rows, labels = make_quadrants(n_samples=10**6, slope=2.0, random_state=0)
    clf = QuadrantMultiLabelClassifier().fit(container(rows.astype(np.float32)), labels)
    assert_allclose(clf.coef_, 2 * np.eye(2), atol=0.02)
    assert clf.predict(rows).shape == (10**6, 2)


# %% labels that never change


@each_loss
@pytest.mark.parametrize("value", [0, 1], ids=["absent", "present"])
def test_labels_that_are_all_the_same(value, name):
    """All labels absent, or all present, in all rows are predicted so, without a penalty and intercepts too."""
    for solver, fit_intercept in [("lbfgs", True), ("lbfgs", False), ("adamw", True)]:
        clf = quick(solver, loss=name, C=np.inf, fit_intercept=fit_intercept, learning_rate_init=0.1, tol=1e-3)
        clf.fit(0.1 * X + 1, np.full_like(Y, value))  # positive, so that a weight can be an intercept
        assert (clf.predict(0.1 * X + 1) == value).all()
        assert np.isfinite(clf.coef_).all()


# %% containers of labels and features


def test_masked_labels_are_unknown():
    """What is masked in y is NaN, whatever lies below the mask."""
    hidden = np.random.default_rng(0).random(Y.shape) < 0.3
    masked = np.ma.array(np.where(hidden, 7, Y), mask=hidden)
    clf = QuadrantMultiLabelClassifier(missing_labels="ignore").fit(X, masked)
    expected = QuadrantMultiLabelClassifier(missing_labels="ignore").fit(X, np.where(hidden, np.nan, Y))
    assert_array_equal(clf.coef_, expected.coef_)
    assert_array_equal(QuadrantMultiLabelClassifier().fit(X, np.ma.array(Y)).coef_.shape, (3, 4))


MASKED = {
    "labels": ({"y": np.ma.array(Y, mask=Y == 1)}, r"y contains NaN. Pass missing_labels='ignore'"),
    "classes": ({"y": np.ma.array(Y[:, 0], mask=X[:, 0] > 1)}, "y contains NaN, and a class cannot be unknown"),
    "names of classes": (
        {"y": np.ma.array(np.where(Y[:, 0], "a", "b"), mask=X[:, 0] > 1)}, "y contains NaN, and a class cannot be",
    ),
    "features": ({"X": np.ma.array(X, mask=X > 1)}, "Input X contains NaN"),
    "whole numbers": ({"X": np.ma.array(X.round().astype(int), mask=X > 1)}, "Input X contains NaN"),
    "weights": ({"sample_weight": np.ma.array(np.ones(60), mask=X[:, 0] > 1)}, "sample_weight must be .* contains NaN"),
}  # fmt: skip


@pytest.mark.parametrize("batch_size", ["auto", 25])
@pytest.mark.parametrize("case", MASKED)
def test_masked_entries_elsewhere_are_missing_values(case, batch_size):
    """They are refused as NaN is, by fits of all rows and of rows read in batches, and nothing changes."""
    changes, match = MASKED[case]
    clf = QuadrantMultiLabelClassifier(batch_size=batch_size)
    with pytest.raises(ValueError, match=match):
        clf.fit(**{"X": X, "y": Y} | changes)
    assert vars(clf) == vars(QuadrantMultiLabelClassifier(batch_size=batch_size))


def test_masked_rows_are_refused_in_predict_and_metrics():
    """So are masked features of rows to predict and masked scores; masked targets of a metric are unknown."""
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        clf.predict(np.ma.array(X, mask=X > 1))
    probabilities = clf.predict_proba(X)
    with pytest.raises(ValueError, match="y_score must not hold NaN"):
        precision_at_k_score(Y, np.ma.array(probabilities, mask=Y == 1))
    hidden = np.arange(Y.size).reshape(Y.shape) % 5 == 0
    found = multilabel_log_loss(np.ma.array(Y, mask=hidden), probabilities)
    assert found == multilabel_log_loss(np.where(hidden, np.nan, Y), probabilities)


def test_labels_of_which_none_is_known_are_refused_by_the_thresholds():
    """There is nothing to tune on."""
    model = TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(missing_labels="ignore"))
    with pytest.raises(ValueError, match="y must have a known label, got NaN for every one"):
        model.fit(X, np.full(Y.shape, np.nan))


@pytest.mark.parametrize("Meta", [TunedThresholdMultiLabelClassifierCV, CalibratedMultiLabelClassifierCV])
def test_an_entry_of_sparse_labels_may_come_in_several_parts(Meta):
    """Repeated coordinates are added up, as everywhere in SciPy, and the given matrix stays as it is."""
    parts = sparse.csr_array((np.tile([2.0, -1.0], 60), np.repeat([0, 1] * 30, 2), np.arange(0, 121, 2)), shape=(60, 2))
    model = Meta(QuadrantMultiLabelClassifier(), cv=2).fit(X, parts)
    expected = Meta(QuadrantMultiLabelClassifier(), cv=2).fit(X, sparse.csr_array(parts.toarray()))
    assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert parts.nnz == 120


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_array], ids=["csr", "csc"])
def test_an_entry_of_sparse_features_may_come_in_several_parts(form):
    """Features whose entries are given as sums have the variance of the sums."""
    rows = np.where(X > 0.5, 1.5, 1.0)
    halves = np.dstack([rows / 2, rows / 2])  # whose squares are half of those of the rows
    if form is sparse.csc_array:
        halves = halves.transpose(1, 0, 2)
    n, width, _ = halves.shape
    parts = halves.ravel(), np.tile(np.repeat(np.arange(width), 2), n), np.arange(0, halves.size + 1, 2 * width)
    given = form(parts, shape=rows.shape)
    clf = QuadrantMultiLabelClassifier(**PRECISE).fit(given, Y)
    assert_allclose(clf.coef_, QuadrantMultiLabelClassifier(**PRECISE).fit(rows, Y).coef_, rtol=1e-5, atol=1e-8)
    assert given.nnz == 2 * rows.size


FEATURES = {
    "object": lambda: X.astype(object),
    "strings of digits": lambda: X.astype(str),
    "nullable columns": lambda: pd.DataFrame(X).astype("Float64"),
    "columns of Arrow": lambda: columns_of_arrow(X),
    "sparse columns": lambda: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(X)),
    "categories of numbers": lambda: pd.DataFrame(X).astype("category"),
    "records": lambda: field_of_records(X),
}


def columns_of_arrow(array):
    """Return columns that PyArrow holds, where pandas can make them."""
    try:
        return pd.DataFrame(array).astype("double[pyarrow]")
    except (ImportError, NameError):  # pandas stumbles over a PyArrow that cannot be imported
        pytest.skip("no PyArrow that pandas knows")


def field_of_records(array):
    """Return a field of records, whose rows are not a whole number of entries apart."""
    records = np.zeros(len(array), dtype=[("flag", "u1"), ("row", array.dtype, array.shape[1:])])
    records["row"] = array
    return records["row"]


@pytest.mark.filterwarnings("ignore:Array-api dispatch")
@each_solver
@pytest.mark.parametrize("form", FEATURES)
def test_odd_containers_of_features(form, solver):
    """Numbers in any container are the numbers."""
    if form == "columns of Arrow":
        pytest.importorskip("pyarrow")
    options = {"max_iter": 5, "tol": 1e3, "n_iter_no_change": 1} if SOLVERS[solver].random else PRECISE
    clf, plain = (quick(solver, **options).fit(rows, Y) for rows in (FEATURES[form](), X))
    assert_allclose(clf.coef_, plain.coef_, rtol=1e-6)
    assert_array_equal(clf.predict(FEATURES[form]()), plain.predict(X))


REFUSED = {
    "missing values": (pd.DataFrame(X).astype("Float64").mask(X > 1), "Input X contains NaN"),
    "categories of text": (pd.DataFrame(X).assign(kind=pd.Categorical(["u", "v"] * 30)), "string"),
    "matrix": (lambda: np.matrix(X), "np.matrix is not supported"),
    "sparse vector": (sparse.coo_array(X[:, 0]), "Expected 2D|same number of rows"),  # older SciPy makes a row of it
    "nothing": (None, "Expected 2D array, got scalar array"),
    "text": ("abc", "could not convert string to float"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:Feature names only support:FutureWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_features_that_are_no_numbers_are_one_error(case):
    """The error says what is wrong, and the estimator is as before."""
    rows, match = REFUSED[case]
    clf = QuadrantMultiLabelClassifier()
    with pytest.raises((ValueError, TypeError), match=match):
        clf.fit(rows() if callable(rows) else rows, Y)
    assert vars(clf) == vars(QuadrantMultiLabelClassifier())


def test_a_sparse_vector_of_labels_is_one_error():
    """It is neither a matrix of labels nor an array of classes."""
    match = r"y must have shape \(n_samples, n_labels\).* got \(60,\)|same number of rows"  # a row in older SciPy
    with pytest.raises(ValueError, match=match):
        QuadrantMultiLabelClassifier().fit(X, sparse.coo_array(Y[:, 0]))


@pytest.mark.parametrize("dtype", [">f4", ">f8", "g", "f2"])
def test_soft_labels_of_any_precision_and_byte_order(dtype):
    """Halves and quarters are the same numbers in all of them."""
    soft = np.where(Y == 1, 0.75, 0.5)
    clf, plain = (QuadrantMultiLabelClassifier(**PRECISE).fit(X, form) for form in (soft.astype(dtype), soft))
    assert_allclose(clf.coef_, plain.coef_, rtol=1e-9)


# %% columns with names


COLUMNS = list("abcd")


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (["d", "c", "b", "a"], "Feature names must be in the same order as they were in fit"),
        (["a", "b", "c"], r"Feature names seen at fit time, yet now missing:\n- d"),
        (["a", "b", "c", "d", "a2"], r"Feature names unseen at fit time:\n- a2"),
        (["a", "b", "c", "other"], r"unseen at fit time:\n- other\n.*yet now missing:\n- d"),
    ],
    ids=["order", "missing", "extra", "renamed"],
)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "partial_fit"])
def test_columns_other_than_those_of_fit_are_refused(method, columns, match):
    """By each method that comes after fit, which leave the model as it was."""
    clf = quick("adamw", max_iter=2, tol=1e3, n_iter_no_change=1).fit(pd.DataFrame(X, columns=COLUMNS), Y)
    before = clf.coef_.copy()
    rows = pd.DataFrame(X, columns=COLUMNS).rename(columns={"d": "other"} if "other" in columns else {}).assign(a2=0.0)
    with pytest.raises(ValueError, match=match):
        getattr(clf, method)(*(rows[columns], Y) if method == "partial_fit" else (rows[columns],))
    assert_array_equal(clf.coef_, before)


def test_polars_frames_are_read_as_pandas_frames_are():
    """Names, missing labels and predictions are the same."""
    polars = pytest.importorskip("polars")
    rows, labels = pd.DataFrame(X, columns=COLUMNS), pd.DataFrame(Y, columns=["u", "v", "w"]).astype("Int64")
    labels = labels.mask(X[:, :3] > 1)
    polar_rows = polars.DataFrame(dict(zip(COLUMNS, X.T, strict=True)))
    polar_labels = polars.DataFrame(
        {name: labels[name].astype(object).where(labels[name].notna(), None).tolist() for name in labels}
    )
    clf, expected = (
        QuadrantMultiLabelClassifier(missing_labels="ignore").fit(*pair)
        for pair in ((polar_rows, polar_labels), (rows, labels))
    )
    assert polar_labels.null_count().sum_horizontal().item() > 0
    assert_allclose(clf.coef_, expected.coef_, rtol=1e-12)  # rows of the one may be in memory column by column
    assert clf.feature_names_in_.tolist() == COLUMNS
    assert clf.label_names_in_.tolist() == ["u", "v", "w"]
    assert_array_equal(clf.predict(polar_rows), expected.predict(rows))
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        clf.predict(polar_rows[["d", "c", "b", "a"]])
