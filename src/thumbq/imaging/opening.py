"""Opening: a decoder gets the file and reads its header, before any pixels are loaded."""

from __future__ import annotations

import io
import mmap
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from PIL import Image

from thumbq.errors import RenderRefused

# Imported for its effects: no file is opened before Pillow is patched.
from thumbq.imaging import exif, pillowpatches  # noqa: F401
from thumbq.imaging.colour import embedded_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import ImageFile

    from thumbq.core.formats import ImageFormat
    from thumbq.imaging import Original

Piece = tuple[Image.Image, tuple[int, int]]
"""A part of a picture as it is stored, and its place from the left and the top: row by row, each from the left."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An image whose header its decoder has read.

    ``icc_profile`` is its source profile. ``load`` decodes it and returns the pixels, nearly always the image itself;
    ``orientation`` tells its EXIF orientation once it is loaded. ``pieces`` decodes it, where it can be had piece by
    piece; it takes the place of ``load``. ``thumbnail`` opens the thumbnail in the
    file, if it has one that can stand for the image; ``is_shown_by`` tells whether that one, loaded, shows the image,
    None where that cannot be told. A decoder may raise anything.
    """

    image: Image.Image
    icc_profile: bytes | None
    load: Callable[[], Image.Image]
    orientation: Callable[[Image.Image], int] = exif.orientation
    pieces: Callable[[], Iterator[Piece]] | None = None
    thumbnail: Callable[[], ImageFile.ImageFile | None] | None = None
    is_shown_by: Callable[[Image.Image], bool] | None = None


def opened(image: ImageFile.ImageFile) -> Opened:
    """Return an opened image that has its profile from Pillow and loads as it is."""
    return Opened(image, embedded_profile(image), lambda: loaded(image))


def loaded(image: ImageFile.ImageFile) -> Image.Image:
    """Decode an image."""
    image.load()
    return image


def file_of(original: Original) -> IO[bytes]:
    """Return an original as a file, which shares its bytes."""
    return cast("IO[bytes]", original) if isinstance(original, mmap.mmap) else io.BytesIO(original)


def open_with_pillow(file: IO[bytes], image_format: ImageFormat) -> ImageFile.ImageFile:
    """Let Pillow read the header of a file of a format."""
    return Image.open(file, formats=[image_format.name])


def unsupported_kind(image_format: ImageFormat) -> RenderRefused:
    """Return the refusal of an image whose pixels or compression Pillow cannot read."""
    text = f"a {image_format.name} with this kind of pixels or compression is not taken"
    return RenderRefused("unsupported-format", text)


def raw_mode(image: ImageFile.ImageFile) -> str | None:
    """Return the name that Pillow has for the pixels as they are stored, None where there is none."""
    args = image.tile[0].args if image.tile else None
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else None
