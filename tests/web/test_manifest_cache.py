"""What is kept of manifests that were read a moment ago, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, Manifest, SourceRecord
from thumbq.errors import ObjectMissing
from thumbq.web import manifestcache
from thumbq.web.manifestcache import KEPT_S, ManifestCache


class Store:
    """Has a manifest for each original whose key does not start with ``missing``."""

    def __init__(self, status: Literal["done", "failed"] = "done") -> None:
        self.asked: list[str] = []
        self.status = status

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> Any:
        assert max_bytes == Manifest.MAX_BYTES
        key = ref.key.removeprefix("manifests/").removesuffix(".json")
        self.asked.append(key)
        if key.startswith("missing"):
            raise ObjectMissing(key)
        error = ErrorRecord(code="corrupt", message="no image") if self.status == "failed" else None
        source = SourceRecord(bucket="b", key=key, etag="e")
        manifest = Manifest(status=self.status, source=source, error=error, finished_at=datetime.now(UTC))
        return None, manifest.encode()


async def read(cache: ManifestCache, *names: str) -> None:
    for name in names:
        await cache.read(ObjectRef("b", name))


async def test_a_done_job_is_read_once_in_a_while() -> None:
    store = Store()
    cache = ManifestCache(store)  # type: ignore[arg-type]
    first, second = [await cache.read(ObjectRef("b", "a")) for _ in range(2)]
    assert (first.remembered, second.remembered, first.manifest) == (False, True, second.manifest)
    assert not (await cache.read(ObjectRef("b", "a"), fresh=True)).remembered
    assert store.asked == ["a", "a"]


async def test_after_a_few_seconds_it_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    cache = ManifestCache(store)  # type: ignore[arg-type]
    await read(cache, "a")
    monkeypatch.setattr(manifestcache, "KEPT_S", 0.0)
    await read(cache, "a")
    assert store.asked == ["a", "a"]
    assert KEPT_S <= 10, "seconds, not minutes"


@pytest.mark.parametrize(("name", "status"), [("missing", "done"), ("a", "failed")])
async def test_a_job_that_is_not_done_is_not_kept(name: str, status: Literal["done", "failed"]) -> None:
    store = Store(status)
    await read(ManifestCache(store), name, name)  # type: ignore[arg-type]
    assert store.asked == [name, name]


async def test_what_is_done_again_and_fails_is_forgotten() -> None:
    store = Store()
    cache = ManifestCache(store)  # type: ignore[arg-type]
    await read(cache, "a")
    store.status = "failed"
    await cache.read(ObjectRef("b", "a"), fresh=True)
    found = (await cache.read(ObjectRef("b", "a"))).manifest
    assert found is not None
    assert (found.status, len(store.asked)) == ("failed", 3)


@pytest.mark.parametrize(("bound", "value"), [("MAX_ENTRIES", 2), ("MAX_BYTES", 450)])
async def test_there_are_never_more_than_the_bound_and_the_oldest_goes(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(manifestcache, bound, value)
    store = Store()
    _, raw = await store.get(ObjectRef("b", "manifests/a.json"), max_bytes=Manifest.MAX_BYTES)
    assert 2 * len(raw) <= 450 < 3 * len(raw)
    store.asked.clear()
    cache = ManifestCache(store)  # type: ignore[arg-type]
    await read(cache, "a", "b", "c", "c", "b", "a")
    assert store.asked == ["a", "b", "c", "a"]
