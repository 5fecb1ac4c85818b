"""Looking at dead letters on virtual time: what is hidden, for how long, and when a listing ends."""

from __future__ import annotations

import anyio
import pytest

from support.doubles.dead_letter_queue import DeadQueue
from support.virtual_time import on_virtual_time
from thumbq.commands.deadletters import Look
from thumbq.commands.holding import HOLD_S, ROUND, Holder, dead_letters_of, holding
from thumbq.errors import BackendUnavailable, SetupError
from thumbq.ports import Backend


async def look_at_all(holder: Holder) -> list[str]:
    look, seen = Look(holder), []
    while new := await look.next():
        seen += [letter.id for letter in new]
    return seen


def test_a_listing_longer_than_a_minute_shows_each_letter_once_and_ends() -> None:
    async def claim() -> None:
        dead = DeadQueue(8_000, request_s=1)  # 80 a second: the first are visible again before the last were seen
        async with holding(dead) as holder:
            seen = await look_at_all(holder)
            assert len(seen) == len(set(seen)) == 8_000
            assert anyio.current_time() > HOLD_S
            dead.request_s = 0.01
        await anyio.sleep(1)  # a hold is counted from before its request, which took so long
        assert not dead.hidden()

    on_virtual_time(claim)


def test_what_is_remembered_is_what_a_minute_brings() -> None:
    async def claim() -> None:
        dead = DeadQueue(6_000, request_s=1)
        most = 0
        async with holding(dead) as holder:
            look = Look(holder)
            while await look.next():
                most = max(most, len(holder._until))
        assert most <= ROUND * (HOLD_S + 1)

    on_virtual_time(claim)


def test_a_hold_that_has_run_out_is_not_given_back_as_the_letter_may_be_somebody_elses() -> None:
    async def claim() -> None:
        dead = DeadQueue(30)
        async with holding(dead) as holder:
            first = await holder.receive()
            await anyio.sleep(HOLD_S + 1)
            second = await holder.receive()
        assert len(first) == 10
        assert second
        assert dead.late == []
        assert set(dead.given_back) == {letter.id for letter in second}

    on_virtual_time(claim)


def test_a_cancelled_look_ends_its_request_and_gives_back_what_that_brought() -> None:
    async def claim() -> None:
        dead = DeadQueue(25, request_s=1)
        with anyio.move_on_after(2.5) as scope:
            async with holding(dead) as holder:
                await look_at_all(holder)
        assert scope.cancelled_caught
        assert dead.receives == 1 + 2 + 4, "more at the same time while there are many"
        assert len(dead.given_back) == 25
        assert not dead.hidden()

    on_virtual_time(claim)


def test_an_error_in_between_gives_back_too() -> None:
    async def claim() -> None:
        dead = DeadQueue(5)

        async def fail() -> None:
            async with holding(dead) as holder:
                await holder.receive()
                raise BackendUnavailable("gone")

        with pytest.raises(BackendUnavailable, match="gone"):
            await fail()
        assert not dead.hidden()

    on_virtual_time(claim)


def test_giving_back_ends_though_the_server_hangs() -> None:
    async def claim() -> None:
        dead = DeadQueue(5)
        async with holding(dead) as holder:
            await holder.receive()
            dead.request_s = 10_000
        assert anyio.current_time() < HOLD_S

    on_virtual_time(claim)


def test_a_letter_that_somebody_else_keeps_taking_does_not_keep_a_listing_from_its_end() -> None:
    class Insisting(DeadQueue):
        """Hands out the same letters again and again, as a short visibility time-out of another reader does."""

        def hidden_again(self) -> None:
            for row in self.rows.values():
                row.visible_at = 0.0

    async def claim() -> None:
        dead = Insisting(5, request_s=1)
        async with holding(dead) as holder:
            look = Look(holder)
            assert len(await look.next()) == 5

            async def insist() -> None:
                while True:
                    dead.hidden_again()
                    await anyio.sleep(0.5)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(insist)
                assert await look.next() == []
                tasks.cancel_scope.cancel()
        assert HOLD_S < anyio.current_time() < 2 * HOLD_S

    on_virtual_time(claim)


def test_without_a_dead_letter_queue_the_fix_is_said() -> None:
    backend = Backend(None, None, "b", None)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="thumbq setup"):
        dead_letters_of(backend, "jobs")
