"""
Every loss on real multi-label data, against scikit-learn's classifiers
=======================================================================

Nested cross-validation with three outer folds. On the training part of each, inner cross-validation chooses C and the
rule that turns scores into decisions (natural, Bayes or tuned thresholds) or probabilities (link of the loss, or a
calibration map). The test part is used once, for the choice. Peers are chosen in the same way, on the same folds.
"ours" also chooses the loss, for each metric.

    python examples/benchmarks/which_loss.py results.csv --quick                   # three small sets, a minute or two
    python examples/benchmarks/which_loss.py results.csv --full                    # ten sets, hours on one core
    python examples/benchmarks/which_loss.py results.csv --sets emotions medical
    python examples/benchmarks/which_loss.py results.csv --table                   # print the table of the file
    python examples/benchmarks/which_loss.py results.csv --bibtex                  # P@k on its published split

Folds in the file are not computed again. which_loss.csv in this folder has means and standard deviations of six sets;
--summary writes it. To finish in hours, ewaste_patents is a random subset of its rows. Above 2500 rows, our solver
stops at a tolerance of .01 and, for the hinge, after 20 iterations per stage; MLPClassifier stops after 50 epochs or,
above 4000 rows, by validation, and our networks after 50 or 20.

The data are not part of the package. Set the environment variable SK_QUADRANT_DATA to their folder.
"""

import argparse
import gzip
import json
import os
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.losses import LOSSES
from sk_quadrant.metrics import expected_calibration_error, multilabel_log_loss, precision_at_k_score

SMALL = ["emotions", "birds", "medical"]
FULL = [
    "emotions",
    "birds",
    "medical",
    "cal500",
    "yeast",
    "scene",
    "uspto_sections_2021w01",
    "ewaste_patents",
    "bibtex",
    "reuters21578",
]
N_OUTER, N_INNER = 3, 3
MANY_ROWS = 2500
ROWS = {"ewaste_patents": 2600}  # rows of a random subset
NEAR_ONE = 1 - 1e-12  # its log-odds are finite


def data_folder():
    """Return the folder of the data sets."""
    repository = Path(__file__).resolve().parent.parent.parent
    return Path(os.environ.get("SK_QUADRANT_DATA", repository.parent / "shared" / "data"))


def read_set(name):
    """Return all rows of a set: X as texts, an array or a CSR matrix, and Y."""
    folder = data_folder() / name
    if not folder.is_dir():
        raise SystemExit(f"No data at {folder}: set SK_QUADRANT_DATA to the folder that holds {name}.")
    if (folder / "train.jsonl.gz").exists():
        return _read_texts(folder)
    Y = sparse.vstack([sparse.load_npz(folder / f"Y_{part}.npz") for part in ("train", "test")])
    if (folder / "X_train.npy").exists():
        X = np.vstack([np.load(folder / f"X_{part}.npy") for part in ("train", "test")])
    else:
        X = sparse.vstack([sparse.load_npz(folder / f"X_{part}.npz") for part in ("train", "test")]).tocsr()
    return X, Y.toarray().astype(np.int64)


def _read_texts(folder):
    labels = json.loads((folder / "meta.json").read_text())["labels"]
    column = {label: j for j, label in enumerate(labels)}
    rows = []
    for part in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(part, "rt") as lines:
            rows += [json.loads(line) for line in lines]
    Y = np.zeros((len(rows), len(labels)), dtype=np.int64)
    for i, row in enumerate(rows):
        Y[i, [column[label] for label in row["labels"]]] = 1
    return np.array([row["text"] for row in rows], dtype=object), Y


def thin(X, Y, n_rows):
    """Return n_rows random rows, or all if there are fewer or n_rows is None."""
    if n_rows is None or len(Y) <= n_rows:
        return X, Y
    rows = np.sort(np.random.default_rng(0).choice(len(Y), n_rows, replace=False))
    return X[rows], Y[rows]


def make_features(X, train, test):
    """Return the features of both parts, with TF-IDF of texts or standardisation fitted on the first."""
    if X.dtype == object:
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=10_000)
        return vectorizer.fit_transform(X[train]), vectorizer.transform(X[test])
    if sparse.issparse(X):
        return X[train].astype(np.float32), X[test].astype(np.float32)
    scaler = StandardScaler().fit(X[train].astype(np.float64))
    return scaler.transform(X[train].astype(np.float64)), scaler.transform(X[test].astype(np.float64))


def split(Y, n_splits, seed):
    """Return folds stratified by the rarest label of each row."""
    count = Y.sum(axis=0)
    rarest = np.where(Y.any(axis=1), np.where(Y == 1, count, np.inf).argmin(axis=1), -1)
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels with fewer positives than folds
        return list(folds.split(np.zeros(len(Y)), rarest))


@dataclass(frozen=True)
class Contestant:
    """Classifier and candidate values of C.

    Attributes
    ----------
    name : str
    kind : {"ours", "peer"}
    values : tuple of float
        Candidate values of C.
    make : callable
        C -> classifier.
    cuts : dict of {str: float}
        Score thresholds by the name of the rule, "natural" or "bayes".
    probabilities : callable or None
        Scores -> probabilities, None if scores have no link.
    """

    name: str
    kind: str
    values: tuple[float, ...]
    make: Callable
    cuts: dict
    probabilities: Callable | None

    def scores(self, value, X, Y, X_new):
        """Train and return the scores of new rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unconverged classifiers are evaluated as they are
            model = self.make(value).fit(X, Y)
        if hasattr(model, "predict_proba") and self.kind == "peer":
            return logit(np.clip(model.predict_proba(X_new), 1 - NEAR_ONE, NEAR_ONE))
        scores = np.asarray(model.decision_function(X_new), dtype=np.float64)
        if self.kind == "peer":
            scores[:, ~Y.any(axis=0)] = scores.min() - 1  # it returns 0 for a label without positives
        return scores


def our_losses(values, *, n_rows):
    """Return the linear model with each loss of the package."""
    return [_ours(name, values, many_rows=n_rows > MANY_ROWS) for name in LOSSES]


def _ours(name, values, *, many_rows=False, **options):
    loss = LOSSES[name]()
    cuts = {"natural": loss.threshold}
    if loss.bayes_threshold is not None:
        cuts["bayes"] = loss.bayes_threshold
    if name == "hinge":
        options["max_iter"] = 20 if many_rows else 50  # for each of six stages: within about .5% of the optimum
    return Contestant(
        name=name,
        kind="ours",
        values=values,
        make=lambda C: QuadrantMultiLabelClassifier(name, C=C, tol=1e-2 if many_rows else 1e-3, **options),
        cuts=cuts,
        probabilities=None if loss.link is None else loss.link.inverse,
    )


def our_networks(*, dense, n_rows):
    """Return networks of the width of MLPClassifier, for few dense columns or many sparse ones.

    MLPClassifier divides its penalty by the rows of a batch, not of the data: with 2000 rows in batches of 200, alpha
    has the effect of 10 alpha. On sparse texts 20 epochs fit the training part, or 50 for few rows.
    """
    values = (0.003, 0.01, 0.03, 0.1) if dense else (0.3, 1.0, 3.0, 10.0)
    options = {
        "solver": "adamw",
        "hidden_layer_sizes": (100,),
        "learning_rate_init": 1e-3,
        "max_iter": 200 if dense else 20 if n_rows > 4000 else 50,
        "random_state": 0,
    }
    networks = [_ours(name, values, **options) for name in ("bce_with_logits", "zlpr", "asymmetric")]
    return [replace(network, name=f"{network.name}, network") for network in networks]


def peers(values, *, n_rows):
    """Return scikit-learn's classifiers; alpha of the network is 1 / C.

    The network stops by the subset accuracy of a validation part, which is near 0 for ewaste_patents: a fixed number of
    epochs is used there.
    """
    budget = {"early_stopping": True} if n_rows > 4000 else {"max_iter": 50} if n_rows > MANY_ROWS else {}
    makers = {
        "LogisticRegression": lambda C: OneVsRestClassifier(LogisticRegression(C=C, max_iter=1000)),
        "LinearSVC": lambda C: OneVsRestClassifier(LinearSVC(C=C)),
        "MLPClassifier": lambda C: MLPClassifier(alpha=1 / C, random_state=0, **budget),
    }
    cuts = {"natural": 0.0, "bayes": 0.0}
    return [
        Contestant(name, "peer", values, make, cuts, None if name == "LinearSVC" else expit)
        for name, make in makers.items()
    ]


class GivenScores(ClassifierMixin, BaseEstimator):
    """Fitted classifier that returns its features as scores."""

    def fit(self, X, y):
        """Do nothing."""
        return self

    def __sklearn_is_fitted__(self):
        """Return True: there is nothing to fit."""
        return True

    @property
    def classes_(self):
        """Classes of each label."""
        return np.array([0, 1])

    def decision_function(self, X):
        """Return the features."""
        return X


@dataclass(frozen=True)
class Tuned:
    """Thresholds tuned for a metric."""

    scoring: str
    scope: str

    def learn(self, scores, Y):
        """Return a function: scores -> decisions."""
        model = TunedThresholdMultiLabelClassifierCV(
            GivenScores(), scoring=self.scoring, scope=self.scope, cv="prefit", refit=False, max_passes=3
        )
        cuts = model.fit(scores, Y).best_threshold_
        return lambda new: new > cuts


@dataclass(frozen=True)
class Calibrated:
    """Probabilities by a calibration map."""

    method: str
    scope: str

    def learn(self, scores, Y):
        """Return a function: scores -> probabilities."""
        model = CalibratedMultiLabelClassifierCV(FrozenEstimator(GivenScores()), method=self.method, scope=self.scope)
        return model.fit(scores, Y).predict_proba


@dataclass(frozen=True)
class Fixed:
    """Rule without parameters to learn."""

    function: Callable

    def learn(self, scores, Y):
        """Return the function itself."""
        return self.function


@dataclass(frozen=True)
class Metric:
    """Metric of decisions, probabilities or an order; higher is better."""

    name: str
    kind: str
    value: Callable
    scoring: str = ""

    def rules(self, contestant):
        """Return {(group, name): rule} of a contestant; results are reported by group."""
        if self.kind == "decisions":
            fixed = {(name, name): Fixed(lambda s, cut=cut: s > cut) for name, cut in contestant.cuts.items()}
            return fixed | {("tuned", scope): Tuned(self.scoring, scope) for scope in ("label", "shared")}
        maps = {
            ("calibrated", "Platt, label"): Calibrated("sigmoid", "label"),
            ("calibrated", "Platt, pooled"): Calibrated("sigmoid", "pooled"),
        }
        if self.kind == "order":
            return {
                ("scores", "scores"): Fixed(lambda s: s),
                ("calibrated", "Platt, label"): maps["calibrated", "Platt, label"],
            }
        maps["calibrated", "isotonic, pooled"] = Calibrated("isotonic", "pooled")
        own = contestant.probabilities
        return maps if own is None else {("own", "own"): Fixed(own)} | maps


def _precision_at(k):
    return lambda Y, order: precision_at_k_score(Y, order, k=min(k, Y.shape[1]))


def _calibration(Y, proba):
    return -expected_calibration_error(Y, proba, average="micro")


METRICS = [
    Metric("micro-F1", "decisions", lambda Y, P: f1_score(Y, P, average="micro", zero_division=0), "f1_micro"),
    Metric("macro-F1", "decisions", lambda Y, P: f1_score(Y, P, average="macro", zero_division=0), "f1_macro"),
    Metric("subset accuracy", "decisions", accuracy_score, "accuracy"),
    Metric("Hamming loss", "decisions", lambda Y, P: -hamming_loss(Y, P), "neg_hamming_loss"),
    Metric("P@1", "order", _precision_at(1)),
    Metric("P@3", "order", _precision_at(3)),
    Metric("P@5", "order", _precision_at(5)),
    Metric("log loss", "probabilities", lambda Y, P: -multilabel_log_loss(Y, P)),
    Metric("calibration error", "probabilities", _calibration),
]
LOWER_IS_BETTER = {"Hamming loss", "log loss", "calibration error"}


@dataclass(frozen=True)
class Fold:
    """Training and test part of an outer fold, and inner folds of the training part."""

    X: object
    Y: np.ndarray
    X_test: object
    Y_test: np.ndarray
    inner: list

    @classmethod
    def of(cls, X, Y, train, test, *, seed):
        """Prepare the features and split the training part."""
        X_train, X_test = make_features(X, train, test)
        return cls(X_train, Y[train], X_test, Y[test], split(Y[train], N_INNER, seed))


class Scored:
    """Scores of a contestant with one value of C, and results of rules."""

    def __init__(self, fold, contestant, value):
        self.fold, self.contestant, self.value = fold, contestant, value
        self._kept = {}
        self.held_out = np.empty(fold.Y.shape)
        for rest, part in fold.inner:
            self.held_out[part] = contestant.scores(value, fold.X[rest], fold.Y[rest], fold.X[part])

    @cached_property
    def test(self):
        """Scores of the test part, after training on the whole training part."""
        return self.contestant.scores(self.value, self.fold.X, self.fold.Y, self.fold.X_test)

    def estimate(self, metric, rule):
        """Return the metric on the training part: on each inner fold the rule learned from the others."""
        order = np.concatenate([part for _, part in self.fold.inner])
        return metric.value(self.fold.Y[order], self._crossed(rule))

    def _crossed(self, rule):
        if rule in self._kept:
            return self._kept[rule]
        held_out, Y = self.held_out, self.fold.Y
        outputs = [rule.learn(held_out[rest], Y[rest])(held_out[part]) for rest, part in self.fold.inner]
        crossed = np.concatenate(outputs)
        if isinstance(rule, Calibrated):  # used by several metrics
            self._kept[rule] = crossed
        return crossed

    def result(self, metric, rule):
        """Return the metric on the test part, by the rule learned from the training part."""
        return metric.value(self.fold.Y_test, rule.learn(self.held_out, self.fold.Y)(self.test))


def choose(candidates, metric):
    """Return the result of the candidate with the best cross-validation estimate, as a row of the file."""
    estimate, scored, (_, name), rule = max(candidates, key=lambda candidate: candidate[0])
    return {
        "metric": metric.name,
        "C": scored.value,
        "chosen_rule": name,
        "estimate": abs(estimate),
        "result": abs(scored.result(metric, rule)),
    }


def candidates_of(scored, metric):
    """Return (estimate, scored contestant, key of the rule, rule) for all values of C and rules."""
    return [
        (one.estimate(metric, rule), one, key, rule)
        for one in scored
        for key, rule in metric.rules(one.contestant).items()
    ]


def results_of(fold, contestant):
    """Return the results of a contestant on a fold, a row for each metric and group of rules."""
    scored = [Scored(fold, contestant, value) for value in contestant.values]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels without positives in a fold
        for metric in METRICS:
            candidates = candidates_of(scored, metric)
            groups = {group: [one for one in candidates if one[2][0] == group] for _, _, (group, _), _ in candidates}
            for group, members in (groups | {"best": candidates}).items():
                who = {"contestant": contestant.name, "kind": contestant.kind, "rule": group}
                rows.append(who | choose(members, metric))
    return rows


def contestants_for(X, Y, *, networks):
    """Return all contestants; standardised features need smaller C than binary words and TF-IDF."""
    dense = X.dtype != object and not sparse.issparse(X)
    values = (0.01, 0.1, 1.0, 10.0) if dense else (0.1, 1.0, 10.0, 100.0)
    nets = our_networks(dense=dense, n_rows=len(Y)) if networks else []
    return our_losses(values, n_rows=len(Y)) + nets + peers(values, n_rows=len(Y))


def run(names, path, *, networks=True):
    """Add missing results to the file, for each set, outer fold and contestant."""
    done = set()
    if path.exists():
        done = set(pd.read_csv(path)[["set", "fold", "contestant"]].itertuples(index=False, name=None))
    for name in names:
        X, Y = thin(*read_set(name), ROWS.get(name))
        for k, (train, test) in enumerate(split(Y, N_OUTER, 0)):
            fold = Fold.of(X, Y, train, test, seed=k)
            for contestant in contestants_for(X, Y, networks=networks):
                if (name, k, contestant.name) not in done:
                    run_one(name, k, fold, contestant, path)


def run_bibtex():
    """Print P@1, P@3 and P@5 on rows 4881 to 7395 of bibtex, with C and rule chosen on the first 4880.

    This is the split of the Extreme Classification Repository, which gives 62.62, 39.09 and 28.79 for 1-vs-All and
    65.08, 39.64 and 28.87 for SLEEC. http://manikvarma.org/downloads/XC/XMLRepository.html
    """
    X, Y = read_set("bibtex")
    rows = np.arange(len(Y))
    fold = Fold.of(X, Y, rows[:4880], rows[4880:], seed=0)
    chosen = {"bce_with_logits", "asymmetric", "zlpr", "LogisticRegression"}
    for contestant in contestants_for(X, Y, networks=False):
        if contestant.name in chosen:
            scored = [Scored(fold, contestant, value) for value in (0.1, 1.0)]
            for metric in METRICS:
                if metric.kind == "order":
                    print(contestant.name, choose(candidates_of(scored, metric), metric), flush=True)


def run_one(name, k, fold, contestant, path):
    """Add the results of a contestant on a fold to the file."""
    start = process_time()
    rows = pd.DataFrame(results_of(fold, contestant))
    rows.insert(0, "set", name)
    rows.insert(1, "fold", k)
    rows.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.6g")
    print(f"{name}, fold {k}, {contestant.name}: {process_time() - start:.0f} s CPU", flush=True)


def choose_among(results):
    """Return the row with the best cross-validation estimate for each set, metric and fold."""
    results = results.reset_index(drop=True)
    goodness = results["estimate"].where(~results["metric"].isin(LOWER_IS_BETTER), -results["estimate"])
    return results.loc[goodness.groupby([results[key] for key in ("set", "metric", "fold")], sort=False).idxmax()]


def compare(results):
    """Return our result on each set and metric, and our lead over two peers, positive if ours is better.

    Loss, C and rule of ours are chosen by cross-validation. The first peer is chosen in the same way. The second is the
    peer with the best mean on the test parts, known only in hindsight.
    """
    best = results[results["rule"] == "best"]
    peers = best[best["kind"] == "peer"]
    ours, rivals = choose_among(best[best["kind"] == "ours"]), choose_among(peers)
    rows = []
    for (name, metric), part in peers.groupby(["set", "metric"], sort=False):
        sign = -1 if metric in LOWER_IS_BETTER else 1
        own, rival = (_by_fold(each[(each["set"] == name) & (each["metric"] == metric)]) for each in (ours, rivals))
        winner = (sign * part.groupby("contestant")["result"].mean()).idxmax()
        hindsight = _by_fold(part[part["contestant"] == winner])
        lead, lead_best = (sign * (own["result"] - each["result"]) for each in (rival, hindsight))
        rows.append(
            {
                "set": name,
                "metric": metric,
                "ours": own["result"].mean(),
                "sd": own["result"].std(),
                "chosen peer": rival["result"].mean(),
                "lead": lead.mean(),
                "sd of lead": lead.std(),
                "best peer": hindsight["result"].mean(),
                "lead over it": lead_best.mean(),
                "its sd": lead_best.std(),
                "which": winner,
                "chosen": " / ".join(own["contestant"].value_counts().index),
            }
        )
    return pd.DataFrame(rows)


def _by_fold(rows):
    return rows.set_index("fold").sort_index()


def summarize(results):
    """Return means and standard deviations over folds, a row for each set, contestant and rule."""
    best = results[results["rule"] == "best"]
    kinds = {"ours": "ours, chosen", "peer": "peers, chosen"}
    chosen = [choose_among(best[best["kind"] == kind]).assign(contestant=name) for kind, name in kinds.items()]
    every = pd.concat([results, *chosen])
    index = ["set", "kind", "contestant", "rule"]
    table = every.pivot_table(index=index, columns="metric", values="result", aggfunc=["mean", "std"], sort=False)
    columns = {("mean", metric.name): metric.name for metric in METRICS}
    columns |= {("std", metric.name): f"{metric.name} sd" for metric in METRICS}
    table = table[list(columns)]
    table.columns = list(columns.values())
    return table.reset_index()


def main():
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="CSV file; results are appended")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_const", const=SMALL, dest="sets", help=" ".join(SMALL))
    what.add_argument("--full", action="store_const", const=FULL, dest="sets", help=" ".join(FULL))
    what.add_argument("--sets", nargs="+", choices=FULL, help="these sets")
    what.add_argument("--table", action="store_const", const=[], dest="sets", help="only print the table of the file")
    what.add_argument("--bibtex", action="store_true", help="only P@k of bibtex on its published split")
    parser.add_argument("--summary", type=Path, help="CSV file for means and standard deviations over folds")
    parser.add_argument("--linear-only", action="store_true", help="without our networks")
    options = parser.parse_args()
    if options.bibtex:
        run_bibtex()
    else:
        run(SMALL if options.sets is None else options.sets, options.results, networks=not options.linear_only)
        report(pd.read_csv(options.results), options.summary)


def report(results, path):
    """Print the comparison with peers; write means and standard deviations to a path, if given."""
    if path is not None:
        summarize(results).to_csv(path, index=False, float_format="%.4f")
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_columns", None):
        print(compare(results).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
