"""Whether the queue answers, as receives, heartbeats and acks find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from thumbq.ports import Clock

_HICCUP_S: Final = 10.0


class QueueHealth:
    """What receives, heartbeats and acks learn of the queue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_received_since: float | None = None
        self._failed = False
        self.failed_receives = 0
        """How many receives in a row were not answered."""
        self.recovered = anyio.Event()
        """Set, and replaced by a new one, when a heartbeat or an ack is answered after others were not."""

    def received(self) -> None:
        """Note that a receive was answered."""
        self._not_received_since = None
        self.failed_receives = 0

    def receive_failed(self, asked_at: float) -> None:
        """Note that a receive was not answered that was asked for at this time."""
        self.failed_receives += 1
        if self._not_received_since is None:
            self._not_received_since = asked_at

    def answered(self) -> None:
        """Note that a heartbeat or an ack was answered."""
        if self._failed:
            self._failed = False
            self.recovered.set()
            self.recovered = anyio.Event()

    def failed(self) -> None:
        """Note that a heartbeat or an ack was not answered."""
        self._failed = True

    def not_receiving(self) -> str | None:
        """Say so when receives have failed for longer than a hiccup of the queue takes."""
        failing_s = self.failing_s()
        return f"the queue has not answered for {failing_s:.0f} s" if failing_s > _HICCUP_S else None

    def away_since(self) -> float | None:
        """Return since when receives have failed, in POSIX seconds, if it is longer than a hiccup."""
        failing_s = self.failing_s()
        return self._clock.wall() - failing_s if failing_s > _HICCUP_S else None

    def failing_s(self) -> float:
        """Return for how many seconds receives have failed; 0 while they are answered."""
        return 0.0 if self._not_received_since is None else self._clock.monotonic() - self._not_received_since
