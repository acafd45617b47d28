"""Callbacks of a fit: one reports each epoch before the callbacks of the user, one ends training after them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import Callback

from sk_quadrant._solvers.nets import TrainingFinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from sk_quadrant._progress import Progress
    from sk_quadrant._solvers.base import Observe, Score


class EpochReport(Callback):
    """Raise an error if a loss is not finite, record the scores of the held-out rows, and show the epoch.

    Progress is a bar, or a line for each epoch, without control characters, where none can be drawn.

    Parameters
    ----------
    score_on : callable or None
        See `Problem.score_on`.
    progress : Progress
    """

    def __init__(self, score_on: Callable[[Any], Score] | None, progress: Progress) -> None:
        self.score_on, self.progress = score_on, progress
        self.score: Score | None = None

    def on_epoch_end(self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Report the epoch."""
        _check_finite(net.history[-1])
        if self.score_on is not None:
            self.score = self.score or self.score_on(dataset_valid.index)  # the rows are the same in all epochs
            for name, value in self.score(net.current_weights()).items():
                net.history.record(name, value)
        if self.progress.is_on:
            self._show(epoch_row(net.history[-1]), net.max_epochs)

    def _show(self, row: dict[str, Any], max_epochs: int) -> None:
        numbers = {name: f"{value:.6g}" for name, value in row.items() if name != "epoch"}
        line = f"epoch {row['epoch']}/{max_epochs}: " + ", ".join(" ".join(pair) for pair in numbers.items())
        numbers.pop("learning_rate", None)
        self.progress.step(row["epoch"], line, ", ".join("=".join(pair) for pair in numbers.items()))


def _check_finite(row: dict[str, Any]) -> None:
    for name, where in (("train_loss", ""), ("valid_loss", " of the validation rows of early_stopping")):
        if not np.isfinite(row.get(name, 0.0)):
            raise FloatingPointError(
                f"the loss{where} became {row[name]} in epoch {row['epoch']}; scale X or lower learning_rate_init"
            )


class Ending(Callback):
    """Call an observer after each epoch; end training at its request, or when a quantity has not improved for long.

    The epochs are counted in the history, so that resumed training continues the count.

    Parameters
    ----------
    observe : callable or None
        See `Problem.observe`.
    monitor : str
        Column of the history; a larger "valid_score" is better, otherwise a smaller value.
    patience : float
        Epochs without improvement.
    tol : float
        Smallest improvement.
    keep_best : bool
        Whether to restore the weights of the best epoch at the end.
    """

    def __init__(self, observe: Observe | None, monitor: str, *, patience: float, tol: float, keep_best: bool) -> None:
        self.observe, self.monitor, self.patience, self.tol = observe, monitor, patience, tol
        self.sign, self.keep_best = 1 if monitor == "valid_score" else -1, keep_best

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Read a restored history, whose best weights have been restored, too."""
        self.seen_, self.misses_, self.best_ = 0, 0, -np.inf
        best = net.best_weights_
        self._read(net)
        if self.seen_ and self.best_epoch_ < self.seen_ and best is not None:
            net.best_weights_ = best

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """End training whose restored history is complete."""
        self._end_if(stops=False)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Report and read the epoch."""
        stops = self.observe is not None and self.observe(lambda: deepcopy(net.current_weights()))
        self._read(net)
        self._end_if(stops=stops)

    def _end_if(self, *, stops: bool) -> None:
        if stops or self.misses_ >= self.patience:
            raise TrainingFinished

    def _read(self, net: NeuralNet) -> None:
        for row in net.history.to_list()[self.seen_ :]:
            value = self.sign * row[self.monitor]
            self.seen_ += 1
            self.misses_ = 0 if value > self.best_ + self.tol else self.misses_ + 1
            if value > self.best_:
                self.best_, self.best_epoch_ = value, self.seen_
                if self.keep_best:
                    net.best_weights_ = deepcopy(net.module_.state_dict())

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best weights."""
        if self.keep_best and net.best_weights_ is not None:
            net.module_.load_state_dict(net.best_weights_)


def epoch_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of an epoch for users: its number, learning rate, losses and scores."""
    hidden = ("dur", "batches", "train_batch_count", "valid_batch_count")
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in row.items()
        if name not in hidden and not name.endswith("_best") and not name.startswith("event_")
    }
