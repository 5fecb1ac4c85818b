"""The main job on real replicas: a photo in, its thumbnail out; two replicas on one queue."""

from __future__ import annotations

import io
import itertools
from importlib import metadata
from typing import TYPE_CHECKING

import anyio
import numpy as np
import pytest
from PIL import Image

from support.pictures import images
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica

UPLOADS = 48


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_phone_photo_becomes_a_small_upright_jpeg(place: Place) -> None:
    replica = await place.replica()
    job_id = await place.upload(replica, images.photo_jpeg(4000, 3000, orientation=6))
    job = await place.finished(replica, job_id, within_s=2)
    assert job["status"] == "done"
    rendition = job["renditions"]["thumbnail"]
    assert (rendition["width"], rendition["height"], rendition["content_type"]) == (100, 75, "image/jpeg")
    async with place.session.get(replica.url + rendition["url"]) as answer:
        body = await answer.read()
    assert len(body) == rendition["bytes"]
    with Image.open(io.BytesIO(body)) as image:
        assert (
            image.format,
            image.size,
            len(image.getexif()),
            set(image.info) & {"exif", "icc_profile", "comment"},
        ) == (
            "JPEG",
            (100, 75),
            0,
            set(),
        )
        red, green, blue = np.asarray(image.convert("RGB"))[4, 4]
        assert red > 150 > max(green, blue), "the scene's top left corner is red"


@pytest.mark.measured
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_phone_photo_is_done_within_two_seconds(place: Place, at_most: AtMost) -> None:
    replica = await place.replica()
    job_id = await place.upload(replica, images.photo_jpeg(4000, 3000, orientation=6))
    uploaded_at = anyio.current_time()
    await place.finished(replica, job_id, within_s=10)
    at_most("seconds from the upload to the end of the job", anyio.current_time() - uploaded_at, 2)


# moto looks for a visible message and hides it in two steps: two receives at once may both get it.
@pytest.mark.parametrize("place", [pytest.param("local", marks=pytest.mark.long), "ministack"], indirect=True)
async def test_two_replicas_share_one_queue_and_lose_nothing(place: Place) -> None:
    replicas = [await place.replica(wait_time_s=1) for _ in range(2)]
    pictures = [
        images.photo_jpeg(320, 240),
        images.photo_jpeg(300, 400, orientation=8),
        images.encoded(images.scene(200, 100), "PNG"),
        images.encoded(images.scene(150, 150), "WEBP"),
    ]
    uploads = itertools.cycle(itertools.product(replicas, pictures))
    ids: list[str] = []

    async def upload_some() -> None:
        while len(ids) + in_hand < UPLOADS:
            await upload_one()

    in_hand = 0

    async def upload_one() -> None:
        nonlocal in_hand
        in_hand += 1
        replica, picture = next(uploads)
        job_id = await place.upload(replica, picture)
        ids.append(job_id)
        in_hand -= 1

    async with anyio.create_task_group() as clients:
        for _ in range(8):
            clients.start_soon(upload_some)
    assert len(set(ids)) == UPLOADS
    for job_id in ids:
        job = await place.finished(replicas[0], job_id, within_s=40)
        assert job["status"] == "done", job
    async with place.backend() as backend:
        for job_id in ids:
            key = keys.manifest_key(keys.upload_key(job_id))
            _, raw = await backend.store.get(ObjectRef(backend.bucket, key), max_bytes=1 << 20)
            record = Manifest.decode(raw)
            assert record is not None
            assert record.status == "done"
    await place.queue_empty()
    shares = [len(replica.events("job.done")) for replica in replicas]
    assert sum(shares) == UPLOADS
    assert min(shares) > 0
    check_names(replicas, place)


def check_names(replicas: Sequence[Replica], place: Place) -> None:
    """Hold that each replica says at its start what it is and works with, and has one name in all of its lines."""
    names = [{line["replica"] for line in replica.lines()} for replica in replicas]
    assert [len(name) for name in names] == [1, 1]
    assert names[0] != names[1]
    for replica in replicas:
        [ready] = replica.events("service.ready")
        assert (ready["version"], ready["address"]) == (metadata.version("thumbq"), replica.url)
        assert ready["access"] == "open"
        bucket, queue = (place.environment.get(name) for name in ("THUMBQ_BUCKET", "THUMBQ_QUEUE"))
        assert (ready.get("bucket"), ready["queues"]) == (bucket, [queue or "local"])
        assert ready.get("directory") == place.environment.get("THUMBQ_LOCAL")
