"""The training problem of a linear model: data, loss and penalty, cut into blocks of labels that fit in memory.

It is the closure that a full-batch solver is given.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_quadrant._data import TrainingData, as_tensor
from sk_quadrant._design import SpanDesign, as_design
from sk_quadrant._objective import Objective, TargetBlock
from sk_quadrant._preconditioner import choose_metric
from sk_quadrant.losses import Loss
from sk_quadrant.losses._base import split_weight

BLOCK_ELEMENTS = (
    2**24
)  # parameters, or scores of sparse data, that a block of labels may have: 64 MiB in single precision
LABELS_PER_BLOCK = 128  # of sparse data: a row of weights, 512 bytes, stays in cache while it is gathered


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
        self.loss, self.targets = loss, data.targets
        self.data_design = as_design(data.X, dtype=data.dtype, device=device)
        self._prepare_weights(data.dtype, device)
        self.mean = self.data_design.moments(self.row_weight, 1) if fit_intercept else None
        self.design = SpanDesign.of(self.data_design, self.row_weight, self.mean) or self.data_design
        total = self.data_design.n_rows if self.row_weight is None else float(self.row_weight.sum(dtype=torch.float64))
        self.alpha = 1 / (C * total)
        self.metric = choose_metric(self.design, self.row_weight, self._design_mean(), self.targets.n_labels)
        self.variance = self._variance()

    def _prepare_weights(self, dtype: torch.dtype, device: torch.device) -> None:
        targets = self.targets
        weight = None if targets.weight is None else as_tensor(targets.weight)
        mask = None if targets.mask is None else as_tensor(targets.mask)
        row_weight, label_weight = split_weight(weight, mask)
        self.row_weight = None if row_weight is None else row_weight.to(device, dtype)
        self.label_weight = None if label_weight is None else label_weight.to(dtype)

    def _design_mean(self) -> Tensor | None:
        """Return the mean of the working design: the span of centred rows has mean zero."""
        if self.mean is None or self.design is self.data_design:
            return self.mean
        return torch.zeros(self.design.n_features, dtype=self.design.dtype, device=self.design.device)

    def _variance(self) -> Tensor:
        mean = self._design_mean()
        if mean is None:
            return self.design.moments(self.row_weight, 2)
        return self.design.centred_moment(self.row_weight, mean)

    def blocks(self) -> Iterator[Tensor]:
        """Yield the indices of the labels of each block, frequent labels first for a labelwise loss."""
        n_labels = self.targets.n_labels
        if not self.loss.labelwise:
            yield torch.arange(n_labels)
            return
        order = np.argsort(-self.targets.frequency(), kind="stable")
        columns = self.design.n_features
        if self.design.feature_major:
            columns = max(columns, self.design.n_rows)
        size = max(1, min(LABELS_PER_BLOCK if self.design.feature_major else n_labels, BLOCK_ELEMENTS // columns))
        for start in range(0, n_labels, size):
            yield torch.from_numpy(order[start : start + size])

    def objective(self, labels: Tensor) -> Objective:
        """Return the objective of some labels."""
        return Objective(
            self.design, self._target_block(labels), self.loss, self.alpha, self.row_weight, self._design_mean(),
            self.variance,
        )  # fmt: skip

    def _target_block(self, labels: Tensor) -> TargetBlock:
        index, device = labels.numpy(), self.design.device
        values = self.targets.values
        columns = values[:, index].toarray() if sparse.issparse(values) else values[:, index]
        mask = None if self.targets.mask is None else np.ascontiguousarray(self.targets.mask[:, index].T)
        weight = None if self.label_weight is None else self.label_weight[:, labels].T.contiguous().to(device)
        return TargetBlock(
            as_tensor(np.ascontiguousarray(columns.T), device=device),
            None if mask is None else as_tensor(mask, device=device),
            weight,
        )

    def adopt(self, coef: Tensor, intercept: Tensor | None) -> Tensor:
        """Return the parameters theta of a published model, (n_labels, n_columns)."""
        theta = self.design.zeros(len(coef), self.design.n_features + (self.mean is not None))
        theta[:, : self.design.n_features] = self.design.project(coef)
        if self.mean is not None and intercept is not None:
            theta[:, -1] = intercept + coef @ self.mean
        return theta

    def publish(self, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return coef (n_labels, n_features) and intercept (n_labels,) for the features as they came."""
        coef = self.design.lift(theta[:, : self.design.n_features])
        return coef, None if self.mean is None else theta[:, -1] - coef @ self.mean
