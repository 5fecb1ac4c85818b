"""What `thumbq reconcile` does: originals without a manifest are found, and queued again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.backends import open_backend
from thumbq.commands.files import text_of
from thumbq.commands.missingmanifests import ManifestCursor
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.deletion.tombstones import Tombstones
from thumbq.errors import BackendError, NotSent, Problem, SendRefused, SetupError
from thumbq.manifests import read_manifest
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from thumbq.core.catalog import Catalog
    from thumbq.ports import Backend, ListedObject
    from thumbq.settings import Settings

CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True)
class Missing:
    """An original without a manifest; the id of its new message when it was queued again, or the error."""

    source: ObjectRef
    size: int
    modified_at: float
    message_id: str | None = None
    error: str | None = None


@dataclass(slots=True)
class Progress:
    """The progress of a run: it can go on ``after`` this key."""

    after: str
    looked_at: int = 0


def prefixes_of(catalog: Catalog, given: Sequence[str]) -> list[str]:
    """Return the prefixes to search, in order and none inside another.

    They are the given ones; without any, those of uploads, of presigned uploads and of the routes. Raises SetupError
    for a prefix that thumbq itself writes to.
    """
    for prefix in given:
        if catalog.is_output(prefix) or text_of(prefix) != prefix:
            raise SetupError([Problem(f"under {text_of(prefix)} are no originals", "name another --prefix")])
    wanted = given or [keys.UPLOADS_PREFIX, keys.INBOX_PREFIX, *(route.prefix for route in catalog.routes)]
    chosen: list[str] = []
    for prefix in sorted(set(wanted)):
        if not chosen or not prefix.startswith(chosen[-1]):
            chosen.append(prefix)
    return chosen


async def reconcile(
    settings: Settings,
    prefixes: Iterable[str],
    *,
    modified_before: float,
    apply: bool,
    progress: Progress,
    report: Callable[[Missing], None],
    moved_on: Callable[[int], None],
) -> None:
    """Report every original that was stored ``modified_before`` (POSIX seconds) and has no manifest.

    With ``apply`` each is queued again first. One whose job was deleted is not: it is removed then. Keys come in order,
    from ``progress.after`` on; ``progress`` is kept up to date, so that a run can go on after it was cancelled or ended
    by BackendError. ``moved_on`` gets the number of originals of each page.
    """
    async with open_backend(settings, existing=True) as backend:
        tombstones = Tombstones(backend.store, backend.bucket, settings.catalog, SystemClock())
        for prefix in prefixes:
            manifests = ManifestCursor(backend.store, backend.bucket, prefix)
            while page := await backend.store.list(backend.bucket, prefix=prefix, after=progress.after):
                old = [
                    entry
                    for entry in page
                    if entry.modified_at < modified_before and _is_original(entry, settings.catalog)
                ]
                candidates = [entry for entry in old if not await manifests.has(entry.key)]
                for batch in _batches(candidates):
                    await _report_missing(backend, tombstones, batch, apply=apply, report=report)
                    progress.after = batch[-1].key
                    await anyio.lowlevel.checkpoint()
                progress.after = page[-1].key
                progress.looked_at += len(page)
                moved_on(len(page))


def _batches(candidates: Sequence[ListedObject]) -> Iterable[Sequence[ListedObject]]:
    return (candidates[start : start + CONCURRENCY] for start in range(0, len(candidates), CONCURRENCY))


def _is_original(entry: ListedObject, catalog: Catalog) -> bool:
    """Whether this may be an original; an empty object whose key ends in ``/`` marks a folder."""
    return not catalog.is_output(entry.key) and not (entry.size == 0 and entry.key.endswith("/"))


async def _report_missing(
    backend: Backend,
    tombstones: Tombstones,
    candidates: Sequence[ListedObject],
    *,
    apply: bool,
    report: Callable[[Missing], None],
) -> None:
    """Read each original's manifest, queue those that have none, and report them in order.

    A cancelled call ends its requests first, so that every queued original is reported. Raises BackendError after that
    too.
    """
    found: dict[str, Missing | None] = {}
    failures: list[BackendError] = []

    async def one(entry: ListedObject) -> None:
        try:
            found[entry.key] = await _check(backend, tombstones, entry, apply=apply)
        except BackendError as error:
            failures.append(error)

    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            for entry in candidates:
                tasks.start_soon(one, entry)
    for entry in candidates:
        if (missing := found.get(entry.key)) is not None:
            report(missing)
    if failures:
        raise failures[0]


async def _check(backend: Backend, tombstones: Tombstones, entry: ListedObject, *, apply: bool) -> Missing | None:
    source = ObjectRef(backend.bucket, entry.key)
    manifest = await read_manifest(backend.store, source)
    if manifest is not None and manifest.source.key == entry.key:
        return None
    job_id = keys.upload_id(entry.key)
    if job_id is not None and await tombstones.find(job_id) is not None:
        # Its deletion was cut off: that is brought to its end, and the job is not brought back.
        if apply:
            await _send(backend, JobRequest(source, deletion=True))
        return None
    message_id = refusal = None
    if apply:
        try:
            message_id = await _send(backend, JobRequest(source))
        except NotSent:
            raise
        except SendRefused as error:
            refusal = str(error)
    return Missing(source, entry.size, entry.modified_at, message_id, refusal)


async def _send(backend: Backend, request: JobRequest) -> str:
    group = message.group_id(request.source.key) if backend.fifo else None
    return await backend.queue.send(message.encode(request), group=group)
