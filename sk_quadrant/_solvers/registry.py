"""The solvers. PyTorch and skorch are imported by the first fit, so that creating an estimator stays fast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sk_quadrant._solvers.base import FitResult, Problem, Solver

LINEAR_ONLY = "which solves linear models only"
OWN_STEPS = "whose line search finds its own steps"
NOT_IN_BATCHES = {
    "C": "whose penalty is the same for all labels",
    "coef_threshold": "whose steps change the weights of all labels",
}


def _full_batch(problem: Problem) -> FitResult:
    """Use all rows at once, from zero, without randomness; see `full_batch`."""
    from sk_quadrant._solvers.full_batch.fit import solve

    return solve(problem)


def _mini_batch(problem: Problem, *, optimizer: str, **options: Any) -> FitResult:
    """Use mini-batches, with an optimizer of PyTorch and its options; see `mini_batch`."""
    from torch import optim

    from sk_quadrant._solvers.mini_batch.fit import solve

    return solve(problem, getattr(optim, optimizer), **options)


LBFGS = Solver(
    "lbfgs",
    _full_batch,
    cannot={
        "hidden_layer_sizes": LINEAR_ONLY,
        "module": LINEAR_ONLY,
        "residual": LINEAR_ONLY,
        "learning_rate": OWN_STEPS,
        "warmup_fraction": OWN_STEPS,
        "mixup_alpha": "which has no batches within which rows could be mixed, and needs the same objective in each "
        "step",
        "early_stopping": "which goes to the optimum of the penalised objective; choose C by cross-validation instead",
        "partial_fit": "which needs all rows at once",
    },
    needs_sums_only=True,
    random=False,
    default_tol=5e-4,  # 40 to 6000 times closer to the optimum than scikit-learn on all sets measured; 1e-3: 8 times
)
ADAMW = Solver("adamw", partial(_mini_batch, optimizer="AdamW"), NOT_IN_BATCHES)
SGD = Solver("sgd", partial(_mini_batch, optimizer="SGD", momentum=0.9, nesterov=True), NOT_IN_BATCHES)

SOLVERS: dict[str, Solver] = {solver.name: solver for solver in (LBFGS, ADAMW, SGD)}


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
