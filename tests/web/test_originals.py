"""``GET /originals/{id}``: an original is shown or saved, and nothing in it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import hdrs

from support.servers.web import JPEG, FaultyBackend, Served, serve
from thumbq.core import filenames, keys
from thumbq.core.job import ObjectRef
from thumbq.web.app import UploadLimits
from thumbq.web.originals import AT_ONCE, ORIGINALS
from web.test_jobs import uploaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INBOX_ID = "7" * 26
PAGE = b"<!doctype html><script>fetch('/jobs')</script>"


@pytest.fixture
async def served(behind: FaultyBackend) -> AsyncIterator[Served]:
    async with serve(behind, UploadLimits(max_file_bytes=1000)) as served:
        yield served


async def stored(served: Served, body: bytes, content_type: str, *, key: str = keys.inbox_key(INBOX_ID)) -> None:
    ref, metadata = ObjectRef(served.behind.real.bucket, key), filenames.encode("休日 1.jpg")
    await served.behind.real.store.put(ref, body, content_type=content_type, metadata=metadata)


async def test_it_is_the_file_as_it_was_uploaded_with_its_name(served: Served) -> None:
    job_id = "8" * 26
    await stored(served, JPEG, "image/jpeg", key=keys.upload_key(job_id))
    for method in ("GET", "HEAD"):
        async with served.http.request(method, f"/originals/{job_id}") as answer:
            assert await answer.read() == (JPEG if method == "GET" else b"")
            assert answer.headers[hdrs.CONTENT_LENGTH] == str(len(JPEG))
        assert answer.content_type == "image/jpeg"
        named = "inline; filename*=UTF-8''%E4%BC%91%E6%97%A5%201.jpg"
        assert answer.headers[hdrs.CONTENT_DISPOSITION] == named
        assert answer.headers[hdrs.CACHE_CONTROL] == "private, max-age=31536000, immutable"


async def test_what_is_no_picture_is_saved_and_never_run_whatever_it_was_stored_as(served: Served) -> None:
    await stored(served, PAGE, "text/html")
    async with served.http.get(f"/originals/{INBOX_ID}") as answer:
        assert (answer.status, answer.content_type) == (200, "application/octet-stream")
    assert answer.headers[hdrs.CONTENT_DISPOSITION].startswith("attachment; ")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers[hdrs.CACHE_CONTROL] == "private, no-cache"


async def test_one_that_is_too_large_or_gone_is_said(served: Served) -> None:
    await stored(served, JPEG + bytes(1000), "image/jpeg")
    async with served.http.get(f"/originals/{INBOX_ID}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "too-large")
    for job_id in ("0" * 26, "x"):
        async with served.http.get(f"/originals/{job_id}") as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "no-job")
    assert served.app[ORIGINALS].number == 0


async def test_no_more_than_two_are_in_memory(served: Served) -> None:
    job_id = await uploaded(served)
    served.app[ORIGINALS].number = AT_ONCE
    async with served.http.get(f"/originals/{job_id}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "busy")
        assert hdrs.RETRY_AFTER in answer.headers
    served.app[ORIGINALS].number = AT_ONCE - 1
    async with served.http.get(f"/originals/{job_id}") as answer:
        assert answer.status == 200
    assert served.app[ORIGINALS].number == AT_ONCE - 1
