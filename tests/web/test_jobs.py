from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from support.servers.web import JPEG
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, FailedRendition, Manifest, RenditionRecord, SourceRecord
from thumbq.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.servers.web import Served

IMAGE = b"\xff\xd8\xff rendition"
SHA256 = hashlib.sha256(IMAGE).hexdigest()
NO_ID = "0" * 26


async def uploaded(served: Served) -> str:
    _, document = await served.post(("cat.jpg", JPEG))
    job_id: str = document["data"]["jobs"][0]["id"]
    return job_id


async def finish(
    served: Served,
    job_id: str,
    error: ErrorRecord | None = None,
    *,
    store: bool = True,
    failed: dict[str, FailedRendition] | None = None,
    preset: str = "thumbnail",
    body: bytes = IMAGE,
    **source_members: str,
) -> ObjectRef:
    """Do what a worker does: put the rendition, then the manifest."""
    bucket, source = served.behind.real.bucket, keys.upload_key(job_id)
    ref = ObjectRef(bucket, f"{preset}/{job_id}.jpg")
    made = RenditionRecord(
        bucket=bucket,
        key=ref.key,
        width=100,
        height=75,
        bytes=len(body),
        content_type="image/jpeg",
        sha256=hashlib.sha256(body).hexdigest(),
        fingerprint="f",
    )
    record = Manifest(
        status="failed" if error else "done",
        source=SourceRecord(
            bucket=bucket,
            key=source,
            bytes=len(JPEG),
            format="JPEG",
            width=4000,
            height=3000,
            frames=1,
            dominant_color="#a0b1c2",
            thumbhash="2PcNDYI=",
            **source_members,
        ),
        renditions={} if error else {preset: made},
        failed=failed,
        error=error,
        finished_at=datetime.now(UTC),
    )
    if store and not error:
        await served.behind.real.store.put(ref, body, content_type="image/jpeg")
    await put_manifest(served, job_id, record.encode())
    served.behind.store.calls.clear()
    return ref


async def put_manifest(served: Served, job_id: str, raw: bytes) -> None:
    ref = ObjectRef(served.behind.real.bucket, keys.manifest_key(keys.upload_key(job_id)))
    await served.behind.real.store.put(ref, raw, content_type="application/json")


async def get(served: Served, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    async with served.http.get(path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_a_job_is_queued_until_its_manifest_is_there(served: Served) -> None:
    job_id = await uploaded(served)
    status, document = await get(served, f"/jobs/{job_id}")
    assert (status, document["success"]) == (200, True)
    assert document["data"] == {
        "id": job_id,
        "status": "queued",
        "url": f"/jobs/{job_id}",
        "original": {"filename": "cat.jpg", "bytes": len(JPEG), "content_type": "image/jpeg"},
        "renditions": {"thumbnail": {"url": f"/jobs/{job_id}/thumbnail"}},
    }


async def test_a_done_job_tells_its_steps_and_how_long_it_took(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id)
    ref = ObjectRef(served.behind.real.bucket, keys.manifest_key(keys.upload_key(job_id)))
    _, raw = await served.behind.real.store.get(ref, max_bytes=1 << 20)
    manifest = json.loads(raw)
    times = {"waited_s": 0.5, "rendered_s": 0.25}
    manifest["renditions"]["thumbnail"]["steps"] = {"orientation": 6, "profile": "embedded"}
    await put_manifest(served, job_id, json.dumps(manifest | {"times": times}).encode())
    _, document = await get(served, f"/jobs/{job_id}")
    data = document["data"]
    assert data["renditions"]["thumbnail"]["steps"] == {"orientation": 6, "profile": "embedded"}
    assert data["times"] == times
    assert datetime.fromisoformat(data["finished_at"]) == datetime.fromisoformat(manifest["finished_at"])


async def test_a_done_job_tells_its_renditions(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id)
    status, document = await get(served, f"/jobs/{job_id}")
    assert (status, document["data"]["status"]) == (200, "done")
    assert document["data"]["original"] == {
        "filename": "cat.jpg",
        "bytes": len(JPEG),
        "content_type": "image/jpeg",
        "width": 4000,
        "height": 3000,
        "frames": 1,
        "dominant_color": "#a0b1c2",
        "thumbhash": "2PcNDYI=",
    }
    assert document["data"]["renditions"] == {
        "thumbnail": {
            "url": f"/jobs/{job_id}/thumbnail",
            "width": 100,
            "height": 75,
            "frames": 1,
            "bytes": len(IMAGE),
            "content_type": "image/jpeg",
            "sha256": SHA256,
        }
    }


async def test_a_job_that_was_done_before_manifests_said_more_is_still_told(served: Served) -> None:
    job_id = await uploaded(served)
    ref = await finish(served, job_id)
    made = {"bucket": ref.bucket, "key": ref.key, "width": 100, "height": 75, "bytes": len(IMAGE)}
    made |= {"content_type": "image/jpeg", "sha256": SHA256, "fingerprint": "f"}
    source = {"bucket": ref.bucket, "key": keys.upload_key(job_id), "etag": "e", "width": 4000, "height": 3000}
    old = {"version": 1, "status": "done", "source": source, "renditions": {"thumbnail": made}, "finished_at": 0}
    await put_manifest(served, job_id, json.dumps(old).encode())
    _, document = await get(served, f"/jobs/{job_id}")
    assert document["data"]["status"] == "done"
    assert document["data"]["original"]["thumbhash"] is None
    assert document["data"]["renditions"]["thumbnail"]["sha256"] == SHA256


async def test_a_done_job_is_told_when_its_original_is_gone(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id)
    await served.behind.real.store.delete(ObjectRef(served.behind.real.bucket, keys.upload_key(job_id)))
    status, document = await get(served, f"/jobs/{job_id}")
    assert (status, document["data"]["status"]) == (200, "done")
    assert document["data"]["original"]["content_type"] == "image/jpeg"


async def test_a_failed_job_tells_why_and_so_does_its_rendition(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id, ErrorRecord(code="truncated", message="The image ends too early."))
    status, document = await get(served, f"/jobs/{job_id}")
    assert (status, document["data"]["status"]) == (200, "failed")
    assert document["data"]["error"] == {"code": "truncated", "message": "The image ends too early."}
    assert document["data"]["renditions"] == {}
    status, document = await get(served, f"/jobs/{job_id}/thumbnail")
    assert (status, document["code"]) == (404, "job-failed")
    assert "truncated" in document["detail"]


async def test_a_preset_that_was_too_dear_tells_why_beside_those_that_are_made(served: Served) -> None:
    job_id = await uploaded(served)
    why = FailedRendition(code="too-large", message="It would take 600 MiB.", fingerprint="f")
    await finish(served, job_id, failed={"stretched": why})
    status, document = await get(served, f"/jobs/{job_id}")
    assert (status, document["data"]["status"]) == (200, "done")
    assert list(document["data"]["renditions"]) == ["thumbnail"]
    assert document["data"]["failed"] == {"stretched": {"code": "too-large", "message": "It would take 600 MiB."}}
    status, document = await get(served, f"/jobs/{job_id}/stretched")
    assert (status, document["code"]) == (404, "preset-failed")
    assert "too-large" in document["detail"]
    assert (await get(served, f"/jobs/{job_id}/jpgfiles"))[1]["code"] == "not-made"


@pytest.mark.parametrize("raw", [b"", b"{", b'{"version": 99}', b"\xff" * 100, b" " * (1 << 20) + b"{}"])
async def test_a_manifest_that_cannot_be_read_is_no_manifest(served: Served, raw: bytes) -> None:
    job_id = await uploaded(served)
    await put_manifest(served, job_id, raw)
    _, document = await get(served, f"/jobs/{job_id}")
    assert document["data"]["status"] == "queued"


@pytest.mark.parametrize("job_id", [NO_ID, "x", "..%2Fuploads", NO_ID.replace("0", "U"), NO_ID + "%00", "%ff"])
async def test_an_unknown_or_impossible_id_is_no_job(served: Served, job_id: str) -> None:
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/thumbnail", f"/jobs/{job_id}/nothing"):
        status, document = await get(served, path)
        assert (status, document["code"]) == (404, "no-job")


async def test_a_rendition_is_its_bytes_with_a_lasting_etag(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id)
    async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
        assert (response.status, await response.read()) == (200, IMAGE)
        assert response.headers["ETag"] == f'"{SHA256}"'
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Type"] == "image/jpeg"
    async with served.http.head(f"/jobs/{job_id}/thumbnail") as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Length"] == str(len(IMAGE))
        assert response.headers["ETag"] == f'"{SHA256}"'
        assert response.headers["Content-Type"] == "image/jpeg"
    assert served.behind.store.calls == ["get", "get", "head"], "the manifest once"


async def test_a_done_job_and_its_rendition_cost_one_request_each(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id, content_type="image/x-told", filename="told.jpg")
    _, document = await get(served, f"/jobs/{job_id}")
    original = document["data"]["original"]
    assert (original["content_type"], original["filename"]) == ("image/x-told", "told.jpg")
    for _ in range(2):
        async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
            assert await response.read() == IMAGE
    assert served.behind.store.calls == ["get"] * 3


async def test_a_job_that_is_done_again_is_served_as_it_is_now(served: Served) -> None:
    job_id = await uploaded(served)
    ref = await finish(served, job_id)
    async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
        assert await response.read() == IMAGE
    again = IMAGE + b" of another version"
    await served.behind.real.store.put(ref, again, content_type="image/jpeg")
    await finish(served, job_id, store=False, body=again)
    async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
        assert await response.read() == again
    assert served.behind.store.calls == ["get"] * 3, "the rendition, and then both"


async def test_a_preset_that_was_not_made_a_moment_ago_is_served_once_it_is(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id, preset="stretched")
    assert (await get(served, f"/jobs/{job_id}/thumbnail"))[1]["code"] == "not-made"
    await finish(served, job_id)
    async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
        assert (response.status, await response.read()) == (200, IMAGE)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (f'"{SHA256}"', 304),
        (f'W/"{SHA256}"', 304),
        (f'"other", W/"more", "{SHA256}"', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("garbage", 200),
    ],
)
async def test_a_rendition_that_the_client_has_is_not_fetched_again(
    served: Served, condition: str, status: int
) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id)
    async with served.http.get(f"/jobs/{job_id}/thumbnail", headers={"If-None-Match": condition}) as response:
        assert response.status == status
        assert response.headers["ETag"] == f'"{SHA256}"'
        assert "immutable" in response.headers["Cache-Control"]
        assert await response.read() == (b"" if status == 304 else IMAGE)
    assert len(served.behind.store.calls) == (1 if status == 304 else 2)


async def test_a_rendition_that_is_not_made_yet_is_worth_asking_for_again(served: Served) -> None:
    job_id = await uploaded(served)
    async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
        assert (response.status, response.headers["Retry-After"]) == (404, "1")
        assert response.headers["Cache-Control"] == "no-store"
        assert (await response.json(content_type=None))["code"] == "not-ready"


async def test_an_unknown_preset_is_404_before_and_after_the_job(served: Served) -> None:
    job_id = await uploaded(served)
    assert (await get(served, f"/jobs/{job_id}/huge"))[1]["code"] == "unknown-preset"
    await finish(served, job_id)
    assert (await get(served, f"/jobs/{job_id}/huge"))[1]["code"] == "unknown-preset"


@pytest.mark.parametrize("replaced", [None, IMAGE + b" grown"])
async def test_a_rendition_that_is_not_in_the_store_as_it_was_made_is_404(
    served: Served, replaced: bytes | None
) -> None:
    job_id = await uploaded(served)
    ref = await finish(served, job_id, store=False)
    if replaced is not None:
        await served.behind.real.store.put(ref, replaced, content_type="image/jpeg")
    async with served.http.get(f"/jobs/{job_id}/thumbnail") as response:
        assert (response.status, response.headers.get("ETag")) == (404, None)
        assert response.headers["Cache-Control"] == "no-store"
        assert (await response.json(content_type=None))["code"] == "rendition-missing"
    async with served.http.head(f"/jobs/{job_id}/thumbnail") as response:
        assert response.status == 404


@pytest.mark.parametrize("failing", [["get"], ["head"]])
async def test_a_store_that_is_down_is_503_and_never_no_job(served: Served, failing: Sequence[str]) -> None:
    job_id = await uploaded(served)
    for method in failing:
        served.behind.store.errors[method] = BackendUnavailable("s3 at 10.0.0.1 is down")
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/thumbnail"):
        async with served.http.get(path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
            assert "10.0.0.1" not in await response.text()
