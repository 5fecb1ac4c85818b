"""Everything that thumbq changes in Pillow and pi-heif, or takes from their private parts. Imported for its effects.

Each entry says why it is there and when it can go. As of Pillow 13.0 and pi-heif 1.4 all are needed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pi_heif  # type: ignore[import-untyped]  # it ships no types
from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin, WebPImagePlugin

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Area = tuple[int, int, int, int]

# Settings that are public.
#
# A render process has one CPU to itself; more threads would only multiply its memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

# Pillow's own limit counts pixels: it stops a JPEG that shrinks while it loads and lets a progressive bomb pass.
# admission takes its place.
Image.MAX_IMAGE_PIXELS = None

_OUT_OF_MEMORY: Final = -9
"""Among the errors of Pillow's decoders (IMAGING_CODEC_MEMORY)."""

_ALPHA_QUALITY: Final = 100
_MOST_JPEG_BYTES: Final = 6
"""Bytes that a pixel of a JPEG can take: noise in full colour at quality 100 has 4."""


_IN_FILE_ORDER: Final = {
    "I;16S": "I;16NS", "I;16BS": "I;16NS", "I;32S": "I;32NS", "I;32BS": "I;32NS",
    "F;32F": "F;32NF", "F;32BF": "F;32NF",
}  # fmt: skip
"""Pillow's names for numbers of a sign or with a fraction, and those for the same in the order of this machine."""


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


class _OneFrame:
    """Stands for a decoder of which one frame is wanted, and frees it before Pillow makes pixels of that frame."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def get_next(self) -> Any:
        return self._last(self._decoder.get_next())

    def get_frame(self, number: int) -> Any:
        return self._last(self._decoder.get_frame(number))

    def reset(self) -> None:
        self._decoder.reset()

    def _last(self, frame: Any) -> Any:
        if frame is not None:
            self._decoder = None
        return frame


def decode_one_frame(image: Image.Image) -> None:
    """Let the decoder of an opened WebP or AVIF go as soon as it has handed over a frame: it holds as much again.

    Can go when Pillow's plugins let go of their decoders before they make pixels of the only frame.
    """
    decoder = getattr(image, "_decoder", None)
    if decoder is not None:
        image._decoder = _OneFrame(decoder)  # type: ignore[attr-defined]  # noqa: SLF001 -- see above


class WebPAnimation:
    """Writes an animated WebP frame by frame, as Pillow does it for a list of all frames.

    Can go when Pillow's WebP plugin takes frames one by one.
    """

    def __init__(self, size: tuple[int, int], options: Mapping[str, Any]) -> None:
        self._how = options["lossless"], options["quality"], _ALPHA_QUALITY
        self._method, self._exif, self._at_ms = options["method"], options["exif"], 0
        key_frames = (9, 17) if options["lossless"] else (3, 5)
        background, smallest, mixed, verbose = 0, False, False, False
        library: Any = WebPImagePlugin
        self._encoder = library._webp.WebPAnimEncoder(  # noqa: SLF001 -- see above
            size, background, options["loop"], smallest, *key_frames, mixed, verbose
        )

    def add(self, pixels: Image.Image, duration_ms: int) -> None:
        """Encode one frame."""
        frame = WebPImagePlugin._convert_frame(pixels)  # noqa: SLF001 -- see above
        self._encoder.add(frame.getim(), self._at_ms, *self._how, self._method)
        self._at_ms += duration_ms

    def finish(self) -> bytes:
        """Return the file."""
        self._encoder.add(None, self._at_ms, *self._how, 0)
        body: bytes | None = self._encoder.assemble("", self._exif, "")
        if body is None:
            raise MemoryError
        return body


def release_decoder(image: Image.Image) -> None:
    """Free what the decoder of a loaded still holds beside its pixels: up to twice as much again.

    Can go when Pillow's AVIF and WebP plugins and pi-heif let go of their decoders once the only frame is loaded.
    """
    for held in ("_decoder", "_heif_file"):
        if hasattr(image, held):
            setattr(image, held, None)
    if isinstance(image, ImageFile.ImageFile):
        image.fp = None


def crop_in_place(image: ImageFile.ImageFile, area: Area) -> None:
    """Leave a part of a loaded still; the rest is freed.

    Sets what Pillow itself sets where it changes an image in place (``Image.thumbnail``). Can go with a crop of
    Pillow's that does not make a second image.
    """
    part = image.crop(area)
    image.im, image._size = part.im, part.size  # noqa: SLF001 -- see above


class FedDecoder:
    """The decoder of an opened image, which is given the file piece by piece.

    ``left`` says whether it waits for more than it has: it takes no bytes that it cannot use yet.
    """

    def __init__(self, image: ImageFile.ImageFile) -> None:
        name, extents, _, args = image.tile[0]
        image.load_prepare()
        self._decoder = Image._getdecoder(image.mode, name, args, image.decoderconfig)  # noqa: SLF001 -- see fed_decoder
        self._decoder.setimage(image.im, extents)
        self._held = b""
        self.done = False

    @property
    def left(self) -> bool:
        """Whether there are bytes that the decoder has not taken."""
        return bool(self._held)

    def feed(self, piece: bytes) -> None:
        """Let it decode as far as it comes; what it gets once it is done does not count. Raises RenderRefused."""
        if self.done:
            return
        self._held += piece
        taken, error = self._decoder.decode(self._held)
        if error == _OUT_OF_MEMORY:
            raise MemoryError
        if error < 0:
            raise RenderRefused("corrupt", "the image is damaged and does not decode")
        self.done = taken < 0
        self._held = b"" if self.done else self._held[taken:]

    def close(self) -> None:
        """Free what it holds."""
        self._decoder.cleanup()


@contextmanager
def fed_decoder(image: ImageFile.ImageFile) -> Iterator[FedDecoder]:
    """Decode an opened image by hand.

    Pillow's own ``load`` does not tell how much of the file the decoder has taken. Can go when Pillow raises for what
    libjpeg warns of.
    """
    decoder = FedDecoder(image)
    try:
        yield decoder
    finally:
        decoder.close()
    image.tile = []


def prefill(image: ImageFile.ImageFile, row: Image.Image, tops: Iterable[int]) -> None:
    """Give an opened image pixels before it is loaded, with a row in some places: a row that does not come stays.

    Pillow makes pixels itself when there are none (``ImageFile.load_prepare``), and reports no missing rows of a PNG.
    Can go when it raises for a PNG whose data ends early.
    """
    image.im = Image.new(image.mode, image.size).im
    for top in tops:
        image.im.paste(row.im, (0, top, image.width, top + 1))


@contextmanager
def all_by_libtiff(*, wanted: bool) -> Iterator[None]:
    """Let Pillow open a TIFF so that libtiff reads its pixels, also when they are not compressed.

    Pillow's own reader knows nothing of colours at half the size. Can go when Pillow leaves these to libtiff.
    """
    usual, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, wanted
    try:
        yield
    finally:
        TiffImagePlugin.READ_LIBTIFF = usual


def in_native_order(image: ImageFile.ImageFile) -> None:
    """Have an opened TIFF's numbers taken in the order of this machine, in which libtiff gives them.

    Pillow does that for 16 bits without a sign, and takes others in the order of the file. Can go when it does not.
    """
    for index, tile in enumerate(image.tile):
        if isinstance(tile.args, tuple) and tile.args[0] in _IN_FILE_ORDER:
            image.tile[index] = tile._replace(args=(_IN_FILE_ORDER[tile.args[0]], *tile.args[1:]))


# Grey of TIFFs for which Pillow has no mode, or no entry though it can read it. What has four bytes a pixel becomes
# four channels (with an entry of its own, it takes 32 bits for numbers with a sign, and half of them for black). Can go
# with modes and entries for these.
for _order in (TiffImagePlugin.II, TiffImagePlugin.MM):
    for _photometric in (0, 1):
        TiffImagePlugin.OPEN_INFO[_order, _photometric, (1,), 1, (32,), ()] = ("RGBA", "RGBA")
        TiffImagePlugin.OPEN_INFO[_order, _photometric, (1,), 1, (12,), ()] = ("I;16", "I;12")
    for _extra in (0, 1, 2):
        TiffImagePlugin.OPEN_INFO[_order, 1, (1,), 1, (16, 16), (_extra,)] = ("RGBA", "RGBA")
TiffImagePlugin.OPEN_INFO[TiffImagePlugin.MM, 0, (1,), 1, (16,), ()] = ("I;16B", "I;16B")
