"""Leases and acks over a queue that does as it is told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio
import pytest

from support.doubles.clocks import HandClock
from support.doubles.observing import Observed
from support.patience import until, within
from thumbq.errors import BackendUnavailable
from thumbq.ports import MAX_LEASE_S, EntryResult, ReceivedMessage
from thumbq.ports.observing import BeatsFailed, observed_by
from thumbq.worker.acks import Acks
from thumbq.worker.heartbeat import Heartbeat
from thumbq.worker.lease import Lease, LeaseState
from thumbq.worker.queuehealth import QueueHealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.ports import VisibilityChange


class ToldQueue:
    """Answers each batch with what ``answers`` says, OK without a word, and remembers what was asked.

    None is no answer at all.
    """

    def __init__(self, *answers: Sequence[EntryResult] | Exception | None) -> None:
        self._answers = list(answers)
        self.extended: list[list[VisibilityChange]] = []
        self.deleted: list[list[str]] = []

    async def _answer(self, size: int) -> Sequence[EntryResult]:
        answer = self._answers.pop(0) if self._answers else [EntryResult.OK] * size
        if answer is None:
            await anyio.sleep_forever()
            raise AssertionError
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        self.extended.append(list(changes))
        return await self._answer(len(changes))

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        self.deleted.append(list(receipts))
        return await self._answer(len(receipts))


def message(name: str) -> ReceivedMessage:
    return ReceivedMessage(id=name, receipt=f"receipt-{name}", body="x", receive_count=1, sent_at=0.0)


def heartbeat_of(queue: ToldQueue, clock: HandClock) -> Heartbeat:
    return Heartbeat(queue, clock=clock, health=QueueHealth(clock), interval_s=10, name="q")  # type: ignore[arg-type]


def acks_of(queue: ToldQueue, clock: HandClock) -> Acks:
    return Acks(queue=queue, clock=clock, health=QueueHealth(clock), random=random.Random(1))  # type: ignore[arg-type]


def held(heartbeat: Heartbeat, clock: HandClock, name: str) -> Lease:
    lease = Lease(message(name), received_at=clock.now, timeout_s=30, beat_interval_s=10, clock=clock)
    heartbeat.add(lease)
    return lease


def lost(*leases: Lease) -> list[str]:
    return [lease.message.id for lease in leases if lease.state is LeaseState.LOST]


async def test_due_leases_are_extended_in_one_batch_and_before_their_deadline() -> None:
    clock, queue = HandClock(), ToldQueue()
    heartbeat = heartbeat_of(queue, clock)
    leases = [held(heartbeat, clock, str(number)) for number in range(12)]
    clock.now += 16
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heartbeat.run)
        await until(lambda: len(queue.extended) == 2, within_s=2, what="the beats")
        tasks.cancel_scope.cancel()
    assert sorted(len(batch) for batch in queue.extended) == [2, 10]
    assert all(lease.deadline == clock.now + 30 - 2 for lease in leases)
    assert lost(*leases) == []


@pytest.mark.parametrize("answer", [[EntryResult.RETRY], BackendUnavailable("throttled"), [EntryResult.CAPPED]])
async def test_a_beat_that_fails_is_no_loss_until_the_deadline(answer: Sequence[EntryResult] | Exception) -> None:
    clock, queue = HandClock(), ToldQueue(answer)
    heartbeat = heartbeat_of(queue, clock)
    lease = held(heartbeat, clock, "a")
    deadline = lease.deadline
    clock.now += 16
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heartbeat.run)
        await until(lambda: queue.extended, within_s=2, what="the beat")
        await until(lambda: lease.state is LeaseState.HELD, within_s=2, what="the end of the beat")
        assert (lost(lease), lease.deadline) == ([], deadline)
        clock.now = deadline
        assert not lease.holds()
        tasks.cancel_scope.cancel()
    assert lost(lease) == ["a"]


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        ([EntryResult.OK, EntryResult.CAPPED], []),
        ([EntryResult.OK, EntryResult.RETRY], [1]),
        ([EntryResult.LOST, EntryResult.RETRY], [2]),
        (BackendUnavailable("throttled"), [2]),
        (None, [2]),
    ],
)
async def test_each_lease_that_a_beat_does_not_extend_is_told(
    answer: Sequence[EntryResult] | Exception | None, failed: list[int]
) -> None:
    clock, queue, observed = HandClock(), ToldQueue(answer), Observed()
    heartbeat = heartbeat_of(queue, clock)
    leases = [held(heartbeat, clock, name) for name in "ab"]
    clock.now += 16
    with observed_by([observed]):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heartbeat.run)
            await until(lambda: queue.extended, within_s=2, what="the beat")
            await until(
                lambda: all(one.state is not LeaseState.EXTENDING for one in leases), within_s=60, what="its end"
            )
            tasks.cancel_scope.cancel()
    assert observed.happened == [BeatsFailed("q", number) for number in failed]


async def test_a_beat_that_says_lost_ends_the_lease_and_nobody_elses() -> None:
    clock, queue = HandClock(), ToldQueue([EntryResult.LOST, EntryResult.OK])
    heartbeat = heartbeat_of(queue, clock)
    leases = {name: held(heartbeat, clock, name) for name in ("a", "b")}
    clock.now += 16
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heartbeat.run)
        await until(lambda: lost(*leases.values()), within_s=2, what="the loss")
        tasks.cancel_scope.cancel()
    gone = queue.extended[0][0].receipt.removeprefix("receipt-")
    assert lost(*leases.values()) == [gone]
    assert [name for name, lease in leases.items() if lease.state is LeaseState.HELD] == [
        name for name in leases if name != gone
    ]


async def test_no_value_past_the_12_hours_of_a_receive_is_ever_sent() -> None:
    clock, queue = HandClock(), ToldQueue()
    heartbeat = heartbeat_of(queue, clock)
    lease = held(heartbeat, clock, "a")
    clock.now += MAX_LEASE_S - 20
    lease.deadline = clock.now + 15
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heartbeat.run)
        await until(lambda: queue.extended, within_s=2, what="the beat")
        tasks.cancel_scope.cancel()
    [[change]] = queue.extended
    assert 0 < change.timeout_s < 20


async def test_after_the_deadline_nothing_is_sent_on_a_receipt() -> None:
    clock, queue = HandClock(), ToldQueue()
    heartbeat, acks = heartbeat_of(queue, clock), acks_of(queue, clock)
    late, closing = (held(heartbeat, clock, name) for name in ("late", "closing"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(acks.run)
        assert await closing.close()
        clock.now += 3600
        assert not await late.close()
        assert not await acks.delete(closing)
        assert not await acks.release(closing, 0)
        tasks.cancel_scope.cancel()
    assert (queue.deleted, queue.extended, lost(late, closing)) == ([], [], ["late"])


async def test_the_disposition_waits_for_the_beat_under_way_and_none_follows_it() -> None:
    clock = HandClock()
    go_on = anyio.Event()

    class Slow(ToldQueue):
        async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
            self.extended.append(list(changes))
            await go_on.wait()
            return [EntryResult.OK] * len(changes)

    queue = Slow()
    heartbeat = heartbeat_of(queue, clock)
    lease = held(heartbeat, clock, "a")
    clock.now += 16
    order: list[str] = []

    async def close() -> None:
        assert await lease.close()
        order.append("closed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heartbeat.run)
        await until(lambda: queue.extended, within_s=2, what="the beat")
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        order.append("beat ends")
        go_on.set()
        await until(lambda: lease.state is LeaseState.CLOSING, within_s=2, what="closing")
        clock.now += 15
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert order == ["beat ends", "closed"]
    assert len(queue.extended) == 1


async def test_a_bug_in_a_beat_ends_the_keeper_and_leaves_nobody_waiting() -> None:
    clock, queue = HandClock(), ToldQueue(TypeError("bug"))
    heartbeat = heartbeat_of(queue, clock)
    lease = held(heartbeat, clock, "a")
    clock.now += 16
    with pytest.raises(ExceptionGroup):
        await heartbeat.run()
    with within(1):
        assert await lease.close()


async def test_deletes_are_gathered_and_each_failed_entry_is_tried_again() -> None:
    first = [EntryResult.OK, EntryResult.RETRY, EntryResult.OK]
    clock, queue = HandClock(), ToldQueue(first)
    heartbeat, acks = heartbeat_of(queue, clock), acks_of(queue, clock)
    leases = [held(heartbeat, clock, name) for name in "abc"]
    results: list[bool] = []

    async def delete(lease: Lease) -> None:
        assert await lease.close()
        results.append(await acks.delete(lease))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(acks.run)
        async with anyio.create_task_group() as deletes:
            for lease in leases:
                deletes.start_soon(delete, lease)
        tasks.cancel_scope.cancel()
    assert results == [True] * 3
    assert [len(batch) for batch in queue.deleted] == [3, 1]
    assert queue.deleted[1] == [queue.deleted[0][1]]


async def test_the_loss_of_a_lease_cancels_what_runs_under_it() -> None:
    clock, queue = HandClock(), ToldQueue()
    lease = held(heartbeat_of(queue, clock), clock, "a")
    with lease.cancelling() as running:
        clock.now = lease.deadline
        assert not lease.holds()
        await anyio.sleep_forever()
    assert running.cancelled_caught
    with lease.cancelling() as later:
        await anyio.sleep_forever()
    assert later.cancelled_caught
