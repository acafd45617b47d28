"""Functions that NumPy arrays and tensors have under different names.

Features, weights and scores are PyTorch tensors where `X` is of another library than NumPy, and NumPy arrays otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._namespaces import is_tensor


def numpy_dtype(array: Any) -> np.dtype[Any]:
    """Return the dtype of an array, or the one of NumPy with the name of that of a tensor."""
    return np.dtype(str(array.dtype).removeprefix("torch.")) if is_tensor(array) else array.dtype


def beside(values: NDArray[Any], array: Any) -> Any:
    """Return values of NumPy, such as one per label, in a form that can be combined with an array or a tensor."""
    if not is_tensor(array):
        return values
    import torch

    values = values.astype(np.float32) if array.device.type == "mps" else values  # which has no double precision
    return torch.as_tensor(values, device=array.device)


def off_device(array: Any) -> Any:
    """Return a tensor as a NumPy array, and anything else as it is."""
    return array.cpu().numpy() if is_tensor(array) else array


def as_integers(array: Any) -> Any:
    """Return an array or tensor of booleans as int64."""
    return array.long() if is_tensor(array) else array.astype(np.int64)


def rounded_like(values: Any, array: Any) -> Any:
    """Return values in the precision of an array; both are arrays or both are tensors."""
    return values.to(array.dtype) if is_tensor(array) else values.astype(array.dtype)


def join(blocks: Sequence[Any]) -> Any:
    """Return blocks of rows, arrays or tensors, as one."""
    if len(blocks) == 1:
        return blocks[0]
    if not is_tensor(blocks[0]):
        return np.concatenate(blocks)
    import torch

    return torch.cat(list(blocks))


def hstack(columns: Sequence[Any]) -> Any:
    """Return arrays, or tensors, of some columns side by side."""
    if not is_tensor(columns[0]):
        return np.hstack(columns)
    import torch

    return torch.hstack(list(columns))
