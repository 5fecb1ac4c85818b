"""What `thumbq rerender` does: originals whose renditions are not what the presets say today are queued again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import anyio

from thumbq.backends import open_backend
from thumbq.commands.originals import CONCURRENCY, FoundOriginal, batches, is_original, look_at, prefixes_of, queued
from thumbq.core import keys
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.rerendercursor import RerenderCursor
from thumbq.deadletters.ratelimiter import RateLimiter
from thumbq.errors import Problem, SetupError
from thumbq.manifests import read_manifest
from thumbq.ports import ListedObject
from thumbq.records import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thumbq.core.catalog import Catalog
    from thumbq.core.job import Rerender
    from thumbq.core.manifest import Manifest
    from thumbq.ports import Backend
    from thumbq.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """Which originals are rendered again, and what of them.

    Without ``presets`` it is what their manifests name. ``everything``: also what was made by today's recipe. Ages are
    seconds since the original was stored.
    """

    prefixes: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    everything: bool = False
    older_than: int = 0
    newer_than: int | None = None

    def check(self, catalog: Catalog) -> None:
        """Raise SetupError for presets that there are not, and for prefixes without originals."""
        if unknown := [name for name in self.presets if name not in catalog.presets]:
            fix = f"name one of {', '.join(sorted(catalog.presets))}, or write it into thumbq.toml"
            raise SetupError([Problem(f"there is no preset {name!r} in the settings", fix) for name in unknown])
        prefixes_of(catalog, self.prefixes)

    def beginning(self, now: float) -> RerenderCursor:
        """Return the cursor of a run that begins ``now`` (POSIX seconds)."""
        since = 0.0 if self.newer_than is None else now - self.newer_than
        return RerenderCursor(modified_after=since, modified_before=now - self.older_than)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a selection is gone through, from ``now`` (POSIX seconds) on; ``rate`` is jobs a second."""

    now: float
    apply: bool = False
    from_start: bool = False
    rate: int | None = None

    @property
    def together(self) -> int:
        """How many originals are looked at together: no more than are queued in a second."""
        return min(self.rate or CONCURRENCY, CONCURRENCY)


@dataclass(slots=True)
class Progress:
    """The counts of a run. ``began_after`` is the key that an earlier run with ``apply`` has come to."""

    began_after: str = ""
    looked_at: int = 0
    failed_jobs: int = 0
    without_manifest: int = 0


def presets_due(manifest: Manifest, fingerprints: Mapping[str, str], selection: Selection) -> tuple[str, ...]:
    """Return the presets that a job has to make; empty when nothing is to be done.

    ``fingerprints`` are those of all presets that there are today. What the manifest names and another recipe has made
    comes along with the ``selection``'s own: the new manifest would not name it any more.
    """
    made = manifest.recipes
    stale = [name for name in made if name in fingerprints and made[name] != fingerprints[name]]
    asked = selection.presets or tuple(name for name in made if name in fingerprints)
    due = [name for name in asked if selection.everything or made.get(name) != fingerprints[name]]
    return tuple(dict.fromkeys((*due, *stale))) if due else ()


async def rerender(
    settings: Settings,
    selection: Selection,
    options: RunOptions,
    *,
    progress: Progress,
    report: Callable[[FoundOriginal], None],
    moved_on: Callable[[int], None],
) -> None:
    """Report every original of the selection that is due, in the order of their keys.

    With ``apply`` each is queued first, and a cursor in the store says how far the run is: after any end, kill -9 too,
    the next run of the same selection goes on there. What a kill lets be queued twice is done once, as such a job looks
    first (see ``core.job.Rerender``). ``moved_on`` gets the number of keys of each page. Raises SetupError and
    BackendError.
    """
    selection.check(settings.catalog)
    async with open_backend(settings, existing=True) as backend:
        cursor_at = ObjectRef(backend.bucket, cursor_key(settings, selection))
        cursor = None if options.from_start else await read_record(backend.store, cursor_at, RerenderCursor)
        progress.began_after = "" if cursor is None else cursor.after
        resumed = options.apply and cursor is not None
        if cursor is None or not options.apply:
            cursor = selection.beginning(options.now)
        run = _Run(backend, settings.catalog, selection, options, progress)
        prefixes = prefixes_of(settings.catalog, selection.prefixes)
        if resumed:
            cursor = await run.put_off_doubtful(cursor, prefixes)
        if options.apply:
            await write_record(backend.store, cursor_at, cursor)
        for prefix in prefixes:
            while page := await backend.store.list(backend.bucket, prefix=prefix, after=cursor.after):
                for batch in batches([entry for entry in page if run.selects(entry, cursor)], options.together):
                    await look_at(batch, run.look, report)
                    cursor = cursor.model_copy(update={"after": batch[-1].key})
                    if options.apply:
                        await write_record(backend.store, cursor_at, cursor)
                    await anyio.lowlevel.checkpoint()
                cursor = cursor.model_copy(update={"after": page[-1].key})
                progress.looked_at += len(page)
                moved_on(len(page))
        for batch in batches([ListedObject(*one) for one in cursor.doubtful], options.together):
            await look_at(batch, run.look, report)
        if options.apply:
            await backend.store.delete(cursor_at)


def cursor_key(settings: Settings, selection: Selection) -> str:
    """Return where the cursor lies: at another key for each selection, state of the presets, and queue."""
    recipes = sorted(_fingerprints(settings.catalog).items())
    what = json.dumps([asdict(selection), recipes, settings.default_queue.queue])
    return f"{keys.CRASH_RECORDS_PREFIX}rerender-{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"


def _fingerprints(catalog: Catalog) -> dict[str, str]:
    return {name: preset.fingerprint for name, preset in catalog.presets.items()}


class _Run:
    """Looks at the originals of one run, and queues what is due."""

    def __init__(
        self, backend: Backend, catalog: Catalog, selection: Selection, options: RunOptions, progress: Progress
    ) -> None:
        self._backend = backend
        self._catalog = catalog
        self._selection = selection
        self._apply = options.apply
        self._rerender: Rerender = "all" if selection.everything else "changed"
        self._limiter = RateLimiter(options.rate)
        self._fingerprints = _fingerprints(catalog)
        self._progress = progress

    def selects(self, entry: ListedObject, cursor: RerenderCursor) -> bool:
        """Whether a key is that of an original of the right age."""
        return cursor.modified_after <= entry.modified_at < cursor.modified_before and is_original(entry, self._catalog)

    async def put_off_doubtful(self, cursor: RerenderCursor, prefixes: Iterable[str]) -> RerenderCursor:
        """Put off what an earlier run may have queued without having said so: a batch at the most.

        Looked at in the end, nearly all of it is done. Queued at once, it would be at work beside its first message.
        """
        found: list[ListedObject] = []
        for prefix in prefixes:
            page = await self._backend.store.list(self._backend.bucket, prefix=prefix, after=cursor.after)
            found += [entry for entry in page if self.selects(entry, cursor)]
        put_off = found[:CONCURRENCY]
        doubtful = (*cursor.doubtful, *((entry.key, entry.size, entry.modified_at) for entry in put_off))
        after = put_off[-1].key if put_off else cursor.after
        return cursor.model_copy(update={"after": after, "doubtful": doubtful})

    async def look(self, entry: ListedObject) -> FoundOriginal | None:
        """Read an original's manifest, and queue what is due. Raises BackendError."""
        source = ObjectRef(self._backend.bucket, entry.key)
        manifest = await read_manifest(self._backend.store, source)
        if manifest is None or manifest.source.key != entry.key:
            self._progress.without_manifest += 1
            return None
        if manifest.status == "deleted":
            return None
        if manifest.status == "failed":
            self._progress.failed_jobs += 1
            return None
        presets = presets_due(manifest, self._fingerprints, self._selection)
        if not presets:
            return None
        message_id = refusal = None
        if self._apply:
            await self._limiter.wait()
            request = JobRequest(source, presets, manifest.callback_url, rerender=self._rerender)
            message_id, refusal = await queued(self._backend, request)
        return FoundOriginal(source, entry.size, entry.modified_at, presets, message_id, refusal)
