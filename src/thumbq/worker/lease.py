"""Leases: our hold on received messages, as the heartbeat extends it.

A lease moves ``held → extending → held`` with each heartbeat and ends as ``lost``, or through ``closing``, in which the
disposition is the last call on its receipt, as ``closed``. Two calls on one receipt are never in flight together.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.ports import MAX_LEASE_S, EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.ports import Clock, ReceivedMessage

_CAP_MARGIN_S: Final = 3
_FIRST_BEAT: Final = 1.5


class LeaseState(Enum):
    """Where a lease is in its life."""

    HELD = "held"
    EXTENDING = "extending"
    LOST = "lost"
    CLOSING = "closing"
    CLOSED = "closed"


class Lease:
    """One receipt and what we know of our hold on it. All times are on the clock's monotonic scale.

    The receive was answered at ``received_at``. A heartbeat is due every ``beat_interval_s``, the first one
    after one and a half, if that is not past half of ``timeout_s``. It asks for ``timeout_s``, less a margin.
    """

    def __init__(
        self, message: ReceivedMessage, *, received_at: float, timeout_s: int, beat_interval_s: float, clock: Clock
    ) -> None:
        self.message = message
        self.state = LeaseState.HELD
        self.lost_because: str | None = None
        self._clock = clock
        self._received_at = received_at
        self._timeout_s = timeout_s
        self._margin_s = min(2.0, timeout_s / 10)
        self._interval_s = beat_interval_s
        self.deadline = received_at + timeout_s - self._margin_s
        # Most have ended by then. A beat that fails leaves time for another one, as later on.
        self.next_beat = received_at + max(beat_interval_s, min(_FIRST_BEAT * beat_interval_s, timeout_s / 2))
        self._beat_ended = anyio.Event()
        self._scope: anyio.CancelScope | None = None

    @contextmanager
    def cancelling(self) -> Iterator[anyio.CancelScope]:
        """Run code that the loss of the lease cancels."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            if self.state is LeaseState.LOST:
                scope.cancel()
            yield scope

    def holds(self) -> bool:
        """Whether the message is still ours, also when the heartbeat has not come round to see that it is not."""
        if self.is_open() and self.deadline <= self._clock.monotonic():
            self._lose("its deadline passed")
        return self.state is not LeaseState.LOST

    def is_open(self) -> bool:
        """Whether the heartbeat has to see to it."""
        return self.state in {LeaseState.HELD, LeaseState.EXTENDING}

    async def close(self) -> bool:
        """Stop the heartbeats, so that the caller's next call is the last one on the receipt; False when it is lost."""
        while self.holds() and self.state is LeaseState.EXTENDING:
            await self._beat_ended.wait()
        if not self.holds():
            return False
        self.state = LeaseState.CLOSING
        return True

    def closed(self) -> None:
        """Note that the last call was made, or given up."""
        self.state = LeaseState.CLOSED

    def begin_beat(self, sent_at: float) -> VisibilityChange:
        """Return the heartbeat to send now."""
        self.state = LeaseState.EXTENDING
        self._beat_ended = anyio.Event()
        return VisibilityChange(self.message.receipt, max(1, min(self._timeout_s, self.longest_s(sent_at))))

    def longest_s(self, now: float) -> int:
        """Return for how long the message can be hidden from now on, counting what its lease has lasted already."""
        return MAX_LEASE_S - math.ceil(now - self._received_at) - _CAP_MARGIN_S

    def end_beat(self, result: EntryResult, *, sent_at: float, timeout_s: int) -> None:
        """Take note of what the queue said to a heartbeat that was sent at ``sent_at`` and asked for ``timeout_s``."""
        if self.state is LeaseState.EXTENDING:
            self.state = LeaseState.HELD
            if result is EntryResult.OK:
                self.deadline = max(self.deadline, sent_at + timeout_s - self._margin_s)
                self.next_beat = sent_at + self._interval_s if timeout_s == self._timeout_s else math.inf
            elif result is EntryResult.RETRY:
                self.next_beat = self._clock.monotonic() + min(1.0, self._interval_s / 4)
            elif result is EntryResult.CAPPED:
                self.next_beat = math.inf
            else:
                self._lose("the queue says so")
        self._beat_ended.set()

    def _lose(self, reason: str) -> None:
        self.state = LeaseState.LOST
        self.lost_because = reason
        self._beat_ended.set()
        if self._scope is not None:
            self._scope.cancel()
