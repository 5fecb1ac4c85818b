"""What every ObjectStore promises of its listings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from thumbq.core.job import ObjectRef

if TYPE_CHECKING:
    from thumbq.ports import Backend

# Starting an emulator for the first time may mean fetching it: only the claim itself is on the clock.
pytestmark = [pytest.mark.timeout(func_only=True), pytest.mark.asyncio(loop_scope="session")]

UNDER_A = ["a/", "a/ b+%2F&?.png", "a/Z", "a/e\u0301", "a/z", "a/\u00e9", "a/\ud7ff", "a/\ue000", "a/\uffee", "a/🐈"]
"""Keys in the order of their UTF-8 bytes; in UTF-16 the cat would come before U+E000."""
AROUND = ["A/1", "a", "a.", "a0", "b/1", "猫", "猫/1", "🐈", "🐈/1", "🐈/2", "🐉/1"]


async def fill(backend: Backend, keys: list[str]) -> None:
    for key in reversed(keys):
        await backend.store.put(ObjectRef(backend.bucket, key), key.encode(), content_type="text/plain")


async def listed(backend: Backend, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
    return [entry.key for entry in await backend.store.list(backend.bucket, prefix=prefix, after=after, limit=limit)]


async def test_a_listing_has_the_keys_with_a_prefix_in_the_order_of_their_bytes(backend: Backend) -> None:
    await fill(backend, [*AROUND, *UNDER_A])
    assert await listed(backend, "a/") == UNDER_A
    everything = await listed(backend, "")
    assert everything == sorted([*AROUND, *UNDER_A], key=str.encode)


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [("猫/", ["猫/1"]), ("🐈/", ["🐈/1", "🐈/2"]), ("🐈", ["🐈", "🐈/1", "🐈/2"]), ("c/", []), ("%", []), ("_", [])],
)
async def test_a_prefix_is_taken_letter_by_letter(backend: Backend, prefix: str, keys: list[str]) -> None:
    await fill(backend, AROUND)
    assert await listed(backend, prefix) == keys


async def test_a_listing_goes_on_after_any_key_whether_it_is_there_or_not(backend: Backend) -> None:
    await fill(backend, [*AROUND, *UNDER_A])
    for number, key in enumerate(UNDER_A):
        assert await listed(backend, "a/", after=key) == UNDER_A[number + 1 :]
    assert await listed(backend, "a/", after="a/A") == UNDER_A[2:]
    assert await listed(backend, "a/", after="A") == UNDER_A
    assert await listed(backend, "a/", after="b") == []


async def test_pages_put_together_are_the_whole_and_an_empty_one_is_the_end(backend: Backend) -> None:
    await fill(backend, [*AROUND, *UNDER_A])
    keys: list[str] = []
    while page := await listed(backend, "a/", after=keys[-1] if keys else "", limit=3):
        assert len(page) <= 3
        keys += page
    assert keys == UNDER_A


async def test_a_listing_tells_size_and_time(backend: Backend) -> None:
    before = time.time()
    await fill(backend, ["uploads/one"])
    after = time.time()
    [entry] = await backend.store.list(backend.bucket, prefix="uploads/")
    assert entry.size == len("uploads/one")
    assert before - 1 <= entry.modified_at <= after + 1


async def test_an_overwrite_is_a_new_time_and_a_deleted_object_is_not_listed(backend: Backend) -> None:
    await fill(backend, ["one", "two"])
    [first, _] = await backend.store.list(backend.bucket, prefix="")
    await backend.store.put(ObjectRef(backend.bucket, "one"), b"new", content_type="text/plain")
    await backend.store.delete(ObjectRef(backend.bucket, "two"))
    [second] = await backend.store.list(backend.bucket, prefix="")
    assert (second.key, second.size) == ("one", 3)
    assert second.modified_at >= first.modified_at
