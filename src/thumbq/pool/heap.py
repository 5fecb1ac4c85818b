"""What a large image took of the heap, given back to the system before the next image comes."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT_BYTES: Final = 32 << 20
"""What may stay for the next job: usual photos need no more, and giving back costs as much as taking."""


class _HeapInfo(ctypes.Structure):
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
        look, trim = library.mallinfo2, library.malloc_trim
    except AttributeError:
        return None
    look.restype = _HeapInfo

    def give_back_free() -> None:
        if look().fordblks > _KEPT_BYTES:
            trim(ctypes.c_size_t(0))

    return give_back_free


_give_back: Final = _glibc()


def give_back() -> None:
    """Give back what is free of the heap if it is much. Does nothing where the C library has no such call (not glibc).

    Without it a child keeps hundreds of MiB in pieces, and images that were admitted find no memory.
    """
    if _give_back is not None:
        _give_back()
