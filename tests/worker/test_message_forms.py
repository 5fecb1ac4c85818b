"""Every form of message, from the queue to its end; several jobs in one; what an original's metadata asks for."""

from __future__ import annotations

import json
import random
import re
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from bodies import FORMS, hostile, no_jobs, own, record, s3_event
from clocks import SystemClock
from consuming import Delegate, FakeRenderer, consuming, dead_letters, settled
from consuming import record as manifest_of
from emulators import aws_env
from replica import until
from thumbq.aws import open_aws
from thumbq.aws.provision import provision
from thumbq.core import failedmessage, keys, message, objectmetadata
from thumbq.core.attempt import AttemptRecord
from thumbq.core.deadletter import Note
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.retry import Bury, Delete
from thumbq.errors import AccessDenied, BackendUnavailable, ObjectMissing, RenderKilled, RenderUnavailable
from thumbq.local import open_local
from thumbq.ports import ReceivedMessage
from thumbq.settings import Settings
from thumbq.worker import make_jobs, make_shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from typing import Any

    from thumbq.core.failedmessage import FailedMessage
    from thumbq.core.manifest import Manifest
    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered, RenderSource

README = Path(__file__).parents[2] / "README.md"
README_KEY = "photos/my cat (+1).png"
LARGE = 100_000
"""One body larger than that is enough for an emulator."""
CRASH = RenderKilled("render-crashed", "signal 11")


@asynccontextmanager
async def opened_aws(endpoint: str, ending: str) -> AsyncIterator[Backend]:
    name = f"forms-{uuid.uuid4().hex[:12]}"
    with aws_env(endpoint):
        await provision(bucket=name, queues=[name + ending])
        async with open_aws(bucket=name, queue=name + ending, wait_time_s=1) as backend:
            yield backend


@pytest.fixture(params=["local", "standard", "fifo"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def place(kind: str, ministack_url: str, tmp_path: Path) -> AsyncIterator[Backend]:
    if kind == "local":
        opened = open_local(tmp_path / "data", clock=SystemClock())
    else:
        opened = opened_aws(ministack_url, ".fifo" if kind == "fifo" else "")
    async with opened as backend:
        yield backend


async def put(backend: Backend, key: str, body: bytes = b"original", metadata: Mapping[str, str] | None = None) -> None:
    ref = ObjectRef(backend.bucket, key)
    await backend.store.put(ref, body, content_type="image/jpeg", metadata=metadata)


async def send(backend: Backend, bodies: Sequence[str]) -> None:
    """Send messages, in three groups where the queue has groups."""
    for number, body in enumerate(bodies):
        await backend.queue.send(body, group=f"group-{number % 3}" if backend.fifo else None)


async def done(backend: Backend, key: str) -> Manifest:
    found = await manifest_of(backend, key)
    assert found is not None, key
    assert found.status == "done", (key, found.error)
    return found


def buried(tmp_path: Path) -> list[tuple[str, Note]]:
    """Return the bodies and notes of the dead letters of a local backend."""
    return [(body, Note(**note)) for body, note in dead_letters(tmp_path)]


async def failed_messages(backend: Backend) -> list[FailedMessage]:
    """Return the records of messages that were no jobs of this bucket."""
    listed = await backend.store.list(backend.bucket, prefix=keys.FAILED_MESSAGES_PREFIX)
    raw = [await backend.store.get(ObjectRef(backend.bucket, entry.key), max_bytes=4 << 20) for entry in listed]
    return [record for _, body in raw if (record := failedmessage.decode(body)) is not None]


async def test_every_form_is_done_what_is_no_job_is_taken_away_and_what_is_hostile_is_buried(
    kind: str, place: Backend
) -> None:
    jobs = {f"photos/{name} 100%+é😀.png": form for name, form in FORMS.items()}
    jobs |= {"x" * 1024: FORMS["S3 event in SNS"], " spaced .png ": FORMS["bare key"]}
    for key in jobs:
        await put(place, key)
    bad = {**hostile(), "another bucket": s3_event(record("elsewhere", "a.png")), "no preset": own_with(["magic"])}
    if kind != "local":
        large = "1 MiB of arrays"
        bad = {name: body for name, body in bad.items() if len(body) < LARGE or name == large}
    good = [form(place.bucket, key) for key, form in jobs.items()] + list(no_jobs(place.bucket).values())
    bodies = [*good, *bad.values()]
    random.Random(5).shuffle(bodies)
    await send(place, bodies)
    async with consuming(place, FakeRenderer(), wait_time_s=1, concurrency=10):
        await settled(place, dead=len(bad), within_s=30)
    for key in jobs:
        await done(place, key)
    kept = await failed_messages(place)
    assert {record.body for record in kept} == set(bad.values()) - {own_with(["magic"])}
    assert {record.error.code for record in kept} == {"malformed-message", "bucket-not-allowed"}
    assert all(record.error.message and record.receive_count == 1 for record in kept)
    stored = await place.store.list(place.bucket, prefix=keys.MANIFESTS_PREFIX)
    assert len(stored) == len(jobs) + 1, "one of the unknown preset, none of what was no job"


def own_with(presets: Sequence[str]) -> str:
    return json.dumps({"key": "no-preset.png", "presets": presets})


def examples(section: str) -> list[str]:
    return re.findall(r"```(?:json|text)\n(.*?)\n```\n", section, re.DOTALL)


async def test_the_examples_in_readme_are_what_it_says_they_are(backend: Backend) -> None:
    section = README.read_text().partition("\n## Messages\n")[2].partition("\n## ")[0]
    jobs, _, no_job = section.partition("\n### What is no job\n")
    assert (len(examples(jobs)), len(examples(no_job))) == (5, 1)
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        for number, example in enumerate(examples(jobs) + examples(no_job), 1):
            await put(backend, README_KEY, str(number).encode())
            await backend.queue.send(example.replace("sample-bucket", backend.bucket))
            await settled(backend)
            assert renderer.renders == min(number, len(examples(jobs))), example
    found = await done(backend, README_KEY)
    assert list(found.renditions) == ["thumbnail"]


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


class FailingOnce(Delegate):
    """A store that fails at the first request of a kind, and keeps count of them."""

    def __init__(self, target: Any, name: str, error: Exception) -> None:
        super().__init__(target)
        self.asked: list[tuple[str, str]] = []
        self._errors = {name: error}

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(ref: Any, *args: Any, **options: Any) -> Any:
            self.asked.append((name, getattr(ref, "key", "")))
            if error := self._errors.pop(name, None):
                raise error
            return await real(ref, *args, **options)

        return call


@pytest.mark.parametrize(
    ("request_name", "error", "first_attempt"),
    [
        ("get", BackendUnavailable("S3 is away"), [("get", "a")]),
        ("get", AccessDenied("no right"), [("get", "a")]),
        ("fetch", BackendUnavailable("S3 is away"), [("get", "a"), ("fetch", "a")]),
        ("fetch", AccessDenied("not this one"), [("get", "a"), ("fetch", "a"), ("get", "b"), ("fetch", "b")]),
    ],
)
async def test_while_the_store_is_away_the_other_jobs_are_not_tried(
    backend: Backend, request_name: str, error: Exception, first_attempt: list[tuple[str, str]]
) -> None:
    await put_three(backend)
    store = FailingOnce(backend.store, request_name, error)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await settled(backend)
    assert {status for status, _ in await receives(backend)} == {"done"}
    asked = [(name, Path(key).name.partition(".")[0]) for name, key in store.asked if name in {"get", "fetch"}]
    assert asked[: len(first_attempt)] == first_attempt
    if len(first_attempt) <= 2:
        assert await receives(backend) == [("done", 2)] * 3


async def record_keys(backend: Backend) -> list[str]:
    return [entry.key for entry in await backend.store.list(backend.bucket, prefix=keys.ATTEMPTS_PREFIX)]


async def test_only_the_job_that_kills_its_render_is_the_suspect(backend: Backend, tmp_path: Path) -> None:
    at_work: list[list[str]] = []

    class Looking(FakeRenderer):
        async def _render(self, presets: Sequence[Preset]) -> Rendered:
            at_work.append(await record_keys(backend))
            return await super()._render(presets)

    await put_three(backend)
    async with consuming(backend, Looking(0.0, CRASH, 0.0, CRASH)):
        await settled(backend, dead=1)
    [(_, note)] = buried(tmp_path)
    ref = keys.attempt_key(note.message_id, 2)
    assert ref.endswith(".2.json")
    assert at_work == [[], [], [ref], [ref]]
    assert await receives(backend) == [("done", 1), ("failed", 2), ("done", 1)]
    assert note.code == "render-crashed"
    assert await record_keys(backend) == []


async def test_a_job_that_took_its_replicas_along_is_not_rendered_again_but_the_others_are(backend: Backend) -> None:
    await put_three(backend)
    [received] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=1)
    left_open = AttemptRecord(vanished=2, open=True)
    ref = ObjectRef(backend.bucket, keys.attempt_key(received.id, 3))
    await backend.store.put(ref, left_open.encode(), content_type="application/json")
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await settled(backend, dead=1)
    assert await receives(backend) == [("done", 2), ("done", 2), ("failed", 2)]
    assert renderer.renders == 2
    assert await record_keys(backend) == []


class Stepwise(FakeRenderer):
    """Renders when it is told to; with ``no_child_after`` so many, the next ones get no child at all."""

    def __init__(self, *, no_child_after: int = 100) -> None:
        super().__init__()
        self.started = anyio.Event()
        self.go_on = anyio.Event()
        self._no_child_after = no_child_after

    async def render(
        self,
        source: RenderSource,
        presets: Sequence[Preset],
        *,
        on_start: Callable[[], Awaitable[None]] | None = None,
        lane: str = "",
    ) -> Rendered:
        if self.renders >= self._no_child_after:
            self.waiting += 1
            await anyio.sleep_forever()
        return await super().render(source, presets, on_start=on_start, lane=lane)

    async def _render(self, presets: Sequence[Preset]) -> Rendered:
        self.started.set()
        if self._no_child_after > 1:
            await self.go_on.wait()
        return await super()._render(presets)


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
    renderer = Stepwise(no_child_after=1)
    await put_three(backend)

    async def waits() -> bool:
        return renderer.waiting == 2

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
    await backend.store.delete(ObjectRef(backend.bucket, keys.manifest_key("b.png")))
    jobs = make_jobs(
        backend=backend,
        shop=make_shop(backend=backend, renderer=FakeRenderer(), settings=settings, clock=clock),
        settings=settings,
        facts=await backend.queue.facts(),
        clock=clock,
        random=random.Random(1),
    )
    moved = ReceivedMessage("an-id", "receipt", three(backend.bucket), 5, 0.0)
    ending = await jobs.moved(moved)
    assert isinstance(ending, Bury)
    assert ending.code == "attempts-exhausted"
    assert ending.text.startswith("1 of 3 jobs failed: 'b.png'; the first one: the queue moved the message after 5")
    assert await receives(backend) == [("done", 1), ("failed", 5), ("done", 1)]
    assert await jobs.moved(replace(moved, body=s3_event(record(backend.bucket, "d/", size=0)))) == Delete()
    malformed = await jobs.moved(replace(moved, body="{"))
    assert isinstance(malformed, Bury)
    assert malformed.code == "malformed-message"


async def test_presets_and_a_callback_come_from_the_originals_metadata(backend: Backend) -> None:
    url = "https://example.com/hook"
    await put(backend, "a.png", metadata=objectmetadata.encode(presets=["stretched", "jpgfiles"], callback_url=url))
    renderer = FakeRenderer()
    store = FailingOnce(backend.store, "", ObjectMissing())
    async with consuming(replace(backend, store=store), renderer):
        await backend.queue.send(s3_event(record(backend.bucket, "a.png")))
        await settled(backend)
        assert [name for name, _ in store.asked] == ["get", "fetch", "head", "put", "put", "put", "head"]
        await backend.queue.send(own(backend.bucket, "a.png"))
        await settled(backend)
    found = await done(backend, "a.png")
    assert list(found.renditions) == ["stretched", "jpgfiles"]
    assert found.callback_url == url
    assert renderer.renders == 1, "what is done by the metadata is done"


async def test_what_the_message_names_goes_before_the_metadata(backend: Backend) -> None:
    wished = objectmetadata.encode(presets=["stretched"], callback_url="https://example.com/metadata")
    await put(backend, "a.png", metadata=wished)
    request = JobRequest(ObjectRef(backend.bucket, "a.png"), ("thumbnail",), "https://example.com/message")
    async with consuming(backend, FakeRenderer()):
        await backend.queue.send(message.encode(request))
        await settled(backend)
    found = await done(backend, "a.png")
    assert (list(found.renditions), found.callback_url) == (["thumbnail"], "https://example.com/message")


@pytest.mark.parametrize(
    ("metadata", "code", "said"),
    [
        ({objectmetadata.PRESETS: "thumbnail,magic"}, "unknown-preset", "thumbq-presets asks for the preset 'magic'"),
        (
            {objectmetadata.CALLBACK: "ftp://example.com"},
            "malformed-message",
            "thumbq-callback: a callback URL must be",
        ),
    ],
)
async def test_metadata_that_asks_for_what_there_is_not_is_a_failure_that_says_so(
    backend: Backend, tmp_path: Path, metadata: dict[str, str], code: str, said: str
) -> None:
    await put(backend, "a.png", metadata=metadata)
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        await backend.queue.send("a.png")
        await settled(backend, dead=1)
    [(_, note)] = buried(tmp_path)
    assert note.code == code
    assert said in note.reason
    assert renderer.renders == 0


async def test_a_late_duplicate_of_a_job_by_metadata_leaves_what_was_done_when_the_original_is_gone(
    backend: Backend,
) -> None:
    await put(backend, "a.png", metadata={objectmetadata.PRESETS: "stretched"})
    async with consuming(backend, FakeRenderer()):
        await backend.queue.send("a.png")
        await settled(backend)
        await backend.store.delete(ObjectRef(backend.bucket, "a.png"))
        await backend.queue.send("a.png")
        await settled(backend)
    await done(backend, "a.png")


async def test_events_that_come_out_of_order_end_in_the_newest_picture(backend: Backend) -> None:
    renderer = FakeRenderer()
    event = s3_event(record(backend.bucket, "a.png"))
    async with consuming(backend, renderer):
        for version in (b"first", b"second"):
            await put(backend, "a.png", version)
            await backend.queue.send(event)
            await settled(backend)
        newest = (await backend.store.head(ObjectRef(backend.bucket, "a.png"))).etag
        await backend.queue.send(event)  # that of the first version, late
        await settled(backend)
    assert (await done(backend, "a.png")).source.etag == newest
    assert renderer.renders == 2


async def test_an_original_that_is_replaced_while_it_renders_ends_in_the_newest_picture(backend: Backend) -> None:
    stored: list[list[str]] = []

    class Slow(FakeRenderer):
        async def _render(self, presets: Sequence[Preset]) -> Rendered:
            listed = await backend.store.list(backend.bucket, prefix="thumbnail/")
            stored.append([entry.key for entry in listed])
            if self.renders == 1:
                await put(backend, "a.png", b"second")
            return await super()._render(presets)

    await put(backend, "a.png", b"first")
    async with consuming(backend, Slow()):
        await backend.queue.send(s3_event(record(backend.bucket, "a.png")))
        await settled(backend)
    newest = (await backend.store.head(ObjectRef(backend.bucket, "a.png"))).etag
    assert (await done(backend, "a.png")).source.etag == newest
    assert stored == [[], []], "nothing of the first one"


async def test_an_original_that_is_replaced_while_its_renditions_are_stored_ends_in_the_newest_picture(
    backend: Backend,
) -> None:
    class Replacing(Delegate):
        """The store, where another picture comes as the first rendition is put."""

        replaced = False

        async def put(self, ref: ObjectRef, body: bytes, **options: Any) -> str:
            if ref.key.startswith("thumbnail/") and not self.replaced:
                self.replaced = True
                await put(backend, "a.png", b"second")
            etag: str = await self.target.put(ref, body, **options)
            return etag

    renderer = FakeRenderer()
    await put(backend, "a.png", b"first")
    async with consuming(replace(backend, store=cast("Any", Replacing(backend.store))), renderer):
        await backend.queue.send(s3_event(record(backend.bucket, "a.png")))
        await settled(backend)
    newest = (await backend.store.head(ObjectRef(backend.bucket, "a.png"))).etag
    assert (await done(backend, "a.png")).source.etag == newest
    assert renderer.renders == 2
