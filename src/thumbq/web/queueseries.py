"""The series of a replica: what became of the messages of each queue in the last hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core.series import Series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.ports import Attempted


class QueueSeries:
    """An Observer. ``queues`` are the names in the settings; there are series of these and no others."""

    def __init__(self, queues: Iterable[str]) -> None:
        self._series = {name: Series() for name in queues}

    def attempted(self, attempt: Attempted) -> None:
        """Count an attempt; see Observer."""
        series = self._series.get(attempt.queue)
        if series is None:
            return
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

    def of(self, queue: str) -> Series:
        """Return the series of one of the queues."""
        return self._series[queue]
