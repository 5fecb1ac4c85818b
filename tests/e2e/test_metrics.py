"""Metrics of a replica at work: Prometheus's own tool reads them after every kind of outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from support.patience import until
from support.pictures import images
from support.promtool import promtool

if TYPE_CHECKING:
    from support.replicas.place import Place

OUTCOMES = (
    'thumbq_stage_duration_seconds_count{queue="default",stage="ack"} 2.0',
    'thumbq_jobs_total{code="",outcome="done",queue="default"} 1.0',
    'thumbq_jobs_total{code="truncated",outcome="failed",queue="default"} 1.0',
    'thumbq_uploads_total{code="unsupported-format",outcome="refused"} 1.0',
    'thumbq_queue_messages{queue="default",state="dead"}',
    'thumbq_outage{part="store",queue=""} 0.0',
)


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_promtool_reads_what_a_replica_tells_after_every_kind_of_outcome(place: Place) -> None:
    replica = await place.replica(metrics_port=0)
    [ready] = replica.events("metrics.ready")
    for body in (images.photo_jpeg(64, 64), images.truncated_jpeg()):
        await place.finished(replica, await place.upload(replica, body), within_s=10)
    form = aiohttp.FormData()
    form.add_field("file", b"no image", filename="cat.txt")
    async with place.session.post(f"{replica.url}/upload", data=form) as answer:
        assert answer.status == 415
    text = ""

    async def told() -> bool:
        nonlocal text
        async with place.session.get(f"http://127.0.0.1:{ready['port']}/metrics") as answer:
            text = await answer.text()
        return all(outcome in text for outcome in OUTCOMES)

    await until(told, within_s=10, what=lambda: f"all outcomes in {text}")
    assert promtool("check", "metrics", stdin=text.encode()) == ""
