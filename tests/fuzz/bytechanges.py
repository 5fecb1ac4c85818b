"""Changes of bytes without regard to the format."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_BYTES: Final = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_EXTREMES: Final = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xFFDC, 0xFFFE, 0xFFFF, 0x10000, 0xFFFFFF,
    0x1000000, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFE, 0xFFFFFFFF,
)  # fmt: skip
"""Where lengths, sides and their products overflow or have their limits."""

_LONGEST_INSERT: Final = 400


def with_changed_bytes(rng: Random, data: bytes) -> bytes:
    """Change some bytes in one way."""
    return rng.choices(_CHANGES, _WEIGHTS)[0](rng, data) if data else bytes([rng.choice(_BYTES)])


def _flip(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(1 << rng.randrange(5)):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(data))] = rng.choice((*_BYTES, rng.randrange(256)))
    return bytes(changed)


def _number(rng: Random, data: bytes) -> bytes:
    """Write a 16, 24 or 32-bit number: an extreme one, or a little or much more than was there."""
    size, order = rng.choice((2, 2, 3, 4, 4)), rng.choice(("big", "little"))
    at = rng.randrange(max(1, len(data) - size + 1))
    if rng.random() < 0.4:
        at -= at % 2
    was = int.from_bytes(data[at : at + size], "big" if order == "big" else "little")
    value = rng.choice((rng.choice(_EXTREMES), was + rng.randint(-4, 4), was << rng.randint(1, 8), rng.getrandbits(14)))
    value &= (1 << 8 * size) - 1
    return _replaced(data, at, value.to_bytes(size, "big" if order == "big" else "little"))


def _fill(rng: Random, data: bytes) -> bytes:
    start, end = _stretch(rng, data)
    return data[:start] + bytes([rng.choice(_BYTES)]) * (end - start) + data[end:]


def _noise(rng: Random, data: bytes) -> bytes:
    start, end = _stretch(rng, data)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _insert(rng: Random, data: bytes) -> bytes:
    at, size = rng.randrange(len(data) + 1), rng.randint(1, _LONGEST_INSERT)
    new = rng.choice((rng.randbytes(size), bytes([rng.choice(_BYTES)]) * size, data[at : at + size]))
    return data[:at] + new + data[at:]


def _cut(rng: Random, data: bytes) -> bytes:
    start, end = _stretch(rng, data)
    return data[:start] + data[end:]


def _end(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _copy(rng: Random, data: bytes) -> bytes:
    start, end = _stretch(rng, data)
    return _replaced(data, rng.randrange(len(data)), data[start:end])


def _deflated(rng: Random, data: bytes) -> bytes:
    """Change what is inside of a deflate stream, so that the stream itself is whole."""
    try:
        inside = zlib.decompress(data)
    except zlib.error:
        return _flip(rng, data)
    return zlib.compress(with_changed_bytes(rng, inside), 1)


def _stretch(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + (1 << rng.randrange(11)))


def _replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new[: len(data) - at] + data[at + len(new) :]


_CHANGES: Final[tuple[Callable[[Random, bytes], bytes], ...]] = (
    _flip, _set, _number, _fill, _noise, _insert, _cut, _end, _copy, _deflated,
)  # fmt: skip
_WEIGHTS: Final = (4, 4, 8, 1, 1, 1, 1, 1, 1, 1)
