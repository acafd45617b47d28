"""The quadrant data set for any of its options."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant.datasets import make_quadrants

pytestmark = pytest.mark.filterwarnings("ignore:n_samples=.* rows do not reach every quadrant")

options = st.fixed_dictionaries(
    {
        "n_samples": st.integers(1, 40),
        "n_features": st.integers(1, 6),
        "scale": st.floats(1e-300, 1e300),
        "flip_y": st.floats(0, 1),
        "slope": st.none() | st.floats(1e-3, 1e3),
        "soft_labels": st.booleans(),
        "shuffle": st.booleans(),
        "random_state": st.integers(0, 2**32 - 1),
    }
)


@given(options=options)
def test_points_are_mirrored_and_labels_are_drawn_from_their_probabilities(options):
    """Shapes, symmetry, the formula of the probabilities, and the same rows from the same seed."""
    X, Y, probabilities = make_quadrants(**options, return_proba=True)
    assert X.shape == Y.shape == probabilities.shape == (options["n_samples"], options["n_features"])
    assert (X != 0).all()
    assert np.isfinite(X).all()
    with np.errstate(over="ignore"):
        clean = X > 0 if options["slope"] is None else 1 / (1 + np.exp(-options["slope"] * X))
    flip = options["flip_y"]
    assert_allclose(probabilities, (1 - flip) * clean + flip * (1 - clean), atol=1e-12)
    if options["soft_labels"]:
        assert_array_equal(Y, probabilities)
    else:
        assert Y.dtype == np.int64
        assert set(np.unique(Y)) <= {0, 1}
        assert (Y[probabilities == 1] == 1).all()
        assert (Y[probabilities == 0] == 0).all()
    again = make_quadrants(**options)
    assert_array_equal(again[0], X)
    assert_array_equal(again[1], Y)


@given(options=options)
def test_noise_moves_no_point(options):
    """The points are those of the seed, whatever the labels; unshuffled ones come in images with all signs."""
    X, _ = make_quadrants(**options)
    plain = {name: options[name] for name in ("n_samples", "n_features", "scale", "shuffle", "random_state")}
    assert_array_equal(make_quadrants(**plain)[0], X)
    n_quadrants = 2 ** options["n_features"]
    if not options["shuffle"] and len(X) >= n_quadrants:
        images = X[:n_quadrants]
        assert_array_equal(np.abs(images), np.broadcast_to(np.abs(images[0]), images.shape))
        assert len(np.unique(images > 0, axis=0)) == n_quadrants
