"""The two meta-estimators with one another, in pipelines and searches, and alike in what y they take."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sk_quadrant
from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)

META_ESTIMATORS = [TunedThresholdMultiLabelClassifierCV, CalibratedMultiLabelClassifierCV]
QUADRANT = QuadrantMultiLabelClassifier("zlpr", tol=1e-8)
CALIBRATED = CalibratedMultiLabelClassifierCV(QUADRANT, scope="pooled", ensemble=False, cv=3)
TUNED = TunedThresholdMultiLabelClassifierCV(QUADRANT, cv=3)
NESTED = {
    "tuned-calibrated": TunedThresholdMultiLabelClassifierCV(CALIBRATED, cv=3),
    "calibrated-tuned": CalibratedMultiLabelClassifierCV(TUNED, cv=3),
}

each_meta_estimator = pytest.mark.parametrize("Meta", META_ESTIMATORS, ids=["tuned", "calibrated"])
each_nesting = pytest.mark.parametrize("model", NESTED.values(), ids=NESTED)


@pytest.fixture(scope="module")
def data():
    """150 rows with five features and three labels."""
    return make_multilabel_classification(150, n_features=5, n_classes=3, n_labels=2, random_state=0)


class Silent(ClassifierMixin, BaseEstimator):
    """A classifier of rows without classes, whose scores are their features."""

    def fit(self, X, y):
        """Remember the rows."""
        self.rows_ = X[:, 0].astype(int)
        return self

    def decision_function(self, X):
        """Return the features."""
        return np.asarray(X, dtype=float)

    def predict(self, X):
        """Return where features are positive."""
        return (self.decision_function(X) > 0).astype(int)


class NeedsTwoClasses(Silent):
    """A classifier like those of MultiOutputClassifier(LogisticRegression())."""

    def fit(self, X, y):
        """Refuse a label with one class."""
        y = _dense(y)
        if (y == y[0]).all(axis=0).any():
            raise ValueError("needs samples of at least 2 classes")
        return super().fit(X[:, :3], y)


class Unclear(Silent):
    """A classifier whose list of probabilities has single columns and says not for which class."""

    decision_function = property()

    def predict_proba(self, X):
        """Return certainties of an unknown class."""
        return [np.ones((len(X), 1))] * 3


# %% One in the other


def test_thresholds_are_tuned_on_calibrated_probabilities(data):
    """scikit-learn's cross_val_predict gives the probabilities that are searched, and its F1 the best score."""
    X, Y = data
    model = clone(NESTED["tuned-calibrated"]).set_params(cv=KFold(3)).fit(X, Y)
    proba = cross_val_predict(CALIBRATED, X, Y, cv=KFold(3), method="predict_proba")
    expected = f1_score(Y, proba > model.best_threshold_, average="macro")
    assert model.response_method_ == "predict_proba"
    assert model.best_score_ == pytest.approx(expected, abs=1e-12)
    assert model.best_score_ >= f1_score(Y, proba > 0.5, average="macro")
    assert_array_equal(model.predict(X), clone(CALIBRATED).fit(X, Y).predict_proba(X) > model.best_threshold_)


def test_calibration_does_not_depend_on_the_thresholds_inside(data):
    """Tuned thresholds move no scores: probabilities are those of the classifier without them."""
    X, Y = data
    plain = CalibratedMultiLabelClassifierCV(QUADRANT, cv=3).fit(X, Y)
    assert_allclose(clone(NESTED["calibrated-tuned"]).fit(X, Y).predict_proba(X), plain.predict_proba(X), atol=1e-6)


@each_nesting
def test_nested_in_a_pipeline_and_a_search(model, data):
    """The penalty is searched three levels down, and the winner is the model with that penalty."""
    X, Y = data
    pipeline = make_pipeline(StandardScaler(), model)
    name = f"{type(model).__name__.lower()}__estimator__estimator__C"
    search = GridSearchCV(pipeline, {name: [1e-4, 1.0]}, scoring="f1_macro", cv=2, error_score="raise")
    search.fit(X, Y)
    expected = clone(pipeline).set_params(**search.best_params_).fit(X, Y)
    assert_array_equal(search.predict(X), expected.predict(X))
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    assert f1_score(Y, search.predict(X), average="macro") > 0.7


# %% Forms of X and y


@each_nesting
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array], ids=["matrix", "array"])
def test_sparse_rows_and_labels_go_through_both(model, container, data):
    """Nothing but the type of the predictions changes."""
    X, Y = data
    dense = clone(model).fit(X, Y)
    predicted = clone(model).fit(container(X), container(Y)).predict(container(X))
    assert predicted.format == "csr"
    assert predicted.dtype == np.int64
    assert isinstance(predicted, sparse.sparray) == issubclass(container, sparse.sparray)
    assert_array_equal(predicted.toarray(), dense.predict(X))


@each_nesting
def test_names_of_data_frames_go_through_both(model, data):
    """Features and labels keep the names of their columns, whatever the index; predictions are those of arrays."""
    X, Y = data
    frame = pd.DataFrame(X, columns=list("vwxyz"), index=np.arange(len(X)) * 7)
    labels = pd.DataFrame(Y, columns=["right", "up", "far"], index=frame.index)
    fitted = clone(model).fit(frame, labels)
    assert fitted.feature_names_in_.tolist() == list("vwxyz")
    assert fitted.label_names_in_.tolist() == ["right", "up", "far"]
    assert fitted.n_features_in_ == 5
    assert_array_equal(fitted.predict(frame), clone(model).fit(X, Y).predict(X))


@each_meta_estimator
def test_a_sparse_column_is_the_label_of_a_vector(Meta, data):
    """Predictions have the form of those of the vector."""
    X, Y = data
    model = Meta(QuadrantMultiLabelClassifier(tol=1e-8), cv=3)
    vector = clone(model).fit(X, Y[:, 0]).predict(X)
    column = clone(model).fit(X, sparse.csr_matrix(Y[:, [0]])).predict(X)
    assert 0 < vector.sum() < len(X)
    assert_array_equal(column, vector)


@each_meta_estimator
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, pd.DataFrame], ids=["array", "csr", "frame"])
@pytest.mark.slow
def test_small_integers_are_labels_in_their_order(Meta, container):
    """LabelBinarizer permutes columns of int8 beyond 127 labels, and with them the answers of OneVsRest."""
    rng = np.random.default_rng(0)
    Y = (rng.random((40, 130)) < 0.3).astype(np.int8)
    X = Y + 0.1 * rng.normal(size=Y.shape)
    model = Meta(OneVsRestClassifier(GaussianNB()), cv=2)
    small, large = (_dense(clone(model).fit(X, container(y)).predict(X)) for y in (Y, Y.astype(np.int64)))
    assert_array_equal(small, large)


def _dense(predicted):
    return predicted.toarray() if sparse.issparse(predicted) else predicted


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_both_hold_out_the_same_rows(container, data):
    """A number of folds means the same to each of them."""
    Y = data[1]
    X = np.column_stack([np.arange(len(Y)), -np.ones(len(Y)), np.ones(len(Y))])
    tuned = TunedThresholdMultiLabelClassifierCV(Silent(), cv=4, store_cv_results=True).fit(X, container(Y))
    calibrated = CalibratedMultiLabelClassifierCV(Silent(), cv=4).fit(X, container(Y))
    results = tuned.cv_results_
    for k, pair in enumerate(calibrated.calibrated_classifiers_):
        trained_on = np.setdiff1d(np.arange(len(Y)), results["indices"][results["split"] == k])
        assert_array_equal(pair.estimator.rows_, trained_on)


# %% What they refuse, and what they leave alone


@each_meta_estimator
def test_single_columns_of_unknown_class_are_refused(Meta, data):
    """Taking them for the positive class would be wrong for labels without positives."""
    X, Y = data
    with pytest.raises(ValueError, match="estimator must have classes_ to tell which class a single column"):
        Meta(Unclear()).fit(X, Y)


@each_meta_estimator
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_estimator_that_cannot_be_trained_on_one_class_is_named(Meta, container, data):
    """The message names the labels and what to do; the estimator's own error is its cause."""
    X, Y = data
    Y = Y.copy()
    Y[:, 1] = np.arange(len(Y)) < len(Y) / 6
    model = Meta(NeedsTwoClasses(), cv=KFold(6))
    with pytest.raises(ValueError, match=r"indices \[1\] .* single class. Use fewer folds") as error:
        model.fit(X, container(Y))
    assert "at least 2 classes" in str(error.value.__cause__)


@each_meta_estimator
def test_other_errors_of_training_are_passed_on(Meta, data):
    """Where every label has both classes, the estimator's own words are the best."""
    with pytest.raises(ValueError, match="alpha"):
        Meta(RidgeClassifier(alpha=-1.0), cv=2).fit(*data)


@each_meta_estimator
def test_the_given_estimator_is_not_fitted(Meta, data):
    """Clones are."""
    estimator = OneVsRestClassifier(LogisticRegression())
    Meta(estimator, cv=2).fit(*data)
    assert not hasattr(estimator, "estimators_")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("n_fits", [0, 1, 3], ids=["first fold", "second fold", "all rows"])
@pytest.mark.parametrize(
    "model",
    [
        TunedThresholdMultiLabelClassifierCV(Silent(), cv=3, store_cv_results=True),
        CalibratedMultiLabelClassifierCV(Silent(), cv=3, ensemble=False),
    ],
    ids=["tuned", "calibrated"],
)
def test_a_fit_that_fails_or_is_interrupted_leaves_the_former_one(model, n_fits, error, monkeypatch):
    """Whichever of its classifiers it was training: every attribute is the very object that it was."""
    model = clone(model).fit(*fold_problem(3))
    before = dict(vars(model))
    fits = []

    def fit(self, X, y):
        if len(fits) == n_fits:
            raise error("on the way")
        fits.append(X)
        return self

    monkeypatch.setattr(Silent, "fit", fit)
    with pytest.raises(error, match="on the way"):
        model.fit(*fold_problem(2))
    assert_same_objects(vars(model), before)


def test_a_search_that_is_interrupted_leaves_the_former_fit():
    """The scorer is called when all classifiers are trained."""
    model = TunedThresholdMultiLabelClassifierCV(Silent(), cv=3).fit(*fold_problem(3))

    def interrupt(estimator, X, y):
        raise KeyboardInterrupt("on the way")

    model.set_params(scoring=interrupt, cv=2)
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt, match="on the way"):
        model.fit(*fold_problem(2))
    assert_same_objects(vars(model), before)


@each_meta_estimator
def test_a_first_fit_that_fails_leaves_the_model_unfitted(Meta, monkeypatch):
    """It has the parameters and nothing else."""

    def fit(self, X, y):
        raise KeyboardInterrupt

    monkeypatch.setattr(Silent, "fit", fit)
    model = Meta(Silent())
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*fold_problem(3))
    assert_same_objects(vars(model), before)


def fold_problem(n_labels):
    """Return rows whose features are their scores, and labels that these are right about."""
    X = np.random.default_rng(0).normal(size=(60, n_labels))
    return X, (X > 0).astype(int)


def assert_same_objects(now, before):
    """Check that a dict has the very same entries as before."""
    assert now.keys() == before.keys()
    assert all(now[name] is value for name, value in before.items())


# %% What was saved before there was `encoding_`

FORMS = {
    "dense": {"n_labels": 2, "classes": None, "container": None},
    "csr_matrix": {"n_labels": 2, "classes": None, "container": "csr_matrix"},
    "csr_array": {"n_labels": 2, "classes": None, "container": "csr_array"},
    "classes": {"n_labels": 1, "classes": np.array(["no", "yes"]), "container": None},
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def load_former(Meta, form, fitted):
    """Return the model that `__setstate__` makes of a state saved at 6f52473, whose entries are plain values."""
    state = vars(Meta(Silent())) | {"_form": form, "_sk_quadrant_version": sk_quadrant.__version__} | fitted
    model = Meta.__new__(Meta)
    model.__setstate__(state)
    return model


def assert_has_form(predicted, form, is_positive):
    """Check the values and the kind of predictions."""
    if form["classes"] is not None:
        assert_array_equal(predicted, form["classes"][is_positive[:, 0].astype(int)])
        return
    assert type(predicted).__name__ == (form["container"] or "ndarray")
    assert predicted.dtype == np.int64
    assert_array_equal(_dense(predicted), is_positive)


@each_form
def test_thresholds_saved_with_the_form_of_y_are_loaded(form):
    """Predictions have that form, and what is saved again has the encoding in its place."""
    n_labels = form["n_labels"]
    fitted = {
        "estimator_": Silent(),
        "response_method_": "decision_function",
        "best_threshold_": np.array([-1.5, 0.5])[:n_labels],
        "pooled_": np.array([False, True])[:n_labels],
        "best_score_": 0.5,
    }
    model = load_former(TunedThresholdMultiLabelClassifierCV, form, fitted)
    X = np.array([[-2.0, 0.0], [-1.0, 1.0]])[:, :n_labels]
    for loaded in (model, pickle.loads(pickle.dumps(model))):
        assert not hasattr(loaded, "_form")
        assert_has_form(loaded.predict(X), form, np.greater(X, loaded.best_threshold_))


@each_form
def test_calibration_saved_with_the_form_of_y_is_loaded(form):
    """Each pair had a copy of the form."""
    n_labels = form["n_labels"]
    pair = {
        "estimator": Silent(),
        "log_odds": None,
        "calibrator": {
            "name": "LogisticMap",
            "slope": np.array([2.0, -1.0])[:n_labels],
            "intercept": np.array([1.0, 0.5])[:n_labels],
        },
        "n_positive": np.array([2.0, 1.0])[:n_labels],
        "n_negative": np.array([1.0, 2.0])[:n_labels],
        "form": form,
    }
    classes = np.arange(2) if form["classes"] is None else form["classes"]
    fitted = {"calibrated_classifiers_": [pair], "classes_": classes}
    model = load_former(CalibratedMultiLabelClassifierCV, form, fitted)
    X = np.array([[-2.0, 0.0], [1.0, 1.0]])[:, :n_labels]
    expected = expit(X * pair["calibrator"]["slope"] + pair["calibrator"]["intercept"])
    for loaded in (model, pickle.loads(pickle.dumps(model))):
        assert not hasattr(loaded, "_form")
        assert_allclose(loaded.predict_proba(X)[:, -n_labels:], expected)
        assert_has_form(loaded.predict(X), form, expected > 0.5)
