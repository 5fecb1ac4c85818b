"""The originals that many claims share, made once per process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from support.pictures import images
from support.pictures.containers import boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

WIDTH: Final = 96
HEIGHT: Final = 64

_ORIENTATION: Final = 274


def patches(colours: Sequence[tuple[int, ...]], side: int = 16, mode: str = "RGB") -> Image.Image:
    """Draw squares side by side, each of one colour."""
    row = np.repeat(np.array(colours, dtype=np.uint8), side, axis=0)
    pixels = np.broadcast_to(row, (side, *row.shape))
    return Image.frombytes(mode, (len(row), side), np.ascontiguousarray(pixels).tobytes())


def ramp(width: int, height: int = 32) -> Image.Image:
    """Draw columns from black on the left to white on the right."""
    row = np.rint(255 * (np.arange(width) + 0.5) / width).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(row, (height, width))).convert("RGB")


def ramp_columns(first: float, last: float, count: int) -> list[int]:
    """Return the columns of a ``ramp`` of which a part (shares of the width) became ``count`` columns."""
    return [round(255 * (first + (last - first) * (number + 0.5) / count)) for number in range(count)]


def rgb(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


def rgba(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGBA"))


def hole(size: int = 64) -> Image.Image:
    """Draw opaque red on the left; on the right nothing, over a hidden green."""
    image = Image.new("RGBA", (size, size), (220, 30, 30, 255))
    image.paste((0, 255, 0, 0), (size // 2, 0, size, size))
    return image


def with_hole() -> Image.Image:
    """Draw the scene with a transparent right half over a hidden red."""
    image = images.scene(WIDTH, HEIGHT).convert("RGBA")
    image.paste((255, 0, 0, 0), (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


def _tiff(image: Image.Image, orientation: int) -> bytes:
    return images.encoded(image, "TIFF", tiffinfo={_ORIENTATION: orientation})


def _turned_in_box(save: Callable[..., bytes], image: Image.Image, orientation: int) -> bytes:
    data = save(image, exif=images.exif(orientation))
    _check_boxes(data, orientation)
    return data


def _check_boxes(data: bytes, orientation: int) -> None:
    """Make sure that irot and imir say what the orientation says, by the letter of MIAF.

    That is ISO/IEC 23000-22, 7.3.6.7: first irot, in quarter turns anticlockwise, then imir: 0 for top and bottom that
    change places, 1 for left and right.
    """
    found = {kind: data[start] for kind, start, _ in _properties(data)}
    stored = images.stored(Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)), orientation)
    shown = np.rot90(np.asarray(stored), found.get(b"irot", 0) & 3)
    if b"imir" in found:
        shown = shown[:, ::-1] if found[b"imir"] & 1 else shown[::-1]
    if shown.ravel().tolist() != list(range(6)):
        raise AssertionError(f"irot and imir {found} are not orientation {orientation}")


def _properties(data: bytes) -> list[tuple[bytes, int, int]]:
    (meta,) = (box for box in boxes(data) if box[0] == b"meta")
    (iprp,) = (box for box in boxes(data, meta[1] + 4, meta[2]) if box[0] == b"iprp")
    (ipco,) = (box for box in boxes(data, *iprp[1:]) if box[0] == b"ipco")
    return [box for box in boxes(data, *ipco[1:]) if box[0] in {b"irot", b"imir"}]


_ORIENTED: Final[dict[str, Callable[[Image.Image, int], bytes]]] = {
    "jpeg": lambda image, orientation: images.jpeg(image, quality=95, exif=images.exif(orientation)),
    "png": lambda image, orientation: images.encoded(image, "PNG", exif=images.exif(orientation)),
    "webp": lambda image, orientation: images.encoded(image, "WEBP", quality=95, exif=images.exif(orientation)),
    "tiff": _tiff,
    "avif": lambda image, orientation: _turned_in_box(images.avif, image, orientation),
    "heic": lambda image, orientation: _turned_in_box(images.heic, image, orientation),
}
ORIENTED: Final = tuple(_ORIENTED)
"""The formats that can say which way up they are."""


@cache
def oriented(image_format: str, orientation: int) -> bytes:
    """Return the scene, 96 by 64 when upright, stored as a camera does that writes this orientation."""
    return _ORIENTED[image_format](images.stored(images.scene(WIDTH, HEIGHT), orientation), orientation)


@cache
def in_format(image_format: str) -> bytes:
    """Return the scene, 96 by 64, in a format by Pillow's name, or in HEIC."""
    scene = images.scene(WIDTH, HEIGHT)
    if image_format in {"HEIC", "AVIF"}:
        return images.heic(scene) if image_format == "HEIC" else images.avif(scene)
    return images.encoded(scene, image_format, **({"quality": 92} if image_format in {"JPEG", "WEBP"} else {}))
