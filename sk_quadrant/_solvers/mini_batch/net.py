"""The skorch net that trains on mini-batches."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback
from skorch.history import History
from torch import Tensor

from sk_quadrant._solvers.mini_batch.batches import Batches
from sk_quadrant._solvers.mini_batch.data import BatchData
from sk_quadrant._solvers.mini_batch.steps import (
    AnalyticSteps,
    AutogradSteps,
    Schedule,
    can_step,
    key_of,
    read_moments,
)
from sk_quadrant._solvers.modules import LinearScores, Network, read_layers
from sk_quadrant._solvers.nets import LabelNet
from sk_quadrant._solvers.own_modules import (
    as_array,
    as_values,
    describe,
    float_dtype,
    frozen_in_evaluation,
    pass_to,
    scores_in,
)

if TYPE_CHECKING:
    from sk_quadrant._model.fitted import FittedModel

CONSTANT = Schedule(1.0)
BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class MultiLabelNet(LabelNet):
    """Net that trains on mini-batches of `BatchData`.

    If no callback needs single batches, an epoch is recorded as one batch. Models of the package then use
    `AnalyticSteps`. Each epoch of a module of the user seeds PyTorch, so that dropout depends only on the seed and the
    number of the epoch.

    Parameters
    ----------
    C : float, default=inf
        Inverse strength of the penalty on the weights.
    seed : int, default=0
        Source of the order of rows.
    seed_is_free : bool, default=False
        Whether the seed is arbitrary: resumed training then continues with the seed of the checkpoint.
    schedule : Schedule, default=CONSTANT
        Learning rate of each step; that of the optimizer if it is constant.
    mixup_alpha : float, default=0.0
        If positive, rows are mixed within their batch.
    validation_fraction : float, default=0.0
        Fraction of the rows to hold out, if positive; not used for data with `validation`.
    micro_batch_size : int or None, default=None
        Number of rows of a forward pass, None for a whole batch.
    **kwargs
        Parameters of `skorch.NeuralNet`.

    Attributes
    ----------
    best_weights_ : dict or None
        State of the module in the best epoch so far, with early stopping.
    frozen_parts_ : tuple of str
        Names of parts of a module of the user that training leaves in evaluation mode.
    """

    def __init__(
        self,
        *args: Any,
        C: float = np.inf,
        seed: int = 0,
        seed_is_free: bool = False,
        schedule: Schedule = CONSTANT,
        mixup_alpha: float = 0.0,
        validation_fraction: float = 0.0,
        micro_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.C = C
        self.seed = seed
        self.seed_is_free = seed_is_free
        self.schedule = schedule
        self.mixup_alpha = mixup_alpha
        self.validation_fraction = validation_fraction
        self.micro_batch_size = micro_batch_size
        self.best_weights_: Any = None
        self.frozen_parts_: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether the module is one of the user."""
        return not isinstance(self.module_, LinearScores | Network)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return batches, shuffled for training; other data have the iterator of skorch."""
        if not isinstance(dataset, BatchData):
            return super().get_iterator(dataset, training=training)
        if training:
            self.penalty_ = 1 / (self.C * (dataset.mean_weight * len(dataset)))
            return Batches(dataset, self.batch_size, self.device, seed=self.seed, mixup_alpha=self.mixup_alpha)
        return Batches(dataset, self.batch_size, self.device)

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Return the rows to train on and those held out, None if there are none."""
        return X.divide(self.validation_fraction, self.seed) if self.validation_fraction else (X, None)

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any) -> MultiLabelNet:
        """Run the epochs that are not in the history yet."""
        self.frozen_parts_ = tuple(frozen_in_evaluation(self.module_))
        self.steps_: AnalyticSteps | None = None
        self.first_rates_ = [group["lr"] for group in self.optimizer_.param_groups]
        try:
            super().fit_loop(X, y, max(0, self.max_epochs - len(self.history)), **fit_params)
        finally:
            del self.steps_
            self.module_.eval()
        return self

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        for name in self.frozen_parts_:
            self.module_.get_submodule(name).eval()

    def run_single_epoch(self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any) -> None:
        """Go through all batches once."""
        if training:
            if self.is_own:
                torch.manual_seed(int(np.random.SeedSequence([self.seed, len(self.history)]).generate_state(1)[0]))
            iterator.epoch = len(self.history) - 1
            self.rates_ = self._rates(iterator)
            self.history.record("learning_rate", float(self.rates_[-1]))
        if iterator is None or self._shows_batches():
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        else:  # recorded as one batch
            loss = np.float64(self._mean_loss(iterator, training=training))
            super().run_single_epoch([[iterator.data]], training, prefix, lambda _: {"loss": loss})

    def _rates(self, batches: Batches) -> NDArray[np.float64]:
        """Return the learning rate of each step of the current epoch."""
        if self.schedule.is_constant:
            return np.full(len(batches), self.optimizer_.param_groups[-1]["lr"])
        steps = np.arange(len(batches)) + batches.epoch * len(batches)
        return self.schedule.rates(steps, self.max_epochs * len(batches))

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of a step; groups of parameters keep the ratios of their rates."""
        if not self.schedule.is_constant:
            for group, first in zip(self.optimizer_.param_groups, self.first_rates_, strict=True):
                group["lr"] = float(rate * (first / self.schedule.initial))

    def _shows_batches(self) -> bool:
        """Whether a callback needs single batches."""
        return any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in BATCH_HOOKS
        )

    def _mean_loss(self, batches: Batches, *, training: bool) -> float:
        """Go through all batches once, with steps if training; return the mean loss over rows, each before its step."""
        if self.is_own:  # models of the package compute the same in both modes
            self._set_training(training)
        exchange, compute = batches.data.exchange, partial(self._train if training else self._evaluate, batches)
        return (compute() if exchange is None else exchange.sum_losses(compute)) / len(batches.data)

    def _train(self, batches: Batches) -> float:
        """Take a step on each batch and return the sum of the losses of the rows in this process."""
        steps, rates = self._steps(batches.data), iter(self.rates_.tolist())
        chunks = batches.chunks(reuse=isinstance(steps, AnalyticSteps))
        return sum(steps.run(chunk, list(islice(rates, len(chunk.sizes)))) for chunk in chunks)

    def _steps(self, data: BatchData) -> AnalyticSteps | AutogradSteps:
        if data.exchange is None and not can_step(self, data.X):
            return AutogradSteps(self)
        if self.steps_ is None or self.steps_.key != key_of(self):
            self.steps_ = AnalyticSteps(self, data.exchange)
        return self.steps_

    @torch.no_grad()
    def _evaluate(self, batches: Batches) -> float:
        """Return the sum of the losses of the rows in this process; a module of the user sees them in batches."""
        steps, total = AutogradSteps(self), 0.0
        for chunk in batches.chunks():
            parts = [steps.scores(*batch) for batch in chunk.batches] if self.is_own else [self.module_(chunk.X)]
            chunk.scores.copy_(torch.cat(parts))
            total += chunk.total_loss(self.loss)
        return total

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take a step, at the learning rate of the schedule."""
        self.set_rate(self.rates_[len(self.history[-1, "batches"]) - 1])
        step: dict[str, Any] = super().train_step(batch, **fit_params)
        return step

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute scores, loss, and the gradient of loss and penalty; the returned loss has no penalty."""
        self._set_training(True)
        scores = AutogradSteps(self).backward(*batch)
        return {"loss": self.criterion_(scores, batch[1]), "y_pred": scores}

    @torch.no_grad()
    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute scores and loss of a batch."""
        self._set_training(False)
        scores = AutogradSteps(self).scores(*batch)
        return {"loss": self.criterion_(scores, batch[1]), "y_pred": scores}

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the scores of a batch, for the methods of prediction of the net."""
        values = x.to(self.device) if isinstance(x, Tensor) else as_values(x, float_dtype(self.module_), self.device)
        return scores_in(pass_to(self.module_, values))

    def current_weights(self) -> Any:
        """Return a copy of the layers, or the module of the user itself."""
        return self.module_ if self.is_own else read_layers(self.module_)

    def description(self) -> tuple[Any, ...]:
        """Return what determines training, except the data, as plain values and arrays."""
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer_.param_groups]
        parameters = (
            str(self.module_), describe(type(self.module_)), repr(self.loss), type(self.optimizer_).__name__, groups,
            self.C, self.schedule, self.mixup_alpha, self.validation_fraction, self.batch_size, self.micro_batch_size,
            self.max_epochs,
        )  # fmt: skip
        if self.seed_is_free:
            return parameters
        state = [as_array(part) for part in self.module_.state_dict().values()]
        return *parameters, self.seed, state, read_moments(self.optimizer_, self.module_)

    def progress(self) -> dict[str, Any]:
        """Return the state of training, as tensors and plain values."""
        return {
            "seed": self.seed,
            "history": json.dumps(self.history.to_list(), default=np.generic.item),
            "module": self.module_.state_dict(),
            "best": self.best_weights_,
            "moments": self.optimizer_.state_dict()["state"],
        }

    def restore(self, progress: dict[str, Any]) -> None:
        """Restore the state that `progress` has returned."""
        self.seed, self.best_weights_ = progress["seed"], progress["best"]
        self.history = History(json.loads(progress["history"]))
        self.module_.load_state_dict(progress["module"])
        self.optimizer_.load_state_dict(self.optimizer_.state_dict() | {"state": progress["moments"]})


def net_of(model: FittedModel) -> MultiLabelNet:
    """Return an initialised net, as skorch has it, around the module of a fitted model, on the device of the module."""
    first = next(model.module.parameters(), None)
    return MultiLabelNet.around(model.module, model.loss, torch.device("cpu") if first is None else first.device)
