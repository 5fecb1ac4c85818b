"""The levels of the log: an error is ours and needs a person, a warning is what customers send or what may pass."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.doubles.consuming import Delegate, Refusing, consuming, put, settled, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core.retry import CUSTOMERS_CODES
from thumbq.errors import AccessDenied, BackendUnavailable, RenderRefused
from thumbq.ports import VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from structlog.typing import EventDict

    from thumbq.ports import Backend

AWAY = BackendUnavailable("no answer")
DENIED = AccessDenied("send dead letters: AccessDenied")


def levels(logs: Sequence[EventDict], *events: str) -> dict[str, set[str]]:
    return {event: {line["log_level"] for line in logs if line["event"] == event} for event in events}


@pytest.mark.parametrize(
    ("code", "level"),
    [
        *((code, "warning") for code in sorted(CUSTOMERS_CODES - {"source-missing"})),
        ("out-of-memory", "error"),
        ("a-code-that-nobody-has-thought-of", "error"),
    ],
)
async def test_a_customers_picture_is_a_warning_and_all_else_an_error(backend: Backend, code: str, level: str) -> None:
    await upload(backend)
    with capture_logs() as logs:
        async with consuming(backend, FakeRenderer(RenderRefused(code, "why"))):
            await settled(backend, dead=1)
    assert levels(logs, "job.failed", "message.buried") == {"job.failed": {level}, "message.buried": {level}}
    assert ("error" in {line["log_level"] for line in logs}) == (level == "error")


@pytest.mark.parametrize(
    ("body", "level"),
    [
        ("{no job", "error"),
        ('{"bucket": "another", "key": "a.jpg"}', "error"),
        ('{"key": "uploads/a", "presets": ["unknown"]}', "error"),
        ("uploads/gone", "warning"),
    ],
)
async def test_a_message_that_no_program_of_ours_should_send_is_an_error(
    backend: Backend, body: str, level: str
) -> None:
    await backend.queue.send(body)
    with capture_logs() as logs:
        async with consuming(backend, FakeRenderer()):
            await settled(backend, dead=1)
    assert levels(logs, "job.failed", "message.buried") == {"job.failed": {level}, "message.buried": {level}}


async def test_of_several_jobs_one_failure_of_ours_makes_the_message_ours(backend: Backend) -> None:
    await put(backend, "uploads/a")
    await put(backend, "uploads/b")
    await backend.queue.send(json.dumps({"Records": [_created("uploads/a"), _created("uploads/b")]}))
    outcomes = [RenderRefused("corrupt", "cut"), RenderRefused("out-of-memory", "all of it")]
    with capture_logs() as logs:
        async with consuming(backend, FakeRenderer(*outcomes)):
            await settled(backend, dead=1)
    assert [line["log_level"] for line in logs if line["event"] == "job.failed"] == ["warning", "error"]
    [buried] = [line for line in logs if line["event"] == "message.buried"]
    assert (buried["code"], buried["log_level"]) == ("out-of-memory", "error")


def _created(key: str) -> dict[str, Any]:
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "local"}, "object": {"key": key}},
    }


async def test_what_the_queue_moved_silently_is_an_error_and_counts_as_buried(tmp_path: Path) -> None:
    async with open_local(tmp_path / "data", clock=SystemClock(), max_receive_count=1) as backend:
        await upload(backend)
        [message] = await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
        await backend.queue.extend([VisibilityChange(message.receipt, 0)])
        assert not await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
        with capture_logs() as logs:
            async with consuming(backend, FakeRenderer(), max_receive_count=1):
                await until(lambda: levels(logs, "message.buried")["message.buried"], within_s=10, what="a burial")
    assert levels(logs, "job.failed", "message.buried") == {"job.failed": {"error"}, "message.buried": {"error"}}


async def test_an_outage_of_the_store_is_a_warning_at_first_and_an_error_when_it_lasts(backend: Backend) -> None:
    await upload(backend)
    away = replace(backend, store=Refusing(backend.store, lambda *_: AWAY))
    with capture_logs() as logs:
        async with consuming(away, FakeRenderer()):
            await until(lambda: "error" in levels(logs, "store.away")["store.away"], within_s=200, what="an error")
    told = [(line["log_level"], line["away_s"] >= 60) for line in logs if line["event"] == "store.away"]
    assert told[0] == ("warning", False)
    assert set(told) == {("warning", False), ("error", True)}
    assert len(told) < 40


async def test_so_is_one_of_the_queue(backend: Backend) -> None:
    class Away(Delegate):
        async def receive(self, **_: Any) -> Any:
            raise AWAY

    away = replace(backend, queue=Away(backend.queue))
    with capture_logs() as logs:
        async with consuming(away, FakeRenderer()):
            await until(lambda: "error" in levels(logs, "receive.failed")["receive.failed"], within_s=200, what="it")
    told = {(line["log_level"], line["away_s"] >= 60) for line in logs if line["event"] == "receive.failed"}
    assert told == {("warning", False), ("error", True)}


@pytest.mark.parametrize(("error", "level"), [(DENIED, "error"), (AWAY, "warning")])
async def test_a_burial_that_is_refused_is_an_error_and_one_without_an_answer_a_warning(
    backend: Backend, error: Exception, level: str
) -> None:
    class Unburied(Delegate):
        async def send(self, *_: Any, **__: Any) -> Any:
            raise error

    await upload(backend)
    with capture_logs() as logs:
        async with consuming(
            replace(backend, dead_letters=Unburied(backend.dead_letters)), FakeRenderer(RenderRefused("corrupt", "cut"))
        ):
            await until(lambda: levels(logs, "bury.failed")["bury.failed"], within_s=10, what="a burial")
    assert levels(logs, "bury.failed") == {"bury.failed": {level}}
