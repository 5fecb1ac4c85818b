"""README's commands, and those of the documents, in a copy of the repository with nothing installed.

``tests/unit/test_documents.py`` says which test runs what stands in a document.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

from support.documents import (
    ACCESS,
    BENCHMARK,
    COMMANDS,
    OPERATIONS,
    README,
    RETRIES,
    ROOT,
    UPLOADS,
    WAITING,
    example,
    examples,
)
from support.patience import until
from support.pictures import images
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN, TEST = examples(README, "Start", "sh")
UPLOAD, LOOK = examples(README, "Upload, look, fetch", "sh")
AWS = example(README, "S3 and SQS on this machine", "sh")
FILES = example(COMMANDS, "Files", "sh")
DEAD_LETTERS = example(COMMANDS, "Dead letters", "sh")
TOKENS, ANOTHER_TOKEN = example(ACCESS, "Tokens", "sh"), example(ACCESS, "Another token", "sh")
PAUSE = example(COMMANDS, "Pause", "sh")
LOST_MESSAGES = example(COMMANDS, "Lost messages", "sh")
CHANGED_PRESETS = example(COMMANDS, "Changed presets", "sh")
STATUS = example(COMMANDS, "Status", "sh")
DOCTOR = example(COMMANDS, "Doctor", "sh")
OF_A_NIGHT = example(OPERATIONS, "The first five commands", "sh")
PUT = example(UPLOADS, "Without a form", "sh")
WAIT = example(WAITING, "Waiting", "sh")
RETRY = example(RETRIES, "Retries", "sh")
BENCH = examples(BENCHMARK, "Benchmark", "sh")[0]

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="the documents upload with curl, which is not here"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what git would clone, and put a photo beside it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    clone = tmp_path / "clone"
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    (clone / "photo.jpg").write_bytes(images.photo_jpeg(1200, 900))
    return clone


@pytest.fixture
def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def newcomer() -> dict[str, str]:
    """Return the environment of somebody who has Python and git, without the virtual environment of these tests."""
    folders = os.environ["PATH"].split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if not (Path(folder).parent / "pyvenv.cfg").exists())
    kept = {
        name: value for name, value in without_aws(os.environ).items() if not name.startswith(("VIRTUAL_ENV", "UV"))
    }
    return kept | {"PATH": path}


_NUMBERS = count()


class Shell:
    """A shell that runs a code block as it stands, but on another port than 8080."""

    def __init__(self, script: str, clone: Path, port: str, **variables: str) -> None:
        environment = newcomer() | {"THUMBQ_PORT": port} | variables
        self._log = clone / f"shell-{next(_NUMBERS)}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-euc", script.replace(":8080", f":{port}")],
                cwd=clone,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self._log.read_text()

    async def says(self, pattern: str) -> None:
        """Wait for a line, as long as the shell lives."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.output())
            assert match or self.process.poll() is None, self.output()
            return match

        await until(found, within_s=150, what=lambda: f"{pattern} in:\n{self.output()}")

    async def ended(self) -> int:
        await until(lambda: self.process.poll() is not None, within_s=150, what=lambda: f"the end of:\n{self.output()}")
        return self.process.returncode

    def close(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self.process.wait()


@pytest.fixture
def shells() -> Iterator[list[Shell]]:
    opened: list[Shell] = []
    yield opened
    for shell in opened:
        shell.close()


async def done_job(output: str, port: str) -> None:
    found = re.search(r'"url": ?"(/jobs/[0-9a-z]{26})"', output)
    assert found, output
    async with aiohttp.ClientSession() as session:

        async def done() -> bool:
            async with session.get(f"http://127.0.0.1:{port}{found.group(1)}") as answer:
                document = await answer.json()
                return bool(document["data"]["status"] == "done")

        await until(done, within_s=20, what="the job of the upload")


def shape(document: object) -> object:
    """Return a JSON document with the names of its members and without their values."""
    match document:
        case dict():
            return {name: shape(value) for name, value in document.items()}
        case list():
            return [shape(value) for value in document]
        case _:
            return None


@pytest.mark.long
@needs_curl
async def test_the_first_command_serves_from_nothing_and_all_others_work_beside_it(
    clone: Path, port: str, shells: list[Shell]
) -> None:
    serving = Shell(RUN, clone, port)
    shells.append(serving)
    await serving.says("listening on http")
    installed = f"{clone / '.venv' / 'bin'}{os.pathsep}{newcomer()['PATH']}"

    async def ran(script: str) -> str:
        shell = Shell(script, clone, port, PATH=installed)
        shells.append(shell)
        assert await shell.ended() == 0, shell.output()
        return shell.output()

    [printed] = re.findall(r"\{.*\}", await ran(UPLOAD))
    answer = json.loads(printed)
    job = answer["data"]["jobs"][0]["id"]
    for document, heading in ((README, "Upload, look, fetch"), (UPLOADS, "Files")):
        assert shape(json.loads(example(document, heading, "json"))) == shape(answer)
    assert example(UPLOADS, "Files", "sh") == UPLOAD
    await done_job(json.dumps(answer), port)
    assert '"status": "done"' in await ran(LOOK.replace("7r3k…", job))
    assert (clone / "thumbnail.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    await done_job(await ran(PUT), port)
    assert re.findall(r"\{.*\}", await ran(RETRY)) == re.findall(r"\{.*\}", await ran(RETRY))
    [printed] = re.findall(r"\{.*\}", await ran(WAIT))
    assert [waited["status"] for waited in json.loads(printed)["data"]["jobs"]] == ["done"]
    await ran(FILES)
    assert (clone / "renditions").is_dir()
    assert (await ran(DEAD_LETTERS)).splitlines() == ["no dead letters"] * 2
    assert [line.split()[1] for line in (await ran(PAUSE)).splitlines()] == ["paused", "resumed;"]
    assert (await ran(LOST_MESSAGES)).splitlines()[-1] == "5 keys, 0 originals without a manifest"
    assert (await ran(CHANGED_PRESETS)).splitlines()[0] == "5 keys, 0 originals to render again"
    assert "nothing to mend" in await ran(DOCTOR)
    assert "ready ok" in await ran(STATUS)
    said = await ran(OF_A_NIGHT)
    assert '"status": "ok"' in said
    assert said.splitlines()[-1] == "5 keys, 0 originals without a manifest"
    assert "\njpeg-12mp " in await ran(f"{BENCH.strip()} --quick --only jpeg-12mp")


@pytest.mark.long
async def test_the_second_command_runs_the_tests_from_nothing(clone: Path, port: str, shells: list[Shell]) -> None:
    testing = Shell(f"{TEST.strip()} -n0 tests/unit/test_core.py", clone, port)
    shells.append(testing)
    assert await testing.ended() == 0, testing.output()
    assert re.search(r"\d+ passed", testing.output())


async def get_uv(clone: Path) -> None:
    """Put uv where the first command puts it."""
    installed = ROOT / ".uv" / "bin" / "uv"
    if installed.is_file():
        (clone / ".uv" / "bin").mkdir(parents=True)
        (clone / ".uv" / "bin" / "uv").symlink_to(installed)
    else:
        await anyio.run_process(["bash", "-euc", RUN.partition("&&")[0]], cwd=clone, env=newcomer())


@pytest.mark.long
@needs_curl
async def test_the_section_on_s3_and_sqs_works_line_by_line(clone: Path, port: str, shells: list[Shell]) -> None:
    await get_uv(clone)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        moto_port = listener.getsockname()[1]
    section = Shell(f"{AWS.replace('5000', str(moto_port))}\nwait %1", clone, port)
    shells.append(section)
    await section.says(r'"url": ?"/jobs/[0-9a-z]{26}"')
    await done_job(section.output(), port)
    assert "made   bucket" in section.output()


@pytest.mark.long
@needs_curl
async def test_the_documented_tokens_are_made_taken_and_replaced_without_a_gap(
    tmp_path: Path, port: str, shells: list[Shell]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(images.small_jpeg())
    path = os.pathsep.join([str(Path(THUMBQ).parent), newcomer()["PATH"]])
    shell = Shell(f"{TOKENS}\n{ANOTHER_TOKEN}\nwait %1", tmp_path, port, PATH=path)
    shells.append(shell)
    await shell.says(r"Authorization: Bearer \$TOKEN")
    await shell.says(r'"url": ?"/jobs/[0-9a-z]{26}"')
    await shell.says(r"settings\.read")
    tokens = {name: (tmp_path / f"{name}.txt").read_text().splitlines()[0] for name in ("website", "website-2")}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def status(token: str) -> int:
            async with session.get("/jobs/x", headers={"Authorization": f"Bearer {token}"}) as answer:
                return answer.status

        assert [await status(token) for token in (*tokens.values(), "another")] == [404, 404, 401]
    assert not any(token in shell.output() for token in tokens.values())
