"""The interface of solvers: problem, result, and the parameters that a solver does not support."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from sk_quadrant._model.architecture import Architecture, Layers
    from sk_quadrant._rows.parts import ShardedRows
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant._rows.validation import Division
    from sk_quadrant.losses import Loss

Score: TypeAlias = "Callable[[Any], dict[str, float]]"
Observe: TypeAlias = "Callable[[Callable[[], Any] | None], bool]"
Moments: TypeAlias = "list[dict[str, Any]]"


@dataclass(frozen=True)
class Problem:
    """Input of a solver: rows, loss, model and parameters of a fit.

    Attributes
    ----------
    rows : TrainingRows or ShardedRows
    loss : Loss
    architecture : Architecture
    device : torch.device
    start : list of (weight, intercept), torch.nn.Module or None
        Layers or module of the user to start from, None for the initial weights of the solver.
    moments : list of dict or None
        Moments of the optimizer from earlier training.
    seed : int
        Seed for initial weights, rows held out, and the order of rows.
    seed_is_free : bool
        Whether the user has set no `random_state`.
    score_on : callable or None
        Function of the indices of the rows held out, None for those of `validation`. It returns a function of layers,
        or a module of the user, whose results are scores by name.
    validation : TrainingRows, Division or None
        Validation rows of early stopping, or the split that gives them; None to draw them.
    module : torch.nn.Module, callable or None
        Module of the user, or a function of (n_features, n_labels) that returns it; None for the architecture.
    C : float or ndarray of shape (n_labels,)
        Inverse strength of the penalty.
    max_iter, tol, batch_size, learning_rate_init, learning_rate, warmup_fraction, mixup_alpha, early_stopping, \
    validation_fraction, n_iter_no_change, param_groups, micro_batch_size, callbacks, verbose
        Parameters of the estimator.
    observe : callable or None
        Called after each iteration or epoch with a function that returns copies of the layers, or a copy of the module
        of the user; with None where weights are not to be had. It returns whether to stop.
    """

    rows: TrainingRows | ShardedRows
    loss: Loss
    architecture: Architecture
    device: torch.device
    start: Any
    moments: Moments | None
    seed: int
    seed_is_free: bool
    score_on: Callable[[NDArray[np.intp] | None], Score] | None
    validation: TrainingRows | Division | None
    module: Any
    C: Any
    coef_threshold: float
    max_iter: int
    tol: float
    batch_size: int | str
    learning_rate_init: float
    learning_rate: str
    warmup_fraction: float
    mixup_alpha: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    param_groups: Sequence[tuple[str, dict[str, Any]]] | None
    micro_batch_size: int | None
    callbacks: Sequence[Any] | None
    verbose: int
    observe: Observe | None = None


PARAMETERS = (  # of the estimator, which a problem takes as they are
    "coef_threshold", "max_iter", "batch_size", "learning_rate_init", "learning_rate", "warmup_fraction", "mixup_alpha",
    "early_stopping", "validation_fraction", "n_iter_no_change", "param_groups", "micro_batch_size", "callbacks",
    "verbose",
)  # fmt: skip


@dataclass(frozen=True)
class FitResult:
    """Result of a solver.

    Attributes
    ----------
    net : skorch.NeuralNet or None
        The trained net, None to build it from the layers.
    layers : list of (weight, intercept)
        Dense or CSR weights (n_out, n_in) and intercepts (n_out,) of each layer; none for a module of the user.
    n_iter : int
        Number of iterations, or epochs for a mini-batch solver.
    loss_curve : list of float
        Objective per iteration, or training loss per epoch.
    history : list of dict
        A row for each iteration or epoch.
    converged, interrupted : bool
    moments : list of dict
        Moments of a mini-batch solver for each parameter as arrays; empty for a full-batch solver.
    frozen_parts : tuple of str
        Names of parts of a module of the user that training leaves in evaluation mode.
    """

    net: Any
    layers: Layers
    n_iter: int
    loss_curve: list[float]
    history: list[dict[str, Any]]
    converged: bool
    interrupted: bool
    moments: Moments = field(default_factory=list)
    frozen_parts: tuple[str, ...] = ()

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        if self.layers:
            weights: list[Any] = [getattr(w, "data", w) for layer in self.layers for w in layer]
            return all(np.isfinite(values).all() for values in weights)
        return all(bool(parameter.isfinite().all()) for parameter in self.net.module_.parameters())


@dataclass(frozen=True)
class Solver:
    """A training algorithm.

    Attributes
    ----------
    name : str
    solve : callable
        Function of a `Problem` that returns a `FitResult`. It raises a FloatingPointError if the loss becomes infinite
        or NaN, and a KeyboardInterrupt if the user interrupts the first iteration or epoch; a later interrupt returns
        the current weights.
    cannot : mapping of str to str
        Parameters and methods of the estimator that it does not support, with the reason.
    needs_sums_only : bool
        Whether it only needs sums over rows, so that rows can stay on disk or on a cluster.
    random : bool
        Whether its result depends on a seed.
    default_tol : float
        Value of ``tol="auto"``.
    """

    name: str
    solve: Callable[[Problem], FitResult]
    cannot: Mapping[str, str]
    needs_sums_only: bool = False
    random: bool = True
    default_tol: float = 1e-4
