"""The commands as a user types them: what they print, and how they exit."""

from __future__ import annotations

import json
import os
import pty
from typing import TYPE_CHECKING

import anyio
import pytest

import images
from emulators import aws_environment, without_aws
from place import Place
from replica import THUMBQ
from thumbq.core import keys

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(images.photo_jpeg(640, 480, orientation=6))
    (tmp_path / "cat.png").write_bytes(images.png_with_alpha())
    (tmp_path / "cut.jpg").write_bytes(images.truncated_jpeg())
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


async def thumbq(
    *arguments: str, cwd: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return await anyio.run_process(
        [THUMBQ, *arguments], cwd=cwd, env=without_aws(os.environ) | dict(variables or {}), check=False
    )


async def test_without_a_place_to_keep_things_serve_explains_both_in_four_lines(tmp_path: Path) -> None:
    done = await thumbq("serve", cwd=tmp_path)
    said = done.stderr.decode()
    assert done.returncode == 2
    assert len(said.splitlines()) == 4
    assert "--local DIR" in said
    assert "THUMBQ_BUCKET=… THUMBQ_QUEUE=…" in said


@pytest.mark.parametrize("command", ["serve", "setup", "send", "render"])
async def test_every_command_shows_an_example(command: str, tmp_path: Path) -> None:
    done = await thumbq(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Example" in done.stdout.decode()


async def test_a_start_that_cannot_go_on_lists_every_problem_with_its_fix(tmp_path: Path, moto: str) -> None:
    variables = {"THUMBQ_PORTT": "1", "THUMBQ_WAIT_TIME_S": "21", "THUMBQ_LOCAL": "data"}
    wrong_settings = await thumbq("serve", cwd=tmp_path, variables=variables)
    no_names = {"THUMBQ_BUCKET": "not-there", "THUMBQ_QUEUE": "not-there"}
    nothing_there = await thumbq("serve", cwd=tmp_path, variables=aws_environment(moto) | no_names)
    for done in (wrong_settings, nothing_there):
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


async def test_setup_says_what_it_made_and_changes_nothing_the_second_time(tmp_path: Path, moto: str) -> None:
    variables = aws_environment(moto) | {"THUMBQ_BUCKET": "photos-to-set-up", "THUMBQ_QUEUE": "jobs-to-set-up"}
    first = await thumbq("setup", cwd=tmp_path, variables=variables)
    second = await thumbq("setup", cwd=tmp_path, variables=variables)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    made = [line.split()[0] for line in first.stdout.decode().splitlines()]
    assert made == ["made"] * 5, first.stdout.decode()
    assert [line.split()[0] for line in second.stdout.decode().splitlines()] == ["there"] * 5


async def test_send_goes_on_past_a_file_that_fails_and_exits_with_1(folder: Path) -> None:
    files = ["photo.jpg", "notes.txt", "gone.jpg", "cat.png"]
    done = await thumbq("send", "--local", "data", *files, cwd=folder)
    assert done.returncode == 1
    rows = sorted(line.split("\t") for line in done.stdout.decode().splitlines())
    assert [row[0] for row in rows] == ["cat.png", "photo.jpg"]
    assert all(keys.upload_id(row[1]) and row[2] for row in rows)
    said = done.stderr.decode()
    assert "notes.txt: The file is not an image" in said
    assert "gone.jpg: No such file or directory" in said
    place = Place(folder, {"THUMBQ_LOCAL": str(folder / "data")})
    assert (await place.counts()).visible == 2


async def test_send_prints_json_lines_and_keeps_names_under_a_prefix_of_ones_own(folder: Path) -> None:
    done = await thumbq(
        "send", "--local", "data", "--json", "--prefix", "pngfiles/", "cat.png", "notes.txt", cwd=folder
    )
    assert done.returncode == 1
    lines = {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines["cat.png"]["key"] == "pngfiles/cat.png"
    assert lines["cat.png"]["message_id"]
    assert "error" in lines["notes.txt"]
    assert "key" not in lines["notes.txt"]


async def test_send_refuses_to_write_where_thumbq_writes(folder: Path) -> None:
    done = await thumbq("send", "--local", "data", "--prefix", "thumbnail/", "cat.png", cwd=folder)
    assert done.returncode == 2
    assert "thumbnail/ is where thumbq writes" in done.stderr.decode()


async def test_send_shows_a_progress_bar_on_a_terminal_only(folder: Path) -> None:
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
    piped = await thumbq("send", "--local", "data", *many, cwd=folder)
    assert piped.stderr == b""


async def test_render_writes_renditions_and_prints_manifests(folder: Path) -> None:
    (folder / "thumbq.toml").write_text('[presets.square]\nwidth = 10\nheight = 10\nfit = "fill"\nformat = "png"\n')
    done = await thumbq("render", "photo.jpg", "-o", "out", "--preset", "square", "--preset", "thumbnail", cwd=folder)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["status"] == "done"
    sizes = {name: (made["width"], made["height"]) for name, made in manifest["renditions"].items()}
    assert sizes == {"square": (10, 10), "thumbnail": (100, 75)}
    for made in manifest["renditions"].values():
        assert len((folder / "out" / made["key"]).read_bytes()) == made["bytes"]


async def test_render_exits_with_1_and_the_reason_when_a_file_is_refused(folder: Path) -> None:
    done = await thumbq("render", "cut.jpg", "-o", "out", cwd=folder)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "truncated"
    assert not (folder / "out").exists()


async def test_render_names_the_presets_there_are_when_one_is_unknown(folder: Path) -> None:
    done = await thumbq("render", "cat.png", "-o", "out", "--preset", "huge", cwd=folder)
    assert done.returncode == 2
    assert "no preset 'huge'; there are: thumbnail" in done.stderr.decode()
