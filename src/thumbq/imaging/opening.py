"""Pillow and its plugins: which of them there are, how they are set, and how they open and load an original."""

from __future__ import annotations

import io
import mmap
from typing import IO, TYPE_CHECKING, Final, cast

import pi_heif  # type: ignore[import-untyped]  # it ships no types
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging import clap, pngfile
from thumbq.imaging.frames import gif, webp
from thumbq.imaging.header.isomedia import damaged
from thumbq.imaging.jpegstream import open_jpeg

if TYPE_CHECKING:
    from PIL import ImageFile

    from thumbq.imaging import Original
    from thumbq.imaging.clap import Aperture
    from thumbq.imaging.header import Header

# Image.open takes the formats that are loaded; without these it would load every plugin that Pillow has.
LOADED: Final = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

# A child has one CPU to itself; more threads would only multiply its memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

# Pillow's own limit counts pixels: it stops a JPEG that shrinks while it loads and lets a progressive bomb pass.
# admission takes its place.
Image.MAX_IMAGE_PIXELS = None

_OF_MANY_KINDS: Final = frozenset({ImageFormat.TIFF, ImageFormat.BMP})
"""Formats whose header, once it makes sense to our own reader, can still ask for what Pillow has no decoder for."""

_NOT_IN_LIBTIFF: Final = "webp"
"""The compression that Pillow has a name for and its libtiff no codec: that would fail as damaged pixels do."""

_WITH_ALPHA: Final = 4
_WEBP_CANVASES_BYTES: Final = 8


def opened(original: Original, header: Header, shown: Aperture | None = None) -> ImageFile.ImageFile:
    """Let a decoder read the header of an image that is no JPEG: all of the picture that ``shown`` is a part of.

    Raises RenderRefused for a kind of TIFF or BMP that Pillow does not read; a decoder may raise anything.
    """
    file = cast("IO[bytes]", original) if isinstance(original, mmap.mmap) else io.BytesIO(original)
    if header.format is ImageFormat.GIF:
        file = gif.first_file(original)
    elif header.format is ImageFormat.WEBP and header.channels == _WITH_ALPHA and webp.lacks_alpha(original):
        file = io.BytesIO(webp.with_alpha(original))
    elif header.format is ImageFormat.HEIF and shown is not None:
        file = clap.without(original, shown)
    try:
        image = Image.open(file, formats=[header.format.value])
    except OSError as error:
        unknown = isinstance(error, UnidentifiedImageError) or str(error).startswith("Unsupported BMP")
        if header.format in _OF_MANY_KINDS and unknown:
            raise _unsupported(header) from error
        if header.format is ImageFormat.WEBP:
            # libwebp makes two canvases here and has one word for all that fails: this raises when it was memory.
            bytearray(_WEBP_CANVASES_BYTES * header.width * header.height)
        raise
    if header.format is ImageFormat.TIFF and image.info.get("compression") == _NOT_IN_LIBTIFF:
        raise _unsupported(header)
    return image


def _unsupported(header: Header) -> RenderRefused:
    name = header.format.name
    return RenderRefused("unsupported-format", f"a {name} with this kind of pixels or compression is not taken")


def opened_jpeg(original: Original, header: Header, *, dc_only: bool = False) -> JpegImagePlugin.JpegImageFile:
    """Let the decoder read a JPEG's header; ``dc_only`` as in jpegstream.open_jpeg."""
    assert header.jpeg is not None
    # Not by Image.open, which would look for the further pictures of an MPO.
    return JpegImagePlugin.JpegImageFile(open_jpeg(original, header.jpeg, dc_only=dc_only))


def load(image: ImageFile.ImageFile, original: Original, header: Header) -> None:
    """Decode an opened image. Raises RenderRefused for a PNG that lacks rows; a decoder may raise anything."""
    if header.format is not ImageFormat.PNG:
        image.load()
        return
    pngfile.mark(image)
    image.load()
    if not pngfile.all_there(image, original, header):
        raise RenderRefused("truncated", "the PNG has fewer rows than its header says")


def let_go(image: ImageFile.ImageFile) -> None:
    """Free what the decoder of a loaded still holds beside its pixels: up to twice as much again."""
    for held in ("_decoder", "_heif_file"):
        if hasattr(image, held):
            setattr(image, held, None)
    image.fp = None


def cut(image: ImageFile.ImageFile, shown: Aperture) -> None:
    """Leave of a loaded still what is shown of it; the rest is freed. Raises RenderRefused for an unexpected size."""
    if image.size != shown.size:
        raise damaged()
    part = image.crop(shown.area)
    image.im, image._size = part.im, part.size  # noqa: SLF001 -- as Pillow itself does where it changes one in place
