"""The removal of dead letters of deleted jobs: what else goes with them, which ones stay, and what fails on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.doubles.consuming import Delegate, dead_letters, put
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.errors import BackendUnavailable
from thumbq.jobs.deadletterremoval import DeadLetterRemoval, of_jobs
from thumbq.ports import EntryResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from thumbq.ports import Backend

KEY = keys.upload_key("0" * 26)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_local(tmp_path / "data", clock=SystemClock()) as opened:
        yield opened


def removal(backend: Backend, **wrapped: Any) -> DeadLetterRemoval:
    backend = replace(backend, **wrapped)
    assert backend.dead_letters is not None
    return DeadLetterRemoval(backend.queue, backend.dead_letters, backend.store, backend.bucket, about=of_jobs)


def asking(*, deletion: bool = False) -> str:
    return message.encode(JobRequest(ObjectRef("local", KEY), deletion=deletion))


async def moved(backend: Backend, body: str) -> str:
    """Have the queue itself move a message to the dead letters; return its id."""
    message_id = await backend.queue.send(body)
    for _ in range(10):
        assert await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    assert not await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    return message_id


class FailingDeletes(Delegate):
    """Dead letters of which the queue deletes none at the first time."""

    failed = False

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        if not self.failed:
            self.failed = True
            return [EntryResult.RETRY] * len(receipts)
        return cast("Sequence[EntryResult]", await self.target.delete(receipts))


class AwayOnce(Delegate):
    """A store that is away at its first deletion."""

    away = True

    async def delete(self, ref: ObjectRef) -> None:
        if self.away:
            self.away = False
            raise BackendUnavailable("away")
        await self.target.delete(ref)


async def test_a_dead_letter_takes_along_what_the_store_has_of_its_message(backend: Backend, tmp_path: Path) -> None:
    """Also one that the queue has moved, and whatever is away in between."""
    message_id = await moved(backend, asking())
    for key in (keys.crash_record_key(message_id), keys.failed_message_key(message_id)):
        await put(backend, key, b"{}")
    removing = removal(backend, store=AwayOnce(backend.store))
    with pytest.raises(BackendUnavailable):
        await removing.remove(KEY, ended=False)
    assert len(dead_letters(tmp_path)) == 1, "nothing else names what is left"
    assert await removing.remove(KEY, ended=False)
    assert await backend.store.list(backend.bucket, prefix="") == []
    assert dead_letters(tmp_path) == []


async def test_one_that_the_queue_does_not_delete_is_seen_again_at_once(backend: Backend, tmp_path: Path) -> None:
    await moved(backend, asking())
    removing = removal(backend, dead_letters=FailingDeletes(backend.dead_letters))
    assert not await removing.remove(KEY, ended=False)
    assert await removing.remove(KEY, ended=False)
    assert dead_letters(tmp_path) == []


async def test_that_of_a_deletion_stays_until_another_deletion_has_ended(backend: Backend, tmp_path: Path) -> None:
    """It alone says that something may be left; the walk for another job takes none along, either."""
    for deletion in (True, False):
        await moved(backend, asking(deletion=deletion))
    removing = removal(backend)
    assert await removing.remove(KEY, ended=False)
    assert await removing.remove(keys.upload_key("1" * 26), ended=True)
    assert [json.loads(body).get("deletion") for body, _ in dead_letters(tmp_path)] == [True]
    assert await removing.remove(KEY, ended=True)
    assert dead_letters(tmp_path) == []
