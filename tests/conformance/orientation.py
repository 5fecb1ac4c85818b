"""Claims: every picture stands upright, however it is stored."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from conformance import checks, pictures
from conformance.claims import Claim
from support.pictures import images
from support.pictures.containers import EXIF, jpeg_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_FITS: Final[Mapping[str, tuple[tuple[int, int], tuple[int, int]]]] = {
    "contain": ((48, 48), (48, 32)),
    "cover": ((60, 44), (60, 44)),
    "fill": ((40, 50), (40, 50)),
}
"""The box that is asked for, and the size that must come out."""

REASON: Final = {
    "jpeg": "EXIF 3.0, tag 274; Thumbor leaves it at that by default (thumbor/thumbor#1319)",
    "png": "PNG, third edition: eXIf; EXIF 3.0, tag 274",
    "webp": "RFC 9649, 2.7.1.5 (EXIF chunk); EXIF 3.0, tag 274",
    "tiff": "TIFF 6.0, section 8, Orientation",
    "avif": "AV1 Image File Format 1.1 and MIAF 7.3.6.7: irot, then imir",
    "heic": "ISO/IEC 23008-12, 6.5.10 and 6.5.12: irot and imir; imgproxy/imgproxy#736",
}


def claims() -> Iterator[Claim]:
    yield from _all_eight()
    yield from _nonsense()
    yield from _xmp()


def _all_eight() -> Iterator[Claim]:
    for image_format in pictures.ORIENTED:
        for orientation in range(1, 9):
            for fit, ((width, height), size) in _FITS.items():
                yield Claim(
                    name=f"{image_format}-{orientation}-{fit}",
                    given=f"a {image_format} of 96 by 64 upright pixels, stored in orientation {orientation}",
                    make=partial(pictures.oriented, image_format, orientation),
                    recipe={"width": width, "height": height, "fit": fit},
                    rule=f"it stands upright, and {fit} is about the upright picture",
                    reason=REASON[image_format],
                    checks=(checks.is_sized(*size), checks.is_upright()),
                )


def upright_claim(name: str, make: partial[bytes], given: str, reason: str, rule: str = "it stands upright") -> Claim:
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe={"width": 48, "height": 48},
        rule=rule,
        reason=reason,
        checks=(checks.is_sized(48, 32), checks.is_upright()),
    )


def _nonsense() -> Iterator[Claim]:
    for value in (0, 9, 255, 65535):
        yield upright_claim(
            f"jpeg-value-{value}",
            partial(jpeg_with_exif, images.exif(value)),
            f"a JPEG that stands upright, with orientation {value}",
            "EXIF 3.0, tag 274: other values than 1 to 8 are reserved",
            "a value that means nothing turns nothing",
        )
    for byte_order, kind, raw in (("<", 2, b"6\0\0\0"), (">", 7, b"\6\0\0\0"), (">", 5, b"\0\0\0\6")):
        yield upright_claim(
            f"jpeg-type-{kind}",
            partial(jpeg_with_exif, exif_of(byte_order, kind, raw)),
            f"a JPEG that stands upright, whose orientation is of type {kind} and not a number",
            "EXIF 3.0, tag 274 is a SHORT; Pillow hands on whatever is there",
            "a value of a wrong kind turns nothing",
        )
    yield upright_claim(
        "jpeg-exif-garbage",
        partial(jpeg_with_exif, b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\x12\x01" * 20),
        "a JPEG whose EXIF block points nowhere",
        "metadata is not worth a picture: thumbor/thumbor#702 lost its bearings to a missing tag",
        "EXIF that cannot be read turns nothing, and does not cost the picture",
    )
    yield upright_claim(
        "heic-exif-only",
        partial(_heic_exif_only),
        "a HEIC that stands upright without irot, whose EXIF says 6",
        "ISO/IEC 23008-12: EXIF orientation is informative; strukturag/libheif#227 and #680",
        "in a HEIC only irot and imir turn",
    )


def _xmp() -> Iterator[Claim]:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    for image_format in ("JPEG", "WEBP", "AVIF"):
        yield upright_claim(
            f"{image_format.lower()}-xmp-only",
            partial(images.encoded, scene, image_format, quality=95, xmp=packet),
            f"a {image_format} that stands upright without EXIF, whose XMP says tiff:Orientation 6",
            "browsers and libvips obey EXIF only; Pillow's getexif takes XMP for it",
            "an orientation in XMP turns nothing",
        )


def exif_of(byte_order: str, kind: int, value: bytes) -> bytes:
    """Return EXIF with one tag, the orientation, of any type."""
    mark = b"II*\0" if byte_order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(f"{byte_order}IHHHI", 8, 1, 274, kind, 1) + value + bytes(4)


def jpeg_with_exif(exif: bytes, orientation: int = 1) -> bytes:
    stored = images.stored(images.scene(pictures.WIDTH, pictures.HEIGHT), orientation)
    return jpeg_with(images.jpeg(stored, quality=95), (EXIF, exif))


def _heic_exif_only() -> bytes:
    turned = images.heic(images.scene(pictures.WIDTH, pictures.HEIGHT), exif=images.exif(2))
    return turned.replace(b"imir", b"free")
