"""``GET /jobs``: pages of all jobs, the newest first, while others come and go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from support.servers.web import JPEG, serve
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.links import Links
from web.test_jobs import finish

if TYPE_CHECKING:
    from support.servers.web import FaultyBackend, Served
    from thumbq.web.app import UploadLimits

NOON_MS = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp() * 1000)


async def put(served: Served, number: int, prefixes: int = 1) -> str:
    """Store an original of the given minute after noon; every third is of a presigned upload."""
    job_id = keys.new_id(NOON_MS + number * 60_000, number, prefixes)
    key = keys.inbox_key(job_id) if number % 3 == 0 else keys.upload_key(job_id)
    real = served.behind.real
    await real.store.put(ObjectRef(real.bucket, key), JPEG, content_type="image/jpeg")
    return job_id


async def remove(served: Served, job_id: str) -> None:
    real = served.behind.real
    for key in (keys.inbox_key(job_id), keys.upload_key(job_id)):
        await real.store.delete(ObjectRef(real.bucket, key))


async def get(served: Served, **query: str) -> tuple[int, Any, str]:
    async with served.http.get("/jobs", params=query) as response:
        return response.status, await response.json(content_type=None), response.headers.get("Link", "")


async def walk(served: Served, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        _, document, _ = await get(served, limit=str(limit), **({"cursor": cursor} if cursor else {}))
        pages.append([job["id"] for job in document["data"]["jobs"]])
        cursor = document["data"].get("next")
    return pages


@pytest.mark.parametrize("limit", [1, 4, 9, 10, 11])
async def test_pages_have_all_jobs_the_newest_first(served: Served, limit: int) -> None:
    ids = [await put(served, number) for number in range(10)]
    real = served.behind.real
    await real.store.put(ObjectRef(real.bucket, "uploads/notes.txt"), b"no job of ours", content_type="text/plain")
    pages = await walk(served, limit)
    assert [job_id for page in pages for job_id in page] == ids[::-1]
    assert all(len(page) == limit for page in pages[:-1])


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_merge_all_prefixes_that_keys_were_ever_spread_over(served: Served, limit: int) -> None:
    spread = [1, 1, 1, 8, 8, 8, 8, 2, 2, 2, 32, 32, 32, 1, 1, 1]
    ids = [await put(served, number, prefixes) for number, prefixes in enumerate(spread)]
    real = served.behind.real
    for stranger in ("uploads/-/a.txt", "uploads/-z/notes.txt", "uploads/.hidden"):
        await real.store.put(ObjectRef(real.bucket, stranger), b"no job of ours", content_type="text/plain")
    pages = await walk(served, limit)
    assert [job_id for page in pages for job_id in page] == ids[::-1]
    for job_id in ids:
        async with served.http.get(f"/jobs/{job_id}") as response:
            assert (response.status, (await response.json())["data"]["id"]) == (200, job_id)


async def test_a_page_shows_each_job_as_it_is_by_itself(served: Served) -> None:
    ids = [await put(served, number) for number in range(1, 5)]
    await finish(served, ids[0])
    _, document, link = await get(served, limit="4")
    assert link == ""
    for job in document["data"]["jobs"]:
        async with served.http.get(f"/jobs/{job['id']}") as response:
            assert (await response.json())["data"] == job
    _, document, link = await get(served, limit="3")
    assert link == f'</jobs?limit=3&cursor={document["data"]["next"]}>; rel="next"'


async def test_what_comes_and_goes_meanwhile_spoils_no_page(served: Served) -> None:
    ids = [await put(served, number) for number in range(40)]
    seen: list[str] = []
    cursor: str | None = ""
    number = 40
    gone: set[str] = set()
    while cursor is not None:
        _, document, _ = await get(served, limit="7", **({"cursor": cursor} if cursor else {}))
        seen += [job["id"] for job in document["data"]["jobs"]]
        cursor = document["data"].get("next")
        await put(served, number)
        if cursor:
            await remove(served, cursor)  # the very one that the next page begins behind
            gone.add(cursor)
        gone.add(ids[number - 40])
        await remove(served, ids[number - 40])
        number += 1
    assert len(seen) == len(set(seen))
    assert set(ids) - gone <= set(seen)


async def test_only_jobs_before_a_time(served: Served) -> None:
    ids = [await put(served, number) for number in range(5)]
    _, document, _ = await get(served, before="2026-01-01T12:03:00Z")
    assert [job["id"] for job in document["data"]["jobs"]] == ids[2::-1]
    _, document, _ = await get(served, before="2026-01-01T13:03:00.001+01:00")
    assert [job["id"] for job in document["data"]["jobs"]] == ids[3::-1]
    _, document, _ = await get(served, before="1900-01-01T00:00:00Z")
    assert document["data"] == {"jobs": []}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "invalid-query"),
        ({"limit": "101"}, "invalid-query"),
        ({"limit": "ten"}, "invalid-query"),
        ({"limit": "1_0"}, "invalid-query"),
        ({"limit": "1.0"}, "invalid-query"),
        ({"limit": "+1"}, "invalid-query"),
        ({"before": "0.5"}, "invalid-query"),
        ({"before": "1767268800"}, "invalid-query"),
        ({"before": "2026-01-01 12:00:00Z"}, "invalid-query"),
        ({"before": "yesterday"}, "invalid-query"),
        ({"before": "2026-01-01T12:00:00"}, "invalid-query"),
        ({"id": "0" * 26, "limit": "3"}, "invalid-query"),
        ({"cursor": "nonsense"}, "invalid-cursor"),
        ({"cursor": ""}, "invalid-cursor"),
    ],
)
async def test_a_wrong_query_is_told(served: Served, query: dict[str, str], code: str) -> None:
    status, document, _ = await get(served, **query)
    assert (status, document["code"]) == (400, code)


@pytest.mark.parametrize(("prefixes", "listings"), [(1, 2), (4, 2 + 4 + 4)])
async def test_a_page_reads_its_listings_and_each_manifest_once(served: Served, prefixes: int, listings: int) -> None:
    for number in range(1, 30):
        await put(served, number, prefixes)
    served.behind.store.calls.clear()
    await get(served, limit="20")
    calls = served.behind.store.calls
    looks = 2 + (listings if prefixes == 1 else listings - 2)  # whether there are shards, and whether each listing ends
    assert (calls.count("list"), calls.count("get")) == (listings + looks, 20)


async def test_with_a_public_address_all_links_are_absolute(behind: FaultyBackend, limits: UploadLimits) -> None:
    links = Links("https://pictures.example.com/thumbs")
    async with serve(behind, limits, links=links) as served:
        _, uploaded = await served.post(("a.jpg", JPEG))
        [job] = uploaded["data"]["jobs"]
        assert job["url"] == f"https://pictures.example.com/thumbs/jobs/{job['id']}"
        assert job["renditions"]["thumbnail"]["url"] == f"{job['url']}/thumbnail"
        await served.post(("a.jpg", JPEG))
        _, _, link = await get(served, limit="1")
        assert link.startswith("<https://pictures.example.com/thumbs/jobs?limit=1&cursor=")
        async with served.http.post("/uploads", json={"content_type": "image/jpeg"}) as response:
            form = await response.json()
        assert form["data"]["upload"]["url"].startswith("https://pictures.example.com/thumbs/")
