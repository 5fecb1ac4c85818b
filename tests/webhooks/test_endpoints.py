"""Turns at endpoints and places for calls: who is next, what is known of whom, and that no place gets lost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from thumbq.core.callbackretry import MAX_CALLS
from thumbq.webhooks.callplaces import CallPlaces, Standing
from thumbq.webhooks.endpoints import MAX_HELD, Endpoints

if TYPE_CHECKING:
    from thumbq.webhooks.endpoints import Turn


async def taken(places: CallPlaces, group: str, number: int, standing: Standing = Standing.UNKNOWN) -> int:
    """Try to take so many places; return how many there were."""
    found = 0
    while found < number and places.has_room(group):
        await places.take(group, standing)
        found += 1
    return found


async def test_one_group_leaves_a_third_free_and_two_a_fifth() -> None:
    places = CallPlaces(256)
    assert await taken(places, "a", 300) == 171
    assert await taken(places, "b", 300) == 57
    for _ in range(171):
        places.give_back("a")
    assert await taken(places, "b", 300) == 171 - 57
    assert await taken(places, "c", 1) == 1, "there is always one for another group"


async def test_who_answers_comes_before_who_is_new_and_these_before_the_dead() -> None:
    places, order = CallPlaces(1), list[str]()
    await places.take("first", Standing.UNKNOWN)

    async def wait(group: str, standing: Standing) -> None:
        await places.take(group, standing)
        order.append(group)
        places.give_back(group)

    async with anyio.create_task_group() as tasks:
        for group, standing in [
            ("dead", Standing.DEAD),
            ("new", Standing.UNKNOWN),
            ("new", Standing.UNKNOWN),
            ("other", Standing.UNKNOWN),
            ("answers", Standing.ANSWERS),
        ]:
            tasks.start_soon(wait, group, standing)
            await checkpoint()
        places.give_back("first")
    assert order == ["answers", "new", "other", "new", "dead"]


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_gets_lost_whoever_stops_waiting(seed: int) -> None:
    numbers, places, most = random.Random(seed), CallPlaces(6), 0
    under_way = 0

    async def call(group: str, scope: anyio.CancelScope) -> None:
        nonlocal under_way, most
        with scope:
            await places.take(group, numbers.choice(list(Standing)))
            under_way += 1
            most = max(most, under_way)
            try:
                for _ in range(numbers.randrange(4)):
                    await checkpoint()
            finally:
                under_way -= 1
                places.give_back(group)

    async with anyio.create_task_group() as tasks:
        scopes = [anyio.CancelScope() for _ in range(200)]
        for scope in scopes:
            tasks.start_soon(call, numbers.choice("abc"), scope)
            if numbers.random() < 0.5:
                numbers.choice(scopes).cancel()
            if numbers.random() < 0.5:
                await checkpoint()
    assert 2 <= most <= 6
    assert not any(places._waiting)
    assert not places._taken
    assert await taken(places, "a", 6) == 4


async def turns(endpoints: Endpoints, names: list[str], pattern: str) -> list[Turn]:
    """Return the turns that there are at once."""
    found: list[Turn] = []

    async def take(name: str) -> None:
        if (turn := await endpoints.take_turn(name, pattern)) is not None:
            found.append(turn)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(take, name)
        for _ in range(5):
            await checkpoint()
        tasks.cancel_scope.cancel()
    return found


async def test_what_waits_of_one_pattern_leaves_room_for_others() -> None:
    endpoints, refused = Endpoints(), 0
    held = await turns(endpoints, [f"{number}.evil" for number in range(MAX_CALLS)], "*.evil")

    async def wait(name: str) -> None:
        nonlocal refused
        turn = await endpoints.take_turn(name, "*.evil")
        refused += turn is None

    async with anyio.create_task_group() as tasks:
        for number in range(2 * MAX_HELD):
            tasks.start_soon(wait, f"waits{number}.evil")
        await checkpoint()
        await checkpoint()
        assert 2 * MAX_HELD - refused == (MAX_HELD - len(held) + 1) // 2
        assert len(await turns(endpoints, ["a.good"], "a.good")) == 1
        tasks.cancel_scope.cancel()
    for turn in held:
        endpoints.end_turn(turn)
    assert (endpoints._held, endpoints._waiting.total()) == (1, 0)
    assert len(endpoints._endpoints) == 1


async def test_who_has_answered_is_known_for_that_and_no_crowd_has_it_forgotten() -> None:
    endpoints = Endpoints()

    async def call(name: str, *, answered: bool) -> None:
        [turn] = await turns(endpoints, [name], "*.example.com")
        assert turn.group == "*.example.com"
        endpoints.note(turn, answered=answered, took=answered)
        endpoints.end_turn(turn)

    await call("a.example.com", answered=True)
    for number in range(3000):
        await call(f"{number}.example.com", answered=False)
    [turn] = await turns(endpoints, ["a.example.com"], "*.example.com")
    assert turn.group == "a.example.com"
    assert not endpoints.takes("2999.example.com")
    assert endpoints.takes("0.example.com"), "forgotten"
    assert {standing: len(known) for standing, known in endpoints._known.items()} == {
        Standing.ANSWERS: 0,
        Standing.DEAD: 1000,
    }
