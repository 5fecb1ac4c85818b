"""The items of a HEIF file (ISO/IEC 23008-12): their kinds, properties and references."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.isomedia.boxes import Box, boxes, damaged, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thumbq.imaging import Original

_FULL: Final = 4
"""The version and flags that a full box begins with."""

_MOST_ENTRIES: Final = 20_000
_LONG_NUMBERS: Final = 3
"""The version of ``infe`` from which on item numbers have 4 bytes."""

_IN_FILE, _IN_IDAT = 0, 1
_DERIVED_FROM: Final = b"dimg"
_AUXILIARY_OF: Final = b"auxl"


@dataclass(frozen=True, slots=True)
class Items:
    """The items in a meta box, by their numbers; references by their type and the item that they are from.

    ``places`` are the offsets and lengths of an item's data in the file.
    """

    primary: int
    kinds: Mapping[int, bytes]
    properties: Mapping[int, list[Box]]
    references: Mapping[tuple[bytes, int], list[int]]
    places: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)

    def image_of(self, plane: int) -> int:
        """Return the image that a plane of alpha belongs to, itself if it is none."""
        targets = self.references.get((_AUXILIARY_OF, plane))
        return targets[0] if targets else plane

    def made_of(self, item: int) -> set[int]:
        """Return an item, those that it is derived from, what belongs to them (alpha), and so on."""
        belongs: dict[int, list[int]] = {}
        for (kind, source), targets in self.references.items():
            if kind == _AUXILIARY_OF:
                for target in targets:
                    belongs.setdefault(target, []).append(source)
        found, left = set[int](), [item]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self.references.get((_DERIVED_FROM, one), [])
                left += belongs.get(one, [])
        return found


def read(original: Original, meta: Box) -> Items:
    """Read a meta box. Raises RenderRefused."""
    parts = {box.kind: box for box in boxes(original, meta.at + _FULL, meta.end)}
    if b"pitm" not in parts:
        raise damaged()
    primary, nothing = parts[b"pitm"], Box(b"", 0, 0)
    idat = parts.get(b"idat", nothing)
    return Items(
        primary=number(original, primary.at + _FULL, 4 if number(original, primary.at, 1) else 2),
        kinds=_kinds(original, parts.get(b"iinf", nothing)),
        properties=_properties(original, parts.get(b"iprp", nothing)),
        references=_references(original, parts.get(b"iref", nothing)),
        places=_places(original, parts.get(b"iloc", nothing), idat),
    )


def size(original: Original, properties: list[Box]) -> tuple[int, int]:
    """Return the width and height that properties state (``ispe``), before any turning; 0, 0 if they do not."""
    for box in properties:
        if box.kind == b"ispe":
            return number(original, box.at + _FULL, 4), number(original, box.at + _FULL + 4, 4)
    return 0, 0


def _kinds(original: Original, box: Box) -> dict[int, bytes]:
    kinds = {}
    for entry in boxes(original, box.at + _FULL + (4 if number(original, box.at, 1) else 2), box.end):
        wide = 4 if number(original, entry.at, 1) >= _LONG_NUMBERS else 2
        kind_at = entry.at + _FULL + wide + 2
        try:
            original[kind_at : entry.end].decode()
        except UnicodeDecodeError:  # on which pi-heif 1.4 crashes
            raise damaged() from None
        kinds[number(original, entry.at + _FULL, wide)] = original[kind_at : kind_at + 4]
    return kinds


def _properties(original: Original, box: Box) -> dict[int, list[Box]]:
    known: list[Box] = []
    properties: dict[int, list[Box]] = {}
    for part in boxes(original, box.at, box.end):
        if part.kind == b"ipco":
            known = list(boxes(original, part.at, part.end))
        elif part.kind == b"ipma":
            for item, index in _associations(original, part):
                if 0 < index <= len(known):
                    properties.setdefault(item, []).append(known[index - 1])
    return properties


def association_entries(original: Original, box: Box) -> Iterator[tuple[int, int, int, int]]:
    """Yield of each entry of an ``ipma`` box (ISO/IEC 23008-12, 9.3) its item, and where its properties are.

    That is where they begin and end, behind a byte that is their number, and the bytes of each.
    """
    item_bytes = 4 if number(original, box.at, 1) else 2
    index_bytes = 2 if number(original, box.at + 3, 1) & 1 else 1
    at = box.at + _FULL + 4
    for _ in range(number(original, box.at + _FULL, 4)):
        if at >= box.end:
            return
        item, count = number(original, at, item_bytes), number(original, at + item_bytes, 1)
        first = at + item_bytes + 1
        at = first + count * index_bytes
        yield item, first, at, index_bytes


def _associations(original: Original, box: Box) -> list[tuple[int, int]]:
    """Return pairs of an item and the index of a property."""
    found: list[tuple[int, int]] = []
    for item, first, after, index_bytes in association_entries(original, box):
        if len(found) > _MOST_ENTRIES:
            break
        essential = 1 << 8 * index_bytes - 1
        found += [(item, number(original, at, index_bytes) & ~essential) for at in range(first, after, index_bytes)]
    return found


def _references(original: Original, box: Box) -> dict[tuple[bytes, int], list[int]]:
    size = 4 if number(original, box.at, 1) else 2
    references: dict[tuple[bytes, int], list[int]] = {}
    left = _MOST_ENTRIES
    for entry in boxes(original, box.at + _FULL, box.end):
        first = entry.at + size + 2
        count = number(original, entry.at + size, 2)
        left -= count
        if left < 0:
            raise damaged()
        targets = [number(original, at, size) for at in range(first, min(entry.end, first + count * size), size)]
        references.setdefault((entry.kind, number(original, entry.at, size)), []).extend(targets)
    return references


def _places(original: Original, box: Box, idat: Box) -> dict[int, list[tuple[int, int]]]:
    """Return offset and length of each extent of each item (ISO/IEC 14496-12, 8.11.3)."""
    version, sizes = number(original, box.at, 1), number(original, box.at + _FULL, 2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    if version == 0:
        index_bytes = 0
    item_bytes = 4 if version > 1 else 2
    at = box.at + _FULL + 2
    count, at = number(original, at, item_bytes), at + item_bytes
    places: dict[int, list[tuple[int, int]]] = {}
    left = _MOST_ENTRIES
    for _ in range(count):
        if at >= box.end:
            break
        item, at = number(original, at, item_bytes), at + item_bytes
        method = number(original, at, 2) & 15 if version else _IN_FILE
        at += (2 if version else 0) + 2
        base, at = number(original, at, base_bytes), at + base_bytes
        extents, at = number(original, at, 2), at + 2
        left -= 1 + extents
        if left < 0:
            raise damaged()
        base += idat.at if method == _IN_IDAT else 0
        end = idat.end if method == _IN_IDAT else len(original)
        for _ in range(extents):
            start = base + number(original, at + index_bytes, offset_bytes)
            length = number(original, at + index_bytes + offset_bytes, length_bytes)
            places.setdefault(item, []).append((start, length or end - start))  # no length: all that there is
            at += index_bytes + offset_bytes + length_bytes
    return places
