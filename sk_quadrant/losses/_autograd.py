"""Losses of rows whose derivative is known in closed form, under every transformation of PyTorch.

A training step needs the value and the first derivative. Autograd would record each operation of the formula and derive
again what the loss computes anyway, at two to five times the cost. Everything else (higher derivatives, forward mode,
derivatives with respect to targets or weights, compilation) is left to PyTorch, which differentiates the values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

if TYPE_CHECKING:
    from sk_quadrant.losses._base import Loss

BLOCK_ELEMENTS = 2**16  # scores whose intermediate results stay in the cache of a core


def row_losses(loss: Loss, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
    """Return the loss of each row, shape (n_rows,), from `Loss.values_and_gradient`."""
    # the compiler drops what is not needed; PyTorch nests no forward mode in that of a function
    if torch.compiler.is_compiling() or any(map(_has_tangent, (scores, targets, weight))):
        return _traced(loss, scores, targets, mask, weight)
    apply: Callable[..., Any] = ClosedForm.apply if _transforms_are_active() else _APPLY
    losses: Tensor = apply(loss, scores, targets, mask, weight)[0]
    return losses


# `Function.apply` inspects the signature of `forward`, which takes as long as the losses of a small batch. It is needed
# inside the transformations of `torch.func` only.
_transforms_are_active: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def _has_tangent(tensor: Tensor | None) -> bool:
    return tensor is not None and unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def _traced(loss: Loss, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
    return loss.values_and_gradient(scores, targets, mask, weight)[0].sum(dim=1)


class ClosedForm(torch.autograd.Function):
    """Losses of rows, and their derivative, which is kept for the backward pass."""

    @staticmethod
    def forward(loss: Loss, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute values and derivatives, on the CPU in blocks of rows."""
        parts = [loss.values_and_gradient(*block) for block in _row_blocks(*inputs)]  # type: ignore[arg-type]
        sums, gradients = [values.sum(dim=1) for values, _ in parts], [gradient for _, gradient in parts]
        return (sums[0], gradients[0]) if len(parts) == 1 else (torch.cat(sums), torch.cat(gradients))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the derivative, and the inputs for derivatives of higher order."""
        ctx.loss, *tensors = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, output[1])
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        """Multiply the derivative, or differentiate the values again if more than the first derivative is wanted."""
        if upstream[0] is None:
            return (None,) * 5
        *tensors, gradient = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        if not torch.is_grad_enabled() and not any(wanted[1:]):
            return None, gradient * upstream[0][:, None], None, None, None
        function, values = _function_of(ctx.loss, tensors, wanted)
        with torch.enable_grad():
            slopes = iter(torch.func.vjp(function, *values)[1](upstream[0]))
        return None, *(next(slopes) if want else None for want in wanted)

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Tensor | None) -> Any:
        """Return the derivative along a direction."""
        wanted = [tangent is not None for tangent in tangents]
        function, values = _function_of(ctx.loss, ctx.saved_tensors, wanted)
        with torch.enable_grad():
            given = tuple(tangent for tangent in tangents if tangent is not None)
            return torch.func.jvp(function, values, given)[1], None

    @staticmethod
    def vmap(info: Any, in_dims: Any, loss: Loss, *inputs: Tensor | None) -> Any:
        """Treat a batch of batches as one: rows do not depend on each other."""
        n, size = info.batch_size, inputs[0].shape[1 if in_dims[1] == 0 else 0]  # type: ignore[union-attr]
        pairs = zip(inputs, in_dims[1:], strict=True)
        flat = [None if x is None else _batch_first(x, dim, n).flatten(0, 1) for x, dim in pairs]
        parts = ClosedForm.apply(loss, *flat)  # type: ignore[no-untyped-call]
        return tuple(part.unflatten(0, (n, size)) for part in parts), (0, 0)


_APPLY: Callable[..., Any] = super(torch.autograd.Function, ClosedForm).apply


def _batch_first(x: Tensor, dim: int | None, n: int) -> Tensor:
    return x.expand(n, *x.shape) if dim is None else x.movedim(dim, 0)


def _function_of(loss: Loss, tensors: Any, wanted: Any) -> tuple[Any, tuple[Tensor, ...]]:
    """Return the losses of rows as a function of the wanted tensors, and their values."""

    def function(*varied: Tensor) -> Tensor:
        given = iter(varied)
        return _traced(loss, *(next(given) if want else x for x, want in zip(tensors, wanted, strict=True)))

    return function, tuple(x for x, want in zip(tensors, wanted, strict=True) if want)


def _row_blocks(scores: Tensor, *others: Tensor | None) -> Any:
    """Return blocks of rows that stay in cache, all rows at once on other devices than the CPU."""
    n_rows, n_labels = scores.shape
    size = max(1, BLOCK_ELEMENTS // max(1, n_labels))
    if n_rows <= size or scores.device.type != "cpu":
        return [(scores, *others)]
    nothing = [None] * -(-n_rows // size)
    return zip(_split(scores, size), *(nothing if x is None else _split(x, size) for x in others), strict=True)


def _split(tensor: Tensor, size: int) -> tuple[Tensor, ...]:
    return tensor.split(size)  # type: ignore[no-untyped-call, no-any-return]
