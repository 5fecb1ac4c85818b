"""Uploads over three replicas while replicas and renders are killed and S3 and SQS answer badly."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

import images
from fleet import Fleet, logged, story
from replica import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from faultproxy import FaultProxy
    from place import Place

pytestmark = pytest.mark.chaos

NAMES = ("a", "b", "c")
CLIENTS = 6


async def test_every_upload_that_was_taken_ends_done_whatever_is_killed_and_whatever_fails(
    place: Place, proxy: FaultProxy, random: Random, form: str, figure: Callable[[str, object], None]
) -> None:
    uploads, kill_every_s = (1000, 3.0) if form == "full" else (90, 2.5)
    # So that the short form's few uploads last for three kills.
    pause_s = 0.0 if form == "full" else 0.12
    fleet = Fleet(place, proxy, random, visibility_timeout_s=5, wait_time_s=2, shutdown_deadline_s=8)
    slow, fast = images.encoded(Image.new("RGB", (2400, 1800)), "PNG"), images.small_jpeg()
    files = [slow if number % 3 else fast for number in range(uploads)]
    ids: list[str] = []

    async def client() -> None:
        while files:
            ids.append(await fleet.upload(files.pop(), "photo"))
            await anyio.sleep(pause_s * CLIENTS)

    async with anyio.create_task_group() as replicas:
        for name in NAMES:
            replicas.start_soon(fleet.keep, name)
        await fleet.all_up(NAMES)
        proxy.share = 0.05
        started_at = anyio.current_time()
        async with anyio.create_task_group() as faults:
            faults.start_soon(partial(fleet.kill_replicas, every_s=kill_every_s))
            faults.start_soon(partial(fleet.kill_children, every_s=kill_every_s / 2))
            async with anyio.create_task_group() as clients:
                for _ in range(CLIENTS):
                    clients.start_soon(client)
            await until(lambda: fleet.replicas_killed >= 3, within_s=30, what="three kills")
            faults.cancel_scope.cancel()
        uploaded_s = anyio.current_time() - started_at
        proxy.share = 0.0
        await fleet.all_up(NAMES)
        try:
            await place.queue_empty(within_s=300 if form == "full" else 30)
        except AssertionError as error:
            raise AssertionError(await _unfinished(place, fleet, ids)) from error
        settled_s = anyio.current_time() - started_at - uploaded_s
        unfinished = await _unfinished(place, fleet, ids)
        replicas.cancel_scope.cancel()

    assert not unfinished, unfinished
    renders = Counter(line["job_id"] for line in logged(place, "job.done"))
    figure("uploads answered 201", len(ids))
    figure("replicas killed", fleet.replicas_killed)
    figure("renders killed", fleet.children_killed)
    figure("starts that failed", len(fleet.failed_starts))
    figure("requests", len(proxy.asked))
    figure("faults", dict(proxy.faults()))
    figure("seconds of uploads and faults, and until all was settled", (round(uploaded_s, 1), round(settled_s, 1)))
    figure("renders done twice", sum(renders.values()) - len(renders))
    figure("most receives of a message", max(line["receive_count"] for line in logged(place, "job.done")))
    assert len(proxy.faults()) == 7, "every kind of fault has come up"


async def _unfinished(place: Place, fleet: Fleet, ids: list[str]) -> str:
    """Tell of every job that is not done, and of everything that was given up: nothing, when all is well."""
    told = [line["job_id"] for line in logged(place, "job.failed")]
    for job_id in ids:
        job = await place.job(next(iter(fleet.up.values())), job_id)
        if job["status"] != "done":
            told.append(job_id)
    counts = await place.counts()
    stories = [f"{job_id}:\n{story(place, job_id)}" for job_id in dict.fromkeys(told)]
    return "\n\n".join([str(counts), *stories[:5]]) if stories or counts.dead else ""
