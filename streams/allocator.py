"""Keeps freed memory for the next chunk instead of giving it back to the system."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), and the largest threshold that glibc takes for the second.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 256 << 20, 32 << 20


def keep_freed_memory() -> bool:
    """Let the C library reuse the blocks of a chunk for the next one.

    Every chunk takes and frees some megabytes. By default they go back to the system, and each
    page costs a fault when it is written for the first time again: a tenth of the CPU of ingest.
    The process keeps what it has needed at most at once.

    Returns
    -------
    bool
        False where the C library has no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES), mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
    return kept == (1, 1)
