"""Small files of large pictures, near what is admitted: seeds for what a decoder takes in memory and time."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from fuzz import fileparts, handmade, heifwriter
from fuzz.seeds import Seed, undated
from support.pictures import bombs, images
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

_SIDES: Final = ((4000, 3000), (3000, 8000), (6300, 6300), (16000, 1500), (8000, 7000))
_LYING_SIDES: Final = (*_SIDES, (9000, 9000), (12_000, 12_000), (14_000, 14_000), (17_000, 17_000))
"""Of kinds whose files say that they are small, or are made at no cost."""

_LYING: Final = frozenset({"runs", "ends", "twice", "overlay", "overlay-lie", "grid-lie"})
_SEQUENCE_HEADER: Final = 1


def large(rng: Random, image_format: ImageFormat) -> Seed:
    """Choose a kind and a size."""
    kind = rng.choice(list(KINDS[image_format]))
    size = rng.choice(_LYING_SIDES if kind in _LYING else _SIDES)
    return _made(image_format, kind, size)


@lru_cache(maxsize=16)
def _made(image_format: ImageFormat, kind: str, size: tuple[int, int]) -> Seed:
    name = f"{image_format.name.lower()}-{kind}-{size[0]}x{size[1]}"
    return Seed(name, image_format, KINDS[image_format][kind](size))


def _saved(mode: str, kind: str, *, frames: int = 1, **options: Any) -> Callable[[tuple[int, int]], bytes]:
    def save(size: tuple[int, int]) -> bytes:
        first = Image.new(mode, size, 99)
        more: dict[str, Any] = {}
        if frames > 1:
            others = [Image.new(mode, size, number) for number in range(1, frames)]
            more = {"save_all": True, "append_images": others, "duration": 50}
        file = images.encoded(first, kind, **options, **more)
        return undated(file) if kind == "AVIF" else file

    return save


def _bmp_runs(size: tuple[int, int]) -> bytes:
    return handmade.bmp(size, 8, compression=1)


def _bmp_ends(size: tuple[int, int]) -> bytes:
    """Make a BMP each of whose rows ends after its first pixel."""
    return bombs.bmp(*size, compression=1)[:-2] + b"\1\1\0\0" * size[1]


def _heic(size: tuple[int, int]) -> bytes:
    return images.heic(Image.new("RGB", (size[0] // 2, size[1] // 2), 99))


def _heic_canvas(kind: bytes, start: bytes, *, stated: bool) -> Callable[[tuple[int, int]], bytes]:
    """Return a maker of HEICs of a small picture on a large canvas, whose size the file states or not."""

    def make(size: tuple[int, int]) -> bytes:
        extent = heifwriter.extent(*size) if stated else heifwriter.extent()
        data = start + struct.pack(">II", *size) + bytes(8)
        return heifwriter.heic([heifwriter.Item(kind, data, (extent,), (b"dimg", (2,))), heifwriter.picture()])

    return make


def _avif_twice(size: tuple[int, int]) -> bytes:
    """Make an AVIF of 64 pixels a side whose stream, after its first unit, is that of a large one."""
    parts = fileparts.parts_of(ImageFormat.AVIF, images.encoded(Image.new("RGB", (64, 64), 99), "AVIF"))
    large_parts = fileparts.parts_of(ImageFormat.AVIF, _saved("RGB", "AVIF", speed=10)(size))
    data, stream = (next(part for part in each if part.kind == b"mdat") for each in (parts, large_parts))
    places = next(part for part in fileparts.every(parts) if part.kind == b"iloc")
    data.body = _first_units(data.body) + stream.body
    places.body = places.body[:-4] + struct.pack(">I", len(data.body))
    return fileparts.whole(ImageFormat.AVIF, parts)


def _first_units(stream: bytes) -> bytes:
    """Return a stream up to the end of its sequence header; each unit has one byte that says its size."""
    at = 0
    while stream[at] >> 3 & 15 != _SEQUENCE_HEADER:
        at += 2 + stream[at + 1]
    return stream[: at + 2 + stream[at + 1]]


KINDS: Final[Mapping[ImageFormat, Mapping[str, Callable[[tuple[int, int]], bytes]]]] = {
    ImageFormat.JPEG: {
        "baseline": _saved("RGB", "JPEG"),
        "progressive": _saved("RGB", "JPEG", progressive=True),
        "progressive-444": _saved("RGB", "JPEG", progressive=True, subsampling="4:4:4"),
        "cmyk": _saved("CMYK", "JPEG", progressive=True),
    },
    ImageFormat.PNG: {
        "rgb": _saved("RGB", "PNG", compress_level=1),
        "rgba": _saved("RGBA", "PNG", compress_level=1),
        "16": _saved("I;16", "PNG", compress_level=1),
        "palette": _saved("P", "PNG", compress_level=1),
        "animation": _saved("RGBA", "PNG", compress_level=1, frames=3),
    },
    ImageFormat.GIF: {"still": _saved("P", "GIF"), "animation": _saved("P", "GIF", frames=3)},
    ImageFormat.WEBP: {
        "lossy": _saved("RGB", "WEBP", method=0),
        "alpha": _saved("RGBA", "WEBP", method=0),
        "lossless": _saved("RGBA", "WEBP", method=0, lossless=True, quality=0),
        "animation": _saved("RGB", "WEBP", method=0, frames=3),
    },
    ImageFormat.AVIF: {
        "still": _saved("RGB", "AVIF", speed=10),
        "alpha": _saved("RGBA", "AVIF", speed=10),
        "animation": _saved("RGB", "AVIF", speed=10, frames=3),
        "twice": _avif_twice,
    },
    ImageFormat.HEIF: {
        "still": _heic,
        "overlay": _heic_canvas(b"iovl", b"\0\1" + bytes(8), stated=True),
        "overlay-lie": _heic_canvas(b"iovl", b"\0\1" + bytes(8), stated=False),
        "grid-lie": _heic_canvas(b"grid", b"\0\1\0\0", stated=False),
    },
    ImageFormat.TIFF: {
        "lzw": _saved("RGB", "TIFF", compression="tiff_lzw"),
        "deflate": _saved("RGBA", "TIFF", compression="tiff_adobe_deflate"),
        "jpeg": _saved("RGB", "TIFF", compression="jpeg"),
        "16": _saved("I;16", "TIFF", compression="tiff_adobe_deflate"),
        "float": _saved("F", "TIFF", compression="tiff_adobe_deflate"),
        "cmyk": _saved("CMYK", "TIFF", compression="tiff_lzw"),
        "fax": _saved("1", "TIFF", compression="group4"),
        "pages": _saved("L", "TIFF", compression="tiff_lzw", frames=3),
    },
    ImageFormat.BMP: {"runs": _bmp_runs, "ends": _bmp_ends},
}
