"""What commands print and how they exit, above all when they refuse: `thumbq send`, `render`, `serve`, `setup`, `dlq`.

``tests/e2e/test_commands.py`` has what needs a process: a terminal, a pipe, a signal, the bytes of a name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from support.commands import thumbq
from support.pictures import images
from support.servers.emulators import aws_environment
from thumbq.backends import open_backend
from thumbq.core import keys
from thumbq.local import schema
from thumbq.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

LOADED = "import sys, thumbq.cli; print(*sys.modules)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put some files into the current directory."""
    (tmp_path / "photo.jpg").write_bytes(images.photo_jpeg(64, 48))
    (tmp_path / "cat.png").write_bytes(images.png_with_alpha())
    (tmp_path / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def waiting(folder: Path) -> int:
    """Return how many messages wait in ``data``."""

    async def visible() -> int:
        async with open_backend(Settings(local=folder / "data")) as backend:
            return (await backend.queue.counts()).visible

    return anyio.run(visible)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "serve",
            "setup",
            "send",
            "render",
            "reconcile",
            "rerender",
            "local",
            "local backup",
            "local restore",
            "local recover",
            "bench render",
            "bench service",
        ),
        *("token", "token new", "webhook", "webhook replay"),
        *("dlq", "dlq list", "dlq show", "dlq redrive", "dlq purge"),
        *("pause", "resume"),
    ],
)
def test_every_command_shows_an_example(command: str) -> None:
    done = thumbq(*command.split(), "--help")
    assert done.exit_code == 0
    assert "Example" in done.output


def test_help_loads_nothing_that_is_slow_to_import() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout.split()
    assert "thumbq.cli.dlq" in loaded
    assert not {"pydantic", "aiohttp", "botocore", "PIL", "thumbq.ports"} & set(loaded)


def test_without_a_place_to_keep_things_serve_explains_both_in_four_lines() -> None:
    done = thumbq("serve")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 4
    assert "--local DIR" in done.stderr
    assert "THUMBQ_BUCKET=… THUMBQ_QUEUE=…" in done.stderr


def test_settings_that_are_wrong_are_all_listed_each_with_its_fix() -> None:
    done = thumbq("serve", THUMBQ_PORTT="1", THUMBQ_WAIT_TIME_S="21", THUMBQ_LOCAL="data")
    assert done.exit_code == 2, done.stderr
    assert (done.stderr.count("error: "), done.stderr.count("fix: ")) == (2, 2)


def test_setup_says_what_it_made_and_changes_nothing_the_second_time(moto_url: str) -> None:
    variables = aws_environment(moto_url) | {"THUMBQ_BUCKET": "photos-to-set-up", "THUMBQ_QUEUE": "jobs-to-set-up"}
    for said in ("made", "there"):
        done = thumbq("setup", **variables)
        assert done.exit_code == 0, done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines()] == [said] * 7


def test_send_goes_on_past_a_file_that_fails_and_exits_with_1(folder: Path) -> None:
    done = thumbq("send", "--local", "data", "photo.jpg", "notes.txt", "gone.jpg", "cat.png")
    assert done.exit_code == 1
    rows = sorted(line.split("\t") for line in done.stdout.splitlines())
    assert [row[0] for row in rows] == ["cat.png", "photo.jpg"]
    assert all(keys.upload_id(row[1]) and row[2] for row in rows)
    assert "notes.txt: The file is not an image" in done.stderr
    assert "gone.jpg: No such file or directory" in done.stderr
    assert waiting(folder) == 2


def test_send_shows_no_progress_where_there_is_no_terminal(folder: Path) -> None:
    many = [f"many-{number}.jpg" for number in range(12)]
    for name in many:
        (folder / name).write_bytes(images.small_jpeg())
    assert thumbq("send", "--local", "data", *many).stderr == ""


def test_send_prints_json_lines_and_keeps_names_under_a_prefix_of_ones_own() -> None:
    done = thumbq("send", "--local", "data", "--json", "--prefix", "pngfiles/", "cat.png", "notes.txt")
    assert done.exit_code == 1
    lines = {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines["cat.png"]["key"] == "pngfiles/cat.png"
    assert lines["cat.png"]["message_id"]
    assert "error" in lines["notes.txt"]
    assert "key" not in lines["notes.txt"]


@pytest.mark.parametrize(
    "command", [["send", "--local", "data", "--prefix", "a/"], ["render", "-o", "out"]], ids=["send", "render"]
)
def test_files_that_would_get_one_key_are_refused_before_anything_is_done(command: list[str], folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "cat.png").write_bytes(images.small_jpeg())
    done = thumbq(*command, "cat.png", "b/cat.png")
    assert done.exit_code == 2
    assert "cat.png and b/cat.png would both become " in done.stderr
    assert not done.stdout
    assert not (folder / "data").exists()
    assert not (folder / "out").exists()


def test_what_is_no_regular_file_is_that_files_error(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    done = thumbq("send", "--local", "data", "/dev/zero", "pipe", ".", "cat.png")
    assert done.exit_code == 1
    assert done.stderr.count(": this is not a regular file\n") == 3
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", [["serve"], ["send", "cat.png"]], ids=["serve", "send"])
def test_an_unset_shell_variable_is_not_the_current_directory(command: list[str], folder: Path) -> None:
    done = thumbq(*command, "--local", "")
    assert done.exit_code == 2
    assert "--local = '': it is empty: name a directory" in done.stderr
    assert not (folder / schema.DATABASE_NAME).exists()


def test_send_refuses_to_write_where_thumbq_writes() -> None:
    done = thumbq("send", "--local", "data", "--prefix", "thumbnail/", "cat.png")
    assert done.exit_code == 2
    assert "thumbnail/ is where thumbq writes" in done.stderr


def test_render_names_the_presets_there_are_when_one_is_unknown() -> None:
    done = thumbq("render", "cat.png", "-o", "out", "--preset", "huge")
    assert done.exit_code == 2
    assert "no preset 'huge'; there are: thumbnail" in done.stderr


@pytest.mark.parametrize("out", ["", "photo.jpg", "photo.jpg/out", "/proc/out"])
def test_render_refuses_a_directory_that_it_cannot_write_to(out: str) -> None:
    done = thumbq("render", "cat.png", "-o", out)
    assert done.exit_code == 2, done.stderr
    assert ("it is empty" if not out else f"cannot write to {out}") in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("command", ["dlq list", "dlq redrive --all", "reconcile"])
def test_a_mistyped_directory_is_not_an_empty_one_and_is_not_made(command: str, folder: Path) -> None:
    done = thumbq(*command.split(), "--local", "typo")
    assert done.exit_code == 2
    assert "there is nothing of thumbq in the directory" in done.stderr
    assert not (folder / "typo").exists()


@pytest.mark.parametrize("command", ["list", "redrive --all"])
def test_an_empty_queue_has_no_dead_letters(command: str, folder: Path) -> None:
    assert waiting(folder) == 0  # which makes the directory
    done = thumbq("dlq", *command.split(), "--local", "data")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "no dead letters\n", "")


def test_a_dead_letter_that_is_not_there_is_named(folder: Path) -> None:
    assert waiting(folder) == 0
    done = thumbq("dlq", "show", "some-id", "--local", "data")
    assert done.exit_code == 1
    assert "some-id: there is no such dead letter" in done.stderr


def test_a_queue_without_a_dead_letter_queue_is_a_problem_with_a_fix(moto_url: str) -> None:
    variables = aws_environment(moto_url) | {"THUMBQ_BUCKET": "photos-of-no-dlq", "THUMBQ_QUEUE": "jobs-of-no-dlq"}
    assert thumbq("setup", **variables).exit_code == 0
    variables["THUMBQ_QUEUE"] += "-dlq"  # a dead-letter queue has none of its own
    for command in ("list", "redrive --all"):
        done = thumbq("dlq", *command.split(), **variables)
        assert done.exit_code == 2
        assert "error: the queue jobs-of-no-dlq-dlq has no dead-letter queue\n    fix: " in done.stderr


@pytest.mark.parametrize("wrong", [[], ["--all", "some-id"]])
def test_redrive_wants_either_all_or_ids(wrong: list[str]) -> None:
    done = thumbq("dlq", "redrive", *wrong, "--local", "data")
    assert done.exit_code == 2
    assert "say either --all or the IDs" in done.stderr


def test_an_age_is_a_number_and_a_unit() -> None:
    done = thumbq("reconcile", "--older-than", "an hour", "--local", "data")
    assert done.exit_code == 2
    assert "say 90s, 15m, 1h or 2d" in done.stderr


def test_reconcile_looks_under_no_prefix_of_outputs(folder: Path) -> None:
    assert waiting(folder) == 0
    done = thumbq("reconcile", "--prefix", "thumbnail/", "--local", "data")
    assert done.exit_code == 2
    assert "under thumbnail/ are no originals" in done.stderr
