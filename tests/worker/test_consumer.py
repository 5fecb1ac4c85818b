"""The consumer over the real local backend: what becomes of messages on good days and bad ones."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from io import BytesIO
from typing import TYPE_CHECKING

import anyio
import pytest

from clocks import HandClock, SystemClock
from replica import until
from thumbq.core import keys, manifest
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable, ObjectMissing, RenderKilled, RenderRefused
from thumbq.local import open_local
from thumbq.ports import Backend, EntryResult, QueueCounts, Rendered, RenderedImage
from thumbq.settings import Settings
from thumbq.worker.consumer import Consumer
from thumbq.worker.job import JobRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path
    from typing import Any

    from thumbq.core.manifest import Manifest
    from thumbq.core.preset import Preset
    from thumbq.ports import Clock, JobQueue, RenderSource, VisibilityChange

KEY = "uploads/" + "0" * 26


class FakeRenderer:
    """Stands in for the pool: gives a picture of one byte, or what ``outcomes`` says, attempt by attempt."""

    def __init__(self, *outcomes: Exception | float) -> None:
        self._outcomes = list(outcomes)
        self.renders = 0
        self.killed = 0

    def source(self) -> AbstractContextManager[RenderSource]:
        return nullcontext(BytesIO())

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        del source
        self.renders += 1
        outcome = self._outcomes.pop(0) if self._outcomes else 0.0
        if isinstance(outcome, Exception):
            raise outcome
        try:
            await anyio.sleep(outcome)
        except anyio.get_cancelled_exc_class():
            self.killed += 1
            raise
        return Rendered("JPEG", 4, 3, tuple(RenderedImage(p.name, b"x", 1, 1, p.content_type) for p in presets))


class Delegate:
    """Passes everything on to ``target``, but for what a subclass does itself."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class SlowAnswers(Delegate):
    """A queue whose receives have taken messages a while before their answers arrive."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.received = anyio.Event()
        self.go_on = anyio.Event()

    async def receive(self, **options: Any) -> Any:
        messages = await self.target.receive(**options)
        if messages:
            self.received.set()
            await self.go_on.wait()
        return messages


class Unreachable:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Any:
        async def call(*_args: Any, **_options: Any) -> Any:
            raise BackendUnavailable(f"{name}: S3 is away")

        return call


@asynccontextmanager
async def consuming(
    backend: Backend,
    renderer: FakeRenderer,
    clock: Clock | None = None,
    *,
    visibility_timeout_s: int = 30,
    max_receive_count: int | None = 10,
) -> AsyncIterator[Consumer]:
    clock = clock or SystemClock()
    jobs = JobRunner(
        backend=backend,
        renderer=renderer,
        settings=Settings(),
        clock=clock,
        random=random.Random(1),
        max_receive_count=max_receive_count,
    )
    consumer = Consumer(
        queue=backend.queue,
        jobs=jobs,
        clock=clock,
        random=random.Random(1),
        concurrency=4,
        wait_time_s=20,
        visibility_timeout_s=visibility_timeout_s,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consumer.run)
        yield consumer
        consumer.stop()


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_local(tmp_path / "data", clock=SystemClock()) as opened:
        yield opened


async def upload(backend: Backend, key: str = KEY) -> None:
    await backend.store.put(ObjectRef(backend.bucket, key), b"original", content_type="image/jpeg")
    await backend.queue.send(key)


async def record(backend: Backend, key: str = KEY) -> Manifest | None:
    try:
        _, raw = await backend.store.get(ObjectRef(backend.bucket, keys.manifest_key(key)), max_bytes=1 << 20)
    except ObjectMissing:
        return None
    return manifest.decode(raw)


async def settled(backend: Backend, *, dead: int = 0) -> None:
    async def empty() -> bool:
        return await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=dead)

    await until(empty, within_s=10, what="an empty queue")


def dead_letters(tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    with sqlite3.connect(next((tmp_path / "data").glob("*.sqlite*"))) as database:
        rows = database.execute("SELECT body, note FROM dead_letters").fetchall()
    database.close()
    return [(body, json.loads(note)) for body, note in rows]


async def test_a_done_job_has_its_rendition_and_manifest_before_its_message_is_gone(backend: Backend) -> None:
    class Watching(Delegate):
        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            found = await record(backend)
            assert found is not None
            assert found.status == "done"
            rendition = found.renditions["thumbnail"]
            await backend.store.head(ObjectRef(rendition.bucket, rendition.key))
            results: Sequence[EntryResult] = await self.target.delete(receipts)
            return results

    watched = Backend(backend.store, Watching(backend.queue), backend.bucket)
    async with consuming(watched, FakeRenderer()):
        await upload(backend)
        await settled(backend)
    assert await record(backend)


async def test_a_duplicate_of_done_work_is_deleted_without_another_render(backend: Backend) -> None:
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await upload(backend)
        await settled(backend)
        await backend.queue.send(KEY)
        await settled(backend)
        await backend.store.put(ObjectRef(backend.bucket, KEY), b"another", content_type="image/jpeg")
        await backend.queue.send(KEY)
        await settled(backend)
    assert renderer.renders == 2, "once for each content of the source"


async def test_a_refused_image_fails_with_its_reason_and_is_buried(backend: Backend, tmp_path: Path) -> None:
    async with consuming(backend, FakeRenderer(RenderRefused("corrupt", "it is broken"))):
        await upload(backend)
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert (found.status, found.error.code, found.error.message) == ("failed", "corrupt", "it is broken")
    [(body, note)] = dead_letters(tmp_path)
    assert body == KEY
    assert (note["code"], note["reason"], note["receive_count"]) == ("corrupt", "it is broken", 1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{broken", "malformed-message"),
        ('{"bucket": "foreign", "key": "a.jpg"}', "bucket-not-allowed"),
        ('{"key": "a.jpg", "presets": ["huge"]}', "unknown-preset"),
        ("gone.jpg", "source-missing"),
    ],
)
async def test_what_can_never_succeed_is_buried_at_the_first_receive(
    body: str, code: str, backend: Backend, tmp_path: Path
) -> None:
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await backend.queue.send(body)
        await settled(backend, dead=1)
    [(kept, note)] = dead_letters(tmp_path)
    assert (kept, note["code"], note["receive_count"]) == (body, code, 1)
    assert renderer.renders == 0


async def test_an_output_of_thumbq_is_never_a_source(backend: Backend) -> None:
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await upload(backend, "thumbnail/a.jpg")
        await upload(backend, "manifests/a.json")
        await settled(backend)
    assert renderer.renders == 0


async def test_a_killed_render_is_tried_again(backend: Backend) -> None:
    async with consuming(backend, FakeRenderer(RenderKilled("render-crashed", "signal 11"))):
        await upload(backend)
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert (found.status, found.receive_count) == ("done", 2)


async def test_a_bug_in_one_job_costs_the_others_nothing(backend: Backend) -> None:
    async with consuming(backend, FakeRenderer(ZeroDivisionError("bug"))):
        for number in range(5):
            await upload(backend, f"uploads/{number}")
        await settled(backend)
    statuses = [await record(backend, f"uploads/{number}") for number in range(5)]
    assert [found.status for found in statuses if found] == ["done"] * 5


async def test_the_last_receive_ends_in_a_manifest_and_not_in_a_silent_move(backend: Backend, tmp_path: Path) -> None:
    broken = [RenderKilled("render-crashed", "signal 11")] * 2
    async with consuming(backend, FakeRenderer(*broken), max_receive_count=2):
        await upload(backend)
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert found.error.code == "attempts-exhausted"
    assert "signal 11" in found.error.message
    assert [note["code"] for _, note in dead_letters(tmp_path)] == ["attempts-exhausted"]


async def test_a_lost_lease_kills_the_render_and_no_request_follows(backend: Backend) -> None:
    class NoBeats(Delegate):
        after_loss: list[str] = []  # noqa: RUF012 - one test, one list

        async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
            del changes
            raise BackendUnavailable("the network is gone")

        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            self.after_loss.append("delete")
            return [EntryResult.OK for _ in receipts]

        async def receive(self, **options: Any) -> Any:
            if renderer.renders:
                await anyio.sleep_forever()
            return await self.target.receive(**options)

    renderer = FakeRenderer(3600.0)
    queue: JobQueue = NoBeats(backend.queue)
    async with consuming(Backend(backend.store, queue, backend.bucket), renderer, visibility_timeout_s=4) as consumer:
        await upload(backend)
        await until(lambda: renderer.killed, within_s=5, what="the end of the render")

        async def visible() -> bool:
            return (await backend.queue.counts()).visible == 1

        await until(visible, within_s=3, what="the message back by its time-out")
        consumer.abort(within_s=1)
    assert NoBeats.after_loss == []
    assert await record(backend) is None


async def test_what_the_open_receive_brings_after_a_stop_is_given_back_at_once(backend: Backend) -> None:
    renderer, queue = FakeRenderer(), SlowAnswers(backend.queue)
    async with consuming(Backend(backend.store, queue, backend.bucket), renderer) as consumer:
        await upload(backend)
        await queue.received.wait()
        consumer.stop()
        queue.go_on.set()
    assert renderer.renders == 0
    assert await backend.queue.counts() == QueueCounts(visible=1, in_flight=0, delayed=0, dead=0)


async def test_a_last_receive_is_used_also_while_the_replica_stops(backend: Backend) -> None:
    queue = SlowAnswers(backend.queue)
    slow = Backend(backend.store, queue, backend.bucket)
    async with consuming(slow, FakeRenderer(), max_receive_count=1) as consumer:
        await upload(backend)
        await queue.received.wait()
        consumer.stop()
        queue.go_on.set()
    found = await record(backend)
    assert found is not None
    assert found.status == "done"


async def test_a_last_receive_without_a_store_is_buried_with_its_reason(backend: Backend, tmp_path: Path) -> None:
    away = Backend(Unreachable(), backend.queue, backend.bucket)
    async with consuming(away, FakeRenderer(), max_receive_count=1):
        await upload(backend)
        await settled(backend, dead=1)
    [(_, note)] = dead_letters(tmp_path)
    assert note["code"] == "attempts-exhausted"
    assert "S3 is away" in note["reason"]


async def test_a_message_that_fails_untouched_leaves_what_was_done(backend: Backend) -> None:
    async with consuming(backend, FakeRenderer()):
        await upload(backend)
        await settled(backend)
        await backend.queue.send(json.dumps({"key": KEY, "presets": ["tumbnail"]}))
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert (found.status, list(found.renditions)) == ("done", ["thumbnail"])


async def test_a_replica_that_is_merely_busy_is_ready_and_a_long_drain_is_alive(backend: Backend) -> None:
    clock, renderer = HandClock(), FakeRenderer(*[3600.0] * 4)
    async with consuming(backend, renderer, clock, visibility_timeout_s=43_200) as consumer:
        for number in range(4):
            await upload(backend, f"uploads/{number}")
        await until(lambda: renderer.renders == 4, within_s=5, what="no free slot")
        clock.now += 50
        assert consumer.not_receiving() is None
        consumer.stop()
        await anyio.wait_all_tasks_blocked()
        clock.now += 200
        consumer._keeper.last_turn = clock.now
        assert consumer.not_alive() is None
        consumer.abort(within_s=1)


async def test_an_outage_of_the_store_burns_one_attempt_and_a_recovery_ends_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbq.worker.consumer._MAX_PAUSE_S", 0.2)

    class Away(Delegate):
        away = True
        probes = 0

        async def get(self, *args: Any, **options: Any) -> Any:
            if self.away:
                raise BackendUnavailable("S3 is away")
            return await self.target.get(*args, **options)

        async def head(self, *args: Any) -> Any:
            self.probes += 1
            if self.away:
                raise BackendUnavailable("S3 is away")
            return await self.target.head(*args)

    store = Away(backend.store)
    names = [f"uploads/{number}" for number in range(8)]
    for name in names:
        await upload(backend, name)
    async with consuming(Backend(store, backend.queue, backend.bucket), FakeRenderer()):
        await until(lambda: store.probes >= 2, within_s=20, what="two questions to the store")
        store.away = False
        await settled(backend)
    found = [await record(backend, name) for name in names]
    assert {(one.status, one.receive_count) for one in found if one} == {("done", 2)}


async def test_a_store_that_cannot_write_is_tried_with_one_message_at_a_time(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbq.worker.consumer._MAX_PAUSE_S", 0.2)

    class Full(Delegate):
        full = True

        async def put(self, *args: Any, **options: Any) -> Any:
            if self.full:
                raise BackendUnavailable("the disk is full")
            return await self.target.put(*args, **options)

    class Counting(Delegate):
        asked: list[int] = []  # noqa: RUF012 - one test, one list

        async def receive(self, **options: Any) -> Any:
            self.asked.append(options["max_messages"])
            return await self.target.receive(**options)

    names = [f"uploads/{number}" for number in range(8)]
    for name in names:
        await upload(backend, name)
    store = Full(backend.store)
    async with consuming(Backend(store, Counting(backend.queue), backend.bucket), FakeRenderer()):
        await until(lambda: Counting.asked[-2:] == [1, 1], within_s=20, what="receives of one message")
        store.full = False
        await settled(backend)
    found = [await record(backend, name) for name in names]
    assert [one.status for one in found if one] == ["done"] * len(names)


async def test_a_late_duplicate_for_a_removed_original_leaves_what_was_done(backend: Backend) -> None:
    async with consuming(backend, FakeRenderer()):
        await upload(backend)
        await settled(backend)
        await backend.store.delete(ObjectRef(backend.bucket, KEY))
        await backend.queue.send(KEY)
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert found.status == "done"


async def test_a_receive_that_never_returns_is_a_loop_that_has_stopped(backend: Backend) -> None:
    class Stuck(Delegate):
        async def receive(self, **options: Any) -> Any:
            del options
            clock.now += 81
            await anyio.sleep_forever()

    clock = HandClock()
    async with consuming(
        Backend(backend.store, Stuck(backend.queue), backend.bucket), FakeRenderer(), clock
    ) as consumer:
        assert consumer.not_alive() is None
        await until(lambda: consumer.not_alive() == "the receive loop has stopped", within_s=5, what="the verdict")
        consumer.abort(within_s=1)


async def test_a_queue_that_does_not_answer_is_no_reason_to_restart_but_to_send_requests_elsewhere(
    backend: Backend,
) -> None:
    class Away(Delegate):
        away = True

        async def receive(self, **options: Any) -> Any:
            clock.now += 30
            if self.away:
                raise BackendUnavailable("SQS is away")
            return await self.target.receive(**options)

    clock = HandClock()
    queue = Away(backend.queue)
    async with consuming(Backend(backend.store, queue, backend.bucket), FakeRenderer(), clock) as consumer:
        await until(consumer.not_receiving, within_s=5, what="unreadiness")
        assert consumer.not_alive() is None
        queue.away = False
        await upload(backend)
        await until(lambda: consumer.not_receiving() is None, within_s=10, what="readiness again")
