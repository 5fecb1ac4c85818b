"""TIFFs that hold each colour by itself (PlanarConfiguration 2): a grey picture of each, put together here.

Pillow reads few of them right: of 16 bits that are not compressed it makes noise, grey with alpha it leaves blank, the
colours of CIELAB it takes for others.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from PIL import Image

from thumbq.imaging import colour
from thumbq.imaging.formats.tiff import tags
from thumbq.imaging.pillowpatches import release_decoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from PIL import ImageFile

    from thumbq.imaging.formats.tiff.kinds import Kind
    from thumbq.imaging.formats.tiff.parts import Parts

_MODES: Final = {
    (tags.BLACK_IS_ZERO, tags.NO_ALPHA): "L",
    (tags.BLACK_IS_ZERO, tags.ASSOCIATED): "La",
    (tags.BLACK_IS_ZERO, tags.UNASSOCIATED): "LA",
    (tags.RGB, tags.NO_ALPHA): "RGB",
    (tags.RGB, tags.ASSOCIATED): "RGBa",
    (tags.RGB, tags.UNASSOCIATED): "RGBA",
}
_WITHOUT_ALPHA: Final = {tags.CMYK: "CMYK", tags.CIELAB: "LAB"}
_STRAIGHT: Final = {"La": "LA", "RGBa": "RGBA"}
_FROM_SIGNED: Final = [value ^ 0x80 for value in range(256)]
"""CIELAB's colours have a sign in the file, and are counted from 128 in Pillow."""


def plane_changes(kind: Kind, parts: Parts) -> Iterator[dict[int, Sequence[int]]]:
    """Yield the tags that make a grey picture of a plane, for each that counts, in the order of the channels."""
    offsets_tag, sizes_tag = tags.TILE_PLACES if parts.tiled else tags.STRIP_PLACES
    for number in range(Image.getmodebands(_mode(kind))):
        plane = slice(number * parts.in_plane, (number + 1) * parts.in_plane)
        yield {
            tags.BITS: [kind.bits],
            tags.PHOTOMETRIC: [tags.BLACK_IS_ZERO],
            tags.SAMPLES: [1],
            tags.PLANAR: [1],
            tags.EXTRA_SAMPLES: (),
            tags.SAMPLE_FORMAT: (),
            offsets_tag: parts.offsets[plane],
            sizes_tag: parts.sizes[plane],
        }


def put_together(kind: Kind, first: ImageFile.ImageFile, others: Iterable[ImageFile.ImageFile]) -> Image.Image:
    """Load the planes, which are opened one after the other, and return the picture."""
    mode, bands = _mode(kind), []
    for plane in chain([first], others):
        plane.load()
        release_decoder(plane)
        bands.append(colour.expanded(plane))
    if mode == "LAB":
        bands[1:] = [band.point(_FROM_SIGNED) for band in bands[1:]]
    whole = Image.merge(mode, bands)
    return whole.convert(_STRAIGHT[mode]) if mode in _STRAIGHT else whole


def _mode(kind: Kind) -> str:
    return _WITHOUT_ALPHA.get(kind.photometric) or _MODES[kind.photometric, kind.alpha]
