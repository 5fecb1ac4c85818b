"""Test images, made on the spot and always the same: no binary files in the repository.

Every picture of ``scene`` has a square of one colour in each corner (``CORNERS``), so that a test can tell which
way up a rendition is.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Mapping

Colour = tuple[int, int, int]

CORNERS: Final[Mapping[str, Colour]] = {
    "top-left": (220, 30, 30),
    "top-right": (30, 180, 30),
    "bottom-left": (30, 30, 220),
    "bottom-right": (220, 200, 30),
}
"""The colours of the corners of an upright ``scene``."""

# How the stored pixels of each EXIF orientation come from the upright ones (EXIF 3.0, tag 274).
_STORED_FROM_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION_TAG: Final = 274


@lru_cache(maxsize=16)
def scene(width: int, height: int) -> Image.Image:
    """Draw a photo-like RGB picture: soft gradients, hard edges, sensor noise and four coloured corners."""
    image = _landscape(min(width, 1000), min(height, 750)).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed=1).normal(0, 6, (512, width, 1)).astype(np.int16)
    pixels = np.array(image)
    for top in range(0, height, len(noise)):
        band = pixels[top : top + len(noise)]
        np.clip(band + noise[: len(band)], 0, 255, out=band, casting="unsafe")
    side = max(1, min(width, height) // 5)
    pixels[:side, :side] = CORNERS["top-left"]
    pixels[:side, -side:] = CORNERS["top-right"]
    pixels[-side:, :side] = CORNERS["bottom-left"]
    pixels[-side:, -side:] = CORNERS["bottom-right"]
    return Image.fromarray(pixels)


def _landscape(width: int, height: int) -> Image.Image:
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    sky = 120 + 90 * y - 40 * x * y
    hills = 60 * ((y - 0.55 - 0.12 * np.sin(9 * x)) > 0)
    stripes = 35 * ((np.sin(60 * x + 20 * y) > 0) & (y > 0.7))
    luma = sky - hills + stripes
    planes = [luma, 0.9 * luma + 20 * x, 0.8 * luma + 50 * (1 - y)]
    return Image.fromarray(np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8))


@lru_cache(maxsize=64)
def photo_jpeg(
    width: int = 4000,
    height: int = 3000,
    orientation: int = 1,
    *,
    quality: int = 90,
    progressive: bool = False,
    comment: bytes = b"",
    icc_profile: bytes | None = None,
) -> bytes:
    """Make a camera's JPEG (4:2:0, EXIF) that is ``width`` by ``height`` when it stands upright.

    The stored pixels are turned as the EXIF ``orientation`` (1 to 8) says.
    """
    return jpeg(
        stored(scene(width, height), orientation),
        exif=exif(orientation),
        quality=quality,
        progressive=progressive,
        subsampling="4:2:0",
        comment=comment,
        icc_profile=icc_profile,
    )


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture as a camera stores it that writes this EXIF orientation."""
    turn = _STORED_FROM_UPRIGHT.get(orientation)
    return upright if turn is None else upright.transpose(turn)


def exif(orientation: int) -> bytes:
    """Return an EXIF block with an orientation and things that are nobody's business: a camera and a place."""
    tags = Image.Exif()
    tags[_ORIENTATION_TAG] = orientation
    tags[271] = "SecretCamera"
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def jpeg(image: Image.Image, **options: object) -> bytes:
    """Save as JPEG with Pillow's ``options``."""
    return encoded(image, "JPEG", **options)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    """Save in a format with Pillow's ``options``."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def heic(image: Image.Image, **options: object) -> bytes:
    """Save as HEIC with pillow-heif's ``options``. An orientation in ``exif`` becomes irot and imir, as on phones."""
    buffer = io.BytesIO()
    chosen = {"quality": 90, "enc_params": {"preset": "ultrafast"}} | options
    pillow_heif.from_pillow(image).save(buffer, **chosen)
    return buffer.getvalue()


def heic_of_16_bits(pixels: bytes, size: tuple[int, int], mode: str = "RGB;16", **options: object) -> bytes:
    """Save samples of 16 bits as HEIC of 10, without loss and with all colours unless ``options`` say otherwise."""
    buffer = io.BytesIO()
    chosen = {"quality": -1, "chroma": 444} | options
    pillow_heif.from_bytes(mode=mode, size=size, data=pixels).save(buffer, **chosen)
    return buffer.getvalue()


def avif(image: Image.Image, **options: object) -> bytes:
    """Save as AVIF, quickly, with Pillow's ``options``. An orientation in ``exif`` becomes irot and imir."""
    return encoded(image, "AVIF", **{"quality": 90, "speed": 9, "max_threads": 1} | options)


def truncated_jpeg(width: int = 800, height: int = 600) -> bytes:
    """Make a JPEG that ends in the middle of its pixels."""
    whole = photo_jpeg(width, height)
    return whole[: len(whole) // 2]


def small_jpeg(width: int = 64, height: int = 48) -> bytes:
    """Make a JPEG of a few hundred bytes, quickly."""
    return jpeg(Image.new("RGB", (width, height), (60, 90, 120)), quality=80)


def png_with_alpha(width: int = 400, height: int = 300) -> bytes:
    """Make an RGBA PNG: the left half is opaque scene, the right half transparent over hidden red."""
    image = scene(width, height).convert("RGBA")
    image.paste((255, 0, 0, 0), (width // 2, 0, width, height))
    return encoded(image, "PNG")


def png_claiming(width: int, height: int) -> bytes:
    """Make a PNG of under 100 bytes whose header claims a size that its data does not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def animated_gif(width: int = 120, height: int = 80) -> bytes:
    """Make a GIF of two frames: the first one is the scene, the second one black."""
    first, second = scene(width, height), Image.new("RGB", (width, height))
    return encoded(first, "GIF", save_all=True, append_images=[second], duration=100, comment=b"secret comment")


# Primaries and white point of Display P3 (SMPTE EG 432-1, D65), adapted to D50 as ICC profiles hold them.
_P3_XYZ: Final = {
    b"rXYZ": (0.515102, 0.241182, -0.001050),
    b"gXYZ": (0.291965, 0.692236, 0.041882),
    b"bXYZ": (0.157153, 0.066581, 0.784378),
    b"wtpt": (0.964203, 1.0, 0.824905),
}


def display_p3_profile() -> bytes:
    """Build an ICC profile of Display P3: its primaries with the curve of sRGB, whose profile is the template."""
    template = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = bytearray(template)
    (count,) = struct.unpack_from(">I", template, 128)
    for index in range(count):
        name, offset, _ = struct.unpack_from(">4sII", template, 132 + 12 * index)
        if name in _P3_XYZ:
            struct.pack_into(">iii", profile, offset + 8, *(round(value * 65536) for value in _P3_XYZ[name]))
    return bytes(profile)


def turned_heic() -> bytes:
    """Return a HEIC of 64 by 48 upright pixels with the four corners, stored turned as a phone does it.

    No encoder of HEVC is among the dependencies: pillow-heif 1.8 made this one.
    """
    return base64.b64decode(_HEIC)


_HEIC: Final = """
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA
ADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAEkAAgAAAAACNQABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA
AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAA
kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq
5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh
cAAAADAAAAABAAAAQAAAAAH////wAAAAAgAAAAAAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEA
AQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAHVtZGF0AAAARSgBrwtgBycNXgIU/+rX/MFH39LkRsNmbu3KFAP5
wVF9pxX3TL3If9JN8YTWmXIOXLpHPokprfrYpapKlq++akWP4k/a6AAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAA
AA==
"""
