"""The clean aperture (ISO/IEC 14496-12, 12.1.4) of an AVIF or HEIC: the part of the coded picture that is shown.

libavif leaves it to its callers, and Pillow does nothing about it; pi-heif 1.4 refuses most files that have one.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.isomedia import items
from thumbq.imaging.formats.isomedia.boxes import boxes, damaged, number
from thumbq.imaging.pillowpatches import crop_in_place, release_decoder

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box
    from thumbq.imaging.formats.isomedia.items import Items
    from thumbq.imaging.geometry import Size
    from thumbq.imaging.header import Header

_CLAP: Final = b"clap"
_NEUTRAL: Final = b"free"
_FIELDS: Final = struct.Struct(">IIIIiIiI")

Area = tuple[int, int, int, int]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Aperture:
    """The place of the shown part in the decoder's picture, and the size that this picture must have.

    ``places`` are the offsets of its boxes' types in the file.
    """

    area: Area
    size: Size
    places: tuple[int, ...]


def aperture(original: Original, header: Header, *, turns: bool) -> Aperture | None:
    """Return the clean aperture of a still; nearly always there is none.

    ``turns``: the decoder obeys irot and imir itself. Raises RenderRefused for a damaged aperture.
    """
    meta = next((box for box in boxes(original, 0, len(original)) if box.kind == b"meta"), None)
    if meta is None or original.find(_CLAP, meta.at, meta.end) < 0:
        return None
    found = items.read(original, meta)
    properties = found.properties.get(found.primary, [])
    if all(box.kind != _CLAP for box in properties):
        return None
    area, size = _walked(original, properties, (header.width, header.height), turns=turns)
    return Aperture(area, size, tuple(_place(original, box) for box in _to_neutralise(found)))


def load_shown(image: ImageFile.ImageFile, shown: Aperture | None) -> Image.Image:
    """Decode a still and cut it to its aperture, if it has one.

    Raises RenderRefused for an unexpected size.
    """
    image.load()
    if shown is not None:
        release_decoder(image)
        if image.size != shown.size:
            raise damaged()
        crop_in_place(image, shown.area)
    return image


def without(original: Original, shown: Aperture) -> io.BytesIO:
    """Return a file without a clean aperture: its boxes are turned into free space."""
    file = io.BytesIO(original)
    for place in shown.places:
        file.seek(place)
        file.write(_NEUTRAL)
    file.seek(0)
    return file


def _walked(original: Original, properties: list[Box], size: Size, *, turns: bool) -> tuple[Area, Size]:
    """Follow an area through the properties in their order (ISO/IEC 23008-12, 9.3.1) to the decoder's picture.

    ``turns``: the decoder obeys irot (6.5.10, anticlockwise) and imir (6.5.12) itself.
    """
    left, top, right, bottom = 0, 0, *size
    for box in properties:
        if box.kind == _CLAP:
            inner = _clean(original, box, (right - left, bottom - top))
            left, top, right, bottom = left + inner[0], top + inner[1], left + inner[2], top + inner[3]
        elif turns and box.kind == b"irot":
            for _ in range(number(original, box.at, 1) & 3):
                left, top, right, bottom = top, size[0] - right, bottom, size[0] - left
                size = size[::-1]
        elif turns and box.kind == b"imir":
            if number(original, box.at, 1) & 1:
                left, right = size[0] - right, size[0] - left
            else:
                top, bottom = size[1] - bottom, size[1] - top
    return (left, top, right, bottom), size


def _clean(original: Original, box: Box, size: Size) -> Area:
    """Return the area of a box. Fractions of a pixel, which MIAF (7.3.6.7) forbids, are rounded down."""
    if box.end - box.at < _FIELDS.size:
        raise damaged()
    values = _FIELDS.unpack_from(original, box.at)
    if not all(values[1::2]):
        raise damaged()
    width, height, across, down = (Fraction(*values[at : at + 2]) for at in range(0, len(values), 2))
    left, top = floor((size[0] - width) / 2 + across), floor((size[1] - height) / 2 + down)
    right, bottom = min(left + floor(width), size[0]), min(top + floor(height), size[1])
    left, top = max(left, 0), max(top, 0)
    if left >= right or top >= bottom:
        raise damaged()
    return left, top, right, bottom


def _to_neutralise(found: Items) -> set[Box]:
    """Return the boxes of the primary item, and of its alpha, which the decoder would cut and then stretch."""
    planes = [
        item for (kind, item), targets in found.references.items() if kind == b"auxl" and found.primary in targets
    ]
    return {box for item in (found.primary, *planes) for box in found.properties.get(item, []) if box.kind == _CLAP}


def _place(original: Original, box: Box) -> int:
    """Return where a box's type stands: before its contents, or before a size of 8 bytes."""
    return box.at - 4 if original[box.at - 4 : box.at] == _CLAP else box.at - 12
