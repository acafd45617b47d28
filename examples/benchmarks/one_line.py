"""
One line against tuned classifiers
==================================

``QuadrantMultiLabelClassifierCV(scoring=metric)`` with its defaults, against four classifiers of scikit-learn that are
tuned with the same effort:

- The same rows, the same five folds, and the same choices after training: the threshold of the classifier, one tuned
  for all labels or one per label, and for the log loss the same four maps from scores to probabilities. All are fitted
  and compared on held-out scores as `QuadrantMultiLabelClassifierCV` does it; its own classes do this for all.
- As many candidates as the line has fits per fold, 44 on small dense data and 33 elsewhere: values of C (alpha) with
  and without ``class_weight="balanced"``, and for the network alpha, hidden units and epochs with a step.
- Training time: a classifier of scikit-learn that is slower tries its candidates, the usual values first, until it has
  used as much CPU time as one fit of the line, and at least three. The number tried is a column of the results.

Large sets are drawn smaller, see `SETS`, and then have the most frequent labels with at least ten positives. Times are
CPU seconds of one thread for one metric. All figures are on the test part.

    python examples/benchmarks/one_line.py                          # all sets, about two hours
    python examples/benchmarks/one_line.py --only emotions --splits stored 0 1
    python examples/benchmarks/one_line.py --table                  # the table of one_line.csv, where results go
"""

import argparse
import csv
import os
import warnings
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from time import process_time

import numpy as np
from data import read_real
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_score
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

SETS = {  # largest numbers of training rows and of labels, None for all
    "emotions": (None, None),
    "medical": (None, None),
    "birds": (None, None),
    "cal500": (335, 60),
    "yeast": (800, 14),
    "scene": (400, 6),
    "uspto_sections_2021w01": (1000, 8),
    "ewaste_patents": (700, 40),
    "reuters21578": (1000, 50),
    "delicious": (400, 30),
    "bibtex": (400, 30),
}
METRICS = ("f1_micro", "f1_macro", "neg_multilabel_log_loss")
METRIC_NAMES = {"f1_micro": "micro-F1", "f1_macro": "macro-F1", "log_loss": "log loss"}
RESULTS = Path(__file__).with_suffix(".csv")
COLUMNS = ("set", "rows", "labels", "split", "metric", "classifier", "value", "seconds", "candidates")
LEAST_POSITIVES = 10
LEAST_CANDIDATES = 3

CS = [1.0, 0.1, 10.0, 0.01, 100.0, 0.001]  # from the middle outwards
PENALTIES = [
    *product(CS, [None, "balanced"]),
    *product(np.logspace(-2.5, 1.5, 5), [None, "balanced"]),
    *product(np.logspace(-2.75, 2.25, 11), [None, "balanced"]),
]
NETWORKS = list(
    product([(100,), (200,), (50,)], [(50, 1e-2), (200, 1e-3)], [1e-4, 1.0, 10.0, 1e-2, 0.1, 3.0, 30.0, 0.3])
)


def one_vs_rest(estimator, **params):
    """Return the estimator with parameters, one for each label."""
    return OneVsRestClassifier(estimator.set_params(**params))


PEERS = {
    "LogisticRegression": [
        one_vs_rest(LogisticRegression(max_iter=1000), C=C, class_weight=weight) for C, weight in PENALTIES
    ],
    "LinearSVC": [one_vs_rest(LinearSVC(random_state=0), C=C, class_weight=weight) for C, weight in PENALTIES],
    "RidgeClassifier": [one_vs_rest(RidgeClassifier(), alpha=1 / C, class_weight=weight) for C, weight in PENALTIES],
    "MLPClassifier": [
        MLPClassifier(sizes, alpha=alpha, max_iter=n_epochs, learning_rate_init=step, random_state=0)
        for sizes, (n_epochs, step), alpha in NETWORKS
    ],
}


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose scores are its features, to tune thresholds and calibrate on given scores."""

    def fit(self, X, y):
        """Remember the number of labels."""
        self.classes_ = np.arange(y.shape[1])
        return self

    def decision_function(self, X):
        """Return the features."""
        return X

    def predict(self, X):
        """Return where scores are positive."""
        return (X > 0).astype(int)

    def predict_proba(self, X):
        """Return the logistic function of the scores."""
        return expit(X)


@dataclass
class Part:
    """Training and test rows of a split, with folds of the training rows."""

    X: Any
    Y: Any
    X_test: Any
    Y_test: Any

    def __post_init__(self):
        self.folds = list(MultilabelStratifiedKFold(5, shuffle=True, random_state=0).split(self.X, self.Y))


def fit_one_line(metric, part):
    """Return the fitted classifier of one line."""
    return QuadrantMultiLabelClassifierCV(scoring=metric, cv=part.folds, random_state=0).fit(part.X, part.Y)


def n_fits_per_fold(model):
    """Return the number of fits of each fold of a fitted `QuadrantMultiLabelClassifierCV`."""
    params = model.cv_results_["params"]
    return len({(each.get("estimator"), each["loss"], each["C"]) for each in params if each["C"] != "label"})


def scores_after_training(candidate, X, Y, X_new):
    """Return scores of new rows; labels that are constant in training have the lowest or highest of all."""
    if isinstance(candidate, MLPClassifier):  # faster in single precision
        X, X_new = X.astype(np.float32), X_new.astype(np.float32)
    model = clone(candidate).fit(X, Y)
    if hasattr(model, "decision_function"):
        scores = model.decision_function(X_new)
    else:
        scores = logit(np.clip(model.predict_proba(X_new), 1e-7, 1 - 1e-7))
    never, always = Y.max(axis=0) == 0, Y.min(axis=0) == 1
    varied = scores[:, ~(never | always)]
    return np.where(never, varied.min() - 1, np.where(always, varied.max() + 1, scores))


def held_out_scores(candidate, part):
    """Return scores of all training rows, each from the classifier that was trained on the other folds."""
    scores = np.empty(part.Y.shape)
    for train, test in part.folds:
        scores[test] = scores_after_training(candidate, part.X[train], part.Y[train], part.X[test])
    return scores


def try_candidates(name, part, n_candidates, seconds):
    """Return the held-out scores of the candidates that are tried, and the seconds of training."""
    start, found = process_time(), []
    for candidate in PEERS[name][:n_candidates]:
        if len(found) >= LEAST_CANDIDATES and process_time() - start >= seconds:
            break
        found.append(held_out_scores(candidate, part))
    return found, process_time() - start


def makers_of(name, metric, scores, Y):
    """Return what may follow training: thresholds, or maps from scores to probabilities."""
    given = FrozenEstimator(Scores().fit(scores, Y))
    if metric != "neg_multilabel_log_loss":
        scopes = ("shared", "label")
        return [given, *(TunedThresholdMultiLabelClassifierCV(given, scoring=metric, scope=scope) for scope in scopes)]
    maps = [("sigmoid", "pooled"), ("sigmoid", "label"), ("isotonic", "pooled")]
    calibrated = [CalibratedMultiLabelClassifierCV(given, method=method, scope=scope) for method, scope in maps]
    return [given, *calibrated] if name in ("LogisticRegression", "MLPClassifier") else calibrated


def choose(name, metric, part, tried):
    """Return the index of the best candidate, and the best of what may follow, fitted to its held-out scores."""
    best = (-np.inf, None, None)
    for i, scores in enumerate(tried):
        for maker in makers_of(name, metric, scores, part.Y):
            value = cross_val_score(maker, scores, part.Y, cv=part.folds, scoring=get_scorer(metric)).mean()
            best = max(best, (value, i, maker), key=lambda each: each[0])
    _, i, maker = best
    return i, maker.fit(tried[i], part.Y)


def measure(model, metric, X, Y):
    """Return the metric on the test part, the log loss without its sign."""
    if metric == "neg_multilabel_log_loss":
        proba = np.asarray(model.predict_proba(X), dtype=np.float64)
        return multilabel_log_loss(Y, np.clip(proba, 1e-15, 1 - 1e-15))
    return f1_score(Y, model.predict(X), average=metric.removeprefix("f1_"), zero_division=0)


def measure_one_line(part):
    """Return (metric, value, seconds, candidates) of the one line."""
    found = []
    for metric in METRICS:
        start = process_time()
        model = fit_one_line(metric, part)
        seconds = process_time() - start
        found.append((metric, measure(model, metric, part.X_test, part.Y_test), seconds, n_fits_per_fold(model)))
    return found


def measure_peer(name, part, n_candidates, seconds):
    """Yield (metric, value, seconds, candidates) of a classifier of scikit-learn; metrics share its fits."""
    tried, spent = try_candidates(name, part, n_candidates, seconds)
    for metric in METRICS:
        start = process_time()
        i, maker = choose(name, metric, part, tried)
        scores = scores_after_training(PEERS[name][i], part.X, part.Y, part.X_test)
        yield metric, measure(maker, metric, scores, part.Y_test), spent + process_time() - start, len(tried)


def splits_of(name, names):
    """Yield the split of each name: "stored", or the seed of one drawn of all rows with parts of the same sizes."""
    data, (n_rows, n_labels) = read_real(name), SETS[name]
    X, X_test = data.features("float64"), data.X_test.astype(np.float64)
    X_all = sparse.vstack([X, X_test]).tocsr() if sparse.issparse(X) else np.vstack([X, X_test])
    Y_all, n_train = np.vstack([data.Y, data.Y_test]), len(data.Y)
    for split in names:
        if split == "stored":
            drawn = np.random.default_rng(0).permutation(n_train)
            train, test = np.sort(drawn[:n_rows]), np.arange(n_train, len(Y_all))
        else:
            order = np.random.default_rng(int(split)).permutation(len(Y_all))
            train, test = order[:n_train][:n_rows], order[n_train:]
        labels = frequent_labels(Y_all[train], n_labels) if n_rows else slice(None)
        yield split, Part(X_all[train], Y_all[train][:, labels], X_all[test], Y_all[test][:, labels])


def frequent_labels(Y, n_labels):
    """Return the most frequent labels that have enough positives."""
    n_positives = Y.sum(axis=0)
    labels = np.argsort(-n_positives, kind="stable")[:n_labels]
    return np.sort(labels[n_positives[labels] >= LEAST_POSITIVES])


def compare(name, splits):
    """Yield the results of a data set."""
    for split, part in splits_of(name, splits):
        ours = measure_one_line(part)
        of_peers = ((peer, measure_peer(peer, part, ours[0][3], max(each[2] for each in ours))) for peer in PEERS)
        for classifier, found in [("one line", ours), *of_peers]:
            for metric, value, seconds, n_candidates in found:
                short = metric.removeprefix("neg_multilabel_")
                numbers = f"{value:.5f}", f"{seconds:.1f}", n_candidates
                yield [name, *part.Y.shape, split, short, classifier, *numbers]


def read_results(path):
    """Return the latest value of each set, rows, labels and metric, classifier and split."""
    found = {}
    with path.open() as lines:
        for row in csv.DictReader(lines):
            key = row["set"], int(row["rows"]), int(row["labels"]), row["metric"]
            found.setdefault(key, {}).setdefault(row["classifier"], {})[row["split"]] = float(row["value"])
    return found


def write_table(path):
    """Print the results as a table of reStructuredText: the best of a line is bold, +- is the standard error."""
    print(".. list-table::\n   :header-rows: 1\n   :stub-columns: 1\n   :class: figures\n")
    for row in [["", "one fit", *(f"``{name}``" for name in PEERS), "ahead by"], *table_rows(read_results(path))]:
        print("\n".join(f"   {'* -' if k == 0 else '  -'} {cell}".rstrip() for k, cell in enumerate(row)))


def table_rows(found):
    """Yield the cells of each line."""
    for (name, n_rows, n_labels, metric), values in found.items():
        digits, sign = (4, -1) if metric == "log_loss" else (3, 1)
        splits = sorted(set.intersection(*(set(each) for each in values.values())))
        each = {rival: np.array([values[rival][split] for split in splits]) for rival in ("one line", *PEERS)}
        means = {rival: round(float(of_splits.mean()), digits) for rival, of_splits in each.items()}
        best = max(means.values(), key=lambda mean: sign * mean)
        cells = [f"{mean:.{digits}f}".lstrip("0") for mean in means.values()]
        cells = [f"**{cell}**" if mean == best else cell for cell, mean in zip(cells, means.values(), strict=True)]
        ahead = sign * (each["one line"] - each[max(PEERS, key=lambda peer: sign * each[peer].mean())])
        cells.append(with_error(ahead, digits))
        size = f"{n_rows} rows, {n_labels} labels" + (f", {len(splits)} splits" if len(splits) > 1 else "")
        yield [f"{name} ({size}), {METRIC_NAMES[metric]}", *cells]


def with_error(values, digits):
    """Return the mean with its sign and standard error, as text."""
    text = f"{values.mean():+.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}"
    return text.replace("0.", ".")


def append_result(row):
    """Write a result to the file of results."""
    is_new = not RESULTS.exists()
    with RESULTS.open("a") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, row] if is_new else [row])


def main():
    """Compare on all data sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS), help="names of data sets")
    parser.add_argument("--splits", nargs="+", default=["stored"], help="'stored', or seeds of splits of all rows")
    parser.add_argument("--table", action="store_true", help="print the table of results that were measured")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(RESULTS)
        return
    warnings.simplefilter("ignore")
    for name in arguments.only:
        for row in compare(name, arguments.splits):
            print(*row, flush=True)
            append_result(row)


if __name__ == "__main__":
    main()
