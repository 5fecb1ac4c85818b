"""The header: which format it is, how large, which way up, and whether the file is all there."""

from __future__ import annotations

import io
import mmap
from typing import IO, Final, cast

import pi_heif  # type: ignore[import-untyped]  # it ships no types
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from thumbq.core.formats import ImageFormat, sniff
from thumbq.errors import RenderRefused

Original = bytes | mmap.mmap
"""An image file in memory."""

# Image.open takes the formats that are loaded; without these it would load every plugin that Pillow has.
LOADED: Final = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

# A child has one CPU to itself; more threads would only multiply its memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

# Pillow's own limit counts pixels: it stops a JPEG that shrinks while it loads and lets a progressive bomb pass.
# decode.admit takes its place.
Image.MAX_IMAGE_PIXELS = None

_START_OF_SCAN: Final = 0xDA
_BOX_HEADER: Final = 8
_FILL: Final = 0xFF
_NO_LENGTH: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9), _FILL})
_ORIENTATIONS: Final = range(1, 9)


def open_image(original: Original) -> tuple[ImageFormat, ImageFile.ImageFile]:
    """Read an image's header and nothing more. Raises RenderRefused; a decoder may raise anything."""
    image_format = sniff(original[:64])
    if image_format is None:
        raise RenderRefused("unsupported-format", "this is no image of a format that thumbq takes")
    if image_format is ImageFormat.JPEG and not _jpeg_has_end(original):
        raise RenderRefused("truncated", "the JPEG ends in the middle of its data")
    if image_format is ImageFormat.WEBP and len(original) < 8 + int.from_bytes(original[4:8], "little"):
        raise RenderRefused("truncated", "the WebP file is shorter than its header says")
    if image_format in {ImageFormat.HEIF, ImageFormat.AVIF} and not _boxes_fit(original):
        raise RenderRefused("truncated", f"the {image_format.value} file is shorter than its boxes say")
    file = original if isinstance(original, mmap.mmap) else io.BytesIO(original)
    return image_format, Image.open(cast("IO[bytes]", file), formats=[image_format.value])


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; anything that makes no sense counts as 1."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 -- Pillow's EXIF reader raises a dozen kinds; bad metadata must not cost the picture
        return 1
    return value if type(value) is int and value in _ORIENTATIONS else 1


def _jpeg_has_end(original: Original) -> bool:
    """Whether an end marker follows the start of the pixels.

    Pillow draws a JPEG that stops short of it in part. The markers before the scan are walked, since a preview
    in the metadata has an end marker of its own. Padding, a second picture or a film after the end are usual.
    """
    at = original.find(b"\xff", 2)
    while 0 <= at < len(original) - 3:
        marker = original[at + 1]
        if marker == _START_OF_SCAN:
            return original.rfind(b"\xff\xd9", at) != -1
        length = 0 if marker in _NO_LENGTH else int.from_bytes(original[at + 2 : at + 4], "big")
        at = original.find(b"\xff", at + 1 if marker == _FILL else at + 2 + length)
    return False


def _boxes_fit(original: Original) -> bool:
    """Whether every top-level box of an ISO media file (ISO/IEC 14496-12, 4.2) ends within it."""
    at = 0
    while at <= len(original) - _BOX_HEADER:
        size = int.from_bytes(original[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(original[at + 8 : at + 16], "big")
        if size < _BOX_HEADER:  # 0: to the end of the file; others make no sense, and are the decoder's to judge
            return True
        at += size
    return at <= len(original)
