"""Uploads over three replicas while replicas and renders are killed and S3 and SQS answer badly."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

from support.patience import until
from support.pictures import images
from support.replicas.fleet import Fleet, logged, story
from support.servers.fault_proxy import Fault
from thumbq.ports import QueueCounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from support.replicas.place import Place
    from support.servers.fault_proxy import FaultProxy

pytestmark = pytest.mark.chaos

NAMES = ("a", "b", "c")
CLIENTS = 6
STORIES = 5


async def test_every_upload_that_was_taken_ends_done_whatever_is_killed_and_whatever_fails(
    place: Place, proxy: FaultProxy, random: Random, form: str, figure: Callable[[str, object], None]
) -> None:
    # On a slow machine the short form is long; more kills than this could use up the receives of a message.
    uploads, kill_every_s, kills, settle_s = (1000, 3.0, math.inf, 300) if form == "full" else (60, 2.5, 3, 40)
    fleet = Fleet(place, proxy, random, visibility_timeout_s=5, wait_time_s=2, shutdown_deadline_s=8)
    async with anyio.create_task_group() as replicas:
        for name in NAMES:
            replicas.start_soon(fleet.keep, name)
        await until(lambda: len(fleet.up) == len(NAMES), within_s=30, what="three replicas")
        proxy.share = 0.05
        started_at = anyio.current_time()
        async with anyio.create_task_group() as attack:
            attack.start_soon(partial(fleet.kill_replicas, every_s=kill_every_s, at_most=kills))
            # Not so often that one job loses its render twice: that would be a poison image.
            attack.start_soon(partial(fleet.kill_children, every_s=2 * kill_every_s))
            # The short form's few uploads take as long as three kills do.
            ids = await _upload(fleet, uploads, pause_s=0.0 if form == "full" else 0.15)
            await until(lambda: fleet.replicas_killed >= 3, within_s=30, what="three kills")
            attack.cancel_scope.cancel()
        proxy.share = 0.0
        attacked_s = anyio.current_time() - started_at
        await fleet.all_up()
        await _settled(place, within_s=settle_s)
        figure("seconds of attack, and until all was settled", _rounded(attacked_s, anyio.current_time() - started_at))
        unfinished = await _unfinished(place, fleet, ids)
        replicas.cancel_scope.cancel()

    done = logged(place, "job.done")
    figure("uploads answered 201", len(ids))
    figure("replicas and single renders killed", (fleet.replicas_killed, fleet.children_killed))
    figure("starts that failed", len(fleet.failed_starts))
    figure("requests, and what went wrong with them", (len(proxy.asked), dict(proxy.faults())))
    figure("renders done twice", len(done) - len({line["job_id"] for line in done}))
    figure("most receives of a message", max(line["receive_count"] for line in done))
    assert not unfinished, unfinished
    assert len(ids) == uploads
    assert not [line for replica in place.replicas for line in replica.lines() if "never retrieved" in line["event"]]
    assert len(proxy.faults()) == len(Fault), "every kind of fault has come up"


def _rounded(*seconds: float) -> list[float]:
    return [round(each, 1) for each in seconds]


async def _upload(fleet: Fleet, count: int, *, pause_s: float) -> list[str]:
    """Upload files, most of them slow to render, one every ``pause_s`` seconds at the most, and return their ids."""
    slow, fast = images.encoded(Image.new("RGB", (2400, 1800)), "PNG"), images.small_jpeg()
    files = [slow if number % 3 else fast for number in range(count)]
    ids: list[str] = []

    async def client() -> None:
        while files:
            ids.append(await fleet.upload(files.pop(), "photo"))
            await anyio.sleep(pause_s * CLIENTS)

    async with anyio.create_task_group() as clients:
        for _ in range(CLIENTS):
            clients.start_soon(client)
    return ids


async def _settled(place: Place, *, within_s: float) -> None:
    """Wait until the queue is empty, or until a message is buried: that is too much already."""
    async with place.backend() as backend:

        async def settled() -> bool:
            counts = await backend.queue.counts()
            return counts.dead > 0 or counts == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)

        with suppress(AssertionError):  # _unfinished says what is missing
            await until(settled, within_s=within_s, what="an empty queue")


async def _unfinished(place: Place, fleet: Fleet, ids: list[str]) -> str:
    """Tell of every job that is not done, and of all that was given up: nothing, when all is well."""
    replica = next(iter(fleet.up.values()))
    bad = [line["job_id"] for line in logged(place, "job.failed")]
    bad += [job_id for job_id in ids if (await place.job(replica, job_id))["status"] != "done"]
    counts = await place.counts()
    if not bad and counts == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0):
        return ""
    stories = [f"{job_id}:\n{story(place, job_id)}" for job_id in list(dict.fromkeys(bad))[:STORIES]]
    return "\n\n".join([f"{counts}, {len(set(bad))} jobs failed or not done", *stories])
