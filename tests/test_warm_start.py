"""A warm start is a start, not a trap."""

import pytest
from numpy.testing import assert_allclose

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants


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
