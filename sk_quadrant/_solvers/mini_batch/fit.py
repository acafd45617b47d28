"""The mini-batch solvers: from a problem to a skorch net, and from the trained net to a result."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np
import torch

from sk_quadrant._progress import Progress
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.base import FitResult, Problem
from sk_quadrant._solvers.mini_batch.callbacks import Ending, EpochReport, epoch_row
from sk_quadrant._solvers.mini_batch.data import BatchData
from sk_quadrant._solvers.mini_batch.net import MultiLabelNet
from sk_quadrant._solvers.mini_batch.steps import Schedule, read_moments, write_moments
from sk_quadrant._solvers.modules import build_module, initial_layers, read_layers, write_layers
from sk_quadrant._solvers.own_modules import build_own_module, check_param_groups, float_dtype, seeded
from sk_quadrant._solvers.threads import fit_threads

LONG_PRODUCT = 2**28  # multiplications that take ten milliseconds
LONG_UPDATE = 2**24  # weights for which a step takes ten milliseconds


@torch.inference_mode(mode=False)  # the caller may have disabled gradients
@torch.enable_grad()
def solve(problem: Problem, optimizer: type[torch.optim.Optimizer], **options: Any) -> FitResult:
    """Return the solution of a problem; see `Solver`.

    Parameters
    ----------
    problem : Problem
    optimizer : type
    **options
        Parameters of the optimizer.
    """
    with _surroundings(problem), Progress(problem.verbose, "epochs", problem.max_iter) as progress:
        module, data = _module_and_data(problem, optimizer)
        if problem.param_groups:
            options["param_groups"] = problem.param_groups
        fraction = problem.validation_fraction if problem.validation is None else 1.0  # 1 for rows that are given
        report, ending = EpochReport(problem.score_on, progress), _ending(problem)
        net = MultiLabelNet.around(
            module,
            problem.loss,
            problem.device,
            **{f"optimizer__{name}": value for name, value in options.items()},
            optimizer=optimizer,
            optimizer__weight_decay=0.0,  # decoupled weight decay has another optimum than the penalised objective
            optimizer__fused=problem.device.type in ("cpu", "cuda"),
            C=problem.C,
            seed=problem.seed,
            seed_is_free=problem.seed_is_free,
            schedule=Schedule(problem.learning_rate_init, problem.learning_rate, problem.warmup_fraction),
            mixup_alpha=problem.mixup_alpha,
            validation_fraction=fraction if problem.early_stopping else 0.0,
            micro_batch_size=problem.micro_batch_size,
            lr=problem.learning_rate_init,
            batch_size=min(200, len(data)) if isinstance(problem.batch_size, str) else problem.batch_size,
            max_epochs=problem.max_iter,
            callbacks=[report, *(problem.callbacks or []), ending],
        )
        if problem.moments:
            write_moments(net.optimizer_, net.module_, problem.moments)
        with net.training(data):
            net.fit_loop(data)
    net.callbacks = problem.callbacks  # the others can hold training rows
    net.callbacks_ = [pair for pair in net.callbacks_ if pair[1] not in (report, ending)]
    return _result(problem, net)


def _surroundings(problem: Problem) -> AbstractContextManager[None]:
    """Return the random states, or threads, of a fit."""
    if problem.module is not None:
        return seeded(problem.seed, problem.device)
    return fit_threads() if _has_short_steps(problem) else nullcontext()


def _has_short_steps(problem: Problem) -> bool:
    """Whether no product of a batch with a layer, and no update of weights, takes ten milliseconds."""
    rows, size = problem.rows, 200 if isinstance(problem.batch_size, str) else problem.batch_size
    sizes = (rows.n_features, *problem.architecture.hidden_layer_sizes, rows.n_labels)
    n_values = rows.X.nnz // len(rows) if isinstance(rows, TrainingRows) and rows.is_sparse else rows.n_features
    return all(
        n_in * n_out < LONG_UPDATE and min(size, len(rows)) * n_inner * n_out < LONG_PRODUCT
        for n_inner, n_in, n_out in zip((n_values, *sizes[1:-1]), sizes[:-1], sizes[1:], strict=True)
    )


def _module_and_data(problem: Problem, optimizer: type[torch.optim.Optimizer]) -> tuple[Any, BatchData]:
    """Return the module with its initial weights, which are zero for a linear model, and the rows."""
    rows: Any = problem.rows
    if problem.module is None:
        module = build_module(problem.architecture, rows.n_features, rows.n_labels, rows.dtype)
        if problem.start is not None:
            write_layers(module, problem.start)
        elif problem.architecture.hidden_layer_sizes:
            write_layers(module, initial_layers(module, problem.seed))
        data = BatchData(rows) if isinstance(rows, TrainingRows) else cast("BatchData", rows.batch_data())
    else:
        module = problem.start
        if module is None:
            module = build_own_module(problem.module, rows.X, rows.n_labels)
        check_param_groups(problem.param_groups or [], module, optimizer)
        data = BatchData(rows, precision=float_dtype(module))
    validation = problem.validation
    data.validation = data.of(validation) if isinstance(validation, TrainingRows) else validation
    return module, data


def _ending(problem: Problem) -> Ending:
    """Return the callback that ends training; without it a falling learning rate ends when it has reached zero."""
    falls, early = problem.learning_rate != "constant", problem.early_stopping
    monitor = "train_loss" if not early else "valid_loss" if problem.score_on is None else "valid_score"
    patience = math.inf if falls and not early else problem.n_iter_no_change
    return Ending(problem.observe, monitor, patience=patience, tol=problem.tol, keep_best=early)


def _result(problem: Problem, net: MultiLabelNet) -> FitResult:
    history = [epoch_row(row) for row in net.history.to_list() if "train_loss" in row]
    losses = [row["train_loss"] for row in history]
    if net.interrupted_ and not losses:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    converged = net.finished_ or (len(losses) == net.max_epochs and problem.learning_rate != "constant")
    moments = read_moments(net.optimizer_, net.module_)
    if not all(np.isfinite(moment).all() for each in moments for moment in each.values()):  # steps were zero
        raise FloatingPointError("squares of gradients are not finite: scale the features of X")
    layers = [] if net.is_own else read_layers(net.module_, feature_major=problem.rows.is_sparse)
    return FitResult(net, layers, len(losses), losses, history, converged, net.interrupted_, moments, net.frozen_parts_)
