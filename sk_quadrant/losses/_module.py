"""A loss as a PyTorch module, the form in which training loops take it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from sk_quadrant.losses._base import check_reduction

if TYPE_CHECKING:
    from sk_quadrant.losses._base import Loss


class LossModule(nn.Module):
    """A loss as a module without parameters or buffers; `Loss.module` makes it.

    Parameters
    ----------
    loss : str, Loss or class of Loss, default="bce_with_logits"
        A name in `LOSSES`, a loss, or its class.
    reduction : {"mean", "sum", "none"}, default="mean"
        What `forward` returns: the mean over rows, their sum, or the loss of each row.
    ignore_index : float or None, default=None
        Target of unknown labels, which contribute nothing, for instance -100 or NaN. None if there are none.
    **parameters : dict
        Parameters of the loss, for a name or a class.

    Attributes
    ----------
    loss : Loss
        The loss, for `Loss.proba` and `Loss.decide`.

    See Also
    --------
    Loss.module : Make the module from a loss.

    Notes
    -----
    Shapes and types of the targets are checked, values are not, as in the losses of PyTorch: the check would make each
    step wait for a GPU. Targets outside [0, 1], such as 2, or -100 without `ignore_index`, train a wrong model without
    an error. Check them once before training, ``assert ((targets >= 0) & (targets <= 1)).all()``.

    Examples
    --------
    >>> import torch
    >>> criterion = LossModule("focal", gamma=3.0, ignore_index=-100)
    >>> scores = torch.zeros(2, 3, requires_grad=True)
    >>> criterion(scores, torch.tensor([[1, 0, -100], [0, 0, 1]])).backward()
    >>> scores.grad[0, 2]
    tensor(0.)

    With skorch, parameters of the loss are parameters of the net, which searches find:

    >>> from skorch import NeuralNet
    >>> options = {"criterion": LossModule, "criterion__loss": "focal", "criterion__gamma": 3.0}
    >>> net = NeuralNet(torch.nn.LazyLinear, module__out_features=3, **options)
    >>> net.initialize().criterion_.loss
    Focal(gamma=3.0, alpha=None)
    """

    def __init__(
        self,
        loss: Any = "bce_with_logits",
        reduction: str = "mean",
        ignore_index: float | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        self.loss: Loss = _loss_of(loss, parameters)
        check_reduction(reduction, type(self).__name__)
        if ignore_index is not None and not isinstance(ignore_index, int | float):
            raise TypeError(f"ignore_index must be a number or None, got {ignore_index!r}.")
        self.reduction, self.ignore_index = reduction, ignore_index

    def forward(
        self,
        scores: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        *,
        weight: Tensor | None = None,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        scores : Tensor of shape (..., n_labels)
            Scores of the network, without a sigmoid.
        targets : Tensor of shape (..., n_labels)
            Targets in [0, 1], `ignore_index` where unknown.
        mask : bool Tensor of shape (..., n_labels), default=None
            True where the target is known.
        weight : Tensor of shape (...) or (..., n_labels), default=None
            Weights of rows, or of rows and labels.
        num_items_in_batch : int or Tensor of shape (), default=None
            Number of known labels in all batches over which gradients are accumulated, as the ``Trainer`` of Hugging
            Face counts them and passes them to its ``compute_loss_func``. The result is then the sum over rows divided
            by ``num_items_in_batch / n_labels``: with all labels known, gradients of small batches add up to those of
            one large batch. Replaces `reduction`.

        Returns
        -------
        Tensor of shape (), or of the shape of the rows, ``scores.shape[:-1]``, for ``reduction="none"``
            The loss.

        Raises
        ------
        ValueError, TypeError
            As `Loss.__call__`.
        """
        if self.ignore_index is not None:
            unknown = targets.isnan() if math.isnan(self.ignore_index) else targets == self.ignore_index
            mask = ~unknown if mask is None else mask & ~unknown
        reduction = self.reduction if num_items_in_batch is None else "sum"
        result = self.loss(scores, targets, mask=mask, weight=weight, reduction=reduction)
        return result if num_items_in_batch is None else result * (scores.shape[-1] / num_items_in_batch)

    def extra_repr(self) -> str:
        """Return the loss and the options that differ from their defaults, for the repr of a network.

        Returns
        -------
        str
            The text inside the parentheses of the repr.
        """
        options = [repr(self.loss)]
        options += [] if self.reduction == "mean" else [f"reduction={self.reduction!r}"]
        options += [] if self.ignore_index is None else [f"ignore_index={self.ignore_index}"]
        return ", ".join(options)


def _loss_of(loss: Any, parameters: dict[str, Any]) -> Loss:
    """Return the loss of a name, a class or a loss."""
    from sk_quadrant.losses import LOSSES, Loss

    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(sorted(LOSSES))}, a Loss or its class, got {loss!r}.")
    kind = LOSSES[loss] if isinstance(loss, str) else loss
    if isinstance(kind, type) and issubclass(kind, Loss):
        return kind(**parameters)
    if not isinstance(kind, Loss):
        raise TypeError(f"loss must be a name, a Loss or its class, got {loss!r}.")
    if parameters:
        raise TypeError(f"Parameters {sorted(parameters)} need a name or a class of loss, got {loss!r}.")
    return kind
