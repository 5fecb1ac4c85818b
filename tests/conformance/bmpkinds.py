"""Claims: BMPs of every version, of Windows and of OS/2."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conformance import checks, pictures
from conformance.claims import Claim
from conformance.colour import COLOURS, colour_claim
from support.pictures import bmps, images, profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from conformance.claims import Check

_SIZE: Final = (41, 30)
_GDI: Final = "Windows GDI: bitmap header types, bitmap compression; bmpsuite"
_OS2: Final = "OS/2 Presentation Manager: BITMAPINFO2; bmpsuite"
_RED, _BLUE, _GREEN, _BLACK = (220, 30, 30), (30, 30, 220), (30, 180, 30), (0, 0, 0)
_PALETTE: Final = (_BLACK, _RED, _BLUE, _GREEN)
_ADOBE: Final = (0.57667, 0.29734, 0.02703, 0.18556, 0.62736, 0.07069, 0.18823, 0.07529, 0.99134)
"""XYZ of the colours of Adobe RGB (1998), 4.3.6.1."""


def claims() -> Iterator[Claim]:
    yield from _masks()
    yield from _headers()
    yield from _runs()
    yield from _profiles()
    yield from _refused()


def _claim(name: str, given: str, data: bytes, ways: tuple[Check, ...], reason: str = _GDI) -> Claim:
    return Claim(
        name=f"bmp-{name}",
        given=f"a BMP: {given}",
        make=partial(bytes, data),
        recipe={"fit": "none", "format": "png"},
        rule="the pixels are those that the file says",
        reason=reason,
        checks=ways,
    )


def _scene() -> NDArray[np.uint8]:
    return pictures.rgb(images.scene(*_SIZE))


def _masks() -> Iterator[Claim]:
    scene = _scene()
    alpha = np.clip(np.arange(_SIZE[0])[None, :] * 6 + np.arange(_SIZE[1])[:, None], 128, 255).astype(np.uint8)
    both = np.dstack([scene, alpha])
    cases: dict[str, tuple[int, tuple[int, ...], dict[str, Any], int]] = {
        "alpha-bit-fields": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), {"compression": bmps.ALPHABITFIELDS}, 0),
        "4444": (16, (0xF00, 0xF0, 0xF, 0xF000), {"header": bmps.V3}, 9),
        "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000), {"header": bmps.V4}, 128),
        "4444-alpha-bit-fields": (16, (0xF000, 0xF00, 0xF0, 0xF), {"compression": bmps.ALPHABITFIELDS}, 9),
        "10-bits": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0), {}, 1),
        "10-bits-alpha": (32, (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000), {"header": bmps.V5}, 43),
        "rgbx-bytes": (32, (0xFF, 0xFF00, 0xFF0000, 0), {}, 0),
        "332": (16, (0xE0, 0x1C, 0x3, 0), {}, 43),
    }
    for name, (depth, masks, options, within) in cases.items():
        channels = 4 if masks[3] else 3
        stored = bmps.masked(both[..., :channels], masks[:channels], f"<u{depth // 8}")
        given = masks if channels == 4 or options.get("header") else masks[:3]
        data = bmps.bmp(_SIZE, depth, bmps.rows(stored), masks=given, **{"compression": bmps.BITFIELDS} | options)
        yield _claim(name, f"{depth} bits with masks ({name})", data, (checks.equals(both[..., :channels], within),))


def _headers() -> Iterator[Claim]:
    scene = _scene()
    bgr = np.ascontiguousarray(scene[..., ::-1])
    same = (checks.equals(scene),)
    odd = bmps.bmp(_SIZE, 24, bmps.rows(bgr), reserved=1 << 20 | 7)
    yield _claim("reserved-words", "reserved words that are not 0", odd, same)
    bare = bmps.bmp(_SIZE, 24, bmps.rows(bgr, padded=False))
    yield _claim("no-last-padding", "the last row is not padded", bare, same)
    yield _claim("os2-core", "24 bits of OS/2", bmps.bmp(_SIZE, 24, bmps.rows(bgr), header=bmps.CORE), same, _OS2)
    for header in (bmps.OS2_SHORT, bmps.OS2):
        data = bmps.bmp(_SIZE, 24, bmps.rows(bgr), header=header)
        yield _claim(f"os2-{header}", f"OS/2 2.x, a header of {header} bytes", data, same, _OS2)
    indices = np.arange(41 * 30).reshape(30, 41) // 7 % 4
    shown = (checks.equals(np.array(_PALETTE, dtype=np.uint8)[indices]),)
    eight = indices.astype(np.uint8)
    bits = np.pad(indices, [(0, 0), (0, 3)])[..., None] >> np.array([1, 0]) & 1
    two = np.packbits(bits.astype(np.uint8).reshape(30, -1), axis=1)
    wider = np.pad(eight, [(0, 0), (0, 1)])
    four = wider[:, ::2] << 4 | wider[:, 1::2]
    core = [*_PALETTE, *[_BLACK] * 252]
    for name, data, reason in (
        ("os2-core-palette", bmps.bmp(_SIZE, 8, bmps.rows(eight), header=bmps.CORE, palette=core), _OS2),
        ("os2-64-palette", bmps.bmp(_SIZE, 8, bmps.rows(eight), header=bmps.OS2, palette=_PALETTE), _OS2),
        ("palette-2", bmps.bmp(_SIZE, 2, bmps.rows(two), palette=_PALETTE), "Windows CE: 2 bits a pixel"),
        ("palette-4", bmps.bmp(_SIZE, 4, bmps.rows(four), palette=_PALETTE), _GDI),
    ):
        yield _claim(name, f"indices of a palette ({name})", data, shown, reason)


def _runs() -> Iterator[Claim]:
    table = np.array(_PALETTE, dtype=np.uint8)
    wide: dict[str, Any] = {"palette": _PALETTE, "compression": bmps.RLE8}
    narrow: dict[str, Any] = {"palette": _PALETTE, "compression": bmps.RLE4}
    end, row = (0, 1), (0, 0)
    left_out = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 2, 3, 2], [3, 3, 0, 0, 0]])
    given = ((5, 1), row, row, (0, 2, 2, 0), (0, 3, 2, 3, 2, 0), row, (2, 3), end)
    halves = ((5, 0x11), row, row, (0, 2, 2, 0), (0, 3, 0x23, 0x20), row, (2, 0x33), end)
    moved = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 2, 2], [0, 0, 0, 0, 0]])
    clipped = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 2, 2], [0, 0, 0, 0, 0]])
    for name, depth, options, codes, stored in (
        ("rle8-empty-row", 8, wide, given, left_out),
        ("rle4-empty-row", 4, narrow, halves, left_out),
        ("rle8-early-end", 8, wide, ((1, 1), (0, 2, 2, 2), (2, 2), end), moved),
        ("rle4-early-end", 4, narrow, ((1, 0x11), (0, 2, 2, 2), (2, 0x22), end), moved),
        ("rle8-run-beyond-row", 8, wide, ((9, 1), row, row, (0, 2, 3, 0), (9, 2), row, row), clipped),
        ("rle4-mixed", 4, narrow, ((5, 0x12), row, row, row, row), np.array([[1, 2, 1, 2, 1], *[[0] * 5] * 3])),
    ):
        data = bmps.bmp((5, 4), depth, bmps.runs(codes), **options)
        yield _claim(name, f"runs ({name})", data, (checks.equals(table[stored[::-1]]),))


def _profiles() -> Iterator[Claim]:
    squares = pictures.patches(COLOURS)
    stored = bmps.rows(np.ascontiguousarray(pictures.rgb(squares)[..., ::-1]))
    make: Callable[..., bytes] = partial(bmps.bmp, squares.size, 24, stored)
    adobe = [profiles.in_srgb(colour, profiles.ADOBE_RGB, 2.2) for colour in COLOURS]
    strange = profiles.rgb_profile(profiles.ADOBE_RGB, 2.2)
    cases: tuple[tuple[str, dict[str, Any], Sequence[tuple[int, ...]]], ...] = (
        ("embedded", {"header": bmps.V5, "space": bmps.EMBEDDED, "profile": strange}, adobe),
        ("linked", {"header": bmps.V5, "space": bmps.LINKED, "profile": b"C:\\adobe.icc\0"}, COLOURS),
        ("unused", {"header": bmps.V5, "profile": strange}, COLOURS),
        ("calibrated", {"header": bmps.V4, "space": bmps.CALIBRATED, "ends": _ADOBE, "gamma": 2.2}, adobe),
        ("calibrated-by-nothing", {"header": bmps.V4, "space": bmps.CALIBRATED}, COLOURS),
    )
    for name, options, shown in cases:
        yield colour_claim(
            f"bmp-profile-{name}",
            f"a BMP whose header says of its colours: {name}",
            partial(make, **options),
            shown,
            reason="BITMAPV4HEADER, BITMAPV5HEADER: bV5CSType, bV5ProfileData",
        )


def _refused() -> Iterator[Claim]:
    jpeg, png = pictures.in_format("JPEG"), pictures.in_format("PNG")
    size = (pictures.WIDTH, pictures.HEIGHT)
    cases = {
        "jpeg": bmps.bmp(size, 0, jpeg, compression=bmps.JPEG),
        "jpeg-24": bmps.bmp(size, 24, jpeg, compression=bmps.JPEG),
        "png": bmps.bmp(size, 0, png, compression=bmps.PNG),
        "cmyk": bmps.bmp(size, 32, bytes(4 * 96 * 64), compression=11),
        "huffman": bmps.bmp(size, 1, bytes(99), header=bmps.OS2, compression=3, palette=_PALETTE[:2]),
        "rle24": bmps.bmp(size, 24, bytes(99), header=bmps.OS2, compression=4),
        "64": bmps.bmp(size, 64, bytes(8 * 96 * 64)),
    }
    for name, data in cases.items():
        yield Claim(
            name=f"bmp-not-{name}",
            given=f"a BMP of a kind that is not taken ({name})",
            make=partial(bytes, data),
            recipe={"width": 60, "height": 60},
            rule="a whole file of a kind that is not taken is refused as such, and not called damaged",
            reason="whoever reads 'corrupt' looks for a fault in the upload",
            refused=frozenset({"unsupported-format"}),
        )
    for name, codes in (("row", ((5, 1), (0, 0), (5, 1))), ("literals", ((0, 9, 1, 1),)), ("move", ((0, 2, 1),))):
        yield Claim(
            name=f"bmp-cut-in-a-{name}",
            given="a BMP whose runs end too early",
            make=partial(bmps.bmp, (5, 4), 8, bmps.runs(codes), palette=_PALETTE, compression=bmps.RLE8),
            recipe={"width": 60, "height": 60},
            rule="a picture that is not all there is refused",
            reason=_GDI,
            refused=frozenset({"truncated"}),
        )
