"""Candidates and their scores on held-out rows.

Thresholds, calibration maps and a C for each label are chosen for a split on the held-out rows of the other splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata
from sklearn.utils import _safe_indexing

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant._calibration.calibration_set import CalibrationSet
from sk_quadrant._calibration.calibrators import METHODS, CalibrationMap
from sk_quadrant._targets.weights import check_sample_weight
from sk_quadrant._thresholds.held_out import constant_as_infinite, fixed_thresholds
from sk_quadrant._thresholds.rules import Rule
from sk_quadrant._thresholds.scoring import GivenResponses
from sk_quadrant._thresholds.search import tune_thresholds
from sk_quadrant.metrics import multilabel_log_loss

if TYPE_CHECKING:
    from sk_quadrant._cross_validation.path import Start
    from sk_quadrant._meta_estimator import FitData, Split
    from sk_quadrant.losses import LabelwiseLoss

Calibrate = Callable[[FloatArray], FloatArray]
MAX_PASSES = 10
LINK = "link"  # of the loss, instead of a fitted map
AUTO_MAPS = (LINK, "pooled_sigmoid", "sigmoid", "pooled_isotonic")


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of one loss and C for the held-out rows of all splits.

    Attributes
    ----------
    data : FitData
    splits : list of Split
    C : float or ndarray of shape (n_labels,)
    values : list of ndarray of shape (n_held_out, n_labels)
        Scores of each split.
    natural : list of ndarray of shape (n_labels,)
        Thresholds of the classifier of each split.
    seconds : list of float
        Time of the fit of each split.
    """

    data: FitData
    splits: list[Split]
    C: Any
    values: list[FloatArray]
    natural: list[FloatArray]
    seconds: list[float]

    def pooled(self, without: int | None = None) -> tuple[IndexArray, FloatArray]:
        """Return rows and scores of all splits, or of all except one."""
        kept = [k for k in range(len(self.splits)) if k != without]
        return np.concatenate([self.splits[k].test for k in kept]), np.concatenate([self.values[k] for k in kept])

    def decided(self) -> HeldOutScores:
        """Return scores that are infinite where a label has one class only in the training rows of a split."""
        pairs = zip(self.values, self.splits, strict=True)
        values = [constant_as_infinite(scores, self.data, split) for scores, split in pairs]
        return replace(self, values=values)


def choose_per_label(scores: Sequence[HeldOutScores], loss: LabelwiseLoss) -> HeldOutScores:
    """Return held-out scores with a C for each label.

    The C for the scores of a split are chosen on all other splits, `C` of the result on all splits.

    Parameters
    ----------
    scores : sequence of HeldOutScores
        For each C, in ascending order; ties take the smallest.
    loss : LabelwiseLoss
    """
    of_splits = np.array([label_losses(each, loss) for each in scores])  # (n_Cs, n_splits, n_labels)
    total = of_splits.sum(axis=1)
    values, first = [], scores[0]
    for k in range(len(first.splits)):
        # the losses on all other splits
        best = np.argmin(total - of_splits[:, k], axis=0)
        values.append(np.column_stack([scores[C].values[k][:, label] for label, C in enumerate(best)]))
    C = np.array([each.C for each in scores], dtype=np.float64)[np.argmin(total, axis=0)]
    return replace(first, values=values, C=C, seconds=np.sum([each.seconds for each in scores], axis=0).tolist())


def label_losses(scores: HeldOutScores, loss: LabelwiseLoss) -> FloatArray:
    """Return the weighted sum of the loss over the known held-out rows of each split and label."""
    import torch

    targets, sums = scores.data.targets, []
    for split, values in zip(scores.splits, scores.values, strict=True):
        pair = (torch.from_numpy(np.asarray(each, dtype=np.float64)) for each in (values, targets.dense(split.test)))
        losses = loss.per_label(*pair).numpy() * targets.known(split.test)
        weight = None if targets.weight is None else targets.weight[split.test]
        sums.append((losses if weight is None else (losses.T * weight.T).T).sum(axis=0))
    return np.array(sums)


def fit_map(name: str, scores: HeldOutScores, without: int | None = None) -> CalibrationMap:
    """Return the map from decision values to probabilities, fitted to all splits except one.

    Its name is a method of calibration, with "pooled_" before it if all labels share one map.
    """
    rows, values = scores.pooled(without)
    calibration_set = CalibrationSet.of(values.astype(np.float64, copy=False), scores.data.targets, rows)
    method = name.removeprefix("pooled_")
    return METHODS[method](calibration_set if method == name else calibration_set.pooled())


def held_out_probabilities(name: str, scores: HeldOutScores, link: Calibrate | None) -> Iterator[FloatArray]:
    """Yield the probabilities of the held-out rows of each split, by the link or a map fitted to the other splits."""
    for k, values in enumerate(scores.values):
        if name != LINK:
            yield fit_map(name, scores, without=k).predict(values.astype(np.float64, copy=False))
        elif link is not None:
            yield link(values)


def log_losses(name: str, scores: HeldOutScores, link: Calibrate | None) -> list[float]:
    """Return the log loss of the probabilities of each split."""
    targets, found = scores.data.targets, []
    for split, proba in zip(scores.splits, held_out_probabilities(name, scores, link), strict=True):
        y = np.where(targets.known(split.test), targets.dense(split.test), np.nan)
        weight = None if targets.weight is None else targets.weight[split.test]
        inside = np.clip(proba.astype(np.float64), 1e-15, 1 - 1e-15)  # logarithms are finite
        found.append(float(multilabel_log_loss(y, inside, sample_weight=weight)))
    return found


@dataclass(frozen=True)
class Candidate:
    """A classifier, a loss, a C and a kind of thresholds, with their scores.

    Attributes
    ----------
    start : Start
        Classifier and loss.
    scores : HeldOutScores
        With C.
    thresholds : {"natural", "shared", "label"}
    test_scores : list of float
        One for each split.
    """

    start: Start
    scores: HeldOutScores
    thresholds: str
    test_scores: list[float]

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the candidate, as in `cv_results_`."""
        name, C = self.start.name, self.scores.C
        of_all = {"loss": self.start.given_loss, "C": "label" if np.ndim(C) else C, "thresholds": self.thresholds}
        return {"estimator": name, **of_all} if name else of_all


@dataclass(frozen=True)
class CandidateScorer:
    """Scores of candidates: metric, search of thresholds and calibration maps.

    Attributes
    ----------
    scorer : callable
    scoring : Scoring or None
        Metric to tune thresholds for, None for a scorer of probabilities or decision values.
    min_positives : int
        See `tune_thresholds`.
    maps : tuple of str
        Names of maps to choose from, by the log loss; see `fit_map`. LINK is the link of the loss.
    """

    scorer: Any
    scoring: Any
    min_positives: int
    maps: tuple[str, ...]

    def tune(self, scores: HeldOutScores, kind: str, without: int | None = None) -> FloatArray:
        """Return thresholds of a kind, "label" or "shared", tuned on decided scores of all splits except one."""
        rows, values = scores.pooled(without)
        objective, held_out = self.scoring.hold_out(scores.data, rows, values, Rule())
        thresholds, _ = tune_thresholds(
            objective,
            held_out,
            fixed=fixed_thresholds(scores.data, scores.splits),
            shared=kind == "shared",
            min_positives=self.min_positives,
            max_passes=MAX_PASSES,
        )
        return thresholds

    def test_scores(self, scores: HeldOutScores, thresholds: str, link: Calibrate | None) -> list[float]:
        """Return the score of each split, with thresholds and maps from the other splits."""
        if self.scoring is None:
            return self._scores_of_responses(scores, link)
        found, scores = [], scores if thresholds == "natural" else scores.decided()
        for k, split in enumerate(scores.splits):
            chosen = scores.natural[k] if thresholds == "natural" else self.tune(scores, thresholds, without=k)
            objective, held_out = self.scoring.hold_out(scores.data, split.test, scores.values[k], Rule())
            found.append(objective.value(held_out, chosen))
        return found

    def _scores_of_responses(self, scores: HeldOutScores, link: Calibrate | None) -> list[float]:
        data, weight = scores.data, scores.data.targets.weight
        chosen, _ = self.choose_map(scores, link)
        probabilities = [None] * len(scores.splits) if chosen is None else held_out_probabilities(chosen, scores, link)
        found = []
        for split, values, proba in zip(scores.splits, scores.values, probabilities, strict=True):
            given = GivenResponses(data.encoding, scores=values, proba=proba)
            X, y = _safe_indexing(data.X, split.test), _safe_indexing(data.y, split.test)
            options = {}
            if weight is not None:
                n_rows, n_labels = values.shape
                options["sample_weight"] = check_sample_weight(weight[split.test], n_rows, n_labels)
            found.append(float(self.scorer(given, X, y, **options)))
        return found

    def choose_map(self, scores: HeldOutScores, link: Calibrate | None) -> tuple[str | None, dict[str, float]]:
        """Return the map with the smallest log loss, None without probabilities, and the log losses of all maps."""
        possible = [name for name in self.maps if name != LINK or link is not None]
        losses = {name: float(np.mean(log_losses(name, scores, link))) for name in possible}
        return (min(losses, key=losses.__getitem__) if losses else None), losses


def results_of(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return the results of the candidates as columns, with the names of GridSearchCV."""
    test = np.array([candidate.test_scores for candidate in candidates])
    seconds = np.array([candidate.scores.seconds for candidate in candidates])
    params = [candidate.params for candidate in candidates]
    columns = {f"param_{name}": np.array([each[name] for each in params], dtype=object) for name in params[0]}
    splits = {f"split{k}_test_score": test[:, k] for k in range(test.shape[1])}
    mean = test.mean(axis=1)
    rank = rankdata(-np.where(np.isfinite(mean), mean, -np.inf), method="min").astype(np.int32)
    return {
        "mean_fit_time": seconds.mean(axis=1),
        "std_fit_time": seconds.std(axis=1),
        **columns,
        "params": params,
        **splits,
        "mean_test_score": mean,
        "std_test_score": test.std(axis=1),
        "rank_test_score": rank,
    }
