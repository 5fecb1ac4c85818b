"""Finding originals without a manifest: against brute force, with keys that sort in awkward ways, and resumed."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from thumbq.backends import open_backend
from thumbq.commands import reconcile as command
from thumbq.commands.missingmanifests import ManifestCursor
from thumbq.commands.originals import FoundOriginal, batches, prefixes_of
from thumbq.commands.reconcile import Progress, reconcile
from thumbq.core import keys, message
from thumbq.core.catalog import CatalogInForce, Route
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest, SourceRecord
from thumbq.deletion.tombstones import Tombstones
from thumbq.errors import BackendUnavailable, SetupError
from thumbq.local.store import LocalStore
from thumbq.process import SystemClock
from thumbq.settings import QueueTable, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from thumbq.ports import Backend, ListedObject

LONG = "uploads/" + "猫" * 330
LONGEST = "uploads/" + "x" * (keys.MAX_KEY_BYTES - len("uploads/"))

# Neighbours around "." and "/", prefixes of each other, and keys whose manifests' keys are shortened.
TAILS = ("", "-", "-1", " (1)", ".json", "/", "0", "!")
AWKWARD = [
    *(f"uploads/{stem}{tail}" for stem in ("a", "b.jpg", "猫") for tail in TAILS),
    "uploads/a.json.json",
    "uploads/a/b",
    LONG,
    f"{LONG}-1",
    LONGEST,
    LONGEST[:-1],
    LONGEST[:-14],
    LONGEST[:-15],
    LONGEST[:-16],
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(local=tmp_path / "data")


@pytest.fixture
async def backend(settings: Settings) -> AsyncIterator[Backend]:
    async with open_backend(settings) as opened:
        yield opened


async def store(backend: Backend, originals: Iterable[str], manifests: Iterable[str] = (), body: bytes = b"x") -> None:
    async def put(key: str, raw: bytes) -> None:
        await backend.store.put(ObjectRef(backend.bucket, key), raw, content_type="text/plain")

    async with anyio.create_task_group() as tasks:
        for key in originals:
            tasks.start_soon(put, key, body)
        for key in manifests:
            record = Manifest.model_validate(
                {"status": "failed", "source": SourceRecord(bucket="local", key=key), "finished_at": 0}
            )
            tasks.start_soon(put, keys.manifest_key(key), record.encode())


async def found(
    settings: Settings,
    *,
    prefixes: Sequence[str] = ("uploads/",),
    apply: bool = False,
    after: str = "",
    older_than_s: float = -60,
) -> list[str]:
    reported: list[FoundOriginal] = []
    await reconcile(
        settings,
        prefixes,
        modified_before=time.time() - older_than_s,
        apply=apply,
        progress=Progress(after),
        report=reported.append,
        moved_on=lambda _: None,
    )
    return [missing.source.key for missing in reported]


async def queued(backend: Backend) -> list[str]:
    bodies: list[str] = []
    while messages := await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30):
        bodies += [message.body for message in messages]
    return bodies


@pytest.fixture(params=[1, 2, 3, 1000])
def page_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have listings come in pages of so many keys."""
    size: int = request.param
    whole = LocalStore.list

    async def some(
        self: LocalStore, bucket: str, *, prefix: str, after: str = "", limit: int = 1000
    ) -> Sequence[ListedObject]:
        return await whole(self, bucket, prefix=prefix, after=after, limit=min(limit, size))

    monkeypatch.setattr(LocalStore, "list", some)
    return size


@pytest.mark.usefixtures("page_size")
async def test_exactly_the_originals_without_a_manifest_are_found_whatever_their_keys(
    backend: Backend, settings: Settings
) -> None:
    for seed in range(3):
        chance = random.Random(seed)
        originals = {key for key in AWKWARD if chance.random() < 0.8}
        done = {key for key in AWKWARD if chance.random() < 0.6}  # also of originals that are gone
        await store(backend, originals, done)
        expected = sorted(originals - done)
        assert await found(settings) == expected, seed
        for key in originals | {keys.manifest_key(key) for key in done}:
            await backend.store.delete(ObjectRef(backend.bucket, key))


@pytest.mark.usefixtures("page_size")
async def test_the_listing_never_shows_a_manifest_that_is_not_there(backend: Backend) -> None:
    for present in AWKWARD:
        await store(backend, [], [present])
        cursor = ManifestCursor(backend.store, backend.bucket, "uploads/")
        shown = [key for key in sorted(AWKWARD) if await cursor.has(key)]
        assert shown in ([], [present])
        await backend.store.delete(ObjectRef(backend.bucket, keys.manifest_key(present)))


async def test_most_manifests_are_seen_in_the_listing_and_cost_no_request_of_their_own(
    backend: Backend, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [keys.upload_key(keys.new_id(index, index)) for index in range(500)]
    await store(backend, ids, ids[:400])
    asked: list[str] = []
    get = LocalStore.get

    async def counted(self: LocalStore, ref: ObjectRef, *, max_bytes: int) -> object:
        asked.append(ref.key)
        return await get(self, ref, max_bytes=max_bytes)

    monkeypatch.setattr(LocalStore, "get", counted)
    assert await found(settings) == sorted(ids[400:])
    assert len(asked) == 200, "the manifest of each of the others, and whether its job was deleted"


async def test_a_manifest_of_another_original_under_a_shortened_key_does_not_count(
    backend: Backend, settings: Settings
) -> None:
    shortened = keys.manifest_key(LONGEST)
    twin = shortened.removeprefix(keys.MANIFESTS_PREFIX).removesuffix(".json")
    assert keys.manifest_key(twin) == shortened
    await store(backend, [LONGEST, twin], [LONGEST])
    assert await found(settings) == [twin]


async def test_an_empty_manifest_is_none(backend: Backend, settings: Settings) -> None:
    await store(backend, ["uploads/a", keys.manifest_key("uploads/a")], body=b"")
    assert await found(settings) == ["uploads/a"]


async def test_what_is_young_an_output_a_record_or_a_folder_is_no_original(
    backend: Backend, settings: Settings
) -> None:
    await store(backend, ["uploads/a", "thumbnail/a.jpg", "attempts/m.json", "failed-messages/m.json", "cat.png"])
    await store(backend, ["uploads/folder/"], body=b"")
    assert await found(settings, prefixes=[""]) == ["cat.png", "uploads/a"]
    assert await found(settings, prefixes=[""], older_than_s=60) == []


async def test_without_apply_nothing_is_queued_and_with_it_each_once(backend: Backend, settings: Settings) -> None:
    originals = [f"uploads/{index:03}" for index in range(100)]
    await store(backend, originals, originals[::2])
    assert await found(settings) == originals[1::2]
    assert await queued(backend) == []
    assert await found(settings, apply=True) == originals[1::2]
    bodies = await queued(backend)
    assert sorted(bodies) == sorted(f'{{"bucket": "local", "key": "{key}"}}' for key in originals[1::2])


async def test_on_a_fifo_queue_what_is_queued_again_is_in_the_group_of_its_key(tmp_path: Path) -> None:
    fifo = Settings(local=tmp_path / "data", queues=(QueueTable(name="jobs", queue="jobs.fifo"),))
    async with open_backend(fifo) as backend:
        await store(backend, ["uploads/a", "uploads/猫"])
        assert await found(fifo, apply=True) == ["uploads/a", "uploads/猫"]
        messages = await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    assert {each.group for each in messages} == {"uploads/a", message.group_id("uploads/猫")}


async def test_every_key_that_a_store_can_hold_can_be_queued(backend: Backend, settings: Settings) -> None:
    keys = ["uploads/a\x00b", "uploads/\ufffe", "uploads/c"]
    await store(backend, keys)
    reported: list[FoundOriginal] = []
    await reconcile(
        settings,
        ["uploads/"],
        modified_before=time.time() + 60,
        apply=True,
        progress=Progress(""),
        report=reported.append,
        moved_on=lambda _: None,
    )
    assert {missing.source.key: missing.error for missing in reported} == dict.fromkeys(keys)
    jobs = [job for body in await queued(backend) for job in message.parse(body, default_bucket="b").jobs]
    assert sorted(job.source.key for job in jobs) == sorted(keys)


@pytest.mark.parametrize("fails_at", [1, 40, 99])
async def test_a_run_that_an_outage_ended_goes_on_where_it_was(
    backend: Backend, settings: Settings, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    monkeypatch.setattr(command, "batches", partial(batches, size=8))
    originals = [f"uploads/{index:03}" for index in range(100)]
    await store(backend, originals)
    asked = 0
    get = LocalStore.get

    async def failing(self: LocalStore, ref: ObjectRef, *, max_bytes: int) -> object:
        nonlocal asked
        asked += 1
        if asked == fails_at:
            raise BackendUnavailable("away")
        return await get(self, ref, max_bytes=max_bytes)

    monkeypatch.setattr(LocalStore, "get", failing)
    progress, reported = Progress(""), list[FoundOriginal]()

    async def run() -> None:
        await reconcile(
            settings,
            ["uploads/"],
            modified_before=time.time() + 60,
            apply=True,
            progress=progress,
            report=reported.append,
            moved_on=lambda _: None,
        )

    with pytest.raises(BackendUnavailable):
        await run()
    assert len(reported) == len(await queued(backend)), "what was queued was reported"
    first = {missing.source.key for missing in reported}
    await run()
    assert {missing.source.key for missing in reported} == set(originals)
    again = [missing.source.key for missing in reported if missing.source.key in first]
    assert len(again) - len(first) < 8, "at most one batch is queued twice"


async def test_a_cancelled_run_tells_all_that_it_queued(backend: Backend, settings: Settings) -> None:
    originals = [f"uploads/{index:03}" for index in range(200)]
    await store(backend, originals)
    progress, reported = Progress(""), list[str]()
    with anyio.CancelScope() as scope:

        def report(missing: FoundOriginal) -> None:
            reported.append(missing.source.key)
            if len(reported) == 40:
                scope.cancel()

        await reconcile(
            settings,
            ["uploads/"],
            modified_before=time.time() + 60,
            apply=True,
            progress=progress,
            report=report,
            moved_on=lambda _: None,
        )
    assert scope.cancelled_caught
    assert len(await queued(backend)) == len(reported) < 200
    assert progress.after == reported[-1]
    assert await found(settings, after=progress.after) == originals[len(reported) :]


def test_the_prefixes_are_uploads_and_the_routes_none_inside_another(settings: Settings) -> None:
    routes = [Route(prefix=prefix, presets=("thumbnail",)) for prefix in ("uploads/vip/", "b/", "a/x", "a/x/y")]
    routed = Settings(local=settings.local, routes=tuple(routes))
    assert prefixes_of(routed.catalog, []) == ["a/x", "b/", "inbox/", "uploads/"]
    assert prefixes_of(routed.catalog, ["c/", ""]) == [""]
    with pytest.raises(SetupError, match="no originals"):
        prefixes_of(routed.catalog, ["manifests/uploads/"])


async def test_originals_are_found_under_all_prefixes_that_keys_are_spread_over(
    settings: Settings, backend: Backend
) -> None:
    originals = [
        key(keys.new_id(1_800_000_000_000 + prefixes, number, prefixes))
        for key in (keys.upload_key, keys.inbox_key)
        for prefixes in (1, 3, 32)
        for number in range(12)
    ]
    await store(backend, originals, originals[::2])
    assert await found(settings, prefixes=prefixes_of(settings.catalog, ())) == sorted(originals[1::2])


async def test_a_job_that_was_deleted_is_not_brought_back_but_removed(settings: Settings, backend: Backend) -> None:
    ids = [keys.new_id(1_800_000_000_000, number) for number in range(3)]
    originals = [keys.upload_key(ids[0]), keys.inbox_key(ids[1]), keys.upload_key(ids[2])]
    await store(backend, originals)
    tombstones = Tombstones(backend.store, backend.bucket, CatalogInForce(settings.catalog), SystemClock())
    for job_id in ids[:2]:
        await tombstones.put(job_id)
    for apply in (False, True):
        found: list[FoundOriginal] = []
        await reconcile(
            settings,
            prefixes_of(settings.catalog, ()),
            modified_before=time.time() + 60,
            apply=apply,
            progress=Progress(""),
            report=found.append,
            moved_on=lambda _: None,
        )
        assert [missing.source.key for missing in found] == originals[2:]
        received = await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
        jobs = [job for each in received for job in message.parse(each.body, default_bucket="").jobs]
        asked = {(job.source.key, job.deletion) for job in jobs}
        assert asked == ({(originals[0], True), (originals[1], True), (originals[2], False)} if apply else set())
