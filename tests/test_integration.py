"""The estimator inside scikit-learn's tools, each of which has to give what it gives by hand."""

import pickle

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import ZLPR, Focal, LabelwiseLoss

PRECISE = {"tol": 1e-9, "max_iter": 2000}
FOLDS = KFold(3, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def data():
    """Noisy quadrants in three dimensions, of which the labels are two, so that one feature says nothing."""
    X, Y = make_quadrants(n_samples=240, n_features=3, slope=2.0, random_state=0)
    return X, Y[:, :2]


# model selection


def test_grid_search_over_losses_in_a_pipeline(data):
    """Strings and instances are candidates; the best one is what cross-validation by hand says, on all rows."""
    X, Y = data
    losses = ["bce_with_logits", "hinge", ZLPR(temperature=2.0), Focal(gamma=1.0)]
    pipeline = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier())
    grid = {"quadrantmultilabelclassifier__loss": losses, "quadrantmultilabelclassifier__C": [1e-4, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=FOLDS, scoring="f1_macro", error_score="raise").fit(X, Y)
    by_hand = [
        cross_val_score(clone(pipeline).set_params(**params), X, Y, cv=FOLDS, scoring="f1_macro").mean()
        for params in search.cv_results_["params"]
    ]
    assert_allclose(search.cv_results_["mean_test_score"], by_hand)
    assert search.best_params_ == search.cv_results_["params"][int(np.argmax(by_hand))]
    best = clone(pipeline).set_params(**search.best_params_).fit(X, Y)
    assert_array_equal(search.predict(X), best.predict(X))
    assert search.best_score_ > 0.7


@pytest.mark.slow
def test_grid_search_in_several_processes_is_that_in_one(data):
    """Candidates travel to other processes and back."""
    X, Y = data
    grid = {"loss": ["zlpr", Focal(gamma=3.0)]}
    scores = [
        GridSearchCV(QuadrantMultiLabelClassifier(), grid, cv=2, n_jobs=n_jobs).fit(X, Y).cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*scores)


def test_randomized_search_draws_losses(data):
    """Lists of losses are sampled like any other parameter."""
    X, Y = data
    distributions = {"loss": ["focal", "zlpr", Focal(gamma=3.0)], "C": np.logspace(-3, 2, 30)}
    search = RandomizedSearchCV(QuadrantMultiLabelClassifier(), distributions, n_iter=5, cv=FOLDS, random_state=0)
    search.fit(X, Y)
    tried = search.cv_results_["param_loss"].tolist()
    assert len(tried) == 5
    assert set(map(str, tried)) <= {"focal", "zlpr", "Focal(gamma=3.0, alpha=None)"}
    best = QuadrantMultiLabelClassifier(**search.best_params_)
    assert search.best_score_ == pytest.approx(cross_val_score(best, X, Y, cv=FOLDS).mean())


def test_halving_search_keeps_the_better_half(data):
    """Successive halving goes from all candidates on few rows to the best on many."""
    X, Y = data
    grid = {"C": [1e-6, 1e-5, 0.1, 1.0]}
    search = HalvingGridSearchCV(
        QuadrantMultiLabelClassifier(), grid, cv=FOLDS, factor=2, min_resources=60, random_state=0, scoring="f1_macro"
    ).fit(X, Y)
    assert search.n_candidates_ == [4, 2, 1]
    assert search.n_resources_ == [60, 120, 240]
    assert search.best_params_["C"] >= 0.1


def test_partial_fit_in_a_halving_search_over_epochs(data):
    """max_iter is a resource like any other."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier(solver="adamw", tol=0, random_state=0)
    search = HalvingGridSearchCV(
        clf, {"learning_rate_init": [1e-6, 1e-1]}, resource="max_iter", max_resources=8, min_resources=4, factor=2, cv=2
    )
    with pytest.warns(match="did not converge"):
        search.fit(X, Y)
    assert search.best_params_ == {"learning_rate_init": 1e-1, "max_iter": 8}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_cross_val_predict_puts_folds_together(method, data):
    """Out-of-fold predictions of any method are those of models fitted to the other folds."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier("zlpr")
    expected = np.zeros(Y.shape)
    for train, test in FOLDS.split(X):
        expected[test] = getattr(clone(clf).fit(X[train], Y[train]), method)(X[test])
    assert_allclose(cross_val_predict(clf, X, Y, cv=FOLDS, method=method), expected)


def test_cross_val_predict_of_sparse_labels(data):
    """Sparse labels come back sparse from every fold."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier()
    found = cross_val_predict(clf, sparse.csr_matrix(X), sparse.csr_matrix(Y), cv=FOLDS)
    assert sparse.issparse(found)
    assert_array_equal(found.toarray(), cross_val_predict(clf, X, Y, cv=FOLDS))


@pytest.mark.parametrize("scoring", ["f1_micro", "roc_auc", "average_precision", "accuracy", "jaccard_samples"])
def test_scorers_of_scikit_learn(scoring, data):
    """Scorers for label indicators take predictions, scores and probabilities of the model."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    by_hand = get_scorer(scoring)
    response = clf.decision_function(X) if scoring in ("roc_auc", "average_precision") else clf.predict(X)
    expected = by_hand._sign * by_hand._score_func(Y, response, **by_hand._kwargs)
    assert by_hand(clf, X, Y) == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_a_scorer_of_weights_through_metadata_routing(data):
    """Weights reach the fits and the scorer of a grid search over a pipeline, each on its own rows."""
    X, Y = data
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    with config_context(enable_metadata_routing=True):
        clf = QuadrantMultiLabelClassifier(**PRECISE).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), clf)
        scorer = make_scorer(f1_score, average="macro").set_score_request(sample_weight=True)
        grid = {"quadrantmultilabelclassifier__C": [0.01, 1.0]}
        search = GridSearchCV(pipeline, grid, cv=FOLDS, scoring=scorer).fit(X, Y, sample_weight=weight)
    C = search.best_params_["quadrantmultilabelclassifier__C"]
    scaled = StandardScaler().fit(X, sample_weight=weight).transform(X)
    by_hand = QuadrantMultiLabelClassifier(C=C, **PRECISE).fit(scaled, Y, sample_weight=weight)
    assert_allclose(search.best_estimator_[-1].coef_, by_hand.coef_)
    scores = []
    for train, test in FOLDS.split(X):
        model = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier(C=C, **PRECISE))
        model.fit(
            X[train], Y[train],
            standardscaler__sample_weight=weight[train], quadrantmultilabelclassifier__sample_weight=weight[train],
        )  # fmt: skip
        scores.append(f1_score(Y[test], model.predict(X[test]), average="macro", sample_weight=weight[test]))
    assert search.best_score_ == pytest.approx(np.mean(scores))


def test_weights_that_are_not_requested_are_refused(data):
    """With routing enabled nobody gets weights without having asked for them."""
    X, Y = data
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(QuadrantMultiLabelClassifier(), {"C": [1.0]}, cv=2)
        with pytest.raises(ValueError, match=r"sample_weight.* are passed but are not explicitly set"):
            search.fit(X, Y, sample_weight=np.ones(len(X)))


def test_learning_and_validation_curves(data):
    """Scores rise with the rows, and fall for an absurd penalty."""
    X, Y = data
    _, _, by_size = learning_curve(QuadrantMultiLabelClassifier(), X, Y, train_sizes=[10, 160], cv=FOLDS)
    assert by_size[1].mean() > by_size[0].mean()
    _, by_C = validation_curve(QuadrantMultiLabelClassifier(), X, Y, param_name="C", param_range=[1e-6, 1.0], cv=FOLDS)
    assert by_C[1].mean() > by_C[0].mean()


# estimators made of estimators


def test_classifier_chain_is_that_of_logistic_regression(data):
    """Each link of a chain sees the labels before it: the coefficients are those of LogisticRegression."""
    X, Y = data
    other = LogisticRegression(solver="newton-cholesky", tol=1e-13)
    chain, expected = (ClassifierChain(clf).fit(X, Y) for clf in (QuadrantMultiLabelClassifier(**PRECISE), other))
    for one, another in zip(chain.estimators_, expected.estimators_, strict=True):
        assert_allclose(one.coef_, another.coef_, rtol=1e-5)
    assert_array_equal(chain.predict(X), expected.predict(X))
    assert_allclose(chain.predict_proba(X), expected.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("loss", ["bce_with_logits", "focal", "squared_hinge", "exponential"])
@pytest.mark.parametrize("meta", [OneVsRestClassifier, MultiOutputClassifier])
def test_label_by_label_is_all_labels_at_once(meta, loss, data):
    """For a labelwise loss one model a label is the same as one model."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier(loss, **PRECISE)
    several = meta(clf).fit(X, Y)
    assert_allclose(np.vstack([one.coef_ for one in several.estimators_]), clf.fit(X, Y).coef_, rtol=1e-4, atol=1e-6)
    assert_array_equal(several.predict(X), clf.predict(X))


@pytest.mark.parametrize("meta", [OneVsRestClassifier, OneVsOneClassifier])
def test_classes_against_each_other(meta, data):
    """Several classes in a 1-D y work through binary models as well."""
    X, Y = data
    y = np.array(["a", "b", "c", "d"])[2 * Y[:, 0] + Y[:, 1]]
    score = meta(QuadrantMultiLabelClassifier()).fit(X, y).score(X, y)
    assert score == pytest.approx(QuadrantMultiLabelClassifier().fit(X, y).score(X, y), abs=0.1)
    assert score > 0.5


def test_stacking_of_label_matrices(data):
    """Probabilities of all labels, out of fold, are the features of the final model."""
    X, Y = data  # with three labels: of two labels scikit-learn takes the first for the absence of the second
    Y = np.c_[Y, X[:, 2] > 0.5].astype(int)
    names = ["bce_with_logits", "zlpr"]
    models = [(name, QuadrantMultiLabelClassifier(name)) for name in names]
    final = QuadrantMultiLabelClassifier(C=0.1)
    stacking = StackingClassifier(models, final_estimator=final, cv=FOLDS).fit(X, Y)
    inputs = np.hstack([cross_val_predict(clf, X, Y, cv=FOLDS, method="predict_proba") for _, clf in models])
    assert_allclose(stacking.final_estimator_.coef_, clone(final).fit(inputs, Y).coef_, rtol=1e-6)
    outputs = np.hstack([clone(clf).fit(X, Y).predict_proba(X) for _, clf in models])
    assert_array_equal(stacking.predict(X), stacking.final_estimator_.predict(outputs))
    assert stacking.score(X, Y) > 0.4


def test_stacking_of_classes_on_decision_functions(data):
    """A 1-D y stacks on the decision function of the hinge loss, which has no probability."""
    X, Y = data
    models = [("hinge", QuadrantMultiLabelClassifier("hinge")), ("zlpr", QuadrantMultiLabelClassifier("zlpr"))]
    stacking = StackingClassifier(models, final_estimator=QuadrantMultiLabelClassifier(), cv=FOLDS).fit(X, Y[:, 0])
    assert stacking.stack_method_ == ["decision_function", "predict_proba"]
    assert stacking.score(X, Y[:, 0]) > 0.75


def test_voting_bagging_and_calibration_of_classes(data):
    """Tools for a 1-D y: averages of probabilities, bags of rows, and sigmoids on top."""
    X, Y = data
    y = Y[:, 0]
    clf = QuadrantMultiLabelClassifier("zlpr")
    voting = VotingClassifier([("a", clf), ("b", clf)], voting="soft").fit(X, y)
    assert_allclose(voting.predict_proba(X), clone(clf).fit(X, y).predict_proba(X))
    bagging = BaggingClassifier(clf, n_estimators=5, random_state=0).fit(X, y)
    assert_allclose(bagging.predict_proba(X), np.mean([one.predict_proba(X) for one in bagging.estimators_], axis=0))
    calibrated = CalibratedClassifierCV(QuadrantMultiLabelClassifier("hinge"), cv=FOLDS, ensemble=False).fit(X, y)
    scores = calibrated.calibrated_classifiers_[0].estimator.decision_function(X)
    assert_array_equal(np.argsort(calibrated.predict_proba(X)[:, 1]), np.argsort(scores))


def test_a_frozen_model_stays_as_it_is(data):
    """FrozenEstimator does not fit again, also where it is told to, and predicts the same."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    coef = clf.coef_.copy()
    frozen = FrozenEstimator(clf).fit(-X, Y)
    assert_array_equal(clf.coef_, coef)
    assert_array_equal(frozen.predict(X), clf.predict(X))
    assert clone(frozen) is not clf
    assert_array_equal(cross_val_predict(frozen, X, Y, cv=2), clf.predict(X))


# features


def test_permutation_importance_finds_the_features_that_matter(data):
    """Features of labels matter, the one without a label does not."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    importances = permutation_importance(clf, X, Y, n_repeats=5, random_state=0).importances_mean
    assert importances[:2].min() > 0.1
    assert abs(importances[2]) < 0.05


@pytest.mark.parametrize("select", [lambda clf: SelectFromModel(clf), lambda clf: RFE(clf, n_features_to_select=2)])
def test_feature_selection_by_coefficients(select, data):
    """Coefficients over all labels choose the features that labels depend on."""
    X, Y = data
    selector = select(QuadrantMultiLabelClassifier("zlpr")).fit(X, Y)
    assert selector.get_support().tolist() == [True, True, False]
    assert selector.transform(X).shape == (len(X), 2)


def test_set_output_reaches_the_classifier_as_names(data):
    """In a pipeline that hands on data frames the classifier knows the names of its features."""
    X, Y = data
    frame = pd.DataFrame(X, columns=["u", "v", "w"])
    pipeline = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier()).set_output(transform="pandas")
    pipeline.fit(frame, pd.DataFrame(Y, columns=["a", "b"]))
    assert pipeline[-1].feature_names_in_.tolist() == ["u", "v", "w"]
    assert pipeline[-1].label_names_in_.tolist() == ["a", "b"]
    assert_array_equal(
        pipeline.predict(frame), make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier()).fit(X, Y).predict(X)
    )


def test_text_goes_through_a_pipeline_sparse(data):
    """TF-IDF features stay sparse, and words are learnt."""
    texts = ["red apple", "green apple", "red car", "green car"] * 10
    Y = np.array([[1, 0], [0, 0], [1, 1], [0, 1]] * 10)
    pipeline = make_pipeline(TfidfVectorizer(), QuadrantMultiLabelClassifier(C=100)).fit(texts, Y)
    assert pipeline.predict(["red car", "green apple"]).tolist() == [[1, 1], [0, 0]]
    words = pipeline[0].get_feature_names_out()
    assert words[pipeline[-1].coef_.argmax(axis=1)].tolist() == ["red", "car"]


@pytest.mark.parametrize("X_format", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_sparsify_and_densify_keep_predictions(X_format, data):
    """Coefficients as a sparse matrix predict the same, survive pickling, and come back."""
    X, Y = data
    X = X_format(X)
    clf = QuadrantMultiLabelClassifier("zlpr").fit(X, Y)
    clf.coef_[:, 2] = 0
    expected, coef = (clf.predict(X), clf.predict_proba(X), clf.decision_function(X)), clf.coef_.copy()
    clf = pickle.loads(pickle.dumps(clf.sparsify()))
    assert sparse.issparse(clf.coef_)
    assert clf.coef_.nnz == 4
    for found, wanted in zip((clf.predict(X), clf.predict_proba(X), clf.decision_function(X)), expected, strict=True):
        assert isinstance(found, np.ndarray)
        assert_allclose(found, wanted)
    assert_allclose(clf.net_.forward(np.ones((1, 3))), coef.sum(axis=1)[None] + clf.intercept_)
    assert_array_equal(clf.densify().coef_, coef)


@pytest.mark.parametrize("container", [sparse.csc_array, sparse.coo_array, sparse.csr_matrix])
def test_assigned_sparse_coefficients_may_have_any_format(container, data):
    """Predictions are those of dense ones, also when loaded: a file holds rows, whatever was assigned."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    expected, coef = clf.decision_function(X), clf.coef_
    clf.coef_ = container(coef)
    assert_allclose(clf.decision_function(X), expected)
    assert_allclose(pickle.loads(pickle.dumps(clf)).decision_function(X), expected)


def test_net_of_a_loaded_model_stays_on_its_device(data):
    """The net is built around the module where it is, and does not move it; "meta" stands for a GPU."""
    clf = QuadrantMultiLabelClassifier(solver="adamw", module=torch.nn.Linear(3, 2), max_iter=1, tol=1.0).fit(*data)
    loaded = pickle.loads(pickle.dumps(clf))
    loaded.model_.module.to("meta")
    assert loaded.net_.module_.weight.device == torch.device("meta")


# persistence


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("kind", ["pickle", "joblib", "cloudpickle"])
def test_models_survive_being_stored(kind, solver, data, tmp_path):
    """A stored pipeline predicts the same and can be fitted on."""
    X, Y = data
    loss = Focal(gamma=3.0)
    clf = QuadrantMultiLabelClassifier(loss, solver=solver, tol=1e-2, learning_rate_init=0.1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), clf).fit(X, Y)
    if kind == "joblib":
        joblib.dump(pipeline, tmp_path / "model.joblib")
        loaded = joblib.load(tmp_path / "model.joblib")
    else:
        module = {"pickle": pickle, "cloudpickle": cloudpickle}[kind]
        loaded = module.loads(module.dumps(pipeline))
    assert_array_equal(loaded.predict(X), pipeline.predict(X))
    assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    assert loaded[-1].loss_ == loss
    assert_array_equal(loaded.fit(X, Y)[-1].coef_, pipeline[-1].coef_)


def test_cloudpickle_takes_a_loss_of_a_notebook(data):
    """A loss class that no module has travels with the model."""

    class Cauchy(LabelwiseLoss):
        name = "cauchy"

        def per_label(self, scores, targets):
            return torch.log1p((scores - 2 * targets + 1) ** 2)

    X, Y = data
    clf = QuadrantMultiLabelClassifier(Cauchy()).fit(X, Y)
    loaded = cloudpickle.loads(cloudpickle.dumps(clf))
    assert_array_equal(loaded.predict(X), clf.predict(X))
    assert_array_equal(loaded.fit(X, Y).coef_, clf.coef_)
