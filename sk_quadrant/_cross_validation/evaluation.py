"""Candidates and their scores on held-out rows.

Thresholds and calibration maps for a split are fitted to the held-out rows of the other splits.
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

Calibrate = Callable[[FloatArray], FloatArray]
MAX_PASSES = 10


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


@dataclass(frozen=True)
class ProbabilityMap:
    """Map from decision values to probabilities.

    Attributes
    ----------
    method : {"sigmoid", "temperature", "isotonic"} or None
        None takes the link of the loss.
    pooled : bool
        Whether all labels share one map.
    """

    method: str | None
    pooled: bool = False

    @property
    def name(self) -> str:
        """Name in results: "link", or the method, with "pooled_" before it for a single map."""
        return "link" if self.method is None else f"pooled_{self.method}" if self.pooled else self.method

    def fit(self, scores: HeldOutScores, without: int | None = None) -> CalibrationMap:
        """Return the map fitted to all splits except one."""
        rows, values = scores.pooled(without)
        calibration_set = CalibrationSet.of(values.astype(np.float64, copy=False), scores.data.targets, rows)
        return METHODS[str(self.method)](calibration_set.pooled() if self.pooled else calibration_set)

    def held_out(self, scores: HeldOutScores, link: Calibrate | None) -> Iterator[FloatArray]:
        """Yield the probabilities of the held-out rows of each split, by a map fitted to the other splits."""
        for k, values in enumerate(scores.values):
            if self.method is None:
                if link is None:
                    raise ValueError("link must be given where no map is fitted.")
                yield link(values)
            else:
                yield self.fit(scores, without=k).predict(values.astype(np.float64, copy=False))

    def log_losses(self, scores: HeldOutScores, link: Calibrate | None) -> list[float]:
        """Return the log loss of each split."""
        targets = scores.data.targets
        found = []
        for split, proba in zip(scores.splits, self.held_out(scores, link), strict=True):
            y = np.where(targets.known(split.test), targets.dense(split.test), np.nan)
            weight = None if targets.weight is None else targets.weight[split.test]
            inside = np.clip(proba.astype(np.float64), 1e-15, 1 - 1e-15)  # logarithms are finite
            found.append(float(multilabel_log_loss(y, inside, sample_weight=weight)))
        return found


AUTO_MAPS = (
    ProbabilityMap(None),
    ProbabilityMap("sigmoid", pooled=True),
    ProbabilityMap("sigmoid"),
    ProbabilityMap("isotonic", pooled=True),
)


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
    maps : tuple of ProbabilityMap
        Maps to choose from, by the log loss.
    """

    scorer: Any
    scoring: Any
    min_positives: int
    maps: tuple[ProbabilityMap, ...]

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
        probabilities = [None] * len(scores.splits) if chosen is None else chosen.held_out(scores, link)
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

    def choose_map(
        self, scores: HeldOutScores, link: Calibrate | None
    ) -> tuple[ProbabilityMap | None, dict[ProbabilityMap, float]]:
        """Return the map with the smallest log loss, None without probabilities, and the log losses of all maps."""
        possible = [each for each in self.maps if each.method is not None or link is not None]
        losses = {each: float(np.mean(each.log_losses(scores, link))) for each in possible}
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
