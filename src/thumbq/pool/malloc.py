"""Settings of the C library's malloc in render processes: large bitmaps are kept, large leftovers go back."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from thumbq.imaging.heap import RETURNED_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT: Final = {
    # glibc would map and unmap every large bitmap anew: 11 to 13 % of the time on large images.
    "MALLOC_MMAP_THRESHOLD_": str(RETURNED_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""The environment variables of a render process."""

_KEPT_BYTES: Final = 32 << 20
"""The free memory that may stay for the next job: usual photos need no more, and a trim costs as much as growing."""


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _glibc() -> Callable[[], None] | None:
    library = ctypes.CDLL(None)
    try:
        look, malloc_trim = library.mallinfo2, library.malloc_trim
    except AttributeError:
        return None
    look.restype = _MallocInfo

    def trim_much() -> None:
        if look().fordblks > _KEPT_BYTES:
            malloc_trim(ctypes.c_size_t(0))

    return trim_much


_trim: Final = _glibc()


def trim() -> None:
    """Give free memory back to the system if it is much. Does nothing where the C library has no such call (not glibc).

    Without it a process keeps hundreds of MiB in pieces, and images that were admitted find no memory.
    """
    if _trim is not None:
        _trim()
