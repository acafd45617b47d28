"""The solvers. PyTorch and skorch are imported by the first fit, so that creating an estimator stays fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sk_quadrant._solvers.base import FitResult, Problem, Solver

LINEAR_ONLY = "which solves linear models only"
ONE_PENALTY = "whose penalty is the same for all labels"
ALL_WEIGHTS = "whose steps change the weights of all labels"
OWN_STEPS = "whose line search finds its own steps"


class LBFGS(Solver):
    """All rows at once, from zero, without randomness; see `full_batch`."""

    name = "lbfgs"
    cannot: ClassVar[Mapping[str, str]] = {
        "hidden_layer_sizes": LINEAR_ONLY,
        "module": LINEAR_ONLY,
        "residual": LINEAR_ONLY,
        "learning_rate": OWN_STEPS,
        "warmup_fraction": OWN_STEPS,
        "mixup_alpha": "which has no batches within which rows could be mixed, and needs the same objective in each "
        "step",
        "early_stopping": "which goes to the optimum of the penalised objective; choose C by cross-validation instead",
        "partial_fit": "which needs all rows at once",
    }
    needs_sums_only = True
    random = False
    default_tol = 5e-4  # 40 to 6000 times closer to the optimum than scikit-learn on all sets measured; 1e-3: 8 times

    def solve(self, problem: Problem) -> FitResult:
        """Return the solution; see `Solver.solve`."""
        from sk_quadrant._solvers.full_batch.net import solve

        return solve(problem)


class MiniBatchSolver(Solver):
    """Mini-batches, with an optimizer of PyTorch."""

    optimizer: ClassVar[str]  # in torch.optim
    options: ClassVar[Mapping[str, Any]] = {}
    cannot: ClassVar[Mapping[str, str]] = {"C": ONE_PENALTY, "coef_threshold": ALL_WEIGHTS}

    def solve(self, problem: Problem) -> FitResult:
        """Return the solution; see `Solver.solve`."""
        from torch import optim

        from sk_quadrant._solvers.mini_batch.fit import solve

        return solve(problem, getattr(optim, self.optimizer), **self.options)


class AdamW(MiniBatchSolver):
    """Adaptive steps."""

    name = "adamw"
    optimizer = "AdamW"


class SGD(MiniBatchSolver):
    """Nesterov momentum."""

    name = "sgd"
    optimizer = "SGD"
    options: ClassVar[Mapping[str, Any]] = {"momentum": 0.9, "nesterov": True}


SOLVERS: dict[str, Solver] = {solver.name: solver for solver in (LBFGS(), AdamW(), SGD())}


def solvers_that_can(name: str) -> list[str]:
    """Return the names of the solvers that support a parameter or method of the estimator."""
    return sorted(solver.name for solver in SOLVERS.values() if name not in solver.cannot)


def check_solver_can(solver: Solver, active: Mapping[str, Any]) -> None:
    """Raise a ValueError if a solver does not support one of the parameters, given with their values."""
    for name in active.keys() & solver.cannot.keys():
        raise ValueError(
            f"{name}={active[name]!r} is not possible with solver={solver.name!r}, {solver.cannot[name]}. Use one of "
            f"{solvers_that_can(name)}."
        )
