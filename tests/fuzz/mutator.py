"""Hostile files: seeds that are changed at random, the same for the same numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

from fuzz import fileparts
from fuzz.bytechanges import with_changed_bytes
from fuzz.large import large
from fuzz.seeds import Seed, seeds
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fuzz.fileparts import Part

FORMATS: Final = tuple(ImageFormat)
_MOST_BYTES: Final = 1 << 20
_UNCHANGED: Final = 0.01
_LARGE_EVERY: Final = 128
_LARGE_CHANGED: Final = 0.3
_STRUCTURED: Final = 0.7
_MENDED: Final = 0.7
_MOST_CHANGES: Final = 8


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a run: with ``seed`` and ``index`` it can be made again."""

    seed: int
    index: int
    source: Seed
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.seed}:{self.index}"


def mutated(seed: int, index: int) -> Input:
    """Make one input. The formats take turns, so that a run of one format has the same inputs as one of all.

    One of 128 is large, and mostly valid: it shows what the valid ones cost at most.
    """
    rng = Random(f"{seed}:{index}")
    family = seeds()[FORMATS[index % len(FORMATS)]]
    is_large = index // len(FORMATS) % _LARGE_EVERY == _LARGE_EVERY - 1
    source = large(rng, FORMATS[index % len(FORMATS)]) if is_large else rng.choice(family)
    if rng.random() < (1 - _LARGE_CHANGED if is_large else _UNCHANGED):
        return Input(seed, index, source, source.data)
    changes = 1 + min(int(rng.expovariate(0.6)), _MOST_CHANGES)
    if rng.random() < _STRUCTURED:
        data = _with_changed_parts(rng, source, changes)
    else:
        data = _with_changed_bytes(rng, source, changes)
    return Input(seed, index, source, data[: max(_MOST_BYTES, len(source.data))])


def _with_changed_bytes(rng: Random, source: Seed, changes: int) -> bytes:
    """Change bytes anywhere. Most are mended then: check sums and lengths fit again where the file still parses."""
    data = source.data
    if rng.random() < 0.1:
        other = rng.choice(seeds()[rng.choice((source.format, rng.choice(FORMATS)))])
        data = data[: rng.randrange(len(data))] + other.data[rng.randrange(len(other.data)) :]
    for _ in range(changes):
        data = with_changed_bytes(rng, data)
    if rng.random() < _MENDED:
        parts = fileparts.parts_of(source.format, data)
        for part in fileparts.every(parts):
            part.spoilt = False
        data = fileparts.whole(source.format, parts)
    return data


def _with_changed_parts(rng: Random, source: Seed, changes: int) -> bytes:
    parts = fileparts.parts_of(source.format, source.data)
    data_at = fileparts.data_position(parts)
    relatives = seeds()[source.format]
    for _ in range(changes):
        siblings = _siblings(rng, parts)
        change = rng.choices(_CHANGES, _WEIGHTS)[0]
        change(rng, siblings, rng.randrange(len(siblings)), relatives)
    if data_at is not None and rng.random() < _MENDED:
        fileparts.follow_data(parts, data_at)
    data = fileparts.whole(source.format, parts)
    return with_changed_bytes(rng, data) if rng.random() < 0.05 else data


def _siblings(rng: Random, parts: list[Part]) -> list[Part]:
    """Choose one of the lists of parts, those with more parts more often."""
    lists = [parts, *(part.inner for part in fileparts.every(parts) if part.inner)]
    return rng.choices(lists, [len(each) for each in lists])[0] if parts else [fileparts.Part(b"", b"", framed=False)]


def _poke(rng: Random, parts: list[Part], at: int, _: Sequence[Seed]) -> None:
    parts[at].body = with_changed_bytes(rng, parts[at].body)


def _drop(_: Random, parts: list[Part], at: int, __: Sequence[Seed]) -> None:
    if len(parts) > 1:
        del parts[at]


def _repeat(rng: Random, parts: list[Part], at: int, _: Sequence[Seed]) -> None:
    times = rng.choice((1, 1, 1, 2, 3, rng.randint(10, 300)))
    parts[at:at] = [_copied(parts[at]) for _ in range(min(times, _MOST_BYTES // 4 // (1 + len(parts[at].body))))]


def _move(rng: Random, parts: list[Part], at: int, _: Sequence[Seed]) -> None:
    parts.insert(rng.randrange(len(parts)), parts.pop(at))


def _rename(rng: Random, parts: list[Part], at: int, relatives: Sequence[Seed]) -> None:
    """Give a part the name of another: another marker, chunk type, box type."""
    part, other = parts[at], _relative(rng, relatives)
    part.kind = (
        other.kind if part.framed and other.framed and rng.random() < 0.8 else with_changed_bytes(rng, part.kind)[:4]
    )


def _transplant(rng: Random, parts: list[Part], at: int, relatives: Sequence[Seed]) -> None:
    """Take the same kind of part from another file: its header, its tables, its pixels."""
    donor = rng.choice(relatives)
    kin = [
        part for part in fileparts.every(fileparts.parts_of(donor.format, donor.data)) if part.kind == parts[at].kind
    ]
    if kin:
        parts[at] = rng.choice(kin)


def _graft(rng: Random, parts: list[Part], at: int, relatives: Sequence[Seed]) -> None:
    parts.insert(at, _relative(rng, relatives))


def _lie(rng: Random, parts: list[Part], at: int, _: Sequence[Seed]) -> None:
    parts[at].lie = rng.choice((-1, 1, -8, 8, rng.randint(-300, 300), 1 << rng.randrange(32)))


def _spoil(_: Random, parts: list[Part], at: int, __: Sequence[Seed]) -> None:
    parts[at].spoilt = True


def _relative(rng: Random, relatives: Sequence[Seed]) -> Part:
    donor = rng.choice(relatives)
    return rng.choice(list(fileparts.every(fileparts.parts_of(donor.format, donor.data))))


def _copied(part: Part) -> Part:
    inner = None if part.inner is None else [_copied(each) for each in part.inner]
    return replace(part, inner=inner)


_CHANGES: Final[tuple[Callable[[Random, list[Part], int, Sequence[Seed]], None], ...]] = (
    _poke, _drop, _repeat, _move, _rename, _transplant, _graft, _lie, _spoil,
)  # fmt: skip
_WEIGHTS: Final = (14, 2, 2, 2, 2, 4, 2, 2, 1)
