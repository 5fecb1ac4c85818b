"""The consumer over the real local backend: what becomes of messages on good days and bad ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from support.doubles.clocks import HandClock
from support.doubles.consuming import (
    KEY,
    Delegate,
    SlowAnswers,
    Unreachable,
    consuming,
    dead_letters,
    record,
    settled,
    upload,
)
from support.doubles.observing import Observed
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendRefused, BackendUnavailable, BadAnswer, RenderKilled, RenderRefused
from thumbq.ports import Backend, EntryResult
from thumbq.ports.observing import BeatsFailed, LeaseLost, observed_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from thumbq.ports import JobQueue, VisibilityChange


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

    watched = replace(backend, queue=Watching(backend.queue))
    async with consuming(watched, FakeRenderer()):
        await upload(backend)
        await settled(backend)
    assert await record(backend)


@pytest.mark.parametrize("key", [KEY, "a.png"])
async def test_a_message_that_comes_again_after_it_was_done_is_deleted_without_another_render(
    backend: Backend, key: str
) -> None:
    class NotDeleting(Delegate):
        deletes = 0

        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            self.deletes += 1
            if self.deletes == 1:
                return [EntryResult.LOST] * len(receipts)
            results: Sequence[EntryResult] = await self.target.delete(receipts)
            return results

    renderer, queue = FakeRenderer(), NotDeleting(backend.queue)
    async with consuming(replace(backend, queue=cast("Any", queue)), renderer):
        await upload(backend, key)
        await settled(backend, within_s=60)
    assert (renderer.renders, queue.deletes) == (1, 2)


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
    broken = [ZeroDivisionError("a bug")] * 2
    async with consuming(backend, FakeRenderer(*broken), max_receive_count=2):
        await upload(backend)
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert found.error.code == "attempts-exhausted"
    assert "a bug" in found.error.message
    assert [note["code"] for _, note in dead_letters(tmp_path)] == ["attempts-exhausted"]


async def test_a_lost_lease_kills_the_render_and_no_request_follows(backend: Backend) -> None:
    class NoBeats(Delegate):
        after_loss: list[str] = []  # noqa: RUF012 - one test, one list
        taken: Any = ()

        async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
            del changes
            raise BackendUnavailable("the network is gone")

        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            self.after_loss.append("delete")
            return [EntryResult.OK for _ in receipts]

        async def receive(self, **options: Any) -> Any:
            if self.taken:
                await anyio.sleep_forever()
            self.taken = await self.target.receive(**options)
            return self.taken

    renderer = FakeRenderer(3600.0)
    queue: JobQueue = NoBeats(backend.queue)
    observed = Observed()
    with observed_by([observed]):
        async with consuming(replace(backend, queue=queue), renderer, visibility_timeout_s=4) as consumer:
            await upload(backend)
            await until(lambda: renderer.killed, within_s=5, what="the end of the render")

            async def visible() -> bool:
                return (await backend.queue.counts()).visible == 1

            await until(visible, within_s=3, what="the message back by its time-out")
            consumer.abort(within_s=1)
    assert [each for each in observed.happened if isinstance(each, LeaseLost)] == [LeaseLost("")]
    assert BeatsFailed("", 1) in observed.happened
    assert NoBeats.after_loss == []
    assert await record(backend) is None


async def test_a_last_receive_is_used_also_while_the_replica_stops(backend: Backend) -> None:
    queue = SlowAnswers(backend.queue)
    slow = replace(backend, queue=queue)
    async with consuming(slow, FakeRenderer(), max_receive_count=1) as consumer:
        await upload(backend)
        await queue.received.wait()
        consumer.stop()
        queue.go_on.set()
    found = await record(backend)
    assert found is not None
    assert found.status == "done"


async def test_without_a_manifest_no_message_is_removed_and_a_last_receive_is_left_to_the_queue(
    backend: Backend,
) -> None:
    away = Unreachable()
    async with consuming(replace(backend, store=away), FakeRenderer(), max_receive_count=1):
        await upload(backend)
        await until(lambda: "put" in away.asked, within_s=5, what="the try to record the failure")
    counts = await backend.queue.counts()
    assert (counts.visible + counts.in_flight, counts.dead) == (1, 0), "the queue moves it, and the sweep records it"


async def test_a_done_manifest_whose_answer_was_lost_at_the_last_receive_stays_done(backend: Backend) -> None:
    class Losing(Delegate):
        lost = False

        async def put(self, ref: ObjectRef, *args: Any, **options: Any) -> Any:
            etag = await self.target.put(ref, *args, **options)
            if ref.key.startswith("manifests/") and not self.lost:
                self.lost = True
                raise BackendUnavailable("carried out, but the answer never came")
            return etag

    async with consuming(replace(backend, store=Losing(backend.store)), FakeRenderer(), max_receive_count=1):
        await upload(backend)
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert (found.status, list(found.renditions)) == ("done", ["thumbnail"])


async def test_a_replaced_original_that_fails_is_no_job_that_was_done(backend: Backend, tmp_path: Path) -> None:
    async with consuming(backend, FakeRenderer(), max_source_bytes=100):
        await upload(backend)
        await settled(backend)
        await backend.store.put(ObjectRef(backend.bucket, KEY), bytes(1000), content_type="image/jpeg")
        await backend.queue.send(KEY)
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert (found.status, found.error.code, found.renditions) == ("failed", "too-large", {})
    assert [note["code"] for _, note in dead_letters(tmp_path)] == ["too-large"]


async def test_failures_that_cannot_be_recorded_are_an_outage_too(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbq.worker.receiver._MAX_PAUSE_S", 0.2)
    store = Outage(backend.store, "put")
    for number in range(6):
        await backend.queue.send(f"uploads/missing-{number}")
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await until(lambda: store.probes >= 5, within_s=20, what="five questions to the store")
        assert (await backend.queue.counts()).visible >= 5
        store.over = True
        await settled(backend, dead=6, within_s=30)


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
    async with consuming(backend, renderer, clock, visibility_timeout_s=43_200, processes=4) as consumer:
        for number in range(4):
            await upload(backend, f"uploads/{number}")
        await until(lambda: renderer.renders == 4, within_s=5, what="no free slot")
        clock.now += 50
        assert consumer.not_receiving() is None
        consumer.stop()
        await anyio.wait_all_tasks_blocked()
        clock.now += 200
        consumer._queue._heartbeat.liveness.note()
        assert consumer.not_alive() is None
        consumer.abort(within_s=1)


class Outage(Delegate):
    """A store that answers nothing of what is named, until it is over; probes are counted apart."""

    over = False

    def __init__(self, target: Any, *operations: str, error: Exception | None = None) -> None:
        super().__init__(target)
        self.operations = operations
        self.error = error or BackendUnavailable("S3 is away")
        self.probes = 0

    def __getattr__(self, name: str) -> Any:
        async def away(ref: ObjectRef, *_: Any, **__: Any) -> Any:
            self.probes += ref.key == keys.PROBE_KEY
            raise self.error

        return away if name in self.operations and not self.over else super().__getattr__(name)


@pytest.mark.parametrize("operations", [("get", "put", "fetch", "head", "delete"), ("put",)])
@pytest.mark.parametrize(
    "error",
    [
        BackendUnavailable("S3 is away"),
        AccessDenied("no"),
        BackendRefused("KMS.DisabledException"),
        BadAnswer("no ETag"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_of_the_store_burns_one_attempt_and_a_recovery_ends_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, operations: tuple[str, ...], error: Exception
) -> None:
    monkeypatch.setattr("thumbq.worker.receiver._MAX_PAUSE_S", 0.2)
    names = [f"uploads/{number}" for number in range(8)]
    for name in names:
        await upload(backend, name)
    store = Outage(backend.store, *operations, error=error)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await until(lambda: store.probes >= 10, within_s=20, what="ten questions to the store")
        store.over = True
        await settled(backend, within_s=30)
    found = [await record(backend, name) for name in names]
    assert {one.status for one in found if one} == {"done"}
    assert sum(one.receive_count for one in found if one and one.receive_count) <= len(names) + 1, "the one in flight"


async def test_a_role_that_lost_its_rights_burns_few_attempts(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbq.worker.receiver._MAX_PAUSE_S", 0.1)

    class Denied(Delegate):
        denials = 0

        async def get(self, ref: ObjectRef, **options: Any) -> Any:
            if self.denials < 9:
                self.denials += 1
                raise AccessDenied("no s3:GetObject")
            return await self.target.get(ref, **options)

    names = [f"uploads/{number}" for number in range(12)]
    for name in names:
        await upload(backend, name)
    async with consuming(replace(backend, store=Denied(backend.store)), FakeRenderer()):
        await settled(backend, within_s=30)
    found = [await record(backend, name) for name in names]
    assert sum(one.receive_count for one in found if one and one.receive_count) <= len(names) + 1


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
    async with consuming(replace(backend, queue=Stuck(backend.queue)), FakeRenderer(), clock) as consumer:
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
    async with consuming(replace(backend, queue=queue), FakeRenderer(), clock) as consumer:
        await until(consumer.not_receiving, within_s=5, what="unreadiness")
        assert consumer.not_alive() is None
        queue.away = False
        await upload(backend)
        await until(lambda: consumer.not_receiving() is None, within_s=10, what="readiness again")
