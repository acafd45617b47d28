"""
One line against tuned classifiers
==================================

``QuadrantMultiLabelClassifierCV(scoring=metric)`` with its defaults, against four classifiers of scikit-learn on the
same five folds, with the same values of C, or three of alpha for the network. For the F1 scores the penalty is the best
of ``TunedThresholdMultiLabelClassifierCV`` on held-out rows, with a threshold for each label for macro-F1 and a shared
one for micro-F1. For the log loss it is the best of a search, with ``CalibratedMultiLabelClassifierCV`` around
classifiers without probabilities. Times are of one thread. All figures are on the test part.

    python examples/benchmarks/one_line.py                          # small sets, about an hour
    python examples/benchmarks/one_line.py --only emotions --splits 5
    python examples/benchmarks/one_line.py --only bibtex --rows 1000
    python examples/benchmarks/one_line.py --table                  # the table of one_line.csv, where results go
"""

import argparse
import csv
import os
import warnings
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from time import process_time

import numpy as np
from data import read_real
from scipy import sparse
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
METRIC_NAMES = {"f1_micro": "micro-F1", "f1_macro": "macro-F1", "log_loss": "log loss"}
RESULTS = Path(__file__).with_suffix(".csv")


def fit_one_line(metric, cv, X, Y):
    """Return the fitted classifier of one line."""
    return QuadrantMultiLabelClassifierCV(scoring=metric, cv=cv, random_state=0).fit(X, Y)


def fit(rival, metric, cv, X, Y):
    """Return the fitted classifier of a name."""
    return fit_one_line(metric, cv, X, Y) if rival == "one line" else fit_peer(rival, metric, cv, X, Y)


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


def splits_of(name, n_splits, n_rows):
    """Yield training and test parts: the stored ones, or parts of the same sizes drawn anew of all rows."""
    data = read_real(name)
    X, X_test = data.features("float64"), data.X_test.astype(np.float64)
    if n_splits == 0:
        kept = np.sort(np.random.default_rng(0).permutation(X.shape[0])[:n_rows])
        yield "stored", X[kept], data.Y[kept], X_test, data.Y_test
        return
    X_all = sparse.vstack([X, X_test]).tocsr() if sparse.issparse(X) else np.vstack([X, X_test])
    Y_all = np.vstack([data.Y, data.Y_test])
    for seed in range(n_splits):
        order = np.random.default_rng(seed).permutation(X_all.shape[0])
        train, test = order[: len(data.Y)][:n_rows], order[len(data.Y) :]
        yield str(seed), X_all[train], Y_all[train], X_all[test], Y_all[test]


def compare(name, rivals, n_splits, n_rows):
    """Yield the results of a data set."""
    for split, X, Y, X_test, Y_test in splits_of(name, n_splits, n_rows):
        folds = list(MultilabelStratifiedKFold(5, shuffle=True, random_state=0).split(X, Y))
        for metric in METRICS:
            for rival in rivals:
                start = process_time()
                model = (
                    fit_one_line(metric, folds, X, Y) if rival == "one line" else fit_peer(rival, metric, folds, X, Y)
                )
                seconds = process_time() - start
                short = metric.removeprefix("neg_multilabel_")
                yield [
                    name,
                    len(Y),
                    split,
                    short,
                    rival,
                    f"{measure(model, metric, X_test, Y_test):.5f}",
                    f"{seconds:.1f}",
                ]


def read_results(path):
    """Return the latest value of each set, number of rows, metric, classifier and split."""
    found = {}
    with path.open() as lines:
        for name, n_rows, split, metric, rival, value, _ in csv.reader(lines):
            found.setdefault((name, int(n_rows), split != "stored", metric), {}).setdefault(rival, {})[split] = float(
                value
            )
    return found


def write_table(path):
    """Print the results as a table of reStructuredText: the best of a line is bold, +- is the standard error."""
    print(".. list-table::\n   :header-rows: 1\n   :stub-columns: 1\n   :class: figures\n")
    rivals = ("one line", *PEERS)
    for row in [["", "one fit", *(f"``{name}``" for name in PEERS)], *table_rows(read_results(path), rivals)]:
        print("\n".join(f"   {'* -' if k == 0 else '  -'} {cell}".rstrip() for k, cell in enumerate(row)))


def table_rows(found, rivals):
    """Yield the cells of each line."""
    for (name, n_rows, is_drawn, metric), values in found.items():
        digits, best = (4, min) if metric == "log_loss" else (3, max)
        means = {
            rival: round(float(np.mean(list(values[rival].values()))), digits) for rival in rivals if rival in values
        }
        cells = []
        for rival in rivals:
            each = list(values.get(rival, {}).values())
            text = "\N{EN DASH}" if not each else f"{means[rival]:.{digits}f}".lstrip("0")
            text = f"**{text}**" if each and means[rival] == best(means.values()) else text
            error = np.std(each, ddof=1) / len(each) ** 0.5 if len(each) > 1 else None
            cells.append(text if error is None else f"{text} ± {error:.{digits}f}".replace("± 0.", "± ."))
        note = f", {len(next(iter(values.values())))} splits" if is_drawn else ""
        yield [f"{name} ({n_rows} rows{note}), {METRIC_NAMES[metric]}", *cells]


def main():
    """Compare on all data sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--only", nargs="+", default=SETS, help="names of data sets")
    parser.add_argument("--rivals", nargs="+", default=["one line", *PEERS], choices=["one line", *PEERS])
    parser.add_argument("--splits", type=int, default=0, help="splits drawn of all rows; 0 takes the stored one")
    parser.add_argument("--rows", type=int, help="largest number of training rows")
    parser.add_argument("--table", action="store_true", help="print the table of results that were measured")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(RESULTS)
        return
    warnings.simplefilter("ignore")
    for name in arguments.only:
        for row in compare(name, arguments.rivals, arguments.splits, arguments.rows):
            print(*row, flush=True)
            with RESULTS.open("a") as file:
                csv.writer(file, lineterminator="\n").writerow(row)


if __name__ == "__main__":
    main()
