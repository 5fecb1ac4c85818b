"""Whose turn it is among the jobs of several queues."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbq.core.fairness import BEHIND_ALL, Waiting

STRICT = {"high": None, "middle": None, "low": None}


def served(waiting: Waiting[str], turns: int) -> list[str]:
    return [waiting.pop() for _ in range(turns)]


def test_without_weights_the_queue_that_is_listed_first_always_comes_first() -> None:
    waiting: Waiting[str] = Waiting(STRICT)
    for queue in ("low", "middle", "low", "high", "middle", "high"):
        waiting.add(queue, queue)
    assert served(waiting, 4) == ["high", "high", "middle", "middle"]
    waiting.add("high", "late")
    assert served(waiting, 3) == ["late", "low", "low"]
    assert not waiting


def test_inside_a_queue_it_is_first_come_first_served() -> None:
    waiting: Waiting[int] = Waiting(STRICT)
    for number in range(5):
        waiting.add("low", number)
    waiting.remove("low", 2)
    assert [waiting.pop() for _ in range(4)] == [0, 1, 3, 4]


@pytest.mark.parametrize("queues", [{"high": None, "low": None}, {"high": 2, "low": 1}])
def test_who_is_behind_all_comes_last_whatever_the_weights_and_costs_no_turn(queues: dict[str, int | None]) -> None:
    waiting: Waiting[str] = Waiting(queues)
    waiting.add(BEHIND_ALL, "try")
    for queue in ("high", "low", "high", "low"):
        waiting.add(queue, queue)
    assert sorted(served(waiting, 4)) == ["high", "high", "low", "low"]
    assert served(waiting, 1) == ["try"]
    for queue in ("low", "high", "high", "low", "high"):
        waiting.add(queue, queue)
    assert served(waiting, 1) == ["high"]


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=5))
def test_queues_that_all_wait_get_turns_by_their_weights_and_none_starves(weights: list[int]) -> None:
    waiting: Waiting[str] = Waiting({str(queue): weight for queue, weight in enumerate(weights)})
    rounds = sum(weights) * 3
    for queue in range(len(weights)):
        for _ in range(rounds):
            waiting.add(str(queue), str(queue))
    got = Counter(served(waiting, rounds))
    for queue, weight in enumerate(weights):
        assert abs(got[str(queue)] - 3 * weight) <= 1
        assert got[str(queue)] > 0


def test_a_queue_that_had_nothing_to_do_gets_no_credit_for_it() -> None:
    waiting: Waiting[str] = Waiting({"a": 1, "b": 1})
    for _ in range(200):
        waiting.add("a", "a")
    assert served(waiting, 100) == ["a"] * 100
    for _ in range(50):
        waiting.add("b", "b")
    assert Counter(served(waiting, 40)) == {"a": 20, "b": 20}


def test_a_queue_that_is_often_empty_does_not_lose_its_share() -> None:
    waiting: Waiting[str] = Waiting({"busy": 9, "rare": 1})
    got = Counter[str]()
    for turn in range(1000):
        waiting.add("busy", "busy")
        if turn % 5 == 0:
            waiting.add("rare", "rare")
        got[waiting.pop()] += 1
    assert 95 <= got["rare"] <= 105


def test_a_queue_that_nobody_has_named_comes_last() -> None:
    waiting: Waiting[str] = Waiting(STRICT)
    for queue in ("", "low", "high"):
        waiting.add(queue, queue)
    assert served(waiting, 3) == ["high", "low", ""]
