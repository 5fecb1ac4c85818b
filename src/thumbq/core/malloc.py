"""A setting of the C library's malloc: from which size on blocks are mapped, and go back to the system when freed."""

from __future__ import annotations

import ctypes
from typing import Final

_MMAP_THRESHOLD: Final = -3
"""``M_MMAP_THRESHOLD`` of mallopt(3)."""

_mallopt: Final = getattr(ctypes.CDLL(None), "mallopt", None)


def map_blocks_from(size: int) -> None:
    """Have blocks of ``size`` bytes and more mapped, for good.

    By itself glibc raises that size to the largest block that was freed, up to 32 MiB: later ones lie in the heap,
    where they are copied when they grow and leave gaps when they are freed. Does nothing where the C library has no
    such call (not glibc).
    """
    if _mallopt is not None:
        _mallopt(_MMAP_THRESHOLD, size)
