"""The source profile of a BMP: BITMAPV5HEADER has one, or BITMAPV4HEADER describes it (Windows GDI)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, cast

from thumbq.imaging.colour.matrixprofile import gamma_curve, matrix_profile
from thumbq.imaging.formats.bmp.bitmap import HEADER_AT

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.colour.matrixprofile import Chromaticities

_V4_SIZE, _V5_SIZE = 108, 124
_SPACE: Final = struct.Struct("<56x4s9I3I")
"""From the header on: the colour space, XYZ of red, green and blue in 2.30 bits, their gamma in 16.16."""

_PROFILE: Final = struct.Struct("<112xII")
_CALIBRATED, _EMBEDDED = b"\0\0\0\0", b"DEBM"
_LARGEST_GAMMA: Final = 10


def source_profile(original: Original) -> bytes | None:
    """Return the profile in the file, or one of what it says of its colours. A profile elsewhere (LINK) is ignored."""
    (size,) = struct.unpack_from("<I", original, HEADER_AT)
    if size < _V4_SIZE:
        return None
    header = original[HEADER_AT : HEADER_AT + size]
    space, *numbers = _SPACE.unpack_from(header)
    if space == _CALIBRATED:
        return _calibrated([value / (1 << 30) for value in numbers[:9]], [value / (1 << 16) for value in numbers[9:]])
    if space == _EMBEDDED and size >= _V5_SIZE:
        offset, length = _PROFILE.unpack_from(header)
        return original[HEADER_AT + offset : HEADER_AT + offset + length] or None
    return None


def _calibrated(ends: list[float], gammas: list[float]) -> bytes | None:
    """Return a profile of XYZ of the three colours, whose sum is white; None where that is not said."""
    if not all(0 < gamma <= _LARGEST_GAMMA for gamma in gammas):
        return None
    colours = [ends[at : at + 3] for at in (0, 3, 6)]
    white = [sum(values) for values in zip(*colours, strict=True)]
    if not all(colour[1] for colour in colours):
        return None
    places = tuple(value / sum(colour) for colour in (white, *colours) for value in colour[:2])
    return matrix_profile(cast("Chromaticities", places), *map(gamma_curve, gammas))
