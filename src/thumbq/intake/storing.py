"""Storing an original and queueing its job: the part that all ways of an upload share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import structlog

from thumbq.core import keys, message, uploadoptions
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.tombstone import Tombstone
from thumbq.core.uploadoptions import NO_OPTIONS, UploadOptions
from thumbq.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    ObjectExists,
    SendRefused,
    UploadRefused,
)
from thumbq.records import read_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from thumbq.ports import Backend, ObjectStore

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes of an upload, and what is stored with them."""

    body: bytes
    content_type: str
    metadata: Mapping[str, str]


EMPTY: Final = "The file is empty."


def check_not_empty(body: bytes) -> None:
    """Raise UploadRefused for a file without a byte."""
    if not body:
        raise UploadRefused("empty-file", EMPTY)


@dataclass(frozen=True, slots=True)
class Queued:
    """An original that is stored, and whose job is queued."""

    source: ObjectRef
    message_id: str


async def store_and_queue(
    original: Original,
    refs: Sequence[ObjectRef],
    *,
    backend: Backend,
    options: UploadOptions = NO_OPTIONS,
    if_absent: bool,
    remove_if_refused: bool,
    resume: bool = False,
    within_s: float,
) -> Queued:
    """Store an original and queue its job; when this returns, both are durable.

    With ``if_absent`` it is stored under the first of ``refs`` that is free, and else under the first. With ``resume``
    what is under the only one of ``refs`` is this original, which an earlier try has stored.

    Raises SendRefused or BackendRefused when the message is certainly not in the queue: then the original is removed
    again, if ``remove_if_refused``. Raises BackendUnavailable when it is unknown whether the job is queued (the
    original stays: the job may run), or when the store and the queue do not answer within ``within_s`` seconds,
    StoreFull, and ObjectExists when none of ``refs`` is free. A cancelled call first finishes, within the same bound,
    so that no original is left without its message.
    """

    async def work() -> Queued:
        if backend.upkeep is not None:
            await backend.upkeep.check_room(len(original.body))
        source, stored = await _store(original, refs, backend.store, if_absent=if_absent, resume=resume)
        try:
            message_id = await _queue(source, options, backend, again=not stored)
        except (SendRefused, BackendRefused):
            if remove_if_refused and stored:
                await _remove(source, backend.store)
            raise
        log.info(
            "upload.accepted",
            job_id=_job_id(source),
            message_id=message_id,
            bytes=len(original.body),
            content_type=original.content_type,
        )
        return Queued(source, message_id)

    # Until it is done: who logs its failure says which job it was.
    structlog.contextvars.bind_contextvars(job_id=_job_id(refs[0]))
    queued = await _to_the_end(work, within_s=within_s)
    structlog.contextvars.unbind_contextvars("job_id")
    return queued


def _job_id(source: ObjectRef) -> str:
    return keys.upload_id(source.key) or source.key


async def _store(
    original: Original, refs: Sequence[ObjectRef], store: ObjectStore, *, if_absent: bool, resume: bool
) -> tuple[ObjectRef, bool]:
    """Return where the original is, and whether it was stored now."""
    taken: ObjectExists | None = None
    for ref in refs:
        try:
            await store.put(
                ref,
                original.body,
                content_type=original.content_type,
                metadata=original.metadata,
                if_absent=if_absent,
            )
        except ObjectExists as error:
            taken = error
        else:
            return ref, True
    if resume:
        return refs[0], False
    assert taken is not None
    raise taken


async def _queue(source: ObjectRef, options: UploadOptions, backend: Backend, *, again: bool) -> str:
    job = JobRequest(source, options.presets or None, options.callback_url, again=again)
    group = uploadoptions.group_of(options, source.key, fifo=backend.fifo)
    return await backend.queue.send(message.encode(job), group=group)


async def _remove(ref: ObjectRef, store: ObjectStore) -> None:
    try:
        await store.delete(ref)
    except BackendError as error:
        log.warning("intake.original_left", source=str(ref), error=str(error))


async def _to_the_end(work: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """Finish ``work`` and return its result, also when the caller is cancelled, but wait ``within_s`` seconds at most.

    Raises what it raises, and BackendUnavailable when the time is over.
    """
    results: list[tuple[T] | Exception] = []

    async def shielded() -> None:
        with anyio.move_on_after(within_s, shield=True):
            try:
                results.append((await work(),))
            except Exception as error:  # noqa: BLE001 - handed to the caller as it is, not as a group
                results.append(error)
            return
        results.append(BackendUnavailable(f"the store and the queue did not answer within {within_s:g} s"))

    # A shield alone does not hold off asyncio's own Task.cancel(), which is what an HTTP server calls; a task
    # group waits for its shielded child whatever happens to the caller.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shielded)
    result = results.pop()
    if isinstance(result, Exception):
        raise result
    return result[0]


async def was_deleted(backend: Backend, upload_id: str) -> bool:
    """Whether the job of an upload was deleted. Raises BackendError."""
    ref = ObjectRef(backend.bucket, keys.tombstone_key(upload_id))
    return await read_record(backend.store, ref, Tombstone) is not None
