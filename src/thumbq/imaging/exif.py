"""The few EXIF tags that are read; nothing else of an original's metadata is."""

from __future__ import annotations

from typing import Final

from PIL import ExifTags, Image

_ORIENTATIONS: Final = range(1, 9)
_COPYRIGHT: Final = (ExifTags.Base.Artist, ExifTags.Base.Copyright)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; anything that makes no sense counts as 1."""
    found = value(image, ExifTags.Base.Orientation)
    return found if type(found) is int and found in _ORIENTATIONS else 1


def is_photo(image: Image.Image) -> bool:
    """Whether a camera made the picture: its EXIF names the maker."""
    return value(image, ExifTags.Base.Make) is not None


def copyright_only(image: Image.Image) -> bytes:
    """Return an EXIF block with an original's artist and copyright, and nothing else; empty when it names neither."""
    kept = Image.Exif()
    for tag in _COPYRIGHT:
        found = value(image, tag)
        if isinstance(found, str) and found.strip():
            kept[tag] = found
    return kept.tobytes() if kept else b""


def value(image: Image.Image, tag: int) -> object:
    """Return the value of an EXIF tag; None when it is not there, or the EXIF is damaged."""
    try:
        return image.getexif().get(tag)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 -- Pillow's EXIF reader raises a dozen kinds; bad metadata must not cost the picture
        return None
