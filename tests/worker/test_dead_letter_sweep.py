"""The sweep: what the queue itself moved to the dead letters is never without a word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.doubles.consuming import KEY, Delegate, consuming, dead_letters, record, settled, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import keys
from thumbq.core.deadletter import Note
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendError
from thumbq.ports import DeadLetter, EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path
    from typing import Any

    from thumbq.ports import Backend


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_local(tmp_path / "data", clock=SystemClock(), max_receive_count=1) as opened:
        yield opened


async def die_with_it(backend: Backend) -> str:
    """Receive a message and never end it, as a replica does that is killed; the queue moves it then. Return its id."""
    [message] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=30)
    await backend.queue.extend([VisibilityChange(message.receipt, 0)])
    assert await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30) == []
    assert (await backend.queue.counts()).dead == 1
    return message.id


async def noted(tmp_path: Path) -> list[str]:
    notes = [note for _, note in dead_letters(tmp_path)]
    return [note["code"] for note in notes if note]


async def test_a_silent_move_gets_its_failed_manifest_and_its_note(backend: Backend, tmp_path: Path) -> None:
    await upload(backend)
    message_id = await die_with_it(backend)
    async with consuming(backend, FakeRenderer(), max_receive_count=1):
        await until(lambda: noted(tmp_path), within_s=10, what="the note")
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert (found.status, found.error.code, found.message_id) == ("failed", "attempts-exhausted", message_id)
    [(body, note)] = dead_letters(tmp_path)
    assert (body, note["message_id"], note["receive_count"]) == (KEY, message_id, 1)


async def test_a_silent_move_of_what_was_done_is_removed(backend: Backend, tmp_path: Path) -> None:
    async with open_local(tmp_path / "data", clock=SystemClock()) as opened, consuming(opened, FakeRenderer()):
        await upload(opened)
        await settled(opened)
    await backend.queue.send(KEY)
    await die_with_it(backend)
    async with consuming(backend, FakeRenderer(), max_receive_count=1):
        await settled(backend)
    found = await record(backend)
    assert found is not None
    assert found.status == "done"
    assert dead_letters(tmp_path) == []


async def test_a_silent_move_of_what_is_no_job_is_kept_on_record_too(backend: Backend, tmp_path: Path) -> None:
    await backend.queue.send("{broken")
    message_id = await die_with_it(backend)
    async with consuming(backend, FakeRenderer(), max_receive_count=1):
        await until(lambda: noted(tmp_path), within_s=10, what="the note")
    assert await noted(tmp_path) == ["malformed-message"]
    _, raw = await backend.store.get(ObjectRef(backend.bucket, keys.failed_message_key(message_id)), max_bytes=1 << 20)
    kept = FailedMessage.decode(raw)
    assert kept is not None
    assert (kept.body, kept.error.code) == ("{broken", "malformed-message")


async def test_what_has_its_reason_already_is_given_back_at_once(backend: Backend) -> None:
    letters = backend.dead_letters
    assert letters is not None
    for number in range(25):
        await letters.send(f"uploads/{number}", Note("corrupt", "it is broken", f"id-{number}", 1).encode())
    given_back: list[str] = []

    class Watching(Delegate):
        async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
            results: Sequence[EntryResult] = await self.target.extend(changes)
            given_back.extend(change.receipt for change in changes if change.timeout_s == 0)
            return results

    async with consuming(replace(backend, dead_letters=Watching(letters)), FakeRenderer()):
        await until(lambda: len(given_back) == 25, within_s=5, what="all given back")
    assert len(await letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=1)) == 10


async def test_what_another_queue_moved_here_stays_as_it_is(backend: Backend) -> None:
    letters = backend.dead_letters
    assert letters is not None
    foreign = DeadLetter("id", "receipt", '{"order": 17}', None, 0.0, 3)
    asked: list[str] = []

    class Shared(Delegate):
        letters = [foreign]  # noqa: RUF012 - one test, one list

        async def receive(self, **options: Any) -> Sequence[DeadLetter]:
            del options
            found, self.letters = self.letters, []
            return found

        async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
            asked.extend(f"give back {change.receipt}" for change in changes if change.timeout_s == 0)
            return [EntryResult.OK for _ in changes]

        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            asked.extend(f"delete {receipt}" for receipt in receipts)
            return [EntryResult.OK for _ in receipts]

    async with consuming(replace(backend, dead_letters=Shared(letters)), FakeRenderer()):
        await until(lambda: asked, within_s=5, what="the letter given back")
    assert asked == ["give back receipt"]


@pytest.mark.parametrize("error", [AccessDenied("no sqs:ReceiveMessage"), BackendError("no such operation")])
async def test_dead_letters_that_cannot_be_looked_at_stop_nothing_else(backend: Backend, error: BackendError) -> None:
    class Closed(Delegate):
        asked = 0

        async def receive(self, **options: Any) -> Any:
            del options
            self.asked += 1
            raise error

    letters = Closed(backend.dead_letters)
    async with consuming(replace(backend, dead_letters=letters), FakeRenderer()):
        await until(lambda: letters.asked, within_s=5, what="the look")
        await upload(backend)
        await settled(backend)


async def test_a_silent_move_of_a_replaced_original_is_no_job_that_was_done(backend: Backend, tmp_path: Path) -> None:
    async with open_local(tmp_path / "data", clock=SystemClock()) as opened, consuming(opened, FakeRenderer()):
        await upload(opened)
        await settled(opened)
    await backend.store.put(ObjectRef(backend.bucket, KEY), b"another", content_type="image/jpeg")
    await backend.queue.send(KEY)
    await die_with_it(backend)
    async with consuming(backend, FakeRenderer(), max_receive_count=1):
        await until(lambda: noted(tmp_path), within_s=10, what="the note")
    found = await record(backend)
    assert found is not None
    assert (found.status, found.renditions) == ("failed", {})
