"""The classes of input that are generated, as phones, screens and tools write them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from thumbq.core.preset import Preset

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUICK: Final = 12
_PHONE: Final = {"quality": 90, "subsampling": "4:2:0"}
_12_MP: Final = 4032, 3024
_FULL_HD: Final = 1920, 1080
_ONLINE: Final = {"quality": 85}


@dataclass(frozen=True, slots=True)
class Case:
    """A generated input: a picture of ``width`` by ``height`` pixels, saved with Pillow's ``options`` for a format.

    ``presets`` are made of it; without any, those that the user asks for. ``slow`` ones are left out unless asked for.
    """

    name: str
    picture: Literal["photo", "screenshot", "cutout", "animation"]
    width: int
    height: int
    format: str
    options: Mapping[str, object]
    presets: tuple[Preset, ...] = ()
    slow: bool = False

    def quick(self) -> Case:
        """Return the same with a 144th of the pixels."""
        return replace(self, width=self.width // _QUICK, height=self.height // _QUICK)


SRCSET: Final = tuple(
    Preset.model_validate({"name": f"{image_format}-{width}", "format": image_format, "width": width})
    for image_format in ("jpeg", "webp")
    for width in (160, 320, 640, 1280)
)
"""The renditions for a page with responsive pictures: four sizes, each as JPEG and as WebP."""


def _wide(width: int) -> tuple[Preset, ...]:
    return (Preset.model_validate({"name": f"w{width}", "width": width}),)


CASES: Final[Mapping[str, Case]] = {
    case.name: case
    for case in (
        Case("jpeg-12mp", "photo", *_12_MP, "JPEG", _PHONE),
        Case("jpeg-24mp", "photo", 5712, 4284, "JPEG", _PHONE),
        Case("jpeg-48mp", "photo", 8064, 6048, "JPEG", _PHONE),
        Case("jpeg-200mp", "photo", 16320, 12240, "JPEG", _PHONE, slow=True),
        Case("jpeg-progressive-12mp", "photo", *_12_MP, "JPEG", _PHONE | {"progressive": True}),
        Case("jpeg-screenshot", "screenshot", 1170, 2532, "JPEG", {"quality": 90}),
        Case("png-screenshot", "screenshot", 1170, 2532, "PNG", {}),
        Case("png-rgba-12mp", "cutout", *_12_MP, "PNG", {"compress_level": 3}),
        Case("webp-12mp", "photo", *_12_MP, "WEBP", {"quality": 80, "method": 2}),
        Case("avif-12mp", "photo", *_12_MP, "AVIF", {"quality": 60, "speed": 10, "max_threads": 1}),
        Case("tiff-12mp", "photo", *_12_MP, "TIFF", {"compression": "tiff_lzw"}),
        Case("jpeg-tiny", "photo", 320, 240, "JPEG", _ONLINE),
        Case("jpeg-small", "photo", 800, 600, "JPEG", _ONLINE),
        Case("jpeg-progressive-2mp", "photo", *_FULL_HD, "JPEG", _ONLINE | {"progressive": True}),
        Case("webp-2mp", "photo", *_FULL_HD, "WEBP", {"quality": 80, "method": 2}),
        Case("png-screenshot-2mp", "screenshot", *_FULL_HD, "PNG", {}),
        Case("png-screenshot-640px", "screenshot", *_FULL_HD, "PNG", {}, _wide(640)),
        Case("png-screenshot-1280px", "screenshot", *_FULL_HD, "PNG", {}, _wide(1280)),
        Case("gif", "animation", 800, 600, "GIF", {}),
        Case("srcset", "photo", *_12_MP, "JPEG", _PHONE, SRCSET),
    )
}
