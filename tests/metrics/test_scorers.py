"""Scorers with every form of multi-label classifier, in searches, with weights, pickled."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import make_scorer, ndcg_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.datasets import make_quadrants
from sk_quadrant.metrics import (
    expected_calibration_error,
    make_multilabel_scorer,
    multilabel_log_loss,
    neg_expected_calibration_error_scorer,
    neg_multilabel_log_loss_scorer,
    precision_at_k_score,
    precision_at_k_scorer,
    recall_at_k_score,
    recall_at_k_scorer,
)

PROBABILISTIC = {
    "log loss": (neg_multilabel_log_loss_scorer, lambda *args, **kw: -multilabel_log_loss(*args, **kw)),
    "calibration error": (
        neg_expected_calibration_error_scorer,
        lambda *args, **kw: -expected_calibration_error(*args, **kw),
    ),
}
RANKING = {
    "precision": (precision_at_k_scorer(), precision_at_k_score),
    "recall": (recall_at_k_scorer(), recall_at_k_score),
}
SCORERS = PROBABILISTIC | RANKING

every_scorer = pytest.mark.parametrize(("scorer", "metric"), SCORERS.values(), ids=SCORERS)
probabilistic_scorer = pytest.mark.parametrize(("scorer", "metric"), PROBABILISTIC.values(), ids=PROBABILISTIC)
ranking_scorer = pytest.mark.parametrize(("scorer", "metric"), RANKING.values(), ids=RANKING)

ARRAY_VALUED = {
    "OneVsRest": OneVsRestClassifier(LogisticRegression()),
    "chain": ClassifierChain(LogisticRegression()),
    "MLP": MLPClassifier(hidden_layer_sizes=(), max_iter=20, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
}
LIST_VALUED = {
    "MultiOutput": MultiOutputClassifier(LogisticRegression()),
    "forest": RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0),
    "neighbours": KNeighborsClassifier(),
    "pipeline": make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())),
}


class Tilted(ClassifierMixin, BaseEstimator):
    """Classifier that knows the slope of the quadrants and multiplies it by `tilt`, in three forms of answer."""

    def __init__(self, tilt=1.0, form="array"):
        self.tilt = tilt
        self.form = form

    def fit(self, X, y, sample_weight=None):
        """Remember what the labels are."""
        self.classes_ = [np.array([0, 1])] * X.shape[1] if self.form == "list" else np.arange(X.shape[1])
        return self

    def predict_proba(self, X):
        """Return the probabilities in the form asked for."""
        proba = expit(2 * self.tilt * X)
        return [np.column_stack([1 - p, p]) for p in proba.T] if self.form == "list" else proba


class Ranked(Tilted):
    """Classifier of the same scores that has no probabilities."""

    predict_proba = property()

    def decision_function(self, X):
        """Return the log-odds."""
        return 2 * self.tilt * X


@pytest.fixture(params=[2, 3], ids=["two labels", "three labels"])
def data(request):
    """Quadrants with labels drawn from a slope of 2; shuffled, so that folds are alike."""
    return make_quadrants(n_samples=600, n_features=request.param, slope=2.0, shuffle=True, random_state=0)


@every_scorer
@pytest.mark.parametrize("classifier", ARRAY_VALUED.values(), ids=ARRAY_VALUED)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_array_valued_classifiers_have_the_value_of_the_metric(scorer, metric, classifier, data):
    """The scorer is the metric of predict_proba, whose columns all classifiers here order as decision_function does."""
    X, Y = data
    classifier = clone(classifier).fit(X[:300], Y[:300])
    assert scorer(classifier, X[300:], Y[300:]) == pytest.approx(metric(Y[300:], classifier.predict_proba(X[300:])))


@every_scorer
@pytest.mark.parametrize("classifier", LIST_VALUED.values(), ids=LIST_VALUED)
def test_list_valued_classifiers_have_the_value_of_the_metric(scorer, metric, classifier, data):
    """The scorer stacks the probabilities of 1 of every label."""
    X, Y = data
    classifier = clone(classifier).fit(X[:300], Y[:300])
    proba = np.column_stack([label[:, 1] for label in classifier.predict_proba(X[300:])])
    assert scorer(classifier, X[300:], Y[300:]) == pytest.approx(metric(Y[300:], proba))


@ranking_scorer
@pytest.mark.parametrize(
    "classifier", [OneVsRestClassifier(LinearSVC()), RidgeClassifier()], ids=["OneVsRest", "Ridge"]
)
def test_rankings_need_no_probabilities(scorer, metric, classifier, data):
    """A classifier with decision_function alone can be ranked."""
    X, Y = data
    classifier = clone(classifier).fit(X[:300], Y[:300])
    assert scorer(classifier, X[300:], Y[300:]) == metric(Y[300:], classifier.decision_function(X[300:]))


@probabilistic_scorer
def test_probabilities_are_not_guessed(scorer, metric, data):
    """A classifier without predict_proba has no log loss and no calibration error."""
    X, Y = data
    classifier = RidgeClassifier().fit(X, Y)
    with pytest.raises(AttributeError, match=r"RidgeClassifier has none of .*predict_proba"):
        scorer(classifier, X, Y)


@every_scorer
def test_a_label_never_positive_in_training_has_probability_0(scorer, metric, data):
    """A forest gives such a label one column, that of class 0."""
    X, Y = data
    Y_train = Y.copy()
    Y_train[:, 0] = 0
    forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, Y_train)
    proba = forest.predict_proba(X)
    assert proba[0].shape == (len(X), 1)
    expected = metric(Y, np.column_stack([np.zeros(len(X)), *(label[:, 1] for label in proba[1:])]))
    assert scorer(forest, X, Y) == pytest.approx(expected)


def test_make_scorer_does_not_fit_multilabel_classifiers():
    """Why there is a scorer class: make_scorer drops a label of two, and reads an absent label as certain."""
    X, Y = make_quadrants(n_samples=400, slope=2.0, random_state=0)
    plain = make_scorer(multilabel_log_loss, response_method="predict_proba", greater_is_better=False)
    with pytest.raises(ValueError, match=r"y_proba must have the shape of y_true, \(400, 2\), got \(400,\)"):
        plain(OneVsRestClassifier(LogisticRegression()).fit(X, Y), X, Y)
    X, Y = make_quadrants(n_samples=400, n_features=3, slope=2.0, random_state=0)
    Y[:, 0] = 0
    forest = RandomForestClassifier(n_estimators=5, max_depth=2, random_state=0).fit(X, Y)
    means = make_multilabel_scorer(lambda y_true, y_score: float(y_score[:, 0].mean()))
    assert means(forest, X, Y) == 0


@pytest.mark.parametrize("form", ["array", "list"])
@probabilistic_scorer
def test_search_finds_the_calibrated_candidate(scorer, metric, form, data):
    """Of too flat, right and too steep probabilities a search with a scorer of this package finds the right ones."""
    search = GridSearchCV(Tilted(form=form), {"tilt": [0.3, 1.0, 3.0]}, scoring=scorer, cv=3, error_score="raise")
    search.fit(*data)
    assert search.best_params_ == {"tilt": 1.0}
    assert search.best_score_ == pytest.approx(
        np.mean([search.cv_results_[f"split{i}_test_score"][1] for i in range(3)])
    )


@pytest.mark.parametrize("classifier", [Tilted(), Tilted(form="list"), Ranked()], ids=["array", "list", "scores"])
@ranking_scorer
def test_search_finds_the_candidate_that_ranks(scorer, metric, classifier, data):
    """Of a reversed, a constant and the right ranking a search with a scorer of this package finds the right one."""
    search = GridSearchCV(classifier, {"tilt": [-1.0, 0.0, 1.0]}, scoring=scorer, cv=3, error_score="raise")
    search.fit(*data)
    assert search.best_params_ == {"tilt": 1.0}


@pytest.mark.filterwarnings("ignore:The y_pr:UserWarning")
def test_search_with_the_log_loss_of_scikit_learn_finds_the_wrong_candidate():
    """Adding 3 to every score, that is near-certain labels everywhere, wins in scikit-learn and loses here."""

    class Shifted(Tilted):
        def predict_proba(self, X):
            """Return probabilities that are too high."""
            return expit(2 * X + self.tilt)

    X, Y = make_quadrants(n_samples=600, n_features=3, slope=2.0, shuffle=True, random_state=0)
    best = {}
    for name, scoring in {"scikit-learn": "neg_log_loss", "here": neg_multilabel_log_loss_scorer}.items():
        best[name] = GridSearchCV(Shifted(), {"tilt": [0.0, 3.0]}, scoring=scoring, cv=3).fit(X, Y).best_params_["tilt"]
    assert best == {"scikit-learn": 3.0, "here": 0.0}


@pytest.mark.filterwarnings("ignore:The y_pr:UserWarning")
def test_several_scorers_in_one_search(data):
    """Scorers work next to those of scikit-learn, each with the value that it has alone."""
    X, Y = data
    classifier = OneVsRestClassifier(LogisticRegression())
    scoring = {name: scorer for name, (scorer, _) in SCORERS.items()} | {"f1": "f1_micro", "proba": "neg_log_loss"}
    together = cross_validate(classifier, X, Y, scoring=scoring, cv=3)
    for name, (scorer, _) in SCORERS.items():
        np.testing.assert_allclose(together[f"test_{name}"], cross_val_score(classifier, X, Y, scoring=scorer, cv=3))


@every_scorer
def test_weights_reach_the_metric_directly(scorer, metric, data):
    """A scorer called with sample_weight gives the weighted metric."""
    X, Y = data
    weight = np.random.default_rng(0).random(len(X))
    classifier = Tilted(tilt=0.5).fit(X, Y)
    value = scorer(classifier, X, Y, sample_weight=weight)
    assert value == pytest.approx(metric(Y, classifier.predict_proba(X), sample_weight=weight))
    assert value != pytest.approx(scorer(classifier, X, Y), rel=1e-6) or value == 1


@every_scorer
@pytest.mark.parametrize("as_dict", [False, True], ids=["single", "multimetric"])
def test_weights_are_routed_to_the_metric(scorer, metric, as_dict, data):
    """Under metadata routing, cross_validate hands a scorer that asks for weights those of the test rows."""
    X, Y = data
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    halves = [(np.arange(300), np.arange(300, 600))]
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = copy.deepcopy(scorer).set_score_request(sample_weight=True)
        scores = cross_validate(
            Tilted(tilt=0.5).set_fit_request(sample_weight=False),
            X,
            Y,
            scoring={"score": scorer} if as_dict else scorer,
            cv=halves,
            params={"sample_weight": weight},
            error_score="raise",
        )
    expected = metric(Y[300:], expit(X[300:]), sample_weight=weight[300:])
    assert scores["test_score"][0] == pytest.approx(expected)


@every_scorer
def test_weights_without_a_request_are_refused(scorer, metric, data):
    """Weights that nobody asked for are an error under metadata routing, not ignored."""
    X, Y = data
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises((TypeError, ValueError), match=r"sample_weight.*not (explicitly set as requested|routed to any)"),
    ):
        cross_validate(
            Tilted().set_fit_request(sample_weight=False), X, Y, scoring=scorer, params={"sample_weight": np.ones(600)}
        )


@every_scorer
@pytest.mark.parametrize("as_dict", [False, True], ids=["single", "multimetric"])
def test_search_takes_weights_without_routing(scorer, metric, as_dict, data):
    """GridSearchCV.fit with sample_weight works as with the scorers of scikit-learn."""
    X, Y = data
    scoring = {"score": scorer, "f1": "f1_micro"} if as_dict else scorer
    search = GridSearchCV(
        RandomForestClassifier(n_estimators=2, random_state=0),
        {"max_depth": [1, 2]},
        scoring=scoring,
        refit="score" if as_dict else True,
        cv=2,
        error_score="raise",
    )
    search.fit(X, Y, sample_weight=np.ones(len(X)))
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))


@every_scorer
@pytest.mark.parametrize(
    "copied", [lambda scorer: pickle.loads(pickle.dumps(scorer)), copy.deepcopy, lambda s: clone(s, safe=False)],
    ids=["pickle", "deepcopy", "clone"],
)  # fmt: skip
def test_copies_score_the_same(scorer, metric, copied, data):
    """A pickled, copied or cloned scorer is the same scorer."""
    X, Y = data
    classifier = Tilted(tilt=0.5).fit(X, Y)
    assert copied(scorer)(classifier, X, Y) == scorer(classifier, X, Y)
    assert repr(copied(scorer)) == repr(scorer)


@every_scorer
def test_sparse_labels_are_scored(scorer, metric, data):
    """Sparse labels in a search give the scores of dense ones."""
    X, Y = data
    search = GridSearchCV(OneVsRestClassifier(LogisticRegression()), {"estimator__C": [1e-3, 1]}, scoring=scorer, cv=2)
    dense = search.fit(X, Y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(search.fit(X, sparse.csr_matrix(Y)).cv_results_["mean_test_score"], dense)


@pytest.mark.parametrize(
    ("make", "metric"),
    [(precision_at_k_scorer, precision_at_k_score), (recall_at_k_scorer, recall_at_k_score)],
    ids=["precision", "recall"],
)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_reaches_the_metric(make, metric, k):
    """Scorers are made for each k."""
    X, Y = make_quadrants(n_samples=80, n_features=3, slope=2.0, random_state=0)
    classifier = Ranked().fit(X, Y)
    assert make(k)(classifier, X, Y) == metric(Y, X, k=k)


@every_scorer
def test_unknown_labels_are_scored(scorer, metric, data):
    """NaN labels are left out, whatever the classifier was trained on."""
    X, Y = data
    classifier = Tilted(tilt=0.5).fit(X, Y)
    Y = Y.astype(float)
    Y[::3, 0] = np.nan
    assert scorer(classifier, X, Y) == pytest.approx(metric(Y, classifier.predict_proba(X)))


@pytest.mark.parametrize("metric", [roc_auc_score, ndcg_score], ids=["roc_auc_score", "ndcg_score"])
def test_metrics_of_scikit_learn_become_scorers(metric, data):
    """make_multilabel_scorer takes any metric of scores, with its parameters."""
    X, Y = data
    options = {"average": "micro"} if metric is roc_auc_score else {"k": 2}
    classifier = KNeighborsClassifier().fit(X, Y)
    scorer = make_multilabel_scorer(metric, **options)
    proba = np.column_stack([label[:, 1] for label in classifier.predict_proba(X)])
    assert scorer(classifier, X, Y) == pytest.approx(metric(Y, proba, **options))


def test_first_response_method_that_exists_is_taken(data):
    """The order of response methods is an order of preference."""
    X, Y = data
    forest = RandomForestClassifier(n_estimators=2, random_state=0).fit(X, Y)
    logistic = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    scorer = make_multilabel_scorer(
        lambda y_true, y_score: y_score.min(), response_method=["decision_function", "predict_proba"]
    )
    assert scorer(forest, X, Y) >= 0 > scorer(logistic, X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_func": "log_loss"}, "'score_func' parameter of make_multilabel_scorer must be a callable"),
        ({"response_method": "transform"}, "'response_method' parameter of make_multilabel_scorer"),
        ({"greater_is_better": "no"}, "'greater_is_better' parameter of make_multilabel_scorer"),
    ],
    ids=["score_func", "response_method", "greater_is_better"],
)
def test_wrong_options_are_named(options, message):
    """An error names the parameter and what is allowed."""
    with pytest.raises(ValueError, match=message):
        make_multilabel_scorer(**({"score_func": multilabel_log_loss} | options))


@pytest.mark.filterwarnings("ignore:Only one class is present")
@pytest.mark.parametrize(("names", "label"), [(None, "1"), (["a", "b"], "'b'")])
def test_a_score_of_nan_is_warned_of_with_scorer_and_label(names, label):
    """In a search the warning says which label to look at; scikit-learn's says neither."""
    X, Y = np.random.default_rng(0).normal(size=(30, 2)), np.zeros((30, 2), dtype=int)
    Y[:15, 0] = 1
    Y = Y if names is None else pd.DataFrame(Y, columns=names)
    model = QuadrantMultiLabelClassifier().fit(X, Y)
    scorer = make_multilabel_scorer(roc_auc_score)
    with pytest.warns(
        UndefinedMetricWarning, match=rf"make_multilabel_scorer\(roc_auc_score.* is NaN; .*: \[{label}\]"
    ):
        assert np.isnan(scorer(model, X, Y))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(),
        KNeighborsClassifier(),
        OneVsRestClassifier(LogisticRegression()),
        ClassifierChain(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        QuadrantMultiLabelClassifier(),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_one_label_is_scored_as_a_binary_problem(classifier, method):
    """Whether the classifier answers with a vector, a column, two columns or a list."""
    X, Y = make_quadrants(60, slope=2, random_state=0)
    y = pd.DataFrame({"right": Y[:, 0]})
    if not hasattr(classifier, method):
        pytest.skip(f"has no {method}")
    with warnings.catch_warnings(action="ignore"):
        fitted = clone(classifier).fit(X, y)
    alone = (KNeighborsClassifier() if "KN" in type(classifier).__name__ else LogisticRegression()).fit(X, Y[:, 0])
    answer = getattr(alone, method)(X)
    expected = (answer[:, 1] if method == "predict_proba" else answer)[:, None]

    def metric(y_true, y_score):
        assert_array_equal(y_true, y)
        assert_allclose(y_score, expected, atol=2e-3)
        return 1.0

    assert make_multilabel_scorer(metric, response_method=method)(fitted, X, y) == 1.0


def test_a_missing_method_is_explained_through_a_pipeline():
    """The reason of the last step, which names what gives probabilities, is in the chain of errors."""
    X, Y = make_quadrants(n_samples=40, random_state=0)
    pipeline = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier("hinge")).fit(X, Y)
    with pytest.raises(AttributeError, match="predict_proba") as raised:
        neg_multilabel_log_loss_scorer(pipeline, X, Y)

    reasons, error = [], raised.value
    while error := error.__cause__:
        reasons.append(str(error))
    assert any("CalibratedMultiLabelClassifierCV" in reason for reason in reasons)
