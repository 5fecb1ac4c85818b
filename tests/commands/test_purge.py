"""Purging by choice: what is chosen goes, all else stays and is visible at once, whenever it ends."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import pytest
from click.testing import CliRunner, Result

from support.doubles.dead_letter_queue import DeadQueue
from support.servers.emulators import aws_env
from support.virtual_time import on_virtual_time
from thumbq.backends import open_backend
from thumbq.cli import main
from thumbq.commands import dlq
from thumbq.commands.setup import setup
from thumbq.core.deadletter import Note
from thumbq.core.job import ObjectRef
from thumbq.deadletters.purge import MOST_FAILURES, Choice, Looked
from thumbq.errors import BackendError
from thumbq.ports import Backend, QueueCounts
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.ports import DeadLetters

CODES = ("corrupt", "truncated", "attempts-exhausted")


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.deadletters.leases._WAIT_S", 0)


@pytest.fixture(params=["local"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    if request.param == "local":
        yield Settings(local=tmp_path / "data")
        return
    name = f"thumbq-{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        stack.enter_context(aws_env(request.getfixturevalue("moto_url")))
        made = Settings(bucket=name, queue=name)
        anyio.run(setup, made)
        yield made


on_both = pytest.mark.parametrize("settings", ["local", "aws"], indirect=True)


def letters_of(backend: Backend) -> DeadLetters:
    assert backend.dead_letters is not None
    return backend.dead_letters


async def bury(settings: Settings, number: int = 9) -> None:
    """Bury messages m-0, m-1 … with each of CODES in turn."""
    async with open_backend(settings) as backend:
        for index in range(number):
            note = Note(CODES[index % len(CODES)], "why", f"m-{index}", 1)
            await letters_of(backend).send(f"uploads/{index}", note.encode())


async def left(settings: Settings) -> list[str]:
    """Return the bodies of all dead letters that can be seen at once."""
    bodies: set[str] = set()
    async with open_backend(settings) as backend:
        while found := await letters_of(backend).receive(max_messages=10, wait_s=0, visibility_timeout_s=30):
            bodies |= {dead_letter.body for dead_letter in found}
    return sorted(bodies)


def bodies(*numbers: int) -> list[str]:
    return [f"uploads/{number}" for number in numbers]


async def removed(settings: Settings, **choice: object) -> tuple[list[str], Looked]:
    reported: list[str] = []

    def report(parsed: ParsedDeadLetter, error: str | None) -> None:
        assert error is None
        reported.append(parsed.body)

    looked = await dlq.remove(settings, Choice(**choice), report=report)  # type: ignore[arg-type]
    return sorted(reported), looked


@on_both
async def test_the_dead_letters_of_a_code_go_and_all_others_are_visible_at_once(settings: Settings) -> None:
    await bury(settings)
    gone, looked = await removed(settings, codes=frozenset({"corrupt", "truncated"}))
    assert gone == bodies(0, 1, 3, 4, 6, 7)
    assert (len(looked.chosen), looked.seen, looked.missing) == (6, 9, set())
    assert await left(settings) == bodies(2, 5, 8)


async def test_dead_letters_go_by_their_id_or_that_of_the_message(settings: Settings) -> None:
    await bury(settings)
    async with open_backend(settings) as backend:
        [one] = await letters_of(backend).receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    gone, looked = await removed(settings, names=frozenset({one.id, "m-7", "m-99"}))
    assert gone == sorted([one.body, "uploads/7"])
    assert (looked.missing, looked.unfit) == ({"m-99"}, set())
    assert len(await left(settings)) == 7


async def test_all_that_is_given_has_to_fit_and_a_name_that_does_not_is_told(settings: Settings) -> None:
    await bury(settings)
    gone, looked = await removed(settings, names=frozenset({"m-0", "m-1"}), codes=frozenset({"corrupt"}))
    assert (gone, looked.unfit) == (bodies(0), {"m-1"})
    gone, _ = await removed(settings, codes=frozenset({"truncated"}), sent_before=time.time() - 60)
    assert gone == []
    gone, _ = await removed(settings, codes=frozenset({"truncated"}), sent_before=time.time() + 60)
    assert gone == bodies(1, 4, 7)
    assert await left(settings) == bodies(2, 3, 5, 6, 8)


async def test_what_the_queue_moved_has_no_code(settings: Settings) -> None:
    await bury(settings, 2)
    async with open_backend(settings) as backend:
        await backend.queue.send("uploads/moved")
        while await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0):
            pass
    assert (await removed(settings, codes=frozenset({"-"})))[0] == ["uploads/moved"]
    assert await left(settings) == bodies(0, 1)


async def test_what_another_reader_holds_stays_and_is_counted(settings: Settings) -> None:
    await bury(settings)
    async with open_backend(settings) as backend:
        held = await letters_of(backend).receive(max_messages=4, wait_s=0, visibility_timeout_s=600)
        gone, looked = await removed(settings, sent_before=time.time() + 60)
        assert (len(gone), looked.others) == (5, 4)
        assert (await backend.queue.counts()).dead == len(held)


async def test_originals_and_manifests_stay(settings: Settings) -> None:
    async with open_backend(settings) as backend:
        for key in ("uploads/0", "manifests/uploads/0.json"):
            await backend.store.put(ObjectRef(backend.bucket, key), b"x", content_type="text/plain")
        before = await backend.store.list(backend.bucket, prefix="")
        await bury(settings, 1)
        assert (await removed(settings, names=frozenset({"m-0"})))[0] == bodies(0)
        assert await backend.store.list(backend.bucket, prefix="") == before


class Opened:
    """A backend of which only the dead letters are there."""

    def __init__(self, dead: DeadQueue, monkeypatch: pytest.MonkeyPatch) -> None:
        self._dead = dead
        monkeypatch.setattr(dlq, "open_dead_letters", lambda _: self)

    async def __aenter__(self) -> tuple[Backend, DeadQueue]:
        return Backend(None, self, "b", self._dead, None), self._dead  # type: ignore[arg-type]

    async def __aexit__(self, *_: object) -> None:
        pass

    async def counts(self) -> QueueCounts:
        return QueueCounts(visible=0, in_flight=0, delayed=0, dead=len(self._dead.rows))


@pytest.mark.parametrize("at_s", [0.005, 0.015, 0.025, 0.035, 0.045, 0.055, 0.5, 1.0, 1.5])
def test_cut_off_at_any_moment_it_has_removed_what_it_said_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, at_s: float
) -> None:
    async def claim() -> None:
        dead = DeadQueue(1000, request_s=0.01)
        for number, row in enumerate(dead.rows.values()):
            row.note = Note("corrupt" if number % 3 else "attempts-exhausted", "why", row.id, 1).encode()
        theirs = {row.id for number, row in enumerate(dead.rows.values()) if number % 3 == 0}
        said: set[str] = set()
        everything = set(dead.rows)
        Opened(dead, monkeypatch)
        with anyio.move_on_after(at_s):
            await dlq.remove(
                Settings(), Choice(codes=frozenset({"corrupt"})), report=lambda parsed, _: said.add(parsed.received.id)
            )
        assert theirs <= set(dead.rows)
        assert everything - set(dead.rows) == said
        assert not dead.hidden()

    on_virtual_time(claim)


def test_what_the_queue_does_not_confirm_is_told_and_too_much_of_it_ends_the_purge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def claim() -> None:
        dead = DeadQueue(1000, request_s=0.01)
        dead.refuses_deletes = True
        Opened(dead, monkeypatch)
        errors: list[str | None] = []
        with pytest.raises(BackendError, match="could not be removed"):
            await dlq.remove(Settings(), Choice(codes=frozenset({"-"})), report=lambda _, error: errors.append(error))
        assert MOST_FAILURES <= len(errors) < 2 * MOST_FAILURES
        assert None not in errors
        assert not dead.hidden()

    on_virtual_time(claim)


def test_as_a_command_it_shows_asks_and_says_what_it_removes(settings: Settings) -> None:
    def thumbq(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["dlq", "purge", *arguments, "--local", str(settings.local)])

    anyio.run(bury, settings)
    shown = thumbq("--code", "corrupt", "--dry-run")
    assert (shown.exit_code, shown.output.count("uploads/"), shown.output.split("\n")[-2]) == (
        0,
        3,
        "3 dead letters would be removed; nothing was changed",
    )
    assert max(map(len, shown.output.split("\n")[:3])) <= 80
    untold = thumbq("--code", "corrupt")
    assert untold.exit_code == 2
    assert "there are 3 dead letters; without a terminal to ask on, say --yes" in untold.stderr
    assert thumbq("--older-than", "5x").exit_code == 2
    assert len(anyio.run(left_and_back, settings)) == 9
    told = thumbq("m-1", "m-2", "m-99", "--code", "truncated", "--yes", "--json")
    [line] = told.stdout.splitlines()
    assert (json.loads(line)["key"], json.loads(line)["removed"], told.exit_code) == ("uploads/1", True, 1)
    assert "m-99: there is no such dead letter" in told.stderr
    assert "m-2: its code or its age is another one: it stays" in told.stderr
    assert "removed 1 dead letters" in told.stderr
    assert thumbq("--older-than", "1h", "--yes").output == "no dead letters\n"
    assert thumbq("--all", "--dry-run", "--json").stdout.count("\n") == 8
    assert thumbq("--all", "--yes", "--json").stdout == '{"removed": 8}\n'
    anyio.run(bury, settings, 3)
    assert thumbq("--all", "--yes").output == "removed 3 dead letters\n"
    assert thumbq("--all", "--dry-run").output == "no dead letters\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--yes"],
        ["--dry-run"],
        ["--all", "m-1", "--yes"],
        ["--all", "--code", "corrupt", "--yes"],
        ["--all", "--older-than", "1h", "--yes"],
    ],
)
def test_all_is_removed_only_when_it_is_said_and_nothing_else_is(arguments: list[str]) -> None:
    """As `thumbq dlq purge $ID --yes` with a variable that is not set."""
    done = CliRunner().invoke(main, ["dlq", "purge", *arguments, "--local", "/nonexistent"])
    assert done.exit_code == 2
    assert "say either --all, or which dead letters: IDs, --code, --older-than" in done.output


def test_what_has_come_since_the_question_stays(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        anyio.run(bury, settings, 1)

    monkeypatch.setattr("thumbq.cli.purge._ask", ask)
    anyio.run(bury, settings, 4)
    done = CliRunner().invoke(main, ["dlq", "purge", "--code", "corrupt", "--local", str(settings.local)])
    assert (asked, done.exit_code, done.output.splitlines()[-1]) == ([2], 0, "removed 2 dead letters")
    assert anyio.run(left, settings) == bodies(0, 1, 2)


async def left_and_back(settings: Settings) -> Sequence[str]:
    """Return what can be seen, and leave it visible."""
    async with open_backend(settings) as backend:
        found = await letters_of(backend).receive(max_messages=10, wait_s=0, visibility_timeout_s=0)
        return [dead_letter.body for dead_letter in found]
