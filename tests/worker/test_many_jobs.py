"""Several jobs in one message: each ends by itself, and none is done twice."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import pytest

from support.aws.event_bodies import record, s3_event
from support.doubles.clocks import SystemClock
from support.doubles.consuming import FailingOnce, buried, consuming, done, put, settled
from support.doubles.consuming import record as manifest_of
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import keys
from thumbq.core.crashrecord import CrashRecord
from thumbq.core.job import ObjectRef
from thumbq.core.retry import Bury, Delete
from thumbq.errors import AccessDenied, BackendRefused, BackendUnavailable, BadAnswer, RenderKilled, RenderUnavailable
from thumbq.jobs.handler import MessageHandler
from thumbq.jobs.resources import make_job_resources
from thumbq.ports import ReceivedMessage
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered


CRASH = RenderKilled("render-crashed", "signal 11")


def three(bucket: str) -> str:
    return s3_event(*(record(bucket, f"{name}.png") for name in "abc"))


async def put_three(backend: Backend) -> None:
    for name in "abc":
        await put(backend, f"{name}.png")
    await backend.queue.send(three(backend.bucket))


async def receives(backend: Backend) -> list[tuple[str, int | None]]:
    """Return how each of the three ended, and at which receive."""
    found = [await manifest_of(backend, f"{name}.png") for name in "abc"]
    return [(one.status, one.receive_count) if one else ("none", None) for one in found]


async def test_a_job_that_fails_for_good_does_not_keep_the_others_from_being_made(
    backend: Backend, tmp_path: Path
) -> None:
    await put(backend, "a.png")
    await put(backend, "d.png")
    sources = [(backend.bucket, "a.png"), ("elsewhere", "b.png"), (backend.bucket, "c.png"), (backend.bucket, "d.png")]
    await backend.queue.send(s3_event(*(record(*source) for source in sources)))
    async with consuming(backend, FakeRenderer()):
        await settled(backend, dead=1)
    await done(backend, "a.png")
    await done(backend, "d.png")
    missing = await manifest_of(backend, "c.png")
    assert missing is not None
    assert missing.error is not None
    assert missing.error.code == "source-missing"
    [(_, note)] = buried(tmp_path)
    assert note.code == "bucket-not-allowed"
    assert note.reason.startswith("2 of 4 jobs failed: 'b.png', 'c.png'; the first one: the message names the bucket")


async def test_what_is_done_is_not_done_again_when_another_job_of_the_message_has_to_be(backend: Backend) -> None:
    renderer = FakeRenderer(0.0, RenderUnavailable("no child"), 0.0)
    await put_three(backend)
    async with consuming(backend, renderer):
        await settled(backend)
    assert await receives(backend) == [("done", 1), ("done", 2), ("done", 1)]
    assert renderer.renders == 4


async def test_what_failed_for_good_is_not_tried_again_and_buries_the_message_at_the_end(
    backend: Backend, tmp_path: Path
) -> None:
    renderer = FakeRenderer(RenderUnavailable("no child"))
    await put(backend, "a.png")
    await backend.queue.send(three(backend.bucket))
    async with consuming(backend, renderer):
        await settled(backend, dead=1)
    assert await receives(backend) == [("done", 2), ("failed", 1), ("failed", 1)]
    [(body, note)] = buried(tmp_path)
    assert body == three(backend.bucket)
    assert (note.code, note.receive_count) == ("source-missing", 2)
    assert "2 of 3 jobs failed: 'b.png', 'c.png'" in note.reason


async def test_at_the_last_receive_each_job_that_cannot_be_done_fails_by_itself(
    backend: Backend, tmp_path: Path
) -> None:
    renderer = FakeRenderer(0.0, RenderUnavailable("no child"), 0.0)
    await put_three(backend)
    async with consuming(backend, renderer, max_receive_count=1):
        await settled(backend, dead=1)
    assert await receives(backend) == [("done", 1), ("failed", 1), ("done", 1)]
    [(_, note)] = buried(tmp_path)
    assert note.code == "attempts-exhausted"
    assert "1 of 3 jobs failed: 'b.png'" in note.reason


ERRORS: Final = [
    BackendUnavailable("S3 is away"),
    BackendRefused("KMS.DisabledException"),
    AccessDenied("no right"),
    BadAnswer("no ETag"),
]


def asked_of_jobs(store: FailingOnce) -> list[tuple[str, str]]:
    named = [(name, Path(key).name.partition(".")[0]) for name, key in store.asked if name in {"get", "fetch"}]
    return [one for one in named if one[1] != "probe"]


@pytest.mark.parametrize("request_name", ["fetch", "put"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_failure_that_no_probe_confirms_is_its_own_jobs_only(
    backend: Backend, request_name: str, error: Exception
) -> None:
    await put_three(backend)
    async with consuming(replace(backend, store=FailingOnce(backend.store, request_name, error)), FakeRenderer()):
        await settled(backend)
    assert await receives(backend) == [("done", 2), ("done", 1), ("done", 1)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_while_the_store_is_away_the_other_jobs_are_not_tried(backend: Backend, error: Exception) -> None:
    await put_three(backend)
    store = FailingOnce(backend.store, "fetch", error, probes=1)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await settled(backend)
    assert asked_of_jobs(store)[:2] == [("fetch", "a"), ("get", "a")]
    assert await receives(backend) == [("done", 2)] * 3


async def record_keys(backend: Backend) -> list[str]:
    return [entry.key for entry in await backend.store.list(backend.bucket, prefix=keys.CRASH_RECORDS_PREFIX)]


async def test_only_the_job_that_kills_its_render_is_quarantined(backend: Backend, tmp_path: Path) -> None:
    at_work: list[list[str]] = []

    class Looking(FakeRenderer):
        async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
            at_work.append(await record_keys(backend))
            return await super().result(original, presets)

    await put_three(backend)
    async with consuming(backend, Looking(0.0, CRASH, 0.0, CRASH)):
        await settled(backend, dead=1)
    [(_, note)] = buried(tmp_path)
    ref = keys.crash_record_key(note.message_id, 2)
    assert ref.endswith(".2.json")
    assert at_work == [[], [], [ref], [ref]]
    assert await receives(backend) == [("done", 1), ("failed", 2), ("done", 1)]
    assert note.code == "render-crashed"
    assert await record_keys(backend) == []


async def test_a_job_that_took_its_replicas_along_is_not_rendered_again_but_the_others_are(backend: Backend) -> None:
    await put_three(backend)
    [received] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=1)
    left_open = CrashRecord(vanished=2, open=True)
    ref = ObjectRef(backend.bucket, keys.crash_record_key(received.id, 3))
    await backend.store.put(ref, left_open.encode(), content_type="application/json")
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await settled(backend, dead=1)
    assert await receives(backend) == [("done", 2), ("done", 2), ("failed", 2)]
    assert renderer.renders == 2
    assert await record_keys(backend) == []


class Stepwise(FakeRenderer):
    """Renders when it is told to; after ``processes_for`` renders there is no process for the next ones."""

    def __init__(self, *, processes_for: int = 100) -> None:
        super().__init__()
        self.started = anyio.Event()
        self.go_on = anyio.Event()
        self._processes_for = processes_for

    @asynccontextmanager
    async def process(self, queue: str) -> AsyncIterator[None]:
        if self.renders >= self._processes_for:
            await anyio.sleep_forever()
        async with super().process(queue):
            yield

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        self.started.set()
        if self._processes_for > 1:
            await self.go_on.wait()
        return await super().result(original, presets)


async def test_a_stop_between_two_jobs_gives_the_message_back(backend: Backend) -> None:
    renderer = Stepwise()
    await put_three(backend)
    async with consuming(backend, renderer) as consumer:
        await renderer.started.wait()
        consumer.stop()
        renderer.go_on.set()
    assert await receives(backend) == [("done", 1), ("none", None), ("none", None)]
    assert (await backend.queue.counts()).visible == 1


async def test_a_stop_gives_back_a_message_whose_next_job_still_waits_for_a_child(backend: Backend) -> None:
    renderer = Stepwise(processes_for=1)
    await put_three(backend)

    async def waits() -> bool:
        return renderer.asked == 2

    async with consuming(backend, renderer):
        await until(waits, within_s=10, what="a second job that waits")
    assert await receives(backend) == [("done", 1), ("none", None), ("none", None)]
    assert (await backend.queue.counts()).visible == 1


async def test_at_the_last_receive_a_stop_lets_all_jobs_of_a_message_end(backend: Backend) -> None:
    renderer = Stepwise()
    await put_three(backend)
    async with consuming(backend, renderer, max_receive_count=1) as consumer:
        await renderer.started.wait()
        consumer.stop()
        renderer.go_on.set()
    assert await receives(backend) == [("done", 1)] * 3


async def test_a_message_that_the_queue_moved_is_recorded_job_by_job(backend: Backend) -> None:
    await put_three(backend)
    settings, clock = Settings(), SystemClock()
    async with consuming(backend, FakeRenderer()):
        await settled(backend)
    message_id = (await done(backend, "a.png")).message_id
    assert message_id is not None
    await backend.store.delete(ObjectRef(backend.bucket, keys.manifest_key("b.png")))
    handler = MessageHandler(
        make_job_resources(backend=backend, renderer=FakeRenderer(), settings=settings, clock=clock),
        attributes=await backend.queue.attributes(),
        max_source_bytes=settings.max_source_bytes,
        random=random.Random(1),
    )
    moved = ReceivedMessage(message_id, "receipt", three(backend.bucket), 5, 0.0)
    ending = await handler.moved(moved)
    assert isinstance(ending, Bury)
    assert ending.code == "attempts-exhausted"
    assert ending.text.startswith("1 of 3 jobs failed: 'b.png'; the first one: the queue moved the message after 5")
    assert await receives(backend) == [("done", 1), ("failed", 5), ("done", 1)]
    assert await handler.moved(replace(moved, body=s3_event(record(backend.bucket, "d/", size=0)))) == Delete()
    malformed = await handler.moved(replace(moved, body="{"))
    assert isinstance(malformed, Bury)
    assert malformed.code == "malformed-message"
