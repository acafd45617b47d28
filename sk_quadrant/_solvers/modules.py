"""The PyTorch modules: linear scores, and fully connected networks of such layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from sk_quadrant._namespaces import is_tensor
from sk_quadrant._solvers import forks  # noqa: F401
from sk_quadrant._solvers.tensors import SparseRows, as_tensor, torch_dtype
from sk_quadrant._tensors import numpy_dtype

if TYPE_CHECKING:
    from sk_quadrant._model.architecture import Architecture, Layers


class LinearScores(nn.Module):
    """Linear model that starts at zero, so that its results do not depend on a seed.

    The weights are held feature by feature, the order in which batches of sparse rows gather them.

    Parameters
    ----------
    n_features, n_labels : int
    fit_intercept : bool
    dtype : torch.dtype
    """

    def __init__(self, n_features: int, n_labels: int, *, fit_intercept: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_features, n_labels, dtype=dtype).T)
        self.bias = nn.Parameter(torch.zeros(n_labels, dtype=dtype)) if fit_intercept else None

    @property
    def layers(self) -> Sequence[LinearScores]:
        """The model as a network of one layer."""
        return (self,)

    def forward(self, X: Tensor | SparseRows) -> Tensor:
        """Return scores of shape (n_rows, n_labels)."""
        if isinstance(X, SparseRows):
            scores = X.times(self.weight.T)
            return scores if self.bias is None else scores + self.bias
        return linear(X, self.weight, self.bias)


@dataclass(frozen=True)
class Activation:
    """A function between layers and how a gradient passes back through it.

    Attributes
    ----------
    forward : callable
        Inputs -> outputs.
    backward : callable
        (gradient with respect to the outputs, inputs, outputs) -> gradient with respect to the inputs.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda inputs: inputs, lambda gradient, _, __: gradient),
    # the derivative is 1 where the output is positive, 0 elsewhere and at the kink, as in PyTorch
    "relu": Activation(torch.relu, lambda gradient, _, outputs: gradient * (outputs > 0)),
    # (tanh x)' = 1 - tanh(x)^2
    "tanh": Activation(torch.tanh, lambda gradient, _, outputs: gradient * (1 - outputs * outputs)),
    "gelu": Activation(gelu, lambda gradient, inputs, _: torch.ops.aten.gelu_backward(gradient, inputs)),
}


class Network(nn.Module):
    """Fully connected network, its last layer a linear model of the last hidden layer.

    Parameters
    ----------
    sizes : sequence of int
        Number of features, of units of each hidden layer, and of labels.
    activation : str
        Key of `ACTIVATIONS`.
    residual : bool
        Whether a hidden layer as wide as its input adds that input to its output.
    fit_intercept : bool
    dtype : torch.dtype
    """

    def __init__(
        self, sizes: Sequence[int], *, activation: str, residual: bool, fit_intercept: bool, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LinearScores(n_in, n_out, fit_intercept=fit_intercept, dtype=dtype) for n_in, n_out in pairwise(sizes)
        )
        self.activation = activation
        self.skips = [residual and n_in == n_out for n_in, n_out in pairwise(sizes[:-1])]

    def forward(self, X: Tensor | SparseRows) -> Tensor:
        """Return scores of shape (n_rows, n_labels)."""
        *hidden, last = self.layers
        values: Any = X
        for layer, skip in zip(hidden, self.skips, strict=True):
            outputs = ACTIVATIONS[self.activation].forward(layer(values))
            if skip:
                outputs = outputs + (values.to_dense() if isinstance(values, SparseRows) else values)
            values = outputs
        scores: Tensor = last(values)
        return scores


def initial_layers(module: Any, seed: int) -> Layers:
    """Return initial weights (n_out, n_in) and intercepts (n_out,) of each layer of a model.

    They are uniform within sqrt(6 / (n_in + n_out)) [1]_, as in scikit-learn's networks.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
       2010. https://proceedings.mlr.press/v9/glorot10a.html
    """
    rng = np.random.default_rng(seed)
    layers = []
    for layer in module.layers:
        n_out, n_in = layer.weight.shape
        bound = math.sqrt(6 / (n_in + n_out))
        layers.append((rng.uniform(-bound, bound, (n_out, n_in)), rng.uniform(-bound, bound, n_out)))
    return layers


def read_layers(module: Any, *, feature_major: bool = False) -> Layers:
    """Return copies of weights and intercepts of each layer as arrays.

    Parameters
    ----------
    module : LinearScores or Network
    feature_major : bool, default=False
        Whether the weights are held feature by feature, the order in which sparse rows are multiplied.
    """
    layers = []
    for layer in module.layers:
        bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
        weight = np.array(layer.weight.detach().cpu().numpy(), order="F" if feature_major else "C")
        layers.append((weight, bias.detach().cpu().numpy().copy()))
    return layers


@torch.no_grad()
def write_layers(module: Any, layers: Layers) -> None:
    """Write weights and intercepts into the layers of a model."""
    for layer, (weight, bias) in zip(module.layers, layers, strict=True):
        layer.weight.copy_(as_tensor(weight.toarray() if sparse.issparse(weight) else weight))
        if layer.bias is not None:
            layer.bias.copy_(as_tensor(bias))


def build_module(architecture: Architecture, n_features: int, n_labels: int, dtype: Any) -> Any:
    """Return the untrained module of an architecture: a linear one if there is no hidden layer.

    Parameters
    ----------
    architecture : Architecture
    n_features, n_labels : int
    dtype : numpy.dtype
    """
    options: dict[str, Any] = {"fit_intercept": architecture.fit_intercept, "dtype": torch_dtype(dtype)}
    if not architecture.hidden_layer_sizes:
        return LinearScores(n_features, n_labels, **options)
    sizes = (n_features, *architecture.hidden_layer_sizes, n_labels)
    return Network(sizes, activation=architecture.activation, residual=architecture.residual, **options)


def module_of(layers: Layers, architecture: Architecture) -> Any:
    """Return the module of an architecture with given weights."""
    first, last = layers[0][0], layers[-1][0]
    module = build_module(architecture, first.shape[1], len(last), numpy_dtype(first))
    write_layers(module, layers)
    return module.to(first.device) if is_tensor(first) else module


def linear_scores(coef: Tensor, intercept: Tensor, X: Tensor) -> Tensor:
    """Return the scores of a linear model for dense rows, in the larger precision of both."""
    dtype = torch.promote_types(X.dtype, coef.dtype)
    return torch.addmm(intercept.to(dtype), X.to(dtype), coef.to(dtype).T)


@torch.no_grad()
def scores_of(module: Any, X: Any) -> Any:
    """Return the scores of rows, dense or sparse, in the precision of the module: a tensor for a tensor."""
    first = next(module.parameters())
    rows = SparseRows(X, first.dtype) if sparse.issparse(X) else as_tensor(X, dtype=first.dtype)
    scores = module(rows.to(first.device))
    return scores if isinstance(X, Tensor) else scores.cpu().numpy()
