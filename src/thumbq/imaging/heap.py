"""The C library's heap in a render process: which freed blocks go back to the system at once."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

RETURNED_BYTES: Final = 64 << 20
"""Freed blocks of this size are returned at once (``pool/malloc.py``); smaller ones may stay for long."""

_FEW_BYTES: Final = 4 << 20
_MMAP_THRESHOLD: Final = -3
"""``M_MMAP_THRESHOLD`` of mallopt(3)."""

_mallopt: Final = getattr(ctypes.CDLL(None), "mallopt", None)


@contextmanager
def smaller_blocks_returned() -> Iterator[None]:
    """Have blocks of 4 MiB returned at once, too: none of what a decoder frees stays beside what it makes next.

    Does nothing where the C library has no such call (not glibc).
    """
    if _mallopt is None:
        yield
        return
    _mallopt(_MMAP_THRESHOLD, _FEW_BYTES)
    try:
        yield
    finally:
        _mallopt(_MMAP_THRESHOLD, RETURNED_BYTES)
