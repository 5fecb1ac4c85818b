"""Costs that the decoders of AVIF and HEIF share."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.imaging.header import Header

_COPIES: Final = 4
"""Of the data of a piece."""


def made_bytes(header: Header) -> int:
    """Return the bytes of a pixel that a decoder hands over, before they are Pillow's: RGB is packed."""
    return header.channels if header.channels in {1, 3} else 4


def piecewise_memory(
    header: Header, pixels: int, of_a_piece: Callable[[Header, int], tuple[float, float]]
) -> tuple[float, float]:
    """Return the memory of a grid that is decoded piece by piece, from what a piece takes as a picture of its own.

    0 pixels are those of a picture that is never whole, of which a row of tiles is held.
    """
    share = header.piece_pixels / (header.width * header.height)
    piece = replace(header, scratch_bytes=ceil(share * header.scratch_bytes))
    peak, _ = of_a_piece(piece, header.piece_pixels)
    held = (pixels or header.band_pixels) * header.pixel_bytes
    return peak + held + _COPIES * share * header.file_bytes, held if pixels else 0
