"""TIFF, by its first page."""

from __future__ import annotations

from functools import partial
from typing import IO, TYPE_CHECKING, Final

from PIL import UnidentifiedImageError

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging import exif
from thumbq.imaging.colour import embedded_profile, pixelkinds
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.inputformat import USUAL_COSTS, InputFormat
from thumbq.imaging.formats.tiff import bytechannels, kinds, planes, tags
from thumbq.imaging.formats.tiff.directory import Directory
from thumbq.imaging.formats.tiff.header import read
from thumbq.imaging.formats.tiff.parts import parts_of
from thumbq.imaging.opening import Opened, file_of, open_with_pillow, raw_mode, unsupported_kind
from thumbq.imaging.pillowpatches import all_by_libtiff, in_native_order
from thumbq.imaging.standarderror import heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image, ImageFile

    from thumbq.imaging import Original
    from thumbq.imaging.formats.tiff.kinds import Kind
    from thumbq.imaging.header import Header


_FAX_ERROR: Final = b"Fax"
"""libtiff's errors begin with the function that has them: Fax3Decode1D, Fax4Decode …"""


_SHORT_BITS: Final = 16
_SMALL_NUMBERS: Final = 2 * 255
"""Numbers of no stated range of which none is as large as this count from 0 to 255."""


def _open(original: Original, _header: Header) -> Opened:
    directory = Directory(original)
    kind = kinds.kind_of(directory)
    if kind.in_planes:
        changes = planes.plane_changes(kind, parts_of(directory, kind))
        opened = (_opened(directory.rewritten(plane, whole=kind.by_libtiff), kind) for plane in changes)
        image = next(opened)
        load = partial(planes.put_together, kind, image, opened)
    else:
        changed = kinds.changes(directory, kind)
        is_plain = not (changed or directory.is_big)
        image = _opened(file_of(original) if is_plain else directory.rewritten(changed, whole=kind.by_libtiff), kind)
        load = partial(_loaded, image, kind, big_endian=directory.order == ">" and not kind.by_libtiff)
    # Pillow turns it upright as it loads.
    return Opened(image, embedded_profile(image), partial(_undamaged, load, kind), orientation=lambda _: 1)


def _opened(file: IO[bytes], kind: Kind) -> ImageFile.ImageFile:
    """Let Pillow read the directory. Raises RenderRefused for a kind of pixels that it does not know."""
    try:
        with all_by_libtiff(wanted=kind.by_libtiff):
            image = open_with_pillow(file, ImageFormat.TIFF)
    except UnidentifiedImageError as error:
        raise unsupported_kind(ImageFormat.TIFF) from error
    if kind.by_libtiff:
        in_native_order(image)
    if image.mode.startswith("I;16"):
        image.info[pixelkinds.TWELVE_BITS] = raw_mode(image) == "I;12"
        image.info[pixelkinds.INVERTED] = kind.photometric == tags.WHITE_IS_ZERO
    return image


def _loaded(image: ImageFile.ImageFile, kind: Kind, *, big_endian: bool) -> Image.Image:
    image.load()
    if kind.has_byte_channels:
        return bytechannels.grey(image, kind, big_endian=big_endian)
    return _signed(image, kind) if image.mode == "I" else image


def _signed(image: Image.Image, kind: Kind) -> Image.Image:
    """Return grey with a sign so that white is 255, 65535 or 2³¹ - 1. Raises RenderRefused where zero is not black.

    A few numbers may be below zero, and are black. White is 32767 of larger numbers in 16 bits.
    """
    lowest, largest = map(int, image.getextrema())  # type: ignore[arg-type]  # a single band has one pair
    if 2 * -lowest > largest:
        raise unsupported_kind(ImageFormat.TIFF)
    return image.point(_doubled) if kind.bits == _SHORT_BITS and largest >= _SMALL_NUMBERS else image


def _doubled(value: float) -> float:
    return value * 2


def _undamaged(load: Callable[[], Image.Image], kind: Kind) -> Image.Image:
    """Load a picture. Raises RenderRefused where libtiff made up pixels of a fax in the place of damaged ones."""
    if kind.compression not in tags.FAXES:
        return load()
    with heard() as said:
        pixels = load()
    if _FAX_ERROR in said.words:
        raise RenderRefused("corrupt", "the TIFF's fax is damaged")
    return pixels


INPUT: Final = InputFormat(read, partial(decode_whole, _open), USUAL_COSTS, exif_text=exif.text_of_tiff)
