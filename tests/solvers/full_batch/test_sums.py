"""A fit that takes its rows from several places is the fit of all rows."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._rows.parts import Schema, ShardedRows, read_part
from sk_quadrant._solvers.full_batch.shard import Shard
from sk_quadrant._solvers.full_batch.sums import ShardedSums
from sk_quadrant._training.fit import fit_rows
from sk_quadrant.losses import LOSSES

PRECISE = {"tol": 1e-12, "max_iter": 5000}
CUTS = [0, 100, 100, 101, 130, 307]  # an empty part and one of a single row
CONVEX = [name for name in LOSSES if LOSSES[name]().convex and name != "hinge"]


@pytest.fixture(scope="module")
def problem():
    """Features of mixed scales and centres, labels absent from the first rows, and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((307, 5)) * [1, 2, 3, 1, 0.1] + [0, 5, 0, 0, 1]
    Y = (X[:, :4] - X[:, :4].mean(axis=0) + rng.standard_normal((307, 4)) > 1).astype(int)
    Y[:120, 1] = 0
    return X, Y, rng.random(307)


def shard_sums(parts, schema, *, fit_intercept):
    """Return the sums over several shards in memory."""
    options = {"fit_intercept": fit_intercept, "device": torch.device("cpu")}
    return ShardedSums(schema, [Shard(schema.rows(part), **options) for part in parts if part.summary.n_rows])


def sharded(X, Y, weight, *, class_weight=None, missing_labels="error"):
    """Return the rows between the cuts as shards."""
    parts = [
        read_part(X[a:b], Y[a:b], None if weight is None else weight[a:b], missing_labels=missing_labels)
        for a, b in pairwise(CUTS)
    ]
    schema = Schema.merge([part.summary for part in parts], class_weight=class_weight, label_smoothing=0.0)
    return ShardedRows.of(schema, partial(shard_sums, parts, schema))


def fit_shards(clf, X, Y, weight=None):
    """Fit an estimator on shards of the rows."""
    fit_rows(clf, sharded(X, Y, weight, class_weight=clf.class_weight, missing_labels=clf.missing_labels))
    return clf


def assert_same_fit(a, b, rtol=1e-10):
    """Compare coefficients and intercepts, relatively to the largest of each."""
    assert_allclose(a.coef_, b.coef_, rtol=0, atol=rtol * np.abs(b.coef_).max())
    assert_allclose(a.intercept_, b.intercept_, rtol=0, atol=rtol * max(1, np.abs(b.intercept_).max()))


@pytest.mark.parametrize("as_format", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("loss", CONVEX)
def test_every_convex_loss_has_the_optimum_of_all_rows(problem, loss, as_format):
    """Weighted rows in five parts give the coefficients of one part, set-wise loss included."""
    X, Y, weight = problem
    expected = QuadrantMultiLabelClassifier(loss, **PRECISE).fit(as_format(X), Y, weight)
    assert_same_fit(fit_shards(QuadrantMultiLabelClassifier(loss, **PRECISE), as_format(X), Y, weight), expected)


@pytest.mark.parametrize(
    "options",
    [{"fit_intercept": False}, {"class_weight": "balanced"}, {"C": 1e4}, {"missing_labels": "ignore"}],
    ids=["no intercept", "balanced", "weak penalty", "unknown labels"],
)
def test_options_that_look_at_all_rows_do_so(problem, options):
    """Centring, balancing and unknown labels are those of all rows, not of each part."""
    X, Y, weight = problem
    if "missing_labels" in options:
        Y = np.where(np.arange(Y.size).reshape(Y.shape) % 3 == 0, np.nan, Y)
        Y[:100] = np.nan  # a part without any label
    expected = QuadrantMultiLabelClassifier(**PRECISE, **options).fit(X, Y, weight)
    assert_same_fit(fit_shards(QuadrantMultiLabelClassifier(**PRECISE, **options), X, Y, weight), expected)


def test_labels_that_need_their_own_hessian_get_it_from_all_rows(problem):
    """With few rows for the features and next to no penalty the solver ends with Newton's method."""
    X, Y, _ = problem
    X = X.repeat(4, axis=1) ** np.arange(1, 5).repeat(5)[:20]
    options = {"C": 1e6, "tol": 1e-10, "max_iter": 1000}
    expected = QuadrantMultiLabelClassifier(**options).fit(X, Y)
    assert_same_fit(fit_shards(QuadrantMultiLabelClassifier(**options), X, Y), expected, rtol=1e-5)


@pytest.mark.parametrize("classes", [[3, 7], ["a", "b", "c"]], ids=["binary", "multiclass"])
def test_classes_are_those_of_all_parts(problem, classes):
    """Parts that hold one class only are no obstacle."""
    X = problem[0]
    y = np.sort(np.asarray(classes)[np.arange(len(X)) % len(classes)])
    options = PRECISE | {"class_weight": "balanced"}
    expected = QuadrantMultiLabelClassifier(**options).fit(X, y)
    fitted = fit_shards(QuadrantMultiLabelClassifier(**options), X, y)
    assert fitted.classes_.tolist() == classes
    assert_same_fit(fitted, expected)


def test_answers_do_not_depend_on_who_asked_before(problem):
    """The labels of a block and some of them are told apart, whatever has been remembered."""
    X, Y, weight = problem
    data = sharded(X, Y, weight).row_sums(fit_intercept=True)
    sums = [data.total(Shard.target_sums, torch.tensor(labels))[0] for labels in ([0, 1], [1], [3, 2], [0], [0, 1])]
    expected = weight @ Y
    for labels, found in zip(([0, 1], [1], [3, 2], [0], [0, 1]), sums, strict=True):
        assert_allclose(found, expected[labels])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X, Y: (np.where(np.arange(len(X))[:, None] == 200, np.nan, X), Y), "X contains NaN"),
        (lambda X, Y: (X, Y + 2 * (np.arange(len(X))[:, None] == 200)), "y must be 0, 1 or a probability"),
        (lambda X, Y: (X[:0], Y[:0]), "X must have at least 1 row"),
        (lambda X, Y: (X, Y[:250]), "same row chunks"),
    ],
    ids=["X", "y", "no rows", "rows"],
)
def test_bad_parts_are_refused(problem, change, match):
    """A part says what is wrong with it in the words of the estimator."""
    X, Y = change(*problem[:2])
    with pytest.raises(ValueError, match=match):
        sharded(X, Y, None)
