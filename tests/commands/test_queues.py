"""Commands on one of several queues, in the test's own process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio
import pytest
from click.testing import CliRunner, Result

from support.doubles.clocks import SystemClock
from support.pictures import images
from thumbq.cli import main
from thumbq.core import message
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thumbq.ports import Backend, ReceivedMessage

QUEUES = ("low", "high", "ordered.fifo")
TABLES = """
[[queues]]
name = "low"
[[queues]]
name = "high"
[[queues]]
name = "ordered"
queue = "ordered.fifo"
"""


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbq.toml").write_text(TABLES)
    (tmp_path / "cat.jpg").write_bytes(images.small_jpeg())


def thumbq(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--local", "data"])


def received(tmp_path: Path) -> dict[str, Sequence[ReceivedMessage]]:
    async def look(backend: Backend) -> Sequence[ReceivedMessage]:
        return await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)

    async def look_at_all() -> dict[str, Sequence[ReceivedMessage]]:
        async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=QUEUES) as backends:
            return {queue: await look(backend) for queue, backend in zip(QUEUES, backends, strict=True)}

    return anyio.run(look_at_all)


def test_send_puts_into_the_queue_of_a_priority_what_is_asked_for(tmp_path: Path) -> None:
    assert thumbq("send", "cat.jpg", "--prefix", "a/").exit_code == 0
    options = ("--preset", "thumbnail", "--preset", "jpgfiles", "--tenant", "customer-1")
    assert thumbq("send", "cat.jpg", "--prefix", "b/", "--priority", "high", *options).exit_code == 0
    assert thumbq("send", "cat.jpg", "--prefix", "c/", "--priority", "ordered").exit_code == 0
    assert thumbq("send", "cat.jpg", "--prefix", "d/", "--priority", "ordered", "--group", "album").exit_code == 0
    found = received(tmp_path)
    sent = [
        (queue, job.source.key, job.presets, one.group)
        for queue in QUEUES
        for one in found[queue]
        for job in message.parse(one.body, default_bucket="local").jobs
    ]
    assert sent == [
        ("low", "a/cat.jpg", None, None),
        ("high", "b/cat.jpg", ("thumbnail", "jpgfiles"), "customer-1"),
        ("ordered.fifo", "c/cat.jpg", None, "c/cat.jpg"),
        ("ordered.fifo", "d/cat.jpg", None, "album"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--priority", "urgent"), "there is no queue named urgent\n    fix: name one of low, high, ordered"),
        (("--priority", "high", "--group", "a"), "A group needs a FIFO queue"),
        (("--priority", "ordered", "--tenant", "a"), "A tenant needs a standard queue"),
        (("--preset", "poster"), "There is no preset 'poster'; there are: thumbnail, "),
        (("--group", ""), "it is empty: leave it out, or name one"),
    ],
)
def test_options_that_cannot_be_met_are_reported_before_anything_is_sent(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    refused = thumbq("send", "cat.jpg", *options)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert not any(received(tmp_path).values())


def test_dlq_looks_at_the_queue_that_is_named_and_redrives_into_it(tmp_path: Path) -> None:
    async def bury() -> None:
        async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=("high",)) as (high,):
            assert high.dead_letters is not None
            await high.dead_letters.send("uploads/of-high", "{}")

    anyio.run(bury)
    assert "no dead letters" in thumbq("dlq", "list").output
    assert "uploads/of-high" in thumbq("dlq", "list", "--queue", "high").output
    assert thumbq("dlq", "redrive", "--all", "--queue", "high").output.endswith("redriven: 1\n")
    assert [one.body for one in received(tmp_path)["high"]] == ["uploads/of-high"]
    assert thumbq("dlq", "list", "--queue", "urgent").exit_code == 2


def test_reconcile_queues_into_the_queue_that_is_named(tmp_path: Path) -> None:
    assert thumbq("send", "cat.jpg").exit_code == 0
    assert len(received(tmp_path)["low"]) == 1
    assert thumbq("reconcile", "--older-than", "0s", "--apply", "--queue", "high").exit_code == 0
    assert len(received(tmp_path)["high"]) == 1


def test_pause_is_of_one_queue_or_of_all_and_says_what_stands(tmp_path: Path) -> None:
    assert thumbq("pause").exit_code == 2, "there is no directory yet"
    received(tmp_path)
    [line] = thumbq("pause", "high").stdout.splitlines()
    assert line.startswith("high: paused since 20")
    assert line in thumbq("pause").stdout.splitlines(), "the pause of before stands"
    assert thumbq("resume", "low").stdout.startswith("low: resumed; it was paused since 20")
    assert [line.split(";")[0] for line in thumbq("resume").stdout.splitlines()] == [
        "low: was not paused",
        "high: resumed",
        "ordered: resumed",
    ]
    refused = thumbq("pause", "hgih")
    assert (refused.exit_code, refused.stderr.splitlines()) == (
        2,
        ["error: there is no queue named hgih", "    fix: name one of low, high, ordered, or none"],
    )
