"""Leases on dead letters, on virtual time: how long each is hidden, and when a scan ends."""

from __future__ import annotations

import anyio
import pytest

from support.doubles.dead_letter_queue import DeadQueue
from support.virtual_time import on_virtual_time
from thumbq.commands.dlq import dead_letters_of
from thumbq.deadletters.leases import LEASE_S, ROUND, DeadLetterLeases, leasing
from thumbq.deadletters.scan import Scan
from thumbq.errors import BackendUnavailable, SetupError
from thumbq.ports import Backend


async def scan_all(leases: DeadLetterLeases) -> list[str]:
    scan, seen = Scan(leases), []
    while new := await scan.next():
        seen += [letter.id for letter in new]
    return seen


def test_a_scan_longer_than_a_minute_returns_each_dead_letter_once_and_ends() -> None:
    async def claim() -> None:
        dead = DeadQueue(8_000, request_s=1)  # 80 a second: the first are visible again before the last were seen
        async with leasing(dead) as leases:
            seen = await scan_all(leases)
            assert len(seen) == len(set(seen)) == 8_000
            assert anyio.current_time() > LEASE_S
            dead.request_s = 0.01
        await anyio.sleep(1)  # a lease is counted from before its request, which took so long
        assert not dead.hidden()

    on_virtual_time(claim)


def test_the_receipts_of_one_minute_are_remembered_and_no_more() -> None:
    async def claim() -> None:
        dead = DeadQueue(6_000, request_s=1)
        most = 0
        async with leasing(dead) as leases:
            scan = Scan(leases)
            while await scan.next():
                most = max(most, len(leases._until))
        assert most <= ROUND * (LEASE_S + 1)

    on_virtual_time(claim)


def test_a_lease_that_has_run_out_is_not_given_back_as_another_reader_may_have_one() -> None:
    async def claim() -> None:
        dead = DeadQueue(30)
        async with leasing(dead) as leases:
            first = await leases.receive()
            await anyio.sleep(LEASE_S + 1)
            second = await leases.receive()
        assert len(first) == 10
        assert second
        assert dead.late == []
        assert set(dead.given_back) == {letter.id for letter in second}

    on_virtual_time(claim)


def test_a_cancelled_scan_ends_its_requests_and_gives_back_all_dead_letters() -> None:
    async def claim() -> None:
        dead = DeadQueue(25, request_s=1)
        with anyio.move_on_after(2.5) as scope:
            async with leasing(dead) as leases:
                await scan_all(leases)
        assert scope.cancelled_caught
        assert dead.receives == 1 + 2 + 4, "more at the same time while there are many"
        assert len(dead.given_back) == 25
        assert not dead.hidden()

    on_virtual_time(claim)


def test_an_error_gives_back_all_dead_letters() -> None:
    async def claim() -> None:
        dead = DeadQueue(5)

        async def fail() -> None:
            async with leasing(dead) as leases:
                await leases.receive()
                raise BackendUnavailable("gone")

        with pytest.raises(BackendUnavailable, match="gone"):
            await fail()
        assert not dead.hidden()

    on_virtual_time(claim)


def test_giving_back_ends_when_the_server_hangs() -> None:
    async def claim() -> None:
        dead = DeadQueue(5)
        async with leasing(dead) as leases:
            await leases.receive()
            dead.request_s = 10_000
        assert anyio.current_time() < LEASE_S

    on_virtual_time(claim)


def test_a_scan_ends_when_another_reader_keeps_receiving_the_same_dead_letters() -> None:
    class Insisting(DeadQueue):
        """Hands out the same dead letters again and again, as a short visibility time-out of another reader does."""

        def hidden_again(self) -> None:
            for row in self.rows.values():
                row.visible_at = 0.0

    async def claim() -> None:
        dead = Insisting(5, request_s=1)
        async with leasing(dead) as leases:
            scan = Scan(leases)
            assert len(await scan.next()) == 5

            async def insist() -> None:
                while True:
                    dead.hidden_again()
                    await anyio.sleep(0.5)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(insist)
                assert await scan.next() == []
                tasks.cancel_scope.cancel()
        assert LEASE_S < anyio.current_time() < 2 * LEASE_S

    on_virtual_time(claim)


def test_without_a_dead_letter_queue_the_error_has_the_fix() -> None:
    backend = Backend(None, None, "b", None, None)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="thumbq setup"):
        dead_letters_of(backend, "jobs")
