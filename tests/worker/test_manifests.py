"""What manifests say of an original: what this attempt found out, or an earlier one of the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.doubles.consuming import KEY, consuming, record, settled, upload
from support.doubles.rendering import FakeRenderer
from support.schemas.manifest_schema import faults
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.preset import BUILT_IN, THUMBNAIL
from thumbq.errors import RenderRefused
from thumbq.jobs.delivery import Job
from thumbq.jobs.findings import Findings
from thumbq.ports import NotMade, ReceivedMessage, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered

STEPS = Steps(orientation=8, shrink_on_load="1/4")


class TellingRenderer(FakeRenderer):
    """A renderer that has much to tell of an original."""

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        rendered = await super().result(original, presets)
        images = tuple(replace(image, steps=STEPS) for image in rendered.images)
        return replace(rendered, images=images, frames=2, dominant_color="#a0b1c2", thumbhash="2PcNDYI=")


async def test_a_manifest_says_what_the_render_told(backend: Backend) -> None:
    async with consuming(backend, TellingRenderer()):
        await upload(backend)
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert faults(found.encode()) == []
    assert found.source.model_dump(exclude={"bucket", "key", "etag"}) == {
        "bytes": len(b"original"),
        "content_type": "image/jpeg",
        "filename": None,
        "format": "JPEG",
        "width": 4,
        "height": 3,
        "frames": 2,
        "dominant_color": "#a0b1c2",
        "thumbhash": "2PcNDYI=",
    }
    steps = found.renditions["thumbnail"].steps
    assert steps is not None
    assert (steps.orientation, steps.shrink_on_load) == (8, "1/4")


async def test_a_manifest_says_how_long_each_part_took_and_the_wait_for_a_render_process_is_waiting(
    backend: Backend,
) -> None:
    async with consuming(backend, FakeRenderer(3.0, 2.0, processes=1)):
        await upload(backend)
        await upload(backend, key="uploads/other")
        await settled(backend)
    taken = [await record(backend, key=key) for key in (KEY, "uploads/other")]
    times = [found.times for found in taken if found is not None and found.times is not None]
    assert sorted(round(each.rendered_s or 0) for each in times) == [2, 3]
    first, second = sorted(times, key=lambda each: each.waited_s or 0)
    assert first.waited_s is not None
    assert second.waited_s is not None
    assert round(second.waited_s - first.waited_s) == round(first.rendered_s or 0)
    assert all(part is not None and 0 <= part < 1 for each in times for part in (each.fetched_s, each.stored_s))


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_failure_keeps_what_is_known_of_the_same_original_only(backend: Backend, *, replaced: bool) -> None:
    async with consuming(backend, TellingRenderer(0, RenderRefused("corrupt", "it is broken"))):
        await upload(backend)
        await settled(backend)
        if replaced:
            await backend.store.put(ObjectRef(backend.bucket, KEY), b"another", content_type="image/jpeg")
        await backend.queue.send(json.dumps({"bucket": backend.bucket, "key": KEY, "presets": ["stretched"]}))
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert (found.status, found.source.bytes) == ("failed", 7 if replaced else 8)
    known = found.source.width, found.source.format, found.source.thumbhash
    assert known == ((None, None, None) if replaced else (4, "JPEG", "2PcNDYI="))
    assert list(found.renditions) == ([] if replaced else ["thumbnail"])


class DearRenderer(FakeRenderer):
    """A renderer for which one preset costs too much."""

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        rendered = await super().result(original, presets)
        images = tuple(image for image in rendered.images if image.preset != "stretched")
        dear = tuple(NotMade(each.name, "too-large", "600 MiB") for each in presets if each.name == "stretched")
        return replace(rendered, images=images, not_made=dear)


def job(message_id: str) -> Job:
    message = ReceivedMessage(message_id, "receipt", KEY, 1, None)
    return Job(message, JobRequest(ObjectRef("local", KEY)))


def asked(backend: Backend, *presets: str) -> str:
    return json.dumps({"bucket": backend.bucket, "key": KEY, "presets": presets})


async def test_what_can_be_made_is_made_and_the_manifest_says_what_was_not_made(backend: Backend) -> None:
    async with consuming(backend, DearRenderer()):
        await backend.store.put(ObjectRef(backend.bucket, KEY), b"original", content_type="image/jpeg")
        await backend.queue.send(asked(backend, "thumbnail", "stretched"))
        await settled(backend)  # and no dead letter
    found = await record(backend)
    assert found is not None
    assert faults(found.encode()) == []
    assert (found.status, list(found.renditions), found.error) == ("done", ["thumbnail"], None)
    assert found.failed is not None
    assert {name: (failed.code, failed.message) for name, failed in found.failed.items()} == {
        "stretched": ("too-large", "600 MiB")
    }


async def test_a_preset_that_failed_is_settled_for_its_message_and_tried_again_for_another(backend: Backend) -> None:
    renderer = DearRenderer()
    async with consuming(backend, renderer):
        await backend.store.put(ObjectRef(backend.bucket, KEY), b"original", content_type="image/jpeg")
        await backend.queue.send(asked(backend, "thumbnail", "stretched"))
        await settled(backend)
        first = await record(backend)
        assert first is not None
        presets = [THUMBNAIL, BUILT_IN[1]]
        findings = Findings(presets=tuple(presets), head_etag=first.source.etag)
        assert first.message_id is not None
        assert findings.are_met_by(first, job(first.message_id))
        assert not findings.are_met_by(first, job("another"))
        assert not replace(findings, head_etag="new").are_met_by(first, job(first.message_id))
        await backend.queue.send(asked(backend, "thumbnail", "stretched"))
        await settled(backend)
    assert renderer.renders == 2


async def test_a_message_about_other_presets_leaves_what_is_known_of_those_that_failed(backend: Backend) -> None:
    async with consuming(backend, DearRenderer()):
        await backend.store.put(ObjectRef(backend.bucket, KEY), b"original", content_type="image/jpeg")
        await backend.queue.send(asked(backend, "thumbnail", "stretched"))
        await settled(backend)
        await backend.queue.send(asked(backend, "jpgfiles"))
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert list(found.renditions) == ["thumbnail", "jpgfiles"]
    assert list(found.failed or ()) == ["stretched"]
