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
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from sk_quadrant import (
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.losses import Focal

LOSSES = ("bce_with_logits", "zlpr")
LINEAR = QuadrantMultiLabelClassifier()


FOLDS_FIT_WEIGHTS = parse_version(sklearn.__version__) >= parse_version("1.7")
WEIGHTS = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "before scikit-learn 1.7 the check has other rows in folds with repeated rows than in folds with weights",
)


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


def test_a_network_is_compared_where_X_is_dense_and_small():
    """Circles need one; the first loss is its loss, the same seed gives the same network, and sparse X gets none."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 2))
    Y = ((X**2).sum(axis=1)[:, None] > [1.0, 2.0]).astype(int)
    losses = ["bce_with_logits", "squared_error"]
    options = {"losses": losses, "Cs": [10.0], "cv": 2, "thresholds": "natural", "random_state": 0}
    model = QuadrantMultiLabelClassifierCV(**options).fit(X, Y)
    tried = [(each["estimator"], each["loss"]) for each in model.cv_results_["params"]]
    network = "hidden_layer_sizes=(100,), learning_rate='cosine', max_iter=100, solver='adamw'"
    assert tried == [("default", losses[0]), ("default", losses[1]), (network, losses[0])]
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
