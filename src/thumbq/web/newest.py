"""The newest originals: listings of all prefixes that uploads are spread over, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from thumbq.core import keys
from thumbq.errors import BackendError

if TYPE_CHECKING:
    from thumbq.ports import Backend


async def newest(backend: Backend, *, after: str, limit: int) -> list[str]:
    """Return the keys of the next originals behind an id ("" for none), by their ids. Raises BackendError.

    Any replica finds all of them, however many prefixes it spreads its own over.
    """
    found: list[str] = []

    async def without_shard(prefix: str) -> None:
        found.extend(await _listed(backend, prefix, max(prefix + after, keys.before_ids(prefix)), limit))

    async def in_shard(prefix: str) -> None:
        found.extend(await _listed(backend, prefix, prefix + after, limit))

    async def in_shards(prefix: str) -> None:
        first = await backend.store.list(backend.bucket, prefix=keys.all_shards(prefix), limit=1)
        for entry in first:
            for shard in keys.shard_prefixes(prefix, entry.key):
                tasks.start_soon(in_shard, shard)

    try:
        async with anyio.create_task_group() as tasks:
            for prefix in (keys.UPLOADS_PREFIX, keys.INBOX_PREFIX):
                tasks.start_soon(without_shard, prefix)
                tasks.start_soon(in_shards, prefix)
    except* BackendError as errors:
        raise errors.exceptions[0] from None
    return sorted(found, key=lambda key: keys.upload_id(key) or "")[:limit]


async def _listed(backend: Backend, prefix: str, after: str, limit: int) -> list[str]:
    """Return the keys of the next originals under one prefix; what else lies there is passed over."""
    found: list[str] = []
    while len(found) < limit:
        page = await backend.store.list(backend.bucket, prefix=prefix, after=after, limit=limit)
        if not page:
            break
        found += [entry.key for entry in page if keys.upload_id(entry.key) is not None]
        after = page[-1].key
    return found[:limit]
