"""Claims: what is wrong with a chunk of a PNG that is not its pixels costs that chunk, and not the picture."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING, Final

from conformance import checks, pictures
from conformance.claims import Claim
from support.pictures import animations, images
from support.pictures.animations import Frame, plain
from support.pictures.containers import PNG_SIGNATURE, Part, png_chunks, png_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from PIL import Image

_RECOVERED: Final = "W3C PNG, third edition, 13.1: what is wrong with an ancillary chunk is recovered from"
_LINEAR: Final = struct.pack(">I", 100_000)
_CHUNKS: Final[Mapping[bytes, bytes]] = {
    b"gAMA": _LINEAR,
    b"cHRM": struct.pack(">8I", 31_270, 32_900, 21_000, 71_000, 26_500, 69_000, 15_000, 6_000),
    b"sRGB": b"\0",
    b"iCCP": b"icc\0\0" + zlib.compress(images.display_p3_profile()),
    b"cICP": bytes([9, 16, 0, 1]),
    b"sBIT": b"\5\5\5",
    b"bKGD": bytes(6),
    b"hIST": bytes(6),
    b"pHYs": struct.pack(">IIB", 100, 200, 1),
    b"eXIf": images.exif(6).removeprefix(b"Exif\0\0"),
    b"tIME": bytes(7),
    b"acTL": struct.pack(">II", 2, 0),
    b"prVt": b"private",
}
"""Chunks, each of which would change the picture if it counted, as far as it can."""

_CANVAS: Final = 24, 16
_RED, _BLUE = (200, 30, 30, 255), (30, 30, 200, 255)


def claims() -> Iterator[Claim]:
    for kind, body in _CHUNKS.items():
        name = kind.decode()
        yield _taken(
            f"png-{name}-checksum", f"a PNG with a wrong checksum in its {name}", partial(_with, kind, body, checksum=1)
        )
    for kind in (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"pHYs", b"acTL"):
        name = kind.decode()
        yield _taken(f"png-{name}-short", f"a PNG whose {name} is empty", partial(_with, kind, b""))
    yield _taken(
        "png-length",
        "a PNG with a private chunk whose length is wrong",
        partial(_with, b"prVt", b"private", length=300),
    )
    yield _taken(
        "png-without-end",
        "a PNG of which only the end chunk is missing",
        lambda: images.encoded(_scene(), "PNG")[:-12],
        reason="libpng warns, browsers show it; all of the picture is there",
    )
    yield from _damaged_animations()
    yield Claim(
        name="png-of-iphone-apps",
        given="a PNG of the kind that iPhone apps have (CgBI)",
        make=_crushed,
        recipe={"width": 60, "height": 60},
        rule="it is refused as a kind that is not taken, and not as damaged",
        reason="its pixels are another stream and in another order; the file is whole",
        refused=frozenset({"unsupported-format"}),
    )


def _taken(name: str, given: str, make: Callable[[], bytes], *, reason: str = _RECOVERED) -> Claim:
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe={"fit": "none", "format": "png"},
        rule="the picture comes out, as if the chunk were not there",
        reason=reason,
        checks=(checks.equals(pictures.rgb(_scene())),),
    )


def _damaged_animations() -> Iterator[Claim]:
    whole = png_chunks(animations.apng(_CANVAS, [Frame(plain(_CANVAS, _RED)), Frame(plain(_CANVAS, _BLUE))]))
    cases: Mapping[str, tuple[str, bytes]] = {
        "sequence": ("whose frames are out of order", png_file(_changed(whole, b"fdAT", 0, b"\0\0\0\7"))),
        "frame-outside": ("with a frame outside of it", _second_changed(whole, 12, b"\0\0\0\1")),
        "disposal": ("with a frame of a disposal that does not exist", _second_changed(whole, 24, b"\7")),
        "no-frames": ("that announces no frames", png_file(_changed(whole, b"acTL", 0, bytes(4)))),
        "frame-garbage": ("with a frame that is no zlib stream", png_file(_changed(whole, b"fdAT", 4, b"garbage"))),
        "frame-checksum": ("with a wrong checksum in a frame", _spoilt(png_file(whole), b"fdAT")),
        "control-checksum": ("with a wrong checksum in a frame's control", _spoilt(png_file(whole), b"fcTL")),
        "cut": ("that ends in its second frame", png_file(whole)[:-24]),
    }
    for name, (given, data) in cases.items():
        yield Claim(
            name=f"apng-{name}",
            given=f"an APNG {given}",
            make=partial(bytes, data),
            recipe={"fit": "none", "format": "png", "animated": True},
            rule="an APNG whose animation is damaged is its default image",
            reason="W3C PNG, third edition, 13.1 and 4.9: the default image is what all decoders can show",
            checks=(checks.is_sized(*_CANVAS), checks.has((0.5, 0.5), _RED[:3])),
        )


def _scene() -> Image.Image:
    return images.scene(pictures.WIDTH, pictures.HEIGHT)


def _with(kind: bytes, body: bytes, *, checksum: int | None = None, length: int | None = None) -> bytes:
    head, *rest = png_chunks(images.encoded(_scene(), "PNG"))
    right = zlib.crc32(kind + body) if checksum is None else checksum
    added = struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", right)
    return png_file([head]) + added + png_file(rest).removeprefix(PNG_SIGNATURE)


def _changed(parts: list[Part], kind: bytes, at: int, piece: bytes) -> list[Part]:
    return [(each, body[:at] + piece + body[at + len(piece) :] if each == kind else body) for each, body in parts]


def _second_changed(parts: list[Part], at: int, piece: bytes) -> bytes:
    first = [kind for kind, _ in parts].index(b"IDAT")
    return png_file([*parts[:first], *_changed(parts[first:], b"fcTL", at, piece)])


def _spoilt(data: bytes, kind: bytes) -> bytes:
    """Flip a bit of the checksum of the last chunk of a kind."""
    at = data.rindex(kind)
    end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
    return data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :]


def _crushed() -> bytes:
    parts = png_chunks(images.encoded(_scene().convert("RGBA"), "PNG"))
    raw = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))
    packer = zlib.compressobj(wbits=-15)
    return png_file([(b"CgBI", b"P\0 \2"), parts[0], (b"IDAT", packer.compress(raw) + packer.flush()), (b"IEND", b"")])
