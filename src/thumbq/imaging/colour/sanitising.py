"""ICC profiles from strangers made harmless, before littleCMS sees them (ICC.1:2022)."""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 4 << 20
"""The largest profiles in use (CMYK, both directions, 16 bits) have under 3 MiB."""

_HEADER: Final = 128
_ENTRY: Final = struct.Struct(">4sII")
_MOST_TAGS: Final = 100
_CLASSES: Final = frozenset({b"scnr", b"mntr", b"prtr", b"spac"})

_COLOURS: Final = frozenset({b"kTRC", b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"chad"})
_TABLES: Final = frozenset({b"A2B0", b"A2B1", b"B2A0"})
"""B2A0 is how littleCMS finds the black point of a printer's profile."""

_LUT_BYTES: Final = {b"mft1": 1, b"mft2": 2}
_LUT_OFFSET_AT: Final = {b"mAB ": 24, b"mBA ": 24}
"""Types whose table lies where an offset says, and where that offset stands."""

_SMALLEST_LUT: Final = 48


def sanitised(profile: bytes) -> bytes | None:
    """Return a profile with only those tags that a conversion to sRGB needs; None if it cannot be used.

    With what is left littleCMS takes a few times the profile's size and short chains of steps. By itself it would
    allocate what a table's header claims (348 bytes took 94 MiB), and run as many ``multiProcessElements`` (in ``D2B``
    tags) as there are (seconds).
    """
    if not _HEADER + 4 <= len(profile) <= MAX_BYTES or profile[36:40] != b"acsp" or profile[12:16] not in _CLASSES:
        return None
    entries = list(_kept_tags(profile))
    if not entries:
        return None
    table = b"".join(_ENTRY.pack(*entry) for entry in entries)
    start = _HEADER + 4
    return profile[:_HEADER] + struct.pack(">I", len(entries)) + table + profile[start + len(table) :]


def space(profile: bytes) -> bytes:
    """Return a profile's colour space (``RGB ``, ``GRAY``, ``CMYK`` …)."""
    return profile[16:20]


def has_table(profile: bytes) -> bool:
    """Return whether a sanitised profile converts by a table, and not by three curves and a matrix."""
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    return any(profile[_HEADER + 4 + 12 * index :][:3] == b"A2B" for index in range(count))


def _kept_tags(profile: bytes) -> Iterator[tuple[bytes, int, int]]:
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    for index in range(min(count, _MOST_TAGS)):
        at = _HEADER + 4 + index * _ENTRY.size
        if at + _ENTRY.size > len(profile):
            return
        name, offset, size = _ENTRY.unpack_from(profile, at)
        if offset + size > len(profile):
            continue
        if name in _COLOURS or (name in _TABLES and _table_fits(profile[offset : offset + size])):
            yield name, offset, size


def _table_fits(tag: bytes) -> bool:
    """Return whether a tag is as long as the colour table that it announces."""
    if len(tag) < _SMALLEST_LUT:
        return False
    kind, inputs, outputs = tag[:4], tag[8], tag[9]
    if kind in _LUT_BYTES:
        table_bytes = int(tag[10] ** inputs) * outputs * _LUT_BYTES[kind]
    elif kind in _LUT_OFFSET_AT:
        (offset,) = struct.unpack_from(">I", tag, _LUT_OFFSET_AT[kind])
        if offset == 0:  # curves and a matrix only
            return True
        table_bytes = prod(tag[offset : offset + inputs]) * outputs * max(tag[offset + 16 : offset + 17], default=1)
    else:
        return False
    return table_bytes <= len(tag)
