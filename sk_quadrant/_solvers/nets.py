"""The skorch nets of all solvers: the criterion, which calls the loss, and the surroundings of a training loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.utils import to_numpy
from torch import Tensor, nn

from sk_quadrant._solvers.tensors import split_targets

if TYPE_CHECKING:
    from sk_quadrant.losses import Loss

Net = TypeVar("Net", bound="LabelNet")


class TrainingFinished(KeyboardInterrupt):
    """Raised to end the training loop early, on purpose; skorch ends it by a plain KeyboardInterrupt."""


class LossCriterion(nn.Module):
    """Criterion of a net that calls a loss, with targets in the form of a batch of `BatchData`.

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, scores: Tensor, batch: Any) -> Tensor:
        """Return the weighted mean over rows; the row weights have mean 1 over the whole data."""
        targets, mask, label_weight, row_weight = split_targets(batch)
        losses = self.loss.per_sample(scores, targets, mask, label_weight)
        return losses.mean() if row_weight is None else (losses * row_weight).mean()


class LabelNet(NeuralNet):
    """Net that predicts labels; its `predict_proba` applies the link, passed as `predict_nonlinearity`.

    Attributes
    ----------
    interrupted_ : bool
        Whether the user has stopped the training.
    finished_ : bool
        Whether a callback has ended it early, on purpose.
    """

    interrupted_ = finished_ = False

    @classmethod
    def around(cls: type[Net], module: nn.Module, loss: Loss, device: Any, **options: Any) -> Net:
        """Return an initialised net around a module and a loss, with further parameters of the class."""
        net: Net = cls(
            module,
            LossCriterion(loss),
            device=device,
            train_split=None,
            predict_nonlinearity=None if loss.link is None else loss.link.inverse,
            callbacks__print_log=None,
            verbose=0,
            **options,
        ).initialize()
        return net

    @property
    def loss(self) -> Loss:
        """The loss that the criterion calls."""
        loss: Loss = self.criterion_.loss
        return loss

    @contextmanager
    def training(self, data: Any) -> Iterator[None]:
        """Surround the training loop by its notifications, and note how it has ended."""
        self.interrupted_ = self.finished_ = False
        self.notify("on_train_begin", X=data, y=None)
        try:
            yield
        except KeyboardInterrupt as end:
            self.finished_ = isinstance(end, TrainingFinished) or _has_stopped(self)
            self.interrupted_ = not self.finished_
        self.notify("on_train_end", X=data, y=None)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return which scores exceed the natural threshold of the loss."""
        scores = np.concatenate([to_numpy(part) for part in self.forward_iter(X, training=False)])
        return np.asarray(scores > self.loss.threshold, dtype=np.int64)


def _has_stopped(net: NeuralNet) -> bool:
    return any(
        isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience for _, callback in net.callbacks_
    )
