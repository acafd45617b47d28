"""Dask collections as blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np


def is_collection(X: Any) -> bool:
    """Whether X is a Dask array or DataFrame."""
    return bool(dask.is_dask_collection(X)) and hasattr(X, "ndim")


def row_blocks(X: Any, y: Any, sample_weight: Any = None) -> list[tuple[Any, Any, Any]]:
    """Return delayed blocks of rows of X, y and sample_weight; None stays None.

    Raises
    ------
    TypeError
        If an argument is not a Dask collection.
    ValueError
        If the collections have different numbers of rows or blocks.
    """
    arrays = {"X": X, "y": y} | ({} if sample_weight is None else {"sample_weight": sample_weight})
    for name, array in arrays.items():
        if not is_collection(array):
            raise TypeError(
                f"{name} must be a Dask array, DataFrame or Series, got {type(array).__name__}. Use "
                "QuadrantMultiLabelClassifier for data in memory, or dask.array.from_array."
            )
    blocks = {name: _blocks(_cut_like(array, X)) for name, array in arrays.items()}
    for name, others in blocks.items():
        if len(others) != len(blocks["X"]):
            raise ValueError(
                f"X and {name} must have the same number of blocks when their sizes are unknown, got "
                f"{len(blocks['X'])} and {len(others)}. Call compute_chunk_sizes, or repartition them alike."
            )
    weights = blocks.get("sample_weight", [None] * len(blocks["X"]))
    return list(zip(blocks["X"], blocks["y"], weights, strict=True))


def _cut_like(other: Any, X: Any) -> Any:
    """Return an array with the row chunks of X if both have known chunks."""
    chunks = X.chunks[0] if isinstance(X, da.Array) else (math.nan,)
    if not isinstance(other, da.Array) or np.isnan(chunks).any() or np.isnan(other.chunks[0]).any():
        return other
    if other.shape[0] != sum(chunks):
        raise ValueError(
            f"X, y and sample_weight must have the same number of rows, got {sum(chunks)} and {other.shape[0]}."
        )
    return other.rechunk({0: chunks})


def _blocks(collection: Any) -> list[Any]:
    """Return the blocks of rows, each with all columns."""
    if isinstance(collection, da.Array):
        whole = collection.rechunk(dict.fromkeys(range(1, collection.ndim), -1))
        return list(whole.to_delayed().ravel())
    return list(collection.to_delayed())


def map_rows(function: Callable[[Any, Any], Any], model: Any, X: Any, *, meta: Any) -> da.Array:
    """Return a lazy array of a function of a model and each block of rows.

    Parameters
    ----------
    function : callable
        (model, block) -> array of shape (n_rows, n_columns) or (n_rows,)
    model : object
    X : dask array or DataFrame
    meta : {ndarray, sparse matrix} of shape (0, n_columns) or (0,)
        Result for no rows.
    """
    model = dask.delayed(model, pure=True)
    call = dask.delayed(function)
    chunks = X.chunks[0] if isinstance(X, da.Array) else (math.nan,) * X.npartitions
    parts = [
        da.from_delayed(call(model, block), (rows, *meta.shape[1:]), dtype=meta.dtype, meta=meta)
        for rows, block in zip(chunks, _blocks(X), strict=True)
    ]
    return da.concatenate(parts, allow_unknown_chunksizes=True)
