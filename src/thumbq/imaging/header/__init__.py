"""What an image's header says, read without a decoder: the first thing that a render does, at next to no cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import SNIFF_BYTES, ImageFormat, sniff
from thumbq.errors import RenderRefused
from thumbq.imaging.header import bmp, gif, heif, jpeg, png, tiff, webp
from thumbq.imaging.header.facts import Header, JpegFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thumbq.imaging import Original

__all__ = ["Header", "JpegFacts", "read"]

_READERS: Final[Mapping[ImageFormat, Callable[[Original], Header]]] = {
    ImageFormat.JPEG: jpeg.read,
    ImageFormat.PNG: png.read,
    ImageFormat.GIF: gif.read,
    ImageFormat.WEBP: webp.read,
    ImageFormat.AVIF: heif.read_avif,
    ImageFormat.HEIF: heif.read_heif,
    ImageFormat.TIFF: tiff.read,
    ImageFormat.BMP: bmp.read,
}


def read(original: Original) -> Header:
    """Read an image's header: its format, size and coding, and whether the file is all there.

    Raises RenderRefused: unsupported-format, truncated or corrupt, as far as the header tells. Never raises anything
    else, whatever the bytes; takes well under a millisecond for a usual file of any size.
    """
    image_format = sniff(original[:SNIFF_BYTES])
    if image_format is None:
        raise RenderRefused("unsupported-format", "this is no image of a format that thumbq takes")
    return replace(_READERS[image_format](original), file_bytes=len(original))
