"""An AVIF's header: that of its primary image or of its sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.avif import sequence
from thumbq.imaging.formats.isomedia.boxes import boxes
from thumbq.imaging.formats.isomedia.still import read_still
from thumbq.imaging.formats.isomedia.tiles import with_tiles

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_SEQUENCE_BRAND: Final = b"avis"


def is_sequence(original: Original) -> bool:
    """Return whether the major brand says that the file is a sequence, as libavif decides."""
    return original[8:12] == _SEQUENCE_BRAND


def read(original: Original) -> Header:
    """Read an AVIF's header. Raises RenderRefused."""
    if is_sequence(original):
        parts = {box.kind: box for box in boxes(original, 0, len(original))}
        if b"moov" in parts:
            return sequence.read(original, parts[b"moov"])
    return with_tiles(read_still(original, ImageFormat.AVIF), original)
