"""The skorch net: linear module, criterion that asks the loss, and batches without a loop over rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.nn.functional import linear

from sk_quadrant._data import SparseRows, TrainingData
from sk_quadrant._problem import Problem
from sk_quadrant.losses import Loss


class LinearScores(nn.Module):
    """Linear model that starts at zero, so that its results do not depend on a seed.

    Parameters
    ----------
    n_features, n_labels : int
    fit_intercept : bool
    dtype : torch.dtype
    """

    def __init__(self, n_features: int, n_labels: int, *, fit_intercept: bool, dtype: torch.dtype) -> None:
        super().__init__()
        # held feature by feature, the order in which sparse rows gather weights
        self.weight = nn.Parameter(torch.zeros(n_features, n_labels, dtype=dtype).T)
        if fit_intercept:
            self.bias = nn.Parameter(torch.zeros(n_labels, dtype=dtype))
        else:
            self.register_parameter("bias", None)

    def forward(self, X: Tensor | SparseRows) -> Tensor:
        """Return scores of shape (n_rows, n_labels)."""
        if isinstance(X, SparseRows):
            scores = X.times(self.weight.T)
            return scores if self.bias is None else scores + self.bias
        return linear(X, self.weight, self.bias)


class LossCriterion(nn.Module):
    """Criterion of a net that asks a loss; the targets come as the dict of a `TrainingData` batch.

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, scores: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the weighted mean over rows; the row weights have mean 1 over the whole data."""
        losses = self.loss.per_sample(scores, batch["targets"], batch.get("mask"), batch.get("label_weight"))
        if "row_weight" in batch:
            losses = losses * batch["row_weight"]
        return losses.mean()


class Batches:
    """Shuffled batches of training data, sliced from tensors.

    Parameters
    ----------
    data : TrainingData
    size : int
    generator : torch.Generator or None
    """

    def __init__(self, data: TrainingData, size: int, generator: torch.Generator | None) -> None:
        self.data, self.size, self.generator = data, size, generator

    def __len__(self) -> int:
        return -(-len(self.data) // self.size)

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(len(self.data), generator=self.generator).numpy()
        for start in range(0, len(order), self.size):
            yield self.data.rows(order[start : start + self.size])


class MultiLabelNet(NeuralNet):  # type: ignore[misc]
    """Net that trains on mini-batches of `TrainingData`.

    Parameters
    ----------
    penalty : float
        Strength of the penalty on the weights, 1 / (C * sum(w)).
    generator : torch.Generator or None
        Source of the order of rows.
    **kwargs
        Parameters of `skorch.NeuralNet`.
    """

    def __init__(
        self, *args: Any, penalty: float = 0.0, generator: torch.Generator | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.penalty = penalty
        self.generator = generator

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return shuffled batches for training, and what skorch has for anything else."""
        if training and isinstance(dataset, TrainingData):
            return Batches(dataset, self.batch_size, self.generator)
        return super().get_iterator(dataset, training=training)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return scores; rows of a sparse matrix go to the module as they are."""
        if isinstance(x, SparseRows):
            return self.module_(x.to(self.device), **fit_params)
        return super().infer(x, **fit_params)

    def get_loss(self, y_pred: Tensor, y_true: Any, *args: Any, training: bool = False, **kwargs: Any) -> Tensor:
        """Return the criterion, with the penalty on all weights (not on intercepts) when training."""
        loss: Tensor = super().get_loss(y_pred, y_true, *args, training=training, **kwargs)
        if training and self.penalty:
            for parameter in self.module_.parameters():
                if parameter.ndim > 1:
                    loss = loss + 0.5 * self.penalty * parameter.square().sum()
        return loss


class FullBatchNet(NeuralNet):  # type: ignore[misc]
    """Net of a linear model that trains on all rows at once: one epoch of one step is the whole fit.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    **kwargs
        Parameters of `skorch.NeuralNet`.
    """

    def __init__(self, *args: Any, C: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.C = C

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the data as one batch for training, and what skorch has for anything else."""
        if training and isinstance(dataset, TrainingData):
            return [(dataset, None)]
        return super().get_iterator(dataset, training=training)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Let the optimizer solve the whole problem."""
        problem = Problem(
            batch[0], self.criterion_.loss, C=self.C, fit_intercept=self.module_.bias is not None,
            device=self.module_.weight.device,
        )  # fmt: skip
        return {"loss": self.optimizer_.step(problem), "y_pred": None}
