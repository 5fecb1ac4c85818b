"""What originals themselves have a say in: their metadata, and another one that comes in their place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from support.aws.event_bodies import own, s3_event
from support.aws.event_bodies import record as event_record
from support.doubles import consuming as doubles
from support.doubles.consuming import Delegate, FailingOnce, buried, consuming, done, put, settled
from support.doubles.rendering import FakeRenderer
from thumbq.core import jobmetadata, keys, message, objectmetadata
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.errors import ObjectMissing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from thumbq.core.manifest import Manifest
    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered


async def test_presets_and_a_callback_come_from_the_originals_metadata(backend: Backend) -> None:
    url = "https://example.com/hook"
    await put(backend, "a.png", metadata=objectmetadata.encode(presets=["stretched", "jpgfiles"], callback_url=url))
    renderer = FakeRenderer()
    store = FailingOnce(backend.store, "", ObjectMissing())
    async with consuming(replace(backend, store=store), renderer):
        await backend.queue.send(s3_event(event_record(backend.bucket, "a.png")))
        await settled(backend)
        assert [name for name, _ in store.asked] == ["fetch", "put", "put", "put", "head"]
        await backend.queue.send(own(backend.bucket, "a.png"))
        await settled(backend)
    found = await done(backend, "a.png")
    assert list(found.renditions) == ["stretched", "jpgfiles"]
    assert found.callback_url == url


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
    event = s3_event(event_record(backend.bucket, "a.png"))
    async with consuming(backend, FakeRenderer()):
        for version in (b"first", b"second"):
            await put(backend, "a.png", version)
            await backend.queue.send(event)
            await settled(backend)
        newest = (await backend.store.head(ObjectRef(backend.bucket, "a.png"))).etag
        await backend.queue.send(event)  # that of the first version, late
        await settled(backend)
    assert (await done(backend, "a.png")).source.etag == newest


class ReplacedMeanwhile(FakeRenderer):
    """Another original comes while the first one renders."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        if self.renders == 1:
            await put(self._backend, "a.png", b"second")
        return await super().result(original, presets)


async def test_an_original_that_is_replaced_while_it_renders_ends_in_the_newest_picture(backend: Backend) -> None:
    await put(backend, "a.png", b"first")
    async with consuming(backend, ReplacedMeanwhile(backend)):
        await backend.queue.send(s3_event(event_record(backend.bucket, "a.png")))
        await settled(backend)
    newest = (await backend.store.head(ObjectRef(backend.bucket, "a.png"))).etag
    assert (await done(backend, "a.png")).source.etag == newest


async def test_at_the_last_receive_nothing_is_stored_of_an_original_that_was_replaced(backend: Backend) -> None:
    await put(backend, "a.png", b"first")
    async with consuming(backend, ReplacedMeanwhile(backend), max_receive_count=1):
        await backend.queue.send(s3_event(event_record(backend.bucket, "a.png")))
        await settled(backend, dead=1)
    assert await backend.store.list(backend.bucket, prefix="thumbnail/") == []


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
        await backend.queue.send(s3_event(event_record(backend.bucket, "a.png")))
        await settled(backend)
    newest = (await backend.store.head(ObjectRef(backend.bucket, "a.png"))).etag
    assert (await done(backend, "a.png")).source.etag == newest
    assert renderer.renders == 2


async def test_what_the_sender_says_of_an_original_is_in_its_manifest_done_or_failed(
    backend: Backend, tmp_path: Path
) -> None:
    said, url = {"album": "7"}, "https://example.com/hook"
    metadata = jobmetadata.encode(said) | objectmetadata.encode(presets=None, callback_url=url)
    await put(backend, "a.png", metadata=metadata)
    await put(backend, "large.png", bytes(2000), metadata=metadata)
    async with consuming(backend, FakeRenderer(), max_source_bytes=1000):
        await backend.queue.send("a.png")
        await backend.queue.send("large.png")
        await settled(backend, dead=1)
    assert (await done(backend, "a.png")).metadata == said
    failed = await doubles.record(backend, "large.png")
    assert failed is not None
    assert (failed.status, failed.metadata, failed.callback_url) == ("failed", said, url)
    assert [note.code for _, note in buried(tmp_path)] == ["too-large"]


@pytest.mark.parametrize("again", [False, True])
async def test_another_message_about_an_upload_that_is_done_does_not_end_it_a_second_time(
    backend: Backend, *, again: bool
) -> None:
    key = keys.upload_key("0" * 26)
    told: list[str | None] = []

    class Told:
        async def announce(self, manifest: Manifest, *, attempt: int) -> None:
            assert attempt >= 1
            told.append(manifest.message_id)

    await put(backend, key)
    renderer = FakeRenderer()
    request = JobRequest(ObjectRef(backend.bucket, key))
    async with consuming(backend, renderer, announcers=[Told()]):
        await backend.queue.send(message.encode(request))
        await settled(backend)
        first = await done(backend, key)
        await backend.queue.send(message.encode(replace(request, again=again)))
        await settled(backend)
    assert (await done(backend, key), told) == (first, [first.message_id])
    assert renderer.renders == (1 if again else 2)
