"""Paths of fits along C, from the strongest penalty to the weakest, each starting at the solution before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from sk_quadrant._arrays import FloatArray
from sk_quadrant.losses import LOSSES

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
    given_loss : str or Loss
    name : str
        Name of the estimator in results, empty if there is one only.
    """

    estimator: Any
    given_loss: Any
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name}, loss={self.given_loss}" if self.name else f"loss={self.given_loss}"

    @property
    def loss(self) -> Any:
        """The loss as an object."""
        return LOSSES[self.given_loss]() if isinstance(self.given_loss, str) else self.given_loss

    @property
    def link(self) -> Callable[[FloatArray], FloatArray] | None:
        """Map from scores to probabilities, None where there is none."""
        return None if self.loss.link is None else self.loss.link.inverse

    def classifier(self, **parameters: Any) -> Any:
        """Return a new classifier with the loss, and further parameters."""
        return clone(self.estimator).set_params(loss=self.given_loss, **parameters)


def fit_path(
    start: Start, Cs: Sequence[float], data: FitData, split: Split, steps: Sequence[Any], *, prints: bool
) -> list[tuple[FloatArray, FloatArray, float]]:
    """Return the held-out scores, the thresholds and the seconds of the fits of a split, in the order of `Cs`.

    Parameters
    ----------
    start : Start
    Cs : sequence of float
        In ascending order.
    data : FitData
    split : Split
    steps : sequence of PartOfFit or None
        Reports of each fit to callbacks.
    prints : bool
        Whether to print a line for each fit.
    """
    classifier = start.classifier()
    part = data.part(classifier, split.train)
    points = []
    for C, step in zip(Cs, steps, strict=True):
        began = perf_counter()
        part.fit(classifier.set_params(C=C), step=step)
        seconds = perf_counter() - began
        values = data.respond(classifier, split, "decision_function").values
        scores = scores_of_loss(classifier, values, data.encoding)
        points.append((scores, classifier.model_.score_threshold, seconds))
        if start.estimator.solver == "lbfgs":  # a mini-batch solver would continue its training
            classifier.set_params(warm_start=True)
        if prints:
            print(f"[{type(classifier).__name__}] {start}, C={C:g}: fitted in {seconds:.2f} s", flush=True)
    return points


def scores_of_loss(classifier: Any, values: FloatArray, encoding: Encoding) -> FloatArray:
    """Return scores of the loss, given decision values, from which two classes have the threshold subtracted."""
    return values + classifier.model_.score_threshold if encoding.exclusive else values
