"""The jobs of a benchmark: originals stored, messages sent, manifests awaited, and all of it removed."""

from __future__ import annotations

import time
from functools import partial
from secrets import randbits
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.commands.dlq import remove as remove_dead_letters
from thumbq.core import keys, message, uploadoptions
from thumbq.core.formats import sniff
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.uploadoptions import NO_OPTIONS
from thumbq.deadletters.purge import Choice
from thumbq.errors import MalformedMessage, ThumbqError
from thumbq.manifests import manifest_ref, read_manifest
from thumbq.ports import MAX_BATCH, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from thumbq.core.manifest import Manifest
    from thumbq.ports import Backend
    from thumbq.settings import Settings

_AT_ONCE: Final = 16
_LOOK_S: Final = 0.1
_STUCK_S: Final = 300.0
_TAKE_BACK_S: Final = 30.0
_LEASE_S: Final = 60
"""Longer than any taking back."""
_WAIT_S: Final = 1
_LISTENING_S: Final = 2.0
"""A replica that is idle takes a message at once, and a receive with a long poll finds all there are."""


class Stuck(ThumbqError):
    """No job has ended for a long time."""


class BenchJobs:
    """Jobs as `POST /upload` makes them, each with an original of its own; what they leave behind can be removed."""

    def __init__(self, settings: Settings, backend: Backend) -> None:
        self._settings = settings
        self._backend = backend
        self._sources: list[ObjectRef] = []
        self._messages: dict[ObjectRef, str | None] = {}
        """The ids of the messages; None while it is not known whether there is one."""
        self._done: dict[ObjectRef, Manifest] = {}

    @property
    def failed(self) -> tuple[str, str] | None:
        """The code and the text of the first job, or preset of one, that failed."""
        for manifest in self._done.values():
            for error in (manifest.error, *(manifest.failed or {}).values()):
                if error is not None:
                    return error.code, error.message
        return None

    async def store(self, bodies: Sequence[bytes], number: int) -> list[ObjectRef]:
        """Store so many originals, ``bodies`` in turn, and return where they are."""

        async def one(place: int) -> None:
            body, source = bodies[place % len(bodies)], sources[place]
            image_format = sniff(body)
            assert image_format is not None
            with anyio.CancelScope(shield=True):  # nothing is stored, or sent, behind the back of the removal
                await self._backend.store.put(source, body, content_type=image_format.content_type, if_absent=True)

        sources = [ObjectRef(self._backend.bucket, keys.upload_key(self._new_id())) for _ in range(number)]
        self._sources += sources
        await _all(partial(one, place) for place in range(number))
        return sources

    def _new_id(self) -> str:
        return keys.new_id(int(time.time() * 1000), randbits(80), self._settings.key_prefixes)

    async def send(self, sources: Sequence[ObjectRef]) -> None:
        """Send a message for each original."""

        async def one(source: ObjectRef) -> None:
            group = uploadoptions.group_of(NO_OPTIONS, source.key, fifo=self._backend.fifo)
            self._messages[source] = None
            with anyio.CancelScope(shield=True):
                self._messages[source] = await self._backend.queue.send(message.encode(JobRequest(source)), group=group)

        await _all(partial(one, source) for source in sources)

    async def is_alone(self, body: bytes) -> bool:
        """Whether nobody takes a job that is sent, as long as no replica has been started."""
        sources = await self.store([body], 1)
        await self.send(sources)
        await anyio.sleep(_LISTENING_S)
        alone = not await self._take_back(set(sources), within_s=_LISTENING_S)
        if alone:
            del self._messages[sources[0]]
        return alone

    async def wait(self, sources: Sequence[ObjectRef], progress: Callable[[], None]) -> float:
        """Wait until each has its manifest, and return when the last job finished, in POSIX seconds. Raises Stuck."""

        async def one(source: ObjectRef) -> None:
            with anyio.move_on_after(_STUCK_S):
                while (manifest := await read_manifest(self._backend.store, source)) is None:  # noqa: ASYNC110 - the service stores it
                    await anyio.sleep(_LOOK_S)
                self._done[source] = manifest
                progress()
                return
            raise Stuck(f"no job has ended for {_STUCK_S:.0f} s")

        for start in range(0, len(sources), _AT_ONCE):
            await _all(partial(one, source) for source in sources[start : start + _AT_ONCE])
        return max(self._done[source].finished_at.timestamp() for source in sources)

    async def remove(self) -> int:
        """Remove messages, objects and dead letters of these jobs, and nothing else; the service must have ended.

        Returns how many messages were not found: another receiver has them.
        """
        await _all(partial(self._look, source) for source in self._messages.keys() - self._done.keys())
        left = await self._take_back(self._messages.keys() - self._done.keys(), within_s=_TAKE_BACK_S)
        if self.failed is not None:
            names = frozenset(filter(None, self._messages.values()))
            await remove_dead_letters(self._settings, Choice(names=names), report=lambda *_: None)
        await _all(partial(self._backend.store.delete, ref) for source in self._sources for ref in self._refs(source))
        return len(left)

    async def _look(self, source: ObjectRef) -> None:
        """See whether a job was done when nobody waited for it any more."""
        if (manifest := await read_manifest(self._backend.store, source)) is not None:
            self._done[source] = manifest

    async def _take_back(self, left: set[ObjectRef], *, within_s: float) -> set[ObjectRef]:
        """Remove messages of jobs that were not done, and return those that were not found.

        Messages of others are received once at most, and given back at the end: each receive counts for them.
        """
        queue, others = self._backend.queue, list[str]()
        end = anyio.current_time() + within_s
        while left and anyio.current_time() < end:
            received = await queue.receive(max_messages=MAX_BATCH, wait_s=_WAIT_S, visibility_timeout_s=_LEASE_S)
            own = {each.receipt: source for each in received if (source := self._source_of(each.body)) is not None}
            others += [each.receipt for each in received if each.receipt not in own]
            if own:
                await queue.delete(list(own))
            left = left - set(own.values())
        for start in range(0, len(others), MAX_BATCH):
            await queue.extend([VisibilityChange(receipt, 0) for receipt in others[start : start + MAX_BATCH]])
        return left

    def _source_of(self, body: str) -> ObjectRef | None:
        try:
            jobs = message.parse(body, default_bucket=self._backend.bucket).jobs
        except MalformedMessage:
            return None
        return next((job.source for job in jobs if job.source in self._messages), None)

    def _refs(self, source: ObjectRef) -> list[ObjectRef]:
        """Return where the objects of a job are, or may be."""
        found = [source.key, manifest_ref(source).key]
        for preset in self._settings.catalog.presets_for(source.key):
            found += [preset.rendition_key(source.key, content_type) for content_type in preset.content_types]
        manifest = self._done.get(source)
        message_id = self._messages.get(source)
        if message_id is not None and (manifest is None or manifest.status == "failed"):
            found.append(keys.crash_record_key(message_id))
        return [ObjectRef(source.bucket, key) for key in found]


async def _all(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(call: Callable[[], Awaitable[object]]) -> None:
        async with limiter:
            await call()

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(one, call)
