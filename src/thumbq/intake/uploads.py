"""Taking an upload in: look at it, store the original, ask for the job. Shared by the web and ``thumbq send``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import structlog

from thumbq.core import filenames, keys, message, uploadoptions
from thumbq.core.formats import ImageFormat, sniff
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.uploadoptions import NO_OPTIONS, UploadOptions
from thumbq.errors import AccessDenied, BackendError, BackendUnavailable, ObjectExists, SendRefused, UploadRefused
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from thumbq.ports import Backend, Clock
    from thumbq.settings import Settings

_ID_ATTEMPTS: Final = 3

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that is stored and queued. ``id`` is None for an original under a key of the caller's."""

    id: str | None
    source: ObjectRef
    message_id: str
    size: int
    content_type: str
    format: ImageFormat
    etag: str
    filename: str | None
    presets: tuple[str, ...] | None
    """None when they are left to the routes."""


@dataclass(frozen=True, slots=True)
class _Original:
    body: bytes
    format: ImageFormat
    filename: str | None
    asked: UploadOptions


class UploadIntake:
    """Admits, stores and queues uploads, one at a time or many at once.

    Jobs go to the queue of ``backend``, or by their priority to one of ``queues``; ``presets`` are all there are.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        clock: Clock,
        random: Random,
        queues: Mapping[str, Backend] | None = None,
        presets: Collection[str] = (),
    ) -> None:
        self._backend = backend
        self._queues = queues or {}
        self._presets = presets
        self._clock = clock
        self._random = random

    def check(self, asked: UploadOptions) -> None:
        """Raise UploadRefused for what cannot be asked for here."""
        if asked.priority is not None and asked.priority not in self._queues:
            there_are = f"there are: {', '.join(self._queues)}" if self._queues else "there is only one: leave it out"
            text = f"There is no queue of the priority {asked.priority!r}; {there_are}."
            raise UploadRefused(400, "unknown-priority", text)
        uploadoptions.check(asked, fifo=self._backend_of(asked).fifo, presets=self._presets)

    async def accept(
        self,
        body: bytes,
        *,
        filename: str | None,
        key: str | None = None,
        asked: UploadOptions = NO_OPTIONS,
        within_s: float = math.inf,
    ) -> Accepted:
        """Store an original and queue its job; when this returns, both are durable.

        Without ``key`` the original gets a new id and never overwrites anything; with it, it replaces what is there.
        ``filename`` is kept as metadata only. Raises UploadRefused for what is no image of the allow-list and for what
        ``check`` refuses, SendRefused or AccessDenied when the queue said no (an original under a new id is then
        removed again), and BackendUnavailable when it is unknown whether the job was queued (the original stays: the
        job may run). That is so too when the store and the queue did not answer ``within_s`` seconds.

        A cancelled call first ends what it began, within the same bound, so that no original is left without its
        message.
        """
        self.check(asked)
        if not body:
            raise UploadRefused(400, "empty-file", "The file is empty.")
        image_format = sniff(body)
        if image_format is None:
            names = ", ".join(known.value for known in ImageFormat)
            raise UploadRefused(415, "unsupported-format", f"The file is not an image of a known format ({names}).")
        original = _Original(body, image_format, filenames.clean(filename), asked)
        return await to_the_end(lambda: self._store_and_send(original, key), within_s=within_s)

    async def _store_and_send(self, original: _Original, key: str | None) -> Accepted:
        if key is None:
            upload_id, source, etag = await self._store_new(original)
        else:
            upload_id, source = None, ObjectRef(self._backend.bucket, key)
            etag = await self._put(source, original, if_absent=False)
        try:
            message_id = await self._send(source, original.asked)
        except (SendRefused, AccessDenied):
            if upload_id is not None:
                await self._remove(source)
            raise
        log.info(
            "upload.accepted",
            job_id=upload_id or source.key,
            message_id=message_id,
            bytes=len(original.body),
            content_type=original.format.content_type,
        )
        return Accepted(
            id=upload_id,
            source=source,
            message_id=message_id,
            size=len(original.body),
            content_type=original.format.content_type,
            format=original.format,
            etag=etag,
            filename=original.filename,
            presets=original.asked.presets or None,
        )

    async def _send(self, source: ObjectRef, asked: UploadOptions) -> str:
        backend = self._backend_of(asked)
        job = JobRequest(source, asked.presets or None, asked.callback_url)
        group = uploadoptions.group_of(asked, source.key, fifo=backend.fifo)
        return await backend.queue.send(message.encode(job), group=group)

    def _backend_of(self, asked: UploadOptions) -> Backend:
        return self._backend if asked.priority is None else self._queues[asked.priority]

    async def _store_new(self, original: _Original) -> tuple[str, ObjectRef, str]:
        attempt = 1
        while True:
            upload_id = keys.new_id(int(self._clock.wall() * 1000), self._random.getrandbits(80))
            source = ObjectRef(self._backend.bucket, keys.upload_key(upload_id))
            try:
                return upload_id, source, await self._put(source, original, if_absent=True)
            except ObjectExists:
                if attempt == _ID_ATTEMPTS:
                    raise
                attempt += 1

    async def _put(self, source: ObjectRef, original: _Original, *, if_absent: bool) -> str:
        return await self._backend.store.put(
            source,
            original.body,
            content_type=original.format.content_type,
            metadata=uploadoptions.metadata(original.asked, original.filename),
            if_absent=if_absent,
        )

    async def _remove(self, source: ObjectRef) -> None:
        try:
            await self._backend.store.delete(source)
        except BackendError as error:
            log.warning("intake.original_left", source=str(source), error=str(error))


async def to_the_end(work: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """Do ``work`` to its end, also when the caller is cancelled, but for no more than ``within_s`` seconds.

    Raises what it raises, and BackendUnavailable when the time is over.
    """
    outcome: list[tuple[T] | Exception] = []

    async def shielded() -> None:
        with anyio.move_on_after(within_s, shield=True):
            try:
                outcome.append((await work(),))
            except Exception as error:  # noqa: BLE001 - handed to the caller as it is, not as a group
                outcome.append(error)
            return
        outcome.append(BackendUnavailable(f"the store and the queue did not answer within {within_s:g} s"))

    # A shield alone does not hold off asyncio's own Task.cancel(), which is what an HTTP server calls; a task
    # group waits for its shielded child whatever happens to the caller.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shielded)
    result = outcome.pop()
    if isinstance(result, Exception):
        raise result
    return result[0]


def make_intake(backend: Backend, settings: Settings, queues: Mapping[str, Backend] | None = None) -> UploadIntake:
    """Return the intake over a queue, and those of other priorities, with ids from the system's random source."""
    return UploadIntake(
        backend=backend, clock=SystemClock(), random=SystemRandom(), queues=queues, presets=settings.presets
    )
