"""Links: numerical inversion, ends of their ranges, thresholds, recorded arrays."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant.losses import (
    AsymmetricLink,
    ClippedLinearLink,
    FocalLink,
    LogitLink,
    Poly1Link,
    ShiftedLogitLink,
)
from sk_quadrant.losses._links import increasing_root

LINKS = [
    LogitLink(),
    LogitLink(slope=2.0, center=-1.0),
    ShiftedLogitLink(),
    ClippedLinearLink(),
    Poly1Link(),
    Poly1Link(epsilon=-1.0),
    Poly1Link(epsilon=50.0),
    FocalLink(),
    FocalLink(gamma=5.0, alpha=0.9),
    AsymmetricLink(),
    AsymmetricLink(clip=0.0),
    AsymmetricLink(gamma_pos=0.0),
    AsymmetricLink(gamma_pos=0.0, gamma_neg=0.0, clip=0.0),
]


class Recorded(NDArrayOperatorsMixin):
    """What is to be computed from an input, recorded as a function of it."""

    ndim = 0
    dtype = np.dtype(np.float64)

    def __init__(self, compute):
        self.compute = compute

    def _behind(self, function, args, kwargs):
        def compute(x):
            return function(*(arg.compute(x) if isinstance(arg, Recorded) else arg for arg in args), **kwargs)

        return Recorded(compute)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        """Record an elementwise function."""
        assert method == "__call__"
        assert out in (None, (None,))
        return self._behind(ufunc, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        """Record another function of NumPy."""
        return self._behind(function, args, kwargs)


def over(links):
    """Parametrize a test over links, named by their repr."""
    return pytest.mark.parametrize("link", links, ids=repr)


@over(LINKS)
def test_small_probabilities_keep_their_relative_accuracy(link):
    """Probabilities from 1e-6 to 1e-2 survive the way to a score and back."""
    p = np.logspace(-6, -2, 9)
    assert_allclose(link.inverse(link.link(p)), p, rtol=1e-9)


@over([link for link in LINKS if isinstance(link, (LogitLink, FocalLink, Poly1Link))])
def test_smallest_probabilities_keep_their_relative_accuracy(link):
    """Down to the smallest numbers where the range of scores is unbounded."""
    p = np.array([1e-300, 1e-100, 1e-30])
    assert_allclose(link.inverse(link.link(p)), p, rtol=2e-13)


@over([link for link in LINKS if not isinstance(link, ClippedLinearLink)])
def test_ends_of_the_range_have_infinite_scores(link):
    """Probability 0 has the score minus infinity; those that no score reaches have plus infinity."""
    assert_array_equal(link.link([0.0, link.high]), [-np.inf, np.inf])
    assert_array_equal(link.link(torch.tensor([0.0, 1.0]))[:1], [-torch.inf])


@over(LINKS)
def test_infinite_scores_have_probabilities(link):
    """Masked scores of plus or minus infinity give the ends of the range, NaN stays NaN."""
    low, high, nan = link.inverse(np.array([-np.inf, np.inf, np.nan]))
    assert low == pytest.approx(0, abs=1e-300)
    assert high == pytest.approx(link.high, rel=1e-15)
    assert np.isnan(nan)


@over([link for link in LINKS if not isinstance(link, ClippedLinearLink)])
def test_numbers_that_are_no_probabilities_have_no_finite_score(link):
    """Above 1 and below 0 no link is defined; NaN stays NaN."""
    assert np.isnan(link.link([-0.1, 1.1, np.nan])).all()


@over(LINKS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)], ids=str)
def test_shape_is_kept(link, shape):
    """Scalars, vectors, tables and empty arrays keep their shape."""
    p = np.full(shape, 0.25)
    assert np.shape(link.link(p)) == shape
    assert np.shape(link.inverse(p)) == shape
    assert link.link(torch.from_numpy(np.asarray(p))).shape == shape


@over(LINKS)
def test_inverse_can_be_recorded(link):
    """An array that records NumPy's operations, as exports do, gets those that probabilities consist of."""
    scores = np.linspace(-5, 5, 11)
    recorded = link.inverse(Recorded(lambda x: x))
    assert isinstance(recorded, Recorded)
    with np.errstate(all="ignore"):
        assert_array_equal(recorded.compute(scores), link.inverse(scores))


@over(LINKS)
@pytest.mark.parametrize("dtype", [np.float16, np.int64, bool])
def test_other_types_are_computed_as_floats(link, dtype):
    """Integers, booleans and half precision become floats of at least single precision."""
    expected = link.inverse(np.array([0.0, 1.0]))
    actual = link.inverse(np.array([0, 1], dtype=dtype))
    assert actual.dtype in (np.float32, np.float64)
    assert_allclose(actual, expected, rtol=1e-6)


@over(LINKS)
def test_no_warning_escapes(link):
    """Extreme probabilities and scores are computed without warnings."""
    with np.errstate(all="raise"):
        link.link(np.array([0.0, 1e-300, 0.3, 1.0]))
        link.inverse(np.array([-np.inf, -1e7, 0, 1e7, np.inf]))


@over(LINKS)
def test_threshold_is_infinite_where_nothing_is_reached(link):
    """No score has a probability above the supremum: its threshold in scores is infinite."""
    cuts = link.cut([0.3, link.high, 1.0])
    assert np.isfinite(cuts[0])
    assert_array_equal(cuts[1:], np.inf)


def test_ends_of_closed_ranges_are_moved_inside():
    """The clipped linear link and the asymmetric one with a margin have a logarithm everywhere."""
    for link in (ClippedLinearLink(), AsymmetricLink()):
        for dtype in (np.float32, np.float64):
            probabilities = link.inverse(np.array([-1e7, 1e7], dtype=dtype))
            assert probabilities.dtype == dtype
            assert np.isfinite(np.log(probabilities)).all()
            assert np.isfinite(np.log1p(-probabilities)).all()


def test_asymmetric_link_without_focus_on_present_labels_has_a_supremum():
    """With gamma_pos = 0 the pulls of present and absent labels fade alike and probabilities end below 1."""
    link = AsymmetricLink(gamma_pos=0.0, gamma_neg=1.0, clip=0.2)
    odds = 0.8 / 0.2 - np.log(0.2)
    assert link.high == pytest.approx(odds / (1 + odds), rel=1e-14)
    assert link.inverse(1e3) == pytest.approx(link.high, rel=1e-14)


def test_asymmetric_link_is_zero_below_its_margin():
    """Scores whose sigmoid is below the margin mean a probability of nothing."""
    link, edge = AsymmetricLink(clip=0.1), np.log(0.1 / 0.9)
    assert_array_equal(link.inverse([edge - 1e-6, edge - 10]), np.finfo(float).tiny)
    assert link.inverse(edge + 0.1) > 1e-9
    assert link.link(1e-12) == pytest.approx(edge, abs=0.05)


@pytest.mark.parametrize(
    "link",
    [FocalLink(gamma=0.0), Poly1Link(epsilon=0.0), AsymmetricLink(gamma_pos=0.0, gamma_neg=0.0, clip=0.0)],
    ids=repr,
)
def test_links_without_their_speciality_are_logistic(link):
    """Without focus, margin or polynomial term every link is that of cross-entropy."""
    scores = np.linspace(-30, 30, 61)
    assert_allclose(link.inverse(scores), LogitLink().inverse(scores), rtol=1e-13)
    assert_allclose(link.link([0.01, 0.5, 0.8]), LogitLink().link([0.01, 0.5, 0.8]), rtol=1e-13, atol=1e-15)


def test_focal_and_symmetric_asymmetric_link_agree():
    """Equal focus on both sides and no margin is the focal loss."""
    scores = np.linspace(-30, 30, 61)
    asymmetric = AsymmetricLink(gamma_pos=2.0, gamma_neg=2.0, clip=0.0)
    assert_allclose(asymmetric.inverse(scores), FocalLink(gamma=2.0).inverse(scores), rtol=1e-13)


@pytest.mark.parametrize(
    ("function", "inverse"),
    [
        (lambda x: x**3, np.cbrt),
        (np.arcsinh, np.sinh),
        (lambda x: np.where(x > 2, np.log(np.maximum(x - 2, 1e-300)), -np.inf), lambda y: 2 + np.exp(y)),
        (lambda x: 1e-6 * x, lambda y: 1e6 * y),
    ],
    ids=["flat at zero", "logarithmic", "minus infinity on the left", "far away"],
)
def test_increasing_root_is_found_to_full_precision(function, inverse):
    """Each element has its own root, wherever it is."""
    values = np.array([-20.0, -1.0, 0.3, 1.0, 7.5])
    with np.errstate(all="ignore"):
        roots = increasing_root(function, values)
    assert_allclose(roots, inverse(values), rtol=2e-15)


def test_losses_and_links_need_no_torch():
    """Importing the losses, inverting links and finding thresholds leaves torch alone."""
    code = (
        "import sys; from sk_quadrant.losses import LOSSES\n"
        "for loss in LOSSES.values():\n"
        "    link = loss().link\n"
        "    link and (link.inverse([0.5]), link.link([0.3]), link.cut([0.4]), loss().bayes_threshold)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
