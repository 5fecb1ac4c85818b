"""Listing, showing and removing dead letters, on the local backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from thumbq.backends import open_backend
from thumbq.cli import deadletters as printed
from thumbq.cli import text
from thumbq.commands.dlq import count, purge, show, show_all
from thumbq.core import deadletter, keys
from thumbq.core.deadletter import Note
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord
from thumbq.deadletters.show import Listed
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from thumbq.deadletters.parsing import ParsedDeadLetter
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


def into(reported: list[ParsedDeadLetter]) -> Callable[[ParsedDeadLetter], bool]:
    def report(parsed: ParsedDeadLetter) -> bool:
        reported.append(parsed)
        return True

    return report


async def bury(dead: DeadLetters, number: int) -> None:
    for index in range(number):
        note = Note("truncated", "the image ends early", f"m-{index}", 2, trace="Root=1")
        await dead.send(f"uploads/{index}", note.encode())


async def visible(dead: DeadLetters) -> int:
    return len(await dead.receive(max_messages=10, wait_s=0, visibility_timeout_s=0))


async def test_a_listing_shows_source_reason_time_and_receive_count(
    backend: Backend, dead: DeadLetters, settings: Settings
) -> None:
    await bury(dead, 1)
    await backend.queue.send("{ no job")
    while await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0):
        pass
    reported: list[ParsedDeadLetter] = []
    listed = await show_all(settings, limit=MANY, report=into(reported))
    assert listed == Listed(shown=2, others=0)
    buried, moved = sorted(reported, key=lambda parsed: parsed.note is None)
    assert printed.document(buried) == {
        "id": buried.received.id,
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
    assert moved.receive_count >= 10
    assert printed.row(moved).splitlines()[1] == "    '{ no job': moved by the queue"


async def test_after_a_listing_all_dead_letters_are_visible_at_once(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 7)
    assert (await show_all(settings, limit=MANY, report=lambda _: True)).shown == 7
    assert await visible(dead) == 7


async def test_a_listing_stops_at_its_limit_and_when_its_output_ends(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 9)
    reported: list[ParsedDeadLetter] = []
    assert await show_all(settings, limit=3, report=into(reported)) == Listed(3, None)
    assert len(reported) == 3
    assert await show_all(settings, limit=MANY, report=lambda _: False) == Listed(1, None)
    assert await visible(dead) == 9


async def test_dead_letters_of_another_reader_are_counted(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 9)
    await dead.receive(max_messages=4, wait_s=0, visibility_timeout_s=600)
    assert await show_all(settings, limit=MANY, report=lambda _: True) == Listed(shown=5, others=4)


async def test_a_listing_that_is_cancelled_gives_all_dead_letters_back(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 8)
    with anyio.CancelScope() as scope:

        def report(_: ParsedDeadLetter) -> bool:
            scope.cancel()
            return True

        await show_all(settings, limit=MANY, report=report)
    assert scope.cancelled_caught
    assert await visible(dead) == 8


async def test_dead_letters_are_shown_by_their_id_or_that_of_the_message(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 30)
    [one] = await dead.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    reported: list[ParsedDeadLetter] = []
    missing = await show(settings, [one.id, "m-21", "gone"], report=lambda parsed, _: reported.append(parsed))
    assert missing == {"gone"}
    assert {parsed.body for parsed in reported} == {one.body, "uploads/21"}


async def test_a_body_that_was_cut_is_shown_whole_or_with_the_error(
    backend: Backend, dead: DeadLetters, settings: Settings
) -> None:
    body = "{" + "x" * ((1 << 20) - 1)
    short, note = deadletter.cut(body, Note("malformed-message", "no job", "m-1", 1), dead.max_bytes)
    await dead.send(short, note.encode())
    reported: list[tuple[ParsedDeadLetter, BackendError | None]] = []
    await show(settings, ["m-1"], report=lambda parsed, error: reported.append((parsed, error)))
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
    await show(settings, ["m-1"], report=lambda parsed, error: reported.append((parsed, error)))
    [(cut, loss), (whole, none)] = reported
    assert cut.body == short
    assert "is not there" in str(loss)
    assert whole.body == body
    assert none is None


async def test_a_purge_removes_hidden_dead_letters_too(dead: DeadLetters, settings: Settings) -> None:
    await bury(dead, 5)
    await dead.receive(max_messages=2, wait_s=0, visibility_timeout_s=600)
    assert await count(settings) == 5
    await purge(settings)
    assert await count(settings) == 0


def test_control_characters_are_escaped_for_a_terminal() -> None:
    assert text.printable("a\x1b[31m\x9b2J\nb 猫") == "a\\x1b[31m\\x9b2J\\nb 猫"


@pytest.mark.parametrize(
    ("given", "columns", "expected"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abcde…"), ("猫猫猫", 6, "猫猫猫"), ("猫猫猫猫", 6, "猫猫…"), ("", 1, "")],
)
def test_a_row_is_cut_to_the_width_of_the_terminal(given: str, columns: int, expected: str) -> None:
    assert text.fitted(given, columns) == expected


def test_a_lone_surrogate_has_its_line_of_json_too() -> None:
    assert json.loads(text.json_line({"key": "\ud800", "é": 1})) == {"key": "\ud800", "é": 1}
    text.json_line({"key": "\ud800"}).encode()
