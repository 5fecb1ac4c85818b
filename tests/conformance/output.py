"""A file that a program made, as a viewer shows it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageCms, ImageOps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thumbq.ports import RenderedImage


_VP8X_FLAGS: Final = 20
_ANIMATED: Final = 0x02
_ALPHA: Final = 0x10


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame: RGBA, height by width by 4, and for how long it is seen."""

    rgba: NDArray[np.int16]
    ms: int


class Output:
    """A rendition, opened again. ``announced`` is what the program says about it, ``others`` came of the same original.

    Pixels are as a viewer shows them: a file may hold them turned or in another colour space as long as it says so.
    Whether it may say so is another question (see leaks.py).
    """

    def __init__(self, body: bytes, announced: RenderedImage | None = None, others: tuple[Output, ...] = ()) -> None:
        self.body = body
        self.announced = announced
        self.others = others

    @cached_property
    def file(self) -> Image.Image:
        """The open file; raises when it is no image."""
        return Image.open(io.BytesIO(_alpha_counts(self.body)), formats=["JPEG", "PNG", "WEBP", "AVIF"])

    @property
    def format(self) -> str:
        return self.file.format or "none"

    @property
    def frames(self) -> int:
        return getattr(self.file, "n_frames", 1)

    @property
    def plays(self) -> int | None:
        """How often an animation plays, 0 for ever; None where the file does not say."""
        plays = self.file.info.get("loop")
        return plays if isinstance(plays, int) else None

    @cached_property
    def rgba(self) -> NDArray[np.int16]:
        self.file.seek(0)
        return _seen(self.file)

    @property
    def rgb(self) -> NDArray[np.int16]:
        return self.rgba[..., :3]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgba.shape[1], self.rgba.shape[0]

    @cached_property
    def shown_frames(self) -> list[Shown]:
        """Every frame."""
        shown = []
        for number in range(self.frames):
            self.file.seek(number)
            rgba = _seen(self.file)
            shown.append(Shown(rgba, round(self.file.info.get("duration", 0))))
        return shown


def _alpha_counts(body: bytes) -> bytes:
    """Set the alpha flag of an animated WebP.

    libwebp leaves it out where frames are opaque but what lies between them is cleared away. Browsers, and libwebp
    itself, show nothing there; Pillow believes the flag and shows black.
    """
    flags = body[_VP8X_FLAGS] if body[12:16] == b"VP8X" else 0
    if not flags & _ANIMATED:
        return body
    return body[:_VP8X_FLAGS] + bytes([flags | _ALPHA]) + body[_VP8X_FLAGS + 1 :]


def _seen(image: Image.Image) -> NDArray[np.int16]:
    image.load()
    upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    rgba = (_in_srgb(upright, profile) if profile else upright).convert("RGBA")
    return np.asarray(rgba).astype(np.int16)


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Do with a profile what a viewer does; one that is no good is ignored."""
    mode = image.mode.removesuffix("A")
    if mode not in {"L", "RGB", "CMYK"}:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        made = ImageCms.profileToProfile(image.convert(mode), source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    assert made is not None
    if image.mode != mode:
        made.putalpha(image.getchannel("A"))
    return made
