"""Training steps of the models of this package without autograd: closed-form gradient and fused optimizer kernel.

On small batches a step spends nearly all its time on overhead. These steps give the same results up to rounding as the
steps of skorch with autograd, with a few tensor operations each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from scipy import sparse
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from sk_quadrant._solvers.modules import ACTIVATIONS, LinearScores, Network
from sk_quadrant._solvers.own_modules import as_array
from sk_quadrant._solvers.tensors import SparseRows, without_ones

if TYPE_CHECKING:
    from sk_quadrant._solvers.mini_batch.batches import Chunk
    from sk_quadrant._solvers.mini_batch.data import Exchange
    from sk_quadrant.losses import Loss


class AnalyticSteps:
    """Steps of an optimizer on a model whose gradient is known in closed form.

    The weights of a layer and, below them, its intercepts become one tensor of shape (n_in + 1, n_out); the parameters
    of the model are views of it. The same holds for the moments of the optimizer.

    Parameters
    ----------
    module : LinearScores or Network
    loss : Loss
    optimizer : torch.optim.Optimizer
    penalty : float
        Strength of the penalty on the weights.
    exchange : Exchange or None, default=None
        Sums over the processes that hold the rows of a batch, None if all are in this process.
    """

    def __init__(
        self, module: Any, loss: Loss, optimizer: Optimizer, penalty: float, exchange: Exchange | None = None
    ) -> None:
        self.module, self.optimizer, self.loss, self.penalty = module, optimizer, loss, penalty
        self.exchange = exchange
        self.has_bias = module.layers[0].bias is not None
        self.thetas = [pack(layer) for layer in module.layers]
        self.gradients = [torch.zeros_like(theta) for theta in self.thetas]
        self.weights = [self._weight(theta) for theta in self.thetas]
        self.weight_gradients = [self._weight(gradient) for gradient in self.gradients]
        self.skips = getattr(module, "skips", [])
        self.activation = ACTIVATIONS[getattr(module, "activation", "identity")]
        self.update = UPDATES[type(optimizer)](module, optimizer, self.thetas, self.gradients)
        if exchange is not None:
            exchange.open(self.gradients)

    def are_for(self, module: Any, optimizer: Optimizer, penalty: float) -> bool:
        """Whether these are still the steps of a model and an optimizer, whose tensors may have been replaced."""
        return (
            module is self.module
            and optimizer is self.optimizer
            and penalty == self.penalty
            and all(is_packed(layer, theta) for layer, theta in zip(module.layers, self.thetas, strict=True))
            and self.update.is_packed()
        )

    def _weight(self, theta: Tensor) -> Tensor:
        return theta[:-1] if self.has_bias else theta

    @torch.no_grad()
    def run(self, chunk: Chunk, rates: Sequence[float]) -> float:
        """Take a step on each batch and return the sum of the losses of rows, each before its step.

        Parameters
        ----------
        chunk : Chunk
        rates : sequence of float
            Learning rate of each batch.
        """
        run = self._run_linear if len(self.thetas) == 1 and self._extends(chunk.features) else self._run_layers
        try:
            run(chunk, rates)
        finally:
            self.update.finish()
        return chunk.total_loss(self.loss)

    def _extends(self, features: Any) -> bool:
        """Whether features have a column of ones that the first layer's intercepts multiply."""
        return self.has_bias and not isinstance(features, SparseRows)

    def _run_linear(self, chunk: Chunk, rates: Sequence[float]) -> None:
        """Do the same as `_run_layers` for one layer, with the calls inlined, which took a third of the time."""
        (theta,), (theta_gradient,), (weight,), (weight_gradient,) = (
            self.thetas, self.gradients, self.weights, self.weight_gradients
        )  # fmt: skip
        gradient_of, penalty, update, mm, addmm = self.loss.gradient, self.penalty, self.update, torch.mm, torch.addmm
        steps = zip(chunk.views, chunk.counts, rates, strict=True)
        for (x, scores, targets, mask, label_weight, row_weight), n_rows, rate in steps:
            mm(x, theta, out=scores)
            gradient = gradient_of(scores, targets, mask, label_weight)
            if row_weight is not None:
                gradient = gradient * row_weight
            addmm(theta_gradient, x.T, gradient, beta=0, alpha=1 / n_rows, out=theta_gradient)
            if self.exchange is not None:
                self.exchange.sum_gradients()
            if penalty:
                weight_gradient.add_(weight, alpha=penalty)
            update(rate)

    def _run_layers(self, chunk: Chunk, rates: Sequence[float]) -> None:
        steps = zip(chunk.views, chunk.counts, rates, strict=True)
        for (x, scores, targets, mask, label_weight, row_weight), n_rows, rate in steps:
            tape = self._forward(x, scores)
            gradient = self.loss.gradient(scores, targets, mask, label_weight)
            self._backward(gradient if row_weight is None else gradient * row_weight, tape, 1 / n_rows)
            if self.exchange is not None:
                self.exchange.sum_gradients()
            if self.penalty:
                for weight, weight_gradient in zip(self.weights, self.weight_gradients, strict=True):
                    weight_gradient.add_(weight, alpha=self.penalty)
            self.update(rate)

    def _forward(self, features: Any, scores: Tensor) -> list[tuple[Any, Any, Any]]:
        """Write the scores, and return input, inner values and output of each layer."""
        tape = []
        x = features
        for k, skip in enumerate(self.skips):
            inner = self._affine(k, x)
            outputs = self.activation.forward(inner)
            tape.append((x, inner, outputs))
            x = outputs + _as_dense(self._inputs(k, x)) if skip else outputs
        self._affine(len(self.thetas) - 1, x, scores)
        return [*tape, (x, None, None)]

    def _affine(self, k: int, x: Any, out: Tensor | None = None) -> Tensor:
        if k == 0 and self._extends(x):
            return torch.mm(x, self.thetas[0], out=out)
        x = self._inputs(k, x)
        scores = x.times(self.weights[k]) if isinstance(x, SparseRows) else x @ self.weights[k]
        if self.has_bias:
            scores += self.thetas[k][-1]
        return scores if out is None else out.copy_(scores)

    @staticmethod
    def _inputs(k: int, x: Any) -> Any:
        """Return the input of a layer, without the column of ones of features."""
        return without_ones(x) if k == 0 else x

    def _backward(self, gradient: Tensor, tape: list[tuple[Any, Any, Any]], share: float) -> None:
        """Write the gradient of the sum of losses times a share, given the gradient with respect to the scores."""
        passed, last = gradient, len(tape) - 1
        for k in range(last, -1, -1):
            x, inner, outputs = tape[k]
            here = passed if k == last else self.activation.backward(passed, inner, outputs)
            self._write_gradient(k, here, x, share)
            if k:
                down = here @ self.weights[k].T
                passed = down + passed if k < last and self.skips[k] else down

    def _write_gradient(self, k: int, gradient: Tensor, x: Any, share: float) -> None:
        theta, weight = self.gradients[k], self.weight_gradients[k]
        if k == 0 and self._extends(x):
            torch.addmm(theta, x.T, gradient, beta=0, alpha=share, out=theta)
        else:
            if isinstance(x, SparseRows):
                torch.mul(x.transposed_times(gradient), share, out=weight)
            else:
                torch.addmm(weight, self._inputs(k, x).T, gradient, beta=0, alpha=share, out=weight)
            if self.has_bias:
                torch.mul(gradient.sum(dim=0), share, out=theta[-1])


def _as_dense(x: Any) -> Tensor:
    """Return rows as a dense tensor."""
    dense: Tensor = x.to_dense() if isinstance(x, SparseRows) else x
    return dense


def pack(layer: LinearScores) -> Tensor:
    """Return weights and intercepts of a layer as one tensor (n_in + 1, n_out), whose memory the layer then uses."""
    if layer.bias is None:
        theta = layer.weight.detach().T.contiguous()
        layer.weight.data = theta.T
    else:
        theta = torch.cat([layer.weight.detach().T, layer.bias.detach()[None]])
        layer.weight.data, layer.bias.data = theta[:-1].T, theta[-1]
    return theta


def is_packed(layer: LinearScores, theta: Tensor) -> bool:
    """Whether a layer uses the memory of a packed tensor."""
    weight, bias = layer.weight, layer.bias
    return weight.data_ptr() == theta.data_ptr() and (bias is None or bias.data_ptr() == theta[-1].data_ptr())


def can_step(net: Any, X: Any, device: Any) -> bool:
    """Whether the steps of a skorch net on such features are those of `AnalyticSteps`."""
    return (
        type(net.module_) in (LinearScores, Network)
        and type(net.optimizer_) in UPDATES
        and len(net.optimizer_.param_groups) == 1
        and all(parameter.requires_grad for parameter in net.module_.parameters())
        and (not sparse.issparse(X) or torch.device(device).type == "cpu")
        and (not isinstance(net.optimizer_, AdamW) or fused_kernel_works(torch.device(device).type))
    )


class Update:
    """Steps of an optimizer on packed parameters, by kernels rather than by its own method.

    Parameters
    ----------
    module : LinearScores or Network
    optimizer : torch.optim.Optimizer
        With one group of parameters. Its state is made to use packed memory, too.
    thetas, gradients : list of Tensor
        Packed parameters and gradients of each layer.
    """

    moments: tuple[str, ...]  # names of the optimizer's state that are shaped like parameters

    def __init__(self, module: Any, optimizer: Optimizer, thetas: list[Tensor], gradients: list[Tensor]) -> None:
        (self.group,) = optimizer.param_groups
        self.module, self.optimizer, self.thetas, self.gradients = module, optimizer, thetas, gradients
        self.states = [[self._pack_state(layer, optimizer, name) for layer in module.layers] for name in self.moments]

    @staticmethod
    def _pack_state(layer: LinearScores, optimizer: Optimizer, name: str) -> Tensor:
        """Return the state of a layer as one tensor whose memory the optimizer's state uses."""
        weight = optimizer.state[layer.weight].get(name, torch.zeros_like(layer.weight))
        if layer.bias is None:
            packed = weight.T.clone()
        else:
            bias = optimizer.state[layer.bias].get(name, torch.zeros_like(layer.bias))
            packed = torch.cat([weight.T, bias[None]])
            optimizer.state[layer.bias][name] = packed[-1]
        optimizer.state[layer.weight][name] = packed.T if layer.bias is None else packed[:-1].T
        return packed

    def is_packed(self) -> bool:
        """Whether the optimizer's state still uses the packed memory."""
        return all(
            self.optimizer.state[layer.weight][name].data_ptr() == packed.data_ptr()
            for name, state in zip(self.moments, self.states, strict=True)
            for layer, packed in zip(self.module.layers, state, strict=True)
        )

    def __call__(self, rate: float) -> None:
        """Take a step at a learning rate."""
        raise NotImplementedError

    def finish(self) -> None:
        """Update the state of the optimizer as its own method would."""


class AdamWUpdate(Update):
    """AdamW, by the fused kernel that `torch.optim.AdamW` calls."""

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(self, module: Any, optimizer: Optimizer, thetas: list[Tensor], gradients: list[Tensor]) -> None:
        super().__init__(module, optimizer, thetas, gradients)
        self.means, self.squares = self.states
        self.steps = []
        for parameter in self.group["params"]:
            state = optimizer.state[parameter]
            self.steps.append(state.setdefault("step", torch.zeros((), device=thetas[0].device)))
        self.count = self.steps[0].clone()
        self.counts = [self.count] * len(thetas)
        self.beta1, self.beta2 = self.group["betas"]
        self.eps = self.group["eps"]

    def __call__(self, rate: float) -> None:
        """Take a step at a learning rate."""
        self.count.add_(1)
        torch._fused_adamw_(
            self.thetas, self.gradients, self.means, self.squares, [], self.counts, lr=rate, beta1=self.beta1,
            beta2=self.beta2, weight_decay=0.0, eps=self.eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    def finish(self) -> None:
        """Write the number of steps to the optimizer's state."""
        for step in self.steps:
            step.copy_(self.count)


class NesterovUpdate(Update):
    """Stochastic gradient descent with Nesterov momentum."""

    moments = ("momentum_buffer",)

    def __call__(self, rate: float) -> None:
        """Take a step at a learning rate."""
        momentum = self.group["momentum"]
        for theta, gradient, buffer in zip(self.thetas, self.gradients, *self.states, strict=True):
            buffer.mul_(momentum).add_(gradient)
            theta.add_(gradient, alpha=-rate).add_(buffer, alpha=-rate * momentum)


UPDATES: dict[type[Optimizer], type[Update]] = {AdamW: AdamWUpdate, SGD: NesterovUpdate}


@lru_cache
def fused_kernel_works(device: str) -> bool:
    """Whether the kernel, which is private in PyTorch, exists and makes a step of AdamW."""
    theta, gradient = torch.ones(3, device=device), torch.arange(3.0, device=device)
    mean, square, count = torch.zeros_like(theta), torch.zeros_like(theta), torch.ones((), device=device)
    try:
        torch._fused_adamw_(
            [theta], [gradient], [mean], [square], [], [count], lr=0.1, beta1=0.9, beta2=0.999, weight_decay=0.0,
            eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
    except (AttributeError, TypeError, RuntimeError, NotImplementedError):
        return False
    return torch.allclose(theta, 1 - 0.1 * gradient.sign())


def read_moments(optimizer: Optimizer, module: Any) -> list[dict[str, Any]]:
    """Return the state of an optimizer for each parameter of a module as new arrays."""
    return [
        {name: as_array(value) for name, value in optimizer.state[parameter].items()}
        for parameter in module.parameters()
    ]


def write_moments(optimizer: Optimizer, module: Any, moments: list[dict[str, Any]]) -> None:
    """Write the result of `read_moments` into an optimizer."""
    for parameter, state in zip(module.parameters(), moments, strict=True):
        for name, value in state.items():
            tensor = torch.as_tensor(value)
            memory = torch.empty_like(parameter if tensor.shape == parameter.shape else tensor)
            optimizer.state[parameter][name] = memory.detach().copy_(tensor)  # in the memory order kernels rely on
