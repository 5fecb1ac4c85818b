"""AVIFs and HEICs with a clean aperture (ISO/IEC 14496-12, 12.1.4), in which a part of the coded picture is shown."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from PIL import Image

from support.pictures import images
from support.pictures.containers import boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MARGINS: Final = (24, 16, 8, 24)
"""Left, top, right, bottom of what is shown; no two sides alike, and all of them whole blocks of a coder."""

_MAKERS: Final[Mapping[str, Callable[..., bytes]]] = {"avif": images.avif, "heic": images.heic}


def framed(image_format: str, upright: Image.Image, orientation: int = 1) -> bytes:
    """Store a picture in an orientation, with a white margin on each side that a clean aperture cuts away."""
    stored = images.stored(upright, orientation)
    left, top, right, bottom = _MARGINS
    coded = Image.new(stored.mode, (left + stored.width + right, top + stored.height + bottom), "white")
    coded.paste(stored, (left, top))
    data = _MAKERS[image_format](coded, exif=images.exif(orientation))
    return shown(data, clap(*stored.size, left - right, top - bottom))


def clap(width: int, height: int, across: int, down: int, *, over: int = 2) -> bytes:
    """Return a box with a size, and how far its centre is from the picture's, in parts of a pixel."""
    return struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, across, over, down, over)


def shown(data: bytes, aperture: bytes) -> bytes:
    """Give the primary item a clean aperture, before irot and imir: in a new meta box at the end of the file."""
    ((start, end),) = ((start, end) for kind, start, end in boxes(data) if kind == b"meta")
    parts = list(boxes(data, start + 4, end))
    ((iprp, iprp_end),) = ((start, end) for kind, start, end in parts if kind == b"iprp")
    (ipco, ipma) = ((start, end) for _, start, end in boxes(data, iprp, iprp_end))
    (primary,) = (data[start + 4 : start + 6] for kind, start, _ in parts if kind == b"pitm")
    kinds = [kind for kind, _, _ in boxes(data, *ipco)]
    at = data.index(primary, ipma[0] + 8) + 2
    indices = data[at + 1 : at + 1 + data[at]]
    first = next((n for n, index in enumerate(indices) if kinds[(index & 127) - 1] in {b"irot", b"imir"}), len(indices))
    linked = bytes([len(indices) + 1, *indices[:first], 128 | len(kinds) + 1, *indices[first:]])
    properties = _box(b"ipco", data[slice(*ipco)], aperture) + _box(
        b"ipma", data[ipma[0] : at], linked, data[at + 1 + data[at] : ipma[1]]
    )
    bodies = {b"iprp": properties} | {kind: data[start:end] for kind, start, end in parts if kind != b"iprp"}
    meta = _box(b"meta", data[start : start + 4], *(_box(kind, bodies[kind]) for kind, _, _ in parts))
    return data[: start - 4] + b"free" + data[start:] + meta


def _box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body
