"""What `thumbq serve` warns of at its start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from thumbq.ports import QueueAttributes
from thumbq.settings import QueueTable, Settings
from thumbq.worker.warnings import callback_warnings, queue_warnings, retention_warnings, weights_warning

GOOD = QueueAttributes(
    "jobs", visibility_timeout_s=30, retention_s=345_600, max_receive_count=10, dead_letter_retention_s=1_209_600
)


def advice(attributes: QueueAttributes, visibility_timeout_s: int = 30, beat_interval_s: float = 10.0) -> list[str]:
    given = queue_warnings(attributes, visibility_timeout_s=visibility_timeout_s, beat_interval_s=beat_interval_s)
    return [f"{problem.what}; {problem.fix}" for problem in given]


def test_what_setup_makes_needs_no_advice() -> None:
    assert advice(GOOD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_receive_count": 4}, "4 receives"),
        ({"max_receive_count": 9, "fifo": True}, "9 receives: each failure in a group"),
        ({"dead_letter_retention_s": 345_600}, "dead letters"),
        ({"max_message_bytes": 1024}, "at most 1024 bytes"),
        ({"max_receive_count": None, "dead_letter_retention_s": None}, "no redrive policy"),
    ],
)
def test_a_queue_that_will_hurt_one_day_is_told_with_a_fix(change: dict[str, int | None], words: str) -> None:
    [said] = advice(replace(GOOD, **change))  # type: ignore[arg-type]
    assert words in said


def test_five_receives_are_enough_and_ten_where_groups_share_their_failures() -> None:
    assert advice(replace(GOOD, max_receive_count=5)) == []
    assert advice(replace(GOOD, max_receive_count=10, fifo=True)) == []


def test_a_time_out_of_less_than_three_heartbeats_is_told() -> None:
    [said] = advice(GOOD, visibility_timeout_s=29)
    assert "THUMBQ_HEARTBEAT_S" in said
    assert advice(GOOD, visibility_timeout_s=30) == []


@pytest.mark.parametrize(
    ("weights", "concurrency", "told"),
    [((9, 1), 11, 1), ((9, 1), 12, 0), ((9, 1), None, 0), ((None, None), 1, 0)],
)
def test_weights_are_told_to_need_renders_that_wait(
    weights: tuple[int | None, ...], concurrency: int | None, told: int
) -> None:
    queues = tuple(QueueTable(name=f"q{number}", weight=weight) for number, weight in enumerate(weights))
    problems = filter(None, [weights_warning(Settings(queues=queues, processes=2, concurrency=concurrency))])
    assert ["raise it to 12" in problem.fix for problem in problems] == [True] * told


OF_CALLBACKS = replace(GOOD, name="jobs-webhooks", max_receive_count=1000, retention_s=1_209_600)


def test_the_queue_of_callbacks_that_setup_makes_needs_no_advice() -> None:
    assert list(callback_warnings(OF_CALLBACKS)) == []
    assert list(callback_warnings(replace(OF_CALLBACKS, retention_s=None))) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_receive_count": 10}, "before their 14 calls were made; raise its maxReceiveCount to 1000"),
        ({"max_receive_count": None}, "no redrive policy"),
        ({"retention_s": 86_400}, "keeps messages for 86400 s"),
    ],
)
def test_one_that_would_lose_callbacks_is_told_with_a_fix(change: dict[str, int | None], words: str) -> None:
    [problem] = callback_warnings(replace(OF_CALLBACKS, **change))  # type: ignore[arg-type]
    assert words in f"{problem.what}; {problem.fix}"


def test_what_goes_before_the_dead_letters_of_a_queue_that_keeps_them_longer_is_told() -> None:
    settings = Settings(local=Path("data"), retention={"uploads/": 18, "manifests/": 28, "thumbnail/": 1})
    assert not list(retention_warnings(settings, GOOD))
    [problem] = retention_warnings(settings, replace(GOOD, retention_s=14 * 86_400))
    assert "'uploads/' = 18: dead letters of queue jobs, which become 28 days old" in problem.what
    assert problem.fix.startswith("say 28 days or more")
    assert not list(retention_warnings(settings, replace(GOOD, retention_s=None, dead_letter_retention_s=None)))
