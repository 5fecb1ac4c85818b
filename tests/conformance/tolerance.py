"""Claims: a file with harmless faults is read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from conformance import checks, pictures
from conformance.claims import Claim
from support.pictures import animations, images
from support.pictures.containers import jpeg_with, png_chunks, png_file, png_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


_BOX: Final = b"\0\0\0\x0cabcdefgh"
_WHOLE: Final = "libjpeg warns; all of the picture is there"
_SHORT: Final = "libjpeg passes over segments that are too short for what they begin as"
_ISO: Final = "ISO/IEC 14496-12, 4.2: unknown boxes are skipped"


def claims() -> Iterator[Claim]:
    yield from _untidy()


def _untidy() -> Iterator[Claim]:
    cases: Mapping[str, tuple[str, Callable[[], bytes], str]] = {
        "jpeg-zeros-after": ("a JPEG with zeros after its end", partial(_with, "JPEG", bytes(1000)), "cameras pad"),
        "jpeg-fill-bytes": ("a JPEG with fill bytes before its markers", _filled, "ITU-T T.81, B.1.1.2"),
        "jpeg-scan-of-nothing": (
            "a baseline JPEG whose scan says that it ends with coefficient 0",
            _samsung,
            "Samsung's SM-J120F writes them: libvips/libvips#2309",
        ),
        "jpeg-without-end": (
            "a JPEG of which only the end marker is missing", lambda: pictures.in_format("JPEG")[:-2], _WHOLE,
        ),
        "progressive-jpeg-without-end": (
            "a progressive JPEG without its end marker", lambda: _progressive()[:-2], _WHOLE,
        ),
        "jpeg-video-behind": (
            "a JPEG with a video in the place of its end marker",
            lambda: pictures.in_format("JPEG")[:-2] + _BOX + bytes(range(256)) * 9,
            "phones store the seconds before a photo so",
        ),
        "jpeg-components-of-one-name": (
            "a JPEG whose three components have one identifier", _one_name, "libjpeg tells them by their order",
        ),
        "jpeg-short-jfif": (
            "a JPEG whose JFIF segment is empty but for its name", partial(_segment, 0xE0, b"JFIF\0"), _SHORT,
        ),
        "jpeg-short-adobe": (
            "a JPEG whose Adobe segment lacks its transform", partial(_segment, 0xEE, b"Adobe\0d\0"), _SHORT,
        ),
        "jpeg-profile-without-number": (
            "a JPEG with a profile segment without numbers", partial(_segment, 0xE2, b"ICC_PROFILE\0"), _SHORT,
        ),
        "jpeg-short-exif": ("a JPEG whose EXIF is cut", partial(_segment, 0xE1, b"Exif\0\0MM\0"), _SHORT),
        "jpeg-short-photoshop": (
            "a JPEG whose Photoshop segment is cut", partial(_segment, 0xED, b"Photoshop 3.0\x008BIM\4"), _SHORT,
        ),
        "jpeg-two-ends": ("a JPEG with two end markers", partial(_with, "JPEG", b"\xff\xd9"), "concatenated by tools"),
        "jpeg-unknown-segments": ("a JPEG with every application segment", _app_segments, "ITU-T T.81, B.2.4.6"),
        "png-words-after": ("a PNG with words after its end", partial(_with, "PNG", b"words"), "libpng stops at IEND"),
        "png-text-checksum": (
            "a PNG of which a text does not fit its checksum", _bad_text, "libpng warns about ancillary chunks",
        ),
        "png-text-zlib": ("a PNG with a compressed text that is garbage", _bad_ztxt, "libpng warns and goes on"),
        "png-pixels-in-pieces": ("a PNG whose pixels come byte by byte", _pieces, "PNG, third edition: IDAT"),
        "webp-words-after": ("a WebP with words after its end", partial(_with, "WEBP", b"words"), "RFC 9649, 2.4"),
        "tiff-words-after": ("a TIFF with words after its end", partial(_with, "TIFF", b"words"), "offsets say all"),
        "gif-without-trailer": ("a GIF without its last byte", _gif_open, "every browser takes it"),
        "heic-box-after": ("a HEIC with an unknown box after it", partial(_with, "HEIC", _BOX), _ISO),
        "avif-box-after": ("an AVIF with an unknown box after it", partial(_with, "AVIF", _BOX), _ISO),
    }  # fmt: skip
    for name, (given, make, reason) in cases.items():
        yield Claim(
            name=name,
            given=given,
            make=make,
            recipe={"width": 60, "height": 60},
            rule="what decoders everywhere take is taken: damage outside the picture does not cost it",
            reason=reason,
            checks=(checks.is_sized(60, 40), checks.is_upright()),
        )


def _with(image_format: str, tail: bytes) -> bytes:
    return pictures.in_format(image_format) + tail


def _filled() -> bytes:
    data = pictures.in_format("JPEG")
    for marker in (b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda"):
        at = data.index(marker)
        data = data[:at] + b"\xff\xff\xff" + data[at:]
    return data


def _progressive() -> bytes:
    return images.jpeg(images.scene(pictures.WIDTH, pictures.HEIGHT), quality=95, progressive=True)


def _one_name() -> bytes:
    data = bytearray(pictures.in_format("JPEG"))
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for at in (*range(frame + 10, frame + 19, 3), *range(scan + 5, scan + 11, 2)):
        data[at] = 1
    return bytes(data)


def _segment(marker: int, body: bytes) -> bytes:
    return jpeg_with(pictures.in_format("JPEG"), (marker, body))


def _samsung() -> bytes:
    data = bytearray(pictures.in_format("JPEG"))
    data[data.index(b"\xff\xda") + 2 + 2 + 1 + 3 * 2 + 1] = 0
    return bytes(data)


def _app_segments() -> bytes:
    return jpeg_with(pictures.in_format("JPEG"), *((marker, b"anything" * 50) for marker in range(0xE3, 0xF0)))


def _bad_text() -> bytes:
    data = png_with(pictures.in_format("PNG"), (b"tEXt", b"Comment\0words"))
    return data.replace(b"Comment\0words", b"Comment\0weeds")


def _bad_ztxt() -> bytes:
    return png_with(pictures.in_format("PNG"), (b"zTXt", b"Comment\0\0this is no zlib stream"))


def _pieces() -> bytes:
    parts = png_chunks(pictures.in_format("PNG"))
    (pixels,) = (body for kind, body in parts if kind == b"IDAT")
    pieces = [(b"IDAT", pixels[at : at + 1]) for at in range(500)] + [(b"IDAT", pixels[500:])]
    return png_file([parts[0], *pieces, parts[-1]])


def _gif_open() -> bytes:
    few = pictures.rgba(images.scene(pictures.WIDTH, pictures.HEIGHT).quantize(100))
    return animations.gif((pictures.WIDTH, pictures.HEIGHT), [animations.Frame(few)])[:-1]
