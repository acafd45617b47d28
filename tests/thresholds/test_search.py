"""The search for thresholds, against trying all of them with scikit-learn's metrics."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, precision_recall_curve

from sk_quadrant._thresholds.curves import between
from sk_quadrant._thresholds.held_out import HeldOut
from sk_quadrant._thresholds.metrics import METRICS
from sk_quadrant._thresholds.search import TuningObjective, tune_thresholds

OBJECTIVES = {name: TuningObjective(metric) for name, metric in METRICS.items()}
EXACT = ["f1_macro", "f1_micro", "neg_hamming_loss"]
NAMES = sorted(METRICS)


def sklearn_value(name, targets, predicted, weight=None):
    """Return the metric as scikit-learn computes it."""
    if name == "neg_hamming_loss":
        return -hamming_loss(targets, predicted, sample_weight=weight)
    if name == "accuracy":
        return accuracy_score(targets, predicted, sample_weight=weight)
    average = name.removeprefix("f1_")
    return f1_score(targets, predicted, average=average, zero_division=0, sample_weight=weight)


def tune(metric, held_out, *, shared=False, min_positives=0, fixed=None, max_passes=20):
    """Return tuned thresholds and the pooled labels, with every label tuned by default."""
    fixed = np.full(held_out.n_labels, np.nan) if fixed is None else fixed
    options = {"shared": shared, "min_positives": min_positives, "max_passes": max_passes}
    return tune_thresholds(OBJECTIVES.get(metric, metric), held_out, fixed=fixed, **options)


def every_threshold(scores):
    """Return thresholds that separate scores in every possible way."""
    distinct = np.unique(scores)
    return np.concatenate([[-np.inf], (distinct[1:] + distinct[:-1]) / 2, [np.inf]])


def small_problem(seed, n_samples, n_labels):
    """Return few rows: with many ties for odd seeds, with weights for seeds divisible by three."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (n_samples, n_labels)) / 5 if seed % 2 else rng.normal(size=(n_samples, n_labels))
    targets = rng.random((n_samples, n_labels)) < rng.choice([0.2, 0.5])
    weight = rng.random(n_samples) + 0.1 if seed % 3 == 0 else None
    return HeldOut(scores, targets, weight=weight)


def informative_problem(seed=0, n_samples=300, n_labels=6, frequency=0.2):
    """Return rows whose scores are right on average."""
    rng = np.random.default_rng(seed)
    targets = rng.random((n_samples, n_labels)) < frequency
    return HeldOut(rng.normal(size=(n_samples, n_labels)) + 1.5 * targets, targets)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.slow
def test_a_threshold_a_label_is_as_good_as_the_best_of_all_combinations(name, seed):
    """Brute force over the product of all thresholds of three labels."""
    held_out = small_problem(seed, n_samples=6, n_labels=3)
    thresholds, _ = tune(name, held_out)
    best = max(
        sklearn_value(name, held_out.targets, held_out.scores > np.array(combination), held_out.weight)
        for combination in itertools.product(*map(every_threshold, held_out.scores.T))
    )
    found = sklearn_value(name, held_out.targets, held_out.scores > thresholds, held_out.weight)
    assert found == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_a_shared_threshold_is_as_good_as_the_best_of_all(name, seed):
    """Brute force over all thresholds of the pooled scores; every metric is exact here."""
    held_out = small_problem(seed, n_samples=12, n_labels=4)
    thresholds, _ = tune(name, held_out, shared=True)
    values = [
        sklearn_value(name, held_out.targets, held_out.scores > threshold, held_out.weight)
        for threshold in every_threshold(held_out.scores)
    ]
    assert np.unique(thresholds).size == 1
    found = sklearn_value(name, held_out.targets, held_out.scores > thresholds, held_out.weight)
    assert found == pytest.approx(max(values), abs=1e-12)


def test_f1_of_each_label_is_the_best_of_the_precision_recall_curve():
    """scikit-learn's curve visits every distinct score."""
    held_out = informative_problem()
    thresholds, _ = tune("f1_macro", held_out)
    for j in range(held_out.n_labels):
        precision, recall, _ = precision_recall_curve(held_out.targets[:, j], held_out.scores[:, j])
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        assert f1_score(held_out.targets[:, j], held_out.scores[:, j] > thresholds[j]) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["f1_samples", "accuracy"])
def test_no_other_threshold_of_a_single_label_is_better(name, seed):
    """The end of a coordinate search: brute force over each label in turn."""
    held_out = small_problem(seed, n_samples=30, n_labels=4)
    thresholds, _ = tune(name, held_out)
    value = OBJECTIVES[name].value(held_out, thresholds)
    for j in range(held_out.n_labels):
        for threshold in every_threshold(held_out.scores[:, j]):
            other = np.where(np.arange(held_out.n_labels) == j, threshold, thresholds)
            assert OBJECTIVES[name].value(held_out, other) <= value + 1e-12


@pytest.mark.parametrize("name", ["f1_samples", "accuracy"])
def test_coordinate_search_is_not_worse_than_the_exact_thresholds_it_starts_from(name):
    """Its value is at least that of the thresholds for F1 and for the Hamming loss."""
    held_out = informative_problem()
    value = OBJECTIVES[name].value(held_out, tune(name, held_out)[0])
    assert value >= max(OBJECTIVES[name].value(held_out, tune(start, held_out)[0]) for start in EXACT)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_value_is_that_of_scikit_learn(name, seed):
    """The value of arbitrary thresholds, with ties and weights."""
    held_out = small_problem(seed, n_samples=40, n_labels=5)
    thresholds = np.linspace(0.1, 0.9, 5)
    expected = sklearn_value(name, held_out.targets, held_out.scores > thresholds, held_out.weight)
    assert OBJECTIVES[name].value(held_out, thresholds) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shared", [False, True], ids=["label", "shared"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    scores=arrays(np.float64, (9, 3), elements=st.floats(allow_nan=False, width=32)),
    targets=arrays(np.bool_, (9, 3)),
    min_positives=st.integers(0, 4),
)
def test_thresholds_are_never_nan_and_their_value_is_true(name, shared, scores, targets, min_positives):
    """Any scores, infinite and subnormal ones too."""
    held_out = HeldOut(scores, targets)
    thresholds, _ = tune(name, held_out, shared=shared, min_positives=min_positives)
    assert not np.isnan(thresholds).any()
    expected = sklearn_value(name, targets, scores > thresholds)
    assert OBJECTIVES[name].value(held_out, thresholds) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shared", [False, True], ids=["label", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_an_increasing_map_of_scores_changes_no_prediction(name, shared):
    """Only the order of scores matters."""
    held_out = informative_problem(n_samples=60)
    mapped = HeldOut(np.exp(held_out.scores), held_out.targets)
    thresholds, mapped_thresholds = tune(name, held_out, shared=shared)[0], tune(name, mapped, shared=shared)[0]
    np.testing.assert_array_equal(held_out.scores > thresholds, mapped.scores > mapped_thresholds)


@pytest.mark.parametrize("shared", [False, True], ids=["label", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_unknown_entries_have_no_influence(name, shared):
    """Scores and targets of unknown entries can be anything; rows without a known label can be absent."""
    held_out = informative_problem(n_samples=80)
    rng = np.random.default_rng(1)
    known = rng.random(held_out.scores.shape) < 0.7
    known[:9] = False
    noisy = np.where(known, held_out.scores, rng.normal(size=known.shape))
    one = HeldOut(held_out.scores, held_out.targets & known, known).without_idle_rows()
    two = HeldOut(noisy[9:], (held_out.targets & known)[9:], known[9:])
    thresholds, other = tune(name, one, shared=shared)[0], tune(name, two, shared=shared)[0]
    np.testing.assert_array_equal(thresholds, other)
    assert OBJECTIVES[name].value(one, thresholds) == OBJECTIVES[name].value(two, thresholds)


@pytest.mark.parametrize("name", EXACT)
def test_unknown_entries_are_as_if_absent_from_their_label(name):
    """With one label, an unknown entry is a missing row."""
    held_out = informative_problem(n_samples=80, n_labels=1)
    known = np.arange(80)[:, None] % 3 > 0
    masked = HeldOut(held_out.scores, held_out.targets & known, known)
    removed = HeldOut(held_out.scores[known[:, 0]], held_out.targets[known[:, 0]])
    np.testing.assert_array_equal(tune(name, masked)[0], tune(name, removed)[0])


@pytest.mark.parametrize("shared", [False, True], ids=["label", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repetitions(name, shared):
    """Weights 0, 1 and 2 give the thresholds of rows left out, kept and repeated."""
    held_out = informative_problem(n_samples=60)
    weight = np.random.default_rng(0).integers(0, 3, 60)
    weighted = HeldOut(held_out.scores, held_out.targets, weight=weight.astype(float)).without_idle_rows()
    rows = np.repeat(np.arange(60), weight)
    repeated = HeldOut(held_out.scores[rows], held_out.targets[rows])
    np.testing.assert_allclose(tune(name, weighted, shared=shared)[0], tune(name, repeated, shared=shared)[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_label_without_positives_is_never_predicted(name):
    """Its threshold is inf; the other labels are as good as without it."""
    held_out = informative_problem(n_labels=3)
    targets = held_out.targets.copy()
    targets[:, 1] = False
    thresholds, _ = tune(name, HeldOut(held_out.scores, targets))
    assert thresholds[1] == np.inf
    assert np.isfinite(thresholds[[0, 2]]).all()


@pytest.mark.parametrize("name", EXACT)
def test_a_label_that_is_always_positive_is_always_predicted(name):
    """Its threshold is -inf."""
    held_out = informative_problem(n_labels=2)
    targets = held_out.targets.copy()
    targets[:, 1] = True
    assert tune(name, HeldOut(held_out.scores, targets))[0][1] == -np.inf


@pytest.mark.parametrize(
    ("name", "n_positives", "threshold"),
    [("f1_macro", 2, -np.inf), ("neg_hamming_loss", 2, np.inf), ("neg_hamming_loss", 8, -np.inf)],
)
def test_constant_scores_predict_always_or_never(name, n_positives, threshold):
    """Nothing separates the rows: F1 is best for all of them, the Hamming loss for the majority."""
    targets = np.arange(10)[:, None] < n_positives
    assert tune(name, HeldOut(np.full((10, 1), 0.3), targets))[0] == threshold


def test_the_higher_of_equally_good_thresholds_is_taken():
    """Predicting one row or two gives the same Hamming loss of one mistake in four."""
    held_out = HeldOut(np.array([[4.0], [3.0], [2.0], [1.0]]), np.array([[True], [False], [True], [False]]))
    np.testing.assert_array_equal(tune("neg_hamming_loss", held_out)[0], [3.5])


def test_scores_of_minus_infinity_are_never_predicted_nor_counted():
    """The label has one positive that a threshold can reach."""
    held_out = HeldOut(np.array([[-np.inf], [0.0], [1.0]]), np.array([[True], [False], [True]]))
    thresholds, pooled = tune("f1_macro", held_out, min_positives=2)
    assert thresholds == [0.5]
    assert pooled == [True]
    assert not tune("f1_macro", held_out, min_positives=1)[1]


@pytest.mark.parametrize(
    ("low", "high", "threshold"),
    [
        (0.25, 0.5, 0.375),
        (1.0, np.nextafter(1.0, 2.0), 1.0),
        (-np.inf, 3.0, -np.inf),
        (3.0, np.inf, 3.0),
        (-np.inf, np.inf, -np.inf),
        (1e308, 1.5e308, 1.25e308),
        (0.0, 5e-324, 0.0),
    ],
    ids=["middle", "neighbours", "below-all", "infinite", "both-infinite", "huge", "subnormal"],
)
def test_a_threshold_lies_between(low, high, threshold):
    """The upper score is above the threshold and the lower one is not, whatever floating-point numbers they are."""
    found = between(np.array([low]), np.array([high]))
    assert found == [threshold]
    assert low <= found < high


class TestRareLabels:
    """Labels with few positives share a threshold."""

    @pytest.fixture
    def held_out(self):
        """Six labels with 40, 30, 20, 4, 3 and 2 positives."""
        rng = np.random.default_rng(0)
        targets = np.arange(200)[:, None] < np.array([40, 30, 20, 4, 3, 2])
        targets = rng.permuted(targets, axis=0)
        return HeldOut(rng.normal(size=targets.shape) + 1.5 * targets, targets)

    @pytest.mark.parametrize("name", [*EXACT, "f1_samples"])
    def test_they_share_one_threshold_and_the_others_have_their_own(self, held_out, name):
        """The last three of six labels are pooled."""
        thresholds, pooled = tune(name, held_out, min_positives=5)
        np.testing.assert_array_equal(pooled, [False, False, False, True, True, True])
        assert np.unique(thresholds[3:]).size == 1
        assert np.unique(thresholds).size == 4

    @pytest.mark.parametrize("name", EXACT)
    def test_no_other_shared_threshold_is_better(self, held_out, name):
        """Brute force over the scores of the pooled labels."""
        thresholds, _ = tune(name, held_out, min_positives=5)
        value = OBJECTIVES[name].value(held_out, thresholds)
        for threshold in every_threshold(held_out.scores[:, 3:]):
            assert OBJECTIVES[name].value(held_out, np.append(thresholds[:3], [threshold] * 3)) <= value + 1e-12

    def test_a_single_one_takes_the_best_threshold_for_all_labels(self, held_out):
        """Two positives are no sample: the threshold is the one of scope="shared", the others keep their own."""
        alone = HeldOut(held_out.scores[:, [0, 1, 2, 5]], held_out.targets[:, [0, 1, 2, 5]])
        thresholds, pooled = tune("f1_macro", alone, min_positives=5)
        np.testing.assert_array_equal(pooled, [False, False, False, True])
        assert thresholds[3] == tune("f1_macro", alone, shared=True)[0][0]
        np.testing.assert_array_equal(thresholds[:3], tune("f1_macro", alone, min_positives=0)[0][:3])

    def test_zero_gives_each_its_own(self, held_out):
        """min_positives=0 switches the rule off."""
        thresholds, pooled = tune("f1_macro", held_out, min_positives=0)
        assert not pooled.any()
        assert np.unique(thresholds).size == 6

    @pytest.mark.parametrize("name", ["f1_macro", "f1_micro", "neg_hamming_loss"])
    def test_fixed_stay_and_count(self, held_out, name):
        """A label predicted for all rows costs micro-F1, and the other thresholds are the best given that."""
        fixed = np.array([np.nan, -np.inf, np.nan, np.inf, np.inf, np.inf])
        thresholds, pooled = tune(name, held_out, fixed=fixed, min_positives=5)
        np.testing.assert_array_equal(thresholds[[1, 3, 4, 5]], fixed[[1, 3, 4, 5]])
        assert not pooled.any()
        values = [
            OBJECTIVES[name].value(held_out, np.array([a, -np.inf, b, np.inf, np.inf, np.inf]))
            for a in every_threshold(held_out.scores[:, 0])[::4]
            for b in every_threshold(held_out.scores[:, 2])[::4]
        ]
        assert OBJECTIVES[name].value(held_out, thresholds) >= max(values) - 1e-12

    def test_pooling_improves_rare_labels_on_rows_not_seen(self):
        """Tuned on three positives a label and judged by many, F1 gains several points over lucky thresholds."""
        rng = np.random.default_rng(0)
        gains = []
        for _ in range(20):
            n_labels, difficulty = 20, rng.normal(2.0, 0.3, 20)
            tuning, test = (np.arange(n)[:, None] < np.full(n_labels, n * 3 // 300) for n in (300, 6000))
            scores = [rng.normal(size=targets.shape) + difficulty * targets for targets in (tuning, test)]
            held_out = HeldOut(scores[0], tuning)
            own, shared = (tune("f1_macro", held_out, min_positives=minimum)[0] for minimum in (0, 5))
            later = HeldOut(scores[1], test)
            gains.append(OBJECTIVES["f1_macro"].value(later, shared) - OBJECTIVES["f1_macro"].value(later, own))
        assert np.mean(gains) > 0.02
        assert np.mean(gains) > 3 * np.std(gains) / np.sqrt(len(gains))


def called(metric):
    """Return a metric of predictions, which has to be called."""
    return TuningObjective(lambda _, predicted: metric(predicted))


class TestMetricsThatAreCalled:
    """Metrics of any predictions."""

    def test_finds_the_exact_thresholds_of_a_known_metric(self):
        """Called for its predictions only, micro-F1 is as high as the fixed point says."""
        held_out = informative_problem(n_samples=50, n_labels=4)
        metric = called(lambda predicted: f1_score(held_out.targets, predicted, average="micro"))
        thresholds, _ = tune(metric, held_out)
        assert metric.value(held_out, thresholds) == OBJECTIVES["f1_micro"].value(
            held_out, tune("f1_micro", held_out)[0]
        )

    def test_no_other_threshold_of_a_single_label_is_better(self):
        """With up to 64 thresholds a label, all of them are tried."""
        held_out = informative_problem(n_samples=40, n_labels=3)
        metric = called(lambda predicted: accuracy_score(held_out.targets, predicted))
        thresholds, _ = tune(metric, held_out)
        for j in range(3):
            for threshold in every_threshold(held_out.scores[:, j]):
                other = np.where(np.arange(3) == j, threshold, thresholds)
                assert metric.value(held_out, other) <= metric.value(held_out, thresholds)

    def test_searches_coarse_to_fine_when_there_are_many_thresholds(self):
        """5000 thresholds: a threshold is found that predicts exactly the wanted number of rows, in few calls."""
        scores = np.random.default_rng(0).normal(size=(5000, 1))
        calls = []

        def close_to_1234(predicted):
            calls.append(predicted.sum())
            return -abs(int(predicted.sum()) - 1234)

        metric = called(close_to_1234)
        thresholds, _ = tune(metric, HeldOut(scores, scores > 3))
        assert metric.value(HeldOut(scores, scores > 3), thresholds) == 0
        assert len(calls) < 400

    def test_shared_threshold_is_searched_too(self):
        """One threshold for all labels."""
        held_out = informative_problem(n_samples=12, n_labels=4)
        metric = called(lambda predicted: f1_score(held_out.targets, predicted, average="macro"))
        thresholds, _ = tune(metric, held_out, shared=True)
        assert metric.value(held_out, thresholds) == max(
            f1_score(held_out.targets, held_out.scores > threshold, average="macro")
            for threshold in every_threshold(held_out.scores)
        )

    def test_warns_when_the_last_pass_still_improved(self):
        """The warning names the parameter to raise."""
        held_out = informative_problem(n_samples=60)
        with pytest.warns(ConvergenceWarning, match="increase max_passes"):
            tune("f1_samples", held_out, max_passes=1)
