"""Jobs that are deleted, whatever happens to them at that moment: a minute later nothing of them is left.

Each test has many jobs in one queue. A job's original says what is to become of it, and the deletion of each comes at
another moment: before or after one of the requests that its attempt makes of the store, or while it is rendered.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import pytest
from structlog.contextvars import get_contextvars

from support.doubles.clocks import SystemClock
from support.doubles.consuming import Delegate, consuming, dead_letters, put, record, settled
from support.doubles.rendering import FakeRenderer, pictures
from thumbq.core import keys, message
from thumbq.core.catalog import Catalog, CatalogInForce
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.manifest import Manifest
from thumbq.core.preset import BUILT_IN
from thumbq.core.tombstone import HOLD_S, LATE_S, LOOK_AFTER_S
from thumbq.deletion.deleting import JobDeleter
from thumbq.deletion.tombstones import Tombstones
from thumbq.errors import BackendUnavailable, RenderKilled, RenderRefused
from thumbq.local import open_local_queues
from thumbq.ports import QueueCounts, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thumbq.core.job import Rerender
    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Rendered

CATALOG: Final = Catalog({preset.name: preset for preset in BUILT_IN})
PRESETS: Final = ("thumbnail", "stretched")
MOMENTS: Final = [half / 2 for half in range(14)]
"""Before (0, 1, …) and after (0.5, 1.5, …) the requests of an attempt; none makes more than seven before its end."""

MORE: Final = pytest.mark.long
FOLDERS: Final = pytest.mark.parametrize("folder", ["uploads/", pytest.param("inbox/", marks=MORE)])

A_MINUTE: Final = 60.0


@dataclass
class Jobs:
    """Jobs of one backend, by what is tried with them."""

    backend: Backend
    clock: SystemClock
    names: dict[str, str] = field(default_factory=dict)
    """What is tried, by the id."""
    moments: dict[str, float] = field(default_factory=dict)
    deaths: dict[str, float] = field(default_factory=dict)
    """At which moments attempts end without a word."""
    deleted: set[str] = field(default_factory=set)
    told: list[Manifest] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)
    """Ids of those that ask for the jobs; not of those that thumbq sends when one is deleted."""
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.deleter = self.deleter_of(self.backend)

    def deleter_of(self, backend: Backend) -> JobDeleter:
        tombstones = Tombstones(backend.store, backend.bucket, CatalogInForce(CATALOG), self.clock)
        return JobDeleter(tombstones, [backend])

    async def new(self, name: str, kind: str, moment: float, *, folder: str = "uploads/", send: bool = True) -> str:
        job_id = keys.new_id(int(self.clock.wall() * 1000), next(self._numbers))
        self.names[job_id], self.moments[job_id] = name, moment
        await put(self.backend, folder + job_id, f"{job_id} {kind}".encode())
        if send:
            await self.send(folder + job_id)
        return job_id

    async def send(self, key: str, presets: tuple[str, ...] = PRESETS, rerender: Rerender | None = None) -> None:
        body = message.encode(JobRequest(ObjectRef(self.backend.bucket, key), presets, rerender=rerender))
        self.messages.add(await self.backend.queue.send(body))

    async def delete(self, job_id: str) -> None:
        if job_id not in self.deleted:
            self.deleted.add(job_id)
            assert await self.deleter.delete(job_id)

    async def delete_the_rest(self) -> None:
        for job_id in self.names:
            await self.delete(job_id)

    async def left(self) -> dict[str, list[str]]:
        """Return what the store has of them, but for their tombstones."""
        found = await self.backend.store.list(self.backend.bucket, prefix="")
        left: defaultdict[str, list[str]] = defaultdict(list)
        for entry in found:
            if not entry.key.startswith(keys.TOMBSTONES_PREFIX):
                ids = [self.names[job_id] for job_id in self.names if job_id in entry.key]
                left[(ids or ["nobody"])[0]].append(entry.key)
        return dict(left)

    async def announce(self, manifest: Manifest, *, attempt: int) -> None:
        assert attempt >= 1
        assert manifest.status != "deleted"
        self.told.append(manifest)


class Watching(Delegate):
    """The store of a replica, in which jobs are deleted at their moments; ``dies``: their attempts get no further.

    ``shown_again`` are those of whom a manifest says after that what has become of them.
    """

    def __init__(self, jobs: Jobs, *, dies: bool = False) -> None:
        super().__init__(jobs.backend.store)
        self.asked: Counter[str] = Counter()
        self._jobs = jobs
        self._dies = dies
        self._dead: dict[str, float] = {}
        self.shown_again: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(ref: ObjectRef, *args: Any, **options: Any) -> Any:
            found = [job_id for job_id in self._jobs.names if job_id in ref.key]
            if not found or get_contextvars().get("message_id") not in self._jobs.messages:
                return await real(ref, *args, **options)
            [job_id] = found
            if anyio.current_time() < self._dead.get(job_id, 0):
                raise BackendUnavailable("the replica is dead")
            number = self.asked[job_id]
            self.asked[job_id] += 1
            await self._at(job_id, number)
            was_deleted = job_id in self._jobs.deleted
            answer = await real(ref, *args, **options)
            if name == "put" and ref.key.startswith(keys.MANIFESTS_PREFIX) and was_deleted:
                manifest = Manifest.decode(args[0])
                assert manifest is not None
                self.shown_again += [self._jobs.names[job_id]] * (manifest.status != "deleted")
            await self._at(job_id, number + 0.5)
            return answer

        return call

    async def _at(self, job_id: str, moment: float) -> None:
        if self._jobs.moments[job_id] == moment and job_id not in self._jobs.deleted:
            await self._jobs.delete(job_id)
            if self._dies:
                self._die(job_id)
        if self._jobs.deaths.get(job_id) == moment:
            del self._jobs.deaths[job_id]
            self._die(job_id)

    def _die(self, job_id: str) -> None:
        self._dead[job_id] = anyio.current_time() + 1
        raise BackendUnavailable("the replica dies")


class Renderer(FakeRenderer):
    """Does with an original what it says; one that is to be deleted while it is rendered has a negative moment."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        job_id, kind, *seconds = original.decode().split()
        if self._jobs.moments[job_id] < 0:
            await self._jobs.delete(job_id)
        if seconds:
            await anyio.sleep(float(seconds[0]))
        if kind == "corrupt":
            raise RenderRefused("corrupt", "no picture")
        if kind == "deadly":
            raise RenderKilled("render-crashed", "it died")
        return pictures(presets)


@pytest.fixture
async def jobs(backend: Backend) -> Jobs:
    return Jobs(backend, SystemClock())


async def received_once(backend: Backend) -> None:
    """Receive all messages as a replica does that dies at once."""
    receipts: list[str] = []
    while found := await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30):
        receipts += [each.receipt for each in found]
    for receipt in receipts:
        await backend.queue.extend([VisibilityChange(receipt, 0)])


async def nothing_is_left(jobs: Jobs, tmp_path: Path) -> None:
    counts = await jobs.backend.queue.counts()
    assert (await jobs.left(), dead_letters(tmp_path), counts) == ({}, [], QueueCounts(0, 0, 0, 0))


@pytest.mark.parametrize(
    ("folder", "receive"),
    [
        ("uploads/", "first"),
        ("inbox/", "second"),
        pytest.param("uploads/", "second", marks=MORE),
        pytest.param("inbox/", "first", marks=MORE),
    ],
)
async def test_at_each_moment_of_an_attempt(jobs: Jobs, tmp_path: Path, folder: str, receive: str) -> None:
    for kind in ("good", "corrupt", "deadly"):
        for moment in MOMENTS:
            await jobs.new(f"{kind} {moment}", kind, moment, folder=folder)
    if receive == "second":
        await received_once(jobs.backend)
    store = Watching(jobs)
    async with consuming(
        replace(jobs.backend, store=cast("Any", store)), Renderer(jobs), jobs.clock, announcers=[jobs]
    ):
        await anyio.sleep(15)
        assert len(jobs.deleted) > len(jobs.names) / 3, "most moments come"
        await jobs.delete_the_rest()
        await anyio.sleep(A_MINUTE)
    assert store.shown_again == []
    await nothing_is_left(jobs, tmp_path)


@pytest.mark.parametrize(
    ("kind", "rerender"), [("good", None), ("corrupt", None), ("good", "changed"), ("good", "all"), ("corrupt", "all")]
)
async def test_at_each_moment_of_an_attempt_at_what_was_done_before(
    jobs: Jobs, tmp_path: Path, kind: str, rerender: Rerender | None
) -> None:
    store = Watching(jobs)
    async with consuming(replace(jobs.backend, store=cast("Any", store)), Renderer(jobs), jobs.clock):
        ids = [await jobs.new(f"{moment}", "good", 99) for moment in MOMENTS]
        await settled(jobs.backend)
        store.asked.clear()
        for job_id, moment in zip(ids, MOMENTS, strict=True):
            jobs.moments[job_id] = moment
            await put(jobs.backend, keys.upload_key(job_id), f"{job_id} {kind}".encode())
            await jobs.send(keys.upload_key(job_id), ("jpgfiles",), rerender)
        await anyio.sleep(15)
        await jobs.delete_the_rest()
        await anyio.sleep(A_MINUTE)
    await nothing_is_left(jobs, tmp_path)


@FOLDERS
async def test_an_attempt_that_gets_no_further_after_the_deletion_leaves_nothing_either(
    jobs: Jobs, tmp_path: Path, folder: str
) -> None:
    for kind in ("good", "corrupt", "good 12", "good 45"):
        for moment in MOMENTS:
            await jobs.new(f"{kind} {moment}", kind, moment, folder=folder)
    store = Watching(jobs, dies=True)
    async with consuming(replace(jobs.backend, store=cast("Any", store)), Renderer(jobs), jobs.clock, concurrency=100):
        await anyio.sleep(60)
        await jobs.delete_the_rest()
        await anyio.sleep(A_MINUTE)
    await nothing_is_left(jobs, tmp_path)


@pytest.mark.parametrize("folder", ["uploads/", "inbox/"])
async def test_while_it_is_rendered_however_long_that_takes(jobs: Jobs, tmp_path: Path, folder: str) -> None:
    times = (0, LOOK_AFTER_S - 1, LOOK_AFTER_S + 1, HOLD_S - 1, HOLD_S, HOLD_S + 1, 45)
    for kind in ("good", "corrupt"):
        for seconds in times:
            await jobs.new(f"{kind} {seconds}", f"{kind} {seconds}", -1, folder=folder)
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock, concurrency=100, announcers=[jobs]):
        await anyio.sleep(A_MINUTE)
    assert len(jobs.deleted) == len(jobs.names)
    assert jobs.told == []
    await nothing_is_left(jobs, tmp_path)


@FOLDERS
async def test_nor_when_the_attempt_ends_between_any_two_steps_long_after(
    jobs: Jobs, tmp_path: Path, folder: str
) -> None:
    for kind in ("good 12", "good 45", "corrupt 45"):
        for moment in MOMENTS:
            job_id = await jobs.new(f"{kind} {moment}", kind, -1, folder=folder)
            jobs.deaths[job_id] = moment
    store = Watching(jobs)
    async with consuming(replace(jobs.backend, store=cast("Any", store)), Renderer(jobs), jobs.clock, concurrency=100):
        await anyio.sleep(50 + A_MINUTE)
    assert len(jobs.deleted) == len(jobs.names)
    await nothing_is_left(jobs, tmp_path)


class SlowTombstones(Delegate):
    """A store that gives tombstones half a second later than what else it is asked for."""

    async def get(self, ref: ObjectRef, **options: Any) -> Any:
        await anyio.sleep(0.5 * ref.key.startswith(keys.TOMBSTONES_PREFIX))
        return await self.target.get(ref, **options)


async def test_a_form_that_is_posted_before_the_deletion_has_come_to_its_end(jobs: Jobs, tmp_path: Path) -> None:
    """Its attempt begins just before what it fetches is removed, and ends after the hold."""
    job_id = await jobs.new("posted", "good", 99, folder="inbox/", send=False)
    await jobs.delete(job_id)
    await anyio.sleep(LATE_S - 5)
    await put(jobs.backend, keys.inbox_key(job_id), f"{job_id} good {LOOK_AFTER_S - 1}".encode())
    await jobs.send(keys.inbox_key(job_id))
    await anyio.sleep(HOLD_S - LATE_S + 4)
    store = cast("Any", SlowTombstones(jobs.backend.store))
    async with consuming(replace(jobs.backend, store=store), Renderer(jobs), jobs.clock, announcers=[jobs]):
        await anyio.sleep(A_MINUTE)
    assert jobs.told == []
    await nothing_is_left(jobs, tmp_path)


async def test_a_job_is_told_as_deleted_from_then_on_whatever_its_attempts_store(jobs: Jobs) -> None:
    job_id = await jobs.new("slow", "good 5", -1)
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock, announcers=[jobs]):
        for _ in range(8):
            await anyio.sleep(1)
            manifest = await record(jobs.backend, keys.upload_key(job_id))
            assert manifest is not None
            assert manifest.status == "deleted"
            assert manifest.model_dump(exclude_none=True, exclude={"finished_at"}) == {
                "version": 2,
                "status": "deleted",
                "source": {"bucket": jobs.backend.bucket, "key": keys.upload_key(job_id)},
                "renditions": {},
            }


async def test_one_that_failed_takes_its_dead_letter_along_and_no_other(jobs: Jobs, tmp_path: Path) -> None:
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock) as _:
        gone = [await jobs.new("deleted", "corrupt", 99) for _ in range(12)]
        kept = [await jobs.new("kept", "corrupt", 99) for _ in range(12)]
        await settled(jobs.backend, dead=24)
        for job_id in gone:
            await jobs.delete(job_id)
        await anyio.sleep(A_MINUTE)
        assert sorted(json.loads(body)["key"] for body, _ in dead_letters(tmp_path)) == sorted(
            keys.upload_key(job_id) for job_id in kept
        )
        await jobs.delete_the_rest()
        await anyio.sleep(A_MINUTE)
    await nothing_is_left(jobs, tmp_path)


@pytest.mark.parametrize("receives", [1, 10])
@pytest.mark.parametrize("hidden_s", [5, 35, 1000])
async def test_a_dead_letter_that_somebody_looks_at_is_removed_when_it_is_seen(
    jobs: Jobs, tmp_path: Path, hidden_s: int, receives: int
) -> None:
    job_id = await jobs.new("failed", "corrupt", 99)
    dead = jobs.backend.dead_letters
    assert dead is not None
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock, max_receive_count=receives):
        await settled(jobs.backend, dead=1)
        while not await dead.receive(max_messages=10, wait_s=1, visibility_timeout_s=hidden_s):
            pass  # the sweep at the start has it
        await jobs.delete(job_id)
        await anyio.sleep(A_MINUTE)
        walks_on = hidden_s < A_MINUTE
        assert len(dead_letters(tmp_path)) == (0 if walks_on else 1)
        await anyio.sleep(min(hidden_s, 100))
        if walks_on:
            await nothing_is_left(jobs, tmp_path)
        else:
            counts = await jobs.backend.queue.counts()
            assert (counts.visible, counts.in_flight) == (0, 0), "it does not look for ever"


async def test_a_dead_letter_that_is_sent_back_after_the_deletion_ends_as_no_job(jobs: Jobs, tmp_path: Path) -> None:
    job_id = await jobs.new("failed", "corrupt", 99)
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock):
        await settled(jobs.backend, dead=1)
        await jobs.delete(job_id)
        for seconds in (A_MINUTE, 300):
            await anyio.sleep(seconds)
            await jobs.send(keys.upload_key(job_id))
            await settled(jobs.backend)
            await nothing_is_left(jobs, tmp_path)


@pytest.mark.parametrize("receives", [1, pytest.param(2, marks=MORE), pytest.param(3, marks=MORE)])
async def test_at_the_last_receive_too(jobs: Jobs, tmp_path: Path, receives: int) -> None:
    for kind in ("good", "corrupt", "good 12"):
        for moment in MOMENTS:
            await jobs.new(f"{kind} {moment}", kind, moment)
    store = Watching(jobs)
    backend = replace(jobs.backend, store=cast("Any", store))
    async with consuming(backend, Renderer(jobs), jobs.clock, max_receive_count=receives, concurrency=100):
        await anyio.sleep(20)
        await jobs.delete_the_rest()
        await anyio.sleep(A_MINUTE)
    await nothing_is_left(jobs, tmp_path)


async def test_a_form_that_is_posted_after_the_deletion_brings_nothing_back(jobs: Jobs, tmp_path: Path) -> None:
    """As a client can on S3, until its form has expired."""
    waits = (0, 1, LATE_S - 1, LATE_S + 1, HOLD_S - 0.1, HOLD_S + 1, 100)
    ids = [await jobs.new(f"posted {wait_s} s later", "good", 99, folder="inbox/", send=False) for wait_s in waits]
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock):
        async with anyio.create_task_group() as tasks:
            for job_id, wait_s in zip(ids, waits, strict=True):
                tasks.start_soon(_post, jobs, job_id, wait_s)
        await anyio.sleep(A_MINUTE)
    await nothing_is_left(jobs, tmp_path)


async def _post(jobs: Jobs, job_id: str, wait_s: float) -> None:
    await jobs.delete(job_id)
    await anyio.sleep(wait_s)
    await put(jobs.backend, keys.inbox_key(job_id), f"{job_id} good".encode())
    await jobs.send(keys.inbox_key(job_id))
    await anyio.sleep(5)
    manifest = await record(jobs.backend, keys.inbox_key(job_id))
    assert manifest is None or manifest.status == "deleted"


class CutOff(Delegate):
    """A store or a queue whose requests fail from one on; they all count together."""

    def __init__(self, target: Any, left: list[int]) -> None:
        super().__init__(target)
        self._left = left

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(*args: Any, **options: Any) -> Any:
            self._left[0] -= 1
            if self._left[0] < 0:
                raise BackendUnavailable("cut off")
            return await real(*args, **options)

        return call


@pytest.mark.parametrize("kind", ["good", "corrupt"])
async def test_a_deletion_that_is_cut_off_is_done_by_its_message_or_has_not_begun(
    jobs: Jobs, tmp_path: Path, kind: str
) -> None:
    async with consuming(jobs.backend, Renderer(jobs), jobs.clock):
        ids = [await jobs.new(f"after {requests} requests", kind, 99) for requests in range(10)]
        await settled(jobs.backend, dead=len(ids) * (kind == "corrupt"))
        for requests, job_id in enumerate(ids):
            left = [requests]
            store, queue = CutOff(jobs.backend.store, left), CutOff(jobs.backend.queue, left)
            cut_off = replace(jobs.backend, store=cast("Any", store), queue=cast("Any", queue))
            with pytest.raises(BackendUnavailable):
                await jobs.deleter_of(cut_off).delete(job_id)
        await anyio.sleep(A_MINUTE)
        intact = [jobs.names[job_id] for job_id in ids if await record(jobs.backend, keys.upload_key(job_id))]
        # One to see that there is such a job, two to say that it is deleted.
        assert intact == [f"after {requests} requests" for requests in range(3)]
        await jobs.delete_the_rest()
        await anyio.sleep(A_MINUTE)
    await nothing_is_left(jobs, tmp_path)


async def test_it_costs_an_attempt_nothing_but_for_one_that_takes_long_or_comes_late(jobs: Jobs) -> None:
    requests: list[tuple[str, str]] = []

    async def asked(kind: str, folder: str = "uploads/", after_s: float = 0.0) -> list[str]:
        job_id = await jobs.new(kind, kind, 99, folder=folder, send=False)
        await anyio.sleep(after_s)
        requests.clear()
        await jobs.send(folder + job_id, ("thumbnail",))
        await settled(jobs.backend, within_s=60)
        return [f"{name} {key.partition('/')[0]}" for name, key in requests if key != keys.PROBE_KEY]

    upload = ["fetch uploads", "put thumbnail", "put manifests"]
    store = _Noting(jobs.backend.store, requests)
    async with consuming(replace(jobs.backend, store=cast("Any", store)), Renderer(jobs), jobs.clock):
        assert await asked("good") == upload
        assert await asked(f"good {LOOK_AFTER_S - 1}") == upload
        assert await asked(f"good {LOOK_AFTER_S + 1}") == [*upload, "get tombstones"]
        assert await asked("good", after_s=300) == upload
        inbox = ["fetch inbox", "put thumbnail", "put manifests"]
        assert await asked("good", "inbox/", after_s=LATE_S / 2) == [*inbox, "head inbox"]
        assert await asked("good", "inbox/", after_s=LATE_S * 2) == [*inbox, "get tombstones", "head inbox"]


class _Noting(Delegate):
    def __init__(self, target: Any, requests: list[tuple[str, str]] | Any) -> None:
        super().__init__(target)
        self._requests = requests

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(ref: ObjectRef, *args: Any, **options: Any) -> Any:
            self._requests.append((name, ref.key))
            return await real(ref, *args, **options)

        return call


async def test_in_a_fifo_queue_and_whichever_queue_it_came_through(tmp_path: Path) -> None:
    clock = SystemClock()
    async with open_local_queues(
        tmp_path / "data", clock=clock, queues=("first", "second.fifo"), max_receive_count=10
    ) as [first, second]:
        jobs = Jobs(first, clock)
        tombstones = Tombstones(first.store, first.bucket, CatalogInForce(CATALOG), clock)
        jobs.deleter = JobDeleter(tombstones, [first, second])
        for number, kind in enumerate(("good", "corrupt", "good 12", "corrupt 40")):
            job_id = await jobs.new(kind, kind, -1, send=False)
            body = message.encode(JobRequest(ObjectRef(first.bucket, keys.upload_key(job_id)), PRESETS))
            await second.queue.send(body, group=f"group-{number % 2}")
        async with consuming(first, Renderer(jobs), clock), consuming(second, Renderer(jobs), clock):
            await anyio.sleep(2 * A_MINUTE)
        assert len(jobs.deleted) == 4
        for queue in (first, second):
            assert (await queue.queue.counts()) == QueueCounts(0, 0, 0, 0)
        assert (await jobs.left(), dead_letters(tmp_path)) == ({}, [])
