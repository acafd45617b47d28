"""The table of solvers. Their code is imported when one is used, so that reading the table costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skorch import NeuralNet

    from sk_quadrant._training.plan import Outcome, Plan

TRAINING = "sk_quadrant._training.plan"


@dataclass(frozen=True)
class Solver:
    """A way to train.

    Attributes
    ----------
    stochastic : bool
        Whether it goes through the rows batch by batch, and so can learn from one batch alone.
    builder, reader : str
        Functions of the training module: Plan -> initialised net, and trained net -> Outcome.
    """

    stochastic: bool
    builder: str
    reader: str

    def build(self, plan: Plan) -> NeuralNet:
        """Return an initialised net that trains as planned."""
        return getattr(import_module(TRAINING), self.builder)(plan)

    def outcome(self, net: NeuralNet, finished: bool) -> Outcome:
        """Return what the training of a net has given, and whether it ended early on purpose."""
        outcome: Outcome = getattr(import_module(TRAINING), self.reader)(net, finished)
        return outcome


SOLVERS: dict[str, Solver] = {
    "lbfgs": Solver(stochastic=False, builder="build_full_batch", reader="full_batch_outcome"),
    "adamw": Solver(stochastic=True, builder="build_adamw", reader="mini_batch_outcome"),
    "sgd": Solver(stochastic=True, builder="build_sgd", reader="mini_batch_outcome"),
}
