"""What tests of figures are given; see ``at_most`` and ``figure`` in conftest.py."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable

Figure = Callable[[str, object], None]
"""Prints a figure at the end of the run."""

AtMost = Callable[[str, float, float], None]
"""Prints a figure beside its bound, and holds it to that."""


async def median_of_pairs(measure: Callable[[bool], Awaitable[float]], pairs: int) -> float:
    """Return by how much more something measures when it is on, as the median of pairs."""
    found: dict[int, float] = {}
    for number in range(2 * pairs):
        on = number % 4 in (1, 2)  # off, on, on, off: what drifts is in both
        found[number] = await measure(on) * (1 if on else -1)
    return statistics.median(found[number] + found[number + 1] for number in range(0, len(found), 2))
