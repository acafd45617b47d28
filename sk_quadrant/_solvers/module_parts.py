"""Modules taken apart for saving: the module without its tensors, and these as NumPy arrays.

Files are then independent of devices, joblib and skops know all that is in them but the classes of the module itself,
and a copy of the module is never made through PyTorch's own pickle.
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
    """Return a module as a dict of its parts, or as it is if the sizes of some weights are not known yet.

    Tensors that are no parameter or buffer stay where they are.
    """
    tensors = list(dict.fromkeys(tensor for _, _, _, tensor in _places(module)))
    if any(is_lazy(tensor) for tensor in tensors):
        return module
    number = {tensor: k for k, tensor in enumerate(tensors)}
    places = [(name, kind, key, number[tensor]) for name, kind, key, tensor in _places(module)]
    skeleton = deepcopy(module, {id(tensor): tensor for tensor in tensors})  # nothing large is copied
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
    """Return the module that `take_apart` has taken apart."""
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
    """Yield each place of a tensor: name of the submodule, kind, name within it, and the tensor, which may recur."""
    for name, part in module.named_modules():
        for kind in KINDS:
            for key, tensor in getattr(part, kind).items():
                if tensor is not None:
                    yield name, kind, key, tensor
