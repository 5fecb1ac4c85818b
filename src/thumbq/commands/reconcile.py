"""What `thumbq reconcile` does: originals without a manifest are found, and queued again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio

from thumbq.backends import open_backend
from thumbq.commands.missingmanifests import ManifestCursor
from thumbq.commands.originals import FoundOriginal, batches, is_original, look_at, queued
from thumbq.core import keys
from thumbq.core.catalog import CatalogInForce
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.deletion.tombstones import Tombstones
from thumbq.manifests import read_manifest
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thumbq.ports import Backend, ListedObject
    from thumbq.settings import Settings


@dataclass(slots=True)
class Progress:
    """The progress of a run: it can go on ``after`` this key."""

    after: str
    looked_at: int = 0


async def reconcile(
    settings: Settings,
    prefixes: Iterable[str],
    *,
    modified_before: float,
    apply: bool,
    progress: Progress,
    report: Callable[[FoundOriginal], None],
    moved_on: Callable[[int], None],
) -> None:
    """Report every original that was stored ``modified_before`` (POSIX seconds) and has no manifest.

    With ``apply`` each is queued again first. One whose job was deleted is not: it is removed then. Keys come in order,
    from ``progress.after`` on; ``progress`` is kept up to date, so that a run can go on after it was cancelled or ended
    by BackendError. ``moved_on`` gets the number of originals of each page.
    """
    async with open_backend(settings, existing=True) as backend:
        tombstones = Tombstones(backend.store, backend.bucket, CatalogInForce(settings.catalog), SystemClock())
        check = partial(_check, backend, tombstones, apply=apply)
        for prefix in prefixes:
            manifests = ManifestCursor(backend.store, backend.bucket, prefix)
            while page := await backend.store.list(backend.bucket, prefix=prefix, after=progress.after):
                old = [
                    entry
                    for entry in page
                    if entry.modified_at < modified_before and is_original(entry, settings.catalog)
                ]
                candidates = [entry for entry in old if not await manifests.has(entry.key)]
                for batch in batches(candidates):
                    await look_at(batch, check, report)
                    progress.after = batch[-1].key
                    await anyio.lowlevel.checkpoint()
                progress.after = page[-1].key
                progress.looked_at += len(page)
                moved_on(len(page))


async def _check(backend: Backend, tombstones: Tombstones, entry: ListedObject, *, apply: bool) -> FoundOriginal | None:
    source = ObjectRef(backend.bucket, entry.key)
    manifest = await read_manifest(backend.store, source)
    if manifest is not None and manifest.source.key == entry.key:
        return None
    job_id = keys.upload_id(entry.key)
    if job_id is not None and await tombstones.find(job_id) is not None:
        # Its deletion was cut off: that is brought to its end, and the job is not brought back.
        if apply:
            await queued(backend, JobRequest(source, deletion=True))
        return None
    message_id = refusal = None
    if apply:
        message_id, refusal = await queued(backend, JobRequest(source))
    return FoundOriginal(source, entry.size, entry.modified_at, message_id=message_id, error=refusal)
