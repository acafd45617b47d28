"""The skorch net of the full-batch solver: its training loop is one call of the solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from sk_quadrant._progress import Progress
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.base import FitResult, Problem
from sk_quadrant._solvers.full_batch.coefficients import Coefficients, DenseCoefficients, ThresholdedCoefficients
from sk_quadrant._solvers.full_batch.solve import minimize
from sk_quadrant._solvers.full_batch.trace import Trace
from sk_quadrant._solvers.modules import build_module, read_layers, write_layers
from sk_quadrant._solvers.nets import LabelNet, net_parameters, run
from sk_quadrant._solvers.tensors import torch_dtype
from sk_quadrant._solvers.threads import fit_threads

if TYPE_CHECKING:
    from sk_quadrant._model.architecture import Layers


class FullBatchNet(LabelNet):
    """Net of a linear model that trains on all rows at once: one epoch is the whole fit.

    Parameters
    ----------
    C : float or ndarray of shape (n_labels,)
        Inverse strength of the penalty.
    tol, max_iter, warm_start
        See `minimize`.
    verbose_iterations : int, default=0
        Whether to show progress; see `Progress`.
    observe : callable or None, default=None
        See `Problem`.
    coefficients : Coefficients or None, default=None
        Storage of the weights, None for those of the module.
    **kwargs
        Parameters of `skorch.NeuralNet`.

    Attributes
    ----------
    trace_ : Trace
        Trace over all labels.
    """

    def __init__(
        self,
        *args: Any,
        C: Any = 1.0,
        tol: float = 1e-4,
        max_iter: int = 200,
        warm_start_at_module: bool = False,
        verbose_iterations: int = 0,
        coefficients: Coefficients | None = None,
        observe: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start_at_module = warm_start_at_module
        self.verbose_iterations = verbose_iterations
        self.coefficients = coefficients
        self.observe = observe
        self.stopped_ = False

    def initialize_optimizer(self, *_: Any, **__: Any) -> FullBatchNet:
        """Create no optimizer: those of PyTorch import its compiler, which takes a second in the first fit."""
        self.optimizer_ = None
        return self

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any) -> FullBatchNet:
        """Solve the whole problem, as one epoch."""
        self.check_data(X, y)
        self.notify("on_epoch_begin", dataset_train=X, dataset_valid=None)
        self.notify("on_batch_begin", batch=(X, None), training=True)
        with Progress(self.verbose_iterations, "lbfgs") as progress:
            self.trace_: Trace = minimize(
                X,
                self.criterion_.loss,
                self.coefficients or DenseCoefficients(self.module_.weight),
                self.module_.bias,
                C=self.C,
                tol=self.tol,
                max_iter=self.max_iter,
                warm_start=self.warm_start_at_module,
                progress=progress,
                observe=None if self.observe is None else self._tell,
            )
        self.notify("on_batch_end", batch=(X, None), training=True, loss=self.trace_.values[-1], y_pred=None)
        self.history.record("train_loss", self.trace_.values[-1])
        self.notify("on_epoch_end", dataset_train=X, dataset_valid=None)
        return self

    def _tell(self, solution: Callable[[], Any]) -> None:
        """Report an iteration to the observer, and stop if it returns True."""

        def layers() -> Layers:
            weight, bias = solution()
            weight = weight.cpu().numpy()
            return [(weight, np.zeros(len(weight), weight.dtype) if bias is None else bias.cpu().numpy())]

        if self.observe(None if self.coefficients is not None else layers):
            self.stopped_ = True
            raise KeyboardInterrupt


@fit_threads()
def solve(problem: Problem) -> FitResult:
    """Return the solution of a problem; see `Solver.solve`."""
    rows, thresholded = problem.rows, problem.coef_threshold > 0
    order = {"feature_major": rows.is_sparse}
    n_features = 0 if thresholded else rows.n_features  # the module then holds the intercepts alone
    module = build_module(problem.architecture, n_features, rows.n_labels, rows.dtype, **order)
    device = problem.device if isinstance(rows, TrainingRows) else "cpu"  # device of sums over shards
    net = FullBatchNet(
        **net_parameters(module, problem.loss, device),
        C=problem.C,
        tol=problem.tol,
        max_iter=problem.max_iter,
        warm_start_at_module=problem.start is not None,
        verbose_iterations=problem.verbose,
        coefficients=_thresholded(problem, device) if thresholded else None,
        observe=problem.observe,
        max_epochs=1,
        callbacks=list(problem.callbacks) if problem.callbacks else "disable",
    ).initialize()
    if problem.start is not None:
        ((weight, bias),) = problem.start
        write_layers(net.module_, [(weight[:, :n_features], bias)])
    finished = run(net, rows)
    trace = getattr(net, "trace_", Trace())
    interrupted = (net.interrupted_ or trace.interrupted) and not net.stopped_
    if interrupted and not trace.values:
        raise KeyboardInterrupt("Training was interrupted before its first iteration.")
    history = [{"epoch": epoch, "objective": value} for epoch, value in enumerate(trace.values)]
    layers = read_layers(net.module_, copy=False, **order)
    if thresholded:
        layers = [(net.coefficients.to_csr(), layers[0][1])]
    return FitResult(
        None if thresholded else net,
        layers,
        trace.n_iter,
        trace.values,
        history,
        trace.converged or finished or net.stopped_,
        interrupted,
    )


def _thresholded(problem: Problem, device: Any) -> ThresholdedCoefficients:
    """Return the storage for weights with a threshold."""
    rows = problem.rows
    if problem.start is None:
        start: Any = sparse.csr_matrix((rows.n_labels, rows.n_features), dtype=rows.dtype)
    else:
        start = problem.start[0][0]
    return ThresholdedCoefficients(start, problem.coef_threshold, torch_dtype(rows.dtype), torch.device(device))
