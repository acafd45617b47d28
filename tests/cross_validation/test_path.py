"""The fits along C of every split are those of a search."""

import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, KFold

from sk_quadrant import QuadrantMultiLabelClassifier, QuadrantMultiLabelClassifierCV
from sk_quadrant.metrics import neg_multilabel_log_loss_scorer

LOSSES = ("bce_with_logits", "zlpr")
CS = [0.001, 10.0]
EXACT = QuadrantMultiLabelClassifier(tol=1e-8)


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
