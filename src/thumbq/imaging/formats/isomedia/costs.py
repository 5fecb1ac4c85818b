"""A cost that the decoders of AVIF and HEIF share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thumbq.imaging.header import Header


def made_bytes(header: Header) -> int:
    """Return the bytes of a pixel that a decoder hands over, before they are Pillow's: RGB is packed."""
    return header.channels if header.channels in {1, 3} else 4
