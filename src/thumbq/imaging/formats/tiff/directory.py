"""The first directory of a TIFF (TIFF 6.0, section 2) or BigTIFF, read and written anew."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from thumbq.errors import RenderRefused
from thumbq.imaging.formats.tiff import tags
from thumbq.imaging.splicedfile import spliced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.imaging import Original

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type."""

_CODES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SHORT, _LONG = 3, 4
_LARGEST_SHORT: Final = 0xFFFF
_BIG_KINDS: Final = frozenset({16, 18})
"""64 bits: of BigTIFF only."""

_MOST_PARTS: Final = 100_000
_MOST_TAGS: Final = 2_000
_CLASSIC, _BIG = 42, 43

_Entry = tuple[int, int, bytes]
"""Type, number of values, and the values."""


class _Form(NamedTuple):
    """How a directory is written: an offset, the first one's place, the number of entries, an entry, what it holds."""

    offset: str
    first_at: int
    number: str
    entry: str
    inline: int


_FORMS: Final = {False: _Form("I", 4, "H", "HHI", 4), True: _Form("Q", 8, "Q", "HHQ", 8)}


@dataclass(frozen=True, slots=True)
class _Value:
    """A tag's type, its number of values, and where they are."""

    kind: int
    count: int
    at: int


class Directory:
    """The tags of the first page."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self.order = "<" if original[:2] == b"II" else ">"
        self.is_big = self._values("H", 2) == (_BIG,)
        form = _FORMS[self.is_big]
        (at,) = self._values(form.offset, form.first_at)
        (count,) = self._values(form.number, at)
        if count > _MOST_TAGS:
            raise damaged()
        self._tags: dict[int, _Value] = {}
        taken = 0
        head = struct.calcsize("<" + form.entry)
        first, step = at + struct.calcsize("<" + form.number), head + form.inline
        for entry in range(first, first + count * step, step):
            tag, kind, values = self._values(form.entry, entry)
            size = _SIZES.get(kind, 0) * values
            taken += size
            (place,) = (entry + head,) if size <= form.inline else self._values(form.offset, entry + head)
            self._tags.setdefault(tag, _Value(kind, values, place))
        if taken > len(original):
            raise damaged()

    def __contains__(self, tag: int) -> bool:
        return tag in self._tags

    def count(self, tag: int) -> int:
        """Return how many values a tag has, 0 if it is not there."""
        return self._tags[tag].count if tag in self._tags else 0

    def number(self, tag: int, default: int) -> int:
        """Return a tag's first value."""
        values = self.numbers(tag, 1)
        return values[0] if values else default

    def numbers(self, tag: int, most: int = _MOST_PARTS) -> tuple[int, ...]:
        """Return a tag's values, none if it is not there. Raises RenderRefused if they are no whole numbers."""
        value = self._tags.get(tag, _Value(1, 0, 0))
        if value.kind not in _CODES or value.count > _MOST_PARTS:
            raise damaged()
        return self._values(f"{min(value.count, most)}{_CODES[value.kind]}", value.at)

    def rewritten(self, changed: Mapping[int, Sequence[int]], *, whole: bool) -> IO[bytes]:
        """Return the file as a TIFF of its first page, with other values of some tags; no values: without the tag.

        The data stay where they are, and the new directory comes after them, with what a rendition can depend on.
        ``whole``: a decoder wants the file in one piece.
        """
        kept = {tag: self._verbatim(tag) for tag in tags.SHOWN if tag in self._tags and tag not in changed}
        new = {tag: self._long(numbers) for tag, numbers in changed.items() if numbers}
        data_end = len(self._original) + len(self._original) % 2
        tail = bytes(data_end - len(self._original)) + self._written(kept | new, data_end)
        head = self._original[:2] + struct.pack(self.order + "HI", _CLASSIC, data_end)
        if not whole:
            return spliced(self._original, [head, slice(len(head), len(self._original)), tail])
        with memoryview(self._original) as data:
            return io.BytesIO(b"".join([head, data[len(head) :], tail]))

    def _written(self, entries: Mapping[int, _Entry], at: int) -> bytes:
        values_at = at + 2 + 12 * len(entries) + 4
        table, values = b"", b""
        for tag, (kind, count, body) in sorted(entries.items()):
            inline = len(body) <= _FORMS[False].inline
            place = body.ljust(4, b"\0") if inline else struct.pack(self.order + "I", values_at + len(values))
            table += struct.pack(self.order + "HHI", tag, kind, count) + place
            values += b"" if inline else body + bytes(len(body) % 2)
        return struct.pack(self.order + "H", len(entries)) + table + bytes(4) + values

    def _verbatim(self, tag: int) -> _Entry:
        value = self._tags[tag]
        if value.kind in _BIG_KINDS:
            return self._long(self.numbers(tag))
        return value.kind, value.count, self._original[value.at : value.at + _SIZES.get(value.kind, 0) * value.count]

    def _long(self, numbers: Sequence[int]) -> _Entry:
        """Return an entry of numbers, in 16 bits where they fit: in some tags readers expect that."""
        kind = _LONG if max(numbers) > _LARGEST_SHORT else _SHORT
        try:
            return kind, len(numbers), struct.pack(f"{self.order}{len(numbers)}{_CODES[kind]}", *numbers)
        except struct.error:  # an offset that no file here has
            raise damaged() from None

    def _values(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self._original, at)
        except (struct.error, OverflowError):
            raise truncated() from None


def damaged() -> RenderRefused:
    """Return the refusal of a file with a directory that makes no sense."""
    return RenderRefused("corrupt", "the TIFF's directory is damaged")


def truncated() -> RenderRefused:
    """Return the refusal of a file that lacks a part."""
    return RenderRefused("truncated", "the TIFF ends in the middle of its data")
