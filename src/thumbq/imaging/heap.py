"""The heap of a render process: large bitmaps are kept for the next job, and what is left over goes back.

Given back after every job, the pages of large bitmaps would cost the next job as much again as its pixels do.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from thumbq.core import malloc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RETURNED_BYTES: Final = 64 << 20
"""Freed blocks of this size are returned to the system at once; smaller ones may stay for long."""

ENVIRONMENT: Final = {
    # glibc would map and unmap every large bitmap anew: 11 to 13 % of the time on large images.
    "MALLOC_MMAP_THRESHOLD_": str(RETURNED_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""The environment variables of a render process."""

_KEPT_BYTES: Final = 32 << 20
"""The free memory that may stay for good: usual photos need no more."""

_FEW_BYTES: Final = 4 << 20

_LITTLE: Final = 1 / 8


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _glibc() -> Callable[[], int]:
    look = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if look is None:
        return lambda: 0
    look.restype = _MallocInfo
    return lambda: int(look().fordblks)


_free_bytes: Final = _glibc()


def has_much() -> bool:
    """Return whether more free memory is held than may stay. Nothing is known of C libraries other than glibc."""
    return _free_bytes() > _KEPT_BYTES


def make_room(needed_bytes: int, limit_bytes: int) -> None:
    """Give back free memory, if it is much, before a render that might find too little beside it.

    Free memory is in pieces: without this, images that were admitted would find none. What needs little of the limit
    finds it among the pieces.
    """
    if needed_bytes > limit_bytes * _LITTLE and needed_bytes + _free_bytes() > limit_bytes:
        give_back()


def give_back() -> None:
    """Give free memory back to the system if it is much. Does nothing where the C library has no such call."""
    if has_much():
        malloc.trim()


@contextmanager
def smaller_blocks_returned() -> Iterator[None]:
    """Have blocks of 4 MiB returned at once, too: none of what a decoder frees stays beside what it makes next."""
    malloc.map_blocks_from(_FEW_BYTES)
    try:
        yield
    finally:
        malloc.map_blocks_from(RETURNED_BYTES)
