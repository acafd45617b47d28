"""A C for each label, from the held-out losses of that label."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

from sk_quadrant import QuadrantMultiLabelClassifier, QuadrantMultiLabelClassifierCV

EXACT = QuadrantMultiLabelClassifier(tol=1e-8)


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
