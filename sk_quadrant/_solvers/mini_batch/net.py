"""The skorch net that trains on mini-batches."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from skorch.history import History

from sk_quadrant._solvers.mini_batch.batches import Batches, Chunk
from sk_quadrant._solvers.mini_batch.data import BatchData, Exchange
from sk_quadrant._solvers.mini_batch.steps import AnalyticSteps, can_step, read_moments, write_moments
from sk_quadrant._solvers.modules import read_layers, write_layers
from sk_quadrant._solvers.nets import LabelNet, LossCriterion
from sk_quadrant._solvers.tensors import SparseRows

if TYPE_CHECKING:
    from sk_quadrant._solvers.mini_batch.schedule import Schedule

BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class MultiLabelNet(LabelNet):
    """Net that trains on mini-batches of `BatchData`.

    If no callback needs single batches, an epoch is recorded as one batch and uses `AnalyticSteps`.

    Parameters
    ----------
    C : float, default=inf
        Inverse strength of the penalty on the weights.
    seed : int, default=0
        Source of the order of rows.
    seed_is_free : bool, default=False
        Whether the seed is arbitrary: resumed training then continues with the seed of the checkpoint.
    schedule : Schedule or None, default=None
        Learning rate of each step, None for `lr`.
    mixup_alpha : float, default=0.0
        If positive, rows are mixed within their batch.
    validation_fraction : float, default=0.0
        Fraction of the rows to hold out, if positive; not used for data with `validation`.
    **kwargs
        Parameters of `skorch.NeuralNet`.

    Attributes
    ----------
    best_weights_ : list, dict or None
        Weights of the best epoch so far, with early stopping.
    interrupted_ : bool
        Whether the user has stopped the training.
    frozen_parts_ : tuple of str
        Names of parts of a module of the user that training leaves in evaluation mode.
    """

    def __init__(
        self,
        *args: Any,
        C: float = np.inf,
        seed: int = 0,
        seed_is_free: bool = False,
        schedule: Schedule | None = None,
        mixup_alpha: float = 0.0,
        validation_fraction: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.C = C
        self.seed = seed
        self.seed_is_free = seed_is_free
        self.schedule = schedule
        self.mixup_alpha = mixup_alpha
        self.validation_fraction = validation_fraction
        self.best_weights_: Any = None
        self.interrupted_ = False
        self.frozen_parts_: tuple[str, ...] = ()

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring("train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring("valid_loss")),
        ]

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return batches, shuffled for training; other data have the iterator of skorch."""
        if not isinstance(dataset, BatchData):
            return super().get_iterator(dataset, training=training)
        if training:
            self.penalty_ = 1 / (self.C * dataset.total_weight)
            return Batches(dataset, self.batch_size, self.device, seed=self.seed, mixup_alpha=self.mixup_alpha)
        return Batches(dataset, self.batch_size, self.device)

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Return the rows to train on and those held out, None if there are none."""
        if isinstance(X, BatchData) and self.validation_fraction:
            return X.divide(self.validation_fraction, self.seed)
        split: tuple[Any, Any] = super().get_split_datasets(X, y, **fit_params)
        return split

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any) -> MultiLabelNet:
        """Run the epochs that are not in the history yet."""
        self.steps_: AnalyticSteps | None = None
        self.largest_rates_ = [group["lr"] for group in self.optimizer_.param_groups]
        if epochs is None:
            epochs = max(0, self.max_epochs - len(self.history))
        try:
            super().fit_loop(X, y, epochs, **fit_params)
        finally:
            del self.steps_
        return self

    def run_single_epoch(self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any) -> None:
        """Go through all batches once."""
        if training and isinstance(iterator, Batches):
            iterator.epoch = len(self.history) - 1
            self.rates_ = self._rates(iterator)
            self.history.record("learning_rate", float(self.rates_[-1]))
            self.pending_rates_ = iter(self.rates_.tolist())
        if isinstance(iterator, Batches) and not self._shows_batches() and self._can_step(iterator):
            self._record_epoch(prefix, len(iterator.data), self._mean_loss(iterator, training=training))
        else:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)

    def _rates(self, batches: Batches) -> NDArray[np.float64]:
        """Return the learning rate of each step of the current epoch."""
        if self.schedule is None or self.schedule.is_constant:
            return np.full(len(batches), self.optimizer_.param_groups[-1]["lr"])
        steps = np.arange(len(batches)) + batches.epoch * len(batches)
        return self.schedule.rates(steps, self.max_epochs * len(batches))

    def _shows_batches(self) -> bool:
        """Whether a callback, or a method of a subclass, needs single batches."""
        steps = ("train_step", "train_step_single", "validation_step", "get_loss", "infer")
        return self._has_hook() or any(getattr(type(self), step) is not getattr(MultiLabelNet, step) for step in steps)

    def _has_hook(self) -> bool:
        """Whether a callback needs single batches."""
        return any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in BATCH_HOOKS
        )

    def _can_step(self, batches: Batches) -> bool:
        return type(self.criterion_) is LossCriterion and can_step(self, batches.data.X, self.device)

    def _mean_loss(self, batches: Batches, *, training: bool) -> float:
        """Go through all batches once, with steps if training; return the mean loss over rows, each before its step."""
        exchange = batches.data.exchange
        steps = self._analytic_steps(exchange) if training else None
        compute = partial(self._sum_losses, batches, steps)
        return (compute() if exchange is None else exchange.sum_losses(compute)) / len(batches.data)

    def _sum_losses(self, batches: Batches, steps: AnalyticSteps | None) -> float:
        """Go through the rows of this process once, with steps if given, and return the sum of their losses."""
        if steps is None:
            return sum(self._evaluate(chunk) for chunk in batches.chunks())
        rates = iter(self.rates_.tolist())
        return sum(steps.run(chunk, list(islice(rates, len(chunk)))) for chunk in batches.chunks(reuse=True))

    def _analytic_steps(self, exchange: Exchange | None) -> AnalyticSteps:
        if self.steps_ is None or not self.steps_.are_for(self.module_, self.optimizer_, self.penalty_):
            self.steps_ = AnalyticSteps(self.module_, self.criterion_.loss, self.optimizer_, self.penalty_, exchange)
        return self.steps_

    @torch.no_grad()
    def _evaluate(self, chunk: Chunk) -> float:
        """Return the sum of the losses of some rows; there may be none."""
        return float(self.criterion_(self.module_(chunk.X), chunk.y)) * len(chunk.X) if len(chunk.X) else 0.0

    def _record_epoch(self, prefix: str, n_rows: int, loss: float) -> None:
        """Write an epoch to the history as if it had been one batch."""
        if prefix == "train":
            self.history.new_batch()
        self.history.record_batch(f"{prefix}_loss", loss)
        self.history.record_batch(f"{prefix}_batch_size", n_rows)
        self.history.record(f"{prefix}_batch_count", 1)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take a step, at the learning rate of the schedule."""
        self._follow_schedule(next(self.pending_rates_))
        step: dict[str, Any] = super().train_step(batch, **fit_params)
        return step

    def _follow_schedule(self, rate: float) -> None:
        """Set the learning rate of the step; groups of parameters keep the ratios of their rates."""
        if self.schedule is None or self.schedule.is_constant:
            return
        for group, largest in zip(self.optimizer_.param_groups, self.largest_rates_, strict=True):
            group["lr"] = rate if largest == self.schedule.initial else rate * (largest / self.schedule.initial)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return scores; sparse rows are passed to the module unchanged."""
        if isinstance(x, SparseRows):
            return self.module_(x.to(self.device), **fit_params)
        return super().infer(x, **fit_params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute scores, loss, and the gradient of loss and penalty; the returned loss has no penalty."""
        self._set_training(True)
        features, targets = batch
        scores = self.infer(features, **fit_params)
        loss = self.get_loss(scores, targets, X=features, training=True)
        objective = loss
        if self.penalty_:
            for layer in self.module_.layers:
                objective = objective + 0.5 * self.penalty_ * layer.weight.square().sum()
        objective.backward()
        return {"loss": loss, "y_pred": scores}

    def description(self) -> tuple[Any, ...]:
        """Return what determines training, except the data."""
        seed = () if self.seed_is_free else (self.seed, [_digest(part) for part in self._arrays().values()])
        return (
            str(self.module_), self.criterion_.loss, type(self.optimizer_).__name__, self.optimizer_.defaults, self.C,
            self.schedule, self.mixup_alpha, self.validation_fraction, self.batch_size, self.max_epochs, seed,
        )  # fmt: skip

    def progress(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the state of training, as values for JSON and arrays."""
        history = json.loads(json.dumps(self.history.to_list(), default=lambda value: value.item()))
        return {"seed": self.seed, "history": history}, self._arrays()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights, the moments of the optimizer, and the best weights so far."""
        weights = {"layer": self.read_weights()}
        if self.best_weights_ is not None:
            weights["best"] = self.best_weights_
        arrays = {
            f"{kind}-{name}": array for kind, part in weights.items() for name, array in self.named_arrays(part).items()
        }
        for k, moments in enumerate(read_moments(self.optimizer_, self.module_)):
            arrays |= {f"moment-{k}-{name}": array for name, array in moments.items()}
        return arrays

    def restore(self, description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the state that `progress` has returned."""
        self.seed = description["seed"]
        self.history = History(description["history"])
        of_kind: dict[str, dict[str, NDArray[Any]]] = {"layer": {}, "best": {}, "moment": {}}
        for key, array in arrays.items():
            kind, name = key.split("-", maxsplit=1)
            of_kind[kind][name] = array
        self.best_weights_ = self.weights_from(of_kind["best"]) if of_kind["best"] else None
        self.write_weights(self.weights_from(of_kind["layer"]))
        moments: list[dict[str, NDArray[Any]]] = [{} for _ in self.module_.parameters()]
        for key, array in of_kind["moment"].items():
            k, name = key.split("-", maxsplit=1)
            moments[int(k)][name] = array
        write_moments(self.optimizer_, self.module_, moments)

    def read_weights(self) -> Any:
        """Return a copy of the weights."""
        return read_layers(self.module_)

    def current_weights(self) -> Any:
        """Return the current weights, for a score, which does not keep them."""
        return read_layers(self.module_)

    def write_weights(self, weights: Any) -> None:
        """Write weights into the module."""
        write_layers(self.module_, weights)

    def named_arrays(self, weights: Any) -> dict[str, NDArray[Any]]:
        """Return weights as arrays by name."""
        return {
            f"{k}-{part}": array
            for k, layer in enumerate(weights)
            for part, array in zip(("weight", "bias"), layer, strict=True)
        }

    def weights_from(self, arrays: dict[str, NDArray[Any]]) -> Any:
        """Return weights from the result of `named_arrays`."""
        return [(arrays[f"{k}-weight"], arrays[f"{k}-bias"]) for k in range(len(self.module_.layers))]


def _digest(array: NDArray[Any]) -> str:
    return hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()
