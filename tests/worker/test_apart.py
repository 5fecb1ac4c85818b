"""Presets that kill their renders: what can be made is made, and the manifest says what has failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.doubles.consuming import KEY, buried, consuming, done, put, record, settled
from support.doubles.rendering import FakeRenderer
from support.processes.marked_pool import marked_pool
from thumbq.core import keys
from thumbq.core.crashrecord import CrashRecord, PresetCrashes
from thumbq.core.job import ObjectRef
from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thumbq.core.manifest import Manifest
    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered

NAMES = ["jpgfiles", "stretched", "thumbnail"]
TOGETHER = (*NAMES,)
CRASH = RenderKilled("render-crashed", "signal 11")
LATE = RenderKilled("decode-timeout", "too long")


class Killing(FakeRenderer):
    """Ends a render as the first of its presets that has an ending says; it keeps what was asked, render by render."""

    def __init__(self, **endings: Exception | list[Exception | None]) -> None:
        super().__init__()
        self.asked_for: list[tuple[str, ...]] = []
        self._endings = endings

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        self.asked_for.append(tuple(preset.name for preset in presets))
        for preset in presets:
            ending = self._endings.get(preset.name)
            if isinstance(ending, list):
                ending = ending.pop(0) if ending else None
            if ending is not None:
                raise ending
        return await super().result(original, presets)


async def send(backend: Backend, body: bytes = b"original") -> None:
    await put(backend, KEY, body)
    await backend.queue.send(json.dumps({"key": KEY, "presets": NAMES}))


async def ended(backend: Backend, renderer: Any, *, dead: int = 0, **further: Any) -> Manifest:
    async with consuming(backend, renderer, **further):
        await settled(backend, dead=dead, within_s=1000)
    assert await backend.store.list(backend.bucket, prefix=keys.CRASH_RECORDS_PREFIX) == []
    found = await record(backend)
    assert found is not None
    return found


def codes(manifest: Manifest) -> dict[str, str]:
    return {name: failed.code for name, failed in (manifest.failed or {}).items()}


@pytest.mark.parametrize("error", [CRASH, LATE])
@pytest.mark.parametrize("name", NAMES)
async def test_a_preset_that_kills_its_renders_fails_alone(backend: Backend, name: str, error: RenderKilled) -> None:
    await send(backend)
    renderer = Killing(**{name: error})
    found = await ended(backend, renderer)
    assert (found.status, found.receive_count, codes(found)) == ("done", 2, {name: error.code})
    assert list(found.renditions) == [each for each in NAMES if each != name]
    assert renderer.asked_for == [TOGETHER, ("stretched",), ("thumbnail",), ("jpgfiles",)]


async def test_only_presets_that_are_killed_fail_however_many_they_are(backend: Backend) -> None:
    await send(backend)
    found = await ended(backend, Killing(jpgfiles=CRASH, thumbnail=LATE))
    assert (list(found.renditions), codes(found)) == (
        ["stretched"],
        {"jpgfiles": "render-crashed", "thumbnail": "decode-timeout"},
    )


async def test_an_image_that_kills_every_render_is_buried_after_its_two_lightest_presets(
    backend: Backend, tmp_path: Path
) -> None:
    await send(backend)
    renderer = Killing(jpgfiles=LATE, stretched=LATE, thumbnail=LATE)
    found = await ended(backend, renderer, dead=1)
    assert found.error is not None
    assert (found.error.code, found.renditions, found.failed) == ("decode-timeout", {}, None)
    assert renderer.asked_for == [TOGETHER, ("stretched",), ("thumbnail",)]
    [(_, note)] = buried(tmp_path)
    assert (note.code, note.receive_count) == ("decode-timeout", 2)


async def test_a_kill_that_does_not_come_again_costs_no_preset(backend: Backend) -> None:
    await send(backend)
    found = await ended(backend, Killing(jpgfiles=[CRASH]))
    assert (list(found.renditions), found.failed) == (NAMES, None)


async def test_a_job_of_one_preset_is_rendered_again_as_it_was(backend: Backend) -> None:
    await put(backend, KEY)
    await backend.queue.send(KEY)
    renderer = Killing(thumbnail=[CRASH])
    await ended(backend, renderer)
    assert renderer.asked_for == [("thumbnail",)] * 2


async def test_at_the_last_receive_what_can_be_made_is_made_at_once(backend: Backend) -> None:
    await send(backend)
    renderer = Killing(jpgfiles=LATE)
    found = await ended(backend, renderer, max_receive_count=1)
    assert (found.status, found.receive_count, codes(found)) == ("done", 1, {"jpgfiles": "decode-timeout"})
    assert renderer.asked_for == [TOGETHER, ("stretched",), ("thumbnail",), ("jpgfiles",)]


async def test_another_message_tries_again_what_has_failed(backend: Backend) -> None:
    await send(backend)
    renderer = Killing(jpgfiles=[CRASH, CRASH])
    async with consuming(backend, renderer):
        await settled(backend)
        first = await done(backend, KEY)
        await send(backend)
        await settled(backend)
    assert codes(first) == {"jpgfiles": "render-crashed"}
    second = await done(backend, KEY)
    assert (sorted(second.renditions), second.failed) == (NAMES, None)
    assert renderer.asked_for[4:] == [TOGETHER]


@pytest.mark.parametrize(
    ("refusal", "becomes"), [("too-large", {"stretched": "too-large", "jpgfiles": "render-crashed"}), ("corrupt", None)]
)
async def test_a_refusal_of_one_preset_is_its_own_and_one_of_the_image_is_of_all(
    backend: Backend, refusal: str, becomes: dict[str, str] | None
) -> None:
    await send(backend)
    endings: dict[str, Any] = {"jpgfiles": CRASH, "stretched": [RenderRefused(refusal, "no")]}
    found = await ended(backend, Killing(**endings), dead=int(becomes is None))
    assert found.status == ("done" if becomes else "failed")
    assert codes(found) == (becomes or {})


async def left_behind(backend: Backend, record: CrashRecord) -> None:
    """Be a replica that has received the message, and has ended."""
    await send(backend)
    [message] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=1)
    ref = ObjectRef(backend.bucket, keys.crash_record_key(message.id))
    await backend.store.put(ref, record.encode(), content_type="application/json")


async def test_what_may_have_ended_a_replica_is_the_last_and_is_given_up_the_third_time(backend: Backend) -> None:
    once = {"stretched": PresetCrashes(vanished=1)}
    await left_behind(backend, CrashRecord(vanished=1, open=True, rendering="stretched", presets=once))
    renderer = Killing()
    found = await ended(backend, renderer)
    assert codes(found) == {"stretched": "render-crashed"}
    assert renderer.asked_for == [("thumbnail",), ("jpgfiles",)]
    assert "nothing says why" in (found.failed or {})["stretched"].message


async def test_a_preset_that_was_rendered_when_a_replica_died_is_the_last_but_is_tried(backend: Backend) -> None:
    await left_behind(backend, CrashRecord(vanished=1, open=True, rendering="stretched"))
    renderer = Killing()
    found = await ended(backend, renderer)
    assert (list(found.renditions), found.failed) == (NAMES, None)
    assert renderer.asked_for == [("thumbnail",), ("jpgfiles",), ("stretched",)]


async def test_at_the_last_receive_no_preset_is_tried_that_may_have_ended_a_replica(backend: Backend) -> None:
    await left_behind(backend, CrashRecord(vanished=1, open=True, rendering="stretched"))
    found = await ended(backend, Killing(), max_receive_count=2)
    assert (found.status, codes(found)) == ("done", {"stretched": "render-crashed"})


async def test_one_kill_after_the_end_of_a_replica_is_tried_again_and_a_second_is_the_verdict(backend: Backend) -> None:
    await left_behind(backend, CrashRecord(open=True))
    renderer = Killing(stretched=CRASH)
    found = await ended(backend, renderer)
    assert codes(found) == {"stretched": "render-crashed"}
    apart = [("stretched",), ("thumbnail",), ("jpgfiles",)]
    assert renderer.asked_for == [*apart, ("thumbnail",), ("jpgfiles",), ("stretched",)]
    assert found.receive_count == 3


async def test_a_try_that_is_broken_off_forgets_nothing_of_what_was_killed(backend: Backend) -> None:
    await left_behind(backend, CrashRecord(kills=1))
    renderer = Killing(stretched=CRASH, jpgfiles=[RenderUnavailable("no process")])
    found = await ended(backend, renderer)
    assert codes(found) == {"stretched": "render-crashed"}
    assert renderer.asked_for.count(("stretched",)) == 1


@pytest.mark.real_time
@pytest.mark.long
@pytest.mark.parametrize("what", ["signal SIGSEGV", "hold"])
async def test_a_preset_that_kills_real_render_processes_fails_alone(backend: Backend, what: str) -> None:
    await send(backend, f"with thumbnail {what}".encode())
    async with marked_pool(timeout_s=0.5) as pool:
        found = await ended(backend, pool)
    code = "render-crashed" if "signal" in what else "decode-timeout"
    assert (found.status, codes(found)) == ("done", {"thumbnail": code})
    assert list((await done(backend, KEY)).renditions) == ["jpgfiles", "stretched"]
