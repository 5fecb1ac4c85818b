"""Finding originals without a manifest among millions of keys: two sorted listings side by side, page by page."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from thumbq.core.keys import MANIFESTS_PREFIX, MAX_KEY_BYTES
from thumbq.core.manifest import Manifest

if TYPE_CHECKING:
    from thumbq.ports import ListedObject, ObjectStore

_ENDING: Final = ".json"
_CHAR_BYTES: Final = 4  # a cut key may end up to so many bytes before the limit, not to break a character


class ManifestCursor:
    """Goes through the manifests of the originals under a prefix, in step with a listing of the originals.

    ``manifests/{key}.json`` does not sort quite as ``key`` does: ``a-b.json`` comes before ``a.json``, but ``a`` before
    ``a-b``. So ``has`` may miss the manifest of a key that other keys begin with, and misses those of shortened keys:
    the caller then reads the manifest by its key. ``has`` never finds a manifest that is not there.
    """

    def __init__(self, store: ObjectStore, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = MANIFESTS_PREFIX + prefix
        self._sources: deque[str] = deque()
        self._after = ""
        self._ended = False

    async def has(self, source_key: str) -> bool:
        """Whether the manifest of an original is in the listing. Calls must come in the order of the keys."""
        while not self._passed(source_key):
            await self._load(source_key)
        return bool(self._sources) and self._sources[0] == source_key

    def _passed(self, source_key: str) -> bool:
        while self._sources and self._sources[0] < source_key:
            self._sources.popleft()
        return self._ended or bool(self._sources)

    async def _load(self, source_key: str) -> None:
        # Manifests of smaller keys are not listed: their originals are gone.
        after = max(self._after, MANIFESTS_PREFIX + source_key)
        page = await self._store.list(self._bucket, prefix=self._prefix, after=after)
        if not page:
            self._ended = True
            return
        self._after = page[-1].key
        self._sources.extend(
            entry.key.removeprefix(MANIFESTS_PREFIX).removesuffix(_ENDING) for entry in page if _is_plain(entry)
        )


def _is_plain(entry: ListedObject) -> bool:
    """Whether an object is the manifest of the original that its key names.

    A key of the maximal length may be the shortened key of another manifest; only the manifest itself says which.
    """
    return (
        entry.key.endswith(_ENDING)
        and len(entry.key.encode()) <= MAX_KEY_BYTES - _CHAR_BYTES
        and 0 < entry.size <= Manifest.MAX_BYTES
    )
