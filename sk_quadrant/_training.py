"""Training: from a plan through a skorch net to an outcome in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping

from sk_quadrant._data import TrainingData
from sk_quadrant._lbfgs import LBFGS
from sk_quadrant._modules import LinearScores
from sk_quadrant._net import FullBatchNet, LossCriterion, MultiLabelNet
from sk_quadrant._solvers import Solver
from sk_quadrant.losses import Loss


@dataclass(frozen=True)
class Plan:
    """Everything a solver has to know about a fit.

    Attributes
    ----------
    data : TrainingData
    loss : Loss
    device : torch.device
    C : float
    fit_intercept : bool
    max_iter : int
    tol : float
    batch_size : int or "auto"
    learning_rate_init : float
    n_iter_no_change : int
    seed : int
        Of the order of rows.
    verbose : int
    warm_start : bool
        Whether to start from given weights.
    """

    data: TrainingData
    loss: Loss
    device: torch.device
    C: float
    fit_intercept: bool
    max_iter: int
    tol: float
    batch_size: int | str
    learning_rate_init: float
    n_iter_no_change: int
    seed: int
    verbose: int
    warm_start: bool = False

    @property
    def rows_per_batch(self) -> int:
        """Batch size as a number."""
        return min(200, len(self.data)) if isinstance(self.batch_size, str) else self.batch_size

    def module(self) -> LinearScores:
        """Return the untrained model."""
        n_features, n_labels = self.data.X.shape[1], self.data.targets.n_labels
        return LinearScores(n_features, n_labels, fit_intercept=self.fit_intercept, dtype=self.data.dtype)


@dataclass(frozen=True)
class Outcome:
    """What a training has given.

    Attributes
    ----------
    net : skorch.NeuralNet
    coef : ndarray of shape (n_labels, n_features)
    intercept : ndarray of shape (n_labels,)
    n_iter : int
        Iterations of the solver, epochs for a mini-batch one.
    loss_curve : list of float
        Objective per iteration, or training loss per epoch.
    converged, interrupted : bool
    optimizer_state : dict
        Moments of a mini-batch solver as plain arrays, empty for a full-batch one.
    """

    net: NeuralNet
    coef: NDArray[Any]
    intercept: NDArray[Any]
    n_iter: int
    loss_curve: list[float]
    converged: bool
    interrupted: bool
    optimizer_state: dict[str, Any] = field(default_factory=dict)


def train(
    solver: Solver,
    plan: Plan,
    *,
    start: tuple[NDArray[Any], NDArray[Any]] | None = None,
    optimizer_state: dict[str, Any] | None = None,
) -> Outcome:
    """Train as planned, from given weights if there are any.

    Raises
    ------
    FloatingPointError
        If the loss becomes infinite or NaN.
    """
    net = solver.build(plan)
    if start is not None:
        write_weights(net.module_, *start)
    if optimizer_state:
        net.optimizer_.load_state_dict(_map_leaves(optimizer_state, torch.as_tensor))
    interrupted = _run(net, plan.data)
    coef, intercept = read_weights(net.module_)
    return solver.outcome(net, coef, intercept, interrupted)


def _run(net: NeuralNet, data: TrainingData) -> bool:
    """Run the net's training loop and return whether the user stopped it."""
    net.notify("on_train_begin", X=data, y=None)
    interrupted = False
    try:
        net.fit_loop(data)
    except KeyboardInterrupt:  # also how skorch's EarlyStopping ends the loop
        interrupted = not _has_stopped(net)
    net.notify("on_train_end", X=data, y=None)
    return interrupted


def _has_stopped(net: NeuralNet) -> bool:
    return any(
        isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience for _, callback in net.callbacks_
    )


def build_full_batch(plan: Plan) -> NeuralNet:
    """Return the net that solves a linear model in one step."""
    return FullBatchNet(
        **_common(plan),
        C=plan.C,
        optimizer=LBFGS,
        lr=1.0,
        optimizer__tol=plan.tol,
        optimizer__max_iter=plan.max_iter,
        optimizer__warm_start=plan.warm_start,
        optimizer__verbose=plan.verbose,
        max_epochs=1,
        callbacks="disable",
    ).initialize()


def full_batch_outcome(net: NeuralNet, coef: Any, intercept: Any, interrupted: bool) -> Outcome:
    """Return the outcome of a full-batch training."""
    trace = net.optimizer_.trace
    return Outcome(net, coef, intercept, trace.n_iter, trace.values, trace.converged, interrupted or trace.interrupted)


def build_mini_batch(plan: Plan, optimizer: type[torch.optim.Optimizer], **options: Any) -> NeuralNet:
    """Return the net that trains by an optimizer on mini-batches."""
    plateau = EarlyStopping("train_loss", plan.n_iter_no_change, threshold=plan.tol, threshold_mode="abs", sink=_silent)
    return MultiLabelNet(
        **_common(plan),
        **{f"optimizer__{name}": value for name, value in options.items()},
        C=plan.C,
        seed=plan.seed,
        optimizer=optimizer,
        optimizer__weight_decay=0.0,  # decay decoupled from the gradient has another optimum than the objective
        optimizer__fused=plan.device.type in ("cpu", "cuda"),
        lr=plan.learning_rate_init,
        batch_size=plan.rows_per_batch,
        max_epochs=plan.max_iter,
        callbacks=[("finite", StopUnlessFinite()), ("plateau", plateau)],
    ).initialize()


def build_adamw(plan: Plan) -> NeuralNet:
    """Return the net that trains by AdamW."""
    return build_mini_batch(plan, torch.optim.AdamW)


def mini_batch_outcome(net: NeuralNet, coef: Any, intercept: Any, interrupted: bool) -> Outcome:
    """Return the outcome of training by epochs."""
    losses = list(net.history[:, "train_loss"]) if net.history else []
    converged = len(losses) < net.max_epochs or _has_stopped(net)
    state = _map_leaves(net.optimizer_.state_dict(), _as_array)
    return Outcome(net, coef, intercept, len(losses), losses, converged, interrupted, state)


def _common(plan: Plan) -> dict[str, Any]:
    """Return the parameters of a net that do not depend on the solver."""
    return {
        "module": plan.module(),
        "criterion": LossCriterion(plan.loss),
        "device": plan.device,
        "train_split": None,
        "predict_nonlinearity": None,
        "verbose": plan.verbose,
    }


def _silent(*_: Any, **__: Any) -> None:
    """Say nothing."""


class StopUnlessFinite(Callback):  # type: ignore[misc]
    """Raise as soon as an epoch's loss is not finite."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Look at the loss of the epoch."""
        loss = net.history[-1]["train_loss"]
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in epoch {len(net.history)}")


def read_weights(module: LinearScores) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return coef and intercept of a module as arrays of their own."""
    weight = module.weight.detach().cpu().numpy()
    bias = np.zeros(len(weight), weight.dtype) if module.bias is None else module.bias.detach().cpu().numpy().copy()
    return np.array(weight, order="C"), bias


@torch.no_grad()
def write_weights(module: LinearScores, coef: NDArray[Any], intercept: NDArray[Any]) -> None:
    """Put coef and intercept into a module."""
    module.weight.copy_(torch.as_tensor(coef))
    if module.bias is not None:
        module.bias.copy_(torch.as_tensor(intercept))


def net_of(loss: Loss, coef: NDArray[Any], intercept: NDArray[Any], *, fit_intercept: bool) -> NeuralNet:
    """Return an initialised net, as skorch has it, with given weights."""
    dtype = torch.float32 if coef.dtype == np.float32 else torch.float64
    module = LinearScores(coef.shape[1], coef.shape[0], fit_intercept=fit_intercept, dtype=dtype)
    net = MultiLabelNet(module, criterion=LossCriterion(loss), train_split=None, predict_nonlinearity=None, verbose=0)
    write_weights(net.initialize().module_, coef, intercept)
    return net


def _as_array(leaf: Any) -> Any:
    return leaf.detach().cpu().numpy().copy() if isinstance(leaf, torch.Tensor) else leaf


def _map_leaves(tree: Any, function: Any) -> Any:
    """Apply a function to the arrays or tensors of nested dicts and lists."""
    if isinstance(tree, dict):
        return {key: _map_leaves(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map_leaves(value, function) for value in tree)
    return function(tree) if isinstance(tree, np.ndarray | torch.Tensor) else tree
