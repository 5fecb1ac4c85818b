"""The strips or tiles of a TIFF (TIFF 6.0, sections 3 and 15)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from operator import add
from typing import TYPE_CHECKING

from thumbq.imaging.formats.tiff import tags
from thumbq.imaging.formats.tiff.kinds import subsampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging.formats.tiff.directory import Directory
    from thumbq.imaging.formats.tiff.kinds import Kind


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts in their order, plane by plane where colours are apart.

    ``sizes`` are bytes in the file: as the file says where they are compressed, else as their pixels need, for whoever
    writes does not need that tag. ``in_plane`` is how many there should be in a plane, ``unpacked`` the bytes of one.
    """

    offsets: Sequence[int]
    sizes: Sequence[int]
    tiled: bool
    in_plane: int
    unpacked: int

    @property
    def end(self) -> int:
        """Where the last one ends in the file."""
        return max(map(add, self.offsets, self.sizes), default=0)


def parts_of(directory: Directory, kind: Kind) -> Parts:
    """Read where the parts are, and how large. Raises RenderRefused."""
    width, height = directory.number(tags.WIDTH, 0), directory.number(tags.HEIGHT, 0)
    across, down = directory.number(tags.TILE_WIDTH, width), directory.number(tags.TILE_HEIGHT, 0)
    tiled = down > 0
    if not tiled:
        across, down = width, min(height, directory.number(tags.ROWS, height))
    in_plane = ceil(width / across) * ceil(height / down) if across and down else 0
    by_tiles = tags.TILE_OFFSETS in directory and tags.STRIP_OFFSETS not in directory
    offsets = directory.numbers(tags.TILE_OFFSETS if by_tiles else tags.STRIP_OFFSETS)
    sizes: Sequence[int] = directory.numbers(tags.TILE_SIZES if by_tiles else tags.STRIP_SIZES)
    unpacked = _bytes(directory, kind, across, down)
    if kind.compression == tags.NOT_COMPRESSED and in_plane:
        last = unpacked if tiled else _bytes(directory, kind, across, (height - 1) % down + 1)
        sizes = [last if index % in_plane == in_plane - 1 else unpacked for index in range(len(offsets))]
    return Parts(offsets, sizes, by_tiles, in_plane, unpacked)


def _bytes(directory: Directory, kind: Kind, width: int, height: int) -> int:
    """Return the bytes of a part of this size that is not compressed."""
    # TIFF 6.0, section 21: blocks of pixels share a pair of colours.
    if kind.photometric == tags.YCBCR and kind.samples > 1 and not kind.planar:
        across, down = subsampling(directory)
        return ceil(width / across) * ceil(height / down) * (across * down + 2) * kind.bits // 8
    samples = 1 if kind.planar else kind.samples
    return ceil(width * samples * kind.bits / 8) * height
