"""Storing an original and queueing its job: the part that all ways of an upload share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio
import structlog

from thumbq.core import keys, message, uploadoptions
from thumbq.core.uploadoptions import NO_OPTIONS, UploadOptions
from thumbq.errors import AccessDenied, BackendError, BackendUnavailable, SendRefused, UploadRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from thumbq.core.job import JobRequest, ObjectRef
    from thumbq.ports import Backend, ObjectStore

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes of an upload, and what is stored with them."""

    body: bytes
    content_type: str
    metadata: Mapping[str, str]


def check_not_empty(body: bytes) -> None:
    """Raise UploadRefused for a file without a byte."""
    if not body:
        raise UploadRefused("empty-file", "The file is empty.")


async def store(original: Original, ref: ObjectRef, *, backend: Backend, if_absent: bool = False) -> str:
    """Store an original durably and return its ETag. Raises what ``ObjectStore.put`` raises."""
    return await backend.store.put(
        ref, original.body, content_type=original.content_type, metadata=original.metadata, if_absent=if_absent
    )


async def queue_job(
    original: Original,
    job: JobRequest,
    *,
    backend: Backend,
    options: UploadOptions = NO_OPTIONS,
    remove_if_refused: bool,
) -> str:
    """Send the job of an original that is stored, and return the id of the message.

    Raises SendRefused or AccessDenied when the queue refuses the message: then the original is removed again, if
    ``remove_if_refused``. Raises BackendUnavailable when it is unknown whether the job is queued: the original stays,
    since the job may run.
    """
    group = uploadoptions.group_of(options, job.source.key, fifo=backend.fifo)
    try:
        message_id = await backend.queue.send(message.encode(job), group=group)
    except (SendRefused, AccessDenied):
        if remove_if_refused:
            await _remove(job.source, backend.store)
        raise
    log.info(
        "upload.accepted",
        job_id=keys.upload_id(job.source.key) or job.source.key,
        message_id=message_id,
        bytes=len(original.body),
        content_type=original.content_type,
    )
    return message_id


async def _remove(ref: ObjectRef, store: ObjectStore) -> None:
    try:
        await store.delete(ref)
    except BackendError as error:
        log.warning("intake.original_left", source=str(ref), error=str(error))


async def to_the_end(work: Callable[[], Awaitable[T]], *, within_s: float) -> T:
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
