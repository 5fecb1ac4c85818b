"""Which requests a job makes of the store: those that tell nothing are not made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import pytest

from support.aws.event_bodies import record as event_record
from support.aws.event_bodies import s3_event
from support.doubles.consuming import KEY, Delegate, buried, consuming, done, put, record, settled
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.errors import BackendUnavailable, ObjectArchived, RenderRefused
from thumbq.jobs.storeprobe import check_store
from thumbq.ports import VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered

REPLACEABLE = ("photos/a.png", keys.inbox_key("0" * 26))
FIRST = ["fetch original", "put thumbnail", "put manifests"]
LOOKS_BACK = ["get manifests", "get attempts"]


class Noted(Delegate):
    """A store that keeps what it is asked for; a request that ``fails`` names is answered with ``error``, once."""

    def __init__(self, target: Any, error: Exception | None = None) -> None:
        super().__init__(target)
        self.asked: list[str] = []
        self.fails: list[str] = []
        self._error = error

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(ref: ObjectRef, *args: Any, **options: Any) -> Any:
            folder = PurePosixPath(ref.key).parts[0]
            own = {"manifests", "attempts", "tombstones", "thumbnail", "stretched"}
            what = f"{name} {folder if folder in own else 'original'}"
            if ref.key != keys.PROBE_KEY:
                self.asked.append(what)
            if self._error is not None and what in self.fails:
                self.fails.remove(what)
                raise self._error
            return await real(ref, *args, **options)

        return call


async def receive_once(backend: Backend) -> None:
    """Receive the only message, as a replica does that dies before anything else."""
    [received] = await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    await backend.queue.extend([VisibilityChange(received.receipt, 0)])


async def asked_for(backend: Backend, *bodies: str, store: Noted | None = None, **options: Any) -> list[str]:
    """Have messages done, one after the other, and return what the jobs of the last one asked the store for."""
    store = store or Noted(backend.store)
    async with consuming(replace(backend, store=store), FakeRenderer(), **options):
        for body in bodies:
            store.asked.clear()
            await backend.queue.send(body)
            await settled(backend)
    return store.asked


async def test_a_job_of_an_upload_costs_three_requests(backend: Backend) -> None:
    await put(backend, KEY)
    assert await asked_for(backend, KEY) == FIRST


@pytest.mark.parametrize("key", REPLACEABLE)
async def test_a_job_of_an_original_that_can_be_replaced_costs_four(backend: Backend, key: str) -> None:
    await put(backend, key)
    assert await asked_for(backend, key) == [*FIRST, "head original"]


async def test_each_job_of_a_message_costs_the_same(backend: Backend) -> None:
    for name in "ab":
        await put(backend, f"uploads/{name}")
    body = s3_event(*(event_record(backend.bucket, f"uploads/{name}") for name in "ab"))
    assert await asked_for(backend, body) == [*FIRST, *FIRST]


@pytest.mark.parametrize("key", [KEY, *REPLACEABLE])
async def test_from_the_second_receive_on_it_is_looked_at_first(backend: Backend, key: str) -> None:
    await put(backend, key)
    await backend.queue.send(key)
    await receive_once(backend)
    store = Noted(backend.store)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await settled(backend)
    assert store.asked[:3] == [*LOOKS_BACK, "fetch original"]


async def test_at_the_last_receive_an_original_is_looked_at_before_it_is_stored_too(backend: Backend) -> None:
    await put(backend, "a.png")
    asked = await asked_for(backend, "a.png", max_receive_count=1)
    assert asked == ["fetch original", "head original", "put thumbnail", "put manifests", "head original"]


async def test_a_manifest_that_is_in_the_way_is_read_and_keeps_what_it_has(backend: Backend) -> None:
    await put(backend, KEY)
    other = message.encode(JobRequest(ObjectRef(backend.bucket, KEY), ("stretched",)))
    asked = await asked_for(backend, KEY, other)
    assert asked == ["fetch original", "put stretched", "put manifests", "get manifests", "put manifests"]
    assert set((await done(backend, KEY)).renditions) == {"thumbnail", "stretched"}


async def test_where_a_store_has_no_conditional_puts_nothing_is_lost_either(backend: Backend) -> None:
    class Careless(Delegate):
        async def put(self, ref: ObjectRef, *args: Any, **options: Any) -> Any:
            return await self.target.put(ref, *args, **(options | {"if_absent": False}))

    checked = await check_store(cast("Any", Careless(backend.store)), backend.bucket)
    await put(backend, KEY)
    other = message.encode(JobRequest(ObjectRef(backend.bucket, KEY), ("stretched",)))
    await asked_for(backend, KEY, other, store=Noted(checked.store))
    assert set((await done(backend, KEY)).renditions) == {"thumbnail", "stretched"}


@pytest.mark.parametrize(
    "error", [ObjectArchived("it is in Glacier by now"), None], ids=["an original in an archive", "no original"]
)
@pytest.mark.parametrize("key", [KEY, "a.png"])
async def test_a_late_duplicate_leaves_what_was_done_when_it_cannot_be_done_any_more(
    backend: Backend, key: str, error: Exception | None
) -> None:
    store = Noted(backend.store, error=error)
    await put(backend, key)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await backend.queue.send(key)
        await settled(backend)
        store.asked.clear()
        if error is None:
            await backend.store.delete(ObjectRef(backend.bucket, key))
        else:
            store.fails.append("fetch original")
        await backend.queue.send(key)
        await settled(backend)
    tombstone = ["get tombstones"] if error is None and key == KEY else []
    assert store.asked == ["fetch original", "get manifests", "head original", *tombstone]
    await done(backend, key)


async def test_what_fails_for_good_at_its_first_receive_costs_as_many_requests_as_it_did(
    backend: Backend, tmp_path: Path
) -> None:
    await put(backend, KEY)
    await backend.queue.send(KEY)
    store = Noted(backend.store)
    async with consuming(replace(backend, store=store), FakeRenderer(RenderRefused("corrupt", "no image"))):
        await settled(backend, dead=1)
    assert store.asked == ["fetch original", "get manifests", "get manifests", "put manifests"]
    assert [note.code for _, note in buried(tmp_path)] == ["corrupt"]


async def test_an_attempt_that_stored_an_older_picture_and_no_manifest_is_made_good(backend: Backend) -> None:
    class Copying(FakeRenderer):
        async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
            made = await super().result(original, presets)
            return replace(made, images=tuple(replace(image, body=original) for image in made.images))

    class NewerInBetween(Delegate):
        """A store in which a newer picture is done between the render of the older one and its put."""

        waited = False

        async def put(self, ref: ObjectRef, body: bytes, **options: Any) -> str:
            if body != b"older" or self.waited:
                etag: str = await self.target.put(ref, body, **options)
                return etag
            self.waited = True
            await put(backend, "a.png", b"the newer")
            await backend.queue.send("a.png")
            await until(newer_is_done, within_s=10, what="the newer picture")
            await self.target.put(ref, body, **options)
            raise BackendUnavailable("the answer is lost")

    async def newer_is_done() -> bool:
        return await record(backend, "a.png") is not None

    await put(backend, "a.png", b"older")
    await backend.queue.send("a.png")
    async with consuming(replace(backend, store=cast("Any", NewerInBetween(backend.store))), Copying(), processes=2):
        await settled(backend)
    found = await done(backend, "a.png")
    rendition = found.renditions["thumbnail"]
    _, body = await backend.store.get(ObjectRef(rendition.bucket, rendition.key), max_bytes=100)
    assert (found.source.bytes, body) == (len(b"the newer"), b"the newer")
