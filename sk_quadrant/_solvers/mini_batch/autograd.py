"""Training steps of any module: the loss gives the gradient with respect to the scores, autograd the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sk_quadrant._solvers.mini_batch.batches import equal_sizes
from sk_quadrant._solvers.own_modules import call, split_values
from sk_quadrant._solvers.tensors import split_targets

if TYPE_CHECKING:
    from sk_quadrant._solvers.mini_batch.batches import Chunk


class AutogradSteps:
    """Steps of the optimizer of a net; the penalty is added to the gradients.

    Parameters
    ----------
    net : MultiLabelNet
        Net with module, loss, optimizer, penalty on trained parameters of two axes or more, and `micro_batch_size`.
    """

    def __init__(self, net: Any) -> None:
        self.module, self.loss, self.optimizer, self.penalty = net.module_, net.loss, net.optimizer_, net.penalty_
        self.micro_batch_size, self.set_rate = net.micro_batch_size, net.set_rate
        self.penalised = [weight for weight in self.module.parameters() if weight.requires_grad and weight.ndim > 1]

    def run(self, chunk: Chunk, rates: Sequence[float]) -> float:
        """Take a step on each batch and return the sum of the losses of rows, each before its step."""
        for (x, y), scores, rate in zip(chunk.batches, split_values(chunk.scores, chunk.sizes), rates, strict=True):
            self.set_rate(rate)
            self.optimizer.zero_grad()
            scores.copy_(self.backward(x, y))
            self.optimizer.step()
        return chunk.total_loss(self.loss)

    def backward(self, x: Any, y: Any) -> Tensor:
        """Compute the gradient of a batch's mean loss and of the penalty, and return the scores."""
        n_rows = len(split_targets(y)[0])
        scores = torch.cat([self._backward_part(*part, n_rows) for part in self._micro_batches(x, y)])
        if self.penalty:
            with torch.no_grad():
                for weight in self.penalised:
                    weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                    weight.grad.add_(weight, alpha=self.penalty)
        return scores

    def _backward_part(self, x: Any, y: Any, n_rows: int) -> Tensor:
        """Add the gradient of the losses of some rows, divided by a number, and return their scores."""
        targets, mask, label_weight, row_weight = split_targets(y)
        scores = call(self.module, x, tuple(targets.shape))
        detached = scores.detach()
        gradient = self.loss.gradient(detached, targets, mask, label_weight) / n_rows
        if row_weight is not None:
            gradient *= row_weight[:, None]
        torch.autograd.backward(scores, gradient.to(scores.dtype))
        return detached

    @torch.no_grad()
    def scores(self, x: Any, y: Any) -> Tensor:
        """Return the scores of a batch."""
        parts = self._micro_batches(x, y)
        return torch.cat([call(self.module, part, tuple(split_targets(target)[0].shape)) for part, target in parts])

    def _micro_batches(self, x: Any, y: Any) -> list[tuple[Any, Any]]:
        """Return inputs and targets of the parts of a batch, of at most `micro_batch_size` rows and similar sizes."""
        n_rows = len(split_targets(y)[0])
        if self.micro_batch_size is None or n_rows <= self.micro_batch_size:
            return [(x, y)]
        sizes = equal_sizes(n_rows, self.micro_batch_size)
        return list(zip(split_values(x, sizes), split_values(y, sizes), strict=True))
