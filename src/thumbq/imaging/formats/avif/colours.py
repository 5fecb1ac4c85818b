"""The source profile of an AVIF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.errors import RenderRefused
from thumbq.imaging.colour.sourceprofile import code_point_profile, embedded_profile
from thumbq.imaging.formats.isomedia import items
from thumbq.imaging.formats.isomedia.boxes import boxes, number

if TYPE_CHECKING:
    from PIL import Image

    from thumbq.imaging import Original


def source_profile(image: Image.Image, original: Original) -> bytes | None:
    """Return the ICC profile that says what an opened AVIF's colours are; None: sRGB, or the file does not say.

    The profile; else the code points of the ``colr`` box (nclx).
    """
    profile = embedded_profile(image)
    return code_point_profile(*_code_points(original)) if profile is None else profile


def _code_points(original: Original) -> tuple[int, int]:
    """Return primaries and transfer of an AVIF's primary image, 0 where they are not stated."""
    try:
        for meta in boxes(original, 0, len(original)):
            if meta.kind != b"meta":
                continue
            found = items.read(original, meta)
            for box in found.properties.get(found.primary, []):
                if box.kind == b"colr" and original[box.at : box.at + 4] == b"nclx":
                    return number(original, box.at + 4, 2), number(original, box.at + 6, 2)
    except RenderRefused:
        pass  # What libavif can read has some colours.
    return 0, 0
