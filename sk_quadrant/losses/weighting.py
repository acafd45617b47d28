"""Masks and weights of rows and labels: unknown labels and labels of weight 0 contribute nothing.

For authors of set-wise losses and for code that evaluates losses. The functions take tensors; nothing is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["known", "split_weight", "weighted"]


def known(scores: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return scores and targets with zeros in place of unknown labels, so that NaN there reaches no formula.

    Call it before the formula of a loss. A mask that is applied only after the formula leaves 0 * NaN = NaN in the
    gradient.

    Parameters
    ----------
    scores : Tensor of shape (n_samples, n_labels)
        Scores of the model.
    targets : Tensor of shape (n_samples, n_labels)
        Targets in [0, 1], anything where unknown.
    mask : bool Tensor of shape (n_samples, n_labels) or None
        True where the target is known; None when all are known.

    Returns
    -------
    scores : Tensor of shape (n_samples, n_labels)
        Scores, 0 where the target is unknown.
    targets : Tensor of shape (n_samples, n_labels)
        Targets, 0 where unknown.

    See Also
    --------
    weighted : The mask of what the formula returns.

    Examples
    --------
    >>> import torch
    >>> scores, targets = torch.tensor([[0.5, 2.0]]), torch.tensor([[1.0, torch.nan]])
    >>> known(scores, targets, torch.tensor([[True, False]]))
    (tensor([[0.5000, 0.0000]]), tensor([[1., 0.]]))
    """
    if mask is None:
        return scores, targets
    return scores.masked_fill(~mask, 0), targets.masked_fill(~mask, 0)


def weighted(values: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
    """Return values times the weights of labels, 0 for unknown labels and for labels of weight 0.

    Call it on what the formula of a loss returns for each label: losses, derivatives, terms of a sum.

    Parameters
    ----------
    values : Tensor of shape (n_samples, n_labels)
        Values of rows and labels.
    mask : bool Tensor of shape (n_samples, n_labels) or None
        True where the target is known; None when all are known.
    weight : Tensor that broadcasts to (n_samples, n_labels) or None
        Nonnegative weights; None when all are 1.

    Returns
    -------
    Tensor of shape (n_samples, n_labels)
        Weighted values.

    See Also
    --------
    known : The mask of what the formula takes.
    split_weight : Weights of rows and of labels from weights of both.

    Examples
    --------
    >>> import torch
    >>> values, weight = torch.tensor([[1.0, torch.inf, 3.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> weighted(values, torch.tensor([[True, True, False]]), weight)
    tensor([[2., 0., 0.]])
    """
    if weight is not None:
        values = (values * weight).masked_fill(weight == 0, 0)  # 0 times an infinite loss is NaN
    return values if mask is None else values.masked_fill(~mask, 0)


def split_weight(weight: Tensor | None, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the weights of rows and the relative weights of labels within their row.

    The weight of a row is the mean over its known labels of positive weight: equal weights in a row are the weight of
    that row, and a label of weight 0 is the same as an unknown one.

    Parameters
    ----------
    weight : Tensor of shape (n_samples,) or (n_samples, n_labels), or None
        Nonnegative weights of rows, or of rows and labels.
    mask : bool Tensor of shape (n_samples, n_labels) or None
        True where the target is known; None when all are known.

    Returns
    -------
    row_weight : Tensor of shape (n_samples,) or None
        None when there are no weights.
    label_weight : Tensor of shape (n_samples, n_labels) or None
        Weights with mean 1 over the known labels of positive weight in a row; None when labels have no weights of their
        own.

    See Also
    --------
    weighted : Values times the weights of labels.

    Examples
    --------
    >>> import torch
    >>> split_weight(torch.tensor([[1.0, 3.0], [2.0, 2.0]]), None)
    (tensor([2., 2.]), tensor([[0.5000, 1.5000],
            [1.0000, 1.0000]]))
    """
    if weight is None or weight.ndim == 1:
        return weight, None
    if mask is not None:
        weight = weight.masked_fill(~mask, 0)
    row_weight = weight.sum(dim=1) / (weight > 0).sum(dim=1).clamp(min=1)
    return row_weight, weight / row_weight.where(row_weight > 0, 1)[:, None]
