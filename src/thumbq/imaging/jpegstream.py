"""The bytes of a JPEG that its decoder is to see, without copying the file."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import JpegFacts

_END_OF_IMAGE: Final = b"\xff\xd9"

# Ones, which are no code word: 64 bits are what the decoder reads ahead, and no whole block of a picture that is cut.
_PADDING: Final = b"\xff\x00" * 8


def open_jpeg(original: Original, facts: JpegFacts, *, dc_only: bool) -> IO[bytes]:
    """Return a file of the picture alone; with ``dc_only`` of its first scans, the means of 8 by 8 pixels.

    A one-pass JPEG is given without its end marker: libjpeg fills what a cut picture lacks with grey when it meets the
    marker, and waits for more when it does not. So Pillow raises for a JPEG that was cut and closed again.
    """
    if dc_only:
        assert facts.dc_end is not None
        return cast("IO[bytes]", _Spliced(original, facts.dc_end, _END_OF_IMAGE))
    return cast("IO[bytes]", _Spliced(original, facts.end, _PADDING if facts.one_pass else _END_OF_IMAGE))


class _Spliced(io.RawIOBase):
    """The first bytes of a file, and a few others behind them."""

    def __init__(self, original: Original, length: int, tail: bytes) -> None:
        super().__init__()
        self._original = original
        self._length = length
        self._tail = tail
        self._at = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, all that are left when it is negative; fewer only at the end."""
        at = self._at
        stop = self._length + len(self._tail) if size is None or size < 0 else at + size
        chunk = self._original[at : min(stop, self._length)]
        if stop > self._length:
            chunk += self._tail[max(0, at - self._length) : stop - self._length]
        self._at += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, as files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length + len(self._tail)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readable(self) -> bool:
        """Whether one can read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether one can move: yes."""
        return True
