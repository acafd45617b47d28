"""The study of losses and thresholds: who is chosen, what is measured, and the table that is kept."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import LOSSES

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "benchmarks" / "which_loss.py"
ADDED_LATER = {"squared_error", "hill", "negative_tolerant"}  # losses that are newer than the measurements
PEERS = {"LogisticRegression", "LinearSVC", "MLPClassifier"}


@pytest.fixture(scope="module")
def study():
    """Return the names of the script."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def table():
    """Return the means and spreads that are kept beside the script."""
    return pd.read_csv(SCRIPT.with_suffix(".csv"))


@pytest.fixture(scope="module")
def fold(study):
    """Return an outer fold of 150 simulated rows."""
    X, Y = make_multilabel_classification(150, 8, n_classes=4, n_labels=2, random_state=0)
    train, test = study["split"](Y, 3, 0)[0]
    return study["Fold"].of(X, Y, train, test, seed=0)


@pytest.mark.parametrize(("metric", "winner"), [("micro-F1", "b"), ("log loss", "a")])
def test_the_choice_goes_by_cross_validation_and_not_by_the_test_part(study, metric, winner):
    """The highest estimate, or the lowest of a loss, whatever the results are."""
    rows = {"set": "s", "metric": metric, "fold": [0, 0, 1, 1], "contestant": ["a", "b"] * 2}
    results = pd.DataFrame(rows | {"estimate": [0.4, 0.5, 0.4, 0.5], "result": [0.9, 0.1, 0.1, 0.9]})
    assert_array_equal(study["choose_among"](results)["contestant"], winner)


@pytest.mark.parametrize(("metric", "sign"), [("micro-F1", 1), ("log loss", -1)])
def test_a_lead_is_positive_where_ours_is_better(study, metric, sign):
    """Over the peer that is chosen, and over the one that turns out best."""
    contestants = {"ours": ("ours", 0.5, 0.6), "LinearSVC": ("peer", 0.4, 0.7), "MLPClassifier": ("peer", 0.3, 0.8)}
    rows = [
        {"set": "s", "metric": metric, "fold": k, "contestant": name, "kind": kind, "rule": "best"}
        | {"estimate": sign * estimate, "result": result}
        for k in range(3)
        for name, (kind, estimate, result) in contestants.items()
    ]
    (row,) = study["compare"](pd.DataFrame(rows)).to_dict("records")
    assert row["lead"] == pytest.approx(-0.1 if sign > 0 else 0.1)
    assert row["lead over it"] == pytest.approx(-0.2 if sign > 0 else 0.1)
    assert row["which"] == ("MLPClassifier" if sign > 0 else "LinearSVC")


@pytest.mark.slow
def test_a_contestant_is_measured_at_all_its_thresholds(study, fold):
    """At the natural one the result is scikit-learn's metric of the classifier's own predictions."""
    (contestant,) = (one for one in study["our_losses"]((0.1,), n_rows=150) if one.name == "asymmetric")
    rows = pd.DataFrame(study["results_of"](fold, contestant)).set_index(["metric", "rule"])
    model = QuadrantMultiLabelClassifier("asymmetric", C=0.1, tol=1e-3).fit(fold.X, fold.Y)
    expected = f1_score(fold.Y_test, model.predict(fold.X_test), average="macro")
    assert rows.loc[("macro-F1", "natural"), "result"] == pytest.approx(expected)
    assert set(rows.loc["macro-F1"].index) == {"natural", "bayes", "tuned", "best"}
    assert set(rows.loc["log loss"].index) == {"own", "calibrated", "best"}
    assert np.isfinite(rows["result"]).all()


def test_the_table_has_every_loss_and_peer_on_every_set(table):
    """Three folds of each: no spread is missing where there is a mean."""
    assert table["set"].nunique() >= 6
    for _, part in table.groupby("set"):
        assert (set(LOSSES) - ADDED_LATER) | PEERS <= set(part["contestant"])
    metrics = [column for column in table.columns if f"{column} sd" in table.columns]
    assert len(metrics) == 9
    for metric in metrics:
        assert_array_equal(table[metric].isna(), table[f"{metric} sd"].isna())
    assert_array_equal(table.loc[table["rule"] == "best", metrics].isna().to_numpy(), False)
