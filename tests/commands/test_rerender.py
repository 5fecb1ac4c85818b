"""Which originals `thumbq rerender` finds, what it asks for, and that a run goes on where one was cut off."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.commands import thumbq
from support.doubles.consuming import consuming, record, settled
from support.doubles.rendering import FakeRenderer
from thumbq.backends import open_backend
from thumbq.commands.rerender import Progress, RunOptions, Selection, cursor_key, rerender
from thumbq.core import keys, message
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest
from thumbq.core.preset import Preset
from thumbq.errors import BackendUnavailable, ObjectMissing, SetupError
from thumbq.local.jobqueue import LocalQueue
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from thumbq.commands.originals import FoundOriginal
    from thumbq.core.job import JobRequest
    from thumbq.ports import Backend

SMALL, WIDE, NEW = Preset(name="small", width=10), Preset(name="wide", width=20), Preset(name="new", width=30)
OLD = "0" * 16


def soon() -> float:
    """Return a time after all that a test has stored. It is the test's own: a run may take minutes before it."""
    return time.time() + 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(local=tmp_path / "data", presets={preset.name: preset for preset in (SMALL, WIDE, NEW)})


@pytest.fixture
async def backend(settings: Settings) -> AsyncIterator[Backend]:
    async with open_backend(settings) as opened:
        yield opened


async def store(
    backend: Backend,
    key: str,
    made: Mapping[str, str] | None = None,
    *,
    failed: Mapping[str, str] | None = None,
    status: str = "done",
    **members: Any,
) -> None:
    """Store an original, and a manifest with these fingerprints."""
    await backend.store.put(ObjectRef(backend.bucket, key), b"x", content_type="image/jpeg")
    if made is None:
        return
    rendition = {"bucket": "local", "key": "k", "width": 1, "height": 1, "bytes": 1, "content_type": "image/jpeg"}
    manifest = Manifest.model_validate(
        {
            "status": status,
            "source": {"bucket": "local", "key": key},
            "renditions": {name: rendition | {"sha256": "", "fingerprint": recipe} for name, recipe in made.items()},
            "failed": {
                name: {"code": "c", "message": "m", "fingerprint": recipe} for name, recipe in (failed or {}).items()
            },
            "finished_at": 0,
            **members,
        }
    )
    ref = ObjectRef(backend.bucket, keys.manifest_key(key))
    await backend.store.put(ref, manifest.encode(), content_type="application/json")


async def found(
    settings: Settings, selection: Selection | None = None, *, progress: Progress | None = None, **options: Any
) -> list[FoundOriginal]:
    reported: list[FoundOriginal] = []
    await rerender(
        settings,
        selection or Selection(),
        RunOptions(**{"now": soon(), **options}),
        progress=progress or Progress(),
        report=reported.append,
        moved_on=lambda _: None,
    )
    return reported


async def queued(backend: Backend) -> list[JobRequest]:
    bodies: list[str] = []
    while messages := await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30):
        bodies += [one.body for one in messages]
    return [job for body in bodies for job in message.parse(body, default_bucket=backend.bucket).jobs]


async def originals(backend: Backend) -> None:
    current = {"small": SMALL.fingerprint, "wide": WIDE.fingerprint}
    await store(backend, "uploads/1-current", current)
    await store(backend, "uploads/2-changed", current | {"wide": OLD}, callback_url="https://example.com/hook")
    await store(backend, "uploads/3-all-changed", {"small": OLD, "wide": OLD, "gone": OLD})
    await store(backend, "uploads/4-failed-of-old", {"small": SMALL.fingerprint}, failed={"wide": OLD})
    await store(backend, "uploads/5-failed-of-today", {"small": SMALL.fingerprint}, failed={"wide": WIDE.fingerprint})
    await store(backend, "uploads/6-failed", {"small": OLD}, status="failed")
    await store(backend, "uploads/7-not-done")


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), {"2": ("wide",), "3": ("small", "wide"), "4": ("wide",)}),
        # What another recipe has made comes along: the new manifest would not name it.
        (Selection(presets=("small",)), {"3": ("small", "wide")}),
        (
            Selection(presets=("new",)),
            {"1": ("new",), "2": ("new", "wide"), "3": ("new", "small", "wide"), "4": ("new", "wide"), "5": ("new",)},
        ),
        (Selection(everything=True), dict.fromkeys("12345", ("small", "wide"))),
        (
            Selection(presets=("small",), everything=True),
            {"1": ("small",), "2": ("small", "wide"), "3": ("small", "wide"), "4": ("small", "wide"), "5": ("small",)},
        ),
        (Selection(prefixes=("uploads/2", "uploads/5")), {"2": ("wide",)}),
        (Selection(older_than=3600), {}),
        (Selection(newer_than=3600), {"2": ("wide",), "3": ("small", "wide"), "4": ("wide",)}),
        (Selection(newer_than=1), {}),
    ],
)
async def test_what_is_due_is_what_another_recipe_has_made_or_what_is_asked_for(
    backend: Backend, settings: Settings, selection: Selection, expected: dict[str, tuple[str, ...]]
) -> None:
    await originals(backend)
    progress = Progress()
    reported = await found(settings, selection, progress=progress)
    assert {due.source.key.removeprefix("uploads/")[0]: due.presets for due in reported} == expected
    assert await queued(backend) == []
    if not (selection.prefixes or selection.older_than or selection.newer_than):
        assert (progress.looked_at, progress.failed_jobs, progress.without_manifest) == (7, 1, 1)


async def test_messages_name_presets_and_callback_and_that_they_look_first(
    backend: Backend, settings: Settings
) -> None:
    await originals(backend)
    await found(settings, Selection(prefixes=("uploads/2",)), apply=True)
    await found(settings, Selection(prefixes=("uploads/1",), everything=True), apply=True)
    changed, everything = await queued(backend)
    assert (changed.presets, changed.callback_url, changed.rerender) == (
        ("wide",),
        "https://example.com/hook",
        "changed",
    )
    assert (everything.presets, everything.rerender) == (("small", "wide"), "all")


async def test_a_run_that_ended_early_goes_on_with_the_same_selection_and_ages(
    backend: Backend, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"uploads/{number:03}" for number in range(100)]
    for name in names:
        await store(backend, name, {"small": OLD})
    send, sent = LocalQueue.send, 0

    async def failing(self: LocalQueue, body: str, *, group: str | None = None) -> str:
        nonlocal sent
        sent += 1
        if sent == 50:
            raise BackendUnavailable("away")
        return await send(self, body, group=group)

    selection = Selection(older_than=30)
    with monkeypatch.context() as patched:
        patched.setattr(LocalQueue, "send", failing)
        with pytest.raises(BackendUnavailable):
            await found(settings, selection, apply=True)
    first = {job.source.key for job in await queued(backend)}

    # Nobody else goes on there: not a dry run, not another selection, not one of other presets.
    assert len(await found(settings, selection)) == 100
    assert len(await found(settings, Selection(everything=True))) == 100
    progress = Progress()
    # The age counts from the beginning of the run: an hour earlier none of them would be old enough.
    reported = await found(settings, selection, apply=True, now=soon() - 3600, progress=progress)
    rest = {due.source.key for due in reported}
    assert progress.began_after == names[31]
    assert rest == set(names[32:])
    assert first | rest == set(names)
    # What may be queued already comes last: its first message is no longer at work then, and mostly it is done.
    assert [due.source.key for due in reported] == [*names[64:], *names[32:64]]
    with pytest.raises(ObjectMissing):
        await backend.store.head(ObjectRef(backend.bucket, cursor_key(settings, selection)))
    assert len(await queued(backend)) == 68


async def test_from_the_start_forgets_how_far_a_run_has_come(backend: Backend, settings: Settings) -> None:
    await store(backend, "uploads/1", {"small": OLD})
    cursor = Selection().beginning(soon()).model_copy(update={"after": "uploads/9"})
    ref = ObjectRef(backend.bucket, cursor_key(settings, Selection()))
    await backend.store.put(ref, cursor.encode(), content_type="application/json")
    assert len(await found(settings, apply=True, from_start=True)) == 1


async def test_jobs_that_were_queued_twice_are_done_once_and_with_all_by_each_message(
    backend: Backend, settings: Settings
) -> None:
    key, renderer = "uploads/1", FakeRenderer()
    await store(backend, key, {"small": OLD})
    for _ in range(3):
        await found(settings, apply=True)
    async with consuming(backend, renderer, presets=settings.presets, concurrency=1):
        await settled(backend)
        assert renderer.renders == 1
        made = await record(backend, key)
        assert made is not None
        assert made.renditions["small"].fingerprint == SMALL.fingerprint
        assert await found(settings) == []
        await found(settings, Selection(everything=True), apply=True)
        await settled(backend)
    assert renderer.renders == 2


async def test_a_rate_is_kept(backend: Backend, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        await store(backend, f"uploads/{number}", {"small": OLD})
    slept: list[float] = []

    async def sleep_until(at: float) -> None:
        slept.append(at)

    monkeypatch.setattr(anyio, "sleep_until", sleep_until)
    await found(settings, apply=True, rate=2)
    gaps = [later - earlier for earlier, later in pairwise(slept)]
    assert len(gaps) == 4
    assert gaps == pytest.approx([0.5] * 4, abs=1e-6)


@pytest.mark.parametrize(
    ("selection", "fault"),
    [
        (Selection(presets=("small", "huge")), "there is no preset 'huge' in the settings"),
        (Selection(prefixes=("manifests/",)), "under manifests/ are no originals"),
    ],
)
async def test_what_is_not_there_is_refused_before_anything_is_opened(
    settings: Settings, selection: Selection, fault: str
) -> None:
    with pytest.raises(SetupError) as refused:
        await found(settings, selection, apply=True)
    assert [problem.what for problem in refused.value.problems] == [fault]
    assert settings.local is not None
    assert not settings.local.exists()


def test_the_command_prints_what_is_due_and_how_to_apply_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbq.toml").write_text('local = "data"\n\n[presets.small]\nwidth = 10\n')

    async def prepare() -> None:
        async with open_backend(Settings(local=tmp_path / "data")) as backend:
            await originals(backend)

    anyio.run(prepare)
    monkeypatch.setattr(sys, "argv", ["thumbq", "rerender"])
    done = thumbq("rerender")
    assert done.exit_code == 0
    assert [line.split("\t")[2:] for line in done.stdout.splitlines()[:-2]] == [["uploads/3-all-changed", "small"]]
    assert done.stdout.splitlines()[-2:] == [
        "7 keys, 1 originals to render again; nothing was changed, --apply queues them",
        "left alone: 1 failed jobs (thumbq dlq redrive), 1 originals without a manifest (thumbq reconcile)",
    ]
    applied = thumbq("rerender", "--apply", "--json")
    line = json.loads(applied.stdout)
    assert (line["key"], line["presets"]) == ("uploads/3-all-changed", ["small"])
    assert line["message_id"]
    refused = thumbq("rerender", "--preset", "huge")
    assert refused.exit_code == 2
    assert "there is no preset 'huge'" in refused.stderr
