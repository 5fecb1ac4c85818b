"""TIFF 6.0 and BigTIFF: the first page, and the largest strip or tile that its decoder must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.tiff import tags
from thumbq.imaging.formats.tiff.directory import Directory, damaged, truncated
from thumbq.imaging.formats.tiff.kinds import kind_of
from thumbq.imaging.formats.tiff.parts import parts_of
from thumbq.imaging.header import Header

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.tiff.kinds import Kind
    from thumbq.imaging.formats.tiff.parts import Parts

_MOST_BITS: Final = 64
_CHANNELS, _TWO_OF_16_BITS = 4, 4
"""Bytes of a pixel."""


def read(original: Original) -> Header:
    """Read the directory of the first page. Raises RenderRefused."""
    directory = Directory(original)
    width, height = directory.number(tags.WIDTH, 0), directory.number(tags.HEIGHT, 0)
    samples, bits = directory.number(tags.SAMPLES, 1), directory.number(tags.BITS, 1)
    if not (width and height and samples > 0 and 0 < bits <= _MOST_BITS):
        raise damaged()
    kind = kind_of(directory)
    parts = parts_of(directory, kind)
    if parts.end > len(original) or len(parts.offsets) < parts.in_plane * (samples if kind.planar else 1):
        raise truncated()
    return Header(
        ImageFormat.TIFF,
        width,
        height,
        channels=samples,
        bits=bits,
        palette=kind.photometric == tags.PALETTE,
        scratch_bytes=_scratch_bytes(kind, parts, len(original)) + _taken_apart_bytes(kind, width * height),
    )


def _scratch_bytes(kind: Kind, parts: Parts, file_bytes: int) -> int:
    """Return what libtiff is given and holds: nothing when Pillow reads pixels that are not compressed by itself."""
    if not kind.by_libtiff:
        return 0
    # A progressive JPEG's coefficients take two bytes a sample.
    return file_bytes + parts.unpacked * (3 if kind.compression in tags.JPEGS else 1)


def _taken_apart_bytes(kind: Kind, pixels: int) -> int:
    """Return what planes, or channels that are bytes, take beside the picture that is made of them."""
    if kind.has_byte_channels:
        return pixels * _CHANNELS
    if not kind.in_planes:
        return 0
    # Each in 8 bits; of 16 bits also the first and the last; and the picture with alpha that is multiplied in.
    return pixels * (kind.colours + 1 + (_TWO_OF_16_BITS if kind.bits > 8 else 0) + _CHANNELS)  # noqa: PLR2004 -- a byte
