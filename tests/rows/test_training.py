"""What fit takes: the forms of X, y and weights, and that equal content gives equal models."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import type_of_target

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import LOSSES

PRECISE = {"tol": 1e-10, "max_iter": 2000}
LABELWISE = [name for name in LOSSES if LOSSES[name].labelwise]


@pytest.fixture(scope="module")
def data():
    """Noisy quadrants in three dimensions."""
    return make_quadrants(n_samples=200, n_features=3, slope=2.0, random_state=0)


@pytest.fixture(scope="module")
def model(data):
    """Return a model of the data in their plainest form."""
    return QuadrantMultiLabelClassifier().fit(*data)


# forms of y


def with_gaps(Y):
    """Return a nullable data frame without missing values."""
    return pd.DataFrame(Y).astype("Int64")


FORMS = {
    "bool": lambda Y: Y.astype(bool),
    "int8": lambda Y: Y.astype(np.int8),
    "uint8": lambda Y: Y.astype(np.uint8),
    "float32": lambda Y: Y.astype(np.float32),
    "object": lambda Y: Y.astype(object),
    "list": lambda Y: Y.tolist(),
    "fortran": np.asfortranarray,
    "frame": pd.DataFrame,
    "frame of bool": lambda Y: pd.DataFrame(Y).astype(bool),
    "nullable frame": with_gaps,
    "nullable frame of bool": lambda Y: pd.DataFrame(Y).astype("boolean"),
    "categorical frame": lambda Y: pd.DataFrame(Y).astype("category"),
    "frame of sparse columns": lambda Y: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(Y)),
}
SPARSE_FORMS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "coo_array": sparse.coo_array,
    "lil_array of bool": lambda Y: sparse.lil_array(Y.astype(bool)),
    "explicit zeros": lambda Y: sparse.csr_array(
        (Y.ravel(), np.tile(np.arange(3), len(Y)), np.arange(0, Y.size + 1, 3)), shape=Y.shape
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_of_dense_targets_does_not_matter(form, data, model):
    """Indicators in any dense form give the same model, and int64 predictions."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, FORMS[form](Y))
    assert_array_equal(clf.coef_, model.coef_)
    assert_array_equal(clf.predict(X), model.predict(X))
    assert clf.predict(X).dtype == np.int64
    assert_array_equal(clf.classes_, [0, 1, 2])


@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_sparse_targets_give_the_same_model_and_sparse_predictions(form, data, model):
    """Sparse y gives the model of dense y, and int64 CSR back."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, SPARSE_FORMS[form](Y))
    assert_array_equal(clf.coef_, model.coef_)
    predictions = clf.predict(X)
    assert sparse.issparse(predictions)
    assert predictions.format == "csr"
    assert predictions.dtype == np.int64
    assert_array_equal(predictions.toarray(), model.predict(X))
    assert clf.score(X, sparse.csr_matrix(Y)) == model.score(X, Y)


def test_targets_are_left_as_they_are(data):
    """Neither dense nor sparse targets, nor features, are written to."""
    X, Y = data[0].copy(), SPARSE_FORMS["explicit zeros"](data[1])
    before = Y.data.copy()
    QuadrantMultiLabelClassifier().fit(X, Y)
    assert_array_equal(Y.data, before)
    assert_array_equal(X, data[0])


def test_read_only_data_are_taken_without_a_warning(data, recwarn):
    """Memory maps and other read-only arrays train as they are."""
    X, Y, weight = (part.copy() for part in (*data, np.ones(len(data[0]))))
    X.flags.writeable = Y.flags.writeable = weight.flags.writeable = False
    QuadrantMultiLabelClassifier().fit(X, Y, weight)
    QuadrantMultiLabelClassifier(solver="adamw", max_iter=2, tol=1e3, n_iter_no_change=1).fit(X, Y, weight)
    assert not recwarn.list


@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_features_are_taken_without_a_warning(name, dtype, data, recwarn):
    """Nor do sparse ones, in any precision."""
    X, Y = data
    QuadrantMultiLabelClassifier(name).fit(sparse.csr_matrix(X.astype(dtype)), Y)
    assert not recwarn.list


def test_many_labels_in_int8_keep_their_columns():
    """With more than 127 labels in int8 the columns of the predictions are those of y."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 150))
    Y = (X > 0).astype(np.int8)  # each label has a feature of its own
    for form in (Y, sparse.csr_matrix(Y)):
        clf = QuadrantMultiLabelClassifier().fit(X, form)
        predictions = clf.predict(X)
        assert_array_equal(predictions.toarray() if sparse.issparse(predictions) else predictions, Y)
        assert_array_equal(np.abs(clf.coef_).argmax(axis=1), np.arange(150))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [0, 1], ids=["never", "always"])
def test_a_label_that_is_always_the_same_is_legal(name, value, data):
    """A label never or always present is predicted as such, and does not disturb a labelwise loss elsewhere."""
    X, Y = data
    constant = np.c_[Y, np.full(len(Y), value)]
    clf = QuadrantMultiLabelClassifier(name).fit(X, constant)
    assert np.isfinite(clf.coef_).all()
    assert np.isfinite(clf.intercept_).all()
    assert (clf.predict(X)[:, 3] == value).all()
    if LOSSES[name].labelwise:
        without = QuadrantMultiLabelClassifier(name).fit(X, Y)
        assert_allclose(clf.coef_[:3], without.coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_all_labels_absent_everywhere_is_legal(solver, data):
    """Nothing but negatives is a legal, if dull, label matrix."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier(solver=solver, learning_rate_init=0.1, tol=1e-3).fit(X, np.zeros_like(Y))
    assert not clf.predict(X).any()


# soft targets and unknown labels


def test_soft_targets_are_weights_of_both_answers(data):
    """A target of .25 is a quarter of a positive and three quarters of a negative row."""
    X, Y = data
    soft = np.where(Y == 1, 0.9, 0.25)
    clf = QuadrantMultiLabelClassifier(**PRECISE).fit(X, soft)
    doubled = QuadrantMultiLabelClassifier(**PRECISE)
    doubled.fit(np.r_[X, X], np.r_[np.ones_like(Y), np.zeros_like(Y)], sample_weight=np.r_[soft, 1 - soft])
    assert_allclose(clf.coef_, doubled.coef_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_soft_targets_of_zero_and_one_are_hard_ones(name, data):
    """A matrix of floats 0 and 1 is the matrix of integers; almost so are targets next to them."""
    X, Y = data
    hard = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y)
    nearly = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, np.abs(Y - 1e-12))
    assert_array_equal(QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y.astype(float)).coef_, hard.coef_)
    assert_allclose(nearly.coef_, hard.coef_, atol=2e-6 * np.abs(hard.coef_).max())


def test_a_single_column_of_probabilities_is_one_label(data):
    """Soft targets of one label come as (n_samples, 1), and predictions as for a 1-D y."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, np.where(Y[:, :1] == 1, 0.9, 0.1))
    assert clf.predict(X).shape == clf.decision_function(X).shape == (len(X),)
    assert clf.predict_proba(X).shape == (len(X), 2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_unknown_labels_contribute_nothing(solver, data):
    """What stands behind NaN in a nullable frame, in floats or in objects does not matter, and is left out."""
    X, Y = data
    known = np.random.default_rng(0).random(Y.shape) < 0.7
    floats = np.where(known, Y, np.nan)
    forms = [floats, floats.astype(np.float32), np.where(known, Y, None), pd.DataFrame(Y).astype("Int64").where(known)]
    models = [
        QuadrantMultiLabelClassifier(missing_labels="ignore", solver=solver, random_state=0, max_iter=30, tol=1e-3)
        for _ in forms
    ]
    for clf, form in zip(models, forms, strict=True):
        clf.fit(X, form)
        assert_array_equal(clf.coef_, models[0].coef_)
    weighted = QuadrantMultiLabelClassifier(solver=solver, random_state=0, max_iter=30, tol=1e-3)
    weighted.fit(X, Y, sample_weight=known.astype(float))
    assert_allclose(models[0].coef_, weighted.coef_, rtol=0.05)


def test_ignoring_unknown_labels_without_any_changes_nothing(data, model):
    """The parameter alone has no effect."""
    assert_array_equal(QuadrantMultiLabelClassifier(missing_labels="ignore").fit(*data).coef_, model.coef_)


@pytest.mark.parametrize("name", LOSSES)
def test_a_label_nobody_knows_has_no_say(name, data):
    """A column of NaN keeps coefficients of zero and changes nothing for others."""
    X, Y = data
    Y = np.c_[Y, np.full(len(Y), np.nan)]
    clf = QuadrantMultiLabelClassifier(name, missing_labels="ignore", **PRECISE).fit(X, Y)
    without = QuadrantMultiLabelClassifier(name, **PRECISE).fit(X, Y[:, :3])
    assert_allclose(clf.coef_[:3], without.coef_, atol=1e-6 * np.abs(without.coef_).max())
    assert not clf.coef_[3].any()


# classes


@pytest.mark.parametrize(
    "classes",
    [[0, 1], [-1, 1], [2, 7], [False, True], ["no", "yes"], [0.0, 1.0]],
    ids=str,
)
def test_two_classes_of_any_type(classes, data):
    """A 1-D y of two classes is one label, the second class, and comes back as it was."""
    X, Y = data
    y = np.array(classes)[Y[:, 0]]
    clf = QuadrantMultiLabelClassifier(**PRECISE).fit(X, y)
    other = LogisticRegression(solver="newton-cholesky", tol=1e-14).fit(X, y)
    assert_array_equal(clf.classes_, other.classes_)
    assert clf.coef_.shape == (1, 3)
    assert clf.decision_function(X).shape == (len(X),)
    assert_array_equal(clf.predict(X), other.predict(X))
    assert clf.predict(X).dtype == y.dtype
    assert_allclose(clf.predict_proba(X), other.predict_proba(X), rtol=1e-6)
    assert_allclose(clf.predict_log_proba(X), np.log(clf.predict_proba(X)))


@pytest.mark.parametrize(
    "as_series", [pd.Series, lambda y: pd.Series(y).astype("category"), lambda y: pd.Series(y).astype("string")]
)
def test_series_of_classes(as_series, data):
    """A pandas Series is a 1-D y, whatever its type."""
    X, Y = data
    y = np.array(["no", "yes"], dtype=object)[Y[:, 0]]
    expected = QuadrantMultiLabelClassifier().fit(X, y).predict(X)
    assert_array_equal(QuadrantMultiLabelClassifier().fit(X, as_series(y)).predict(X), expected)


@pytest.mark.parametrize("name", [name for name in LABELWISE if name not in {"hinge", "shifted_sigmoid_bce"}])
def test_more_classes_are_one_label_each(name, data):
    """A 1-D y of several classes is one against the rest; the largest score wins and probabilities sum to one."""
    X, _ = data
    y = np.array(["a", "b", "c", "d"])[2 * (X[:, 0] > 0) + (X[:, 1] > 0)]
    clf = QuadrantMultiLabelClassifier(name).fit(X, y)
    rest = QuadrantMultiLabelClassifier(name).fit(X, (y[:, None] == np.unique(y)).astype(int))
    assert_array_equal(clf.coef_, rest.coef_)
    assert_array_equal(clf.predict(X), clf.classes_[clf.decision_function(X).argmax(axis=1)])
    assert clf.score(X, y) > 0.75
    assert_allclose(clf.predict_proba(X).sum(axis=1), 1)
    own = rest.predict_proba(X)
    assert_allclose(clf.predict_proba(X), own / own.sum(axis=1, keepdims=True))


def test_an_integer_column_is_a_one_dimensional_y(data):
    """A column vector of classes is taken with scikit-learn's warning, as MLPClassifier does."""
    X, Y = data
    with pytest.warns(match="column-vector y was passed") as record:
        clf = QuadrantMultiLabelClassifier().fit(X, Y[:, :1])
    assert len(record) == 1
    assert type_of_target(clf.predict(X)) == "binary"
    assert clf.predict(X).shape == (len(X),)


# names


def test_names_of_features_and_labels_are_kept(data):
    """Columns of data frames become names, are checked in predict, and go away with the next fit."""
    X, Y = data
    named = pd.DataFrame(X, columns=["u", "v", "w"])
    clf = QuadrantMultiLabelClassifier().fit(named, pd.DataFrame(Y, columns=["a", "b", "c"]))
    assert clf.feature_names_in_.tolist() == ["u", "v", "w"]
    assert clf.label_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(named[["w", "v", "u"]])
    clf.fit(X, Y)
    assert not hasattr(clf, "feature_names_in_")
    assert not hasattr(clf, "label_names_in_")


def test_labels_may_have_any_names(data):
    """Names of labels need not be strings."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, pd.DataFrame(Y, columns=[("a", 1), ("a", 2), ("b", 1)]))
    assert list(clf.label_names_in_) == [("a", 1), ("a", 2), ("b", 1)]


# features


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_format", [np.asarray, sparse.csr_matrix, sparse.csc_array], ids=["dense", "csr", "csc"])
@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_precision_is_kept(dtype, as_format, solver, data):
    """Coefficients, scores and probabilities have the precision of X; the net has it too."""
    X, Y = data
    X = as_format(X.astype(dtype))
    clf = QuadrantMultiLabelClassifier(solver=solver, learning_rate_init=0.1, tol=1e-2).fit(X, Y)
    assert clf.coef_.dtype == clf.intercept_.dtype == dtype
    assert clf.decision_function(X).dtype == clf.predict_proba(X).dtype == dtype
    assert {str(weight.dtype) for weight in clf.net_.module_.parameters()} == {f"torch.{np.dtype(dtype).name}"}


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16])
def test_other_numbers_are_computed_with_in_double_precision(dtype):
    """Integers, booleans and half precision become float64, as in LogisticRegression."""
    X = np.random.default_rng(0).integers(0, 2, size=(50, 3))
    Y = np.c_[X[:, 0], 1 - X[:, 1]]
    assert QuadrantMultiLabelClassifier().fit(X.astype(dtype), Y).coef_.dtype == np.float64


def test_strides_of_features_do_not_matter(data, model):
    """Transposed, reversed and Fortran-ordered views are read as they are meant."""
    X, Y = data
    padded = np.zeros((len(X), 6))
    padded[:, ::2] = X
    for view in (np.asfortranarray(X), padded[:, ::2], X[::-1].copy()[::-1]):
        assert_allclose(QuadrantMultiLabelClassifier().fit(view, Y).coef_, model.coef_, rtol=1e-9)


@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr", pytest.param("hinge", marks=pytest.mark.slow)])
@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_sparse_features_are_never_densified(name, solver, monkeypatch):
    """A matrix with a million features is trained on and predicted, and nothing of its size is made dense."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(60), 30), rng.integers(0, 10**6, size=1800)
    X = sparse.csr_array((rng.standard_normal(1800), places), shape=(60, 10**6))
    Y = rng.integers(0, 2, size=(60, 2))
    for cls in (sparse.csr_array, sparse.csc_array, sparse.coo_array):
        monkeypatch.setattr(cls, "toarray", refuse_large(cls.toarray))
        monkeypatch.setattr(cls, "todense", refuse_large(cls.todense))
    options = {"max_iter": 3, "tol": 1e3, "n_iter_no_change": 1} if solver == "adamw" else {}
    clf = QuadrantMultiLabelClassifier(name, solver=solver, **options).fit(X, Y)
    assert clf.coef_.shape == (2, 10**6)
    assert clf.predict(X).shape == (60, 2)


def refuse_large(method):
    """Wrap a method that makes a dense array so that it refuses to make a large one."""

    def guarded(self, *args, **kwargs):
        assert self.shape[0] * self.shape[1] < 10**7, f"{self.shape} was made dense"
        return method(self, *args, **kwargs)

    return guarded


# weights


def test_class_weight_of_classes_is_a_weight_of_rows(data):
    """For a 1-D y a dict and "balanced" weigh the rows of each class, on top of sample_weight."""
    X, Y = data
    y = np.array(["no", "yes"])[Y[:, 0]]
    weight = np.random.default_rng(0).random(len(X))
    present = y == "yes"
    clf = QuadrantMultiLabelClassifier(class_weight={"yes": 3.0}, **PRECISE).fit(X, y, sample_weight=weight)
    by_hand = QuadrantMultiLabelClassifier(**PRECISE).fit(X, y, sample_weight=weight * np.where(present, 3.0, 1.0))
    assert_allclose(clf.coef_, by_hand.coef_, rtol=1e-8)
    balanced = QuadrantMultiLabelClassifier(class_weight="balanced", **PRECISE).fit(X, y)
    share = present.mean()
    by_hand.fit(X, y, sample_weight=np.where(present, 0.5 / share, 0.5 / (1 - share)))
    assert_allclose(balanced.coef_, by_hand.coef_, rtol=1e-8)


def test_class_weight_of_labels_is_a_weight_of_each_label(data):
    """For a label matrix a dict holds the weights of absence and presence, a list has one entry a label."""
    X, Y = data
    each = [{0: 1.0, 1: 5.0}, None, "balanced"]
    share = Y[:, 2].mean()
    weight = np.c_[np.where(Y[:, 0], 5.0, 1.0), np.ones(len(Y)), np.where(Y[:, 2], 0.5 / share, 0.5 / (1 - share))]
    clf = QuadrantMultiLabelClassifier(class_weight=each, **PRECISE).fit(X, sparse.csr_matrix(Y))
    assert_allclose(clf.coef_, QuadrantMultiLabelClassifier(**PRECISE).fit(X, Y, sample_weight=weight).coef_, rtol=1e-8)


def test_class_weight_and_weights_of_labels_multiply(data):
    """Weights (n_samples, n_labels) and class weights of several classes act together."""
    X, _ = data
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    weight = np.random.default_rng(0).random((len(X), 3))
    clf = QuadrantMultiLabelClassifier(class_weight={0: 2.0, 2: 0.5}, **PRECISE).fit(X, y, sample_weight=weight)
    product = weight * np.array([2.0, 1.0, 0.5])[y][:, None]
    by_hand = QuadrantMultiLabelClassifier(**PRECISE).fit(X, y, sample_weight=product)
    assert_allclose(clf.coef_, by_hand.coef_, rtol=1e-8)


def test_a_number_as_weight_is_the_weight_of_every_row(data):
    """A scalar is broadcast, as scikit-learn does."""
    X, Y = data
    assert_array_equal(
        QuadrantMultiLabelClassifier().fit(X, Y, sample_weight=2.0).coef_,
        QuadrantMultiLabelClassifier().fit(X, Y, sample_weight=np.full(len(X), 2.0)).coef_,
    )


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr"])
def test_a_label_without_weight_has_no_say(name, solver, data):
    """A column of zero weights leaves its coefficients at zero; one in a row leaves out that label there."""
    X, Y = data
    weight = np.ones(Y.shape)
    weight[:, 1] = 0
    clf = QuadrantMultiLabelClassifier(name, solver=solver, learning_rate_init=0.1, tol=1e-3)
    clf.fit(X, Y, sample_weight=weight)
    assert not clf.coef_[1].any()
    assert clf.coef_[[0, 2]].any(axis=1).all()
