"""Claims: where the orientation may be written, and what other steps must not do to it."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from conformance import animationchecks, checks, pictures
from conformance.claims import Claim
from conformance.orientation import REASON, exif_of, jpeg_with_exif, upright_claim
from support.pictures import animations, images
from support.pictures.containers import png_with, riff_chunks, webp_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from conformance.claims import Check


def claims() -> Iterator[Claim]:
    yield from _places()
    yield from _with_other_steps()


def _places() -> Iterator[Claim]:
    stored = images.stored(images.scene(pictures.WIDTH, pictures.HEIGHT), 6)
    for byte_order, name in (("<", "II"), (">", "MM")):
        yield upright_claim(
            f"jpeg-byte-order-{name}",
            partial(jpeg_with_exif, exif_of(byte_order, 3, struct.pack(f"{byte_order}HH", 6, 0)), 6),
            f"a JPEG with EXIF in byte order {name}",
            "TIFF 6.0, section 2: both byte orders",
        )
    for byte_order, name in (("<", "II"), (">", "MM")):
        yield upright_claim(
            f"tiff-byte-order-{name}",
            partial(_tiff, byte_order),
            f"a TIFF in byte order {name}, in orientation 6",
            "TIFF 6.0, section 2: both byte orders",
        )
    yield upright_claim(
        "png-exif-after-pixels",
        partial(_png_exif_last),
        "a PNG with its eXIf chunk after the pixels",
        "PNG, third edition, 5.6 wants it before IDAT, Extensions 1.5.0 took any place; libpng and browsers still do",
    )
    yield upright_claim(
        "webp-exif-with-a-jpeg's-prefix",
        partial(_webp_with_prefix),
        "a WebP whose EXIF chunk begins with Exif and two zeros, as many programs write it",
        "RFC 9649, 2.7.1.5 has no such prefix, files do",
    )
    yield upright_claim(
        "webp-lossless",
        partial(images.encoded, stored, "WEBP", lossless=True, exif=images.exif(6)),
        "a lossless WebP in orientation 6",
        "RFC 9649, 2.7.1.5",
    )
    grey = images.scene(pictures.WIDTH, pictures.HEIGHT).convert("L")
    yield Claim(
        name="jpeg-grey",
        given="a grey JPEG in orientation 6",
        make=partial(images.jpeg, images.stored(grey, 6), quality=98, exif=images.exif(6)),
        recipe={"fit": "none", "format": "png"},
        rule="it stands upright",
        reason=REASON["jpeg"],
        checks=(checks.equals(pictures.rgb(grey), within=12),),
    )
    yield upright_claim(
        "mpo",
        partial(_mpo),
        "an MPO of two pictures in orientation 6",
        "CIPA DC-007: each picture has its own EXIF",
    )


def _with_other_steps() -> Iterator[Claim]:
    reason = "libvips/libvips#703: pixels shift between shrinking and turning"
    for orientation in (3, 6, 7):
        yield Claim(
            name=f"shrunk-on-load-{orientation}",
            given=f"a JPEG of 400 by 266 upright pixels in orientation {orientation}, to be decoded at 1/8",
            make=partial(images.photo_jpeg, 400, 266, orientation),
            recipe={"width": 30, "height": 30},
            rule="a JPEG that shrinks while it loads stands upright, and keeps its edges",
            reason=reason,
            checks=(checks.is_sized(30, 20), checks.is_upright()),
        )
    yield Claim(
        name="shrunk-progressive-6",
        given="a progressive JPEG of 600 by 800 upright pixels in orientation 6",
        make=partial(images.photo_jpeg, 600, 800, 6, progressive=True),
        recipe={"width": 30},
        rule="a progressive JPEG of which only the coarsest scan is decoded stands upright",
        reason=reason,
        checks=(checks.is_sized(30, 40), checks.is_upright()),
    )
    for orientation in range(1, 9):
        yield Claim(
            name=f"focal-point-{orientation}",
            given=f"a JPEG of 96 by 64 upright pixels in orientation {orientation}",
            make=partial(pictures.oriented, "jpeg", orientation),
            recipe={"width": 32, "height": 32, "fit": "cover", "focal_point": (1.0, 0.5)},
            rule="a focal point is a place in the upright picture",
            reason="nobody thinks in the camera's coordinates; libvips' smart crop comes after autorot for the same",
            checks=(checks.is_sized(32, 32), *_right_end()),
        )
    yield Claim(
        name="gravity-northeast-8",
        given="a HEIC of 96 by 64 upright pixels in orientation 8",
        make=partial(pictures.oriented, "heic", 8),
        recipe={"width": 20, "height": 40, "fit": "cover", "gravity": "northeast"},
        rule="gravity is about the upright picture",
        reason="see focal points",
        checks=(checks.is_sized(20, 40), *_right_end()),
    )
    for side, size in (("width", (48, 32)), ("height", (72, 48))):
        yield Claim(
            name=f"only-{side}-6",
            given="a JPEG of 96 by 64 upright pixels in orientation 6",
            make=partial(pictures.oriented, "jpeg", 6),
            recipe={side: 48},
            rule="a side that is asked for is the upright picture's",
            reason="a box is about what people see, and they see it upright",
            checks=(checks.is_sized(*size), checks.is_upright()),
        )
    yield from _animated()


def _right_end() -> tuple[Check, ...]:
    """Return what must be seen where the right end of the scene was kept."""
    right, bottom = images.CORNERS["top-right"], images.CORNERS["bottom-right"]
    return checks.has((0.92, 0.06), right, 40), checks.has((0.92, 0.94), bottom, 40)


def _animated() -> Iterator[Claim]:
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    upright = pictures.rgba(scene)
    stored = pictures.rgba(images.stored(scene, 6))
    frames = [animations.Frame(stored), animations.Frame(_darker(stored))]
    make = partial(animations.webp, (64, 96), frames, more=[(b"EXIF", images.exif(6).removeprefix(b"Exif\0\0"))])
    yield upright_claim("webp-animated-still", make, "an animated WebP in orientation 6", "RFC 9649, 2.7.1.5")
    yield Claim(
        name="webp-animated",
        given="an animated WebP in orientation 6",
        make=make,
        recipe={"fit": "none", "format": "png", "animated": True},
        rule="every frame of an animation stands upright",
        reason="RFC 9649, 2.7.1.5",
        checks=(animationchecks.runs_as([(upright, 100), (_darker(upright), 100)]),),
    )


def _darker(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([pixels[..., :3] // 2, pixels[..., 3:]], axis=-1)


def _tiff(byte_order: str) -> bytes:
    """Write an uncompressed TIFF by hand: Pillow writes one byte order only."""
    stored = images.stored(images.scene(pictures.WIDTH, pictures.HEIGHT), 6)
    width, height = stored.size
    strip = stored.tobytes()
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8 + len(strip)),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (274, 3, 1, 6),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(strip)),
    ]
    file = (b"II*\0" if byte_order == "<" else b"MM\0*") + struct.pack(f"{byte_order}I", 8 + len(strip) + 6)
    file += strip + struct.pack(f"{byte_order}3HH", 8, 8, 8, len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        file += struct.pack(f"{byte_order}HHI", tag, kind, count)
        file += struct.pack(f"{byte_order}HH", value, 0) if short else struct.pack(f"{byte_order}I", value)
    return file + bytes(4)


def _png_exif_last() -> bytes:
    stored = images.stored(images.scene(pictures.WIDTH, pictures.HEIGHT), 6)
    exif = images.exif(6).removeprefix(b"Exif\0\0")
    return png_with(images.encoded(stored, "PNG"), (b"eXIf", exif), before=b"IEND")


def _webp_with_prefix() -> bytes:
    parts = riff_chunks(pictures.oriented("webp", 6))
    bare = images.exif(6).removeprefix(b"Exif\0\0")
    return webp_file([(kind, b"Exif\0\0" + bare if kind == b"EXIF" else body) for kind, body in parts])


def _mpo() -> bytes:
    stored = images.stored(images.scene(pictures.WIDTH, pictures.HEIGHT), 6)
    second = stored.transpose(Image.Transpose.ROTATE_180)
    return images.encoded(stored, "MPO", save_all=True, append_images=[second], exif=images.exif(6))
