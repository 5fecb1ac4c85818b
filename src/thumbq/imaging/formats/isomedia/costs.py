"""Costs that the decoders of AVIF and HEIF share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from thumbq.imaging.header import Header

RETURNED_BYTES: Final = 64 << 20
"""Freed blocks of this size are returned to the system at once (``pool/malloc.py``); smaller ones may stay for long."""


def made_bytes(header: Header) -> int:
    """Return the bytes of a pixel that a decoder hands over, before they are Pillow's: RGB is packed."""
    return header.channels if header.channels in {1, 3} else 4
