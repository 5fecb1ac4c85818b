"""A lease lost during a render: the child is gone, nothing follows, and the second receiver's result stands."""

from __future__ import annotations

import asyncio
import os
import select
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread

from support.patience import until
from support.pictures import images
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.local.schema import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.replicas.place import Place
    from support.replicas.replica import Replica
    from support.servers.fault_proxy import FaultProxy

pytestmark = pytest.mark.chaos

VISIBILITY_S = 6
MARGIN_S = VISIBILITY_S / 10
ONE_JOB: dict[str, Any] = {"visibility_timeout_s": VISIBILITY_S, "wait_time_s": 1, "concurrency": 1, "processes": 1}


async def gone(pid: int) -> float:
    """Wait until a process has ended and return when that was, in POSIX seconds.

    To be begun while the process lives. A thread sees the end, whatever else the test waits for meanwhile.
    """
    process = os.pidfd_open(pid)

    def end() -> float:
        ended, _, _ = select.select([process], [], [], 30)
        assert ended, f"{pid} has not ended"
        return time.time()

    try:
        return await to_thread.run_sync(end)
    finally:
        os.close(process)


async def lost(replica: Replica) -> float:
    """Wait until a replica has logged the loss of its lease and return when that was, in POSIX seconds."""
    (line,) = await until(lambda: replica.events("lease.lost"), within_s=2 * VISIBILITY_S, what="a lost lease")
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def visible_at(database: sqlite3.Connection) -> object:
    return database.execute("SELECT visible_at FROM messages").fetchone()


async def manifest(place: Place, job_id: str) -> bytes:
    async with place.backend() as backend:
        ref = ObjectRef(backend.bucket, keys.manifest_key(keys.upload_key(job_id)))
        return (await backend.store.get(ref, max_bytes=1 << 20))[1]


async def test_beats_that_do_not_get_through_cost_the_render_its_life_at_the_deadline(
    place: Place, proxy: FaultProxy, figure: Callable[[str, object], None]
) -> None:
    holder = await place.replica(endpoint=await proxy.endpoint("holder"), **ONE_JOB)
    frozen = holder.freeze_renders()
    end = asyncio.create_task(gone(*frozen))
    blocked = {"ChangeMessageVisibilityBatch"}
    proxy.blocked = lambda asked: asked.replica == "holder" and asked.operation in blocked
    job_id = await place.upload(holder, images.photo_jpeg(640, 480))
    (received,) = await until(proxy.received, within_s=5, what="the receive")
    request, message_id, receipt = received
    # The holder must not have the message a second time: that would be another lease.
    blocked.add("ReceiveMessage")
    rival = await place.replica(endpoint=await proxy.endpoint("rival"), **ONE_JOB)

    died_at, lost_at = await end, await lost(holder)
    deadline = request.answered_at + VISIBILITY_S - MARGIN_S
    figure("seconds from the deadline to the end of the child", round(died_at - deadline, 3))
    assert min(lost_at, died_at) > deadline - 0.2

    await until(lambda: rival.events("job.done"), within_s=10, what="the rival's result")
    stands = await manifest(place, job_id)
    blocked.clear()
    later = len(proxy.asked)
    await until(
        lambda: any(asked.replica == "holder" and asked.operation == "ReceiveMessage" for asked in proxy.asked[later:]),
        within_s=15,
        what="the holder at work again",
    )
    await place.queue_empty()
    about = (job_id, message_id, receipt)
    assert [
        asked
        for asked in proxy.asked
        if asked.replica == "holder" and asked.at > lost_at and any(name in asked.path + asked.body for name in about)
    ] == []
    assert [line["receive_count"] for line in rival.events("job.done")] == [2]
    assert await manifest(place, job_id) == stands
    assert holder.render_children() not in ([], frozen), "another child has taken the killed one's place"


async def test_a_message_that_another_got_meanwhile_is_let_go_at_the_next_beat(
    local_place: Place, tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    place = local_place
    holder = await place.replica(**ONE_JOB)
    frozen = holder.freeze_renders()
    end = asyncio.create_task(gone(*frozen))
    job_id = await place.upload(holder, images.photo_jpeg(640, 480))
    await place.in_flight(1)
    rival = await place.replica(**ONE_JOB)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE_NAME, timeout=10)) as database:
        # Right after a beat: the rival has until the next one to take the message.
        before = visible_at(database)
        await until(lambda: visible_at(database) != before, within_s=VISIBILITY_S, what="a beat")
        with database:
            database.execute("UPDATE messages SET visible_at = 0")
    changed_at = time.time()

    died_at, lost_at = await end, await lost(holder)
    figure("seconds from the change to the loss", round(lost_at - changed_at, 3))
    figure("seconds from the loss to the end of the child", round(died_at - lost_at, 3))

    await until(lambda: rival.events("job.done"), within_s=10, what="the rival's result")
    stands = await manifest(place, job_id)
    await place.queue_empty()
    await until(lambda: holder.render_children() not in ([], frozen), within_s=5, what="a new child")
    assert (await place.finished(holder, job_id, within_s=5))["status"] == "done"
    assert [line["receive_count"] for line in rival.events("job.done")] == [2]
    assert await manifest(place, job_id) == stands
    assert holder.events("job.done") == []
