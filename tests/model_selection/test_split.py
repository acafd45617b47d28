"""Splitters that take every y of the classifiers, and spread the positives of every label."""

import numpy as np
import pandas as pd
import pytest
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold as IterativeKFold
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.metrics import neg_multilabel_log_loss_scorer
from sk_quadrant.model_selection import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

SPLITTERS = {
    "folds": MultilabelStratifiedKFold(5),
    "shuffled folds": MultilabelStratifiedKFold(5, shuffle=True, random_state=0),
    "random parts": MultilabelStratifiedShuffleSplit(3, test_size=0.2, random_state=0),
    "two random parts": MultilabelStratifiedShuffleSplit(2, test_size=30, train_size=0.5, random_state=0),
}
each_splitter = pytest.mark.parametrize("splitter", SPLITTERS.values(), ids=SPLITTERS)


@pytest.fixture(scope="module")
def Y():
    """40 labels of 1000 rows, from frequent to rare, that occur together more often than by chance."""
    rng = np.random.default_rng(0)
    frequency = 0.5 / (1 + np.arange(40))
    return (rng.random((1000, 40)) < frequency * np.exp(0.7 * rng.normal(size=(1000, 1)))).astype(int)


def deviations(splitter, Y):
    """Return the label distribution of the paper for each test part: the mean distance of the odds to those of all."""
    odds = Y.sum(axis=0) / (len(Y) - Y.sum(axis=0))
    parts = [Y[test] for _, test in splitter.split(Y, Y)]
    return np.mean([abs(part.sum(axis=0) / (len(part) - part.sum(axis=0)) - odds).mean() for part in parts])


@each_splitter
def test_parts_are_disjoint_and_of_the_size_asked_for(splitter, Y):
    """Sizes are those of scikit-learn, and there are as many splits as get_n_splits says."""
    splits = list(splitter.split(Y, Y))
    assert len(splits) == splitter.get_n_splits(Y, Y) == splitter.n_splits
    for train, test in splits:
        assert len(np.unique(np.r_[train, test])) == len(train) + len(test)
    sizes = {(len(train), len(test)) for train, test in splits}
    assert sizes == {(500, 30) if getattr(splitter, "train_size", None) else (800, 200)}


@pytest.mark.parametrize("n_samples", [50, 53])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_is_tested_once(n_samples, shuffle, Y):
    """Folds differ by one row at most."""
    splitter = MultilabelStratifiedKFold(4, shuffle=shuffle, random_state=0 if shuffle else None)
    tests = [test for _, test in splitter.split(Y[:n_samples], Y[:n_samples])]
    assert_array_equal(np.sort(np.concatenate(tests)), np.arange(n_samples))
    assert np.ptp([len(test) for test in tests]) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_spread_as_by_iterative_stratification(seed, Y):
    """The label distribution of Sechidis et al. (2011) is near that of their method, and a third of random folds'."""
    ours = deviations(MultilabelStratifiedKFold(10, shuffle=True, random_state=seed), Y)
    iterative = deviations(IterativeKFold(10, shuffle=True, random_state=seed), Y)
    assert ours < 1.4 * iterative
    assert ours < 0.33 * deviations(KFold(10, shuffle=True, random_state=seed), Y)


@each_splitter
def test_each_test_part_has_its_share_of_every_label(splitter, Y):
    """Counts are within five of the share; by chance they differ by up to fifteen."""
    for _, test in splitter.split(Y, Y):
        assert abs(Y[test].sum(axis=0) - Y.sum(axis=0) * len(test) / len(Y)).max() <= 5


def test_the_rarest_label_is_divided_evenly(Y):
    """Its positives in two folds differ by one at most."""
    rarest = Y.sum(axis=0).argmin()
    assert np.ptp([Y[test, rarest].sum() for _, test in MultilabelStratifiedKFold(5).split(Y, Y)]) <= 1


def test_classes_of_a_vector_are_divided_as_by_scikit_learn():
    """For two classes the folds are those of StratifiedKFold, for three the counts are."""
    rng = np.random.default_rng(1)
    two, three = rng.integers(2, size=40), rng.choice(["a", "b", "c"], size=41)
    for found, expected in zip(
        MultilabelStratifiedKFold(4).split(two, two), StratifiedKFold(4).split(two, two), strict=True
    ):
        assert_array_equal(found[1], expected[1])
    for _, test in MultilabelStratifiedKFold(4).split(three, three):
        counts = np.unique(three[test], return_counts=True)[1] - np.unique(three, return_counts=True)[1] / 4
        assert (abs(counts) < 1).all()


@pytest.mark.parametrize(
    "convert",
    [sparse.csr_matrix, sparse.csc_array, pd.DataFrame, np.ndarray.tolist, lambda Y: Y * 0.9, lambda Y: Y.astype(bool)],
    ids=["csr_matrix", "csc_array", "DataFrame", "list", "soft", "bool"],
)
@each_splitter
def test_the_form_of_y_does_not_matter(convert, splitter, Y):
    """Each container, and soft labels, have the splits of the array."""
    for found, expected in zip(splitter.split(Y, convert(Y)), splitter.split(Y, Y), strict=True):
        assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("as_missing", [lambda Y: Y, lambda Y: pd.DataFrame(Y).astype("Int64"), lambda Y: Y.tolist()])
@each_splitter
def test_unknown_labels_are_of_no_stratum(as_missing, splitter, Y):
    """NaN gives the splits of 0 in its place."""
    unknown = np.random.default_rng(0).random(Y.shape) < 0.2
    with_missing = as_missing(np.where(unknown, np.nan, Y))
    for found, expected in zip(splitter.split(Y, with_missing), splitter.split(Y, Y * ~unknown), strict=True):
        assert_array_equal(found[1], expected[1])


def test_random_state_decides(Y):
    """An integer gives the same splits in each call, another one others; without shuffle there is no chance."""

    def tests(splitter):
        return [test.tolist() for _, test in splitter.split(Y, Y)]

    for kind, options in ((MultilabelStratifiedKFold, {"shuffle": True}), (MultilabelStratifiedShuffleSplit, {})):
        first, other = (kind(3, random_state=seed, **options) for seed in (0, 1))
        assert tests(first) == tests(first) != tests(other)
    assert tests(MultilabelStratifiedKFold(3)) == tests(MultilabelStratifiedKFold(3))


def test_repr_is_that_of_scikit_learn():
    """Searches print their cv."""
    assert (
        repr(MultilabelStratifiedKFold(3)) == "MultilabelStratifiedKFold(n_splits=3, random_state=None, shuffle=False)"
    )


@pytest.mark.parametrize(
    "meta", [TunedThresholdMultiLabelClassifierCV, CalibratedMultiLabelClassifierCV], ids=["tuned", "calibrated"]
)
def test_meta_estimators_and_searches_take_it_with_unknown_labels(meta):
    """Both meta-estimators give what their own folds give, and GridSearchCV has finite scores."""
    X, Y = make_multilabel_classification(150, 5, n_classes=3, random_state=0)
    Y = np.where(np.random.default_rng(0).random(Y.shape) < 0.2, np.nan, Y)
    model = QuadrantMultiLabelClassifier(missing_labels="ignore")
    found, own = (meta(model, cv=cv).fit(X, Y) for cv in (MultilabelStratifiedKFold(3), 3))
    assert_array_equal(found.predict_proba(X), own.predict_proba(X))
    scorer = neg_multilabel_log_loss_scorer
    search = GridSearchCV(model, {"C": [0.1, 1]}, cv=MultilabelStratifiedKFold(3), scoring=scorer).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(cross_val_score(model, X, Y, cv=SPLITTERS["random parts"], scoring=scorer)).all()


def test_splitters_that_do_not_take_unknown_labels_are_named_with_others():
    """The meta-estimators say which to use."""
    X, Y = make_multilabel_classification(60, 5, n_classes=3, random_state=0)
    model = QuadrantMultiLabelClassifier(missing_labels="ignore")
    with pytest.raises(ValueError, match=r"cv=.* does not take the unknown labels .*sk_quadrant.model_selection"):
        TunedThresholdMultiLabelClassifierCV(model, cv=IterativeKFold(3)).fit(X, np.where(X[:, :3] > 4, np.nan, Y))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultilabelStratifiedKFold(1), "k-fold cross-validation requires at least one train/test split"),
        (lambda: MultilabelStratifiedKFold(random_state=0), "random_state has no effect since shuffle is False"),
        (lambda: list(MultilabelStratifiedKFold(5).split(np.zeros((3, 1)), np.zeros((3, 2)))), "Cannot have number of"),
        (lambda: list(MultilabelStratifiedKFold(2).split(np.zeros((3, 1)))), "y must be passed to split"),
        (lambda: list(MultilabelStratifiedShuffleSplit(2).split(np.zeros((3, 1)))), "y must be passed to split"),
        (lambda: list(MultilabelStratifiedKFold(2).split(np.zeros((3, 1)), np.full((3, 2), 2))), "y must be 0, 1 or a"),
        (
            lambda: list(MultilabelStratifiedShuffleSplit(2, test_size=9).split(np.zeros((3, 1)), np.zeros((3, 2)))),
            "test_size=9 should be either positive and smaller than the number of samples",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(make, message):
    """The messages of scikit-learn where it has one."""
    with pytest.raises(ValueError, match=message):
        make()


@each_splitter
def test_groups_are_ignored_with_a_warning(splitter, Y):
    """As in scikit-learn."""
    with pytest.warns(UserWarning, match="groups parameter is ignored by MultilabelStratified"):
        next(splitter.split(Y, Y, groups=np.arange(len(Y))))
