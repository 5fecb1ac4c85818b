"""Everything that thumbq changes in Pillow and pi-heif, or takes from their private parts. Imported for its effects.

Each entry says why it is there and when it can go. As of Pillow 13.0 and pi-heif 1.4 all are needed.
"""

from __future__ import annotations

import io
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import pi_heif  # type: ignore[import-untyped]  # it ships no types
from PIL import AvifImagePlugin, Image, ImageFile, PngImagePlugin

from thumbq.imaging.colour.sanitising import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Area = tuple[int, int, int, int]

# Settings that are public.
#
# A render process has one CPU to itself; more threads would only multiply its memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

# Pillow's own limit counts pixels: it stops a JPEG that shrinks while it loads and lets a progressive bomb pass.
# admission takes its place.
Image.MAX_IMAGE_PIXELS = None

_MOST_JPEG_BYTES: Final = 6
"""Bytes that a pixel of a JPEG can take: noise in full colour at quality 100 has 4."""

_UNREAD_CHUNKS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_DEFLATED: Final = b"\0"
_CODE_POINTS: Final = 4
"""Bytes of a cICP chunk: primaries, transfer, matrix, range."""


@contextmanager
def room_for_jpeg(pixels: Image.Image) -> Iterator[None]:
    """Let Pillow write a JPEG of this picture however long it gets.

    Pillow guesses how long an optimized JPEG gets, and libjpeg writes it in one go: noise is longer, and fails with an
    OSError. Can go when Pillow's JPEG encoder grows its buffer.
    """
    usual, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, _MOST_JPEG_BYTES * pixels.width * pixels.height
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = usual


def release_decoder(image: ImageFile.ImageFile) -> None:
    """Free what the decoder of a loaded still holds beside its pixels: up to twice as much again.

    Can go when Pillow's AVIF and WebP plugins and pi-heif let go of their decoders once the only frame is loaded.
    """
    for held in ("_decoder", "_heif_file"):
        if hasattr(image, held):
            setattr(image, held, None)
    image.fp = None


def crop_in_place(image: ImageFile.ImageFile, area: Area) -> None:
    """Leave a part of a loaded still; the rest is freed.

    Sets what Pillow itself sets where it changes an image in place (``Image.thumbnail``). Can go with a crop of
    Pillow's that does not make a second image.
    """
    part = image.crop(area)
    image.im, image._size = part.im, part.size  # noqa: SLF001 -- see above


def prefill(image: ImageFile.ImageFile, row: Image.Image, tops: Iterable[int]) -> None:
    """Give an opened image pixels before it is loaded, with a row in some places: a row that does not come stays.

    Pillow makes pixels itself when there are none (``ImageFile.load_prepare``), and reports no missing rows of a PNG.
    Can go when it raises for a PNG whose data ends early.
    """
    image.im = Image.new(image.mode, image.size).im
    for top in tops:
        image.im.paste(row.im, (0, top, image.width, top + 1))


def _skip(stream: PngImagePlugin.PngStream, _position: int, length: int) -> bytes:
    """Pass over a PNG's chunk that no rendition needs, whatever it unpacks to.

    Pillow unpacks texts, and gives up a picture for one that is damaged or unpacks to more than a limit. Can go when it
    reads them only on demand.
    """
    assert stream.fp is not None
    stream.fp.seek(length, io.SEEK_CUR)
    return b""


def _check(stream: PngImagePlugin.PngStream, kind: bytes, data: bytes) -> None:
    """Check a chunk's checksum, but not that of a chunk that is skipped: the bytes of ``data`` are not its own."""
    if kind in _UNREAD_CHUNKS:
        stream.crc_skip(kind, data)
    else:
        PngImagePlugin.ChunkStream.crc(stream, kind, data)


def _read_iccp(stream: PngImagePlugin.PngStream, _position: int, length: int) -> bytes:
    """Read a PNG's profile.

    Pillow's own method gives up the picture for a profile that is large or packed oddly. Can go when such a profile
    only counts as none.
    """
    body = _chunk(stream, length)
    packed = body.partition(b"\0")[2]
    unpacked = b""
    if packed[:1] == _DEFLATED:
        with suppress(zlib.error):
            unpacked = zlib.decompressobj().decompress(packed[1:], MAX_BYTES + 1)
    stream.im_info["icc_profile"] = unpacked
    return body


def _read_cicp(stream: PngImagePlugin.PngStream, _position: int, length: int) -> bytes:
    """Read a PNG's code points. Can go when Pillow reads cICP, which it does not know."""
    body = _chunk(stream, length)
    if len(body) == _CODE_POINTS:
        stream.im_info["cicp"] = tuple(body)
    return body


def _chunk(stream: PngImagePlugin.PngStream, length: int) -> bytes:
    assert stream.fp is not None
    body = stream.fp.read(length)
    if len(body) < length:
        raise OSError("truncated PNG chunk")
    return body


for _kind in _UNREAD_CHUNKS:
    setattr(PngImagePlugin.PngStream, f"chunk_{_kind.decode()}", _skip)
PngImagePlugin.PngStream.crc = _check  # type: ignore[assignment]
PngImagePlugin.PngStream.chunk_iCCP = _read_iccp  # type: ignore[assignment]
PngImagePlugin.PngStream.chunk_cICP = _read_cicp  # type: ignore[attr-defined]
