"""The full-batch solver: from a problem to a skorch net, whose loop minimises, and to its result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
from sk_quadrant._solvers.nets import LabelNet
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
    callbacks = list(problem.callbacks) if problem.callbacks else "disable"
    net = FullBatchNet.around(module, problem.loss, device, max_epochs=1, callbacks=callbacks)
    coefficients: Any = _thresholded(problem, device) if thresholded else DenseCoefficients(net.module_.weight.data)
    tell = partial(net.tell, problem.observe, has_weights=not thresholded) if problem.observe else None
    with fit_threads(), Progress(problem.verbose, "lbfgs") as progress, net.training(rows):
        net.fit_loop(
            rows,
            coef=coefficients,
            C=problem.C,
            tol=problem.tol,
            max_iter=problem.max_iter,
            warm_start=problem.start is not None,
            progress=progress,
            observe=tell,
        )
    trace = net.trace_
    if trace is None:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    return FitResult(
        None if thresholded else net,
        [_layer(coefficients.to_csr() if thresholded else net.module_.weight.detach().cpu().numpy(), net.module_.bias)],
        trace.n_iter,
        trace.values,
        [{"epoch": epoch, "objective": value} for epoch, value in enumerate(trace.values)],
        converged=trace.converged or net.finished_,
        interrupted=(trace.interrupted or net.interrupted_) and not net.finished_,
    )


class FullBatchNet(LabelNet):
    """Net whose loop is the full-batch solver, one epoch of one batch for its callbacks."""

    optimizer_ = None
    trace_: Trace | None = None

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> FullBatchNet:
        """Create no optimizer: those of PyTorch import its compiler, which takes a second in the first fit."""
        return self

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **options: Any) -> FullBatchNet:
        """Minimise over the training rows X, with options of `minimize`."""
        data, batch = {"dataset_train": X, "dataset_valid": None}, {"batch": (X, None), "training": True}
        self.notify("on_epoch_begin", **data)
        self.notify("on_batch_begin", **batch)
        self.trace_ = minimize(X, self.loss, intercept=self.module_.bias, **options)
        loss = self.trace_.values[-1]
        self.notify("on_batch_end", **batch, loss=loss, y_pred=None)
        self.history.record("train_loss", loss)
        self.notify("on_epoch_end", **data)
        return self

    def tell(self, observe: Observe, solution: Callable[[], Any], *, has_weights: bool) -> None:
        """Report an iteration to `Problem.observe`, with a function that returns the layers, and stop on request."""

        def layers() -> list[tuple[Any, Any]]:
            weight, bias = solution()
            return [_layer(weight.cpu().numpy(), bias)]

        self.finished_ = observe(layers if has_weights else None)
        if self.finished_:
            raise KeyboardInterrupt


def _thresholded(problem: Problem, device: torch.device) -> ThresholdedCoefficients:
    """Return the storage for weights with a threshold."""
    rows = problem.rows
    empty: Any = sparse.csr_matrix((rows.n_labels, rows.n_features), dtype=rows.dtype)
    weight = empty if problem.start is None else problem.start[0][0]
    return ThresholdedCoefficients(weight, problem.coef_threshold, torch_dtype(rows.dtype), device)


def _layer(weight: Any, bias: Tensor | None) -> tuple[Any, Any]:
    """Return weights and intercepts as arrays."""
    return weight, np.zeros(weight.shape[0], weight.dtype) if bias is None else bias.detach().cpu().numpy()
