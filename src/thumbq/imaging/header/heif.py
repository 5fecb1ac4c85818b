"""AVIF and HEIC (ISO/IEC 23008-12): the size that the image items say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header.facts import Header
from thumbq.imaging.header.isomedia import boxes, number

if TYPE_CHECKING:
    from thumbq.imaging import Original


def read(original: Original, image_format: ImageFormat) -> Header:
    """Read the boxes of a still image."""
    meta = None
    for box in boxes(original, 0, len(original)):
        if box.kind == b"meta":
            meta = box
    if meta is None:
        raise RenderRefused("unsupported-format", "the file holds no still image")
    width = height = 0
    for properties in boxes(original, meta.at + 4, meta.end):
        if properties.kind == b"iprp":
            for container in boxes(original, properties.at, properties.end):
                if container.kind == b"ipco":
                    for entry in boxes(original, container.at, container.end):
                        if entry.kind == b"ispe":
                            width = max(width, number(original, entry.at + 4, 4))
                            height = max(height, number(original, entry.at + 8, 4))
    if not (width and height):
        raise RenderRefused("corrupt", "the file does not say how large the image is")
    return Header(image_format, width, height)


def read_avif(original: Original) -> Header:
    """Read an AVIF's header."""
    return read(original, ImageFormat.AVIF)


def read_heif(original: Original) -> Header:
    """Read a HEIF's header."""
    return read(original, ImageFormat.HEIF)
