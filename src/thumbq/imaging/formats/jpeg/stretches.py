"""The stretches of a JPEG's entropy-coded data, each up to the marker behind it (ITU-T T.81, B.1.1.5 and F.1.2.3)."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING, Final

from thumbq.errors import RenderRefused
from thumbq.imaging.formats.jpeg.segments import END_OF_IMAGE, truncated

if TYPE_CHECKING:
    from thumbq.imaging import Original

# In the data FF stands before a stuffed 00 only.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_MARKER_BUT_RESTARTS: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTARTS: Final = range(0xD0, 0xD8)

_FEW_STOPS: Final = 128
_UNITS_A_STOP: Final = 64
"""Looking whether a stretch has all of its data takes as long as decoding three units of 16 by 16 pixels."""


def stops(original: Original, at: int, units: int, interval: int) -> list[int]:
    """Return where stretches of a scan end, in their order: the offsets of the markers there, or of the file's end.

    The scan's data begins ``at`` an offset and codes so many ``units`` (MCUs), with a restart marker each ``interval``
    (0: none). The last stop is the end of the scan; of many restart markers only each second is one, and of very many
    none, as looking would cost more than a twentieth of the decoding.

    Raises RenderRefused where restart markers are missing or out of order.
    """
    restarts = ceil(units / interval) - 1 if interval else 0
    most = max(_FEW_STOPS, units // _UNITS_A_STOP)
    if restarts > 2 * most:
        found = _MARKER_BUT_RESTARTS.search(original, at)
        return [found.start() if found else len(original)]
    return _by_restarts(original, at, restarts, ceil(restarts / most))


def _by_restarts(original: Original, at: int, restarts: int, every: int) -> list[int]:
    found: list[int] = []
    number = 0
    for marker in _MARKER.finditer(original, at):
        if number == restarts:
            return [*found, marker.start()]
        kind = original[marker.start() + 1]
        if kind == END_OF_IMAGE:
            raise truncated()
        if kind != _RESTARTS[number % len(_RESTARTS)]:
            raise lacking()
        number += 1
        if number % every == 0:
            found.append(marker.start())
    if number < restarts:
        raise truncated()
    return [*found, len(original)]


def lacking() -> RenderRefused:
    """Return the refusal of a JPEG whose data break off, though the file goes on."""
    return RenderRefused("corrupt", "the JPEG lacks data in the middle of its picture")
