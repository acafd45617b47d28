"""Losses of rows whose derivative is known in closed form, as one step of autograd.

A training step needs the value and the first derivative. Autograd would record each operation of the formula and derive
again what the loss computes anyway, at two to five times the cost. Everything else (higher derivatives, forward mode,
derivatives with respect to targets or weights, ``torch.func``, compilation) is left to PyTorch, which differentiates
the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from sk_quadrant.losses._base import is_transformed

if TYPE_CHECKING:
    from sk_quadrant.losses._base import Loss

BLOCK_ELEMENTS = 2**16  # scores whose intermediate results stay in the cache of a core


def row_losses(loss: Loss, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
    """Return the loss of each row, shape (n_rows,), from `Loss.values_and_gradient`."""
    if is_transformed() or any(map(_has_tangent, (scores, targets, weight))):  # the compiler drops what is not needed
        return _recorded(loss, scores, targets, mask, weight)
    losses: Tensor = ClosedForm.apply(loss, scores, targets, mask, weight)  # type: ignore[no-untyped-call]
    return losses


def _has_tangent(tensor: Tensor | None) -> bool:
    return tensor is not None and unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def _recorded(loss: Loss, *tensors: Tensor | None) -> Tensor:
    return loss.values_and_gradient(*tensors)[0].sum(dim=1)  # type: ignore[arg-type]


class ClosedForm(torch.autograd.Function):
    """Losses of rows, with their derivative kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, loss: Loss, *inputs: Tensor | None) -> Tensor:
        """Compute values and derivatives, on the CPU in blocks of rows."""
        parts = [loss.values_and_gradient(*block) for block in _row_blocks(*inputs)]  # type: ignore[arg-type]
        losses, gradients = [values.sum(dim=1) for values, _ in parts], [gradient for _, gradient in parts]
        ctx.loss = loss
        ctx.save_for_backward(*inputs, gradients[0] if len(parts) == 1 else torch.cat(gradients))
        return losses[0] if len(parts) == 1 else torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """Multiply the derivative, or differentiate the values again if more than the first derivative is wanted."""
        *inputs, gradient = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        if not torch.is_grad_enabled() and not any(wanted[1:]):
            return None, gradient * upstream[:, None], None, None, None
        with torch.enable_grad():  # views, as one tensor may be passed twice
            varied = [x.view_as(x) if want else x for x, want in zip(inputs, wanted, strict=True)]
            leaves = [x for x, want in zip(varied, wanted, strict=True) if want]
            losses = _recorded(ctx.loss, *varied)
        slopes = iter(torch.autograd.grad(losses, leaves, upstream, create_graph=torch.is_grad_enabled()))
        return None, *(next(slopes) if want else None for want in wanted)


def _row_blocks(scores: Tensor, *others: Tensor | None) -> Any:
    """Return blocks of rows that stay in cache, all rows at once on other devices than the CPU."""
    n_rows, n_labels = scores.shape
    size = max(1, BLOCK_ELEMENTS // max(1, n_labels))
    if n_rows <= size or scores.device.type != "cpu":
        return [(scores, *others)]
    parts: Any = ([None] * -(-n_rows // size) if x is None else torch.split(x, size) for x in (scores, *others))
    return zip(*parts, strict=True)
