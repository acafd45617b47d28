"""Candidates and their scores: what is compared, and which one is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from sk_quadrant._arrays import FloatArray
from sk_quadrant._cross_validation.evaluation import (
    Calibrate,
    HeldOutScores,
    ProbabilityMap,
    ThresholdSearch,
    score_responses,
)

AUTO_MAPS = (
    ProbabilityMap(None),
    ProbabilityMap("sigmoid", pooled=True),
    ProbabilityMap("sigmoid"),
    ProbabilityMap("isotonic", pooled=True),
)


@dataclass(frozen=True)
class Candidate:
    """A loss, a C and a kind of thresholds, with their scores.

    Attributes
    ----------
    loss : str or Loss
    C : float or ndarray of shape (n_labels,)
    thresholds : {"natural", "shared", "label"}
    scores : HeldOutScores
    test_scores : list of float
        For each split.
    fit_seconds : list of float
        For each split.
    """

    loss: Any
    C: Any
    thresholds: str
    scores: HeldOutScores
    test_scores: list[float]
    fit_seconds: list[float]

    @property
    def params(self) -> dict[str, Any]:
        """What distinguishes the candidate."""
        return {"loss": self.loss, "C": "label" if np.ndim(self.C) else self.C, "thresholds": self.thresholds}


@dataclass(frozen=True)
class Judge:
    """What scores candidates.

    Attributes
    ----------
    scorer : callable
    search : ThresholdSearch or None
        None for a scorer of probabilities or decision values.
    maps : tuple of ProbabilityMap
        From which the one of the smallest log loss is taken.
    weight : ndarray or None
        Weights of rows.
    """

    scorer: Any
    search: ThresholdSearch | None
    maps: tuple[ProbabilityMap, ...]
    weight: FloatArray | None

    def test_scores(self, scores: HeldOutScores, thresholds: str, link: Calibrate | None) -> list[float]:
        """Return the score of each split."""
        if self.search is not None:
            return self.search.test_scores(scores, thresholds)
        chosen, _ = self.choose_map(scores, link)
        proba = None if chosen is None else list(chosen.held_out(scores, link))
        return score_responses(self.scorer, scores, proba, self.weight)

    def choose_map(
        self, scores: HeldOutScores, link: Calibrate | None
    ) -> tuple[ProbabilityMap | None, dict[ProbabilityMap, float]]:
        """Return the map of the smallest log loss, None where there are no probabilities, and all log losses."""
        possible = [each for each in self.maps if each.method is not None or link is not None]
        losses = {each: float(np.mean(each.log_losses(scores, link))) for each in possible}
        return (min(losses, key=losses.__getitem__) if losses else None), losses


def results_of(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return what is known of the candidates as columns, with the names of GridSearchCV."""
    test = np.array([candidate.test_scores for candidate in candidates])
    seconds = np.array([candidate.fit_seconds for candidate in candidates])
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
