"""The quadrant data set: exact symmetry, known probabilities, reproducible rows."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import halfnorm, kstest
from sklearn.linear_model import LogisticRegression

from sk_quadrant.datasets import make_quadrants

LABEL_OPTIONS = {
    "signs": {},
    "flipped": {"flip_y": 0.2},
    "drawn": {"slope": 2.0},
    "drawn and flipped": {"slope": 2.0, "flip_y": 0.2},
}


@pytest.mark.parametrize("n_features", [1, 2, 3, 5])
def test_every_point_is_mirrored_into_every_quadrant(n_features):
    """The images of a point are consecutive, share their absolute values and have all signs."""
    n_quadrants = 2**n_features
    X, _ = make_quadrants(n_samples=6 * n_quadrants, n_features=n_features, random_state=0)
    images = X.reshape(6, n_quadrants, n_features)
    assert np.array_equal(np.abs(images), np.broadcast_to(np.abs(images[:, :1]), images.shape))
    for point in images:
        assert len({tuple(signs) for signs in np.sign(point)}) == n_quadrants
    assert len(np.unique(np.abs(X), axis=0)) == 6


def test_quadrants_of_the_plane_come_counter_clockwise():
    """In two dimensions the order is (+, +), (-, +), (-, -), (+, -)."""
    X, Y = make_quadrants(n_samples=8, random_state=0)
    expected = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]] * 2)
    np.testing.assert_array_equal(np.sign(X), expected)
    np.testing.assert_array_equal(Y, expected > 0)


@pytest.mark.parametrize("n_features", [1, 2, 3, 6])
def test_one_sign_changes_from_one_image_to_the_next(n_features):
    """The images of a point walk through the quadrants in Gray code order, starting where all is positive."""
    signs = np.sign(make_quadrants(n_samples=2**n_features, n_features=n_features, random_state=0)[0])
    assert np.all(signs[0] == 1)
    np.testing.assert_array_equal(np.count_nonzero(np.diff(signs, axis=0), axis=1), 1)


@pytest.mark.parametrize(("n_samples", "n_features"), [(1, 1), (5, 2), (7, 2), (4001, 2), (13, 3), (10, 3)])
def test_rows_are_cut_to_n_samples(n_samples, n_features):
    """A number of rows that is no multiple of the quadrants gives the first rows of the next multiple."""
    full = 2**n_features * -(-n_samples // 2**n_features)
    X_full, _ = make_quadrants(n_samples=full, n_features=n_features, random_state=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        X, Y = make_quadrants(n_samples=n_samples, n_features=n_features, random_state=3)
    assert X.shape == Y.shape == (n_samples, n_features)
    np.testing.assert_array_equal(X, X_full[:n_samples])


@pytest.mark.parametrize("n_features", [20, 64, 2000])
def test_many_features_need_no_more_rows_than_asked_for(n_features):
    """With more quadrants than memory holds, the rows are the first images of one point, and a warning says so."""
    with pytest.warns(UserWarning, match=r"n_samples=16 rows do not reach every quadrant.*Raise n_samples above 2"):
        X, Y = make_quadrants(n_samples=16, n_features=n_features, random_state=0)
    assert X.shape == Y.shape == (16, n_features)
    assert len(np.unique(np.abs(X), axis=0)) == 1
    assert len(np.unique(np.sign(X), axis=0)) == 16
    assert np.all(X[:, 4:] > 0)


def test_no_warning_once_every_feature_changes_sign():
    """One row more than half of the quadrants is enough for every label to take both values."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, Y = make_quadrants(n_samples=9, n_features=4, random_state=0)
    assert np.all(Y.min(axis=0) == 0)
    assert np.all(Y.max(axis=0) == 1)


@pytest.mark.parametrize("scale", [5e-324, 1e-3, 1.0, 100.0])
def test_no_coordinate_is_zero(scale):
    """Each coordinate has a sign, even where the scale underflows."""
    X, _ = make_quadrants(n_samples=4000, scale=scale, random_state=0)
    assert np.all(X != 0)
    assert np.all(np.isfinite(X))


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_magnitudes_are_half_normal(scale):
    """The absolute values follow the folded normal distribution of that scale."""
    X, _ = make_quadrants(n_samples=20_000, scale=scale, random_state=0)
    assert kstest(np.abs(X[::4, 0]), halfnorm(scale=scale).cdf).pvalue > 1e-3


def test_scale_stretches_the_same_points():
    """The same seed gives the same points up to their scale."""
    X, _ = make_quadrants(n_samples=100, random_state=5)
    X_wide, _ = make_quadrants(n_samples=100, scale=8.0, random_state=5)
    np.testing.assert_allclose(X_wide, 8 * X)


def test_labels_without_noise_are_the_signs():
    """The plain data set is separable: each label is the sign of its feature."""
    X, Y, proba = make_quadrants(n_samples=400, n_features=3, random_state=0, return_proba=True)
    np.testing.assert_array_equal(Y, X > 0)
    np.testing.assert_array_equal(proba, X > 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"slope": 2.0}, lambda X: expit(2 * X)),
        ({"flip_y": 0.2}, lambda X: np.where(X > 0, 0.8, 0.2)),
        ({"slope": 2.0, "flip_y": 0.2}, lambda X: 0.8 * expit(2 * X) + 0.2 * expit(-2 * X)),
        ({"flip_y": 1.0}, lambda X: X < 0),
    ],
    ids=["slope", "flip_y", "slope and flip_y", "all flipped"],
)
def test_probabilities_follow_slope_and_noise(options, expected):
    """The returned probabilities are those of the formula in the docstring."""
    X, _, proba = make_quadrants(n_samples=400, random_state=0, return_proba=True, **options)
    np.testing.assert_allclose(proba, expected(X), rtol=1e-14)


@pytest.mark.parametrize("options", LABEL_OPTIONS.values(), ids=LABEL_OPTIONS)
def test_labels_occur_as_often_as_their_probabilities_say(options):
    """In each tenth of the probabilities, labels are positive within four standard errors of the mean probability."""
    _, Y, proba = make_quadrants(n_samples=40_000, random_state=0, return_proba=True, **options)
    tenths = np.minimum((proba * 10).astype(int), 9)
    for tenth in np.unique(tenths):
        inside = tenths == tenth
        error = np.sqrt(np.sum(proba[inside] * (1 - proba[inside]))) / inside.sum()
        assert abs(Y[inside].mean() - proba[inside].mean()) <= 4 * error


def test_labels_are_independent_given_the_point():
    """The residuals of two labels do not correlate."""
    _, Y, proba = make_quadrants(n_samples=40_000, slope=1.0, flip_y=0.1, random_state=0, return_proba=True)
    residuals = Y - proba
    assert abs(np.corrcoef(residuals.T)[0, 1]) < 4 / np.sqrt(len(Y))


def test_logistic_regression_recovers_the_slope():
    """Labels drawn with slope k are those of a logistic model with coefficients (k, 0) and no intercept."""
    X, Y = make_quadrants(n_samples=40_000, slope=3.0, random_state=0)
    model = LogisticRegression(C=np.inf).fit(X, Y[:, 0])
    np.testing.assert_allclose(model.coef_[0], [3.0, 0.0], atol=0.1)
    np.testing.assert_allclose(model.intercept_, 0.0, atol=0.1)


@pytest.mark.parametrize("options", LABEL_OPTIONS.values(), ids=LABEL_OPTIONS)
def test_soft_labels_are_the_probabilities(options):
    """Soft labels equal the probabilities, in an array of their own."""
    _, Y, proba = make_quadrants(n_samples=40, soft_labels=True, random_state=0, return_proba=True, **options)
    np.testing.assert_array_equal(Y, proba)
    assert Y.dtype == np.float64
    assert not np.shares_memory(Y, proba)


@pytest.mark.parametrize("options", LABEL_OPTIONS.values(), ids=LABEL_OPTIONS)
@pytest.mark.parametrize("shuffle", [False, True], ids=["ordered", "shuffled"])
def test_same_seed_gives_the_same_points_whatever_the_labels(options, shuffle):
    """Label options and soft labels change the labels alone."""
    X, _ = make_quadrants(n_samples=50, shuffle=shuffle, random_state=7)
    for soft_labels in (False, True):
        X_other, _ = make_quadrants(n_samples=50, shuffle=shuffle, random_state=7, soft_labels=soft_labels, **options)
        np.testing.assert_array_equal(X, X_other)


def test_shuffling_changes_the_order_only():
    """Shuffled rows are the same rows, with their labels."""
    X, _ = make_quadrants(n_samples=203, random_state=0)
    X_shuffled, Y_shuffled = make_quadrants(n_samples=203, shuffle=True, random_state=0)
    assert not np.array_equal(X, X_shuffled)
    np.testing.assert_array_equal(X[np.lexsort(X.T)], X_shuffled[np.lexsort(X_shuffled.T)])
    np.testing.assert_array_equal(Y_shuffled, X_shuffled > 0)


@pytest.mark.parametrize("options", LABEL_OPTIONS.values(), ids=LABEL_OPTIONS)
def test_a_seed_repeats_the_data(options):
    """An integer seed and a generator of that seed give the same data; another seed gives other data."""
    X, Y = make_quadrants(n_samples=100, random_state=1, shuffle=True, **options)
    X_again, Y_again = make_quadrants(n_samples=100, random_state=np.random.RandomState(1), shuffle=True, **options)
    np.testing.assert_array_equal(X, X_again)
    np.testing.assert_array_equal(Y, Y_again)
    assert not np.array_equal(X, make_quadrants(n_samples=100, random_state=2, shuffle=True, **options)[0])


def test_global_random_state_is_left_alone():
    """A seeded call does not touch the global generator of NumPy."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_quadrants(n_samples=100, slope=1.0, shuffle=True, random_state=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_types_and_defaults_are_those_of_the_documentation():
    """4000 rows and 2 features; float64 points, int64 labels, and probabilities only when asked for."""
    X, Y = make_quadrants()
    assert X.shape == Y.shape == (4000, 2)
    assert X.dtype == np.float64
    assert Y.dtype == np.int64
    assert len(make_quadrants(n_samples=4, return_proba=True)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, r"'n_samples' parameter of make_quadrants must be an int in the range \[1, inf\). Got 0"),
        ({"n_samples": 2.0}, r"'n_samples' parameter .* must be an int"),
        ({"n_features": 0}, r"'n_features' parameter .* must be an int in the range \[1, inf\)"),
        ({"scale": 0}, r"'scale' parameter .* must be a float in the range \(0.0, inf\). Got 0"),
        ({"scale": np.inf}, r"'scale' parameter .* Got inf"),
        ({"flip_y": 1.5}, r"'flip_y' parameter .* must be a float in the range \[0.0, 1.0\]. Got 1.5"),
        ({"flip_y": np.nan}, r"'flip_y' parameter .* Got nan"),
        ({"slope": -1.0}, r"'slope' parameter .* must be None or a float in the range \(0.0, inf\). Got -1.0"),
        ({"soft_labels": "yes"}, "'soft_labels' parameter"),
        ({"shuffle": None}, "'shuffle' parameter"),
        ({"return_proba": 2}, "'return_proba' parameter"),
        ({"random_state": "seed"}, "'random_state' parameter"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_wrong_parameters_are_named(options, message):
    """An error names the parameter, what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        make_quadrants(**options)
