"""Calibration maps: the same as scikit-learn's where it has them, and finite whatever the data."""

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.fixes import parse_version

from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import METHODS, LogOdds, fit_isotonic, fit_sigmoid, fit_temperature
from sk_quadrant._targets.targets import Targets


class _FirstColumn(ClassifierMixin, BaseEstimator):
    """A fitted binary classifier whose decision value is the first feature."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, X):
        return np.asarray(X)[:, 0]

    def predict(self, X):
        return (self.decision_function(X) > 0).astype(int)


def calibration_set(scores, targets, weight=None):
    """Return the calibration set of targets in which NaN is unknown."""
    mask = ~np.isnan(targets)
    return CalibrationSet.of(scores, Targets(np.where(mask, targets, 0.0), None if mask.all() else mask, weight))


def _scikit_learn_proba(method, scores, targets, weight=None):
    """Probabilities of scikit-learn's calibration of one label, at the scores it was fitted to."""
    X = scores[:, np.newaxis]
    model = CalibratedClassifierCV(FrozenEstimator(_FirstColumn()), method=method, cv=2)
    return model.fit(X, targets.astype(int), sample_weight=weight).predict_proba(X)[:, 1]


def _draw(n_samples=600, n_labels=4, seed=0):
    """Scores of several scales and places, with labels drawn from a logistic curve of them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n_samples, n_labels))
    targets = rng.random(z.shape) < expit(z * rng.uniform(0.5, 3, n_labels) + rng.uniform(-3, 1, n_labels))
    scores = z * np.logspace(-3, 3, n_labels) + rng.normal(size=n_labels)
    return scores, targets.astype(float)


def _smoothed(targets, weight):
    weight = weight * max(1, weight.size / weight.sum())
    n_positive, n_negative = (weight * targets).sum(), (weight * (1 - targets)).sum()
    return targets * (n_positive + 1) / (n_positive + 2) + (1 - targets) / (n_negative + 2)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_maps_equal_those_of_scikit_learn(method, weighted):
    """Each label gets the probabilities of a CalibratedClassifierCV of its own."""
    scores, targets = _draw()
    weight = np.random.default_rng(1).integers(0, 4, len(scores)).astype(float) if weighted else None

    proba = METHODS[method](calibration_set(scores, targets, weight)).predict(scores)

    expected = [_scikit_learn_proba(method, s, t, weight) for s, t in zip(scores.T, targets.T, strict=True)]
    np.testing.assert_allclose(proba, np.transpose(expected), atol=1e-6)


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.8"), reason="no temperature before 1.8")
def test_temperature_equals_that_of_scikit_learn_once_smoothing_is_negligible():
    """Platt's smoothing, which scikit-learn leaves out for the temperature, vanishes for large weights."""
    scores, targets = _draw()
    scores = scores / scores.std(axis=0)

    proba = fit_temperature(calibration_set(scores, targets, np.full(len(scores), 1e9))).predict(scores)

    expected = [_scikit_learn_proba("temperature", s, t) for s, t in zip(scores.T, targets.T, strict=True)]
    np.testing.assert_allclose(proba, np.transpose(expected), atol=1e-6)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("fit", [fit_sigmoid, fit_temperature], ids=["sigmoid", "temperature"])
def test_logistic_maps_minimise_the_log_loss_of_smoothed_targets(fit, soft):
    """No general optimiser finds a lower loss, and it finds the same parameters."""
    rng = np.random.default_rng(2)
    scores = rng.normal(0.5, 2.0, size=(300, 1))
    proba = expit(scores - 1)
    targets = rng.beta(5 * proba, 5 * (1 - proba)) if soft else (rng.random(proba.shape) < proba).astype(float)
    weight = rng.uniform(0, 2, targets.shape)
    smoothed = _smoothed(targets, weight)

    def loss(parameters):
        u = scores * parameters[0] + (parameters[1] if len(parameters) == 2 else 0.0)
        return (weight * (np.logaddexp(0, u) - smoothed * u)).sum()

    fitted = fit(calibration_set(scores, targets, weight))
    best = minimize(loss, np.zeros(2 if fit is fit_sigmoid else 1), tol=1e-10)

    parameters = np.concatenate([fitted.slope, fitted.intercept])[: len(best.x)]
    np.testing.assert_allclose(parameters, best.x, rtol=1e-4)
    assert loss(parameters) <= best.fun + 1e-10


def test_a_pooled_map_is_the_map_of_one_label_with_all_entries():
    """Pooling is nothing but forgetting which label an entry belongs to."""
    scores, targets = _draw()
    weight = np.random.default_rng(3).uniform(0, 2, scores.shape)

    pooled = fit_sigmoid(calibration_set(scores, targets, weight).pooled())

    long = fit_sigmoid(calibration_set(scores.reshape(-1, 1), targets.reshape(-1, 1), weight.reshape(-1, 1)))
    assert pooled.slope.shape == (1,)
    np.testing.assert_array_equal(pooled.predict(scores), long.predict(scores))


def test_blocks_of_labels_and_rows_do_not_show():
    """A label's map does not depend on which labels are fitted with it, nor on how many rows fit in a block."""
    scores, targets = _draw(n_samples=3000, n_labels=70)

    together = fit_sigmoid(calibration_set(scores, targets))

    for j in (0, 63, 64, 69):
        alone = fit_sigmoid(calibration_set(scores[:, [j]], targets[:, [j]]))
        np.testing.assert_allclose([together.slope[j], together.intercept[j]], np.ravel([alone.slope, alone.intercept]))


@pytest.mark.parametrize("method", METHODS)
def test_weight_two_is_a_repeated_row_and_weight_zero_a_removed_one(method):
    """Weights count rows, in the smoothing of targets too."""
    scores, targets = _draw()
    weight = np.random.default_rng(4).integers(0, 3, len(scores))

    weighted = METHODS[method](calibration_set(scores, targets, weight.astype(float)))
    repeated = METHODS[method](calibration_set(scores.repeat(weight, axis=0), targets.repeat(weight, axis=0)))

    np.testing.assert_allclose(weighted.predict(scores), repeated.predict(scores), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_unknown_targets_and_infinite_scores_take_no_part(method):
    """A map is fitted to the finite scores of known targets alone."""
    scores, targets = _draw(n_labels=1)
    few = METHODS[method](calibration_set(scores[20:], targets[20:]))
    targets[:10] = np.nan
    scores[10:15], scores[15:20] = np.inf, -np.inf

    fitted = METHODS[method](calibration_set(scores, targets))

    np.testing.assert_allclose(fitted.predict(scores[20:]), few.predict(scores[20:]), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_infinite_scores_get_the_limits_of_the_map(method):
    """The probability of an infinite score is that of a very large one."""
    scores, targets = _draw(n_labels=1)
    fitted = METHODS[method](calibration_set(scores, targets))

    np.testing.assert_allclose(
        fitted.predict(np.array([[-np.inf], [np.inf]])), fitted.predict(np.array([[-1e9], [1e9]]))
    )


@pytest.mark.parametrize("pooled", [False, True], ids=["label", "pooled"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("value", "expected"), [(0.0, 1 / 22), (1.0, 21 / 22)], ids=["no-positive", "no-negative"])
def test_one_sided_labels_get_the_smoothed_frequency(method, pooled, value, expected):
    """All methods answer (n_positive + 1) / (n + 2) where only one of 0 and 1 was seen."""
    scores = np.linspace(-1, 1, 20)[:, np.newaxis]
    calibration = calibration_set(scores, np.full_like(scores, value))

    fitted = METHODS[method](calibration.pooled() if pooled else calibration)

    np.testing.assert_allclose(fitted.predict(np.array([[-3.0], [0.0], [np.inf]])), expected, rtol=1e-9)


@pytest.mark.parametrize("pooled", [False, True], ids=["label", "pooled"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [0.0, 1.0, None], ids=["no-positive", "no-negative", "both"])
def test_weights_that_sum_to_one_are_no_lack_of_rows(target, method, pooled):
    """Divided by their sum, weights give the same probabilities; those of 0 count for no row."""
    scores, targets = _draw(200, 2)
    targets = targets if target is None else np.full_like(targets, target)
    weight = np.repeat([1.0, 0.0], [150, 50])
    sets = [calibration_set(scores, targets, part) for part in (weight, weight / weight.sum())]

    counted, normalised = (METHODS[method](part.pooled() if pooled else part).predict(scores) for part in sets)

    np.testing.assert_allclose(normalised, counted, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_labels_without_known_target_get_one_half(method):
    """Nothing known is a probability of (0 + 1) / (0 + 2)."""
    scores = np.linspace(-1, 1, 20)[:, np.newaxis]

    fitted = METHODS[method](calibration_set(scores, np.full_like(scores, np.nan)))

    np.testing.assert_allclose(fitted.predict(scores), 0.5)


@pytest.mark.parametrize("value", [0.1, -7.0, 0.0, 1e9])
def test_constant_scores_give_a_constant_probability_near_the_frequency(value):
    """Scores that say nothing leave what is known without them, on other scores too."""
    targets = np.repeat([[1.0], [0.0]], [3, 7], axis=0)
    calibration = calibration_set(np.full((10, 1), value), targets)

    sigmoid, isotonic = fit_sigmoid(calibration), fit_isotonic(calibration)

    smoothed_frequency = (3 * 4 / 5 + 7 * 1 / 9) / 10
    np.testing.assert_allclose(sigmoid.predict(np.array([[value], [value + 1]])), smoothed_frequency)
    np.testing.assert_allclose(isotonic.predict(np.array([[value], [value + 1]])), 0.3)


def test_scores_equal_but_for_rounding_are_constant():
    """Sums in another order differ in the last digit, which is not a difference between rows."""
    scores = np.where(np.arange(20) % 3 == 0, 0.1 + 0.2, 0.3)[:, np.newaxis]

    fitted = fit_sigmoid(calibration_set(scores, (np.arange(20) % 3 == 0).astype(float)[:, np.newaxis]))

    assert fitted.slope[0] == 0


@pytest.mark.parametrize("fit", [fit_sigmoid, fit_temperature], ids=["sigmoid", "temperature"])
def test_separable_scores_stay_finite_and_confident_by_how_many_there_are(fit):
    """Smoothing bounds the slope: 100 rows on the right side earn more confidence than 4."""
    few, many = (np.linspace(-2, 2, n)[:, np.newaxis] for n in (4, 100))

    proba = [fit(calibration_set(s, (s > 0).astype(float))).predict(np.array([[2.0]])).item() for s in (few, many)]

    assert 0.7 < proba[0] < 0.9
    assert 0.99 < proba[1] < 1


@pytest.mark.parametrize(("method", "lowest", "highest"), [("temperature", 0.499, 0.501), ("isotonic", 0.4, 0.6)])
def test_scores_that_point_the_wrong_way_lose_their_say(method, lowest, highest):
    """A map that cannot decrease ends up nearly constant."""
    scores = np.linspace(-1, 1, 200)[:, np.newaxis]

    proba = METHODS[method](calibration_set(scores, (scores < 0).astype(float))).predict(scores)

    assert lowest < proba.min() <= proba.max() < highest


def test_sigmoid_turns_scores_round_that_point_the_wrong_way():
    """A negative slope is a legitimate map."""
    scores = np.linspace(-1, 1, 200)[:, np.newaxis]

    proba = fit_sigmoid(calibration_set(scores, (scores < 0).astype(float))).predict(scores)

    assert proba[0] > 0.9
    assert proba[-1] < 0.1


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1.0, 1e9, 1e200])
def test_sigmoid_does_not_depend_on_unit_and_zero_of_scores(scale):
    """An affine change of the scores changes the map and no probability."""
    scores, targets = _draw(n_labels=1)
    scores = (scores - scores.mean()) / scores.std()
    other = (scores + 5.0) * scale

    proba = fit_sigmoid(calibration_set(other, targets)).predict(other)

    np.testing.assert_allclose(proba, fit_sigmoid(calibration_set(scores, targets)).predict(scores), rtol=1e-7)


def test_isotonic_is_the_regression_of_scikit_learn():
    """The map of a label is IsotonicRegression, constant outside the scores it saw."""
    scores, targets = _draw(n_labels=2)
    grid = np.linspace(-5, 5, 50)[:, np.newaxis].repeat(2, axis=1)

    proba = fit_isotonic(calibration_set(scores, targets)).predict(grid)

    for j in range(2):
        regression = IsotonicRegression(out_of_bounds="clip").fit(scores[:, j], targets[:, j])
        np.testing.assert_allclose(proba[:, j], regression.predict(grid[:, j]), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_many_rows_recover_the_true_probabilities(method):
    """With the map inside the family, 40 000 rows are enough for two digits."""
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(40_000, 1))
    truth = expit(1.7 * scores)

    proba = METHODS[method](calibration_set(scores, (rng.random(scores.shape) < truth).astype(float))).predict(scores)

    assert np.abs(proba - truth).mean() < 0.012


@settings(max_examples=100, deadline=None)
@given(data=st.data(), method=st.sampled_from(list(METHODS)), pooled=st.booleans())
def test_probabilities_are_never_nan(data, method, pooled):
    """Whatever scores, targets and weights are, the map is a probability everywhere."""
    shape = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 3)))
    size = shape[0] * shape[1]
    score = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, 1.0, -1.0, 1e-320, 1e308, -np.inf]))
    target = st.one_of(st.sampled_from([0.0, 1.0, np.nan]), st.floats(0, 1))
    scores, targets, weight = (
        np.reshape(data.draw(st.lists(values, min_size=size, max_size=size)), shape)
        for values in (score, target, st.sampled_from([0.0, 1.0, 1e-12, 1e12]))
    )
    calibration = calibration_set(scores, targets, weight)

    fitted = METHODS[method](calibration.pooled() if pooled else calibration)

    proba = fitted.predict(np.vstack([scores, np.full((1, shape[1]), 0.5), np.full((1, shape[1]), -np.inf)]))
    assert np.all((proba >= 0) & (proba <= 1))


def test_log_odds_of_zero_and_one_lie_half_way_to_the_nearest_seen():
    """Of 5 neighbours none is read as half of one."""
    log_odds = LogOdds.of(np.array([[0.0, 0.2], [0.4, 1.0], [0.9, 0.6]]))

    np.testing.assert_allclose(expit(log_odds.scores(np.array([0.0, 0.05, 0.3, 1.0]))), [0.1, 0.1, 0.3, 0.95])


def test_log_odds_undo_a_sigmoid_where_no_probability_is_0_or_1():
    """A network's probabilities give back its logits."""
    scores = np.linspace(-20, 20, 11)
    np.testing.assert_allclose(LogOdds.of(expit(scores)).scores(expit(scores)), scores, rtol=1e-6)


@pytest.mark.parametrize("proba", [[0.0, 1.0], [0.0], [1.0], [1e-320, 1.0 - 2**-53]], ids=str)
def test_log_odds_are_finite_and_in_order(proba):
    """Probabilities that are all 0 or 1, and the last before them, have log-odds too."""
    scores = LogOdds.of(np.array(proba)).scores(np.array([0.0, 1e-320, 0.5, 1.0 - 2**-53, 1.0]))

    assert np.isfinite(scores).all()
    assert np.all(np.diff(scores) >= 0)
    assert scores[2] == logit(0.5)
