"""BMP: Pillow opens it; runs are decoded in Python."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

# Image.open takes the formats whose plugins are loaded; without them it would load all that Pillow has.
from PIL import BmpImagePlugin  # noqa: F401

from thumbq.core.formats import ImageFormat
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.bmp.header import read
from thumbq.imaging.formats.inputformat import (
    USUAL_COSTS,
    DecodingCosts,
    InputFormat,
    linear_nanoseconds,
    usual_memory,
)
from thumbq.imaging.opening import Opened, open_known_kind, opened

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

# Pillow reads runs in Python; the end of a row costs most, pixel by pixel.
_RUN_NANOSECONDS: Final = linear_nanoseconds(100, 110)


def _open(original: Original, _header: Header) -> Opened:
    return opened(open_known_kind(original, ImageFormat.BMP))


def _nanoseconds(header: Header, pixels: int, scale: int) -> float:
    has_runs = header.scratch_bytes > 0
    return (_RUN_NANOSECONDS if has_runs else USUAL_COSTS.nanoseconds)(header, pixels, scale)


INPUT: Final = InputFormat(read, partial(decode_whole, _open), DecodingCosts(usual_memory, _nanoseconds))
