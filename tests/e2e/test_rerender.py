"""`thumbq rerender` of many originals after a preset has changed, with kill -9, beside uploads."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

import anyio
import pytest

from support.doubles.clocks import SystemClock
from support.patience import until
from support.pictures import images
from support.replicas.place import opened
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.replicas.place import Place
    from support.replicas.replica import Replica
    from thumbq.ports import Backend

# 20,000 take two minutes, and have been done so: 5,000 are five pages of a listing and 157 batches, and a run knows no
# more of its originals than the page and the batch that it is at.
ORIGINALS, PROCESSES, UPLOADS = 5_000, 2, 20
CONFIG = """\
[[queues]]
name = "uploads"
default = true

[[queues]]
name = "later"

[presets.thumbnail]
width = 64
"""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    config = tmp_path / "thumbq.toml"
    config.write_text(CONFIG)
    environment = {"THUMBQ_LOCAL": str(tmp_path / "data"), "THUMBQ_CONFIG": str(config)}
    async with opened(tmp_path, environment) as place:
        yield place


def original(number: int) -> str:
    return keys.upload_key(f"{number:026}")


async def stored(backend: Backend) -> None:
    """Store originals with the manifests that the recipe of yesterday has left."""
    waiting = list(range(ORIGINALS))
    body = images.small_jpeg()

    async def put() -> None:
        while waiting:
            key = original(waiting.pop())
            made = {"bucket": "local", "key": "k", "width": 1, "height": 1, "bytes": 1, "content_type": "image/jpeg"}
            manifest = Manifest.model_validate(
                {
                    "status": "done",
                    "source": {"bucket": "local", "key": key},
                    "renditions": {"thumbnail": made | {"sha256": "", "fingerprint": "0" * 16}},
                    "finished_at": 0,
                }
            )
            for name, raw in ((key, body), (keys.manifest_key(key), manifest.encode())):
                await backend.store.put(ObjectRef("local", name), raw, content_type="image/jpeg")

    async with anyio.create_task_group() as tasks:
        for _ in range(32):
            tasks.start_soon(put)


def done(replica: Replica, queue: str) -> list[str]:
    return [keys.upload_key(line["job_id"]) for line in replica.events("job.done") if line["queue"] == queue]


@pytest.mark.long
async def test_each_original_is_done_once_over_kill_9_and_uploads_wait_for_none_of_them(
    place: Place, tmp_path: Path
) -> None:
    async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=("uploads", "later")) as (first, later):
        await stored(first)
        environment = without_aws(os.environ) | place.environment
        command = [THUMBQ, "rerender", "--queue", "later", "--apply", "--json"]

        replica = await place.replica(processes=PROCESSES)
        # Cut off wherever it is, again and again, while the jobs are at work.
        for cut_off_at in (100, 1300, 2700):
            process = await anyio.open_process(command, env=environment, stdout=DEVNULL, stderr=DEVNULL)

            async def reached(number: int = cut_off_at) -> bool:
                counts = await later.queue.counts()
                return counts.visible + counts.in_flight + len(done(replica, "later")) >= number

            await until(reached, within_s=60, what=f"{cut_off_at} jobs queued")
            process.send_signal(signal.SIGKILL)
            await process.wait()
        frozen = replica.freeze_renders()
        for number in range(UPLOADS):
            await place.upload(replica, images.small_jpeg(), f"{number}.jpg")
        begun = len(done(replica, "later"))
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: len(done(replica, "uploads")) == UPLOADS, within_s=60, what="all uploads done")
        # Strict priority: before the last of them end only a few that had begun.
        order = [line["queue"] for line in replica.events("job.done")]
        last = max(at for at, queue in enumerate(order) if queue == "uploads")
        assert order[:last].count("later") - begun <= UPLOADS

        rest = await anyio.run_process(command, env=environment, stdout=PIPE, stderr=PIPE)
        assert b"went on after uploads/" in rest.stderr
        assert len(rest.stdout.splitlines()) <= ORIGINALS - 2600
        await place.queue_empty(within_s=120)

        async def drained() -> bool:
            counts = await later.queue.counts()
            return (counts.visible, counts.in_flight, counts.delayed, counts.dead) == (0, 0, 0, 0)

        await until(drained, within_s=240, what="all jobs done")
    times = Counter(done(replica, "later"))
    assert times == Counter(original(number) for number in range(ORIGINALS))
    again = await anyio.run_process([*command[:2], "--json"], env=environment, stdout=PIPE, stderr=PIPE)
    assert json.loads(again.stdout or "[]") == []
