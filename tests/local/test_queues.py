"""Several queues in one directory: what they share, and what each has for itself."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest

from support.backends import open_local
from support.doubles.clocks import SetClock, SystemClock
from support.patience import within
from thumbq.core.job import ObjectRef
from thumbq.local import messagetable, open_local_queues, schema
from thumbq.local.messagetable import COUNTED
from thumbq.ports import QueueCounts, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.errors import Problem
    from thumbq.ports import Backend, JobQueue, ReceivedMessage


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def queues(directory: Path, clock: SetClock) -> AsyncIterator[tuple[Backend, ...]]:
    async with open_local_queues(
        directory, clock=clock, queues=("fast", "slow", "q.fifo"), max_receive_count=2
    ) as all_:
        yield all_


async def take(queue: JobQueue, *, timeout_s: int = 30, number: int = 10) -> list[ReceivedMessage]:
    return list(await queue.receive(max_messages=number, wait_s=0, visibility_timeout_s=timeout_s))


async def test_queues_do_not_see_each_other_s_messages(queues: tuple[Backend, ...]) -> None:
    for number, backend in enumerate(queues):
        await backend.queue.send(f"{number}", group="g")
    for number, backend in enumerate(queues):
        assert [message.body for message in await take(backend.queue)] == [f"{number}"]


async def test_counts_are_per_queue(queues: tuple[Backend, ...]) -> None:
    fast, slow, fifo = queues
    for _ in range(3):
        await fast.queue.send("a")
    await slow.queue.send("b")
    await take(fast.queue, number=1)
    assert slow.dead_letters is not None
    await slow.dead_letters.send("c", "{}")
    assert await fast.queue.counts() == QueueCounts(visible=2, in_flight=1, delayed=0, dead=0)
    assert await slow.queue.counts() == QueueCounts(visible=1, in_flight=0, delayed=0, dead=1)
    assert await fifo.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)


async def test_each_queue_has_its_own_dead_letters(queues: tuple[Backend, ...]) -> None:
    fast, slow, _ = queues
    assert fast.dead_letters is not None
    assert slow.dead_letters is not None
    await fast.queue.send("moved", group="tenant")
    for _ in range(2):
        await take(fast.queue, timeout_s=0)
    assert not await take(fast.queue)
    await slow.dead_letters.send("put", "{}")
    [moved] = await fast.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=9)
    assert (moved.body, moved.group, moved.moved) == ("moved", "tenant", True)
    await fast.dead_letters.purge()
    [put] = await slow.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=9)
    assert put.body == "put"


async def test_queues_share_the_objects(queues: tuple[Backend, ...]) -> None:
    fast, slow, _ = queues
    ref = ObjectRef(fast.bucket, "shared")
    await fast.store.put(ref, b"1", content_type="text/plain")
    assert (await slow.store.get(ref, max_bytes=9))[1] == b"1"


async def test_queues_are_found_by_their_names_in_whatever_order_they_are_opened(directory: Path) -> None:
    async with open_local_queues(directory, clock=SystemClock(), queues=("a", "b")) as (a, b):
        await a.queue.send("to a")
        await b.queue.send("to b")
        assert (await a.queue.attributes()).name != (await b.queue.attributes()).name
    async with open_local_queues(directory, clock=SystemClock(), queues=("b", "c", "a")) as (b, c, a):
        assert [message.body for message in await take(a.queue)] == ["to a"]
        assert [message.body for message in await take(b.queue)] == ["to b"]
        assert not await take(c.queue)


async def test_the_one_queue_without_a_name_is_none_of_those_with_names(directory: Path) -> None:
    async with open_local(directory, clock=SystemClock()) as one:
        await one.queue.send("a")
        async with open_local_queues(directory, clock=SystemClock(), queues=("local",)) as (named,):
            assert not await take(named.queue)
        assert len(await take(one.queue)) == 1


async def test_messages_of_queues_that_are_not_opened_are_reported_with_the_fix(directory: Path) -> None:
    given: list[Problem] = []
    async with open_local_queues(directory, clock=SystemClock(), queues=("", "old"), warn=given.append) as (
        one,
        old,
    ):
        await one.queue.send("a")
        for _ in range(2):
            await old.queue.send("b")
        await take(old.queue, number=1)
    async with open_local_queues(directory, clock=SystemClock(), queues=("", "old"), warn=given.append):
        assert not given
    async with open_local_queues(directory, clock=SystemClock(), queues=("new",), warn=given.append):
        unnamed, named = sorted(given, key=str, reverse=True)
    assert unnamed.what.startswith("the queue without a name")
    assert "without [[queues]]" in unnamed.fix
    assert named.what == f"queue old of {directory} has messages (2) and is not served"


async def test_a_group_waits_until_exactly_the_end_of_the_lease_before_it(
    queues: tuple[Backend, ...], clock: SetClock
) -> None:
    queue = queues[2].queue
    for body in "abc":
        await queue.send(body, group="g")
    first, second = await take(queue, number=2)
    await queue.extend([VisibilityChange(first.receipt, 0), VisibilityChange(second.receipt, 20)])
    clock.now += 19.99
    assert not await take(queue)
    clock.now += 0.01
    assert [message.body for message in await take(queue)] == ["a", "b", "c"]


async def test_a_clock_set_back_far_blocks_no_group(queues: tuple[Backend, ...], clock: SetClock) -> None:
    queue = queues[2].queue
    for body in "ab":
        await queue.send(body, group="g")
    await take(queue, number=1)
    clock.now -= 13 * 3600
    assert [message.body for message in await take(queue)] == ["a", "b"]


async def test_dead_letters_of_one_group_do_not_use_up_places_in_the_batch(queues: tuple[Backend, ...]) -> None:
    queue = queues[2].queue
    for number in range(13):
        await queue.send(f"{number}", group="g")
    for _ in range(2):
        await take(queue, timeout_s=0, number=3)
    assert [message.body for message in await take(queue)] == [f"{number}" for number in range(3, 13)]
    assert (await queue.counts()).dead == 3


async def test_a_long_poll_brings_the_next_of_a_group_as_soon_as_the_one_before_is_deleted(
    queues: tuple[Backend, ...],
) -> None:
    queue = queues[2].queue
    for body in "ab":
        await queue.send(body, group="g")
    [first] = await take(queue, number=1)

    async def finish() -> None:
        await anyio.sleep(0.05)  # lets the poll begin
        await queue.delete([first.receipt])

    with within(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(finish)
            [second] = await queue.receive(max_messages=1, wait_s=20, visibility_timeout_s=9)
    assert second.body == "b"


@pytest.mark.parametrize("name", ["", "q.fifo"])
def test_a_receive_sorts_nothing_and_reads_no_body_that_it_does_not_take(directory: Path, name: str) -> None:
    connection = schema.connect(directory)
    parameters = {"queue": name, "now": 1.0, "latest": 2.0}
    statement = f"EXPLAIN QUERY PLAN {messagetable.QueueRules(name, 10).oldest_first}"
    plan = " ".join(row[3] for row in connection.execute(statement, parameters))
    connection.close()
    assert "INDEX messages_in_order" in plan
    assert "TEMP B-TREE" not in plan
    assert ("COVERING INDEX messages_by_visibility" in plan) == name.endswith(".fifo")


class Ticks:
    number = 0

    def __call__(self) -> int:
        self.number += 1
        return 0


def test_a_start_counts_the_messages_of_queues_without_looking_at_all_of_them(tmp_path: Path) -> None:
    steps: list[int] = []
    for number in (2_000, 20_000):
        directory = tmp_path / str(number)
        with closing(schema.connect(directory)) as connection:
            for queue, messages in (("", number), ("a", 3), ("b.fifo", number)):
                connection.execute("BEGIN")
                connection.executemany(
                    "INSERT INTO messages (id, body, sent_at, visible_at, queue) VALUES ('', '', 0, 0, ?)",
                    [(queue,)] * messages,
                )
                connection.execute("COMMIT")
            ticks = Ticks()
            connection.set_progress_handler(ticks, 100)
            assert messagetable.waiting(connection) == {"": COUNTED, "a": 3, "b.fifo": COUNTED}
            steps.append(ticks.number)
    assert steps[0] == steps[1]
    with closing(schema.connect(tmp_path / "empty")) as connection:
        assert messagetable.waiting(connection) == {}
