"""The tutorial on the quadrants, reproduced: four losses, mini-batches, and what a threshold of 0.5 does to each.

4000 mirrored points, 80/20, batches of 16, 30 epochs, AdamW at 5e-3 with cosine and 10% warm-up, no intercept.
Tests of the same numbers over more seeds are marked slow.
"""

import functools

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants

LOSSES = ["bce_with_logits", "sigmoid_bce", "shifted_sigmoid_bce", "zlpr"]
SEEDS = [pytest.param(seed, marks=pytest.mark.slow if seed else ()) for seed in range(5)]
POINTS = np.array([[0.5, 0.5], [0.1, 0.9], [0.01, 0.999], [-0.01, 0.999], [-99.0, 99.0]], dtype=np.float32)
OWN_THRESHOLD = {"bce_with_logits": 1 / 2, "sigmoid_bce": 1 / 2, "shifted_sigmoid_bce": 1 / 3, "zlpr": 1 / 2}
# of label 0 at the five points, over five seeds, with plain PyTorch
PUBLISHED = {
    "bce_with_logits": [0.953, 0.643, 0.512, 0.482, 0],
    "sigmoid_bce": [0.953, 0.643, 0.512, 0.482, 0],
    "shifted_sigmoid_bce": [0.490, 0.395, 0.339, 0.325, 0],
    "zlpr": [0.998, 0.774, 0.518, 0.454, 0],
}


@functools.cache
def split(seed):
    """Return training and test rows in single precision, as PyTorch has them."""
    X, Y = make_quadrants(n_samples=4000, random_state=seed)
    return train_test_split(X.astype(np.float32), Y, test_size=0.2, random_state=seed)


@functools.cache
def follow_recipe(loss, seed=0):
    """Return the model of the tutorial."""
    X, _, Y, _ = split(seed)
    model = QuadrantMultiLabelClassifier(
        loss,
        C=np.inf,
        fit_intercept=False,
        solver="adamw",
        batch_size=16,
        max_iter=30,
        learning_rate_init=5e-3,
        learning_rate="cosine",
        warmup_fraction=0.1,
        random_state=seed,
    )
    return model.fit(X, Y)


def macro_f1(decisions, seed):
    """Return the macro-F1 of decisions on the test rows."""
    return f1_score(split(seed)[3], decisions, average="macro", zero_division=0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_f1_is_almost_one_at_the_threshold_of_the_loss(loss, seed):
    """Every loss finds the quadrants when cut where it says yes itself."""
    assert macro_f1(follow_recipe(loss, seed).predict(split(seed)[1]), seed) > 0.995


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.slow
def test_all_epochs_are_run(loss):
    """The recipe runs its 30 epochs; a falling rate is not mistaken for the end of progress."""
    assert follow_recipe(loss).n_iter_ == 30


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_boundary_lies_at_the_threshold_of_the_loss(loss, seed):
    """At a hundredth on both sides of the axis the probabilities enclose 1/2, for the shifted sigmoid 1/3."""
    above, below = follow_recipe(loss, seed).predict_proba(POINTS[2:4])[:, 0]

    assert below < OWN_THRESHOLD[loss] < above
    assert above - below < 0.1
    assert follow_recipe(loss, seed).threshold_ == pytest.approx([OWN_THRESHOLD[loss]] * 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_boundary_of_the_shifted_sigmoid_is_far_from_one_half(seed):
    """Both sides of the boundary of the shifted sigmoid have probabilities between .3 and .4."""
    above, below = follow_recipe("shifted_sigmoid_bce", seed).predict_proba(POINTS[2:4])[:, 0]

    assert 0.3 < below < above < 0.4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_at_the_five_points(loss, seed):
    """They fall in the order of the first coordinate and are those that plain PyTorch gave."""
    proba = follow_recipe(loss, seed).predict_proba(POINTS)[:, 0]

    assert np.all(np.diff(proba) < 0)
    assert proba == pytest.approx(PUBLISHED[loss], abs=0.02)


@pytest.mark.parametrize("loss", LOSSES)
def test_far_points_saturate_without_nan(loss):
    """At [-99, 99] the first label is certainly absent and the second as present as the link can say."""
    absent, present = follow_recipe(loss).predict_proba(POINTS[4:])[0]

    assert 0 <= absent < 1e-6
    assert present == pytest.approx(0.5 if loss == "shifted_sigmoid_bce" else 1, abs=1e-6)
    assert follow_recipe(loss).predict(POINTS[4:]).tolist() == [[0, 1]]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_half_is_no_threshold_for_the_shifted_sigmoid(seed):
    """Cut at one half the shifted sigmoid finds only labels whose probability is one half to the last bit."""
    proba = follow_recipe("shifted_sigmoid_bce", seed).predict_proba(split(seed)[1])

    assert macro_f1(proba >= 0.5, seed) < 0.1
    assert macro_f1(proba > 0.5, seed) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_sigmoid_applied_twice_says_yes_to_everything(loss):
    """A probability taken for a score has a sigmoid of at least one half: F1 is that of predicting all labels."""
    decisions = expit(follow_recipe(loss).predict_proba(split(0)[1])) >= 0.5

    assert decisions.all()
    assert macro_f1(decisions, 0) == pytest.approx(0.673, abs=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_cross_entropy_of_logits_is_no_more_accurate_here(seed):
    """Sigmoid and cross-entropy in two steps arrive at the weights of the one in a single step."""
    logits, steps = follow_recipe("bce_with_logits", seed), follow_recipe("sigmoid_bce", seed)

    np.testing.assert_allclose(steps.coef_, logits.coef_, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(steps.predict(split(seed)[1]), logits.predict(split(seed)[1]))
