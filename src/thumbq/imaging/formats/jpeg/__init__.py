"""JPEG, in and out: its decoder can shrink while it loads, and is given nothing but the picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from thumbq.imaging.formats.inputformat import DecodingCosts, InputFormat
from thumbq.imaging.formats.jpeg.decode import decode
from thumbq.imaging.formats.jpeg.header import read
from thumbq.imaging.formats.outputformat import EncodingCost, OutputFormat, cost_by_effort, saved, subsampling
from thumbq.imaging.pillowpatches import room_for_jpeg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

    from thumbq.core.preset import Preset
    from thumbq.imaging.header import Header

_ROW_BYTES: Final = 200
"""The size of libjpeg's row buffers for a column."""

_COEFFICIENT_BYTES: Final = 128
"""Of a block of 8 by 8 samples in a JPEG that is not decoded in one pass."""

_COSTS: Final = {0: EncodingCost(7.5, 8.5, 0, 40, 50, 0, 0)}


def _memory(header: Header, pixels: int, _frames: int) -> tuple[float, float]:
    coding = header.jpeg
    assert coding is not None
    held = pixels * header.pixel_bytes + header.scratch_bytes + _ROW_BYTES * header.width
    coefficients = 0 if coding.one_pass else _COEFFICIENT_BYTES * coding.blocks(header.width, header.height)
    return held + coefficients, held


def _nanoseconds(header: Header, pixels: int, scale: int) -> float:
    coding = header.jpeg
    assert coding is not None
    nanoseconds = 20 * (header.file_bytes - coding.pixels_at) + pixels * (0.5 + 15 / scale**2)
    if not coding.one_pass:
        nanoseconds += 35 * coding.scans * coding.blocks(header.width, header.height)
    return nanoseconds


def _options(preset: Preset) -> dict[str, Any]:
    return {
        "quality": preset.quality,
        "subsampling": subsampling(preset),
        "progressive": preset.progressive,
        # Huffman tables of its own save a tenth of a small file.
        "optimize": True,
        "comment": b"",
    }


def _save(pixels: Image.Image, image_format: str, options: Mapping[str, Any]) -> bytes:
    try:
        return saved(pixels, image_format, options)
    except OSError:  # nearly never: the file is longer than Pillow expects
        with room_for_jpeg(pixels):
            return saved(pixels, image_format, options)


INPUT: Final = InputFormat(read, decode, DecodingCosts(_memory, _nanoseconds))
OUTPUT: Final = OutputFormat(_options, partial(cost_by_effort, _COSTS), save=_save)
