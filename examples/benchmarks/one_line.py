"""
One line against tuned classifiers
==================================

``QuadrantMultiLabelClassifierCV(scoring=metric)`` with its defaults, against four classifiers of scikit-learn on the
same five folds, with the same values of C, or three of alpha for the network. For the F1 scores the penalty is the best
of ``TunedThresholdMultiLabelClassifierCV`` on held-out rows, with a threshold for each label for macro-F1 and a shared
one for micro-F1. For the log loss it is the best of a search, with ``CalibratedMultiLabelClassifierCV`` around
classifiers without probabilities. Times are of one thread. All figures are on the test part; a star marks the best.

    python examples/benchmarks/one_line.py                          # small sets, about an hour
    python examples/benchmarks/one_line.py --only emotions yeast
"""

import argparse
import os
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from time import process_time

import numpy as np
from data import read_real
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.metrics import get_scorer, multilabel_log_loss
from sk_quadrant.model_selection import MultilabelStratifiedKFold

SETS = ("emotions", "scene", "yeast", "birds", "cal500", "medical")
CS = np.logspace(-3, 2, 6)
PEERS = {
    "LogisticRegression": (OneVsRestClassifier(LogisticRegression(max_iter=1000)), "estimator__C", CS),
    "LinearSVC": (OneVsRestClassifier(LinearSVC(random_state=0)), "estimator__C", CS),
    "RidgeClassifier": (RidgeClassifier(), "alpha", 1 / CS),
    "MLPClassifier": (MLPClassifier(random_state=0), "alpha", [1e-4, 1e-2, 1.0]),
}
METRICS = ("f1_micro", "f1_macro", "neg_multilabel_log_loss")


def fit_one_line(metric, cv, X, Y):
    """Return the fitted classifier of one line."""
    return QuadrantMultiLabelClassifierCV(scoring=metric, cv=cv).fit(X, Y)


def fit_peer(name, metric, cv, X, Y):
    """Return a classifier of scikit-learn with the best penalty, and thresholds or calibration."""
    estimator, parameter, values = PEERS[name]
    candidates = [clone(estimator).set_params(**{parameter: value}) for value in values]
    if metric != "neg_multilabel_log_loss":
        scope = "label" if metric == "f1_macro" else "shared"
        tuned = (TunedThresholdMultiLabelClassifierCV(each, scoring=metric, scope=scope, cv=cv) for each in candidates)
        return max((model.fit(X, Y) for model in tuned), key=lambda model: model.best_score_)
    if not hasattr(estimator, "predict_proba"):
        estimator = CalibratedMultiLabelClassifierCV(estimator, ensemble=False)  # five folds of its own
        parameter = f"estimator__{parameter}"
    return GridSearchCV(estimator, {parameter: values}, scoring=get_scorer(metric), cv=cv).fit(X, Y)


def measure(model, metric, X, Y):
    """Return the metric on the test part, the log loss without its sign."""
    if metric == "neg_multilabel_log_loss":
        proba = np.asarray(model.predict_proba(X), dtype=np.float64)
        return multilabel_log_loss(Y, np.clip(proba, 1e-15, 1 - 1e-15))
    return f1_score(Y, model.predict(X), average=metric.removeprefix("f1_"), zero_division=0)


def compare(name, peers):
    """Print the lines of a data set."""
    data = read_real(name)
    folds = list(MultilabelStratifiedKFold(5, shuffle=True, random_state=0).split(data.X, data.Y))
    X, X_test = data.features("float64"), data.X_test.astype(np.float64)
    for metric in METRICS:
        found = {}
        for peer in ("one line", *peers):
            start = process_time()
            fit = fit_one_line if peer == "one line" else lambda *args, peer=peer: fit_peer(peer, *args)
            model = fit(metric, folds, X, data.Y)
            found[peer] = measure(model, metric, X_test, data.Y_test), process_time() - start
        sign = -1 if metric == "neg_multilabel_log_loss" else 1
        best = max(found, key=lambda peer: sign * found[peer][0])
        cells = [
            f"{'*' if peer == best else ' '}{value:.4f} {seconds:6.1f}s" for peer, (value, seconds) in found.items()
        ]
        print(f"{name:14} {metric.removeprefix('neg_multilabel_'):9}", *cells, sep="  ", flush=True)


def main():
    """Compare on all data sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--only", nargs="+", default=SETS, help="names of data sets")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'':26}", *(f"{peer:>15}" for peer in ("one line", *arguments.peers)), sep=" ")
    for name in arguments.only:
        compare(name, arguments.peers)


if __name__ == "__main__":
    main()
