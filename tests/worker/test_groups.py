"""Message groups of a FIFO queue in the worker: strictly one after the other, or not at all."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.doubles.clocks import HandClock, SystemClock
from support.doubles.consuming import Delegate, consuming, record, settled
from support.doubles.rendering import FakeRenderer, pictures
from support.patience import until
from support.virtual_time import on_virtual_time
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable, RenderKilled, RenderRefused
from thumbq.local import open_local_queues
from thumbq.ports import Backend, EntryResult, QueueCounts, ReceivedMessage, Rendered, VisibilityChange
from thumbq.worker.acks import LINGER_S, Acks
from thumbq.worker.lease import Lease
from thumbq.worker.queuehealth import QueueHealth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from thumbq.core.preset import Preset

ROOM: dict[str, Any] = {"processes": 8, "concurrency": 20}


class Stage(FakeRenderer, Delegate):
    """A renderer that knows its originals by their bytes, and a FIFO queue; ``log`` tells what happened, in order."""

    def __init__(self, backend: Backend) -> None:
        FakeRenderer.__init__(self)
        Delegate.__init__(self, backend.queue)
        self.log: list[str] = []
        self.fails: dict[str, list[Exception]] = defaultdict(list)
        self.held: dict[str, anyio.Event] = {}
        self.receives: dict[str, int] = {}
        self.beats: set[str] = set()
        self.batches: list[int] = []
        """How many messages each beat or release was for."""
        self.loses: set[str] = set()
        """Whose next beat or delete is answered as that of a message that is somebody else's."""
        self._names: dict[str, str] = {}

    def hold(self, name: str) -> anyio.Event:
        """Let the render of this original last until the event is set."""
        self.held[name] = anyio.Event()
        return self.held[name]

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        name = original.decode()
        self.log.append(f"render {name}")
        if name in self.held:
            await self.held[name].wait()
        if self.fails[name]:
            raise self.fails[name].pop(0)
        return pictures(presets)

    async def receive(self, **options: Any) -> Sequence[ReceivedMessage]:
        messages: Sequence[ReceivedMessage] = await self.target.receive(**options)
        for message in messages:
            self._names[message.receipt] = message.body
            self.receives[message.body] = message.receive_count
        return messages

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        self.batches.append(len(changes))
        asked = []
        for change in changes:
            name = self._names[change.receipt]
            if name in self.loses:
                self.loses.remove(name)
                self.log.append(f"lose {name}")
                await self.target.extend([VisibilityChange(change.receipt, 0)])
                asked.append(EntryResult.LOST)
                continue
            if change.timeout_s == 0:
                self.log.append(f"release {name}")
            else:
                self.beats.add(name)
            asked += await self.target.extend([change])
        return asked

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        results = []
        for receipt in receipts:
            name = self._names[receipt]
            if name in self.loses:
                self.loses.remove(name)
                await self.target.extend([VisibilityChange(receipt, 0)])
                results.append(EntryResult.LOST)
                continue
            self.log.append(f"delete {name}")
            results += await self.target.delete([receipt])
        return results

    def of(self, group: str) -> list[str]:
        """Return what happened to one group."""
        return [entry for entry in self.log if entry.split()[1].startswith(group)]


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=("jobs.fifo",)) as [opened]:
        yield opened


@pytest.fixture
def stage(backend: Backend) -> Stage:
    return Stage(backend)


@pytest.fixture
def staged(backend: Backend, stage: Stage) -> Backend:
    return replace(backend, queue=stage)


async def send(backend: Backend, *names: str) -> None:
    """Store and queue originals such as ``a1``: the first letter is the group."""
    for name in names:
        await backend.store.put(ObjectRef(backend.bucket, name), name.encode(), content_type="image/jpeg")
    for name in names:
        await backend.queue.send(name, group=name[0])


def done(*names: str) -> list[str]:
    return [f"{verb} {name}" for name in names for verb in ("render", "delete")]


async def test_a_message_starts_once_the_one_before_it_in_its_group_is_deleted(staged: Backend, stage: Stage) -> None:
    await send(staged, "a1", "b1", "a2", "b2", "a3")
    async with consuming(staged, stage, **ROOM):
        await settled(staged)
    assert stage.of("a") == done("a1", "a2", "a3")
    assert stage.of("b") == done("b1", "b2")
    assert set(stage.receives.values()) == {1}, "they came together"


async def test_a_group_does_not_wait_for_its_deletes_to_be_gathered(staged: Backend, stage: Stage) -> None:
    names = [f"a{number}" for number in range(10)]
    await send(staged, *names)
    async with consuming(staged, stage, processes=10, concurrency=20):
        await until(lambda: stage.log, within_s=5, what="the first one")
        begun_at = anyio.current_time()
        await until(lambda: stage.log[-1:] == ["render a9"], within_s=5, what="the last one")
        assert anyio.current_time() - begun_at < 9 * LINGER_S
    assert stage.log == done(*names)


async def test_other_groups_run_on_while_one_waits(staged: Backend, stage: Stage) -> None:
    ended = stage.hold("a1")
    await send(staged, "a1", "a2", "b1", "b2", "c1")
    async with consuming(staged, stage, **ROOM):
        await until(lambda: {"delete b2", "delete c1"} <= set(stage.log), within_s=5, what="the other groups")
        assert stage.of("a") == ["render a1"]
        ended.set()
        await settled(staged)
    assert stage.of("a") == done("a1", "a2")


async def test_those_who_wait_keep_their_leases(staged: Backend, stage: Stage) -> None:
    ended = stage.hold("a1")
    await send(staged, "a1", "a2")
    async with consuming(staged, stage, visibility_timeout_s=4, **ROOM):
        await until(lambda: stage.beats == {"a1", "a2"}, within_s=5, what="heartbeats")
        ended.set()
        await settled(staged)
    assert stage.of("a") == done("a1", "a2")


async def test_a_failure_gives_the_rest_of_its_group_back_unstarted(staged: Backend, stage: Stage) -> None:
    stage.fails["a1"] = [RenderKilled("render-crashed", "signal 11")]
    await send(staged, "a1", "a2", "a3", "b1")
    async with consuming(staged, stage, **ROOM):
        await settled(staged)
    log = stage.of("a")
    again = log.index("render a1", 1)
    assert sorted(entry for entry in log[1:again] if entry != "release a1") == ["release a2", "release a3"]
    assert log[again:] == done("a1", "a2", "a3")
    assert stage.receives == {"a1": 2, "a2": 2, "a3": 2, "b1": 1}
    assert stage.batches == [3], "all go back together"


async def test_a_burial_lets_its_group_go_on(staged: Backend, stage: Stage) -> None:
    stage.fails["a1"] = [RenderRefused("corrupt", "it is broken")]
    await send(staged, "a1", "a2")
    async with consuming(staged, stage, **ROOM):
        await settled(staged, dead=1)
    assert stage.of("a") == done("a1", "a2")
    assert staged.dead_letters is not None
    [letter] = await staged.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    assert (letter.body, letter.group) == ("a1", "a")


async def test_a_burial_that_fails_does_not(staged: Backend, stage: Stage) -> None:
    class Away(Delegate):
        tries = 0

        async def send(self, *args: Any, **options: Any) -> None:
            self.tries += 1
            if self.tries == 1:
                raise BackendUnavailable("the dead letters are away")
            await self.target.send(*args, **options)

    stage.fails["a1"] = [RenderRefused("corrupt", "it is broken")]
    await send(staged, "a1", "a2")
    async with consuming(replace(staged, dead_letters=Away(staged.dead_letters)), stage, **ROOM):
        await settled(staged, dead=1)
    assert stage.of("a").index("delete a1") < stage.of("a").index("render a2")
    assert stage.receives["a2"] == 2


@pytest.mark.parametrize("when", ["at a beat", "at the delete"])
async def test_a_lost_message_gives_the_rest_of_its_group_back(staged: Backend, stage: Stage, when: str) -> None:
    stage.loses.add("a1")
    ended = stage.hold("a1")
    await send(staged, "a1", "a2", "a3")
    async with consuming(staged, stage, visibility_timeout_s=30 if when == "at the delete" else 4, **ROOM):
        if when == "at a beat":
            await until(lambda: "lose a1" in stage.log, within_s=5, what="the loss")
        ended.set()
        await settled(staged)
    log = [entry for entry in stage.of("a") if not entry.startswith("lose")]
    assert log[0] == "render a1"
    assert sorted(log[1:3]) == ["release a2", "release a3"]
    assert log[-5:] == ["delete a1", *done("a2", "a3")]
    assert stage.receives["a3"] == 2


async def test_a_stop_gives_those_who_wait_back_at_once_and_lets_the_first_one_end(
    staged: Backend, stage: Stage
) -> None:
    ended = stage.hold("a1")
    await send(staged, "a1", "a2", "a3")
    async with consuming(staged, stage, **ROOM) as consumer:
        await until(lambda: stage.log, within_s=5, what="a render")
        consumer.stop()
        await until(lambda: len(stage.log) == 3, within_s=2, what="two releases")
        assert await staged.queue.counts() == QueueCounts(visible=2, in_flight=1, delayed=0, dead=0)
        ended.set()
    assert sorted(stage.log[1:3]) == ["release a2", "release a3"]
    assert stage.log[3:] == ["delete a1"]


async def test_at_their_last_receive_a_stop_lets_them_have_their_turns(staged: Backend, stage: Stage) -> None:
    ended = stage.hold("a1")
    await send(staged, "a1", "a2")
    async with consuming(staged, stage, max_receive_count=1, **ROOM) as consumer:
        await until(lambda: stage.log, within_s=5, what="a render")
        consumer.stop()
        await anyio.wait_all_tasks_blocked()
        ended.set()
    assert stage.log == done("a1", "a2")


async def test_at_their_last_receive_those_whose_turn_does_not_come_are_buried_with_a_word(
    staged: Backend, stage: Stage
) -> None:
    stage.loses.add("a1")
    await send(staged, "a1", "a2", "a3")
    async with consuming(staged, stage, max_receive_count=1, **ROOM) as consumer:
        await until(lambda: {"delete a2", "delete a3"} <= set(stage.log), within_s=5, what="two burials")
        consumer.stop()
    assert not {"render a2", "render a3", "release a2", "release a3"} & set(stage.log)
    for name in ("a2", "a3"):
        found = await record(staged, name)
        assert found is not None
        assert found.error is not None
        assert (found.status, found.error.code) == ("failed", "attempts-exhausted")
        assert found.error.message == "in 1 receives the messages before it in its group were never all done"
    assert (await staged.queue.counts()).dead == 2


async def test_at_its_last_receive_one_whose_turn_does_not_come_is_left_to_the_sweep_while_the_store_is_away(
    staged: Backend, stage: Stage
) -> None:
    class Failing(Delegate):
        async def get(self, ref: ObjectRef, **options: Any) -> Any:
            if ref.key.endswith("a2.json"):
                raise BackendUnavailable("S3 is away")
            return await self.target.get(ref, **options)

    stage.loses.add("a1")
    await send(staged, "a1", "a2")
    async with consuming(replace(staged, store=Failing(staged.store)), stage, max_receive_count=1, **ROOM) as consumer:
        await until(lambda: "release a2" in stage.log, within_s=5, what="the release")
        consumer.stop()
    assert "render a2" not in stage.log


async def test_on_a_standard_queue_a_group_has_no_order(tmp_path: Path) -> None:
    async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=("jobs",)) as [standard]:
        stage = Stage(standard)
        ended = stage.hold("a1")
        staged = replace(standard, queue=stage)
        await send(staged, "a1", "a2")
        async with consuming(staged, stage, **ROOM):
            await until(lambda: "delete a2" in stage.log, within_s=5, what="the second one")
            ended.set()
            await settled(staged)


@pytest.mark.parametrize(("urgent", "after_s"), [(True, 0.0), (False, LINGER_S)])
def test_a_delete_that_another_message_waits_for_does_not_linger(*, urgent: bool, after_s: float) -> None:
    class Deleting:
        batches: list[int]

        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            self.batches.append(len(receipts))
            return [EntryResult.OK] * len(receipts)

        async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
            return [EntryResult.OK] * len(changes)

    async def claim() -> None:
        clock, queue = HandClock(), Deleting()
        queue.batches = []
        acks = Acks(
            queue=queue,  # type: ignore[arg-type]
            clock=clock,
            health=QueueHealth(clock),
            random=random.Random(1),
        )
        leases = [
            Lease(
                ReceivedMessage(name, name, name, 1, 0.0),
                received_at=0.0,
                timeout_s=2000,
                beat_interval_s=600,
                clock=clock,
            )
            for name in "ab"
        ]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acks.run)
            async with anyio.create_task_group() as deletes:
                deletes.start_soon(acks.delete, leases[0])
                for _ in range(9):
                    await anyio.lowlevel.checkpoint()
                assert await acks.delete(leases[1], urgent=urgent)
            assert queue.batches == [2]
            assert anyio.current_time() == pytest.approx(after_s)
            tasks.cancel_scope.cancel()

    on_virtual_time(claim)
