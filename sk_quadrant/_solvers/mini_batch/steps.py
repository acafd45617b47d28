"""Training steps: their learning rates, autograd for any module, and faster steps for the models of this package.

The gradients of these models are known in closed form. On small batches a step spends nearly all its time on overhead;
`AnalyticSteps` gives the same results up to rounding as `AutogradSteps`, with a few tensor operations each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from sk_quadrant._solvers.mini_batch.batches import equal_sizes
from sk_quadrant._solvers.modules import ACTIVATIONS, LinearScores, Network
from sk_quadrant._solvers.own_modules import as_array, call, split_values
from sk_quadrant._solvers.tensors import SparseRows, split_targets

if TYPE_CHECKING:
    from sk_quadrant._solvers.mini_batch.batches import Chunk


@dataclass(frozen=True)
class Schedule:
    """Learning rate of each step: a linear warm-up, then constant or half a cosine wave down to zero [1]_.

    Parameters
    ----------
    initial : float
        Largest learning rate.
    shape : {"constant", "cosine"}
    warmup_fraction : float
        Fraction of all steps over which the rate rises from zero.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017.
       :arxiv:`1608.03983`
    """

    initial: float
    shape: str = "constant"
    warmup_fraction: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether all steps have the same rate."""
        return self.shape == "constant" and self.warmup_fraction == 0

    def rates(self, steps: NDArray[np.intp], n_steps: int) -> NDArray[np.float64]:
        """Return the rates of steps that are numbered from 0, out of a number of steps."""
        warmup = int(self.warmup_fraction * n_steps)
        # step k = 1, 2, ... of the warm-up has k / (warmup + 1) of the rate, the step after the last one all of it
        rising = (steps + 1) / (warmup + 1)
        falling = np.ones(len(steps))
        if self.shape == "cosine":
            # (1 + cos(pi x)) / 2, where x rises from 0 after the warm-up to nearly 1
            falling = 0.5 * (1 + np.cos(np.pi * (steps - warmup) / max(1, n_steps - warmup)))
        return np.asarray(self.initial * np.where(steps < warmup, rising, falling))


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
                    # penalty / 2 |W|^2 has the gradient penalty W
                    weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                    weight.grad.add_(weight, alpha=self.penalty)
        return scores

    def _backward_part(self, x: Any, y: Any, n_rows: int) -> Tensor:
        """Add the gradient of the losses of some rows, divided by a number, and return their scores."""
        targets, mask, label_weight, row_weight = split_targets(y)
        scores = call(self.module, x, tuple(targets.shape))
        detached = scores.detach()
        # the derivative of the mean over the whole batch, so that the gradients of its parts add up
        gradient = self.loss.gradient(detached, targets, mask, label_weight) / n_rows
        if row_weight is not None:
            gradient *= row_weight[:, None]
        # autograd starts at the scores: the derivative of the loss is known in closed form
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


class PackedLayer:
    """A layer whose weights and, below them, intercepts are one tensor, of which its parameters are views.

    Parameters
    ----------
    layer : LinearScores
    is_first : bool
        Whether its dense inputs are features, with a column of ones.

    Attributes
    ----------
    theta, gradient : Tensor of shape (n_in + 1, n_out), (n_in, n_out) without intercepts
    """

    def __init__(self, layer: LinearScores, *, is_first: bool) -> None:
        self.parameters = list(layer.parameters())
        self.theta, views = pack([parameter.detach() for parameter in self.parameters])
        for parameter, view in zip(self.parameters, views, strict=True):
            parameter.data = view
        self.n_in, self.has_bias = layer.weight.shape[1], layer.bias is not None
        self.is_direct = is_first or not self.has_bias  # then inputs have a column for each row of theta
        self.gradient = torch.zeros_like(self.theta)
        self.weight, self.weight_gradient = self.theta[: self.n_in], self.gradient[: self.n_in]

    def dense_inputs(self, x: Any) -> Tensor:
        """Return inputs as a dense tensor without the column of ones."""
        dense: Tensor = x.to_dense() if isinstance(x, SparseRows) else x[:, : self.n_in]
        return dense

    def forward(self, x: Any, out: Tensor | None = None) -> Tensor:
        """Return the scores of inputs."""
        if isinstance(x, SparseRows):
            scores = x.times(self.weight)
        elif self.is_direct:
            # [x, 1] theta = x W' + b
            return torch.mm(x, self.theta, out=out)
        else:
            scores = x @ self.weight
        if self.has_bias:
            scores += self.theta[-1]
        return scores if out is None else out.copy_(scores)

    def backward(self, x: Any, gradient: Tensor, share: float) -> None:
        """Write a share of the gradient, given inputs and the gradient with respect to the scores."""
        if isinstance(x, SparseRows):
            torch.mul(x.transposed_times(gradient), share, out=self.weight_gradient)
        elif self.is_direct:
            # share [x, 1]' g, the derivatives of weights and intercepts at once
            torch.addmm(self.gradient, x.T, gradient, beta=0, alpha=share, out=self.gradient)
            return
        else:
            torch.addmm(self.weight_gradient, x.T, gradient, beta=0, alpha=share, out=self.weight_gradient)
        if self.has_bias:
            torch.mul(gradient.sum(dim=0), share, out=self.gradient[-1])


class AnalyticSteps:
    """Steps of an optimizer on a model whose gradient is known in closed form.

    Parameters and moments of the optimizer are packed, layer by layer; those of the model are views.

    Parameters
    ----------
    net : MultiLabelNet
        Net with a module of type `LinearScores` or `Network`.
    exchange : object or None
        See `BatchData`.
    """

    def __init__(self, net: Any, exchange: Any) -> None:
        module, self.loss, self.penalty, self.exchange = net.module_, net.loss, net.penalty_, exchange
        self.layers = [PackedLayer(layer, is_first=not k) for k, layer in enumerate(module.layers)]
        self.hidden, self.skips = self.layers[:-1], getattr(module, "skips", [])
        self.weights = [(layer.weight, layer.weight_gradient) for layer in self.layers]
        self.activation = ACTIVATIONS[getattr(module, "activation", "identity")]
        self.step = STEPS[type(net.optimizer_)](net.optimizer_, self.layers)
        self.key = key_of(net)
        if exchange is not None:
            exchange.open([layer.gradient for layer in self.layers])

    @torch.no_grad()
    def run(self, chunk: Chunk, rates: Sequence[float]) -> float:
        """Take a step on each batch and return the sum of the losses of rows, each before its step.

        Parameters
        ----------
        chunk : Chunk
        rates : sequence of float
            Learning rate of each batch.
        """
        loss_gradient, penalty, hidden, last = self.loss.gradient, self.penalty, self.hidden, self.layers[-1]
        exchange, step, has_unused_ones = self.exchange, self.step, chunk.has_ones and not last.has_bias
        steps = zip(chunk.views, chunk.counts, rates, strict=True)
        for (x, scores, targets, mask, label_weight, row_weight), n_rows, rate in steps:
            x = x[:, :-1] if has_unused_ones else x
            tape = None
            if hidden:
                x, tape = self._forward_hidden(x)
            last.forward(x, scores)
            gradient = loss_gradient(scores, targets, mask, label_weight)
            if row_weight is not None:
                gradient = gradient * row_weight
            # the mean of the losses, over the rows of all processes
            last.backward(x, gradient, 1 / n_rows)
            if tape:
                # chain rule: the derivative with respect to the inputs x of s = x W' + b is g W
                self._backward_hidden(gradient @ last.weight.T, tape, 1 / n_rows)
            if exchange is not None:
                exchange.sum_gradients()
            if penalty:
                for weight, weight_gradient in self.weights:
                    # of penalty / 2 |W|^2; intercepts have no penalty
                    weight_gradient.add_(weight, alpha=penalty)
            step(rate)
        return chunk.total_loss(self.loss)

    def _forward_hidden(self, x: Any) -> tuple[Tensor, list[tuple[Any, ...]]]:
        """Return the input of the last layer, and of each hidden one input, inner values and output."""
        tape = []
        for layer, skip in zip(self.hidden, self.skips, strict=True):
            inner = layer.forward(x)
            outputs = self.activation.forward(inner)
            tape.append((layer, skip, x, inner, outputs))
            x = outputs + layer.dense_inputs(x) if skip else outputs
        return x, tape

    def _backward_hidden(self, passed: Tensor, tape: list[tuple[Any, ...]], share: float) -> None:
        """Write a share of the gradient of each hidden layer, given that with respect to the input of the last one."""
        for layer, skip, x, inner, outputs in reversed(tape):
            gradient = self.activation.backward(passed, inner, outputs)
            layer.backward(x, gradient, share)
            # features need no derivative
            if layer is not self.hidden[0]:
                down = gradient @ layer.weight.T
                # outputs + x: the derivative passes through the layer, and unchanged through the sum
                passed = down + passed if skip else down


def pack(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return a weight (n_out, n_in), and a bias if there is one, as a tensor (n_in + 1, n_out), and as views of it."""
    weight, *bias = tensors
    n_in = weight.shape[1]
    packed = torch.cat([weight.T, *(part[None] for part in bias)])
    return packed, [packed[:n_in].T, *packed[n_in:]]


def key_of(net: Any) -> tuple[Any, ...]:
    """Return what changes if steps must be made anew: model, optimizer, penalty, or the memory of their tensors."""
    parameters = list(net.module_.parameters())
    states = (net.optimizer_.state[parameter].values() for parameter in parameters)
    memory = [tensor.data_ptr() for tensors in (parameters, *states) for tensor in tensors]
    return id(net.module_), id(net.optimizer_), net.penalty_, memory


def can_step(net: Any, X: Any) -> bool:
    """Whether the steps of a net on such features are those of `AnalyticSteps`."""
    device = torch.device(net.device).type
    return (
        isinstance(net.module_, LinearScores | Network)
        and len(net.optimizer_.param_groups) == 1
        and all(parameter.requires_grad for parameter in net.module_.parameters())
        and (not sparse.issparse(X) or device == "cpu")
        and (not isinstance(net.optimizer_, AdamW) or fused_kernel_works(device))
    )


def pack_states(optimizer: Optimizer, layers: list[PackedLayer], name: str) -> list[Tensor]:
    """Return the state of each layer as one tensor, whose memory the state of the optimizer then uses."""
    packed = []
    for layer in layers:
        states = [optimizer.state[parameter] for parameter in layer.parameters]
        pairs = zip(states, layer.parameters, strict=True)
        theta, views = pack([state.get(name, torch.zeros_like(parameter)) for state, parameter in pairs])
        for state, view in zip(states, views, strict=True):
            state[name] = view
        packed.append(theta)
    return packed


def adamw_step(optimizer: Optimizer, layers: list[PackedLayer]) -> Callable[[float], None]:
    """Return a step of AdamW at a rate, by the fused kernel that `torch.optim.AdamW` calls."""
    (group,) = optimizer.param_groups
    means, squares = (pack_states(optimizer, layers, name) for name in ("exp_avg", "exp_avg_sq"))
    zero, states = torch.zeros((), device=layers[0].theta.device), [optimizer.state[p] for p in group["params"]]
    # the counts of all parameters are views of one tensor, so that one addition raises them all
    counts = torch.stack([state.get("step", zero) for state in states])
    for state, count in zip(states, counts, strict=True):
        state["step"] = count
    thetas, gradients = [layer.theta for layer in layers], [layer.gradient for layer in layers]
    steps, (beta1, beta2), eps = [counts[0]] * len(layers), group["betas"], group["eps"]

    def step(rate: float) -> None:
        counts.add_(1)
        # theta -= rate m / (sqrt(v) + eps), with means m and v of g and g^2 without their bias towards 0 (Kingma and
        # Ba, 2015, :arxiv:`1412.6980`); the penalty is a part of g, so that weight_decay is 0
        torch._fused_adamw_(
            thetas, gradients, means, squares, [], steps, lr=rate, beta1=beta1, beta2=beta2, weight_decay=0.0, eps=eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    return step


def nesterov_step(optimizer: Optimizer, layers: list[PackedLayer]) -> Callable[[float], None]:
    """Return a step of stochastic gradient descent with Nesterov momentum at a rate."""
    (group,) = optimizer.param_groups
    momentum, buffers = group["momentum"], pack_states(optimizer, layers, "momentum_buffer")
    parts = [(layer.theta, layer.gradient, buffer) for layer, buffer in zip(layers, buffers, strict=True)]

    def step(rate: float) -> None:
        for theta, gradient, buffer in parts:
            # b <- mu b + g and theta <- theta - rate (g + mu b), as in torch.optim.SGD
            buffer.mul_(momentum).add_(gradient)
            theta.add_(gradient, alpha=-rate).add_(buffer, alpha=-rate * momentum)

    return step


STEPS: dict[type[Optimizer], Callable[..., Callable[[float], None]]] = {AdamW: adamw_step, SGD: nesterov_step}


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
    # the first step is rate sign(g), up to eps
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
            like = parameter if tensor.shape == parameter.shape else tensor
            memory = torch.empty_like(like, device=parameter.device)
            optimizer.state[parameter][name] = memory.detach().copy_(tensor)  # in the memory order kernels rely on
