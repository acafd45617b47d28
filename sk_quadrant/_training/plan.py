"""Training: from a plan through a skorch net to an outcome in plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping

from sk_quadrant._full_batch.lbfgs import LBFGS
from sk_quadrant._inputs.data import SparseRows, TrainingData, as_tensor
from sk_quadrant._partitioned.partitions import Partitions
from sk_quadrant._training import forks  # noqa: F401
from sk_quadrant._training.modules import Layers, initial_layers, model_of, read_layers, write_layers
from sk_quadrant._training.monitoring import (
    HeldOutScore,
    Patience,
    ProgressLine,
    Score,
    StopUnlessFinite,
    TrainingFinished,
    epoch_row,
)
from sk_quadrant._training.net import FullBatchNet, LossCriterion, MultiLabelNet
from sk_quadrant._training.schedule import Schedule
from sk_quadrant._training.solvers import Solver
from sk_quadrant._training.steps import read_moments, write_moments
from sk_quadrant.losses import Loss


@dataclass(frozen=True)
class Architecture:
    """What a model looks like, apart from its sizes at both ends.

    Attributes
    ----------
    hidden_layer_sizes : tuple of int
    activation : str
    residual, fit_intercept : bool
    """

    hidden_layer_sizes: tuple[int, ...]
    activation: str
    residual: bool
    fit_intercept: bool

    def build(self, n_features: int, n_labels: int, dtype: torch.dtype, *, feature_major: bool = True) -> Any:
        """Return the untrained model."""
        return model_of(
            (n_features, *self.hidden_layer_sizes, n_labels), activation=self.activation, residual=self.residual,
            fit_intercept=self.fit_intercept, dtype=dtype, feature_major=feature_major,
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Everything a solver has to know about a fit.

    Attributes
    ----------
    data : TrainingData or Partitions
    loss : Loss
    architecture : Architecture
    device : torch.device
    seed : int
        Of the first weights, the rows held out, and the order of rows.
    seed_is_free : bool
        Whether the user has left the seed to chance.
    warm_start : bool
        Whether to start from given weights.
    score : callable or None
        Scores on the rows held out (see `HeldOutScore`).
    C, max_iter, tol, batch_size, learning_rate_init, learning_rate, warmup_fraction, mixup_alpha, early_stopping, \
    validation_fraction, n_iter_no_change, callbacks, verbose
        Parameters of the estimator.
    """

    data: TrainingData | Partitions
    loss: Loss
    architecture: Architecture
    device: torch.device
    seed: int
    seed_is_free: bool
    warm_start: bool
    score: Score | None
    C: float
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
    callbacks: Sequence[Any] | None
    verbose: int

    @property
    def rows_per_batch(self) -> int:
        """Batch size as a number."""
        return min(200, len(self.data)) if isinstance(self.batch_size, str) else self.batch_size

    def module(self, *, feature_major: bool) -> Any:
        """Return the model with the weights it starts with, unless others are given."""
        n_features, n_labels = self.data.n_features, self.data.n_labels
        module = self.architecture.build(n_features, n_labels, self.data.dtype, feature_major=feature_major)
        if self.architecture.hidden_layer_sizes:  # a linear model is built with zeros, which is where it starts
            sizes = (n_features, *self.architecture.hidden_layer_sizes, n_labels)
            intercept, dtype = self.architecture.fit_intercept, self.data.array_dtype
            write_layers(module, initial_layers(sizes, fit_intercept=intercept, dtype=dtype, seed=self.seed))
        return module

    def monitors(self) -> list[Any]:
        """Return the callbacks of a training by epochs, the user's among them."""
        score = [] if self.score is None else [HeldOutScore(self.score)]
        lines = [ProgressLine()] if self.verbose else []
        return [StopUnlessFinite(), *score, *lines, *(self.callbacks or []), *self._patience()]

    def _patience(self) -> list[Patience]:
        if self.early_stopping:
            monitor = "valid_loss" if self.score is None else "valid_score"
        elif self.learning_rate == "constant":
            monitor = "train_loss"
        else:  # a falling learning rate says itself when training ends
            return []
        return [
            Patience(
                monitor, larger_is_better=monitor == "valid_score", patience=self.n_iter_no_change, tol=self.tol,
                keep_best=self.early_stopping,
            )
        ]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a training has given.

    Attributes
    ----------
    net : skorch.NeuralNet
    layers : list of (ndarray, ndarray)
        Weights (n_out, n_in) and intercepts (n_out,) of each layer.
    n_iter : int
        Iterations of the solver, epochs for a mini-batch one.
    loss_curve : list of float
        Objective per iteration, or training loss per epoch.
    history : list of dict
        A row for each iteration or epoch.
    converged, interrupted : bool
    optimizer_state : list of dict
        Moments of a mini-batch solver for each parameter as plain arrays, empty for a full-batch one.
    """

    net: NeuralNet
    layers: Layers
    n_iter: int
    loss_curve: list[float]
    history: list[dict[str, Any]]
    converged: bool
    interrupted: bool
    optimizer_state: list[dict[str, Any]] = field(default_factory=list)


def train(
    solver: Solver,
    plan: Plan,
    *,
    start: Layers | None = None,
    optimizer_state: list[dict[str, Any]] | None = None,
) -> Outcome:
    """Train as planned, from given weights if there are any.

    Raises
    ------
    FloatingPointError
        If the loss becomes infinite or NaN.
    KeyboardInterrupt
        If the user stops it before the first iteration or epoch is over; later, the outcome is what has been reached.
    """
    net = solver.build(plan)
    if start is not None:
        write_layers(net.module_, start)
    if optimizer_state:
        write_moments(net.optimizer_, optimizer_state)
    finished = _run(net, plan.data)
    if isinstance(net.callbacks, list):
        _forget_data(net)
    outcome = solver.outcome(net, finished)
    if outcome.interrupted and not outcome.loss_curve:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    return outcome


def _run(net: NeuralNet, data: TrainingData | Partitions) -> bool:
    """Run the net's training loop and return whether it ended early on purpose."""
    finished = False
    net.interrupted_ = False
    try:
        net.notify("on_train_begin", X=data, y=None)
        net.fit_loop(data)
    except TrainingFinished:
        finished = True
    except KeyboardInterrupt:  # also how skorch's EarlyStopping ends the loop
        finished = _has_stopped(net)
        net.interrupted_ = not finished
    net.notify("on_train_end", X=data, y=None)
    return finished


def _forget_data(net: NeuralNet) -> None:
    """Remove the callbacks that hold the rows of training, which the net would keep in memory."""
    net.callbacks = [callback for callback in net.callbacks if not isinstance(callback, HeldOutScore)]
    net.callbacks_ = [pair for pair in net.callbacks_ if not isinstance(pair[1], HeldOutScore)]


def _has_stopped(net: NeuralNet) -> bool:
    return any(
        isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience for _, callback in net.callbacks_
    )


def build_full_batch(plan: Plan) -> NeuralNet:
    """Return the net that solves a linear model in one step."""
    return FullBatchNet(
        **_common(plan, feature_major=False),
        C=plan.C,
        optimizer=LBFGS,
        lr=1.0,
        optimizer__tol=plan.tol,
        optimizer__max_iter=plan.max_iter,
        optimizer__warm_start=plan.warm_start,
        optimizer__verbose=plan.verbose,
        max_epochs=1,
        callbacks=list(plan.callbacks) if plan.callbacks else "disable",
    ).initialize()


def full_batch_outcome(net: NeuralNet, finished: bool) -> Outcome:
    """Return the outcome of a full-batch training."""
    trace = net.optimizer_.trace
    history = [{"epoch": epoch, "objective": value} for epoch, value in enumerate(trace.values)]
    return Outcome(
        net, read_layers(net.module_, copy=False), trace.n_iter, trace.values, history, trace.converged or finished,
        net.interrupted_ or trace.interrupted,
    )  # fmt: skip


def build_adamw(plan: Plan) -> NeuralNet:
    """Return the net that trains by AdamW."""
    return _build_mini_batch(plan, torch.optim.AdamW)


def build_sgd(plan: Plan) -> NeuralNet:
    """Return the net that trains by stochastic gradient descent with Nesterov momentum."""
    return _build_mini_batch(plan, torch.optim.SGD, momentum=0.9, nesterov=True)


def _build_mini_batch(plan: Plan, optimizer: type[torch.optim.Optimizer], **options: Any) -> NeuralNet:
    return MultiLabelNet(
        **_common(plan, feature_major=True),
        **{f"optimizer__{name}": value for name, value in options.items()},
        C=plan.C,
        seed=plan.seed,
        seed_is_free=plan.seed_is_free,
        schedule=Schedule(plan.learning_rate_init, plan.learning_rate, plan.warmup_fraction),
        mixup_alpha=plan.mixup_alpha,
        validation_fraction=plan.validation_fraction if plan.early_stopping else 0.0,
        optimizer=optimizer,
        optimizer__weight_decay=0.0,  # decay decoupled from the gradient has another optimum than the objective
        optimizer__fused=plan.device.type in ("cpu", "cuda"),
        lr=plan.learning_rate_init,
        batch_size=plan.rows_per_batch,
        max_epochs=plan.max_iter,
        callbacks=plan.monitors(),
    ).initialize()


def mini_batch_outcome(net: NeuralNet, finished: bool) -> Outcome:
    """Return the outcome of training by epochs."""
    history = [epoch_row(row) for row in net.history.to_list() if "train_loss" in row]
    losses = [row["train_loss"] for row in history]
    converged = finished or (len(losses) == net.max_epochs and net.schedule.shape != "constant")
    moments = read_moments(net.optimizer_)
    if not all(np.isfinite(moment).all() for each in moments for moment in each.values()):  # steps were zero
        raise FloatingPointError("squares of gradients are not finite: scale the features of X")
    return Outcome(
        net, read_layers(net.module_), len(losses), losses, history, converged, net.interrupted_, moments
    )  # fmt: skip


def _common(plan: Plan, *, feature_major: bool) -> dict[str, Any]:
    """Return the parameters of a net that do not depend on the solver."""
    return {
        "module": plan.module(feature_major=feature_major),
        "criterion": LossCriterion(plan.loss),
        "device": "cpu" if isinstance(plan.data, Partitions) else plan.device,  # where sums over partitions arrive
        "train_split": None,
        "predict_nonlinearity": None if plan.loss.link is None else plan.loss.link.inverse,
        "verbose": 0,
    }


def net_of(loss: Loss, layers: Layers, architecture: Architecture) -> NeuralNet:
    """Return an initialised net, as skorch has it, with given weights."""
    n_features, n_labels = layers[0][0].shape[1], len(layers[-1][0])
    dtype = torch.float32 if layers[0][0].dtype == np.float32 else torch.float64
    net = MultiLabelNet(
        architecture.build(n_features, n_labels, dtype), criterion=LossCriterion(loss), train_split=None, verbose=0,
        predict_nonlinearity=None if loss.link is None else loss.link.inverse,
    ).initialize()  # fmt: skip
    write_layers(net.module_, layers)
    return net


@torch.no_grad()
def scores_of(net: NeuralNet, X: Any) -> Any:
    """Return the scores of rows, dense or sparse, as an array of the precision of X."""
    module = net.module_
    first = next(module.parameters())
    rows = SparseRows(X, first.dtype) if sparse.issparse(X) else as_tensor(X, dtype=first.dtype)
    return module(rows.to(first.device)).cpu().numpy()
