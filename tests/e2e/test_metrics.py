"""Metrics of a replica at work: Prometheus's own tool reads them after every kind of outcome."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

from support.commands import thumbq
from support.emf import metrics_of
from support.patience import until
from support.pictures import images
from support.promtool import promtool
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws

if TYPE_CHECKING:
    from pathlib import Path

    from support.replicas.place import Place

OUTCOMES = (
    'thumbq_stage_duration_seconds_count{queue="default",stage="ack"} ',
    'thumbq_jobs_total{code="",outcome="done",queue="default"} 1.0',
    'thumbq_jobs_total{code="truncated",outcome="failed",queue="default"} 1.0',
    'thumbq_jobs_total{code="malformed-message",outcome="failed",queue="default"} 1.0',
    'thumbq_jobs_total{code="",outcome="settled",queue="default"} 1.0',
    'thumbq_render_processes_replaced_total{cause="died-idle"} 1.0',
    'thumbq_uploads_total{code="unsupported-format",outcome="refused"} 1.0',
    'thumbq_queue_messages{queue="default",state="dead"}',
    'thumbq_outage{part="store",queue=""} 0.0',
)


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_promtool_reads_what_a_replica_tells_after_every_kind_of_outcome(place: Place) -> None:
    replica = await place.replica(metrics_port=0, emf="true", processes=1)
    [ready] = replica.events("metrics.ready")
    for body in (images.photo_jpeg(64, 64), images.truncated_jpeg()):
        await place.finished(replica, await place.upload(replica, body), within_s=10)
    form = aiohttp.FormData()
    form.add_field("file", b"no image", filename="cat.txt")
    async with place.session.post(f"{replica.url}/upload", data=form) as answer:
        assert answer.status == 415
    async with place.backend() as backend:
        await backend.queue.send('{"source": 1}')
        await backend.queue.send("thumbnail/made-by-us.jpg")
    os.kill(replica.render_children()[0], signal.SIGKILL)
    text = ""

    async def told() -> bool:
        nonlocal text
        async with place.session.get(f"http://127.0.0.1:{ready['port']}/metrics") as answer:
            text = await answer.text()
        return all(outcome in text for outcome in OUTCOMES)

    await until(told, within_s=10, what=lambda: f"all outcomes in {text}")
    assert promtool("check", "metrics", stdin=text.encode()) == ""
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=20) == 0
    [line] = [line for line in replica.stderr().splitlines() if line.startswith('{"_aws"')]
    found = metrics_of(line)
    assert [found[f"Jobs{ending}"] for ending in ("Done", "Failed", "Retried")] == [1, 2, 0]
    assert [found[f"Uploads{ending}"] for ending in ("Accepted", "Refused")] == [2, 1]
    assert (found["RenderProcessesReplaced"], len(found["RenderTime"])) == (1, 2)


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_status_shows_what_a_real_replica_says_to_the_holder_of_a_token(place: Place, tmp_path: Path) -> None:
    tokens = {}
    for name, scope in (("ops", "admin"), ("app", "upload,read")):
        made = thumbq("token", "new", "--name", name, "--scope", scope)
        tokens[name], line = made.stdout.splitlines()
        (tmp_path / f"{name}.txt").write_text(tokens[name])
        with (tmp_path / "tokens").open("a") as file:
            file.write(f"{line}\n")
    replica = await place.replica(tokens_file=tmp_path / "tokens", metrics="true")
    place.session.headers["Authorization"] = f"Bearer {tokens['app']}"
    await place.finished(replica, await place.upload(replica, images.photo_jpeg(64, 64)), within_s=10)
    for name, status in (("app", 403), ("ops", 200)):
        asked = {"Authorization": f"Bearer {tokens[name]}"}
        async with place.session.get(f"{replica.url}/metrics", headers=asked) as answer:
            assert answer.status == status

    async def told(name: str) -> tuple[int, str]:
        command = [THUMBQ, "status", "--url", replica.url, "--token-file", str(tmp_path / f"{name}.txt")]
        environment = without_aws(os.environ) | place.environment
        done = await anyio.run_process(command, check=False, env=environment, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode()

    code, text = await told("app")
    assert (code, "/queues is answered 403: the token is not enough" in text) == (2, True)
    shown = (await told("ops"))[1].splitlines()
    assert re.fullmatch(r"default +0 +0 +0 +0 +-  ▁", shown[1])
    assert shown[2] == f"{replica.url}: ready ok, store ok, queue ok"
    assert re.fullmatch(r"  default: done \d+\.\d, failed 0\.0 a minute  ▁+█", shown[3])
    assert max(map(len, shown)) <= 80
