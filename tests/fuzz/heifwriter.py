"""HEIC files around the one coded picture that there is: no encoder of HEVC is among the dependencies."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fuzz import fileparts
from support.pictures import images
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE: Final = 64
"""The coded picture is as wide as it is high."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the file (ISO/IEC 14496-12, 8.11): what it is, its bytes, and the properties that it has.

    ``refers`` says how it belongs to which items (numbers from 1, as they stand in the file).
    """

    kind: bytes
    data: bytes
    properties: tuple[bytes, ...] = ()
    refers: tuple[bytes, tuple[int, ...]] | None = None
    mime: bytes = b""


@lru_cache
def coded() -> tuple[bytes, bytes]:
    """Return the HEVC picture and the box with its decoder's configuration."""
    original = images.turned_heic()
    for part in fileparts.every(fileparts.parts_of(ImageFormat.HEIF, original)):
        if part.kind == b"hvcC":
            return original[492 : 492 + 73], box(b"hvcC", part.body)
    raise AssertionError("a HEIC without hvcC")


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, *bodies: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *bodies)


def extent(width: int = SIDE, height: int = SIDE) -> bytes:
    return full_box(b"ispe", struct.pack(">II", width, height))


def picture(*more: bytes, refers: tuple[bytes, tuple[int, ...]] | None = None) -> Item:
    """Make an item of the coded picture, with ``more`` properties."""
    data, configuration = coded()
    return Item(b"hvc1", data, (configuration, extent(), *more), refers)


def grid(columns: int, rows: int, first: int, *more: bytes) -> Item:
    """Make an item that is laid out of tiles, from item ``first`` on."""
    width, height = columns * SIDE, rows * SIDE
    data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    tiles = tuple(range(first, first + columns * rows))
    return Item(b"grid", data, (extent(width, height), *more), (b"dimg", tiles))


def _essential(each: bytes) -> int:
    """Return the bit by which a reader must know a property: those that turn or cut (ISO/IEC 23000-22, 7.3.9)."""
    return 0x80 if each[4:8] in {b"clap", b"irot", b"imir"} else 0


def heic(items: Sequence[Item], primary: int = 1, brands: Sequence[bytes] = (b"heic", b"mif1", b"heic")) -> bytes:
    """Put a file together; its major brand comes first."""
    properties = list(dict.fromkeys(each for item in items for each in item.properties))
    entries = [
        full_box(b"infe", struct.pack(">HH", number, 0), item.kind, b"\0", item.mime, version=2)
        for number, item in enumerate(items, 1)
    ]
    has = [
        struct.pack(">HB", number, len(item.properties))
        + bytes(properties.index(each) + 1 | _essential(each) for each in item.properties)
        for number, item in enumerate(items, 1)
        if item.properties
    ]
    refers = [
        box(item.refers[0], struct.pack(f">HH{len(item.refers[1])}H", number, len(item.refers[1]), *item.refers[1]))
        for number, item in enumerate(items, 1)
        if item.refers
    ]
    kind = box(b"ftyp", brands[0], bytes(4), *brands[1:])

    def meta(start: int) -> bytes:
        places, at = [], start
        for number, item in enumerate(items, 1):
            places.append(struct.pack(">HHHII", number, 0, 1, at, len(item.data)))
            at += len(item.data)
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", struct.pack(">H", primary)),
            full_box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *places),
            full_box(b"iinf", struct.pack(">H", len(items)), *entries),
            full_box(b"iref", *refers) if refers else b"",
            box(b"iprp", box(b"ipco", *properties), full_box(b"ipma", struct.pack(">I", len(has)), *has)),
        )

    start = len(kind) + len(meta(0)) + 8
    return kind + meta(start) + box(b"mdat", *(item.data for item in items))
