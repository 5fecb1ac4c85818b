"""Bad input: each kind gets its own clear answer, and the service serves the next request."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import pytest

from support.patience import within
from support.pictures import images

if TYPE_CHECKING:
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.parametrize("place", ["local"], indirect=True)


async def refused(place: Place, replica: Replica, form: aiohttp.FormData) -> dict[str, Any]:
    async with place.session.post(f"{replica.url}/upload", data=form) as answer:
        problem: dict[str, Any] = await answer.json()
        assert answer.content_type == "application/problem+json"
        assert problem["status"] == answer.status
        assert problem["success"] is False
        assert problem["message"]
        return problem


def form(body: bytes, name: str = "file") -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field(name, io.BytesIO(body), filename="photo.jpg", content_type="image/jpeg")
    return data


async def test_every_bad_upload_gets_its_own_answer_and_the_next_good_one_is_served(place: Place) -> None:
    replica = await place.replica()
    answers = {
        "text": await refused(place, replica, form(b"this is no image\n" * 100)),
        "empty": await refused(place, replica, form(b"")),
        "large": await refused(place, replica, form(images.photo_jpeg(64, 64) + bytes(30 << 20))),
        "no file": await refused(place, replica, form(images.photo_jpeg(64, 64), name="picture")),
        "cut off": await cut_off(replica),
    }
    assert {kind: problem["status"] for kind, problem in answers.items()} == {
        "text": 415,
        "empty": 400,
        "large": 413,
        "no file": 400,
        "cut off": 400,
    }
    assert len({problem["type"] for problem in answers.values()}) == len(answers)
    job_id = await place.upload(replica, images.truncated_jpeg())
    failed = await place.finished(replica, job_id, within_s=5)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "truncated")
    told = [line for line in replica.lines() if line.get("job_id") == job_id]
    assert [line["event"] for line in told] == ["upload.accepted", "job.failed", "message.buried"]
    assert len({line["message_id"] for line in told}) == 1
    assert all(line["receive_count"] == 1 for line in told[1:])
    good = await place.upload(replica, images.photo_jpeg(640, 480))
    assert (await place.finished(replica, good, within_s=5))["status"] == "done"
    assert (await place.counts()).dead == 1
    assert "Traceback" not in replica.stderr()


async def cut_off(replica: Replica) -> dict[str, Any]:
    """Send half of a multipart body, close this direction, and read the answer."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + images.photo_jpeg(64, 64)
    )
    head = (
        f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body) + 1000}\r\n\r\n"
    )
    address = urlsplit(replica.url)
    assert address.hostname
    assert address.port
    async with await anyio.connect_tcp(address.hostname, address.port) as stream:
        await stream.send(head.encode() + body)
        await stream.send_eof()
        answer = b""
        with within(5):
            while True:
                try:
                    answer += await stream.receive()
                except anyio.EndOfStream:
                    break
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document
