"""What one queue's share of an invocation does with dispositions, whatever the jobs come to."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, cast

import anyio
import structlog

from thumbq.aws_lambda.batch import QueueWork, Times
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import AccessDenied, BackendUnavailable
from thumbq.ports import Backend, QueueAttributes, ReceivedMessage, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.jobs.burial import Burial
    from thumbq.jobs.delivery import Work
    from thumbq.jobs.handler import MessageHandler

FACTS = QueueAttributes("q", visibility_timeout_s=360, retention_s=345_600, max_receive_count=10)


class Told:
    """Stands for a queue, its dead letters and its jobs: each message's body says what comes of it."""

    def __init__(self, comes_of: Mapping[str, object], *, fails: Exception | None = None) -> None:
        self.changes: list[Sequence[VisibilityChange]] = []
        self.buried: list[str] = []
        self._comes_of = comes_of
        self._fails = fails

    async def attempt(self, work: Work) -> Any:
        comes = self._comes_of[work.message.body]
        if isinstance(comes, Exception):
            raise comes
        return comes

    async def unfinished(self, _: ReceivedMessage, why: str) -> Release:
        assert "time ended" in why
        return Release()

    async def cut_off(self, _: Work) -> None:
        await anyio.lowlevel.checkpoint()

    async def copy(self, message: ReceivedMessage, _: Bury) -> None:
        if self._fails is not None:
            raise self._fails
        self.buried.append(message.body)

    async def extend(self, changes: Sequence[VisibilityChange]) -> None:
        self.changes.append(changes)
        if self._fails is not None:
            raise self._fails

    def work(self, *, dead_letters: bool = True) -> QueueWork:
        return QueueWork(
            backend=Backend(cast("Any", self), cast("Any", self), "b", None, cast("Any", None)),
            attributes=FACTS,
            jobs=cast("MessageHandler", self),
            burial=cast("Burial", self) if dead_letters else None,
            places=anyio.Semaphore(4),
            random=random.Random(1),
        )


def received(*bodies: str) -> list[ReceivedMessage]:
    return [ReceivedMessage(f"id-{body}", f"receipt-{body}", body, 1, 0.0) for body in bodies]


async def test_what_comes_again_is_hidden_for_its_delay_in_batches_of_ten() -> None:
    bodies = [f"later-{number}" for number in range(11)]
    told = Told({"done": Delete()} | {body: Release(2.2) for body in bodies})
    again = await told.work().work_off(received("done", *bodies), Times.within(60))
    assert again == [f"id-{body}" for body in bodies]
    assert sorted(map(len, told.changes)) == [1, 10]
    assert {change.timeout_s for batch in told.changes for change in batch} == {3}


async def test_a_function_that_may_not_change_visibilities_says_so_once() -> None:
    told = Told({"later": Release()}, fails=AccessDenied("no"))
    work = told.work()
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            assert await work.work_off(received("later"), Times.within(60)) == ["id-later"]
    assert [line["event"] for line in logs] == ["release.denied"]
    assert len(told.changes) == 2


async def test_a_message_that_cannot_be_buried_comes_again() -> None:
    told = Told({"bad": Bury("corrupt", "cut off")}, fails=BackendUnavailable("throttled"))
    assert await told.work().work_off(received("bad"), Times.within(60)) == ["id-bad"]


async def test_without_dead_letters_a_permanent_failure_is_off_the_queue_with_its_manifest() -> None:
    told = Told({"bad": Bury("corrupt", "cut off")})
    assert await told.work(dead_letters=False).work_off(received("bad"), Times.within(60)) == []
    assert told.buried == []


async def test_a_bug_costs_its_own_message_only() -> None:
    told = Told({"bug": ZeroDivisionError(), "done": Delete(), "bad": Bury("corrupt", "cut off")})
    with structlog.testing.capture_logs() as logs:
        assert await told.work().work_off(received("bug", "done", "bad"), Times.within(60)) == ["id-bug"]
    assert {line["event"] for line in logs} == {"message.bug", "message.buried"}
    assert told.buried == ["bad"]


async def test_without_time_nothing_starts_and_all_comes_again() -> None:
    told = Told({"done": ZeroDivisionError()})
    with structlog.testing.capture_logs() as logs:
        assert await told.work().work_off(received("done"), Times.within(0)) == ["id-done"]
    assert [line["event"] for line in logs] == ["message.out_of_time"]
