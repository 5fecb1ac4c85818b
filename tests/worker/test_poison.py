"""Poison messages: what killed a render is remembered, is quarantined, and is buried after the second kill."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from support.doubles.consuming import KEY, Delegate, consuming, dead_letters, record, settled, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import keys
from thumbq.core.crashrecord import CrashRecord
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable, RenderKilled, SendRefused
from thumbq.jobs.prioritylock import PriorityLock

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from thumbq.ports import Backend

CRASH = RenderKilled("render-crashed", "signal 11")


async def crash_records(backend: Backend) -> list[CrashRecord | None]:
    listed = await backend.store.list(backend.bucket, prefix=keys.CRASH_RECORDS_PREFIX)
    bodies = [await backend.store.get(ObjectRef(backend.bucket, entry.key), max_bytes=1 << 20) for entry in listed]
    return [CrashRecord.decode(raw) for _, raw in bodies]


async def test_a_message_that_kills_two_renders_is_buried_with_the_reason(backend: Backend, tmp_path: Path) -> None:
    renderer = FakeRenderer(CRASH, RenderKilled("decode-timeout", "too long"))
    async with consuming(backend, renderer):
        await upload(backend)
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert (found.error.code, found.receive_count) == ("decode-timeout", 2)
    assert "2 renders were killed" in found.error.message
    assert [note["code"] for _, note in dead_letters(tmp_path)] == ["decode-timeout"]
    assert renderer.renders == 2
    assert await crash_records(backend) == []


async def test_attempts_that_never_ended_count_for_whoever_comes_next(backend: Backend) -> None:
    await upload(backend)
    [message] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=1)
    left_open = CrashRecord(vanished=2, open=True)
    ref = ObjectRef(backend.bucket, keys.crash_record_key(message.id))
    await backend.store.put(ref, left_open.encode(), content_type="application/json")
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert (found.error.code, renderer.renders) == ("render-crashed", 0)
    assert "nothing says why" in found.error.message


async def test_the_record_is_written_before_a_second_render_and_removed_after_it(backend: Backend) -> None:
    during: list[list[CrashRecord | None]] = []

    class Looking(FakeRenderer):
        async def result(self, original: bytes, presets: Any) -> Any:
            during.append(await crash_records(backend))
            return await super().result(original, presets)

    async with consuming(backend, Looking(CRASH)):
        await upload(backend)
        await settled(backend)
    after_the_first_kill = CrashRecord(kills=1, open=True, text="signal 11")
    assert during == [[], [after_the_first_kill]]
    assert await crash_records(backend) == []


async def test_a_first_receive_costs_no_request_for_a_record(backend: Backend) -> None:
    class Watched(Delegate):
        asked: list[str] = []  # noqa: RUF012 - one test, one list

        async def get(self, ref: ObjectRef, **options: Any) -> Any:
            self.asked.append(ref.key)
            return await self.target.get(ref, **options)

        async def put(self, ref: ObjectRef, *args: Any, **options: Any) -> Any:
            self.asked.append(ref.key)
            return await self.target.put(ref, *args, **options)

    store = Watched(backend.store)
    await upload(backend)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await settled(backend)
    assert not [key for key in store.asked if key.startswith(keys.CRASH_RECORDS_PREFIX)]


async def test_quarantined_jobs_render_one_at_a_time_and_hold_up_nobody_else(backend: Backend) -> None:
    names = [f"uploads/poison-{number}" for number in range(3)]
    renderer = FakeRenderer(CRASH, CRASH, CRASH, 3600.0, 0.0)
    async with consuming(backend, renderer) as consumer:
        for name in names:
            await upload(backend, name)
        await until(lambda: renderer.renders == 4, within_s=10, what="the second render of the first")
        await upload(backend)
        await until(lambda: renderer.renders == 5, within_s=10, what="the render of one that is not quarantined")

        async def done() -> object:
            return await record(backend)

        await until(done, within_s=10, what="its manifest")
        await anyio.wait_all_tasks_blocked()
        assert renderer.renders == 5, "the other quarantined jobs wait"
        consumer.abort(within_s=1)
    assert (await backend.queue.counts()).in_flight == 0


async def test_of_the_quarantined_jobs_that_wait_one_of_the_most_urgent_queue_is_next() -> None:
    lock, order, ends = PriorityLock({"high": None, "low": None}), list[str](), anyio.Event()

    async def render(queue: str, name: str) -> None:
        async with lock.hold(queue):
            order.append(name)
            await ends.wait()

    async with anyio.create_task_group() as tasks:
        for queue, name in (("low", "first"), ("low", "last"), ("high", "second")):
            tasks.start_soon(render, queue, name)
            await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as given_back:
            given_back.start_soon(render, "high", "given back")
            await anyio.wait_all_tasks_blocked()
            given_back.cancel_scope.cancel()
        assert order == ["first"]
        ends.set()
    assert order == ["first", "second", "last"]


async def test_a_render_that_was_cut_off_by_a_stop_is_no_kill(backend: Backend) -> None:
    async with consuming(backend, FakeRenderer(CRASH, 3600.0)) as consumer:
        await upload(backend)

        async def rendering_again() -> bool:
            return [found.open for found in await crash_records(backend) if found] == [True]

        await until(rendering_again, within_s=10, what="the second render")
        consumer.stop()
        consumer.abort(within_s=1)
    assert [(found.kills, found.open) for found in await crash_records(backend) if found] == [(1, False)]


async def test_a_message_whose_failure_is_on_record_is_buried_without_another_render(
    backend: Backend, tmp_path: Path
) -> None:
    class Refusing(Delegate):
        refusals = 1

        async def send(self, body: str, note: str, *, group: str | None = None) -> None:
            if self.refusals:
                self.refusals -= 1
                raise SendRefused("not now")
            await self.target.send(body, note, group=group)

    renderer = FakeRenderer(CRASH, CRASH)
    async with consuming(replace(backend, dead_letters=Refusing(backend.dead_letters)), renderer):
        await upload(backend)
        await settled(backend, dead=1)
    assert renderer.renders == 2
    [(body, note)] = dead_letters(tmp_path)
    assert (body, note["code"], note["receive_count"]) == (KEY, "render-crashed", 3)


async def test_a_redriven_message_starts_without_a_past(backend: Backend) -> None:
    renderer = FakeRenderer(CRASH, CRASH)
    async with consuming(backend, renderer):
        await upload(backend)
        await settled(backend, dead=1)
        await backend.queue.send(KEY)
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.status == "done", "a failed manifest does not count as done"
    assert renderer.renders == 3


async def test_a_replica_that_died_while_it_rendered_makes_a_quarantined_job_and_no_poison(backend: Backend) -> None:
    await upload(backend)
    [message] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=1)
    ref = ObjectRef(backend.bucket, keys.crash_record_key(message.id))
    await backend.store.put(ref, CrashRecord(vanished=1, open=True).encode(), content_type="application/json")
    async with consuming(backend, FakeRenderer()):
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert found.status == "done"
    assert await crash_records(backend) == []


async def test_a_record_is_closed_before_the_renditions_are_stored(backend: Backend) -> None:
    at_puts: list[list[CrashRecord | None]] = []

    class Watching(Delegate):
        async def put(self, ref: ObjectRef, *args: Any, **options: Any) -> Any:
            if ref.key.startswith("thumbnail/"):
                at_puts.append(await crash_records(backend))
            return await self.target.put(ref, *args, **options)

    async with consuming(replace(backend, store=Watching(backend.store)), FakeRenderer(ZeroDivisionError("a bug"))):
        await upload(backend)
        await settled(backend)
    assert at_puts == [[]]


async def test_a_record_that_could_not_be_read_is_removed_with_its_message(backend: Backend) -> None:
    class Failing(Delegate):
        async def get(self, ref: ObjectRef, **options: Any) -> Any:
            if ref.key.startswith(keys.CRASH_RECORDS_PREFIX) and ref.key != keys.PROBE_KEY:
                raise BackendUnavailable("S3 is away")
            return await self.target.get(ref, **options)

    async with consuming(replace(backend, store=Failing(backend.store)), FakeRenderer(CRASH), max_receive_count=2):
        await upload(backend)
        await settled(backend, dead=1)
    assert await crash_records(backend) == []
