"""The mini-batch solvers: from a problem to a skorch net, and from the trained net to a result."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch

from sk_quadrant._progress import Progress
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.base import FitResult, Problem
from sk_quadrant._solvers.mini_batch.callbacks import (
    EpochProgress,
    HeldOutScore,
    Observer,
    Patience,
    StopOnRequest,
    StopUnlessFinite,
    epoch_row,
)
from sk_quadrant._solvers.mini_batch.data import BatchData, ModuleData
from sk_quadrant._solvers.mini_batch.module_net import ModuleNet
from sk_quadrant._solvers.mini_batch.net import MultiLabelNet
from sk_quadrant._solvers.mini_batch.schedule import Schedule
from sk_quadrant._solvers.mini_batch.steps import read_moments, write_moments
from sk_quadrant._solvers.modules import build_module, initial_layers, read_layers, write_layers
from sk_quadrant._solvers.nets import net_parameters, run
from sk_quadrant._solvers.own_modules import build_own_module, check_param_groups, float_dtype, seeded
from sk_quadrant._solvers.threads import fit_threads

LONG_PRODUCT = 2**28  # multiplications that take ten milliseconds
OF_ONE_FIT = (HeldOutScore, EpochProgress, Observer, StopOnRequest)
LONG_UPDATE = 2**24  # weights for which a step takes ten milliseconds


@torch.inference_mode(mode=False)  # the caller may have disabled gradients
@torch.enable_grad()
def solve(problem: Problem, optimizer: type[torch.optim.Optimizer], **options: Any) -> FitResult:
    """Return the solution of a problem; see `Solver.solve`.

    Parameters
    ----------
    problem : Problem
    optimizer : type
    **options
        Parameters of the optimizer.
    """
    if problem.module is not None:
        with seeded(problem.seed, problem.device):
            return _train(problem, *_own_module(problem, optimizer, options))
    with fit_threads() if _has_short_steps(problem) else nullcontext():
        return _solve_own(problem, optimizer, options)


def _has_short_steps(problem: Problem) -> bool:
    """Whether no product of a batch with a layer, and no update of weights, takes ten milliseconds."""
    rows, size = problem.rows, 200 if isinstance(problem.batch_size, str) else problem.batch_size
    sizes = (rows.n_features, *problem.architecture.hidden_layer_sizes, rows.n_labels)
    if any(n_in * n_out >= LONG_UPDATE for n_in, n_out in pairwise(sizes)):
        return False
    n_values = rows.X.nnz // len(rows) if isinstance(rows, TrainingRows) and rows.is_sparse else rows.n_features
    inner = (n_values, *sizes[1:])
    return all(min(size, len(rows)) * n_in * n_out < LONG_PRODUCT for n_in, n_out in pairwise(inner))


def _solve_own(problem: Problem, optimizer: type[torch.optim.Optimizer], options: dict[str, Any]) -> FitResult:
    """Return the solution of a problem with a linear model or a network of the package."""
    rows = problem.rows
    data = BatchData(rows) if isinstance(rows, TrainingRows) else cast("Any", rows).batch_data()
    net = _build(problem, MultiLabelNet, _initial_module(problem), len(data), optimizer, options)
    if problem.start is not None:
        write_layers(net.module_, problem.start)
    return _train(problem, net, data)


def _own_module(
    problem: Problem, optimizer: type[torch.optim.Optimizer], options: dict[str, Any]
) -> tuple[MultiLabelNet, BatchData]:
    """Return the net and the data of a module of the user."""
    rows: Any = problem.rows
    module = problem.start
    if module is None:
        module = build_own_module(problem.module, rows.X, rows.n_labels, seed=problem.seed, device=problem.device)
    check_param_groups(problem.param_groups or [], module, optimizer)
    options = options | {"param_groups": problem.param_groups or []}
    net = _build(problem, ModuleNet, module, len(rows), optimizer, options, micro_batch_size=problem.micro_batch_size)
    return net, ModuleData(rows, precision=float_dtype(module))


def _train(problem: Problem, net: MultiLabelNet, data: BatchData) -> FitResult:
    """Run the epochs, and return the result."""
    rows = problem.validation
    data.validation = data.of(rows) if isinstance(rows, TrainingRows) else rows
    if problem.moments:
        write_moments(net.optimizer_, net.module_, problem.moments)
    with _progress_of(net):
        finished = run(net, data)
    _forget_data(net)
    return _result(problem, net, finished)


def _build(
    problem: Problem,
    kind: type[MultiLabelNet],
    module: Any,
    n_rows: int,
    optimizer: type[torch.optim.Optimizer],
    options: dict[str, Any],
    **more: Any,
) -> MultiLabelNet:
    """Return an initialised net with the parameters of the problem."""
    net: MultiLabelNet = kind(
        **net_parameters(module, problem.loss, problem.device),
        **more,
        **{f"optimizer__{name}": value for name, value in options.items()},
        C=problem.C,
        seed=problem.seed,
        seed_is_free=problem.seed_is_free,
        schedule=Schedule(problem.learning_rate_init, problem.learning_rate, problem.warmup_fraction),
        mixup_alpha=problem.mixup_alpha,
        validation_fraction=_validation_share(problem),
        optimizer=optimizer,
        optimizer__weight_decay=0.0,  # decoupled weight decay has another optimum than the penalised objective
        optimizer__fused=problem.device.type in ("cpu", "cuda"),
        lr=problem.learning_rate_init,
        batch_size=min(200, n_rows) if isinstance(problem.batch_size, str) else problem.batch_size,
        max_epochs=problem.max_iter,
        callbacks=_callbacks(problem),
    ).initialize()
    return net


def _validation_share(problem: Problem) -> float:
    """Return the fraction of validation rows, 1 if it does not depend on the number of rows."""
    if not problem.early_stopping:
        return 0.0
    return problem.validation_fraction if problem.validation is None else 1.0


def _initial_module(problem: Problem) -> Any:
    """Return the module with its initial weights, which are zero for a linear model."""
    rows, architecture = problem.rows, problem.architecture
    module = build_module(architecture, rows.n_features, rows.n_labels, rows.dtype)
    if architecture.hidden_layer_sizes:
        sizes = (rows.n_features, *architecture.hidden_layer_sizes, rows.n_labels)
        intercept = architecture.fit_intercept
        write_layers(module, initial_layers(sizes, fit_intercept=intercept, dtype=rows.dtype, seed=problem.seed))
    return module


def _callbacks(problem: Problem) -> list[Any]:
    """Return all callbacks, with those of the user."""
    score = [] if problem.score_on is None else [HeldOutScore(problem.score_on)]
    shown = [EpochProgress(Progress(problem.verbose, "epochs", problem.max_iter))] if problem.verbose else []
    observers = [] if problem.observe is None else [Observer(problem.observe)]
    stop = [StopOnRequest(each) for each in observers]
    return [StopUnlessFinite(), *score, *shown, *(problem.callbacks or []), *observers, *_patience(problem), *stop]


def _patience(problem: Problem) -> list[Patience]:
    if problem.early_stopping:
        monitor = "valid_loss" if problem.score_on is None else "valid_score"
    elif problem.learning_rate == "constant":
        monitor = "train_loss"
    else:  # training ends when the falling learning rate has reached zero
        return []
    return [
        Patience(
            monitor,
            larger_is_better=monitor == "valid_score",
            patience=problem.n_iter_no_change,
            tol=problem.tol,
            keep_best=problem.early_stopping,
        )
    ]


def _forget_data(net: MultiLabelNet) -> None:
    """Remove the callbacks of this fit alone, which can hold training rows that the net would keep in memory."""
    net.callbacks = [callback for callback in net.callbacks if not isinstance(callback, OF_ONE_FIT)]
    net.callbacks_ = [pair for pair in net.callbacks_ if not isinstance(pair[1], OF_ONE_FIT)]


def _progress_of(net: MultiLabelNet) -> Any:
    """Return the context in which the progress of a net is shown."""
    shown = [callback.progress for callback in net.callbacks if isinstance(callback, EpochProgress)]
    return shown[0] if shown else nullcontext()


def _result(problem: Problem, net: MultiLabelNet, finished: bool) -> FitResult:
    history = [epoch_row(row) for row in net.history.to_list() if "train_loss" in row]
    losses = [row["train_loss"] for row in history]
    if net.interrupted_ and not losses:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    converged = finished or (len(losses) == net.max_epochs and problem.learning_rate != "constant")
    moments = read_moments(net.optimizer_, net.module_)
    if not all(np.isfinite(moment).all() for each in moments for moment in each.values()):  # steps were zero
        raise FloatingPointError("squares of gradients are not finite: scale the features of X")
    layers = [] if problem.module is not None else read_layers(net.module_, feature_major=problem.rows.is_sparse)
    return FitResult(net, layers, len(losses), losses, history, converged, net.interrupted_, moments, net.frozen_parts_)
