"""Paths of fits along C, from the strongest penalty to the weakest, each starting at the solution before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from sk_quadrant._arrays import FloatArray

if TYPE_CHECKING:
    from sk_quadrant._meta_estimator import FitData, Split
    from sk_quadrant._targets.encodings import Encoding


@dataclass(frozen=True)
class Start:
    """A classifier and a loss to fit along C.

    Attributes
    ----------
    estimator : QuadrantMultiLabelClassifier
        Classifier with all other parameters; it is cloned.
    loss : str or Loss
    name : str
        Name of the estimator in results, empty if there is one only.
    """

    estimator: Any
    loss: Any
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name}, loss={self.loss}" if self.name else f"loss={self.loss}"


@dataclass(frozen=True)
class PathPoint:
    """Result of a fit of one split and one C.

    Attributes
    ----------
    scores : ndarray of shape (n_held_out, n_labels)
        Scores of the loss for the held-out rows of the split.
    natural : ndarray of shape (n_labels,)
        The thresholds of the fitted classifier, as scores.
    seconds : float
        Time of the fit.
    """

    scores: FloatArray
    natural: FloatArray
    seconds: float


def fit_path(
    origin: Start, Cs: Sequence[float], data: FitData, split: Split, steps: Sequence[Any], *, prints: bool
) -> list[PathPoint]:
    """Return the results of the fits of a split, in the order of ascending `Cs`.

    Parameters
    ----------
    origin : Start
    Cs : sequence of float
    data : FitData
    split : Split
    steps : sequence of PartOfFit or None
        Reports of each fit to callbacks.
    prints : bool
        Whether to print a line for each fit.
    """
    classifier = clone(origin.estimator).set_params(loss=origin.loss)
    part = data.part(classifier, split.train)
    points = []
    for C, step in zip(Cs, steps, strict=True):
        start = perf_counter()
        classifier.set_params(C=C)
        data.fit_part(classifier, part, split.train, step=step)
        seconds = perf_counter() - start
        values = data.respond(classifier, split, "decision_function").values
        scores = scores_of_loss(classifier, values, data.encoding)
        points.append(PathPoint(scores, classifier.model_.score_threshold, seconds))
        if starts_warm(origin.estimator):
            classifier.set_params(warm_start=True)
        if prints:
            name = f"{origin.name}, " if origin.name else ""
            print(
                f"[{type(origin.estimator).__name__}] {name}loss={origin.loss}, C={C:g}: fitted in {seconds:.2f} s",
                flush=True,
            )
    return points


def starts_warm(estimator: Any) -> bool:
    """Whether a fit may start at the solution before; a mini-batch solver would continue its training."""
    return bool(estimator.solver == "lbfgs")


def scores_of_loss(classifier: Any, values: FloatArray, encoding: Encoding) -> FloatArray:
    """Return scores of the loss, given decision values, from which two classes have the threshold subtracted."""
    return values + classifier.model_.score_threshold if encoding.exclusive else values
