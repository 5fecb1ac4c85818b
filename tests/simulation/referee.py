"""What must never happen, checked at every request that a replica makes, and the trace of what did happen.

The referee keeps its own account of each lease, by the rules: a receive's deadline is its answer's arrival and the
time-out, less a margin; a beat's counts from before it was sent. It does not look into the code under test.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from thumbq.ports import MAX_LEASE_S, EntryResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simulation.replica import Replica
    from simulation.virtualloop import VirtualLoop
    from thumbq.ports import ReceivedMessage

KILL_WITHIN_S: Final = 1.0
"""How soon after its lease's end a render has to be dead."""

TRY_AGAIN_WITHIN_S: Final = 12.5

_CAP_ZONE_S: Final = 10
_OF_THE_JOB: Final = ("get", "head", "fetch", "render", "put manifests", "put thumbnail")
"""What a job asks for while it holds its slot; crash records and burials may come after that."""

_OF_THE_OUTCOME: Final = ("get manifests", "get tombstones", "put manifests", "put failed-messages", "bury")


class Violation(AssertionError):
    """A rule was broken. Not caught by the code under test: the loop raises it."""


@dataclass(eq=False, slots=True)
class Hold:
    """One receive of one message by one replica.

    ``received_at``, ``deadline`` and ``failed_at`` are the replica's monotonic times, the others the world's.
    """

    replica: Replica
    message: ReceivedMessage
    timeout_s: int
    received_at: float
    deadline: float
    arrived_at: float
    calling: str | None = None
    ended_by: str | None = None
    settled: bool = False
    lost: bool = False
    last_request_at: float | None = None
    busy_until: float = 0.0
    failed_at: float | None = None
    """When the disposition was answered with a failure that is to be tried again."""
    unrecorded: bool = False
    """A request that the record of the outcome hangs on has failed."""
    rendering: bool = False

    def __str__(self) -> str:
        return f"{self.message.receipt} (receive {self.message.receive_count}, at {self.replica.name})"


@dataclass(slots=True)
class Referee:
    """Watches one run. The first violation ends it."""

    loop: VirtualLoop
    keep_trace: bool = False
    max_receive_count: int | None = None
    may_go: Callable[[Hold], bool] = lambda _: False
    """Whether nobody wants a message's job any more: then its dead letter goes, too."""
    closed: bool = False
    """Nothing counts any more: the run is over, and its tasks are thrown away."""
    trace: list[str] = field(default_factory=list)
    holds: dict[tuple[str, str], Hold] = field(default_factory=dict)
    attempts: dict[tuple[str, str, int], Hold] = field(default_factory=dict)
    cuts: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By message: what cut its attempts short, beyond thumbq's power."""
    _hash: Any = field(default_factory=hashlib.sha256)

    def record(self, who: str, what: str) -> None:
        """Add an event to the trace."""
        if self.closed:
            return
        line = f"{self.loop.now:11.4f}  {who:<9} {what}"
        self._hash.update(line.encode())
        if self.keep_trace:
            self.trace.append(line)

    def comment(self, text: str) -> None:
        """Add to the trace what is no event of the run: a line that the code under test has logged."""
        if not self.closed:
            self.trace.append(f"{self.loop.now:11.4f}            · {text}")

    def digest(self) -> str:
        """Return what is the same for the same run."""
        return str(self._hash.hexdigest()[:16])

    def violated(self, text: str) -> None:
        """End the run."""
        if self.closed or self.loop.failure is not None:
            return
        self.record("REFEREE", f"VIOLATION: {text}")
        self.loop.failure = Violation(text)

    def received(self, replica: Replica, message: ReceivedMessage, timeout_s: int) -> None:
        """Note that a receive's answer has arrived."""
        now = replica.clock.monotonic()
        deadline = now + timeout_s - min(2.0, timeout_s / 10)
        hold = Hold(replica, message, timeout_s, now, deadline, self.loop.now)
        if self.max_receive_count is not None and message.receive_count > self.max_receive_count:
            self.violated(f"received more often than the redrive policy allows: {hold}")
        self.holds[replica.name, message.receipt] = hold
        self.attempts[replica.name, message.id, message.receive_count] = hold

    def call(self, replica: Replica, receipts: Sequence[str], what: str) -> list[Hold]:
        """Check a request on receipts that starts."""
        holds = [self.holds[replica.name, receipt] for receipt in receipts]
        for hold in holds:
            if hold.calling:
                self.violated(f"two calls on one receipt at once: {what} during {hold.calling} on {hold}")
            hold.calling, hold.failed_at = what, None
            self._check_lease(hold, what)
        return holds

    def answered(self, holds: Sequence[Hold], results: Sequence[EntryResult] | None) -> None:
        """Note how a request on receipts has ended; None when nothing is known of it."""
        for position, hold in enumerate(holds):
            hold.calling = None
            if hold.ended_by and (results is None or results[position] is EntryResult.RETRY):
                hold.failed_at = hold.replica.clock.monotonic()
            if results is not None and results[position] is EntryResult.LOST:
                hold.lost = True
            if results is not None and hold.ended_by and results[position] is not EntryResult.RETRY:
                hold.settled = True

    def check_stop(self, replica: Replica) -> None:
        """Check, where nothing went wrong, that a replica which has stopped leaves no message to its time-out."""
        for hold in self.attempts.values():
            if hold.replica is replica and not hold.settled and not hold.lost:
                self.violated(f"left behind by a stop: {hold}")

    def changing(self, hold: Hold, timeout_s: int) -> None:
        """Check a change of visibility: a beat, or the release that ends the hold."""
        elapsed = hold.replica.clock.monotonic() - hold.received_at
        if elapsed + timeout_s > MAX_LEASE_S:
            self.violated(f"a time-out past the 12 hours of a receive: {timeout_s} s for {hold}")
        release = f"release({timeout_s})"
        if timeout_s == hold.timeout_s or elapsed > MAX_LEASE_S - hold.timeout_s - _CAP_ZONE_S:
            if hold.ended_by and hold.ended_by != release:
                self.violated(f"a beat after {hold.ended_by} on {hold}")
        else:
            self.ending(hold, release)

    def ending(self, hold: Hold, how: str) -> None:
        """Check a disposition; it may be tried again, but not turn into another one."""
        if hold.ended_by not in {None, how}:
            self.violated(f"{how} after {hold.ended_by} on {hold}")
        if hold.settled:
            self.violated(f"{how} once more on {hold}, though it was answered")
        last = self.max_receive_count is not None and hold.message.receive_count >= self.max_receive_count
        excused = hold.unrecorded or hold.replica.stopping or self.may_go(hold)
        if last and how != "delete" and not excused:
            self.violated(f"the last receive was given back, so that the queue moves it without a word: {hold}")
        hold.ended_by = how

    def killed(self, replica: Replica) -> None:
        """Note what the death of a replica has cut short."""
        for hold in self.attempts.values():
            if hold.replica is replica and hold.ended_by is None:
                hold.busy_until = self.loop.now
                if hold.rendering:
                    self.cuts[hold.message.id].append("replica-killed")

    def check_debts(self, replica: Replica) -> None:
        """Check, when a replica ends, that each disposition that had failed was tried again while its lease lasted."""
        until = replica.aborted_at or replica.clock.monotonic()
        for hold in self.attempts.values():
            if hold.replica is not replica or hold.failed_at is None or replica.thawed_at > hold.failed_at:
                continue
            if hold.failed_at + TRY_AGAIN_WITHIN_S < min(hold.deadline, until):
                self.violated(f"not tried again: {hold.ended_by} of {hold}")

    def beaten(self, hold: Hold, sent_at: float, timeout_s: int) -> None:
        """Note a beat that was answered with OK."""
        hold.deadline = max(hold.deadline, sent_at + timeout_s - min(2.0, hold.timeout_s / 10))

    def about(self, replica: Replica) -> Hold | None:
        """Return whose request this is, from what the worker binds to its log lines."""
        bound = structlog.contextvars.get_contextvars()
        return self.attempts.get((replica.name, bound.get("message_id", ""), bound.get("receive_count", 0)))

    def request(self, replica: Replica, what: str) -> Hold | None:
        """Check a request that starts, if it belongs to a message's job."""
        hold = self.about(replica)
        if hold is not None:
            self._check_lease(hold, what)
            if hold.ended_by:
                self.violated(f"{what} after {hold.ended_by} on {hold}")
            if what.startswith("put thumbnail"):
                hold.rendering = False
            if what.startswith(_OF_THE_JOB):
                hold.last_request_at = self.loop.now
        return hold

    def _check_lease(self, hold: Hold, what: str) -> None:
        late_s = hold.replica.clock.monotonic() - hold.deadline
        if hold.lost:
            self.violated(f"{what} on a lost lease: {hold}")
        elif late_s >= 0:
            self.violated(f"{what} on a lease that ended {late_s:.3f} s ago: {hold}")

    @contextmanager
    def render_starting(self, replica: Replica) -> Iterator[None]:
        """Note that a job has got a child: from now on a death of the replica may be the render's."""
        hold = self.about(replica)
        if hold is not None:
            hold.rendering = True
        try:
            yield
        except BaseException:
            if hold is not None:
                self.note_loss(hold)
            raise

    def failed(self, replica: Replica, what: str) -> None:
        """Note that a request of a job has failed or was cut off."""
        if (hold := self.about(replica)) is not None and what.startswith(_OF_THE_OUTCOME):
            hold.unrecorded = True

    def note_loss(self, hold: Hold) -> None:
        """Count it when an attempt's lease has ended before its render has."""
        if hold.lost or hold.replica.clock.monotonic() >= hold.deadline:
            self.cuts[hold.message.id].append("lease-lost")

    def render_started(self, replica: Replica, *, quarantined: bool) -> Hold | None:
        """Check a render that starts."""
        hold = self.request(replica, "render")
        if hold is not None:
            hold.rendering = True
        # Two receives of one message may differ in what they know of it.
        others = [one for one in replica.quarantined if hold is None or one.message.id != hold.message.id]
        if quarantined and others:
            self.violated(f"two quarantined jobs at once: {hold} beside {others[0]}")
        return hold

    def render_ended(self, hold: Hold | None, how: str) -> None:
        """Check a render that has ended or was killed."""
        if hold is None:
            return
        hold.last_request_at = hold.busy_until = self.loop.now
        self.note_loss(hold)
        clock = hold.replica.clock
        late_s = clock.monotonic() - max(hold.deadline, hold.replica.thawed_at)
        if late_s > KILL_WITHIN_S:
            self.violated(f"a render that {how} {late_s:.1f} s after the lease's end: {hold}")

    def check_slots(self, slots: int) -> None:
        """Check that no replica had more jobs in flight than slots, from each receive to its job's last request."""
        jobs: defaultdict[str, list[tuple[float, int, Hold]]] = defaultdict(list)
        for hold in self.attempts.values():
            start, end = hold.arrived_at, hold.last_request_at
            if end is not None and end > start:
                jobs[hold.replica.name] += [(start, 1, hold), (end, -1, hold)]
        for name, marks in jobs.items():
            running: list[Hold] = []
            for _, step, hold in sorted(marks, key=lambda mark: mark[:2]):
                (running.append if step > 0 else running.remove)(hold)
                if len(running) > slots:
                    self.violated(
                        f"{len(running)} jobs at {name}, which has {slots} slots: {', '.join(map(str, running))}"
                    )
