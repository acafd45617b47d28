"""Elementwise functions that take NumPy arrays and PyTorch tensors alike; only tensors need PyTorch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from scipy import special

Array: TypeAlias = NDArray[np.floating[Any]]


def namespace(x: Any) -> ModuleType:
    """Return ``torch`` for a tensor and ``numpy`` for everything else."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):  # another thread is still importing torch
        return np
    return torch if isinstance(x, torch.Tensor) else np


def as_floating(x: Any) -> Any:
    """Return x as a floating tensor or array of at least single precision, recorded arrays as they are.

    A recorded array, an `NDArrayOperatorsMixin`, records the operations of NumPy on it, to run elsewhere.
    """
    xp = namespace(x)
    if xp is np:
        if type(x) is not np.ndarray:
            if isinstance(x, NDArrayOperatorsMixin):
                return x
            x = np.asarray(x)
        return x if x.dtype in (np.float32, np.float64) else x.astype(np.result_type(x.dtype, np.float32))
    return x if x.dtype in (xp.float32, xp.float64) else x.to(xp.float32)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x))."""
    xp = namespace(x)
    if xp is not np:
        return xp.sigmoid(x)
    out = np.negative(x)
    with np.errstate(over="ignore"):  # an infinite exponential gives the probability 0
        out = np.exp(out, out=out if out.ndim else None)  # two to three times as fast as scipy.special.expit
    out += 1
    return np.reciprocal(out, out=out if out.ndim else None)


def softplus(x: Any) -> Any:
    """Return log(1 + exp(x)), accurate on both sides of zero."""
    xp = namespace(x)
    # log(1 + exp(40)) is 40 in double precision; PyTorch's default threshold of 20 suits single precision, and its
    # logsigmoid starts all threads even for the smallest tensors
    return -special.log_expit(-x) if xp is np else xp.nn.functional.softplus(x, threshold=40)


def log_sigmoid(x: Any) -> Any:
    """Return log(sigmoid(x)), accurate on both sides of zero."""
    return -softplus(-x)


def logit(p: Any) -> Any:
    """Return log(p / (1 - p)), the inverse of `sigmoid`."""
    xp = namespace(p)
    return special.logit(p) if xp is np else xp.logit(p)


def power(x: Any, exponent: float) -> Any:
    """Return x ** exponent for x >= 0, with a finite derivative at 0 whatever the exponent."""
    if exponent in (1, 2, 3, 4):  # products: PyTorch's power takes eight times as long
        square = x if exponent == 1 else x * x
        return square if exponent <= 2 else square * (x if exponent == 3 else square)
    xp = namespace(x)
    return xp.clip(x, float(xp.finfo(x.dtype).tiny), None) ** exponent


def like(values: Any, x: Any) -> Any:
    """Return a number as it is, and a tuple of numbers, one for each label, as an array or tensor like x."""
    if not isinstance(values, tuple):
        return values
    xp = namespace(x)
    return np.asarray(values, dtype=x.dtype) if xp is np else xp.tensor(values, dtype=x.dtype, device=x.device)


def reuse(x: Any) -> Any:
    """Return a tensor as memory for a result (``out=``), None where derivatives of operations are recorded."""
    torch = sys.modules["torch"]
    return None if torch.is_grad_enabled() or torch.compiler.is_compiling() else x


def damped_softplus(x: Any) -> Any:
    """Return exp(-x) softplus(x), which falls from 1 to 0."""
    xp = namespace(x)
    small = xp.exp(-xp.abs(x))  # exp(-x) overflows for large negative x: one formula for each side
    rising = xp.where(small > 0, xp.log1p(small) / xp.where(small > 0, small, 1), 1)
    return xp.where(x > 0, small * (x + xp.log1p(small)), rising)
