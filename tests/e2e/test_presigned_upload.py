"""An original that its client stores itself: form, event, job, rendition; on S3 with `thumbq setup --events`."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from PIL import Image

from support.patience import until
from support.pictures import images
from support.servers.emulators import aws_env
from thumbq.aws.session import open_clients
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.manifests import read_manifest

if TYPE_CHECKING:
    from support.replicas.place import Place
    from support.replicas.replica import Replica

MAX_BYTES: Final = 100_000
CALLBACK: Final = "https://example.org/done"


async def setup_events(place: Place) -> list[str]:
    """Run `thumbq setup --events`, and return what it says of each step."""
    done = await place.command("setup", "--events")
    assert done.returncode == 0, done.stderr.decode()
    return [line.split()[0] for line in done.stdout.decode().splitlines()]


async def wiring(place: Place) -> tuple[Any, Any]:
    """Return the bucket's notifications and the queue's policy."""
    with aws_env(place.environment["AWS_ENDPOINT_URL"]):
        async with open_clients(connections=2, wait_time_s=0) as clients:
            answer: Any = await clients.s3.get_bucket_notification_configuration(
                Bucket=place.environment["THUMBQ_BUCKET"]
            )
            url = (await clients.control.get_queue_url(QueueName=place.environment["THUMBQ_QUEUE"]))["QueueUrl"]
            found = await clients.control.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
            del answer["ResponseMetadata"]
            return answer, found["Attributes"]


async def offered(place: Place, replica: Replica, **members: Any) -> dict[str, Any]:
    async with place.session.post(f"{replica.url}/uploads", json={"content_type": "image/jpeg"} | members) as answer:
        document: dict[str, Any] = await answer.json()
        assert answer.status == 201, document
        data: dict[str, Any] = document["data"]
        return data


async def post(place: Place, offer: dict[str, Any], body: bytes, **changed: str) -> int:
    """Use a form as curl does, with ``changed`` fields (``_`` stands for ``-``), and return the status."""
    form = aiohttp.FormData(quote_fields=False)
    renamed = {name.replace("_", "-"): value for name, value in changed.items()}
    for name, value in (offer["upload"]["fields"] | renamed).items():
        form.add_field(name, value)
    form.add_field("file", body, filename="photo.jpg")
    async with place.session.post(offer["upload"]["url"], data=form) as answer:
        await answer.read()
        return answer.status


async def finished(place: Place, replica: Replica, job_id: str) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        job = await place.job(replica, job_id)
        return job if job["status"] in {"done", "failed"} else None

    job: dict[str, Any] = await until(ended, within_s=20, what=lambda: f"the end of {job_id}\n{replica.stderr()}")
    return job


# Of a local directory test_presigned_uploads.py in ``web/`` and ``local/`` say the same in one process.
@pytest.mark.parametrize("place", [pytest.param("local", marks=pytest.mark.long), "ministack"], indirect=True)
async def test_an_original_that_its_client_stores_becomes_what_was_asked_for(place: Place) -> None:
    on_s3 = "THUMBQ_BUCKET" in place.environment
    if on_s3:
        assert (await setup_events(place))[-2:] == ["made", "made"]
        before = await wiring(place)
        assert set(await setup_events(place)) == {"there"}
        assert await wiring(place) == before
    replica = await place.replica(wait_time_s=1, max_source_bytes=MAX_BYTES)

    offer = await offered(place, replica, filename="cat.jpg", presets=["stretched"], callback_url=CALLBACK)
    assert (await place.job(replica, offer["id"]))["status"] == "awaiting-upload"
    assert await post(place, offer, images.photo_jpeg(320, 240)) == 204
    job = await finished(place, replica, offer["id"])

    assert (job["status"], job["original"]["filename"], list(job["renditions"])) == ("done", "cat.jpg", ["stretched"])
    async with place.session.get(replica.url + job["renditions"]["stretched"]["url"]) as answer:
        with Image.open(io.BytesIO(await answer.read())) as image:
            assert (image.format, image.size) == ("JPEG", (100, 100))
    async with place.backend() as backend:
        manifest = await read_manifest(backend.store, ObjectRef(backend.bucket, keys.inbox_key(offer["id"])))
    assert manifest is not None
    assert manifest.callback_url == CALLBACK

    await what_the_form_does_not_say_is_refused(place, replica)

    broken = await offered(place, replica)
    assert await post(place, broken, b"no image") == 204
    failed = await finished(place, replica, broken["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "unsupported-format")

    # S3 tells of the inbox only: an upload through thumbq is one job, not two.
    uploaded = await place.upload(replica, images.photo_jpeg(300, 200))
    assert (await finished(place, replica, uploaded))["status"] == "done"
    await until(lambda: no_more_messages(place), within_s=10, what="an empty queue")
    assert sorted(event["job_id"] for event in replica.events("job.done")) == sorted([offer["id"], uploaded])
    assert replica.events("job.already_done") == []


async def no_more_messages(place: Place) -> bool:
    counts = await place.counts()
    return counts.visible + counts.in_flight + counts.delayed == 0


async def what_the_form_does_not_say_is_refused(place: Place, replica: Replica) -> None:
    photo = images.photo_jpeg(64, 64)
    offer = await offered(place, replica)
    assert offer["max_bytes"] == MAX_BYTES
    assert await post(place, offer, photo + bytes(MAX_BYTES)) in {400, 413}
    assert await post(place, offer, b"") == 400
    assert await post(place, offer, photo, Content_Type="text/html") == 403
    assert await post(place, offer, photo, key="uploads/" + "0" * 26) == 403
    assert await post(place, offer, photo, x_amz_meta_thumbq_presets="thumbnail") == 403
    policy = json.loads(base64.b64decode(offer["upload"]["fields"]["policy"]))
    late = base64.b64encode(json.dumps(policy | {"expiration": "2000-01-01T00:00:00Z", "expires_at": 0}).encode())
    assert await post(place, offer, photo, policy=late.decode()) == 403
    assert (await place.job(replica, offer["id"]))["status"] == "awaiting-upload"
