"""The flag of transparency in the header of an animated WebP (RFC 9649, 2.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.webp.header import ALPHA, VP8X_FLAGS_AT

if TYPE_CHECKING:
    from thumbq.imaging import Original

_VP8X: Final = b"VP8X"
_VP8X_AT: Final = 12


def lacks_alpha(file: Original) -> bool:
    """Return whether an extended WebP says that it has no transparency."""
    flags = file[VP8X_FLAGS_AT : VP8X_FLAGS_AT + 1]
    return file[_VP8X_AT : _VP8X_AT + len(_VP8X)] == _VP8X and not int.from_bytes(flags, "little") & ALPHA


def with_alpha(file: Original) -> bytes:
    """Return an extended WebP that says that it has transparency.

    libwebp does not say so when opaque frames leave holes in the canvas; browsers show the holes all the same, but
    libwebp's users, such as Pillow, show black.
    """
    flags = file[VP8X_FLAGS_AT] | ALPHA
    return file[:VP8X_FLAGS_AT] + bytes([flags]) + file[VP8X_FLAGS_AT + 1 :]
