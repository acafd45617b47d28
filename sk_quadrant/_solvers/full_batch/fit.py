"""The full-batch solver: from a problem to its result, with a skorch net where callbacks are to see one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_quadrant._progress import Progress
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.base import FitResult, Observe, Problem
from sk_quadrant._solvers.full_batch.coefficients import DenseCoefficients, ThresholdedCoefficients
from sk_quadrant._solvers.full_batch.solve import minimize
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.modules import build_module, write_layers
from sk_quadrant._solvers.tensors import torch_dtype
from sk_quadrant._solvers.threads import fit_threads


def solve(problem: Problem) -> FitResult:
    """Return the solution of a problem; see `Solver`."""
    rows, thresholded = problem.rows, problem.coef_threshold > 0
    n_features = 0 if thresholded else rows.n_features  # the module then holds the intercepts alone
    module = build_module(problem.architecture, n_features, rows.n_labels, rows.dtype)
    if not rows.is_sparse:  # dense ones are multiplied label by label
        module.weight.data = module.weight.data.contiguous()
    if problem.start is not None:
        ((weight, intercept),) = problem.start
        write_layers(module, [(weight[:, :n_features], intercept)])
    device = problem.device if isinstance(rows, TrainingRows) else torch.device("cpu")  # where sums over shards are
    module.to(device)
    coefficients: Any = _thresholded(problem, device) if thresholded else DenseCoefficients(module.weight.data)
    reports = Reports(problem.observe, has_weights=not thresholded) if problem.observe else None

    def fit() -> Trace:
        with fit_threads(), Progress(problem.verbose, "lbfgs") as progress:
            return minimize(
                rows,
                problem.loss,
                coefficients,
                module.bias,
                C=problem.C,
                tol=problem.tol,
                max_iter=problem.max_iter,
                warm_start=problem.start is not None,
                progress=progress,
                observe=reports,
            )

    net, trace, finished = _with_callbacks(problem, module, fit) if problem.callbacks else (None, fit(), False)
    stopped = reports is not None and reports.stopped
    return FitResult(
        net,
        [_layer(coefficients.to_csr() if thresholded else module.weight.detach().cpu().numpy(), module.bias)],
        trace.n_iter,
        trace.values,
        [{"epoch": epoch, "objective": value} for epoch, value in enumerate(trace.values)],
        converged=trace.converged or finished or stopped,
        interrupted=trace.interrupted and not stopped,
    )


def _thresholded(problem: Problem, device: torch.device) -> ThresholdedCoefficients:
    """Return the storage for weights with a threshold."""
    rows = problem.rows
    empty: Any = sparse.csr_matrix((rows.n_labels, rows.n_features), dtype=rows.dtype)
    weight = empty if problem.start is None else problem.start[0][0]
    return ThresholdedCoefficients(weight, problem.coef_threshold, torch_dtype(rows.dtype), device)


def _layer(weight: Any, bias: Tensor | None) -> tuple[Any, Any]:
    """Return weights and intercepts as arrays."""
    return weight, np.zeros(weight.shape[0], weight.dtype) if bias is None else bias.detach().cpu().numpy()


@dataclass
class Reports:
    """Reports of the iterations to `Problem.observe`, which may stop the fit."""

    observe: Observe
    has_weights: bool
    stopped: bool = False

    def __call__(self, solution: Callable[[], Any]) -> None:
        """Report an iteration, with a function that returns weights and intercepts."""

        def layers() -> list[tuple[Any, Any]]:
            weight, bias = solution()
            return [_layer(weight.cpu().numpy(), bias)]

        self.stopped = self.observe(layers if self.has_weights else None)
        if self.stopped:
            raise KeyboardInterrupt


def _with_callbacks(problem: Problem, module: Any, fit: Callable[[], Trace]) -> tuple[Any, Trace, bool]:
    """Run a fit as one epoch, of one batch, of a net; return net, trace, and whether a callback has ended the fit."""
    from sk_quadrant._solvers.nets import LabelNet, run

    rows, traces = problem.rows, []
    net = LabelNet.around(module, problem.loss, module.weight.device, max_epochs=1, callbacks=problem.callbacks)
    net.optimizer_ = None

    def epoch() -> None:
        data, batch = {"dataset_train": rows, "dataset_valid": None}, {"batch": (rows, None), "training": True}
        net.notify("on_epoch_begin", **data)
        net.notify("on_batch_begin", **batch)
        traces.append(fit())
        loss = traces[0].values[-1]
        net.notify("on_batch_end", **batch, loss=loss, y_pred=None)
        net.history.record("train_loss", loss)
        net.notify("on_epoch_end", **data)

    finished = run(net, rows, epoch)
    if not traces:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    traces[0].interrupted |= net.interrupted_
    return net, traces[0], finished
