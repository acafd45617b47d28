"""What the user guide says of scikit-learn's own tools.

Each test of a limit fails when scikit-learn mends it: then the page, and the guard if there is one, can go.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SelectKBest, SequentialFeatureSelector
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, get_scorer, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    check_cv,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from sklearn.utils.fixes import parse_version

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.metrics import make_multilabel_scorer, multilabel_f1_scorer, neg_multilabel_log_loss_scorer
from sk_quadrant.model_selection import MultilabelStratifiedKFold, multilabel_cross_val_predict

since_1_7 = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"), reason="scikit-learn 1.6 does otherwise"
)

X, Y = make_multilabel_classification(150, 6, n_classes=4, random_state=0)
UNKNOWN = np.where(np.random.default_rng(0).random(Y.shape) < 0.2, np.nan, Y)
MODEL = QuadrantMultiLabelClassifier()
IGNORING = QuadrantMultiLabelClassifier(missing_labels="ignore")
OVR = OneVsRestClassifier(LogisticRegression())
SCORER = neg_multilabel_log_loss_scorer
BOTH_SPLITTERS = pytest.mark.parametrize("cv", [KFold(3), MultilabelStratifiedKFold(3)], ids=["KFold", "stratified"])

# with unknown labels

WORKING = {
    "score": lambda cv: cross_val_score(IGNORING, X, UNKNOWN, cv=cv),
    "multilabel_f1_scorer": lambda cv: cross_val_score(
        IGNORING, X, UNKNOWN, cv=cv, scoring=multilabel_f1_scorer("micro")
    ),
    "cross_val_score": lambda cv: cross_val_score(IGNORING, X, UNKNOWN, cv=cv, scoring=SCORER),
    "cross_validate": lambda cv: cross_validate(IGNORING, X, UNKNOWN, cv=cv, scoring=SCORER)["test_score"],
    "GridSearchCV": lambda cv: (
        GridSearchCV(IGNORING, {"C": [0.1, 1]}, cv=cv, scoring=SCORER).fit(X, UNKNOWN).best_score_
    ),
    "RandomizedSearchCV": lambda cv: (
        RandomizedSearchCV(IGNORING, {"C": [0.1, 1]}, n_iter=2, cv=cv, scoring=SCORER).fit(X, UNKNOWN).best_score_
    ),
    "learning_curve": lambda cv: learning_curve(IGNORING, X, UNKNOWN, cv=cv, scoring=SCORER, train_sizes=[0.5, 1.0])[2],
    "validation_curve": lambda cv: validation_curve(
        IGNORING, X, UNKNOWN, param_name="C", param_range=[0.1, 1], cv=cv, scoring=SCORER
    )[1],
    "permutation_test_score": lambda cv: permutation_test_score(
        IGNORING, X, UNKNOWN, cv=cv, scoring=SCORER, n_permutations=2
    )[1],
    "SequentialFeatureSelector": lambda cv: (
        SequentialFeatureSelector(IGNORING, n_features_to_select=1, cv=cv, scoring=SCORER).fit(X, UNKNOWN).support_
    ),
    "permutation_importance": lambda cv: (
        permutation_importance(IGNORING.fit(X, UNKNOWN), X, UNKNOWN, scoring=SCORER, n_repeats=1).importances_mean
    ),
    "SelectFromModel": lambda cv: SelectFromModel(IGNORING).fit(X, UNKNOWN).transform(X),
    "Pipeline": lambda cv: make_pipeline(StandardScaler(), IGNORING).fit(X, UNKNOWN).predict_proba(X),
    "train_test_split": lambda cv: train_test_split(X, UNKNOWN)[0],
}


@BOTH_SPLITTERS
@pytest.mark.parametrize("call", WORKING.values(), ids=WORKING)
def test_unknown_labels_work(call, cv):
    """What the guide says to use gives finite numbers, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(call(cv)).all()


FAILING = {
    "cv=3": lambda: cross_val_score(IGNORING, X, UNKNOWN, cv=3, scoring=SCORER),
    "search, cv=None": lambda: GridSearchCV(IGNORING, {"C": [1]}, scoring=SCORER).fit(X, UNKNOWN),
    "f1_micro": lambda: cross_val_score(IGNORING, X, UNKNOWN, cv=KFold(3), scoring="f1_micro", error_score="raise"),
    "stratify": lambda: train_test_split(X, UNKNOWN, stratify=UNKNOWN),
    "RFE": lambda: RFE(IGNORING).fit(X, UNKNOWN),
    "RFECV": lambda: RFECV(IGNORING, cv=KFold(3), scoring=SCORER).fit(X, UNKNOWN),
    "SelectKBest": lambda: SelectKBest(k=3).fit(X, UNKNOWN),
    "OneVsRestClassifier": lambda: OneVsRestClassifier(IGNORING).fit(X, UNKNOWN),
    "MultiOutputClassifier": lambda: MultiOutputClassifier(IGNORING).fit(X, UNKNOWN),
    "ClassifierChain": lambda: ClassifierChain(IGNORING).fit(X, UNKNOWN),
    "classification_report": lambda: classification_report(UNKNOWN, Y),
    "cross_val_predict": lambda: cross_val_predict(IGNORING, X, UNKNOWN, cv=KFold(3), method="predict_proba"),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("call", FAILING.values(), ids=FAILING)
def test_unknown_labels_are_refused(call):
    """By scikit-learn, before or after the classifier was asked, or by the classifier for encoded ones."""
    with pytest.raises(ValueError, match=r"contains NaN|got values from 0 to 2.*multilabel_cross_val_predict"):
        call()


# with several labels


@pytest.mark.parametrize("model", [MODEL, OVR], ids=["ours", "OneVsRest"])
def test_cross_val_predict_encodes_labels_anew(model):
    """A label that is always present is trained as always absent; the function of this package is right."""
    always = np.c_[np.ones(len(Y), dtype=int), Y[:, 1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OneVsRestClassifier: the label is not in all training rows
        proba = cross_val_predict(model, X, always, cv=KFold(3), method="predict_proba")
    assert proba[:, 0].max() < 0.1
    assert multilabel_cross_val_predict(MODEL, X, always, cv=KFold(3))[:, 0].min() > 0.9


@pytest.mark.parametrize("model", [MODEL, OVR], ids=["ours", "OneVsRest"])
def test_stacking_fails_for_probabilities_and_drops_one_of_two_labels(model):
    """With four labels the features are all probabilities; predictions as features are right for two as well."""
    four = StackingClassifier([("a", model)], final_estimator=MODEL, cv=KFold(3)).fit(X, Y)
    assert_array_equal(four.transform(X), four.estimators_[0].predict_proba(X))
    with pytest.raises(IndexError, match="too many indices"):
        four.predict_proba(X)
    two = StackingClassifier([("a", model)], final_estimator=MODEL, cv=KFold(3)).fit(X, Y[:, :2])
    assert two.transform(X).shape == (150, 1)
    predicted = StackingClassifier([("a", model)], final_estimator=MODEL, cv=KFold(3), stack_method="predict")
    assert predicted.fit(X, Y[:, :2]).transform(X).shape == (150, 2)


@pytest.mark.parametrize("model", [MODEL, OVR], ids=["ours", "OneVsRest"])
def test_halving_needs_a_splitter_and_a_number_of_rows(model):
    """Its smallest number of rows is that of a single label."""
    grid = {"C" if model is MODEL else "estimator__C": [0.1, 1]}
    for cv in (3, KFold(3)):
        with pytest.raises(ValueError, match="y should be a 1d array"):
            HalvingGridSearchCV(model, grid, cv=cv, scoring="f1_micro").fit(X, Y)
    search = HalvingGridSearchCV(model, grid, cv=MultilabelStratifiedKFold(3), min_resources=50, scoring="f1_micro")
    assert np.isfinite(search.fit(X, Y).best_score_)


@since_1_7
@pytest.mark.parametrize("model", [MODEL, OVR], ids=["ours", "OneVsRest"])
def test_partial_dependence_shows_one_of_two_labels(model):
    """Of probabilities; of decision values, and of four labels, it shows all."""

    def n_shown(n_labels, method):
        fitted = model.fit(X, Y[:, :n_labels])
        return len(partial_dependence(fitted, X, [0], response_method=method, kind="average").average)

    assert n_shown(2, "predict_proba") == 1
    assert n_shown(2, "decision_function") == 2
    assert n_shown(4, "predict_proba") == 4


@pytest.mark.parametrize("name", ["neg_log_loss", pytest.param("neg_brier_score", marks=since_1_7)])
def test_scores_of_classes_are_wrong_for_labels(name):
    """They are of the labels as classes that exclude each other."""
    with pytest.warns(UserWarning, match="do not sum to one"):
        found = cross_val_score(MODEL, X, Y, cv=KFold(3), scoring=name).mean()
    proba = multilabel_cross_val_predict(MODEL, X, Y, cv=KFold(3))
    losses = {
        "neg_log_loss": -np.where(Y, np.log(proba), np.log1p(-proba)).mean(),
        "neg_brier_score": np.square(Y - proba).mean(),
    }
    assert abs(found + losses[name]) > 0.2
    right = cross_val_score(MODEL, X, Y, cv=KFold(3), scoring=SCORER).mean()
    assert right == pytest.approx(-losses["neg_log_loss"], rel=1e-6)


@pytest.mark.parametrize("model", [MODEL, OVR], ids=["ours", "OneVsRest"])
def test_scorers_of_probabilities_get_one_of_two_columns(model):
    """make_multilabel_scorer passes both."""
    fitted = model.fit(X, Y[:, :2])

    def n_dimensions(y_true, y_proba):
        return np.ndim(y_proba)

    assert make_scorer(n_dimensions, response_method="predict_proba")(fitted, X, Y[:, :2]) == 1
    assert make_multilabel_scorer(n_dimensions)(fitted, X, Y[:, :2]) == 2


@pytest.mark.skipif(parse_version(np.__version__) < parse_version("2"), reason="NumPy 1 counts beyond int8")
def test_columns_of_int8_are_permuted_beyond_128_labels():
    """LabelBinarizer, and with it OneVsRestClassifier, sorts column numbers in the type of y."""
    labels = np.eye(200, dtype=np.int8)
    found = LabelBinarizer().fit_transform(labels)
    assert not np.array_equal(found, labels)
    assert_array_equal(np.sort(found.argmax(axis=1)), np.arange(200))
    assert_array_equal(LabelBinarizer().fit_transform(labels.astype(int)), labels)


def test_a_number_of_folds_is_not_stratified():
    """Whereas for a single label it is."""
    assert type(check_cv(3, Y, classifier=True)) is KFold


@pytest.mark.parametrize(
    "meta",
    [
        CalibratedClassifierCV(MODEL),
        FixedThresholdClassifier(MODEL),
        TunedThresholdClassifierCV(MODEL),
        VotingClassifier([("a", MODEL)], voting="soft"),
        BaggingClassifier(MODEL),
        SelectKBest(),
    ],
    ids=lambda meta: type(meta).__name__,
)
def test_several_labels_are_refused(meta):
    """With an error, so that nothing is wrong in silence."""
    with pytest.raises((ValueError, NotImplementedError), match=r"1d array|Only binary|only supports binary"):
        meta.fit(X, Y)


def test_scorers_compare_columns_by_position():
    """Those of this package know the names of fit."""
    frame = pd.DataFrame(Y, columns=list("abcd"))
    fitted, moved = clone(MODEL).fit(X, frame), frame[list("dcba")]
    assert get_scorer("f1_micro")(fitted, X, moved) != get_scorer("f1_micro")(fitted, X, frame)
    own = multilabel_f1_scorer("micro")
    assert own(fitted, X, moved) == own(fitted, X, frame)


@since_1_7
def test_scorers_take_weights_of_rows_only():
    """A search with weights of labels takes its first candidate, whatever it is."""
    weight = np.random.default_rng(0).random(Y.shape)
    with pytest.warns(UserWarning, match="Scoring failed"):
        search = GridSearchCV(MODEL, {"C": [1e-6, 1]}, cv=2, scoring="f1_micro").fit(X, Y, sample_weight=weight)
    assert search.best_params_ == {"C": 1e-6}
    own = GridSearchCV(MODEL, {"C": [1e-6, 1]}, cv=2, scoring=multilabel_f1_scorer("micro"))
    assert own.fit(X, Y, sample_weight=weight).best_params_ == {"C": 1}
