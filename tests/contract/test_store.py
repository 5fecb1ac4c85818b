"""What every ObjectStore promises."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import anyio
import pytest

from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectExists, ObjectMissing, ObjectTooLarge
from thumbq.ports import ObjectInfo

if TYPE_CHECKING:
    from thumbq.ports import Backend

# Starting an emulator for the first time may mean fetching it: only the claim itself is on the clock.
pytestmark = [pytest.mark.timeout(func_only=True), pytest.mark.asyncio(loop_scope="session")]

MIB = 1 << 20

KEYS = (
    "cat.png",
    "cat.png/a key under what is a key itself",
    "folder/",
    "folder/name",
    "/leading slash",
    "//two//slashes//",
    "dots/../up",
    "../outside",
    "./here",
    "..",
    "with space  and two",
    "plus+and%2Bpercent%and%zz",
    "query?a=b&c=d;e#fragment",
    "back\\slash",
    "quotes'\"`",
    "<xml>&amp;[]{}|^~:@!$,*()",
    "猫/ネコ 🐈‍⬛.jpg",
    "Cat.png",
    "e\u0301 and \u00e9 are two keys",
    "e\u0301",
    "\u00e9",
    "tab\tin it",
    "a" * 1024,
    "é" * 512,
    "/".join(["d" * 255] * 4),
)


@pytest.fixture(params=["local", "aws-moto", "aws-ministack", "aws-moto-fast", "aws-ministack-fast"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of the backend; see FAST."""
    name: str = request.param
    return name


async def test_an_object_comes_back_as_it_was_put(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "uploads/one")
    body = bytes(range(256)) * 40

    etag = await backend.store.put(ref, body, content_type="image/png", metadata={"name": "cat.png", "x-y": "1 2"})

    info, got = await backend.store.get(ref, max_bytes=len(body))
    assert got == body
    assert info == ObjectInfo(len(body), etag, "image/png", {"name": "cat.png", "x-y": "1 2"})
    assert await backend.store.head(ref) == info
    assert etag
    assert '"' not in etag


async def test_an_empty_object_is_an_object(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "empty")
    etag = await backend.store.put(ref, b"", content_type="text/plain")
    assert await backend.store.get(ref, max_bytes=0) == (ObjectInfo(0, etag, "text/plain", {}), b"")


async def test_every_key_of_up_to_1024_bytes_is_an_object_of_its_own(backend: Backend) -> None:
    bodies = {key: f"{number} {key}".encode() for number, key in enumerate(KEYS)}
    for key, body in bodies.items():
        await backend.store.put(ObjectRef(backend.bucket, key), body, content_type="text/plain")

    got = {key: (await backend.store.get(ObjectRef(backend.bucket, key), max_bytes=MIB))[1] for key in KEYS}

    assert got == bodies


async def test_what_is_not_there_is_missing(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "no/such")
    with pytest.raises(ObjectMissing):
        await backend.store.get(ref, max_bytes=MIB)
    with pytest.raises(ObjectMissing):
        await backend.store.head(ref)
    sink = io.BytesIO()
    with pytest.raises(ObjectMissing):
        await backend.store.fetch(ref, sink, max_bytes=MIB)
    assert sink.getvalue() == b""


async def test_an_object_over_the_limit_is_refused_before_it_is_read(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "big")
    await backend.store.put(ref, bytes(100_000), content_type="image/png")
    with pytest.raises(ObjectTooLarge) as refusal:
        await backend.store.get(ref, max_bytes=99_999)
    assert refusal.value.size == 100_000
    sink = io.BytesIO()
    with pytest.raises(ObjectTooLarge):
        await backend.store.fetch(ref, sink, max_bytes=99_999)
    assert sink.getvalue() == b""


async def test_fetch_writes_what_get_returns(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "streamed")
    await backend.store.put(ref, bytes(range(251)) * 13_000, content_type="image/jpeg", metadata={"a": "b"})
    sink = io.BytesIO()
    info = await backend.store.fetch(ref, sink, max_bytes=5 * MIB)
    assert (info, sink.getvalue()) == await backend.store.get(ref, max_bytes=5 * MIB)


async def test_an_overwrite_is_seen_at_once_whole_and_with_another_etag(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "manifest.json")
    first = await backend.store.put(ref, b"first", content_type="text/plain", metadata={"n": "1"})
    second = await backend.store.put(ref, b"the second", content_type="application/json")
    assert first != second
    info, body = await backend.store.get(ref, max_bytes=MIB)
    assert (info, body) == (ObjectInfo(10, second, "application/json", {}), b"the second")


async def test_the_same_bytes_have_the_same_etag(backend: Backend) -> None:
    etags = [
        await backend.store.put(ObjectRef(backend.bucket, key), b"same", content_type="image/png") for key in ("a", "b")
    ]
    assert etags[0] == etags[1]


async def test_put_if_absent_leaves_what_is_there(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "taken")
    await backend.store.put(ref, b"first", content_type="image/png", if_absent=True)
    with pytest.raises(ObjectExists):
        await backend.store.put(ref, b"second", content_type="image/gif", if_absent=True)
    info, body = await backend.store.get(ref, max_bytes=MIB)
    assert (info.content_type, body) == ("image/png", b"first")


async def test_put_if_absent_lets_exactly_one_of_12_writers_win(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "raced")
    winners: list[bytes] = []

    async def write(body: bytes) -> None:
        try:
            await backend.store.put(ref, body, content_type="image/png", if_absent=True)
        except ObjectExists:
            return
        winners.append(body)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(write, b"writer %d" % number)

    assert len(winners) == 1
    assert (await backend.store.get(ref, max_bytes=MIB))[1] == winners[0]


async def test_a_deleted_object_is_gone_and_its_key_free(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "short-lived")
    await backend.store.put(ref, b"x", content_type="image/png")
    await backend.store.delete(ref)
    with pytest.raises(ObjectMissing):
        await backend.store.head(ref)
    await backend.store.put(ref, b"y", content_type="image/png", if_absent=True)


async def test_deleting_what_is_not_there_is_no_error(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "never-was")
    await backend.store.delete(ref)
    await backend.store.delete(ref)


async def test_readers_during_overwrites_see_whole_objects(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, "busy")
    bodies = {bytes([number]) * 50_000 for number in range(8)}
    await backend.store.put(ref, bytes(50_000), content_type="image/png")
    seen: list[bytes] = []

    async def read() -> None:
        for _ in range(4):
            _, body = await backend.store.get(ref, max_bytes=MIB)
            seen.append(body)

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(read)
        for body in bodies:
            await backend.store.put(ref, body, content_type="image/png")

    assert set(seen) <= bodies
