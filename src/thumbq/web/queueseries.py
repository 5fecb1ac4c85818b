"""The series of a replica: what became of the messages of each queue in the last hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core.series import Series
from thumbq.ports.observing import Attempted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.ports.observing import Happened


class QueueSeries:
    """An Observer. ``queues`` are the names in the settings; there are series of these and no others."""

    def __init__(self, queues: Iterable[str]) -> None:
        self._series = {name: Series() for name in queues}

    def observe(self, happened: Happened) -> None:
        """Count an attempt; see Observer."""
        if isinstance(happened, Attempted) and (series := self._series.get(happened.queue)) is not None:
            _count(series, happened)

    def of(self, queue: str) -> Series:
        """Return the series of one of the queues."""
        return self._series[queue]


def _count(series: Series, attempt: Attempted) -> None:
    slot = series.slot(attempt.ended_at)
    slot.saw(attempt.sent_at)
    if attempt.ending == "done":
        slot.done += 1
    elif attempt.ending == "failed":
        slot.failed += 1
    elif attempt.ending == "retried":
        slot.retried += 1
    if attempt.wait_s is not None:
        slot.wait.add(attempt.wait_s)
    if attempt.work_s is not None:
        slot.work.add(attempt.work_s)
