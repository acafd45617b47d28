"""Modules of the user: built or copied, called with rows, and their weights read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from fnmatch import fnmatch
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sk_quadrant._solvers.tensors import as_tensor
from sk_quadrant._tensors import numpy_dtype

KINDS = ("_parameters", "_buffers")
PLAIN_DTYPES = (torch.float16, torch.float32, torch.float64)  # floating dtypes that NumPy has


def describe(module: Any) -> str:
    """Return a description that is equal for the same parameter `module` in two calls of `fit`."""
    if isinstance(module, partial):
        return f"{describe(module.func)}{module.args}{module.keywords}"
    if isinstance(module, nn.Module):
        return str(module)
    return f"{getattr(module, '__module__', '')}.{getattr(module, '__qualname__', type(module).__qualname__)}"


@contextmanager
def seeded(seed: int, device: Any) -> Iterator[None]:
    """Seed PyTorch, and restore its global random states at the end."""
    device = torch.device(device)
    with torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def build_own_module(module: Any, inputs: Any, n_labels: int) -> nn.Module:
    """Return a module to train: a copy of an instance, or the result of a function of (n_features, n_labels).

    Parameters
    ----------
    module : torch.nn.Module or callable
    inputs : Inputs
        Rows, for the number of features and for lazy modules, whose sizes follow from their first call.
    n_labels : int

    Raises
    ------
    TypeError
        If the function does not return a module.
    ValueError
        If no parameter can be trained, or has sparse gradients.
    """
    built = module if isinstance(module, nn.Module) else module(inputs.n_features, n_labels)
    if not isinstance(built, nn.Module):
        raise TypeError(
            "module must be a torch.nn.Module or a callable (n_features, n_labels) that returns one, got a callable "
            f"that returns {type(built).__name__}."
        )
    try:
        built = built if isinstance(module, type) else deepcopy(built)  # a function may return it again in the next fit
    except RuntimeError as error:
        raise ValueError(
            f"module could not be copied, which each fit does: {error}. Pass a class that builds it, or use what can "
            "be copied, such as torch.nn.utils.parametrizations.weight_norm."
        ) from error
    if any(is_lazy(parameter) for parameter in built.parameters()):
        scores_of_inputs(built, inputs[:2], n_labels)
    for name, part in built.named_modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.sparse:
            raise ValueError(
                f"The gradient of module's parameter '{name}.weight' is sparse, which the solvers do not support. Use "
                "sparse=False in its embedding."
            )
    if not any(parameter.requires_grad for parameter in built.parameters()):
        raise ValueError(
            "module must have a parameter that requires a gradient, got none: nothing could be trained. Unfreeze the "
            "last layer, or use QuadrantMultiLabelClassifier.from_module for a module that is trained already."
        )
    return built


def check_param_groups(groups: Sequence[Any], module: nn.Module, optimizer: type[torch.optim.Optimizer]) -> None:
    """Raise a ValueError unless each group is a pattern, which matches a parameter, with options of the optimizer."""
    known = set(signature(optimizer).parameters) - {"params"}
    names = [name for name, _ in module.named_parameters()]
    for group in groups:
        is_pair = isinstance(group, list | tuple) and len(group) == 2
        if not (is_pair and isinstance(group[0], str) and isinstance(group[1], Mapping) and known.issuperset(group[1])):
            raise ValueError(
                f"param_groups must be a list of (pattern of names, dict with options of {optimizer.__name__}, such as "
                f"'lr' and 'weight_decay'), got {group!r}."
            )
        if not any(fnmatch(name, group[0]) for name in names):
            raise ValueError(
                f"param_groups has the pattern {group[0]!r}, which matches no parameter of module. Its parameters are "
                f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."
            )


def float_dtype(module: nn.Module) -> torch.dtype:
    """Return the precision of the first floating parameter, to which floats of X are converted."""
    return next((part.dtype for part in module.parameters() if part.is_floating_point()), torch.float32)


def as_values(values: Any, dtype: torch.dtype, device: Any) -> Any:
    """Return inputs of a module as tensors on a device, floats in a given precision; strings are not changed."""
    if isinstance(values, dict):
        return {name: as_values(part, dtype, device) for name, part in values.items()}
    kind = numpy_dtype(values).kind
    return values if kind == "O" else as_tensor(values, dtype=dtype if kind == "f" else None, device=device)


def split_values(values: Any, sizes: Sequence[int]) -> list[Any]:
    """Return tensors, arrays of strings, or dicts of tensors in groups of these numbers of rows."""
    if isinstance(values, dict):
        groups = zip(*(split_values(part, sizes) for part in values.values()), strict=True)
        return [dict(zip(values, group, strict=True)) for group in groups]
    if isinstance(values, np.ndarray):
        bounds = np.cumsum([0, *sizes])
        return [values[start:stop] for start, stop in pairwise(bounds)]
    return list(values.split(list(sizes)))


def call(module: nn.Module, values: Any, shape: tuple[int, ...]) -> Tensor:
    """Return the scores of a module for some rows.

    Parameters
    ----------
    module : torch.nn.Module
    values : Tensor, array of str or dict of Tensor
        See `pass_to`.
    shape : (n_rows, n_labels)
        Required shape of the scores.

    Raises
    ------
    ValueError
        If the scores have another shape, which would otherwise be broadcast.
    TypeError
        If the module does not return scores.
    """
    try:
        output = pass_to(module, values)
    except ValueError as error:
        if shape[0] == 1 and module.training:
            raise ValueError(
                f"module failed on a batch of one row: {error}. Batch norm needs more of them: use another batch_size."
            ) from error
        raise
    scores = scores_in(output)
    if scores.shape != shape:
        raise ValueError(
            f"module must return scores of shape (n_rows, n_labels), {shape} for these rows, got {tuple(scores.shape)}."
        )
    return scores


def pass_to(module: nn.Module, values: Any) -> Any:
    """Call a module with a tensor, with a list of strings, or with a dict as keyword arguments."""
    if isinstance(values, dict):
        return module(**values)
    return module(values.tolist() if isinstance(values, np.ndarray) else values)


def scores_in(output: Any) -> Tensor:
    """Return the scores in the output of a module: a tensor, `logits`, or the first entry of a tuple."""
    scores = getattr(output, "logits", None)
    if scores is None:
        scores = output["logits"] if isinstance(output, Mapping) and "logits" in output else output
    if isinstance(scores, tuple | list) and scores:
        scores = scores[0]
    if not (isinstance(scores, Tensor) and scores.is_floating_point()):
        got = scores.dtype if isinstance(scores, Tensor) else type(output).__name__
        raise TypeError(
            "module must return a floating-point tensor of scores, an object with `logits`, or a tuple whose first "
            f"entry they are, got {got}."
        )
    return scores


@torch.no_grad()
def scores_of_inputs(module: nn.Module, inputs: Any, n_labels: int) -> Tensor:
    """Return the scores of rows, as the module gives them outside of training, in double precision on its device."""
    if module.training:
        module.eval()
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    values = as_values(inputs[np.arange(len(inputs))].values, float_dtype(module), device)  # copies: it may write
    return call(module, values, (len(inputs), n_labels)).double()


def frozen_in_evaluation(module: nn.Module) -> list[str]:
    """Return the names of frozen parts in evaluation mode, which stay in evaluation mode during training.

    ``module.train()`` would change the running means of a frozen batch norm, and switch on the dropout of a frozen
    encoder. A part with some trained parameters is put into training mode as a whole: a pretrained encoder, which
    libraries return in evaluation mode, then uses its dropout.
    """
    return [
        name
        for name, part in module.named_modules()
        if not part.training
        and next(part.parameters(), None) is not None
        and not any(parameter.requires_grad for parameter in part.parameters())
    ]


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as a new array, in single precision if NumPy does not have its precision."""
    if tensor.is_floating_point() and tensor.dtype not in PLAIN_DTYPES:
        tensor = tensor.float()
    array: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array


def take_apart(module: nn.Module) -> Any:
    """Return a module as a dict of its parts; unchanged if it has uninitialised lazy parameters.

    Tensors that are neither parameters nor buffers stay in the module.
    """
    tensors = list(dict.fromkeys(tensor for _, _, _, tensor in _places(module)))
    if any(is_lazy(tensor) for tensor in tensors):
        return module
    number = {tensor: k for k, tensor in enumerate(tensors)}
    places = [(name, kind, key, number[tensor]) for name, kind, key, tensor in _places(module)]
    skeleton = deepcopy(module, {id(tensor): tensor for tensor in tensors})  # tensors are not copied
    for name, kind, key, _ in places:
        getattr(skeleton.get_submodule(name), kind)[key] = None
    return {
        "skeleton": skeleton,
        "places": places,
        "arrays": [as_array(tensor) for tensor in tensors],
        "dtypes": [str(tensor.dtype).removeprefix("torch.") for tensor in tensors],
        "trained": [tensor.requires_grad for tensor in tensors],
    }


def put_together(parts: Any) -> Any:
    """Return the module from the result of `take_apart`."""
    module = deepcopy(parts["skeleton"])
    tensors = [
        torch.tensor(array).to(getattr(torch, dtype))
        for array, dtype in zip(parts["arrays"], parts["dtypes"], strict=True)
    ]
    for name, kind, key, k in parts["places"]:
        if kind == "_parameters" and not isinstance(tensors[k], nn.Parameter):
            tensors[k] = nn.Parameter(tensors[k], requires_grad=parts["trained"][k])
        getattr(module.get_submodule(name), kind)[key] = tensors[k]
    return module


def _places(module: nn.Module) -> Iterator[tuple[str, str, str, Tensor]]:
    """Yield submodule, kind and name of each tensor, and the tensor, which may be shared by several names."""
    for name, part in module.named_modules():
        for kind in KINDS:
            for key, tensor in getattr(part, kind).items():
                if tensor is not None:
                    yield name, kind, key, tensor
