"""QuadrantMultiLabelClassifierCV: the choices of the searches that it replaces, for a fraction of the fits."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_backend
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.losses import Focal
from sk_quadrant.metrics import neg_multilabel_log_loss_scorer

LOSSES = ("bce_with_logits", "zlpr")
CS = [0.001, 10.0]
LINEAR = QuadrantMultiLabelClassifier()
EXACT = QuadrantMultiLabelClassifier(tol=1e-8)


FOLDS_FIT_WEIGHTS = parse_version(sklearn.__version__) >= parse_version("1.7")
WEIGHTS = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "before scikit-learn 1.7 the check has other rows in folds with repeated rows than in folds with weights",
)


@pytest.fixture(scope="module")
def data():
    """200 rows with four labels."""
    X, Y = make_multilabel_classification(200, n_features=8, n_classes=4, random_state=0)
    return StandardScaler().fit_transform(X), Y


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value", "ignore:overflow")
@parametrize_with_checks(
    [
        QuadrantMultiLabelClassifierCV(
            "bce_with_logits", [1.0], cv=2, thresholds="natural", calibration=None, estimator=LINEAR
        )
    ],
    **({} if FOLDS_FIT_WEIGHTS else {"expected_failed_checks": lambda _: WEIGHTS}),
)
def test_scikit_learn_checks(estimator, check):
    """The checks of scikit-learn."""
    check(estimator)


@pytest.mark.parametrize(
    "scoring",
    [
        "f1_macro",
        "f1_micro",
        "accuracy",
        "jaccard_samples",
        "average_precision",
        "roc_auc",
        neg_multilabel_log_loss_scorer,
    ],
    ids=str,
)
@pytest.mark.slow
def test_without_thresholds_scores_are_those_of_grid_search(scoring, data):
    """Every score of every split, and the choice, for metrics of predictions, scores and probabilities."""
    X, Y = data
    search = GridSearchCV(EXACT, {"loss": LOSSES, "C": CS}, scoring=scoring, cv=KFold(3)).fit(X, Y)
    model = QuadrantMultiLabelClassifierCV(
        LOSSES,
        CS,
        scoring=scoring,
        thresholds="natural",
        calibration=None,
        cv=KFold(3),
        estimator=EXACT,
        C_scope="shared",
    ).fit(X, Y)
    theirs = {(p["loss"], p["C"]): k for k, p in enumerate(search.cv_results_["params"])}
    order = [theirs[p["loss"], p["C"]] for p in model.cv_results_["params"]]
    for k in range(3):
        name = f"split{k}_test_score"
        assert_allclose(model.cv_results_[name], search.cv_results_[name][order], atol=1e-5)
    assert (model.best_params_["loss"], model.C_) == (search.best_params_["loss"], search.best_params_["C"])
    assert_array_equal(model.predict(X), search.predict(X))
    assert_allclose(model.predict_proba(X), search.predict_proba(X), atol=1e-5)


class Counting(QuadrantMultiLabelClassifier):
    """Classifier that counts fits."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None):
        """Count."""
        Counting.n_fits += 1
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize(("scoring", "kind"), [("f1_macro", "label"), ("f1_micro", "shared")])
def test_the_choice_is_that_of_a_nested_search_for_a_quarter_of_its_fits(kind, scoring, data):
    """GridSearchCV of tuned thresholds chooses the same C, and TunedThreshold... the same thresholds."""
    X, Y = data
    Counting.n_fits, Cs = 0, [1e-5, 0.1]
    tuned = TunedThresholdMultiLabelClassifierCV(
        Counting(), scoring=scoring, scope=kind, response_method="decision_function", cv=KFold(4)
    )
    search = GridSearchCV(tuned, {"estimator__C": Cs}, scoring=scoring, cv=KFold(4)).fit(X, Y)
    n_fits, Counting.n_fits = Counting.n_fits, 0
    model = QuadrantMultiLabelClassifierCV(
        "bce_with_logits",
        Cs,
        scoring=scoring,
        thresholds=kind,
        calibration=None,
        cv=KFold(4),
        estimator=Counting(),
        C_scope="shared",
    ).fit(X, Y)
    assert Counting.n_fits <= n_fits / 4
    assert search.best_params_["estimator__C"] == model.C_
    assert model.best_score_ == pytest.approx(search.best_score_, abs=0.03)
    assert_allclose(model.best_threshold_, search.best_estimator_.best_threshold_, atol=1e-2)
    assert (model.predict(X) == search.predict(X)).mean() > 0.99


def test_auto_compares_all_thresholds_and_takes_the_first_of_equals(data):
    """The best of three kinds is at least as good as each of them alone."""
    X, Y = data
    models = {
        kind: QuadrantMultiLabelClassifierCV("zlpr", CS, thresholds=kind, cv=KFold(3), estimator=LINEAR).fit(X, Y)
        for kind in ("auto", "natural", "shared", "label")
    }
    best = models.pop("auto")
    assert best.best_score_ == max(model.best_score_ for model in models.values())
    assert_array_equal(models[best.thresholds_].predict(X), best.predict(X))
    results = best.cv_results_
    assert [tuple(each.values()) for each in results["params"]][:3] == [
        ("zlpr", 0.001, kind) for kind in ("natural", "shared", "label")
    ]
    assert results["rank_test_score"][best.best_index_] == 1
    assert best.best_index_ == np.flatnonzero(results["rank_test_score"] == 1)[0]
    assert_allclose(
        results["mean_test_score"], np.mean([results[f"split{k}_test_score"] for k in range(3)], axis=0), atol=1e-12
    )


@pytest.mark.parametrize("method", ["sigmoid", "temperature", "isotonic"])
def test_calibrated_probabilities_are_those_of_the_calibrated_classifier(method, data):
    """One map of the held-out scores of all splits, around the classifier of all rows."""
    X, Y = data
    model = QuadrantMultiLabelClassifierCV(
        "squared_hinge", [1.0], calibration=method, cv=KFold(3), estimator=LINEAR
    ).fit(X, Y)
    expected = CalibratedMultiLabelClassifierCV(
        QuadrantMultiLabelClassifier("squared_hinge"), method=method, cv=KFold(3), ensemble=False
    ).fit(X, Y)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-12)
    assert model.calibration_ == method


def test_auto_calibration_has_the_smallest_log_loss(data):
    """The link of the loss is one of the possibilities, and a hinge loss has none."""
    X, Y = data
    model = QuadrantMultiLabelClassifierCV(("bce_with_logits",), [0.1], cv=KFold(3), estimator=LINEAR).fit(X, Y)
    assert model.calibration_losses_[model.calibration_] == min(model.calibration_losses_.values())
    assert len(model.calibration_losses_) == 4
    hinge = QuadrantMultiLabelClassifierCV("hinge", [0.01], cv=KFold(2), thresholds="natural", estimator=LINEAR).fit(
        X[:60], Y[:60]
    )
    assert len(hinge.calibration_losses_) == 3
    assert not hasattr(hinge.set_params(calibration=None).fit(X[:60], Y[:60]), "predict_proba")


@pytest.mark.parametrize("as_labels", ["binary", "sparse", "frame", "one column"])
def test_forms_of_y(as_labels, data):
    """Predictions have the form of y, and names of labels are kept."""
    X, Y = data
    y = {
        "binary": np.where(Y[:, 0], "yes", "no"),
        "sparse": sparse.csr_array(Y),
        "frame": pd.DataFrame(Y, columns=list("abcd")),
        "one column": pd.DataFrame(Y[:, :1], columns=["a"]),
    }[as_labels]
    model = QuadrantMultiLabelClassifierCV(("asymmetric",), [1.0], cv=3, estimator=LINEAR).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == ((200,) if as_labels == "one column" else y.shape)
    if as_labels == "binary":
        assert_array_equal(model.decision_function(X) > 0, predicted == "yes")
        assert model.predict_proba(X).shape == (200, 2)
    elif as_labels == "sparse":
        assert isinstance(predicted, sparse.csr_array)
    else:
        assert_array_equal(model.label_names_in_, list(y.columns))
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.predict_proba(X), model.predict_proba(X))


def test_skops_trusts_no_inner_types(data):
    """What is saved are plain values, arrays and estimators; the map is made again."""
    skops_io = pytest.importorskip("skops.io")
    X, Y = data
    model = QuadrantMultiLabelClassifierCV("squared_hinge", [1.0], calibration="isotonic", cv=2, estimator=LINEAR).fit(
        X, Y
    )
    stored = skops_io.dumps(model)
    untrusted = skops_io.get_untrusted_types(data=stored)
    assert all(name.split(".")[-1].startswith("QuadrantMultiLabelClassifier") for name in untrusted)
    assert_allclose(skops_io.loads(stored, trusted=untrusted).predict_proba(X), model.predict_proba(X))


def test_unknown_labels_have_no_influence(data):
    """NaN in y, with an estimator that ignores it: scores, thresholds and maps see known entries only."""
    X, Y = data
    unknown = np.random.default_rng(0).random(Y.shape) < 0.2
    estimator = QuadrantMultiLabelClassifier(missing_labels="ignore")
    model = QuadrantMultiLabelClassifierCV("zlpr", [1.0], cv=KFold(3), estimator=estimator)
    model.fit(X, np.where(unknown, np.nan, Y))
    assert np.isfinite(model.best_threshold_).all()
    assert f1_score(Y, model.predict(X), average="macro") > 0.6


def test_weights_reach_fits_and_scores(data):
    """Rows of weight 0 change nothing but the splits, which are given."""
    X, Y = data
    weight = np.ones(200)
    weight[150:] = 0
    splits = [(np.r_[0:100, 150:170], np.r_[100:150, 170:200]), (np.r_[50:150], np.r_[0:50])]
    kept = [(train[train < 150], test[test < 150]) for train, test in splits]
    options = {"losses": "bce_with_logits", "Cs": CS, "estimator": EXACT}
    model = QuadrantMultiLabelClassifierCV(cv=splits, **options).fit(X, Y, sample_weight=weight)
    expected = QuadrantMultiLabelClassifierCV(cv=kept, **options).fit(X[:150], Y[:150])
    assert_allclose(model.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=1e-3)
    assert_allclose(model.estimator_.coef_, expected.estimator_.coef_, atol=1e-5)


def test_jobs_and_progress(data, capsys):
    """Two jobs choose the same; a line for each fit and each candidate."""
    X, Y = data
    model = QuadrantMultiLabelClassifierCV(
        LOSSES, [0.1, 1.0], cv=2, thresholds="shared", verbose=1, estimator=LINEAR
    ).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert sum("fitted in" in line for line in lines) == 8
    assert sum("score" in line for line in lines) == 5  # four, and one with a C for each label
    with parallel_backend("threading"):
        other = clone(model).set_params(n_jobs=2, verbose=0).fit(X, Y)
    assert_allclose(other.cv_results_["mean_test_score"], model.cv_results_["mean_test_score"])


def test_each_label_takes_the_C_of_its_smallest_held_out_loss(data):
    """Against one fit per split and C, with the C of a split chosen on the others; the result has these C."""
    X, Y = data
    Cs, splits = [0.001, 0.1, 10.0], list(KFold(3).split(X))
    losses, scores = np.empty((3, 3, 4)), np.empty((3, 200, 4))
    for c, C in enumerate(Cs):
        for k, (train, test) in enumerate(splits):
            scores[c, test] = clone(EXACT).set_params(C=C).fit(X[train], Y[train]).decision_function(X[test])
            losses[c, k] = np.logaddexp(0, scores[c, test] * (1 - 2 * Y[test])).sum(axis=0)
    expected = []
    for k, (_, test) in enumerate(splits):
        best = np.argmin(np.delete(losses, k, axis=1).sum(axis=1), axis=0)
        chosen = np.column_stack([scores[best[j], test, j] for j in range(4)])
        expected.append(f1_score(Y[test], chosen > 0, average="macro"))
    model = QuadrantMultiLabelClassifierCV(
        "bce_with_logits", Cs, C_scope="label", thresholds="natural", cv=splits, estimator=EXACT
    ).fit(X, Y)
    assert_allclose([model.cv_results_[f"split{k}_test_score"][0] for k in range(3)], expected, atol=1e-9)
    assert_array_equal(model.C_, np.array(Cs)[np.argmin(losses.sum(axis=1), axis=0)])
    assert_allclose(model.estimator_.coef_, clone(EXACT).set_params(C=model.C_).fit(X, Y).coef_, atol=1e-5)
    assert model.best_params_["C"] == "label"


def test_in_a_pipeline_with_a_loss_object_and_a_scorer(data):
    """A loss with parameters, a scorer that has to be called, and one split held out."""
    X, Y = data
    scorer = make_scorer(f1_score, average="weighted", zero_division=0)
    model = QuadrantMultiLabelClassifierCV(
        [Focal(gamma=1.0)], 2, scoring=scorer, thresholds="natural", cv=0.3, random_state=0, estimator=LINEAR
    )
    pipeline = make_pipeline(StandardScaler(), model).fit(X, Y)
    assert pipeline[-1].loss_ == Focal(gamma=1.0)
    assert pipeline[-1].n_splits_ == 1
    assert pipeline.score(X, Y) > 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"losses": ["logistic"]}, r"losses must be names among .* got \['logistic'\]"),
        ({"losses": []}, "losses must be names among"),
        ({"estimator": []}, "estimator must be a classifier, a list of at least one"),
        ({"estimator": [QuadrantMultiLabelClassifier, 1]}, "estimator must be a classifier, a list of at least one"),
        ({"Cs": [1.0, -1.0]}, "Cs must be a number of values, or positive values"),
        ({"scoring": "roc_auc", "thresholds": "label"}, "thresholds='label' needs a scoring of predictions"),
        ({"cv": 0.3}, "thresholds='auto' needs at least two splits"),
        ({"scoring": "f1"}, "scoring='f1' is for a single label, y has .* Use 'f1_macro' or 'f1_micro'"),
        (
            {"estimator": make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier())},
            "estimator must have the parameters loss and C.* got a Pipeline without C and loss. Put the other steps",
        ),
        (
            {"losses": "zlpr", "C_scope": "label", "cv": 2, "Cs": [1.0, 2.0]},
            "C_scope='label' needs losses that are sums",
        ),
    ],
    ids=str,
)
def test_parameters_that_do_not_fit_are_refused(options, message, data):
    """With what to do, and nothing is fitted."""
    model = QuadrantMultiLabelClassifierCV(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(*data)
    assert not hasattr(model, "estimator_")


def test_networks_are_compared_where_X_is_dense_and_small():
    """Circles need one; the first loss is theirs, the same seed gives the same network, and sparse X gets none."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 2))
    Y = ((X**2).sum(axis=1)[:, None] > [1.0, 2.0]).astype(int)
    losses = ["bce_with_logits", "squared_error"]
    options = {"losses": losses, "Cs": [10.0], "cv": 2, "thresholds": "natural", "random_state": 0}
    model = QuadrantMultiLabelClassifierCV(**options).fit(X, Y)
    tried = [(each["estimator"], each["loss"]) for each in model.cv_results_["params"]]
    network = "hidden_layer_sizes=(100,), learning_rate='cosine', max_iter=50, solver='adamw'"
    assert tried[:3] == [("default", losses[0]), ("default", losses[1]), (network, losses[0])]
    assert model.best_params_["estimator"].startswith("hidden_layer_sizes=(100,)")
    assert model.best_score_ > 0.85
    assert_array_equal(clone(model).fit(X, Y).predict_proba(X), model.predict_proba(X))
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    linear = clone(model).fit(sparse.csr_array(X), Y)
    assert "estimator" not in linear.best_params_


def test_estimators_of_a_list_are_compared_with_all_losses(data):
    """Their names are the parameters that differ from the defaults."""
    X, Y = data
    estimators = [LINEAR, QuadrantMultiLabelClassifier(fit_intercept=False)]
    model = QuadrantMultiLabelClassifierCV(LOSSES, [1.0], cv=2, thresholds="natural", estimator=estimators).fit(X, Y)
    assert [tuple(each.values())[:2] for each in model.cv_results_["params"]] == [
        (name, loss) for name in ("default", "fit_intercept=False") for loss in LOSSES
    ]
    one = clone(model).set_params(estimator=estimators[1]).fit(X, Y)
    assert one.cv_results_["mean_test_score"].tolist() == model.cv_results_["mean_test_score"][2:].tolist()


@pytest.mark.parametrize("scoring", ["f1_macro", neg_multilabel_log_loss_scorer], ids=["f1_macro", "log_loss"])
def test_a_label_of_weight_zero_is_unknown(scoring, data):
    """In fits, scores, thresholds, calibration and the choice of C for each label."""
    X, Y = data[0], data[1].astype(float)
    unknown = np.random.default_rng(0).random(Y.shape) < 0.2
    weight = np.random.default_rng(1).uniform(1, 2, Y.shape)
    model = QuadrantMultiLabelClassifierCV(
        ["bce_with_logits"], [0.1, 10.0], scoring=scoring, cv=KFold(3),
        estimator=QuadrantMultiLabelClassifier(missing_labels="ignore"),
    )  # fmt: skip

    weighted = clone(model).fit(X, Y, sample_weight=np.where(unknown, 0, weight))
    masked = clone(model).fit(X, np.where(unknown, np.nan, Y), sample_weight=weight)

    assert_allclose(weighted.cv_results_["mean_test_score"], masked.cv_results_["mean_test_score"], rtol=1e-4)
    assert_allclose(weighted.predict_proba(X), masked.predict_proba(X), atol=1e-3)
