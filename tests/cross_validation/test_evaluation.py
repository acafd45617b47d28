"""Thresholds, maps and C of labels on held-out scores: the best of all, with weights and unknown labels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

from sk_quadrant import CalibratedMultiLabelClassifierCV, QuadrantMultiLabelClassifier, QuadrantMultiLabelClassifierCV
from sk_quadrant.metrics import neg_multilabel_log_loss_scorer

CS = [0.001, 10.0]
LINEAR = QuadrantMultiLabelClassifier()
EXACT = QuadrantMultiLabelClassifier(tol=1e-8)


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
