"""The thumbnail in a HEIC, for presets that trust it, and where it shows the same as the image (``agreement``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.isomedia import items
from thumbq.imaging.formats.isomedia.boxes import boxes, number

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box
    from thumbq.imaging.geometry import Size

_FULL: Final = 4
_THUMBNAIL_OF: Final = b"thmb"
_UNKNOWN: Final = b"skip"
_PLACED: Final = (b"irot", b"imir", b"clap")
_COLOURED: Final = (b"colr",)
_MOST_SKEW: Final = 0.02
"""The largest difference of the proportions: encoders round, and blocks have an even number of pixels."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A HEIC whose primary item is the thumbnail, and the thumbnail's size as it is stored."""

    file: bytes
    size: Size


def thumbnail(original: Original) -> Thumbnail | None:
    """Return a HEIC's largest thumbnail that is a scaled copy by its header: turned, cut and coloured like the image.

    No decoder has an interface for it, so the file is changed to name the thumbnail as its image. Raises RenderRefused
    for damaged boxes.
    """
    meta = next(box for box in boxes(original, 0, len(original)) if box.kind == b"meta")
    parts = {box.kind: box for box in boxes(original, meta.at + _FULL, meta.end)}
    found = items.read(original, meta)
    image = found.properties.get(found.primary, [])
    size, item = max(
        (
            (items.size(original, found.properties.get(item, [])), item)
            for (kind, item), targets in found.references.items()
            if kind == _THUMBNAIL_OF
            and found.primary in targets
            and _goes_with(original, found.properties.get(item, []), image)
        ),
        default=((0, 0), 0),
    )
    if not all(size) or not _alike(size, items.size(original, image)):
        return None
    file = bytearray(original)
    primary = parts[b"pitm"]
    width = 4 if number(original, primary.at, 1) else 2
    file[primary.at + _FULL : primary.at + _FULL + width] = item.to_bytes(width, "big")
    references = parts[b"iref"]
    for entry in boxes(original, references.at + _FULL, references.end):
        if entry.kind == _THUMBNAIL_OF:  # a thumbnail of something is not taken for an image
            file[entry.at - 4 : entry.at] = _UNKNOWN
    return Thumbnail(bytes(file), size)


def _goes_with(original: Original, small: list[Box], image: list[Box]) -> bool:
    """Return whether a thumbnail is turned and cut like its image, and has the image's colours or none of its own."""
    colours = _contents(original, small, _COLOURED)
    return _contents(original, small, _PLACED) == _contents(original, image, _PLACED) and (
        not colours or colours == _contents(original, image, _COLOURED)
    )


def _contents(original: Original, properties: list[Box], kinds: tuple[bytes, ...]) -> list[bytes]:
    return [original[box.at : box.end] for kind in kinds for box in properties if box.kind == kind]


def _alike(one: Size, other: Size) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _MOST_SKEW
