"""Several queues: 50 urgent jobs behind 2,000 that can wait."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING

import anyio
import pytest

from support import documents
from support.documents import QUEUES, UPLOADS
from support.doubles.clocks import SystemClock
from support.patience import until
from support.pictures import images
from support.replicas.place import opened, queued
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.replicas.place import Place
    from support.replicas.replica import Replica

LOW, HIGH, PROCESSES = 2000, 50, 2


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    config = tmp_path / "thumbq.toml"
    config.write_text('[[queues]]\nname = "high"\n\n[[queues]]\nname = "low"\ndefault = true\n')
    environment = {"THUMBQ_LOCAL": str(tmp_path / "data"), "THUMBQ_CONFIG": str(config)}
    async with opened(tmp_path, environment) as place:
        yield place


def done(replica: Replica, queue: str) -> int:
    return sum(line["queue"] == queue for line in replica.events("job.done"))


async def test_with_2000_low_messages_waiting_50_high_ones_are_done_before_5_percent_more_of_the_low_ones_begin(
    place: Place, tmp_path: Path
) -> None:
    async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=("high", "low")) as (high, low):
        await queued(low, [images.small_jpeg()] * LOW)
        sources = [ObjectRef(high.bucket, keys.upload_key(f"{number:026}")) for number in range(HIGH)]
        for source in sources:
            await high.store.put(source, images.small_jpeg(), content_type="image/jpeg")

        replica = await place.replica(processes=PROCESSES)
        await until(lambda: done(replica, "low") >= 20, within_s=20, what="20 low jobs done")
        # All of them wait there at once, however long it takes to send them.
        frozen = replica.freeze_renders()
        async with anyio.create_task_group() as senders:
            for source in sources:
                senders.start_soon(high.queue.send, message.encode(JobRequest(source)))
        before = done(replica, "low")
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: done(replica, "high") == HIGH, within_s=30, what="all high jobs done")

    queues = [line["queue"] for line in replica.events("job.done")]
    last_high = max(at for at, queue in enumerate(queues) if queue == "high")
    assert queues[:last_high].count("low") + PROCESSES - before < LOW * 0.05
    # Once the low jobs have ended that were received before, the replica is there for the high ones alone.
    assert queues[last_high - HIGH // 2 : last_high].count("low") <= HIGH // 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document uploads with curl, which is not here")
async def test_the_documented_upload_with_fields_works_with_the_documented_queues(tmp_path: Path) -> None:
    config = tmp_path / "thumbq.toml"
    config.write_text(documents.example(QUEUES, "Several queues", "toml"))
    command = documents.example(UPLOADS, "Fields", "sh")
    (tmp_path / "photo.jpg").write_bytes(images.small_jpeg())
    environment = {"THUMBQ_LOCAL": str(tmp_path / "data"), "THUMBQ_CONFIG": str(config)}
    async with opened(tmp_path, environment) as place:
        replica = await place.replica(processes=1)
        answer = await anyio.run_process(
            ["bash", "-euc", command.replace("http://127.0.0.1:8080", replica.url)], cwd=tmp_path
        )
        assert json.loads(answer.stdout)["success"]
        await until(lambda: done(replica, "high") == 1, within_s=10, what="a job of the queue high")
