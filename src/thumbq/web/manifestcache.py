"""Manifests of done jobs that were read a moment ago: pages ask for a job, and then for its renditions."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core.manifest import Manifest
from thumbq.manifests import manifest_ref
from thumbq.records import read_record_and_size

if TYPE_CHECKING:
    from thumbq.core.job import ObjectRef
    from thumbq.ports import ObjectStore

KEPT_S: Final = 5.0
MAX_ENTRIES: Final = 500
MAX_BYTES: Final = 2 << 20
"""Of all manifests that are kept, as they are stored; in memory they take a few times as much."""


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """A manifest; ``remembered``: it may have been replaced since it was read."""

    manifest: Manifest | None
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    manifest: Manifest
    size: int
    read_at: float


class ManifestCache:
    """Reads manifests, and keeps those that say done for five seconds: at most 500 of them, and 2 MiB."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._entries: OrderedDict[ObjectRef, _Entry] = OrderedDict()
        self._bytes = 0

    async def read(self, source: ObjectRef, *, fresh: bool = False) -> ReadManifest:
        """Return the manifest of an original, from the store if ``fresh``. Raises BackendError."""
        entry = self._entries.get(source)
        if entry is not None and not fresh and anyio.current_time() < entry.read_at + KEPT_S:
            return ReadManifest(entry.manifest, remembered=True)
        manifest, size = await read_record_and_size(self._store, manifest_ref(source), Manifest)
        self._forget(source)
        if manifest is not None and manifest.status == "done":
            self._keep(source, _Entry(manifest, size, anyio.current_time()))
        return ReadManifest(manifest)

    def forget(self, source: ObjectRef) -> None:
        """Read it from the store the next time."""
        self._forget(source)

    def _keep(self, source: ObjectRef, entry: _Entry) -> None:
        self._entries[source] = entry
        self._bytes += entry.size
        while len(self._entries) > MAX_ENTRIES or self._bytes > MAX_BYTES:
            self._forget(next(iter(self._entries)))

    def _forget(self, source: ObjectRef) -> None:
        if (entry := self._entries.pop(source, None)) is not None:
            self._bytes -= entry.size
