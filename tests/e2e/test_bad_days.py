"""What is promised for bad days: kill -9, stops under load, jobs longer than the visibility time-out."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import AWS_IS_LONG
from support.replicas.replica import THUMBQ, alive
from support.servers.emulators import without_aws
from thumbq.core import message
from thumbq.core.job import JobRequest, ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.replicas.place import Place
    from support.replicas.replica import Replica

VISIBILITY_S = 4


@pytest.fixture
def temporary(place: Place) -> Iterator[Path]:
    """Make a directory of its own for temporary files of a place's replicas; its path is short, as a socket's."""
    with tempfile.TemporaryDirectory() as made:
        place.environment["TMPDIR"] = made
        yield Path(made)


def freeze(replica: Replica) -> list[int]:
    """Stop every render process where it is, so that jobs hang in their renders."""
    children = replica.render_children()
    assert children
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    return children


@AWS_IS_LONG
async def test_kill_9_leaves_nothing_behind_and_the_other_replica_does_the_job(place: Place, temporary: Path) -> None:
    doomed = await place.replica(visibility_timeout_s=VISIBILITY_S, wait_time_s=1)
    # Until a job has ended, a replica takes no more than its processes can begin.
    await place.finished(doomed, await place.upload(doomed, images.photo_jpeg(64, 48)), within_s=10)
    await place.queue_empty()
    freeze(doomed)
    ids = [await place.upload(doomed, images.photo_jpeg(640, 480)) for _ in range(6)]
    await place.in_flight(len(ids))
    family = doomed.children()
    assert len(family) >= 3, "the fork server, the resource tracker and a child at the least"
    doomed.signal(signal.SIGKILL)
    await doomed.ended(within_s=2)
    await until(lambda: not any(map(alive, family)), within_s=2, what=f"the end of {family}")
    assert not os.listdir(temporary)  # noqa: PTH208 - names, at once
    only_json(doomed)
    survivor = await place.replica(visibility_timeout_s=VISIBILITY_S, wait_time_s=1)
    for job_id in ids:
        assert (await place.finished(survivor, job_id, within_s=20))["status"] == "done"
    assert {event["receive_count"] for event in survivor.events("job.done")} == {2}


@pytest.mark.long
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_helpers_that_are_killed_come_again_and_what_they_say_is_in_the_log(
    place: Place, temporary: Path
) -> None:
    replica = await place.replica(processes=2)
    helpers = replica.helpers()
    assert len(helpers) == 2, "the fork server and the resource tracker"
    assert not any(map(knows_settings, helpers))
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: len(replica.events("pool.process_replaced")) == 2, within_s=5, what="new processes")
    job_id = await place.upload(replica, images.photo_jpeg(64, 48))
    assert (await place.finished(replica, job_id, within_s=10))["status"] == "done"
    assert not os.listdir(temporary)  # noqa: PTH208 - names, at once
    assert not any(map(knows_settings, replica.helpers()))
    lines = only_json(replica)
    # The tracker that has come again does not know the semaphores of before.
    assert "KeyError" in "".join(line["text"] for line in lines if line["event"] == "pool.helper_said")
    assert [line for line in lines if "resource_tracker: process died unexpectedly" in line["event"]]
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=5) == 0


def waits_for_a_writer(pid: int) -> bool:
    """Whether a thread of a process is in the call that opens a pipe to which nobody writes."""
    return any(task.read_text() == "wait_for_partner" for task in Path(f"/proc/{pid}/task").glob("*/wchan"))


@pytest.mark.long
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_stop_that_hangs_in_a_system_call_is_ended_at_its_deadline_and_says_where(place: Place) -> None:
    replica = await place.replica(shutdown_deadline_s=3, wait_time_s=1)
    async with place.backend() as backend:
        source = ObjectRef(backend.bucket, "uploads/hangs.jpg")
        await backend.store.put(source, b"-", content_type="image/jpeg")
        [file] = (Path(place.environment["THUMBQ_LOCAL"]) / "objects").glob("*/*hangs*")
        file.unlink()
        os.mkfifo(file)  # nobody writes to it: opening it never returns
        await backend.queue.send(message.encode(JobRequest(source)))
    await until(lambda: waits_for_a_writer(replica.process.pid), within_s=10, what="a thread that opens the pipe")
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=5) == 1
    only_json(replica)
    [line] = replica.events("service.stop_hung")
    assert [where for where in line["threads"] if " open from thumbq.local.store:" in where], line


@pytest.mark.long
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_stop_whose_log_nobody_reads_is_ended(place: Place) -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a moment
        [THUMBQ, "serve"],
        env=without_aws(os.environ) | place.environment | {"THUMBQ_SHUTDOWN_DEADLINE_S": "3", "THUMBQ_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[-1]
        with suppress(TimeoutError):
            while True:  # until its log is full
                async with place.session.get(f"{url}/jobs/none", timeout=aiohttp.ClientTimeout(1)) as answer:
                    assert answer.status == 404
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, within_s=6, what="the end")
        assert process.returncode == -signal.SIGALRM
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
        os.close(theirs)


def knows_settings(pid: int) -> bool:
    return b"THUMBQ_" in Path(f"/proc/{pid}/environ").read_bytes()


def only_json(replica: Replica) -> list[dict[str, Any]]:
    """Return all lines of standard error, none of which may be anything else."""
    return [json.loads(line) for line in replica.stderr().splitlines()]


@AWS_IS_LONG
async def test_silent_connections_take_no_descriptor_that_the_work_needs(place: Place) -> None:
    replica = await place.replica(open_files=256, processes=2, concurrency=4, max_uploads=4, wait_time_s=1)
    host, port = replica.url.removeprefix("http://").split(":")
    async with AsyncExitStack() as silent:
        for _ in range(300):
            await silent.enter_async_context(await anyio.connect_tcp(host, int(port)))
        ids = [await place.upload(replica, images.photo_jpeg(64, 48)) for _ in range(12)]
        for job_id in ids:
            assert (await place.finished(replica, job_id, within_s=10))["status"] == "done"
        async with place.session.get(f"{replica.url}/readyz") as answer:
            assert answer.status == 200
    dropped = replica.events("connections.dropped")
    assert len(dropped) <= 10
    assert dropped[0]["count"] == 1
    assert "Traceback" not in replica.stderr()
    assert {line["event"] for line in replica.lines() if line["level"] in {"warning", "error"}} <= {
        "connections.dropped",
        "service.warning",
    }


@pytest.mark.parametrize(
    ("place", "number"),
    [
        pytest.param("local", signal.SIGTERM, marks=pytest.mark.long),
        ("local", signal.SIGINT),
        pytest.param("aws", signal.SIGTERM, marks=pytest.mark.long),
    ],
    indirect=["place"],
)
async def test_a_stop_under_load_ends_in_order_and_leaves_nothing_hidden(place: Place, number: signal.Signals) -> None:
    replica = await place.replica(wait_time_s=1, shutdown_deadline_s=8)
    picture = images.photo_jpeg(2000, 1500)
    ids: list[str] = []

    async def upload(count: int) -> None:
        ids.extend([await place.upload(replica, picture) for _ in range(count)])

    async with anyio.create_task_group() as clients:
        for _ in range(4):
            clients.start_soon(upload, 10)
    replica.signal(number)
    assert await replica.ended(within_s=8) == 0
    assert "Traceback" not in replica.stderr()
    counts = await place.counts()
    assert counts.in_flight == 0
    done = {event["job_id"] for event in replica.events("job.done")}
    assert counts.visible + counts.delayed + len(done) == len(ids)
    successor = await place.replica(wait_time_s=1)
    for job_id in ids:
        assert (await place.finished(successor, job_id, within_s=20))["status"] == "done"
    again = {event["job_id"] for event in successor.events("job.done")}
    assert not again & done, "a job that was done before the stop was done again"


@AWS_IS_LONG
async def test_a_render_that_outlasts_the_shutdown_is_killed_and_its_message_given_back(place: Place) -> None:
    replica = await place.replica(wait_time_s=1, shutdown_deadline_s=4, concurrency=2)
    freeze(replica)
    job_id = await place.upload(replica, images.photo_jpeg(640, 480))
    await place.in_flight(1)
    family = replica.children()
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=5) == 0
    counts = await place.counts()
    assert (counts.visible, counts.in_flight) == (1, 0)
    await until(lambda: not any(map(alive, family)), within_s=2, what=f"the end of {family}")
    successor = await place.replica(wait_time_s=1)
    assert (await place.finished(successor, job_id, within_s=10))["status"] == "done"


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_an_upload_whose_bytes_still_come_at_the_stop_is_taken(place: Place) -> None:
    replica = await place.replica(shutdown_deadline_s=20)
    begun, go_on = anyio.Event(), anyio.Event()
    picture = images.photo_jpeg(640, 480)

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()  # the server has asked for the body
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="slow.jpg"\r\n\r\n' + picture[:1000]
        await go_on.wait()
        yield picture[1000:] + b"\r\n--b--\r\n"

    async def upload() -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        async with place.session.post(
            f"{replica.url}/upload", data=slowly(), headers=headers, expect100=True
        ) as answer:
            assert answer.status == 201
            assert answer.headers["Connection"] == "close"

    async with anyio.create_task_group() as clients:
        clients.start_soon(upload)
        await begun.wait()
        replica.signal(signal.SIGTERM)
        await until(lambda: replica.events("service.stopping"), within_s=5, what="the stop")
        go_on.set()
    assert await replica.ended(within_s=5) == 0
    assert (await place.counts()).visible == 1


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_signal_at_any_moment_from_the_first_line_on_is_an_orderly_stop(place: Place) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what it inherits; `nohup pytest` ignores it
        try:
            replica = await place.replica(wait_for="listening on")
        finally:
            signal.signal(signal.SIGHUP, before)
        replica.signal(number)
        assert await replica.ended(within_s=5) == 0, replica.stderr()
        assert replica.events("service.stopped")


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_signals_close_together_are_one_stop_and_a_later_one_ends_the_process(place: Place) -> None:
    replica = await place.replica(shutdown_deadline_s=20)
    freeze(replica)
    await place.upload(replica, images.photo_jpeg(640, 480))
    await place.in_flight(1)
    first_at = anyio.current_time()

    def ended_by_another_signal() -> bool:
        replica.signal(signal.SIGTERM)
        return replica.process.poll() is not None

    await until(ended_by_another_signal, within_s=5, what="the end at once")
    assert anyio.current_time() - first_at > 1, "the first ones, close together, were one wish to stop"
    assert replica.process.returncode == 128 + signal.SIGTERM
    assert len(replica.events("service.stopping")) == len(replica.events("service.killed")) == 1


@AWS_IS_LONG
async def test_jobs_longer_than_the_visibility_time_out_are_done_exactly_once(place: Place) -> None:
    picture = images.photo_jpeg(640, 480)
    holders, ids, frozen = [], [], []
    for wait_time_s in (1, 20):
        # One slot each, so that the second replica has to take the second job.
        holder = await place.replica(visibility_timeout_s=VISIBILITY_S, wait_time_s=wait_time_s, concurrency=1)
        frozen += freeze(holder)
        ids.append(await place.upload(holder, picture))
        holders.append(holder)
        await place.in_flight(len(ids))
    rival = await place.replica(visibility_timeout_s=VISIBILITY_S, wait_time_s=20)
    with anyio.move_on_after(2.5 * VISIBILITY_S):
        await until(lambda: rival.events("job.done"), within_s=60, what="nothing: the rival must not get a job")
        pytest.fail("the heartbeat did not hold the messages")
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    for job_id in ids:
        assert (await place.finished(rival, job_id, within_s=5))["status"] == "done"
    await place.queue_empty()
    for holder, job_id in zip(holders, ids, strict=True):
        assert [(event["job_id"], event["receive_count"]) for event in holder.events("job.done")] == [(job_id, 1)]
    assert rival.events("job.done") == []
