"""The way of a JPEG into its decoder: nothing but the picture, and no damage that the decoder would fill with grey."""

from __future__ import annotations

import io
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from PIL.JpegImagePlugin import JpegImageFile

from thumbq.imaging.formats.jpeg.segments import truncated
from thumbq.imaging.formats.jpeg.stretches import lacking
from thumbq.imaging.pillowpatches import fed_decoder

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import JpegHeader

_END_OF_IMAGE: Final = b"\xff\xd9"
_PIECE: Final = 1 << 18

# A byte of ones, which begins no code word. The decoder reads 64 bits ahead.
_ONES: Final = b"\xff\x00"
_AHEAD: Final = 8 * _ONES


def open_jpeg(original: Original, coding: JpegHeader) -> JpegImageFile:
    """Let the decoder read a JPEG's header, without the metadata that thumbq does not read."""
    # Not by Image.open, which would look for the further pictures of an MPO.
    return JpegImageFile(io.BytesIO(b"".join(original[start:end] for start, end in coding.kept_segments)))


def load(image: JpegImageFile, original: Original, coding: JpegHeader, end: int) -> None:
    """Decode an opened JPEG, or its first scans, whose data ends at an offset.

    libjpeg fills what a stretch of data lacks with grey once it meets the marker behind it; it warns, and Pillow does
    not tell. So the marker comes later: a decoder that still waits for data leaves what it is given instead, while one
    that has all of them passes over anything up to a marker.

    Raises RenderRefused: truncated, corrupt.
    """
    at = coding.pixels_at
    with fed_decoder(image) as decoder:
        decoder.feed(b"".join(original[start:stop] for start, stop in coding.kept_segments))
        for stop in takewhile(lambda stop: stop <= end, coding.stops):
            while at + _PIECE < stop:
                decoder.feed(original[at : at + _PIECE])
                at += _PIECE
            decoder.feed(original[at:stop] + _AHEAD)
            at = stop
            decoder.feed(_ONES)
            if decoder.left:
                raise truncated() if original[stop : stop + 2] in {b"", _END_OF_IMAGE} else lacking()
        if not coding.one_pass:
            decoder.feed(_END_OF_IMAGE)
        if not decoder.done:
            raise truncated()
