"""The commands as a user types them, where that takes a process; ``tests/commands`` has all else of them."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import Place
from support.replicas.replica import THUMBQ
from support.schemas.manifest_schema import faults
from support.servers.emulators import aws_environment, without_aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(images.photo_jpeg(640, 480, orientation=6))
    (tmp_path / "cat.png").write_bytes(images.png_with_alpha())
    (tmp_path / "cut.jpg").write_bytes(images.truncated_jpeg())
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


async def thumbq(
    *arguments: str | bytes, cwd: Path, variables: Mapping[str, str] | None = None, stdout: int = PIPE
) -> CompletedProcess[bytes]:
    return await anyio.run_process(
        [THUMBQ, *arguments], cwd=cwd, env=without_aws(os.environ) | dict(variables or {}), check=False, stdout=stdout
    )


@contextmanager
def unread_pipe() -> Iterator[int]:
    """Yield the writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@contextmanager
def full_disk() -> Iterator[int]:
    with Path("/dev/full").open("wb") as file:
        yield file.fileno()


async def waiting(folder: Path) -> int:
    """Return how many messages wait in ``data``."""
    return (await Place(folder, {"THUMBQ_LOCAL": str(folder / "data")}).counts()).visible


async def test_a_start_that_cannot_go_on_lists_every_problem_with_its_fix(tmp_path: Path, moto_url: str) -> None:
    variables = aws_environment(moto_url) | {"THUMBQ_BUCKET": "not-there", "THUMBQ_QUEUE": "not-there"}
    done = await thumbq("serve", cwd=tmp_path, variables=variables)
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert said.count("error: ") == 2
    assert said.count("fix: ") == 2
    assert "Traceback" not in said


async def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        port = str(listener.extra(anyio.abc.SocketAttribute.local_port))
        done = await thumbq("serve", "--local", "data", "--port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr.decode()


async def test_a_name_that_is_not_utf_8_gets_a_mark_and_stops_nothing(folder: Path) -> None:
    name = b"bad\xff.png"
    (folder / os.fsdecode(name)).write_bytes(images.png_with_alpha())
    done = await thumbq("send", "--local", "data", "--prefix", "a/", name, "cat.png", b"gone\xff.png", cwd=folder)
    assert done.returncode == 1
    keys_sent = {line.split("\t")[0]: line.split("\t")[1] for line in done.stdout.decode().splitlines()}
    assert keys_sent == {"bad\ufffd.png": "a/bad\ufffd.png", "cat.png": "a/cat.png"}
    assert done.stderr.decode() == "gone\ufffd.png: No such file or directory\n"
    rendered = await thumbq("render", name, "-o", "out", cwd=folder)
    assert rendered.returncode == 0, rendered.stderr
    assert (folder / "out" / "thumbnail" / "bad\ufffd.jpg").exists()


@pytest.mark.parametrize("output", [unread_pipe, pytest.param(full_disk, marks=pytest.mark.long)])
async def test_send_sends_what_it_cannot_print(output: Callable[[], AbstractContextManager[int]], folder: Path) -> None:
    with output() as stdout:
        done = await thumbq("send", "--local", "data", "cat.png", "photo.jpg", cwd=folder, stdout=stdout)
    assert (done.returncode, done.stderr) == (1, b"")
    assert await waiting(folder) == 2


@pytest.mark.long
async def test_a_command_whose_output_is_closed_works_and_writes_it_nowhere_else(folder: Path) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    done = await anyio.run_process(
        [*closed, THUMBQ, "send", "photo.jpg", "--local", "data"], cwd=folder, env=without_aws(os.environ), check=False
    )
    assert (done.returncode, await waiting(folder)) == (0, 1)


async def test_a_service_whose_output_nobody_reads_works_on_and_ends_with_0(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with unread_pipe() as output:
        command = [THUMBQ, "serve", "--local", "data", "--port", str(port)]
        process = await anyio.open_process(
            command, cwd=folder, env=without_aws(os.environ), stdin=None, stdout=output, stderr=output
        )
    async with process, aiohttp.ClientSession() as session:

        async def ready() -> bool:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                assert process.returncode is None
                return False

        await until(ready, within_s=30, what="a ready service")
        async with session.post(f"{url}/upload", data={"file": (folder / "cat.png").open("rb")}) as answer:
            assert answer.status == 201
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_send_shows_a_progress_bar_on_a_terminal(folder: Path) -> None:
    many = [f"many-{number}.jpg" for number in range(12)]
    for name in many:
        (folder / name).write_bytes(images.small_jpeg())
    ours, theirs = pty.openpty()
    try:
        done = await anyio.run_process(
            [THUMBQ, "send", "--local", "data", *many], cwd=folder, env=without_aws(os.environ), stderr=theirs
        )
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "sending" in shown
    assert len(done.stdout.splitlines()) == len(many)


async def test_render_writes_renditions_and_prints_manifests(folder: Path) -> None:
    (folder / "thumbq.toml").write_text('[presets.square]\nwidth = 10\nheight = 10\nfit = "fill"\nformat = "png"\n')
    done = await thumbq("render", "photo.jpg", "-o", "out", "--preset", "square", "--preset", "thumbnail", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert faults(done.stdout) == []
    manifest = json.loads(done.stdout)
    assert manifest["status"] == "done"
    sizes = {name: (made["width"], made["height"]) for name, made in manifest["renditions"].items()}
    assert sizes == {"square": (10, 10), "thumbnail": (100, 75)}
    for made in manifest["renditions"].values():
        assert len((folder / "out" / made["key"]).read_bytes()) == made["bytes"]


async def test_render_exits_with_1_and_each_file_s_reason_and_what_cannot_be_written_is_not_blamed_on_the_source(
    folder: Path,
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thumbnail").write_text("in the way")
    done = await thumbq("render", "cat.png", "notes.txt", "gone.png", "cut.jpg", "-o", "out", cwd=folder)
    assert done.returncode == 1, done.stderr
    errors = [json.loads(part + "}")["error"]["code"] for part in done.stdout.decode().split("\n}\n")[:-1]]
    assert errors == ["not-written", "unsupported-format", "unreadable", "truncated"]
    assert [made.name for made in (folder / "out").iterdir()] == ["thumbnail"]
