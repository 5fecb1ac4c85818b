"""Small files of large pictures, near what is admitted: seeds for what a decoder takes in memory and time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

import images
from fuzz import handmade
from fuzz.seeds import Seed, undated
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

_SIDES: Final = ((4000, 3000), (3000, 8000), (6300, 6300), (16000, 1500), (8000, 7000))


def large(rng: Random, image_format: ImageFormat) -> Seed:
    """Choose a kind and a size."""
    kind, size = rng.choice(list(_KINDS[image_format])), rng.choice(_SIDES)
    return _made(image_format, kind, size)


@lru_cache(maxsize=16)
def _made(image_format: ImageFormat, kind: str, size: tuple[int, int]) -> Seed:
    name = f"{image_format.value.lower()}-{kind}-{size[0]}x{size[1]}"
    return Seed(name, image_format, _KINDS[image_format][kind](size))


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


def _heic(size: tuple[int, int]) -> bytes:
    return images.heic(Image.new("RGB", (size[0] // 2, size[1] // 2), 99))


_KINDS: Final[Mapping[ImageFormat, Mapping[str, Callable[[tuple[int, int]], bytes]]]] = {
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
        "film": _saved("RGBA", "PNG", compress_level=1, frames=3),
    },
    ImageFormat.GIF: {"still": _saved("P", "GIF"), "film": _saved("P", "GIF", frames=3)},
    ImageFormat.WEBP: {
        "lossy": _saved("RGB", "WEBP", method=0),
        "alpha": _saved("RGBA", "WEBP", method=0),
        "lossless": _saved("RGBA", "WEBP", method=0, lossless=True, quality=0),
        "film": _saved("RGB", "WEBP", method=0, frames=3),
    },
    ImageFormat.AVIF: {
        "still": _saved("RGB", "AVIF", speed=10),
        "alpha": _saved("RGBA", "AVIF", speed=10),
        "film": _saved("RGB", "AVIF", speed=10, frames=3),
    },
    ImageFormat.HEIF: {"still": _heic},
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
    ImageFormat.BMP: {"runs": _bmp_runs},
}
