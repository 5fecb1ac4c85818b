"""The kinds of pixels in a TIFF: refused, told to Pillow in words that it reads right, or taken apart into planes.

A wrong picture is worse than none: what neither Pillow nor libtiff reads right is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.tiff import tags
from thumbq.imaging.formats.tiff.directory import damaged
from thumbq.imaging.opening import unsupported_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging.formats.tiff.directory import Directory

_COLOURS: Final = {
    tags.WHITE_IS_ZERO: 1, tags.BLACK_IS_ZERO: 1, tags.PALETTE: 1,
    tags.RGB: 3, tags.YCBCR: 3, tags.CIELAB: 3, tags.CMYK: 4,
}  # fmt: skip
"""Samples of a colour."""

_PLANAR_BITS: Final = {tags.BLACK_IS_ZERO: {8, 16}, tags.RGB: {8, 16}, tags.CMYK: {8, 16}, tags.CIELAB: {8}}
_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3
_WITH_DIFFERENCES: Final = frozenset({8, 16, 32, 64})
_BYTE: Final = 8
_TO_16_BITS: Final = 257
_RGBA: Final = (tags.RGB, 4)
"""That four samples are three colours and their alpha is taken for granted, as everybody does."""

_FULL_SIZE, _HALF_SIZE = (1, 1), (2, 2)


@dataclass(frozen=True, slots=True)
class Kind:
    """How pixels are stored. ``alpha`` is what follows the samples that are colours."""

    photometric: int
    compression: int
    bits: int
    samples: int
    sample_format: int
    alpha: int
    planar: bool
    by_libtiff: bool

    @property
    def colours(self) -> int:
        """How many samples are colours; all where the kind is not known."""
        return _COLOURS.get(self.photometric, self.samples)

    @property
    def in_planes(self) -> bool:
        """Whether the picture is put together from its planes here: see ``planes``."""
        return self.planar and self.photometric not in {tags.YCBCR, tags.PALETTE}

    @property
    def has_byte_channels(self) -> bool:
        """Whether Pillow opens the pixels as four channels that are bytes: see ``bytechannels``."""
        grey = self.photometric in {tags.WHITE_IS_ZERO, tags.BLACK_IS_ZERO} and not self.planar
        return grey and self.sample_format == tags.UNSIGNED and (self.samples, self.bits) in {(1, 32), (2, 16)}


def kind_of(directory: Directory) -> Kind:
    """Read the kind of a TIFF's pixels. Raises RenderRefused for one that is not taken."""
    photometric, samples = directory.number(tags.PHOTOMETRIC, 0), directory.number(tags.SAMPLES, 1)
    compression = directory.number(tags.COMPRESSION, tags.NOT_COMPRESSED)
    extra, formats = directory.numbers(tags.EXTRA_SAMPLES), set(directory.numbers(tags.SAMPLE_FORMAT))
    if photometric == tags.CIELAB or formats <= {tags.UNDEFINED}:
        formats = {tags.UNSIGNED}
    kind = Kind(
        photometric,
        compression,
        directory.number(tags.BITS, 1),
        samples,
        formats.pop() if len(formats) == 1 else 0,
        extra[0] if extra else tags.UNASSOCIATED if (photometric, samples) == _RGBA else tags.NO_ALPHA,
        planar=samples > 1 and directory.number(tags.PLANAR, 1) == tags.SEPARATE_PLANES,
        by_libtiff=compression != tags.NOT_COMPRESSED or _is_special_ycbcr(directory, photometric, samples),
    )
    if _is_misread(kind, directory):
        raise unsupported_kind(ImageFormat.TIFF)
    return kind


def changes(directory: Directory, kind: Kind) -> dict[int, Sequence[int]]:
    """Return the tags by which Pillow reads the pixels right, where those of the file mislead it.

    No values mean no such tag. Raises RenderRefused for a damaged colour map.
    """
    found: dict[int, Sequence[int]] = {}
    if kind.sample_format == tags.UNSIGNED and set(directory.numbers(tags.SAMPLE_FORMAT)) - {tags.UNSIGNED}:
        found[tags.SAMPLE_FORMAT] = ()
    if kind.photometric == tags.YCBCR and kind.samples == 1 and kind.compression not in tags.JPEGS:
        found[tags.PHOTOMETRIC] = [tags.BLACK_IS_ZERO]
    elif _is_ycbcr(kind) and kind.compression == tags.NOT_COMPRESSED and tags.YCBCR_SUBSAMPLING not in directory:
        found[tags.YCBCR_SUBSAMPLING] = subsampling(directory)
    if kind.photometric == tags.PALETTE:
        found |= _wide_color_map(directory, kind)
    extra = directory.numbers(tags.EXTRA_SAMPLES)
    passed_over = _passed_over(kind, extra)
    if passed_over != extra:
        found[tags.EXTRA_SAMPLES] = passed_over
    return found


def subsampling(directory: Directory) -> tuple[int, int]:
    """Return how many pixels across and down share the colours of YCbCr that is not compressed.

    TIFF 6.0 (section 21) has 2 by 2 where a file does not say; some that do not say have all of them.
    """
    told = directory.numbers(tags.YCBCR_SUBSAMPLING, 2)
    if len(told) == 2 and all(told):  # noqa: PLR2004 -- across and down
        return told[0], told[1]
    pixels = directory.number(tags.WIDTH, 0) * directory.number(tags.HEIGHT, 0)
    in_file = sum(directory.numbers(tags.STRIP_SIZES)) + sum(directory.numbers(tags.TILE_SIZES))
    return _FULL_SIZE if in_file >= 3 * pixels else _HALF_SIZE


def _is_misread(kind: Kind, directory: Directory) -> bool:
    predictor = directory.number(tags.PREDICTOR, 1) if kind.compression in tags.PREDICTED else 1
    return (
        # Pillow has a name for it, and its libtiff no codec: that would fail as damaged pixels do.
        kind.compression == tags.WEBP
        # Where is zero? Pillow takes these for unsigned.
        or (kind.sample_format == tags.SIGNED and kind.bits == _BYTE)
        # What is black, where nothing says what is white?
        or (kind.sample_format == tags.FLOAT and kind.photometric == tags.WHITE_IS_ZERO)
        or (kind.photometric == tags.PALETTE and kind.bits > _BYTE)
        or (predictor == _DIFFERENCES and kind.bits not in _WITH_DIFFERENCES)
        or (predictor == _FLOAT_DIFFERENCES and kind.sample_format != tags.FLOAT)
        or (kind.planar and not _is_right_in_planes(kind, directory))
        # Its data do not tell before they are unpacked how many pixels share their colours.
        or (_is_ycbcr(kind) and kind.compression in tags.UNTOLD and tags.YCBCR_SUBSAMPLING not in directory)
    )


def _is_right_in_planes(kind: Kind, directory: Directory) -> bool:
    extra = directory.numbers(tags.EXTRA_SAMPLES)
    if kind.photometric == tags.PALETTE:
        return not any(extra)
    if kind.photometric == tags.YCBCR:
        return directory.numbers(tags.YCBCR_SUBSAMPLING, 2) == _FULL_SIZE
    return (
        kind.bits in _PLANAR_BITS.get(kind.photometric, set())
        and kind.sample_format == tags.UNSIGNED
        and len(set(directory.numbers(tags.BITS))) == 1
        and (kind.samples == kind.colours + len(extra) or kind.photometric == tags.CMYK or kind.alpha != tags.NO_ALPHA)
        and (kind.alpha != tags.NO_ALPHA or not any(extra))
    )


def _is_ycbcr(kind: Kind) -> bool:
    return kind.photometric == tags.YCBCR and kind.samples > 1


def _is_special_ycbcr(directory: Directory, photometric: int, samples: int) -> bool:
    """Return whether it is YCbCr about which the file says more than Pillow's own reader takes into account."""
    if photometric != tags.YCBCR or samples == 1:
        return False
    told = any(tag in directory for tag in tags.OF_YCBCR if tag != tags.YCBCR_SUBSAMPLING)
    planar = directory.number(tags.PLANAR, 1) == tags.SEPARATE_PLANES
    return told or planar or subsampling(directory) != _FULL_SIZE


def _wide_color_map(directory: Directory, kind: Kind) -> dict[int, Sequence[int]]:
    """Return a colour map of 16 bits in the place of one of 8, as libtiff does: no value is 256 or more."""
    values = directory.numbers(tags.COLOR_MAP)
    if len(values) != 3 << kind.bits:
        raise damaged()
    return {} if max(values) > 0xFF else {tags.COLOR_MAP: [value * _TO_16_BITS for value in values]}  # noqa: PLR2004


def _passed_over(kind: Kind, extra: Sequence[int]) -> Sequence[int]:
    """Return the extra samples so that those count for nothing that are no transparency: in CMYK, and behind one."""
    count = kind.samples - kind.colours
    if count <= 0 or (kind.photometric != tags.CMYK and len(extra) != count):
        return extra
    if kind.photometric == tags.CMYK:
        return (tags.NO_ALPHA,) * count
    return extra if kind.alpha == tags.NO_ALPHA else (kind.alpha, *(tags.NO_ALPHA,) * (count - 1))
