"""Any finite numbers: a fit is right, or one error that says to scale; never NaN, a crash or a wrong shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, floating_dtypes
from scipy import sparse
from sklearn.base import clone

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.registry import SOLVERS
from sk_quadrant.losses import LOSSES

pytestmark = pytest.mark.filterwarnings(
    "error::RuntimeWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",  # few epochs, on purpose
)

SMOOTH = sorted(set(LOSSES) - {"hinge"})  # which is solved to a lower accuracy
shapes = st.tuples(st.integers(1, 12), st.integers(1, 4))
numbers = floating_dtypes(endianness="=", sizes=(16, 32, 64)).flatmap(
    lambda dtype: shapes.flatmap(
        lambda shape: arrays(
            dtype, shape, elements={"allow_nan": False, "allow_infinity": False}, fill=st.sampled_from([dtype.type(0)])
        )
    )
)
magnitudes = st.tuples(
    shapes.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(-9, 9))), st.integers(-300, 300)
).map(lambda pair: pair[0] * 10.0 ** pair[1])
estimators = st.builds(
    QuadrantMultiLabelClassifier,
    st.sampled_from(sorted(LOSSES)),
    C=st.sampled_from([1e-8, 1.0, 1e8, np.inf]),
    fit_intercept=st.booleans(),
    solver=st.sampled_from(sorted(SOLVERS)),
    max_iter=st.sampled_from([3, 50]),
    random_state=st.just(0),
)


def labels_of(n_rows):
    """Return a strategy of label matrices, constant columns among them; a single column is sparse."""
    shape = st.tuples(st.just(n_rows), st.integers(1, 3))
    hard = shape.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))
    soft = shape.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1)))
    return st.one_of(hard.map(sparse.csr_array), *(dense.filter(lambda y: y.shape[1] > 1) for dense in (hard, soft)))


def fit_or_say_why(clf, X, y):
    """Return the fitted estimator, or None where an error said to scale features and left it as it was."""
    before = set(vars(clf))
    try:
        return clf.fit(X, y)
    except FloatingPointError as error:
        if "cale" not in str(error) or set(vars(clf)) != before:
            raise
        return None


def check_answers(model, X, n_labels):
    """Check that all answers have their shape and are numbers."""
    shape = (X.shape[0],) if n_labels == 1 else (X.shape[0], n_labels)
    scores = model.decision_function(X)
    assert scores.shape == shape
    assert np.isfinite(scores).all()
    predicted = model.predict(X)
    assert predicted.shape == shape
    assert np.isin(predicted.toarray() if sparse.issparse(predicted) else predicted, [0, 1]).all()
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(X)
        assert probabilities.shape == (X.shape[0], max(2, n_labels))
        assert ((probabilities >= 0) & (probabilities <= 1)).all()


def check_answers_or_say_why(model, X, n_labels):
    """Check answers, which may be refused where rows and coefficients are so large that scores may be infinite."""
    try:
        check_answers(model, X, n_labels)
    except FloatingPointError as error:
        if "cale" not in str(error):
            raise
        terms = np.log10(abs(X).max()) + np.log10(np.abs(model.coef_).max() + np.abs(model.intercept_).max())
        assert terms > np.log10(np.finfo(model.coef_.dtype).max) - 2


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@given(data=st.data(), clf=estimators, X=st.one_of(numbers, magnitudes))
def test_a_fit_is_finite_or_says_what_to_scale(container, data, clf, X):
    """Whatever the magnitudes, from the smallest to the largest floating point number."""
    X = container(X.astype(np.float32) if X.dtype == np.float16 and container is not np.asarray else X)
    y = data.draw(labels_of(X.shape[0]))
    model = fit_or_say_why(clf, X, y)
    if model is not None:
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.intercept_).all()
        check_answers_or_say_why(model, X, y.shape[1])


@given(X=st.one_of(numbers, magnitudes), loss=st.sampled_from(sorted(LOSSES)), scale=st.sampled_from([1e-3, 1.0, 1e6]))
def test_predictions_are_numbers_or_say_what_to_scale(X, loss, scale):
    """Rows far from those of training are predicted, or refused where scores are beyond all numbers."""
    rng = np.random.default_rng(0)
    model = QuadrantMultiLabelClassifier(loss, C=1e3)
    model.fit(scale * rng.normal(size=(30, X.shape[1])), rng.integers(0, 2, (30, 2)))
    check_answers_or_say_why(model, X, 2)


@given(data=st.data(), loss=st.sampled_from(SMOOTH), exponent=st.integers(-40, 40), n_rows=st.integers(2, 12))
def test_a_unit_of_features_is_a_unit_of_coefficients(data, loss, exponent, n_rows):
    """Without a penalty the full-batch solver reaches the same objective whatever the units of X."""
    clf = QuadrantMultiLabelClassifier(loss, C=np.inf)
    X = data.draw(arrays(np.float64, (n_rows, 2), elements=st.integers(-9, 9).map(float)))
    y = data.draw(arrays(np.uint8, (n_rows, 2), elements=st.integers(0, 1)))
    objective, scaled = (clone(clf).fit(X * factor, y).loss_curve_[-1] for factor in (1.0, 2.0**exponent))
    np.testing.assert_allclose(scaled, objective, rtol=1e-3, atol=1e-6)
