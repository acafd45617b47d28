"""Modules split for saving: the module without its tensors, and the tensors as NumPy arrays.

Files are then independent of devices, joblib and skops know all their contents except the classes of the module itself,
and the pickle of PyTorch is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sk_quadrant._solvers.own_modules import as_array

KINDS = ("_parameters", "_buffers")


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
    if not isinstance(parts, Mapping):
        return parts
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
