"""The bytes of a JPEG for its decoder, without copying the file."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from thumbq.imaging.splicedfile import spliced

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import JpegHeader

_END_OF_IMAGE: Final = b"\xff\xd9"

# Ones, which are no code word: 64 bits are what the decoder reads ahead, and no whole block of a picture that is cut.
_PADDING: Final = b"\xff\x00" * 8


def open_jpeg(original: Original, coding: JpegHeader, *, dc_only: bool) -> IO[bytes]:
    """Return a file of the picture alone; with ``dc_only`` of its first scans, the means of 8 by 8 pixels.

    Metadata that thumbq does not read is left out.

    A one-pass JPEG is given without its end marker: libjpeg fills what a cut picture lacks with grey when it meets the
    marker, and waits for more when it does not. So Pillow raises for a JPEG that was cut and closed again.
    """
    parts = [slice(*each) for each in coding.kept_segments]
    if dc_only:
        assert coding.dc_end is not None
        return spliced(original, [*parts, slice(coding.pixels_at, coding.dc_end), _END_OF_IMAGE])
    return spliced(
        original, [*parts, slice(coding.pixels_at, coding.end), _PADDING if coding.one_pass else _END_OF_IMAGE]
    )
