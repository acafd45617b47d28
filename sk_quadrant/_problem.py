"""The training problem of a linear model: data, loss and penalty, cut into blocks of labels that fit in memory.

It is the closure that a full-batch solver is given.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sk_quadrant._data import TrainingData, as_tensor
from sk_quadrant._design import as_design
from sk_quadrant._objective import Objective, TargetBlock
from sk_quadrant._preconditioner import choose_metric
from sk_quadrant.losses import Loss
from sk_quadrant.losses._base import split_weight

BLOCK_ELEMENTS = (
    2**24
)  # parameters, or scores of sparse data, that a block of labels may have: 64 MiB in single precision
LABELS_PER_BLOCK = 64  # of sparse data: a row of weights, 256 bytes, stays in cache while it is gathered


class Problem:
    """Penalised weighted mean loss over all labels.

    Parameters
    ----------
    data : TrainingData
    loss : Loss
    C : float
        Inverse strength of the penalty, infinity for none.
    fit_intercept : bool
    device : torch.device
    """

    def __init__(self, data: TrainingData, loss: Loss, *, C: float, fit_intercept: bool, device: torch.device) -> None:
        self.loss, self.data, self.targets = loss, data, data.targets
        weight = None if data.targets.weight is None else as_tensor(data.targets.weight)
        mask = None if data.targets.mask is None else as_tensor(data.targets.mask)
        row_weight, label_weight = split_weight(weight, mask)
        self.label_weight = None if label_weight is None else label_weight.to(data.dtype)
        self.design = as_design(
            data.X,
            None if row_weight is None else row_weight.to(device, data.dtype),
            fit_intercept=fit_intercept,
            dtype=data.dtype,
            device=device,
        )
        self.penalty = 1 / C
        self.metric = choose_metric(self.design, data.targets.n_labels)

    def blocks(self) -> Iterator[Tensor]:
        """Yield the indices of the labels of each block, frequent labels first for a labelwise loss."""
        n_labels = self.targets.n_labels
        if not self.loss.labelwise:
            yield torch.arange(n_labels)
            return
        order = np.argsort(-self.targets.frequency(), kind="stable")
        size = max(1, BLOCK_ELEMENTS // self.design.n_columns)
        if self.design.feature_major:
            size = max(1, min(LABELS_PER_BLOCK, size, BLOCK_ELEMENTS // self.design.n_rows))
        for start in range(0, n_labels, size):
            yield torch.from_numpy(order[start : start + size])

    def objective(self, labels: Tensor) -> Objective:
        """Return the objective of some labels."""
        return Objective(self.design, self._target_block(labels), self.loss, self.penalty)

    def _target_block(self, labels: Tensor) -> TargetBlock:
        index, device = labels.numpy(), self.design.device
        columns = self.data.label_columns(index)
        mask = None if self.targets.mask is None else np.ascontiguousarray(self.targets.mask[:, index].T)
        weight = None if self.label_weight is None else self.label_weight[:, labels].T.contiguous().to(device)
        return TargetBlock(
            as_tensor(np.ascontiguousarray(columns.T), device=device),
            None if mask is None else as_tensor(mask, device=device),
            weight,
        )
