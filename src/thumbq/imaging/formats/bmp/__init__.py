"""BMP: thumbq reads its headers and runs itself, and Pillow its pixels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.bmp.bitmap import bitmap_of
from thumbq.imaging.formats.bmp.colours import source_profile
from thumbq.imaging.formats.bmp.header import read
from thumbq.imaging.formats.bmp.pixels import picture_of
from thumbq.imaging.formats.inputformat import (
    USUAL_COSTS,
    DecodingCosts,
    InputFormat,
    linear_nanoseconds,
    usual_memory,
)
from thumbq.imaging.opening import Opened

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

# Runs are read in Python: the shortest cost most.
_RUN_NANOSECONDS: Final = linear_nanoseconds(400, 10)


def _open(original: Original, _header: Header) -> Opened:
    picture = picture_of(original, bitmap_of(original))
    return Opened(picture, source_profile(original), lambda: picture, orientation=lambda _: 1)


def _nanoseconds(header: Header, pixels: int, scale: int) -> float:
    has_runs = header.palette and header.scratch_bytes > 0
    return (_RUN_NANOSECONDS if has_runs else USUAL_COSTS.nanoseconds)(header, pixels, scale)


INPUT: Final = InputFormat(read, partial(decode_whole, _open), DecodingCosts(usual_memory, _nanoseconds))
