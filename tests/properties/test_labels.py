"""Laws of labels for every estimator: one label, names, unknown labels, weights of labels."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.metrics import (
    multilabel_f1_scorer,
    multilabel_log_loss,
    neg_expected_calibration_error_scorer,
    neg_multilabel_log_loss_scorer,
    precision_at_k_scorer,
    psndcg_at_k_scorer,
    psp_at_k_scorer,
    recall_at_k_scorer,
)

mpl.use("Agg")
X, Y = make_multilabel_classification(90, 4, n_classes=3, random_state=0)
NAMES = ["u", "v", "w"]
FRAME = pd.DataFrame(Y, columns=NAMES)
MOVED = FRAME[["w", "u", "v"]]
UNKNOWN = np.where(np.random.default_rng(0).random(Y.shape) < 0.2, np.nan, Y)
WEIGHT = np.random.default_rng(1).integers(0, 3, Y.shape).astype(float)
Quadrant = QuadrantMultiLabelClassifier
ESTIMATORS = {
    "classifier": lambda **options: Quadrant(**options),
    "tuned": lambda **options: TunedThresholdMultiLabelClassifierCV(Quadrant(**options), cv=3),
    "calibrated": lambda **options: CalibratedMultiLabelClassifierCV(Quadrant(**options), cv=3),
    "fixed": lambda **options: FixedThresholdMultiLabelClassifier(Quadrant(**options), threshold=0.4),
    "pipeline": lambda **options: make_pipeline(StandardScaler(), Quadrant(**options)),
    "tuned pipeline": lambda **options: TunedThresholdMultiLabelClassifierCV(
        make_pipeline(StandardScaler(), Quadrant(**options)), cv=3
    ),
    "calibrated pipeline": lambda **options: CalibratedMultiLabelClassifierCV(
        make_pipeline(StandardScaler(), Quadrant(**options)), cv=3
    ),
}
SCORERS = {
    "log loss": neg_multilabel_log_loss_scorer,
    "calibration": neg_expected_calibration_error_scorer,
    "precision at 1": precision_at_k_scorer(1),
    "recall at 1": recall_at_k_scorer(1),
    "F1": multilabel_f1_scorer(),
    "F1 of samples": multilabel_f1_scorer("samples"),
}
every_estimator = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] if "pipeline" in name else [])
        for name, make in ESTIMATORS.items()
    ],
)
every_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)


def as_polars(y):
    """Return a pandas frame as one of polars."""
    return pl.DataFrame(y.to_dict("list"))


frames = pytest.mark.parametrize("frame", [pd.DataFrame, as_polars], ids=["pandas", "polars"])


# %% One label

LABEL = Y[:, 0]
COLUMNS = {
    "frame": pd.DataFrame({"u": LABEL}),
    "frame of booleans": pd.DataFrame({"u": LABEL == 1}),
    "nullable frame": pd.DataFrame({"u": LABEL}).astype("Int64"),
    "categories": pd.DataFrame({"u": LABEL}).astype("category"),
    "polars": pl.DataFrame({"u": LABEL}),
    "csr": sparse.csr_matrix(LABEL[:, None]),
    "csr array": sparse.csr_array(LABEL[:, None]),
    "floats": pd.DataFrame({"u": LABEL.astype(float)}),
}


@every_estimator
@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_the_label_of_a_vector(make, column):
    """With the same answers in the same shapes."""
    vector, found = make().fit(X, LABEL), make().fit(X, column)
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(vector, method):
            assert_array_equal(getattr(found, method)(X), getattr(vector, method)(X))
    assert found.predict(X).shape == (len(X),)
    assert found.score(X, column) == pytest.approx(vector.score(X, LABEL))
    for scorer in SCORERS.values():
        assert scorer(found, X, column) == pytest.approx(scorer(vector, X, LABEL))


@every_estimator
@pytest.mark.parametrize(
    "scoring",
    [
        "roc_auc",
        "neg_log_loss",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("f1", "average_precision", "neg_brier_score", "accuracy")
        ),
    ],
)
@pytest.mark.parametrize(
    "frame", [pd.DataFrame, pytest.param(as_polars, marks=pytest.mark.slow)], ids=["pandas", "polars"]
)
def test_scorers_of_scikit_learn_agree_for_a_column_and_a_vector(make, scoring, frame):
    """A frame of one column is no problem of one class."""
    column = cross_val_score(make(), X, frame(FRAME[["u"]]), scoring=scoring, cv=2, error_score="raise")
    assert_allclose(column, cross_val_score(make(), X, LABEL, scoring=scoring, cv=2, error_score="raise"))


@every_estimator
def test_a_column_of_words_has_classes(make):
    """As in LogisticRegression; the second class is the label."""
    words = pd.DataFrame({"u": np.where(LABEL == 1, "yes", "no")})
    found = make().fit(X, words)
    assert set(found.predict(X)) == {"no", "yes"}
    assert_array_equal(found.predict_proba(X), make().fit(X, LABEL).predict_proba(X))


@every_estimator
@frames
def test_a_column_may_have_unknown_labels(make, frame):
    """Answers have the form of a vector's."""
    y = frame(pd.DataFrame({"u": [None if np.isnan(value) else int(value) for value in UNKNOWN[:, 0]]}))
    model = make(missing_labels="ignore").fit(X, y)
    known = ~np.isnan(UNKNOWN[:, 0])
    assert model.predict_proba(X).shape == (len(X), 2)
    expected = multilabel_log_loss(LABEL[known], model.predict_proba(X[known]))
    assert neg_multilabel_log_loss_scorer(model, X, y) == pytest.approx(-expected)
    assert model.score(X, y) == pytest.approx((model.predict(X) == LABEL)[known].mean())


def test_a_column_of_zeros_is_a_label_that_is_absent():
    """Numbers in [0, 1] have the classes 0 and 1, also in the first part of the rows."""
    clf = Quadrant(solver="adamw").partial_fit(X, FRAME[["u"]] * 0)
    assert_array_equal(clf.classes_, [0, 1])
    assert_array_equal(clf.partial_fit(X, FRAME[["u"]]).predict_proba(X).shape, (len(X), 2))


@pytest.mark.parametrize("y", [FRAME[["u"]], pd.DataFrame({"u": UNKNOWN[:, 0]})], ids=["known", "unknown"])
def test_a_column_is_the_same_in_chunks(y):
    """Parts of the rows may hold one class, or unknown labels, and the others not."""
    options = {"missing_labels": "ignore", "tol": 1e-8, "class_weight": "balanced"}
    chunks, whole = (Quadrant(batch_size=size, **options).fit(X, y) for size in (7, "auto"))
    assert_allclose(chunks.coef_, whole.coef_, rtol=1e-6, atol=1e-9)


# %% Names


@every_estimator
@frames
def test_labels_in_another_order_have_the_same_scores(make, frame):
    """In score and all own scorers; propensities are read by name too."""
    model = make().fit(X, frame(FRAME))
    propensities = {"w": 0.2, "v": 0.5, "u": 0.9}
    by_name = [psp_at_k_scorer(propensities, 2), psndcg_at_k_scorer(pd.Series(propensities), 2)]
    for score in (lambda model, *data: model.score(*data), *SCORERS.values(), *by_name):
        assert score(model, X, frame(MOVED)) == score(model, X, frame(FRAME))


@every_estimator
@every_scorer
def test_other_labels_are_refused_with_both_lists(make, scorer):
    """Instead of being read by position."""
    model = make().fit(X, FRAME)
    other = FRAME.rename(columns={"w": "x"})
    for score in (model.score, lambda *data: scorer(model, *data)):
        with pytest.raises(ValueError, match=r"labels of fit as columns, \['u', 'v', 'w'\], .* got \['u', 'v', 'x'\]"):
            score(X, other)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "pipeline"])
@frames
def test_names_of_labels_are_an_attribute(name, frame):
    """Also around pipelines, which have none."""
    assert_array_equal(ESTIMATORS[name]().fit(X, frame(FRAME)).label_names_in_, NAMES)
    assert not hasattr(ESTIMATORS[name]().fit(X, Y), "label_names_in_")


PREFIT = {
    "tuned": lambda model: TunedThresholdMultiLabelClassifierCV(model, cv="prefit", refit=False),
    "tuned, frozen": lambda model: TunedThresholdMultiLabelClassifierCV(FrozenEstimator(model)),
    "calibrated": lambda model: CalibratedMultiLabelClassifierCV(FrozenEstimator(model)),
    "fixed": lambda model: FixedThresholdMultiLabelClassifier(
        FrozenEstimator(model), threshold={"w": 0.9, "u": 0.1, "v": 0.5}
    ),
}


@pytest.mark.parametrize("make", PREFIT.values(), ids=PREFIT)
@pytest.mark.parametrize(
    "fitted", [Quadrant(), make_pipeline(StandardScaler(), Quadrant())], ids=["classifier", "pipeline"]
)
def test_a_fitted_classifier_keeps_its_order_of_labels(make, fitted, request):
    """Thresholds and calibration belong to the label and not to the column."""
    model = make(clone(fitted).fit(X, FRAME))
    expected = model.fit(X, FRAME).predict(X)
    assert_array_equal(model.fit(X, MOVED).predict(X), expected)
    assert_array_equal(model.label_names_in_, NAMES)
    if "fixed" not in request.node.name:
        assert_array_equal(model.fit(X, Y).label_names_in_, NAMES)
    with pytest.raises(ValueError, match=r"labels of fit as columns, \['u', 'v', 'w'\], .* got \['u', 'v', 'x'\]"):
        model.fit(X, FRAME.rename(columns={"w": "x"}))


# %% Unknown labels

FORMS = {
    "lists with None": [[None if np.isnan(value) else int(value) for value in row] for row in UNKNOWN],
    "floats": UNKNOWN,
    "masked": np.ma.masked_array(Y, np.isnan(UNKNOWN)),
    "frame of floats": pd.DataFrame(UNKNOWN, columns=NAMES),
    "frame of objects with NA": pd.DataFrame(UNKNOWN, columns=NAMES).astype(object).where(~np.isnan(UNKNOWN), pd.NA),
    "nullable frame": pd.DataFrame(UNKNOWN, columns=NAMES).astype("Int64"),
    "categories": pd.DataFrame(UNKNOWN, columns=NAMES).astype("category"),
    "polars": pl.DataFrame(UNKNOWN, schema=NAMES).fill_nan(None),
    "polars booleans": pl.DataFrame(UNKNOWN, schema=NAMES).fill_nan(None).cast(pl.Boolean),
}


@every_estimator
@pytest.mark.parametrize("y", FORMS.values(), ids=FORMS)
def test_every_form_of_unknown_labels_is_the_same(make, y):
    """For training, predictions, score and own scorers."""
    expected = make(missing_labels="ignore").fit(X, UNKNOWN)
    found = make(missing_labels="ignore").fit(X, y)
    assert_allclose(found.predict_proba(X), expected.predict_proba(X), rtol=1e-12)
    for score in (lambda model, *data: model.score(*data), *SCORERS.values()):
        assert score(found, X, y) == pytest.approx(score(expected, X, UNKNOWN))


@every_estimator
def test_score_is_the_share_of_rows_that_are_right_where_they_are_known(make):
    """Rows without a known label are left out; with weights a row has the mean weight of what counts in it."""
    y = UNKNOWN.copy()
    y[3] = np.nan
    model = make(missing_labels="ignore").fit(X, y)
    for weight in (np.ones(Y.shape), WEIGHT):
        counted = ~np.isnan(y) & (weight > 0)
        rows = np.flatnonzero(counted.any(axis=1))
        right = [(model.predict(X)[row] == y[row])[counted[row]].all() for row in rows]
        expected = np.average(right, weights=[weight[row][counted[row]].mean() for row in rows])
        assert model.score(X, y, sample_weight=weight) == pytest.approx(expected)


def test_unknown_labels_have_to_be_asked_for_in_score():
    """As in fit."""
    with pytest.raises(ValueError, match="Pass missing_labels='ignore'"):
        Quadrant().fit(X, Y).score(X, UNKNOWN)
    with pytest.raises(ValueError, match="y must hold 0 and 1 to be compared with predictions"):
        Quadrant().fit(X, Y).score(X, np.where(Y == 1, 0.9, 0.1))


@pytest.mark.parametrize("scorer", [None, *SCORERS.values()], ids=["score", *SCORERS])
def test_cross_validation_takes_unknown_labels(scorer):
    """With a splitter that does not look at y."""
    y = pd.DataFrame(UNKNOWN, columns=NAMES)
    scores = cross_val_score(Quadrant(missing_labels="ignore"), X, y, cv=KFold(3), scoring=scorer, error_score="raise")
    assert np.isfinite(scores).all()


# %% Labels that are never observed


@pytest.mark.parametrize("loss", ["bce_with_logits", "asymmetric", "shifted_sigmoid_bce", "hinge"])
@pytest.mark.parametrize("how", ["unknown", "weight 0"])
def test_a_label_that_is_never_observed_is_named_and_never_predicted(loss, how):
    """Whatever the threshold, also one that is set later."""
    y, weight = FRAME.astype(float), np.ones(Y.shape)
    if how == "unknown":
        y["v"] = np.nan
    else:
        weight[:, 1] = 0
    with pytest.warns(UserWarning, match=r"no known entry of positive weight for the labels \['v'\]. They are never"):
        clf = Quadrant(loss, missing_labels="ignore").fit(X, y, sample_weight=weight)
    assert not clf.predict(X)[:, 1].any()
    if hasattr(clf, "predict_proba"):
        assert np.ptp(clf.predict_proba(X)[:, 1]) == 0
        assert not clf.set_params(threshold=0.01).predict(X)[:, 1].any()
        assert not FixedThresholdMultiLabelClassifier(clf).predict(X)[:, 1].any()


def test_a_label_that_is_observed_in_a_later_part_is_predicted():
    """partial_fit knows which labels it has seen in any call."""
    later = UNKNOWN.copy()
    later[:, 1] = np.nan
    clf = Quadrant("asymmetric", solver="adamw", missing_labels="ignore").partial_fit(X, later)
    assert not clf.predict(X)[:, 1].any()
    assert clf.partial_fit(X, UNKNOWN).predict(X)[:, 1].any()
    assert clf.partial_fit(X, later).predict(X)[:, 1].any()


# %% Weights of labels


@every_estimator
@every_scorer
def test_weights_of_labels_are_read_by_name(make, scorer):
    """A frame of weights has the labels as columns, in any order."""
    model = make().fit(X, FRAME)
    named = pd.DataFrame(WEIGHT, columns=NAMES)[["v", "w", "u"]]
    for score in (model.score, lambda X, y, sample_weight: scorer(model, X, y, sample_weight=sample_weight)):
        assert score(X, MOVED, sample_weight=named) == pytest.approx(score(X, Y, sample_weight=WEIGHT))


@every_scorer
@pytest.mark.parametrize("name", ["classifier", "calibrated"])
def test_searches_score_with_weights_of_labels(scorer, name):
    """As without metadata routing, where a search passes them to fit and to the scorer."""
    search = GridSearchCV(ESTIMATORS[name](), {}, cv=2, scoring=scorer, error_score="raise")
    assert np.isfinite(search.fit(X, FRAME, sample_weight=WEIGHT + 1).best_score_)


def test_a_threshold_search_follows_weights_of_labels():
    """A label of weight 0 in a row is an unknown one, for each of the named metrics."""
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        for average in ("macro", "micro", "samples"):
            scorer = multilabel_f1_scorer(average).set_score_request(sample_weight=True)
            base = Quadrant(missing_labels="ignore").set_fit_request(sample_weight=True)
            model = TunedThresholdMultiLabelClassifierCV(base, scoring=scorer, cv=KFold(3), min_positives=0)
            weighted = clone(model).fit(X, Y, sample_weight=(~np.isnan(UNKNOWN)).astype(float))
            unknown = clone(model).fit(X, UNKNOWN, sample_weight=np.ones(len(X)))
            assert_allclose(weighted.best_threshold_, unknown.best_threshold_)
            assert weighted.best_score_ == pytest.approx(unknown.best_score_)


# %% What is no label matrix

TAGS = [["a", "b"], ["b"], ["c"], ["a", "c"], []] * 18
LISTS = {
    "lists": TAGS,
    "sets": list(map(set, TAGS)),
    "lists of one length": [["a", "b"], ["b", "c"]] * 45,
    "Series of sets": pd.Series(list(map(set, TAGS))),
    "frame of lists": pd.DataFrame({"tags": TAGS}),
    "polars lists": pl.Series(TAGS),
}


@every_estimator
@pytest.mark.parametrize("y", LISTS.values(), ids=LISTS)
def test_lists_of_labels_name_the_tool_that_reads_them(make, y):
    """In all estimators."""
    with pytest.raises(
        ValueError, match=r"Turn lists of labels into a matrix by sklearn.preprocessing.MultiLabelBinarizer"
    ):
        make().fit(X, y)


def test_names_of_other_classifiers_are_those_of_fit():
    """A classifier without names gets them from y."""
    model = TunedThresholdMultiLabelClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=3).fit(X, FRAME)
    assert_array_equal(model.label_names_in_, NAMES)
    assert model.score(X, MOVED) == model.score(X, FRAME)
