"""The benchmark of the service: what it refuses, what it leaves alone, and what its figures mean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import anyio
import pytest

from support.backends import open_aws
from support.commands import thumbq
from support.documents import BENCHMARK, example
from support.patience import until
from support.pictures import images
from support.replicas.replica import THUMBQ, Replica, alive
from support.servers.emulators import aws_env, aws_environment, without_aws
from thumbq.backends import open_backend
from thumbq.bench.cases import CASES
from thumbq.bench.mixes import MIXES
from thumbq.bench.servicefigures import SERVICE_LEGEND, ServiceMeasured, Usage
from thumbq.commands.benchservice.jobs import BenchJobs
from thumbq.core import message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.manifests import manifest_ref
from thumbq.pool.procfs import cpu_s, descendants, ended_children_cpu_s, proportional_bytes, resident_bytes
from thumbq.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.ports import Backend

COLUMNS = 80


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "photo.jpg").write_bytes(images.photo_jpeg(64, 48))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def what_is_in(directory: Path) -> tuple[set[str], int]:
    async with open_backend(Settings(local=directory)) as backend:
        return await what_is_there(backend)


async def what_is_there(backend: Backend) -> tuple[set[str], int]:
    """Return all keys, and the number of messages, dead letters included."""
    counts = await backend.queue.counts()
    keys = {entry.key for entry in await backend.store.list(backend.bucket, prefix="")}
    return keys, counts.visible + counts.in_flight + counts.delayed + counts.dead


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--mix", "large"], "no mix 'large'; there are: tiny, camera, web"),
        (["--mix", "tiny", "photo.jpg"], "leave it out, or the files"),
        (["--jobs", "0"], "0 is not in the range"),
        (["--warm", "-1"], "-1 is not in the range"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_done(folder: Path, arguments: list[str], text: str) -> None:
    done = thumbq("bench", "service", "--local", "data", *arguments)
    assert done.exit_code == 2
    assert text in done.stderr
    assert done.stdout == ""
    assert not (folder / "data").exists()


def test_jobs_of_others_are_neither_done_nor_measured(folder: Path) -> None:
    assert thumbq("send", "--local", "data", "photo.jpg").exit_code == 0
    before = anyio.run(what_is_in, folder / "data")
    done = thumbq("bench", "service", "--local", "data")
    assert anyio.run(what_is_in, folder / "data") == before
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: the queue of data has messages (1), and their jobs would be done, too",
        "    fix: wait until they are done, or name another queue or directory",
    ]


def test_a_system_that_does_not_tell_what_processes_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    done = thumbq("bench", "service", "--local", "data")
    assert done.exit_code == 2
    assert "error: this system does not tell what processes use" in done.stderr
    assert "fix: measure on Linux" in done.stderr


async def test_what_is_left_is_removed_and_nothing_of_others(folder: Path) -> None:
    settings = Settings(local=folder / "data")
    async with open_backend(settings) as backend:
        others = ObjectRef(backend.bucket, "uploads/others")
        body = message.encode(JobRequest(others))
        await backend.store.put(others, b"picture", content_type="image/png")
        await backend.queue.send(body)
        await backend.queue.send("no job at all")
        jobs = BenchJobs(settings, backend)
        sources = await jobs.store([images.small_jpeg()], 12)
        await jobs.send(sources)
        rendition = ObjectRef(backend.bucket, settings.presets["thumbnail"].rendition_key(sources[0].key))
        for ref in (rendition, manifest_ref(sources[1])):  # one that is no manifest: its job has no end
            await backend.store.put(ref, b"?", content_type="image/jpeg")
        await backend.queue.send(body)
        assert await jobs.remove() == 0
        assert await what_is_there(backend) == ({others.key}, 3)
        assert (await backend.queue.counts()).in_flight == 0, "what is others' is given back"


async def test_what_another_receiver_has_is_told_and_the_wait_for_it_costs_others_one_receive(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbq.commands.benchservice.jobs._TAKE_BACK_S", 0.1)
    monkeypatch.setattr("thumbq.commands.benchservice.jobs._WAIT_S", 0)
    async with open_backend(Settings(local=folder / "data")) as backend:
        jobs = BenchJobs(Settings(local=folder / "data"), backend)
        await jobs.send(await jobs.store([images.small_jpeg()], 1))
        await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
        await backend.queue.send("others")
        assert await jobs.remove() == 1
        [others] = await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
        assert (others.body, others.receive_count) == ("others", 2)


async def test_a_replica_that_takes_a_job_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.commands.benchservice.jobs._LISTENING_S", 0.1)
    monkeypatch.setattr("thumbq.commands.benchservice.jobs._WAIT_S", 0)
    settings = Settings(local=folder / "data")
    async with open_backend(settings) as backend, anyio.create_task_group() as tasks:
        alone, beside = BenchJobs(settings, backend), BenchJobs(settings, backend)
        assert await alone.is_alone(images.small_jpeg())
        await alone.remove()
        assert await what_is_there(backend) == (set(), 0)

        async def take() -> None:
            await backend.queue.receive(max_messages=1, wait_s=20, visibility_timeout_s=30)

        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        assert not await beside.is_alone(images.small_jpeg())


def test_figures_are_a_job_s_share_of_what_was_used_meanwhile() -> None:
    before = Usage(1.0, 2.0, {"s3": {"GET": 40, "PUT": 40}, "sqs": {"ReceiveMessage": 5, "DeleteMessageBatch": 4}})
    after = Usage(1.5, 4.0, {"s3": {"GET": 140, "PUT": 240}, "sqs": {"ReceiveMessage": 15, "DeleteMessageBatch": 4}})
    measured = ServiceMeasured("tiny", (), 100, 900, 2.0, after.since(before), 0.7, 5 << 20)
    document = measured.document()
    assert document["cpu_ms"] == {"parent": 5.0, "render": 20.0, "total": 25.0}
    assert document["requests"] == {"s3": {"GET": 100, "PUT": 200}, "sqs": {"ReceiveMessage": 10}}
    assert document["requests_a_job"] == {"s3": 3.0, "sqs": 0.1}
    assert (document["jobs_a_second"], document["start_cpu_ms"]) == (50.0, 700.0)
    local = ServiceMeasured("tiny", (), 100, 900, 2.0, Usage(1, 1, None), 0.7, None).document()
    assert (local["requests"], local["requests_a_job"], local["pss_bytes"]) == (None, None, None)


def test_every_mix_has_as_many_jobs_of_each_of_its_originals_which_are_classes_that_render() -> None:
    for mix in MIXES.values():
        assert mix.jobs % len(mix.cases) == 0
        assert all(CASES[case.name] is case for case in mix.cases)


def test_a_process_s_figures_are_those_of_all_that_it_has_started() -> None:
    used = "import time; end = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
    below = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {used!r}])\n"
    script = f"{below}sleeping = subprocess.Popen(['sleep', '1000'])\nprint('up', flush=True)\nsleeping.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            [child] = descendants(process.pid)
            assert child in descendants(os.getpid())
            assert 0.05 < (ended_children_cpu_s(process.pid) or 0) < 1000, "of 0.1, in whole ticks"
            assert (cpu_s(child) or 0) < 0.1
            assert 0 < (proportional_bytes(process.pid) or 0) <= (resident_bytes(process.pid) or 0)
        finally:
            for pid in (*descendants(process.pid), process.pid):
                os.kill(pid, signal.SIGKILL)
    gone = process.pid
    assert (descendants(gone), cpu_s(gone), ended_children_cpu_s(gone), proportional_bytes(gone)) == ([], *[None] * 3)


async def service(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [THUMBQ, "bench", "service", *arguments]
    return await anyio.run_process(command, env=without_aws(os.environ), check=False)


@pytest.mark.long
async def test_the_documented_command_prints_a_table_and_leaves_nothing_behind(folder: Path) -> None:
    documented = example(BENCHMARK, "Service", "sh").split()
    done = await anyio.run_process(
        [THUMBQ, *documented[1:], "--mix", "tiny", "--jobs", "8", "--warm", "2"],
        env=without_aws(os.environ) | {"THUMBQ_PROCESSES": "1"},
    )
    header, tiny, empty, *legend = done.stdout.decode().splitlines()
    assert max(map(len, (header, tiny, *legend))) <= COLUMNS
    assert (header.split()[:2], tiny.split()[:2]) == (["mix", "jobs"], ["tiny", "8"])
    figures = [float(cell) for cell in tiny.split()[1:] if cell != "-"]
    assert len(figures) == len(header.split()) - 3, "requests are S3's and SQS's"
    assert all(figure > 0 for figure in figures)
    assert empty == ""
    assert len(legend) == len(SERVICE_LEGEND)
    assert done.stderr == b""
    assert await what_is_in(folder / "bench-data") == (set(), 0)


@pytest.mark.long
async def test_files_are_measured_as_json_and_those_that_fail_are_named(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    (folder / "cut.jpg").write_bytes(images.photo_jpeg(640, 480)[:-9000])
    done = await service("--local", "data", "photo.jpg", "notes.txt", "--jobs", "4", "--warm", "0", "--json")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "notes.txt: unsupported-format: the file is not an image of a known format"
    ]
    document = json.loads(done.stdout)
    refused, measured = document["results"]
    assert refused["error"]["code"] == "unsupported-format"
    assert (measured["mix"], measured["files"], measured["jobs"]) == ("files", ["photo.jpg"], 4)
    assert measured["bytes"] == 4 * (folder / "photo.jpg").stat().st_size
    assert document["service"]["directory"] == "data"
    done = await service("--local", "data", "cut.jpg", "--jobs", "2", "--warm", "0")
    assert done.returncode == 1
    assert done.stderr.startswith(b"files: truncated: "), done.stderr
    assert await what_is_in(folder / "data") == (set(), 0), "not even dead letters"


@pytest.mark.long
async def test_requests_to_s3_and_sqs_are_those_of_the_service_alone(moto_url: str) -> None:
    name = f"thumbq-bench-{uuid.uuid4().hex[:12]}"
    variables = {"THUMBQ_BUCKET": name, "THUMBQ_QUEUE": name, "THUMBQ_WAIT_TIME_S": "1"}
    environment = without_aws(os.environ) | aws_environment(moto_url) | variables
    await anyio.run_process([THUMBQ, "setup"], env=environment)
    command = [THUMBQ, "bench", "service", "--mix", "tiny", "--jobs", "10", "--warm", "2", "--json"]
    done = await anyio.run_process(command, env=environment)
    [measured] = json.loads(done.stdout)["results"]
    s3, sqs = (measured["requests"][service] for service in ("s3", "sqs"))
    assert s3["PUT"] == 2 * 10, "a rendition and a manifest; the originals are put by the benchmark"
    assert s3["GET"] >= 10
    assert set(sqs) <= {"ReceiveMessage", "DeleteMessageBatch"}, "and the messages sent by it"
    assert measured["requests_a_job"]["s3"] == sum(s3.values()) / 10
    with aws_env(moto_url):
        async with open_aws(bucket=name, queue=name) as backend:
            assert await what_is_there(backend) == (set(), 0)


def _started(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(command, env=without_aws(os.environ), stdout=file, stderr=file)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_ctrl_c_leaves_nothing_behind_and_kill_9_no_service(folder: Path, number: signal.Signals) -> None:
    command = [THUMBQ, "bench", "service", "--local", "data", "--mix", "camera", "--jobs", "60"]
    bench = Replica(_started(command, folder / "stderr"), folder)

    async def working() -> bool:
        return any("thumbnail/" in str(path) or "manifests" in str(path) for path in (folder / "data").rglob("*"))

    await until(working, within_s=30, what="a first job")
    below = bench.children()
    bench.signal(number)
    assert await bench.ended(within_s=60) == (130 if number is signal.SIGINT else -number)
    await until(lambda: not any(map(alive, below)), within_s=40, what="the end of the service")
    if number is signal.SIGINT:
        assert (folder / "stderr").read_text() == "interrupted\n"
        assert await what_is_in(folder / "data") == (set(), 0)
