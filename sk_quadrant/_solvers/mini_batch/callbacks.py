"""Callbacks of training by epochs: scores on held-out rows, progress, and early stopping."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import Callback

from sk_quadrant._solvers.nets import TrainingFinished

if TYPE_CHECKING:
    from sk_quadrant._progress import Progress
    from sk_quadrant._solvers.base import Observe, Score


class StopUnlessFinite(Callback):
    """Raise an error as soon as the loss of an epoch is not finite."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check the loss of the epoch."""
        row = net.history[-1]
        for name, where in (("train_loss", ""), ("valid_loss", " of the validation rows of early_stopping")):
            if not np.isfinite(row.get(name, 0.0)):
                raise FloatingPointError(
                    f"the loss{where} became {row[name]} in epoch {len(net.history)}; scale X or lower "
                    "learning_rate_init"
                )


class HeldOutScore(Callback):
    """Record the scores of the current weights on the held-out rows.

    Parameters
    ----------
    score_on : callable
        See `Problem.score_on`.
    """

    def __init__(self, score_on: Callable[[Any], Score]) -> None:
        self.score_on = score_on
        self.score: Score | None = None

    def on_epoch_end(self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Compute and record the scores."""
        if self.score is None:  # the rows are the same in all epochs
            self.score = self.score_on(dataset_valid.index)
        for name, value in self.score(net.current_weights()).items():
            net.history.record(name, value)


class EpochProgress(Callback):
    """Show the epochs: a bar, or a line for each, without control characters, where none can be drawn.

    Parameters
    ----------
    progress : Progress
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Show the epoch."""
        if not self.progress.is_on:
            return
        row = epoch_row(net.history[-1])
        numbers = {name: f"{value:.6g}" for name, value in row.items() if name != "epoch"}
        line = f"epoch {row['epoch']}/{net.max_epochs}: " + ", ".join(" ".join(pair) for pair in numbers.items())
        numbers.pop("learning_rate", None)
        self.progress.step(row["epoch"], line, ", ".join("=".join(pair) for pair in numbers.items()))


class Observer(Callback):
    """Call a function after each epoch, with access to a copy of the weights; see `Problem.observe`.

    Parameters
    ----------
    observe : callable
    """

    def __init__(self, observe: Observe) -> None:
        self.observe = observe
        self.stops = False

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Report the epoch."""
        self.stops = self.observe(lambda: deepcopy(net.current_weights()))


class StopOnRequest(Callback):
    """End training at the request of an observer, after the other callbacks of the epoch.

    Parameters
    ----------
    observer : Observer
    """

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """End training."""
        if self.observer.stops:
            raise TrainingFinished


class Patience(Callback):
    """End training when a quantity has not improved for some epochs.

    The count is read from the history, so that resumed training continues it.

    Parameters
    ----------
    monitor : str
        Column of the history.
    larger_is_better : bool
    patience : int
        Epochs without improvement.
    tol : float
        Smallest improvement.
    keep_best : bool
        Whether to restore the weights of the best epoch at the end.
    """

    def __init__(self, monitor: str, *, larger_is_better: bool, patience: int, tol: float, keep_best: bool) -> None:
        self.monitor = monitor
        self.larger_is_better = larger_is_better
        self.patience = patience
        self.tol = tol
        self.keep_best = keep_best

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Read a restored history."""
        self.seen_, self.misses_, self.best_ = 0, 0, -np.inf
        best = net.best_weights_
        self._read(net)
        if self.seen_ and self.best_epoch_ < self.seen_ and best is not None:
            net.best_weights_ = best
        self._finish_without_progress()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Read the epoch."""
        self._read(net)
        self._finish_without_progress()

    def _read(self, net: NeuralNet) -> None:
        for row in net.history.to_list()[self.seen_ :]:
            value = row[self.monitor] if self.larger_is_better else -row[self.monitor]
            self.seen_ += 1
            self.misses_ = 0 if value > self.best_ + self.tol else self.misses_ + 1
            if value > self.best_:
                self.best_, self.best_epoch_ = value, self.seen_
                if self.keep_best:
                    net.best_weights_ = net.read_weights()

    def _finish_without_progress(self) -> None:
        if self.misses_ >= self.patience:
            raise TrainingFinished

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best weights."""
        if self.keep_best and net.best_weights_ is not None:
            net.write_weights(net.best_weights_)


def epoch_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of an epoch for users: its number, learning rate, losses and scores."""
    hidden = ("dur", "batches", "train_batch_count", "valid_batch_count")
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in row.items()
        if name not in hidden and not name.endswith("_best") and not name.startswith("event_")
    }
