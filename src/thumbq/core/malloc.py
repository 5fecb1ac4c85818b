"""What is asked of the C library's malloc. Where that has no such call (not glibc) nothing is done."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of mallopt(3)."""

_library: Final = ctypes.CDLL(None)
_mallopt: Final = getattr(_library, "mallopt", None)
_malloc_trim: Final = getattr(_library, "malloc_trim", None)


def map_blocks_from(size: int) -> None:
    """Have blocks of ``size`` bytes and more mapped, for good; they go back to the system when they are freed.

    By itself glibc raises that size to the largest block that was freed, up to 32 MiB: later ones lie in the heap,
    where they are copied when they grow and leave gaps when they are freed.
    """
    if _mallopt is not None:
        _mallopt(_MMAP_THRESHOLD, size)


def keep_free(size: int) -> None:
    """Let up to ``size`` free bytes stay at the end of the heap.

    By itself glibc keeps twice the largest mapped block that was freed; once ``map_blocks_from`` was called it keeps no
    more than 128 KiB, and whatever is larger has its pages made anew each time.
    """
    if _mallopt is not None:
        _mallopt(_TRIM_THRESHOLD, size)


def trim() -> None:
    """Give all free memory back to the system, whole pages of it."""
    if _malloc_trim is not None:
        _malloc_trim(ctypes.c_size_t(0))
