"""The meta-estimators around a classifier whose scores are its features, for any scores and labels."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from sk_quadrant import CalibratedMultiLabelClassifierCV, TunedThresholdMultiLabelClassifierCV

pytestmark = pytest.mark.filterwarnings(
    "error::RuntimeWarning", "ignore:.* labels have no positive or no negative row:UserWarning"
)


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose scores are its features."""

    def fit(self, X, y):
        """Learn nothing."""
        self.classes_ = np.arange(X.shape[1])
        return self

    def decision_function(self, X):
        """Return the features."""
        return np.asarray(X, dtype=float)


SCORINGS = {
    "f1_macro": lambda y, found: f1_score(y, found, average="macro", zero_division=0),
    "f1_micro": lambda y, found: f1_score(y, found, average="micro", zero_division=0),
    "neg_hamming_loss": lambda y, found: -hamming_loss(y, found),
    "f1_samples": lambda y, found: f1_score(y, found, average="samples", zero_division=0),
    "accuracy": accuracy_score,
}
any_number = st.floats(allow_nan=False, allow_infinity=True, width=64)
few_numbers = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0])


@st.composite
def problems(draw, *, unknown):
    """Draw scores and labels of a few rows."""
    shape = draw(st.tuples(st.integers(2, 12), st.integers(2, 3)))
    scores = draw(arrays(np.float64, shape, elements=draw(st.sampled_from([any_number, few_numbers]))))
    values = [0.0, 1.0, np.nan] if unknown else [0, 1]
    labels = draw(arrays(float if unknown else int, shape, elements=st.sampled_from(values)))
    return scores, labels


@pytest.mark.parametrize("scoring", SCORINGS)
@given(problem=problems(unknown=False), scope=st.sampled_from(["label", "shared"]), min_positives=st.integers(0, 3))
def test_tuned_thresholds_give_the_score_they_promise(scoring, problem, scope, min_positives):
    """The best score is scikit-learn's of the held-out rows, and no single cut for all labels is better."""
    X, y = problem
    model = TunedThresholdMultiLabelClassifierCV(
        Given(), scoring=scoring, scope=scope, min_positives=min_positives, cv=2, store_cv_results=True
    ).fit(X, y)
    results = model.cv_results_
    order = np.argsort(results["indices"])
    held_out = results["scores"][order] > model.best_threshold_
    assert not np.isnan(model.best_threshold_).any()
    assert_allclose(model.best_score_, SCORINGS[scoring](y, held_out), atol=1e-12)
    assert_array_equal(model.predict(X), np.greater(X, model.best_threshold_))
    if scope == "label" and min_positives == 0:
        constant = (y == y[0]).all(axis=0)
        for cut in [-np.inf, -1.5, -0.5, 0.25, 1.0, np.inf]:
            cuts = np.where(constant, model.best_threshold_, cut)
            assert model.best_score_ >= SCORINGS[scoring](y, results["scores"][order] > cuts) - 1e-12


@given(problem=problems(unknown=True), scoring=st.sampled_from(["f1_macro", "f1_micro", "neg_hamming_loss"]))
def test_what_stands_for_unknown_labels_does_not_matter(problem, scoring):
    """Unknown labels take no part: a masked array is NaN, whatever lies below its mask."""
    X, y = problem
    assume(not np.isnan(y).all())
    model, other = (
        TunedThresholdMultiLabelClassifierCV(Given(), scoring=scoring, cv=2).fit(X, form)
        for form in (y, np.ma.array(np.nan_to_num(y, nan=1.0), mask=np.isnan(y)))
    )
    assert_array_equal(model.best_threshold_, other.best_threshold_)
    assert not np.isnan(model.best_threshold_).any()


@pytest.mark.parametrize("method", ["sigmoid", "temperature", "isotonic"])
@given(
    problem=problems(unknown=True),
    scope=st.sampled_from(["label", "pooled"]),
    ensemble=st.booleans(),
    sums=st.booleans(),
)
def test_calibrated_probabilities_are_probabilities(method, problem, scope, ensemble, sums):
    """Of any scores, also infinite ones, and any labels; one map keeps the order of scores, or turns all of it."""
    X, y = problem
    assume(sums or not np.isnan(y).all())
    labels = sparse.csr_matrix(np.nan_to_num(y)) if sums else y
    model = CalibratedMultiLabelClassifierCV(Given(), method=method, scope=scope, ensemble=ensemble, cv=2)
    model.fit(X, labels)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == X.shape
    assert ((probabilities > 0) & (probabilities < 1)).all()
    predicted = model.predict(X)
    assert_array_equal(predicted.toarray() if sums else predicted, probabilities > 0.5)
    if not ensemble:
        for scores, found in zip(X.T, probabilities.T, strict=True):
            steps = np.diff(found[np.argsort(scores, kind="stable")])
            assert (steps >= -1e-12).all() or (method == "sigmoid" and (steps <= 1e-12).all())
