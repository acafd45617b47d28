"""Memory-mapped files: pages that have been read can leave memory."""

from __future__ import annotations

import mmap
from typing import Any

from scipy import sparse


def release_pages(array: Any) -> None:
    """Let the pages of a file that an array is mapped to leave memory; they are read again when they are needed."""
    if sparse.issparse(array):
        for part in (array.data, array.indices, array.indptr):
            release_pages(part)
        return
    mode = None
    while array is not None and not isinstance(array, mmap.mmap):
        mode, array = getattr(array, "mode", mode), getattr(array, "base", None)
    if array is None or mode not in ("r", "r+"):  # in mode "c" changes would be lost
        return
    if hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
