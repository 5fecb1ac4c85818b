"""The careful redrive: sent first, removed after, and every doubt is reported."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.doubles.dead_letter_queue import DeadQueue, Queue
from support.virtual_time import on_virtual_time
from thumbq.commands.dlq import redrive_all, redrive_some
from thumbq.core import deadletter, keys
from thumbq.core.deadletter import Note
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord
from thumbq.deadletters.leases import LEASE_S, leasing
from thumbq.deadletters.redrive import MOST_FAILURES, Redrive
from thumbq.errors import AccessDenied, BackendError, BackendUnavailable, NotSent, SendRefused
from thumbq.ports import Backend, DeadLetter, MoveProgress
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from thumbq.deadletters.redrive import Redriven


async def redrive(
    dead: DeadQueue, queue: Queue, *, rate: int | None = None, within_s: float = 10_000
) -> dict[str, Redriven]:
    results: dict[str, Redriven] = {}

    def report(result: Redriven) -> None:
        results[result.dead_letter_id] = result

    backend = Backend(None, queue, "b", dead, None)  # type: ignore[arg-type]
    with anyio.move_on_after(within_s):
        async with leasing(dead) as leases:
            await Redrive(backend, leases, rate=rate, report=report).all()
    return results


def test_everything_is_sent_once_and_then_removed() -> None:
    async def claim() -> None:
        dead = DeadQueue(500, request_s=0.01)
        queue = Queue(dead)
        results = await redrive(dead, queue)
        assert sorted(queue.bodies) == sorted(f"uploads/{index}" for index in range(500))
        assert not dead.rows
        assert {result.error for result in results.values()} == {None}
        assert len({result.message_id for result in results.values()}) == 500

    on_virtual_time(claim)


def test_a_redrive_waits_for_nothing_but_its_requests() -> None:
    async def claim() -> None:
        dead = DeadQueue(800, request_s=0.01)
        await redrive(dead, Queue(dead))
        assert anyio.current_time() < 13 * 0.04 + 2.1, "the rounds, and two last looks that wait for a second each"

    on_virtual_time(claim)


def test_no_dead_letter_is_removed_before_it_was_sent() -> None:
    async def claim() -> None:
        dead = DeadQueue(300, request_s=0.01)
        queue = Queue(dead)
        bodies = {row.id: row.body for row in dead.rows.values()}
        await redrive(dead, queue, within_s=0.1)
        assert 0 < len(dead.rows) < 300
        assert {body for name, body in bodies.items() if name not in dead.rows} <= set(queue.bodies)

    on_virtual_time(claim)


@pytest.mark.parametrize("fifo", [True, False])
def test_a_group_of_a_fifo_queue_is_redriven_in_order_and_groups_side_by_side(*, fifo: bool) -> None:
    groups: list[str] = []

    class Grouped(DeadQueue):
        async def receive(self, **options: Any) -> list[DeadLetter]:
            received = await super().receive(**options)
            return [replace(each, group="even" if int(each.id[-1]) % 2 == 0 else "odd") for each in received]

    class Uneven(Queue):
        """Takes longest over what is sent first."""

        async def send(self, body: str, *, group: str | None = None) -> str:
            groups.append(str(group))
            await anyio.sleep(10 - len(groups))
            return await super().send(body, group=group)

    async def claim() -> None:
        dead = Grouped(8)
        queue = Uneven(dead)
        backend = Backend(None, queue, "b", dead, None, fifo=fifo)  # type: ignore[arg-type]
        async with leasing(dead) as leases:
            await Redrive(backend, leases, rate=None, report=lambda _: None).all()
        evens = [body for body in queue.bodies if int(body[-1]) % 2 == 0]
        assert sorted(groups) == ["even"] * 4 + ["odd"] * 4
        assert (evens == sorted(evens)) == fifo
        assert evens != queue.bodies[:4]

    on_virtual_time(claim)


def test_a_dead_letter_of_a_fifo_queue_that_has_no_group_gets_one_of_its_own() -> None:
    class Noting(Queue):
        async def send(self, body: str, *, group: str | None = None) -> str:
            assert group == f"letter-{body[-1]}"
            return await super().send(body, group=group)

    async def claim() -> None:
        dead = DeadQueue(2)
        queue = Noting(dead)
        backend = Backend(None, queue, "b", dead, None, fifo=True)  # type: ignore[arg-type]
        async with leasing(dead) as leases:
            await Redrive(backend, leases, rate=None, report=lambda _: None).all()
        assert not dead.rows

    on_virtual_time(claim)


def test_a_job_that_fails_again_at_once_is_reported_and_not_sent_for_ever() -> None:
    class Failing(Queue):
        async def send(self, body: str, *, group: str | None = None) -> str:
            message_id = await super().send(body, group=group)
            await dead.send(f"again-{body}", Note("corrupt", "it is broken", message_id, 1).encode())
            return message_id

    async def claim() -> None:
        results = await redrive(dead, Failing(dead))
        assert len(results) == 400
        again = [result for result in results.values() if result.error is not None]
        assert {result.error for result in again} == {"the job that was redriven has failed again"}
        assert sorted(dead.rows) == sorted(result.dead_letter_id for result in again)
        assert not dead.hidden(), "they are given back"

    dead = DeadQueue(200, request_s=0.01)
    on_virtual_time(claim)


@pytest.mark.parametrize("within_s", [0.015 * step for step in range(1, 12)])
def test_ctrl_c_at_any_moment_removes_what_was_sent_and_gives_the_rest_back(within_s: float) -> None:
    async def claim() -> None:
        dead = DeadQueue(200, request_s=0.01)
        queue = Queue(dead)
        await redrive(dead, queue, within_s=within_s)
        left = {row.body for row in dead.rows.values()}
        assert not left & set(queue.bodies), "sent, and would be redriven once more"
        assert len(left) + len(queue.sent) == 200
        assert not dead.hidden()

    on_virtual_time(claim)


def test_a_dead_letter_whose_send_fails_stays_and_is_not_tried_again() -> None:
    async def claim() -> None:
        dead = DeadQueue(100)
        queue = Queue(dead, lambda body: SendRefused("too long") if body == "uploads/7" else None)
        results = await redrive(dead, queue)
        assert list(dead.rows) == ["letter-7"]
        assert not dead.hidden()
        assert queue.tried["uploads/7"] == 1
        assert results["letter-7"].message_id is None
        assert results["letter-7"].error == "too long"
        assert len(queue.sent) == 99

    on_virtual_time(claim)


@pytest.mark.parametrize(
    ("error", "most"), [(AccessDenied("no"), 80), (BackendUnavailable("away"), 90), (NotSent("throttled"), 90)]
)
def test_a_queue_that_takes_nothing_stops_the_redrive_and_loses_nothing(error: BackendError, most: int) -> None:
    async def claim() -> None:
        dead = DeadQueue(300)
        queue = Queue(dead, lambda _: error)
        with pytest.raises(type(error)):
            await redrive(dead, queue)
        assert queue.tried.total() <= most
        assert len(dead.rows) == 300
        assert not dead.hidden()

    on_virtual_time(claim)


def test_when_too_many_fail_the_redrive_stops() -> None:
    async def claim() -> None:
        dead = DeadQueue(2 * MOST_FAILURES)
        with pytest.raises(BackendError, match="could not be redriven"):
            await redrive(dead, Queue(dead, lambda _: SendRefused("no")))
        assert len(dead.rows) == 2 * MOST_FAILURES

    on_virtual_time(claim)


def test_a_dead_letter_that_cannot_be_removed_is_reported_and_sent_once_only() -> None:
    async def claim() -> None:
        dead = DeadQueue(20, request_s=0.01)
        dead.refuses_deletes = True
        queue = Queue(dead)
        results = await redrive(dead, queue)
        assert len(queue.sent) == len(set(queue.bodies)) == 20
        assert all("once more" in str(result.error) and result.message_id for result in results.values())

    on_virtual_time(claim)


@pytest.mark.parametrize("rate", [1, 7, 50, 500])
def test_a_rate_is_kept_and_no_dead_letter_outlives_its_lease(rate: int) -> None:
    async def claim() -> None:
        dead = DeadQueue(60)
        queue = Queue(dead)
        await redrive(dead, queue, rate=rate)
        assert len(queue.sent) == len(set(queue.bodies)) == 60
        times = [at for at, _ in queue.sent]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert min(gaps) >= 0.999 / rate
        assert times[-1] - times[0] <= 59 / rate + 2

    on_virtual_time(claim)


def test_what_is_held_for_a_moment_only_is_not_sent() -> None:
    async def claim() -> None:
        dead = DeadQueue(10, request_s=LEASE_S - 10)  # the receive itself takes nearly all of the lease
        queue = Queue(dead)
        await redrive(dead, queue, within_s=4 * LEASE_S)
        assert queue.sent == []
        assert len(dead.rows) == 10

    on_virtual_time(claim)


def a_note(message_id: str, body_bytes: int | None = None) -> str:
    return Note("malformed-message", "no job", message_id, 1, body_bytes=body_bytes).encode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(local=tmp_path / "data")


@pytest.fixture
async def backend(settings: Settings) -> AsyncIterator[Backend]:
    from thumbq.backends import open_backend  # noqa: PLC0415 - only these tests need a real one

    async with open_backend(settings) as opened:
        yield opened


async def bury_cut(backend: Backend, body: str, message_id: str, *, keep: bool = True) -> None:
    """Do what a worker does with a body that leaves no room for its note."""
    assert backend.dead_letters is not None
    note = Note("malformed-message", "no job", message_id, 1)
    short, note = deadletter.cut(body, note, backend.dead_letters.max_bytes)
    await backend.dead_letters.send(short, note.encode())
    if keep:
        error = ErrorRecord(code=note.code, message=note.reason)
        record = FailedMessage.model_validate(
            {"message_id": message_id, "receive_count": 1, "body": body, "error": error, "finished_at": 0}
        )
        ref = ObjectRef(backend.bucket, keys.failed_message_key(message_id))
        await backend.store.put(ref, record.encode(), content_type="application/json")


async def received(backend: Backend) -> list[str]:
    bodies = []
    while messages := await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30):
        bodies += [message.body for message in messages]
    return bodies


def never(*_: object) -> None:
    raise AssertionError


async def test_a_body_that_was_cut_is_sent_whole(backend: Backend, settings: Settings) -> None:
    body = '{"key": "' + "猫" * 300_000
    body += "x" * ((1 << 20) - len(body.encode()))
    await bury_cut(backend, body, "m-1")
    results: list[Redriven] = []
    assert await redrive_all(settings, rate=None, report=results.append, moving=never) == 0
    assert [result.error for result in results] == [None]
    assert await received(backend) == [body]
    assert (await backend.queue.counts()).dead == 0


async def test_a_cut_body_whose_whole_is_gone_stays_and_says_why(backend: Backend, settings: Settings) -> None:
    await bury_cut(backend, "{" + "x" * ((1 << 20) - 1), "m-1", keep=False)
    results: list[Redriven] = []
    assert await redrive_all(settings, rate=None, report=results.append, moving=never) == 0
    assert len(results) == 1
    assert "failed-messages/m-1.json is not there" in str(results[0].error)
    assert await received(backend) == []
    assert (await backend.queue.counts()).dead == 1


async def test_some_are_redriven_by_their_id_or_that_of_the_message_that_was_buried(
    backend: Backend, settings: Settings
) -> None:
    dead = backend.dead_letters
    assert dead is not None
    for index in range(30):
        await dead.send(f"uploads/{index}", a_note(f"m-{index}"))
    [one] = await dead.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    results: list[Redriven] = []
    missing = await redrive_some(settings, [one.id, "m-17", "m-99"], rate=None, report=results.append)
    assert missing == {"m-99"}
    assert sorted(await received(backend)) == sorted([one.body, "uploads/17"])
    assert len(results) == 2
    assert (await backend.queue.counts()).dead == 28
    assert len(await dead.receive(max_messages=10, wait_s=0, visibility_timeout_s=0)) == 10, "the others are given back"


async def test_dead_letters_of_another_reader_are_counted(backend: Backend, settings: Settings) -> None:
    dead = backend.dead_letters
    assert dead is not None
    for index in range(25):
        await dead.send(f"uploads/{index}", a_note(f"m-{index}"))
    await dead.receive(max_messages=10, wait_s=0, visibility_timeout_s=600)
    results: list[Redriven] = []
    assert await redrive_all(settings, rate=None, report=results.append, moving=never) == 10
    assert len(results) == 15


@pytest.fixture
def moving_server(backend: Backend, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the backend's dead letters offer moves that report these steps."""

    def offer(*steps: MoveProgress) -> None:
        remaining = list(steps)

        async def start_move(_: object, *, rate: int | None) -> str:
            assert rate == 50
            return "handle"

        async def move_progress(_: object, handle: str) -> MoveProgress:
            assert handle == "handle"
            return remaining.pop(0)

        monkeypatch.setattr(type(backend.dead_letters), "start_move", start_move)
        monkeypatch.setattr(type(backend.dead_letters), "move_progress", move_progress)

    del settings
    return offer


async def test_a_server_moves_dead_letters_itself_where_it_can(
    settings: Settings, moving_server: Callable[..., None], backend: Backend
) -> None:
    assert backend.dead_letters is not None
    await backend.dead_letters.send("uploads/1", a_note("m-1"))
    steps = [MoveProgress(3, ended=False), MoveProgress(7, ended=True, failed="stopped")]
    moving_server(*steps)
    followed: list[MoveProgress] = []
    assert await redrive_all(settings, rate=50, report=never, moving=followed.append) == 0
    assert followed == steps
    assert await received(backend) == []


async def test_where_a_body_was_cut_no_server_moves_it(
    settings: Settings, moving_server: Callable[..., None], backend: Backend
) -> None:
    body = '{"key": "x"' + " " * ((1 << 20) - 12) + "}"
    await bury_cut(backend, body, "m-1")
    moving_server()
    results: list[Redriven] = []
    await redrive_all(settings, rate=50, report=results.append, moving=never)
    assert await received(backend) == [body]
