"""Types of arrays, masked arrays, blocks of rows, sparse results, and differences of NumPy arrays and tensors.

Features, weights and scores are PyTorch tensors where `X` is of another library than NumPy, and NumPy arrays otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import get_config

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.intp]


def row_blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Yield slices of `size` rows that cover all rows; the last may be shorter.

    `sklearn.utils.gen_batches` validates its arguments, which takes longer than the prediction of a row.
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def masked_as_nan(array: Any) -> Any:
    """Return an array with NaN at masked entries, None for objects and text; anything else unchanged."""
    if not (isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array)):
        return array
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    missing = np.nan if array.dtype.kind in "fc" else None
    return np.where(np.ma.getmaskarray(array), missing, array.data)


def follow_sparse_interface(values: Any) -> Any:
    """Return sparse matrices as sparse arrays if ``sklearn.set_config(sparse_interface="sparray")`` asks for them.

    Anything else is returned as it is: with "spmatrix", the default, and where scikit-learn does not know the setting,
    what follows from sparse arrays stays a sparse array.
    """
    if not sparse.isspmatrix(values) or get_config().get("sparse_interface") != "sparray":
        return values
    return getattr(sparse, f"{values.format}_array")(values)


def is_tensor(array: Any) -> bool:
    """Whether an array is a tensor of PyTorch, which is not imported for this question."""
    return hasattr(array, "detach")


def readable(tensor: Any) -> Any:
    """Return a tensor without its graph, in a precision that NumPy has: single in place of bfloat16."""
    tensor = tensor.detach()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


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
