"""The score that early stopping monitors."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import make_scorer, roc_auc_score

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.metrics import multilabel_f1_scorer, neg_multilabel_log_loss_scorer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def rows():
    """200 rows with three labels, the last of which occurs once."""
    X = np.random.default_rng(0).normal(size=(200, 6))
    return X, np.column_stack([X[:, 0] > 0, X[:, 1] > 0, np.arange(200) == 3]).astype(int)


def make_classifier(**params):
    """Return a classifier that stops early."""
    defaults = {"solver": "adamw", "early_stopping": True, "max_iter": 5, "random_state": 0}
    return QuadrantMultiLabelClassifier(**defaults | params)


def roc_auc_of_each(estimator, X, y):
    """Return the AUC of each label, NaN where there is none."""
    return roc_auc_score(y, estimator.decision_function(X), average=None)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("roc_auc", "'roc_auc'"),
        (["roc_auc", "accuracy"], r"\['roc_auc', 'accuracy'\]"),
        ({"mine": "roc_auc"}, r"\{'mine': 'roc_auc'\}"),
        (roc_auc_of_each, "<function roc_auc_of_each"),
        (make_scorer(roc_auc_score, response_method="decision_function"), "make_scorer"),
    ],
    ids=["name", "list", "dict", "one score a label", "scorer"],
)
@pytest.mark.parametrize(
    ("convert", "label"), [(np.asarray, "2"), (lambda Y: pd.DataFrame(Y, columns=[*"abc"]), "'c'")]
)
def test_a_score_of_nan_is_an_error_with_scorer_and_label(scoring, name, convert, label, rows):
    """It would count as no progress, and training would end at once. The estimator stays as it was."""
    model = make_classifier(scoring=scoring)
    before = vars(model).copy()
    with pytest.raises(
        ValueError, match=rf"scoring={name}.* is NaN on the 20 validation rows .* single class there, \[{label}\]"
    ):
        model.fit(rows[0], convert(rows[1]))
    assert vars(model) == before


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_score_that_is_only_recorded_may_be_nan(rows):
    """Early stopping uses the first of several scorers."""
    model = make_classifier(scoring=["f1_micro", "roc_auc"]).fit(*rows)
    assert np.isnan([row["valid_roc_auc"] for row in model.history_]).all()
    assert np.isfinite([row["valid_score"] for row in model.history_]).all()


def test_a_loss_that_is_not_finite_on_validation_rows_is_an_error(rows):
    """As it is on the rows that are trained on."""
    X, Y = rows
    far = np.where(np.arange(6) == 0, 1e5 * np.sign(X[:, [0]]), X)
    with pytest.raises(FloatingPointError, match="the loss of the validation rows of early_stopping became"):
        make_classifier(loss="exponential").fit(X, Y[:, :2], X_val=far, y_val=1 - Y[:, :2])


def test_the_class_of_a_single_label_is_named(rows):
    """For a 1-D y the label has no name."""
    with pytest.raises(
        ValueError, match=r"scoring='roc_auc' is NaN on the 20 validation rows .* class there, \['yes'\]"
    ):
        make_classifier(scoring="roc_auc").fit(rows[0], np.array(["no", "yes"])[rows[1][:, 2]])


@pytest.mark.parametrize("scorer", [multilabel_f1_scorer("micro"), neg_multilabel_log_loss_scorer], ids=repr)
def test_weights_of_labels_reach_scorers_of_this_package(scorer, rows):
    """The score that is recorded is that of the metric with the weights, for rows that were passed."""
    X, Y = rows[0], rows[1][:, :2]
    weight = np.random.default_rng(0).random(Y.shape)
    model = make_classifier(scoring=scorer, max_iter=1)
    model.fit(
        X[:150], Y[:150], sample_weight=weight[:150], X_val=X[150:], y_val=Y[150:], sample_weight_val=weight[150:]
    )
    expected = scorer(model, X[150:], Y[150:], sample_weight=weight[150:])
    assert model.history_[0]["valid_score"] == pytest.approx(expected)
    assert expected != pytest.approx(scorer(model, X[150:], Y[150:]))


def test_unknown_labels_are_scored_by_scorers_of_this_package(rows):
    """Those of scikit-learn do not take NaN, and the error says what to use."""
    X, Y = rows
    Y = np.where(np.random.default_rng(0).random(Y.shape) < 0.2, np.nan, Y)
    names = ["neg_multilabel_log_loss", "neg_expected_calibration_error"]
    model = make_classifier(missing_labels="ignore", scoring=names).fit(X, Y)
    assert np.isfinite([row[f"valid_{name}"] for row in model.history_ for name in names]).all()
    make_classifier(missing_labels="ignore", scoring=multilabel_f1_scorer("samples")).fit(X, Y)
    with pytest.raises(
        ValueError, match=r"scoring='f1_micro' does not take the unknown labels .*Use None.*multilabel_log"
    ):
        make_classifier(missing_labels="ignore", scoring="f1_micro").fit(X, Y)


def test_scorers_see_the_names_of_features(rows):
    """A scorer is called with the rows of X as they are, without a warning about their names."""
    X, Y = pd.DataFrame(rows[0], columns=[*"uvwxyz"]), rows[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_classifier(scoring="neg_hamming_loss", max_iter=100, learning_rate_init=0.1).fit(X, Y)


def test_weights_of_labels_in_training_are_no_weights_of_validation_rows(rows):
    """A scorer without weights of labels scores rows of its own, whatever weights are trained with."""
    X, Y = rows
    clf = make_classifier(scoring="f1_micro")
    with pytest.raises(ValueError, match="does not take sample_weight of shape"):
        clf.fit(X, Y, sample_weight=np.ones(Y.shape))
    assert clf.fit(X, Y, sample_weight=np.ones(Y.shape), X_val=X[:50], y_val=Y[:50]).history_
