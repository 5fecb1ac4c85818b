"""Where the manifest of an original lies, and reading it; for the worker and the web alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import keys, manifest
from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing, ObjectTooLarge

if TYPE_CHECKING:
    from thumbq.core.manifest import Manifest
    from thumbq.ports import ObjectStore


def manifest_ref(source: ObjectRef) -> ObjectRef:
    """Return where the manifest of an original is, or will be."""
    return ObjectRef(source.bucket, keys.manifest_key(source.key))


async def read_manifest(store: ObjectStore, source: ObjectRef) -> Manifest | None:
    """Return the manifest of an original; None when there is none that this program can read."""
    try:
        _, raw = await store.get(manifest_ref(source), max_bytes=manifest.MAX_MANIFEST_BYTES)
    except (ObjectMissing, ObjectTooLarge):
        return None
    return manifest.decode(raw)
