"""Listing, showing and removing dead letters, on the local backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from thumbq.backends import open_backend
from thumbq.cli import letters as printed
from thumbq.commands.deadletters import Letter, Listed, count, purge, show, show_all
from thumbq.core import deadletter, keys
from thumbq.core.deadletter import Note
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from thumbq.errors import BackendError
    from thumbq.ports import Backend, DeadLetters

MANY = 100_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(local=tmp_path / "data")


@pytest.fixture
async def backend(settings: Settings) -> AsyncIterator[Backend]:
    async with open_backend(settings) as opened:
        yield opened


@pytest.fixture
def dead(backend: Backend) -> DeadLetters:
    assert backend.dead_letters is not None
    return backend.dead_letters


def into(told: list[Letter]) -> Callable[[Letter], bool]:
    def report(letter: Letter) -> bool:
        told.append(letter)
        return True

    return report


async def bury(dead: DeadLetters, number: int) -> None:
    for index in range(number):
        note = Note("truncated", "the image ends early", f"m-{index}", 2, trace="Root=1")
        await dead.send(f"uploads/{index}", note.encode())


async def visible(dead: DeadLetters) -> int:
    return len(await dead.receive(max_messages=10, wait_s=0, visibility_timeout_s=0))


async def test_a_listing_tells_what_why_when_and_how_often(
    backend: Backend, dead: DeadLetters, settings: Settings
) -> None:
    await bury(dead, 1)
    await backend.queue.send("{ no job")
    while await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0):
        pass
    told: list[Letter] = []
    listed = await show_all(settings, limit=MANY, report=into(told))
    assert listed == Listed(shown=2, others=0)
    buried, moved = sorted(told, key=lambda letter: letter.note is None)
    assert printed.document(buried) == {
        "id": buried.letter.id,
        "sent_at": printed.document(buried)["sent_at"],
        "receive_count": 2,
        "code": "truncated",
        "reason": "the image ends early",
        "message_id": "m-0",
        "trace": "Root=1",
        "bucket": "local",
        "key": "uploads/0",
        "body": "uploads/0",
    }
    assert printed.row(buried).splitlines()[1] == "    local/uploads/0: the image ends early"
    assert moved.note is None
    assert printed.times(moved) >= 10
    assert printed.row(moved).splitlines()[1] == "    '{ no job': moved by the queue"


async def test_after_a_listing_everything_is_there_for_others_at_once(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 7)
    assert (await show_all(settings, limit=MANY, report=lambda _: True)).shown == 7
    assert await visible(dead) == 7


async def test_a_listing_stops_at_its_limit_and_when_nobody_reads_on(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 9)
    told: list[Letter] = []
    assert await show_all(settings, limit=3, report=into(told)) == Listed(3, None)
    assert len(told) == 3
    assert await show_all(settings, limit=MANY, report=lambda _: False) == Listed(1, None)
    assert await visible(dead) == 9


async def test_what_another_reader_holds_is_counted(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 9)
    await dead.receive(max_messages=4, wait_s=0, visibility_timeout_s=600)
    assert await show_all(settings, limit=MANY, report=lambda _: True) == Listed(shown=5, others=4)


async def test_a_listing_that_is_cancelled_gives_everything_back(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 8)
    with anyio.CancelScope() as scope:

        def report(_: Letter) -> bool:
            scope.cancel()
            return True

        await show_all(settings, limit=MANY, report=report)
    assert scope.cancelled_caught
    assert await visible(dead) == 8


async def test_letters_are_shown_by_their_id_or_that_of_the_message(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 30)
    [one] = await dead.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    told: list[Letter] = []
    missing = await show(settings, [one.id, "m-21", "gone"], report=lambda letter, _: told.append(letter))
    assert missing == {"gone"}
    assert {letter.body for letter in told} == {one.body, "uploads/21"}


async def test_a_body_that_was_cut_is_shown_whole_or_the_loss_is_told(
    backend: Backend, dead: DeadLetters, settings: Settings
) -> None:
    body = "{" + "x" * ((1 << 20) - 1)
    short, note = deadletter.cut(body, Note("malformed-message", "no job", "m-1", 1), dead.max_bytes)
    await dead.send(short, note.encode())
    told: list[tuple[Letter, BackendError | None]] = []
    await show(settings, ["m-1"], report=lambda letter, error: told.append((letter, error)))
    record = FailedMessage.model_validate(
        {
            "message_id": "m-1",
            "receive_count": 1,
            "body": body,
            "error": ErrorRecord(code="malformed-message", message="no job"),
            "finished_at": 0,
        }
    )
    ref = ObjectRef(backend.bucket, keys.failed_message_key("m-1"))
    await backend.store.put(ref, record.encode(), content_type="application/json")
    await show(settings, ["m-1"], report=lambda letter, error: told.append((letter, error)))
    [(cut, loss), (whole, none)] = told
    assert cut.body == short
    assert "is not there" in str(loss)
    assert whole.body == body
    assert none is None


async def test_a_purge_removes_hidden_letters_too(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 5)
    await dead.receive(max_messages=2, wait_s=0, visibility_timeout_s=600)
    assert await count(settings) == 5
    await purge(settings)
    assert await count(settings) == 0


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printed.printable("a\x1b[31m\x9b2J\nb 猫") == "a\\x1b[31m\\x9b2J\\nb 猫"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abcde…"), ("猫猫猫", 6, "猫猫猫"), ("猫猫猫猫", 6, "猫猫…"), ("", 1, "")],
)
def test_a_row_is_cut_to_the_columns_there_are(text: str, columns: int, expected: str) -> None:
    assert printed.fitted(text, columns) == expected


def test_a_letter_that_holds_a_lone_surrogate_has_its_line_too() -> None:
    assert json.loads(printed.line({"key": "\ud800", "é": 1})) == {"key": "\ud800", "é": 1}
    printed.line({"key": "\ud800"}).encode()
