"""The skorch net that trains a module of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from torch import Tensor

from sk_quadrant._solvers.mini_batch.batches import equal_sizes
from sk_quadrant._solvers.mini_batch.net import MultiLabelNet
from sk_quadrant._solvers.nets import net_parameters
from sk_quadrant._solvers.own_modules import (
    as_values,
    call,
    describe,
    float_dtype,
    frozen_in_evaluation,
    pass_to,
    penalised,
    read_state,
    scores_in,
    split_values,
    state_arrays,
)
from sk_quadrant._solvers.tensors import split_targets

if TYPE_CHECKING:
    from sk_quadrant._model.fitted import FittedModel
    from sk_quadrant._solvers.mini_batch.batches import Batches


class ModuleNet(MultiLabelNet):
    """Net of a module of the user.

    The loss gives the gradient with respect to the scores, autograd the rest; the penalty is added to the gradients.
    Each epoch seeds PyTorch, so that dropout depends only on the seed and the number of the epoch.

    Parameters
    ----------
    micro_batch_size : int or None, default=None
        Number of rows of a forward pass, None for a whole batch.
    **kwargs
        See `MultiLabelNet`.
    """

    def __init__(self, *args: Any, micro_batch_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.micro_batch_size = micro_batch_size

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any) -> ModuleNet:
        """Run the epochs that are not in the history yet."""
        self.frozen_parts_ = tuple(frozen_in_evaluation(self.module_))
        self.has_checked_gradients_ = False
        try:
            super().fit_loop(X, y, epochs, **fit_params)
        finally:
            self.module_.eval()
        return self

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        if training:
            for name in self.frozen_parts_:
                self.module_.get_submodule(name).eval()

    def _shows_batches(self) -> bool:
        """Whether a callback needs single batches."""
        return self._has_hook()

    def run_single_epoch(self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any) -> None:
        """Go through all batches once."""
        if training:
            torch.manual_seed(int(np.random.SeedSequence([self.seed, len(self.history)]).generate_state(1)[0]))
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)

    def _can_step(self, batches: Batches) -> bool:
        return True

    def _mean_loss(self, batches: Batches, *, training: bool) -> float:
        """Go through all batches once, with steps if training; return the mean loss over rows, each before its step."""
        self._set_training(training)
        run = self._run_step if training else self._scores
        rates = iter(self.rates_.tolist() if training else [])
        total = 0.0
        for chunk in batches.chunks():
            for (x, y), scores in zip(chunk.batches, split_values(chunk.scores, chunk.sizes), strict=True):
                if training:
                    self._follow_schedule(next(rates))
                scores.copy_(run(x, y))
            total += chunk.total_loss(self.criterion_.loss)
        return total / len(batches.data)

    def _run_step(self, x: Any, y: Any) -> Tensor:
        """Take a step on a batch and return its scores before the step."""
        self.optimizer_.zero_grad()
        scores = self._backward(x, y)
        self.optimizer_.step()
        return scores

    def _backward(self, x: Any, y: Any) -> Tensor:
        """Compute the gradient of a batch's mean loss and of the penalty, and return the scores."""
        parts = self._micro_batches(x, y)
        n_rows = sum(len(split_targets(part)[0]) for _, part in parts)
        scores = torch.cat([self._backward_part(*part, n_rows) for part in parts])
        if not self.has_checked_gradients_:
            self._check_gradients()
        self._add_penalty()
        return scores

    def _backward_part(self, x: Any, y: Any, n_rows: int) -> Tensor:
        """Add the gradient of the losses of some rows, divided by a number, and return their scores."""
        targets, mask, label_weight, row_weight = split_targets(y)
        scores = call(self.module_, x, (len(targets), targets.shape[1]))
        detached = scores.detach()
        gradient = self.criterion_.loss.gradient(detached, targets, mask, label_weight) / n_rows
        if row_weight is not None:
            gradient *= row_weight[:, None]
        torch.autograd.backward(scores, gradient.to(scores.dtype))
        return detached

    def _check_gradients(self) -> None:
        """Raise a ValueError for sparse gradients, which the solvers do not support."""
        for name, parameter in self.module_.named_parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                raise ValueError(
                    f"The gradient of module's parameter {name!r} is sparse, which the solvers do not support. Use "
                    "sparse=False in its embedding."
                )
        self.has_checked_gradients_ = True

    @torch.no_grad()
    def _add_penalty(self) -> None:
        """Add the gradient of the penalty."""
        if not self.penalty_:
            return
        for weight in penalised(self.module_):
            if weight.grad is None:
                weight.grad = self.penalty_ * weight
            else:
                weight.grad.add_(weight, alpha=self.penalty_)

    def _micro_batches(self, x: Any, y: Any) -> list[tuple[Any, Any]]:
        """Return inputs and targets of the parts of a batch, of at most `micro_batch_size` rows and similar sizes."""
        n_rows = len(split_targets(y)[0])
        if self.micro_batch_size is None or n_rows <= self.micro_batch_size:
            return [(x, y)]
        sizes = equal_sizes(n_rows, self.micro_batch_size)
        return list(zip(split_values(x, sizes), split_values(y, sizes), strict=True))

    @torch.no_grad()
    def _scores(self, x: Any, y: Any) -> Tensor:
        """Return the scores of a batch."""
        parts = self._micro_batches(x, y)
        return torch.cat([call(self.module_, part, tuple(split_targets(target)[0].shape)) for part, target in parts])

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute scores, loss and gradients of a batch, for callbacks that need single batches."""
        self._set_training(True)
        x, y = batch
        scores = self._backward(x, y)
        return {"loss": self.criterion_(scores, y), "y_pred": scores}

    @torch.no_grad()
    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute scores and loss of a batch."""
        self._set_training(False)
        x, y = batch
        scores = self._scores(x, y)
        return {"loss": self.criterion_(scores, y), "y_pred": scores}

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the scores of a batch, for the methods of prediction of the net."""
        values = as_values(x, float_dtype(self.module_), self.device) if isinstance(x, np.ndarray) else x
        return scores_in(pass_to(self.module_, x.to(self.device) if isinstance(x, Tensor) else values))

    def description(self) -> tuple[Any, ...]:
        """Return what determines training, except the data."""
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer_.param_groups]
        return (*super().description(), describe(type(self.module_)), groups, self.micro_batch_size)

    def read_weights(self) -> Any:
        """Return a copy of the state of the module."""
        return read_state(self.module_)

    def current_weights(self) -> Any:
        """Return the module, for a score, which does not keep it."""
        return self.module_

    def write_weights(self, weights: Any) -> None:
        """Restore the state of the module."""
        self.module_.load_state_dict(weights)

    def named_arrays(self, weights: Any) -> dict[str, NDArray[Any]]:
        """Return tensors as arrays by name."""
        return state_arrays(weights)

    def weights_from(self, arrays: dict[str, NDArray[Any]]) -> Any:
        """Return tensors from the result of `named_arrays`."""
        state = self.module_.state_dict()
        return {name: torch.as_tensor(arrays[name]).to(state[name]) for name in state}


def net_of(model: FittedModel) -> NeuralNet:
    """Return an initialised net, as skorch has it, around the module of a fitted model, on the device of the module."""
    kind, parameters = ModuleNet if model.takes_inputs else MultiLabelNet, list(model.module.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    return kind(**net_parameters(model.module, model.loss, device)).initialize()
