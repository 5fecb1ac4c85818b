"""Settings of several queues: what is filled in, and what cannot go together."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support import documents
from support.documents import QUEUES
from thumbq.errors import SetupError
from thumbq.settings import QueueConfig, load, only_queue
from thumbq.worker.pausewatch import LOOK_EVERY_S

AWS = 'bucket = "b"\n'
HIGH, LOW = '[[queues]]\nname = "high"\nqueue = "jobs-high"\n', '[[queues]]\nname = "low"\nqueue = "jobs-low"\n'


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def problems(toml: str) -> list[str]:
    Path("thumbq.toml").write_text(toml)
    with pytest.raises(SetupError) as wrong:
        load()
    assert all(problem.fix for problem in wrong.value.problems)
    return [problem.what for problem in wrong.value.problems]


def test_tables_are_queues_in_their_order_and_the_first_is_the_default() -> None:
    Path("thumbq.toml").write_text(f"wait_time_s = 10\n{AWS}{HIGH}{LOW}wait_time_s = 0\n")
    settings = load()
    assert settings.queue_configs == (
        QueueConfig("high", "jobs-high", None, 10, default=True),
        QueueConfig("low", "jobs-low", None, 0, default=False),
    )
    assert settings.queue_weights == {"high": None, "low": None}


def test_a_table_can_be_the_default_one_and_all_can_have_weights() -> None:
    Path("thumbq.toml").write_text(f"{AWS}{HIGH}weight = 9\n{LOW}weight = 1\ndefault = true\n")
    settings = load()
    assert settings.default_queue.name == "low"
    assert settings.queue_weights == {"high": 9, "low": 1}


def test_without_tables_there_is_the_one_queue_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_BUCKET", "b")
    monkeypatch.setenv("THUMBQ_QUEUE", "q")
    assert load().queue_configs == (QueueConfig("", "q", None, 20, default=True),)


def test_on_the_local_backend_a_queue_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBQ_LOCAL", "data")
    Path("thumbq.toml").write_text('[[queues]]\nname = "high"\n[[queues]]\nname = "slow"\nqueue = "slow.fifo"\n')
    assert [config.queue for config in load().queue_configs] == ["high", "slow.fifo"]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (f'{AWS}queue = "q"\n{HIGH}', "THUMBQ_QUEUE and [[queues]] exclude each other"),
        (f'{AWS}{HIGH}[[queues]]\nname = "low"\n', "the queue low does not say which of SQS it is"),
        (f"{AWS}{HIGH}{LOW}{HIGH}", "2 queues have the name high"),
        (f"{AWS}{HIGH}{LOW.replace('jobs-low', 'jobs-high')}", "high, low are one and the same queue, jobs-high"),
        (f"{AWS}{HIGH}default = true\n{LOW}default = true\n", "several queues are the default one: high, low"),
        (
            f'{AWS}{HIGH}weight = "3"\n{LOW}weight = 1\n',
            "thumbq.toml: queues.0.weight: Input should be a valid integer",
        ),
        (f"{AWS}{HIGH}weight = 3\n{LOW}", "some queues have a weight, and these have none: low"),
        (
            f"{AWS}wait_time_s = 1\nshutdown_deadline_s = 8\n{HIGH}wait_time_s = 7\n{LOW}",
            "a long poll of 7 s on the queue high does not end within a shutdown of 8 s",
        ),
        (
            f"{AWS}wait_time_s = 7\nshutdown_deadline_s = 8\n{HIGH}wait_time_s = 1\n{LOW}",
            "a long poll of 7 s does not end within a shutdown of 8 s",
        ),
        (f"{AWS}{HIGH}prioritty = 1\n", "thumbq.toml: queues.0.prioritty is no setting"),
    ],
)
def test_what_cannot_go_together_is_said(toml: str, said: str) -> None:
    assert problems(toml) == [said]


def test_the_general_long_poll_is_no_fault_where_every_queue_has_its_own() -> None:
    Path("thumbq.toml").write_text(f"{AWS}shutdown_deadline_s = 8\n{HIGH}wait_time_s = 5\n")
    assert load().queue_configs[0].wait_time_s == 5


def test_everything_that_is_wrong_with_the_queues_is_said_at_once() -> None:
    assert len(problems(f"{AWS}{HIGH}weight = 3\n{LOW}default = true\n{HIGH}default = true\n")) == 3


def test_one_queue_of_several_can_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_text(AWS + HIGH + LOW)
    settings = load()
    assert [config.queue for config in only_queue(settings, "low").queue_configs] == ["jobs-low"]
    assert only_queue(settings, None) is settings
    with pytest.raises(SetupError, match=r"no queue named lwo\n.*name one of high, low"):
        only_queue(settings, "lwo")
    Path("thumbq.toml").unlink()
    monkeypatch.setenv("THUMBQ_LOCAL", "data")
    with pytest.raises(SetupError, match="there is just one"):
        only_queue(load(), "low")


def test_the_documented_example_works(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thumbq.toml").write_text(documents.example(QUEUES, "Several queues", "toml"))
    monkeypatch.setenv("THUMBQ_BUCKET", "photos")
    high, low = load().queue_configs
    assert (high.name, high.queue, high.wait_time_s, high.default) == ("high", "photos-high", 20, False)
    assert (low.name, low.queue, low.wait_time_s, low.default) == ("low", "photos-low", 10, True)


def test_the_documented_cost_of_polling_is_the_sum() -> None:
    section = documents.section(QUEUES, "Short and long polling")
    for wait_s in (LOOK_EVERY_S, 1):
        requests = round(30 * 86_400 / wait_s, -4 if wait_s > 1 else -5)
        assert re.search(rf"\| {wait_s:.0f} s[^|]*\| {requests:,.0f} \| \${requests / 1e6 * 0.40:.2f} \|", section)
