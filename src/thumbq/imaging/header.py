"""An image's header, as its format's reader returns it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.formats import ImageFormat

MOST_FRAMES: Final = 10_000
"""The number at which the counting of frames ends."""


class JpegStage(NamedTuple):
    """How much of a progressive JPEG is there at an offset, where the data of a scan ends.

    Every component has the DC coefficients of its blocks, all down to this bit; ``has_low`` says whether every one also
    has the AC coefficients of the lowest frequencies, down to any bit.
    """

    end: int
    dc_bit: int
    has_low: bool


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The coding of a JPEG, and the places of its parts in the file.

    ``stages`` are those of a progressive one, each with more than the one before. ``pixels_at`` is where the data of
    the first scan begins; ``stops`` are the offsets behind it at which a decoder has to have all data up to there, the
    last one where the last scan ends. ``sampling`` is the horizontal and vertical sampling factor of each component.
    ``one_pass`` says that one Huffman-coded sequential scan holds all components: a decoder then gives rows
    as it reads, and keeps no coefficients. ``kept_segments`` are the ranges up to ``pixels_at`` that a decoder needs.
    """

    progressive: bool
    scans: int
    stages: tuple[JpegStage, ...]
    stops: tuple[int, ...]
    pixels_at: int
    sampling: tuple[tuple[int, int], ...]
    one_pass: bool
    kept_segments: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        """The offset at which the data of the last scan ends."""
        return self.stops[-1]

    def blocks(self, width: int, height: int) -> int:
        """Return how many blocks of 8 by 8 samples all components of a picture of this size have (T.81, A.1.1)."""
        most_across, most_down = (max(factors) for factors in zip(*self.sampling, strict=True))
        return sum(
            ceil(ceil(width / (8 * most_across) * across) / across) * across
            * ceil(ceil(height / (8 * most_down) * down) / down) * down
            for across, down in self.sampling
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PngHeader:
    """The places of a PNG's parts in the file.

    ``shared`` are the ranges of the palette and the transparency, which every frame needs, and ``pixels`` those of the
    picture's data, all as whole chunks; ``cut`` is the data of a last chunk of pixels that ends with the file. ``told``
    has the data of each ancillary chunk that counts, by its type.
    """

    shared: tuple[tuple[int, int], ...]
    pixels: tuple[tuple[int, int], ...]
    cut: tuple[int, int] | None
    told: Mapping[bytes, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Header:
    """Size of the canvas as it is stored (before any turning), samples a pixel and bits a sample, and frames.

    ``channels`` counts alpha and also a transparent colour (``color_key``), and is 1 or with such a colour 2 for a
    ``palette``. ``frames`` is 1 for a file that is no animation (an MPO's and a HEIC's further pictures do not count);
    counting ends at 10,000. ``animated_size`` is at least the canvas and every frame, when a frame beyond the first is
    larger than the canvas (GIF: it is decoded whole, then clipped). ``scratch_bytes`` is what the decoder holds apart
    from the pixels, as far as the header tells: the planes of AVIF and HEIC, a TIFF's largest strip or tile, a BMP's
    runs, a JPEG's and PNG's metadata. ``file_bytes`` is the file's size. ``band_pixels`` are those of a row of
    tiles, and ``piece_pixels`` those of the tiles that are decoded together, where the picture is decoded piece by
    piece; else 0.
    """

    format: ImageFormat
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    palette: bool = False
    color_key: bool = False
    frames: int = 1
    animated_size: tuple[int, int] | None = None
    scratch_bytes: int = 0
    file_bytes: int = 0
    band_pixels: int = 0
    piece_pixels: int = 0
    jpeg: JpegHeader | None = None
    png: PngHeader | None = None

    @property
    def has_alpha(self) -> bool:
        """Whether the pixels have, or get, an alpha channel; a TIFF's CMYK is taken for RGBA."""
        return self.channels in {2, 4} and self.jpeg is None

    @property
    def is_grey(self) -> bool:
        """Whether the pixels have one channel of colour, and no palette."""
        return self.channels - self.color_key == 1 and not self.palette

    @property
    def pixel_bytes(self) -> int:
        """Bytes that Pillow takes for a decoded pixel."""
        if self.palette:
            return 1
        return min(4, ceil(self.bits / 8)) if self.is_grey else 4
