"""A consumer over a real backend and a renderer that does as it is told, for the tests of the worker."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from support.doubles.clocks import SystemClock
from support.patience import until
from thumbq.core import keys
from thumbq.core.deadletter import Note
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest
from thumbq.errors import BackendUnavailable, ObjectMissing
from thumbq.jobs.resources import make_job_resources
from thumbq.local import schema
from thumbq.ports import Backend, QueueCounts
from thumbq.settings import Settings
from thumbq.worker import Consumer, make_consumer
from thumbq.worker.backlogs import Backlogs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from thumbq.core.catalog import CatalogInForce
    from thumbq.ports import Announcer, Clock, Renderer

KEY = "uploads/" + "0" * 26


class Delegate:
    """Passes everything on to ``target``, but for what a subclass does itself."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class SlowAnswers(Delegate):
    """A queue whose receives have taken messages a while before their answers arrive."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.received = anyio.Event()
        self.go_on = anyio.Event()

    async def receive(self, **options: Any) -> Any:
        messages = await self.target.receive(**options)
        if messages:
            self.received.set()
            await self.go_on.wait()
        return messages


class FailingOnce(Delegate):
    """A store that fails at a job's first request of a kind and, so many times, at probes; it keeps what was asked."""

    def __init__(self, target: Any, name: str, error: Exception, *, probes: int = 0) -> None:
        super().__init__(target)
        self.asked: list[tuple[str, str]] = []
        self._errors = {name: [error], "probe": [error] * probes}

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(ref: Any, *args: Any, **options: Any) -> Any:
            self.asked.append((name, getattr(ref, "key", "")))
            if errors := self._errors.get("probe" if self.asked[-1][1] == keys.PROBE_KEY else name):
                raise errors.pop()
            return await real(ref, *args, **options)

        return call


class Refusing(Delegate):
    """A store whose answers are errors where ``says`` gives one for a request and its key; it counts probes."""

    def __init__(self, target: Any, says: Callable[[str, str], Exception | None]) -> None:
        super().__init__(target)
        self.says = says
        self.probes = 0

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)

        async def call(ref: Any, *args: Any, **options: Any) -> Any:
            self.probes += name == "put" and ref.key == keys.PROBE_KEY
            if error := self.says(name, ref.key):
                raise error
            return await real(ref, *args, **options)

        return call


class Unreachable:
    """A store that does not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*_args: Any, **_options: Any) -> Any:
            self.asked.append(name)
            raise BackendUnavailable(f"{name}: S3 is away")

        return call


@asynccontextmanager
async def consuming(
    backend: Backend,
    renderer: Renderer,
    clock: Clock | None = None,
    *,
    visibility_timeout_s: int = 30,
    max_receive_count: int | None = 10,
    announcers: Sequence[Announcer] = (),
    catalogs: CatalogInForce | None = None,
    **further: Any,
) -> AsyncIterator[Consumer]:
    clock = clock or SystemClock()
    small: dict[str, Any] = {"concurrency": 4, "processes": 1, "visibility_timeout_s": visibility_timeout_s}
    settings = Settings(**(small | further))
    consumer = make_consumer(
        backend=backend,
        resources=make_job_resources(
            backend=backend, renderer=renderer, settings=settings, clock=clock, announcers=announcers, catalogs=catalogs
        ),
        settings=settings,
        config=settings.queue_configs[0],
        attributes=replace(await backend.queue.attributes(), max_receive_count=max_receive_count),
        backlogs=Backlogs(),
        random=random.Random(1),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consumer.run)
        yield consumer
        consumer.stop()


async def upload(backend: Backend, key: str = KEY) -> None:
    await backend.store.put(ObjectRef(backend.bucket, key), b"original", content_type="image/jpeg")
    await backend.queue.send(key)


async def record(backend: Backend, key: str = KEY) -> Manifest | None:
    try:
        _, raw = await backend.store.get(ObjectRef(backend.bucket, keys.manifest_key(key)), max_bytes=1 << 20)
    except ObjectMissing:
        return None
    return Manifest.decode(raw)


async def settled(backend: Backend, *, dead: int = 0, within_s: float = 10) -> None:
    async def empty() -> bool:
        return await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=dead)

    await until(empty, within_s=within_s, what="an empty queue")


def dead_letters(tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the bodies and notes; the note of one that the queue moved itself is empty."""
    with sqlite3.connect(tmp_path / "data" / schema.DATABASE_NAME) as database:
        rows = database.execute("SELECT body, note FROM dead_letters").fetchall()
    database.close()
    return [(body, json.loads(note or "{}")) for body, note in rows]


async def put(backend: Backend, key: str, body: bytes = b"original", metadata: Mapping[str, str] | None = None) -> None:
    ref = ObjectRef(backend.bucket, key)
    await backend.store.put(ref, body, content_type="image/jpeg", metadata=metadata)


async def done(backend: Backend, key: str) -> Manifest:
    found = await record(backend, key)
    assert found is not None, key
    assert found.status == "done", (key, found.error)
    return found


def buried(tmp_path: Path) -> list[tuple[str, Note]]:
    """Return the bodies and notes of the dead letters of a local backend."""
    return [(body, Note(**note)) for body, note in dead_letters(tmp_path)]
