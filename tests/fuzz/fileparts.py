"""Image files as lists of parts (segments, chunks, boxes, blocks), and back: lengths and check sums are made anew."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fuzz import boxes
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class Part:
    """A stretch of a file. ``framed``: its kind, length and check sum are written around it, by its format's rules.

    ``inner`` are the parts that it contains, behind ``body``. ``lie`` is added to the length that is written, and the
    check sum is wrong when ``spoilt``.
    """

    kind: bytes
    body: bytes
    framed: bool = True
    inner: list[Part] | None = None
    lie: int = 0
    spoilt: bool = False


def parts_of(image_format: ImageFormat, data: bytes) -> list[Part]:
    """Take a file apart. What does not parse is one part."""
    return list(_READERS[image_format](data))


def whole(image_format: ImageFormat, parts: list[Part]) -> bytes:
    """Put parts together."""
    return b"".join(_written(image_format, part) for part in parts)


def _written(image_format: ImageFormat, part: Part) -> bytes:
    body = part.body + b"".join(_written(image_format, inner) for inner in part.inner or ())
    return _FRAMES[image_format](part, body) if part.framed else body


# JPEG (ITU-T T.81, annex B)

_SOS: Final = 0xDA
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xDA)})


def _jpeg(data: bytes) -> Iterator[Part]:
    at = 0
    while at + 2 <= len(data) and data[at] == 0xFF:
        kind = data[at : at + 2]
        if kind[1] in _ALONE:
            yield Part(kind, b"")
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not at + 4 <= end <= len(data):
            break
        yield Part(kind, data[at + 4 : end])
        at = end
        if kind[1] == _SOS:
            at = _scan_end(data, at)
            yield Part(b"scan", data[end:at], framed=False)
    yield from _rest(data, at)


def _scan_end(data: bytes, at: int) -> int:
    while (at := data.find(b"\xff", at)) != -1 and at + 1 < len(data):
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2
    return len(data)


def _jpeg_frame(part: Part, body: bytes) -> bytes:
    if len(part.kind) == 2 and part.kind[1] in _ALONE:
        return part.kind + body
    return part.kind + _number(len(body) + 2 + part.lie, 2, "big") + body


# PNG (W3C PNG, 5.3)


def _png(data: bytes) -> Iterator[Part]:
    yield Part(b"signature", data[:8], framed=False)
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        kind, body = data[at + 4 : at + 8], data[at + 8 : end - 4]
        yield Part(kind, body, spoilt=data[end - 4 : end] != _crc(kind + body))
        at = end
    yield from _rest(data, at)


def _png_frame(part: Part, body: bytes) -> bytes:
    check = _crc(part.kind + body)
    if part.spoilt:
        check = bytes(byte ^ 0x55 for byte in check)
    return _number(len(body) + part.lie, 4, "big") + part.kind + body + check


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


# WebP (RFC 9649, 2.3)

_CONTAINED: Final = {b"RIFF": 4, b"ANMF": 16}


def _webp(data: bytes) -> Iterator[Part]:
    at = 0
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if end > len(data):
            break
        body, skip = data[at + 8 : end], _CONTAINED.get(kind)
        if skip is None:
            yield Part(kind, body)
        else:
            yield Part(kind, body[:skip], inner=list(_webp(body[skip:])))
        at = end + size % 2
    yield from _rest(data, at)


def _webp_frame(part: Part, body: bytes) -> bytes:
    return part.kind + _number(len(body) + part.lie, 4, "little") + body + bytes(len(body) % 2)


# AVIF, HEIC (ISO/IEC 14496-12, 4.2)


def _iso(data: bytes) -> Iterator[Part]:
    for kind, body, skip in boxes.walk(data):
        if not kind:
            yield from _rest(body, 0)
        elif skip is None:
            yield Part(kind, body)
        else:
            yield Part(kind, body[:skip], inner=list(_iso(body[skip:])))


def _iso_frame(part: Part, body: bytes) -> bytes:
    return _number(len(body) + 8 + part.lie, 4, "big") + part.kind + body


def data_position(parts: list[Part]) -> int | None:
    """Return where the ``mdat`` of an ISO media file begins; None where there is none."""
    at = 0
    for part in parts:
        if part.kind == b"mdat":
            return at
        at += len(_written(ImageFormat.HEIF, part))
    return None


def follow_data(parts: list[Part], before: int) -> None:
    """Correct the offsets of an ISO media file whose ``mdat`` began elsewhere before."""
    now = data_position(parts)
    for part in every(parts):
        if now is not None and part.kind in {b"iloc", b"stco"}:
            part.body = boxes.shifted(part.kind, part.body, now - before)


def every(parts: list[Part]) -> Iterator[Part]:
    """Walk parts and what they contain."""
    for part in parts:
        yield part
        yield from every(part.inner or [])


# GIF (GIF89a specification, 12 to 26), BMP, TIFF (TIFF 6.0, section 2): nothing is framed


def _gif(data: bytes) -> Iterator[Part]:
    yield Part(b"header", data[:6], framed=False)
    yield Part(b"screen", data[6:13], framed=False)
    at = 13 + _colours(data, 10)
    yield Part(b"palette", data[13:at], framed=False)
    while at < len(data) - 1:
        start, kind = at, data[at : at + 1]
        if kind == b"!":
            kind, at = data[at : at + 2], at + 2
        elif kind == b",":
            at += 10 + _colours(data, at + 9)
            yield Part(b"descriptor", data[start:at], framed=False)
            start, at = at, at + 1
        else:
            break
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
        yield Part(kind, data[start:at], framed=False)
    yield from _rest(data, at)


def _colours(data: bytes, at: int) -> int:
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp(data: bytes) -> Iterator[Part]:
    header = 14 + int.from_bytes(data[14:18], "little")
    pixels = max(header, int.from_bytes(data[10:14], "little"))
    marks = sorted(min(mark, len(data)) for mark in (0, 10, 14, 18, 26, 54, header, pixels, len(data)))
    for number, (start, end) in enumerate(pairwise(marks)):
        yield Part(b"%d" % number, data[start:end], framed=False)


def _tiff(data: bytes) -> Iterator[Part]:
    order, marks = "<" if data[:2] == b"II" else ">", {0: b"header", 8: b"gap"}
    (at,) = struct.unpack_from(order + "I", data.ljust(8, b"\0"), 4)
    for _ in range(8):
        if not 8 <= at <= len(data) - 2:
            break
        (count,) = struct.unpack_from(order + "H", data, at)
        if at + 6 + 12 * count > len(data):
            break
        marks |= {at: b"count"}
        marks |= {entry: data[entry : entry + 2] for entry in range(at + 2, at + 2 + 12 * count, 12)}
        following = at + 2 + 12 * count
        marks |= {following: b"next", following + 4: b"gap"}
        (at,) = struct.unpack_from(order + "I", data, following)
    starts = sorted(start for start in marks if start < len(data))
    for start, end in zip(starts, [*starts[1:], len(data)], strict=False):
        yield Part(marks[start], data[start:end], framed=False)


def _rest(data: bytes, at: int) -> Iterator[Part]:
    if at < len(data):
        yield Part(b"rest", data[at:], framed=False)


def _number(value: int, size: int, order: str) -> bytes:
    mask = (1 << 8 * size) - 1
    return (value & mask).to_bytes(size, "big" if order == "big" else "little")


def _unframed(_: Part, body: bytes) -> bytes:
    return body


_READERS: Final[dict[ImageFormat, Callable[[bytes], Iterator[Part]]]] = {
    ImageFormat.JPEG: _jpeg,
    ImageFormat.PNG: _png,
    ImageFormat.WEBP: _webp,
    ImageFormat.AVIF: _iso,
    ImageFormat.HEIF: _iso,
    ImageFormat.GIF: _gif,
    ImageFormat.BMP: _bmp,
    ImageFormat.TIFF: _tiff,
}
_FRAMES: Final[dict[ImageFormat, Callable[[Part, bytes], bytes]]] = {
    ImageFormat.JPEG: _jpeg_frame,
    ImageFormat.PNG: _png_frame,
    ImageFormat.WEBP: _webp_frame,
    ImageFormat.AVIF: _iso_frame,
    ImageFormat.HEIF: _iso_frame,
    ImageFormat.GIF: _unframed,
    ImageFormat.BMP: _unframed,
    ImageFormat.TIFF: _unframed,
}
