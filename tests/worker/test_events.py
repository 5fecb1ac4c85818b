"""Events of jobs that have ended: at least once, never before the picture can be read, and nothing is made again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from structlog.testing import capture_logs

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.doubles.consuming import KEY, consuming, record, settled, upload
from support.doubles.observing import Observed
from support.doubles.rendering import FakeRenderer
from thumbq.core.catalog import Catalog, CatalogInForce
from thumbq.core.job import ObjectRef
from thumbq.core.links import NO_BASE
from thumbq.core.preset import BUILT_IN
from thumbq.errors import AccessDenied, BackendUnavailable, NotSent, RenderRefused, SendRefused
from thumbq.jobs.eventpublisher import EventPublisher
from thumbq.ports.observing import Told, observed_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thumbq.core.jobevent import JobEvent
    from thumbq.errors import BackendError
    from thumbq.ports import Backend


class Target:
    """Takes events, unless ``fails`` gives an error; each is taken only when its picture can be read."""

    def __init__(self, backend: Backend, fails: Callable[[int], BackendError | None] = lambda _: None) -> None:
        self.taken: list[JobEvent] = []
        self.asked = 0
        self._backend = backend
        self._fails = fails

    async def send(self, event: JobEvent) -> str:
        self.asked += 1
        if (error := self._fails(self.asked)) is not None:
            raise error
        manifest = await record(self._backend, event.source.key)
        assert manifest is not None, "told before the manifest was stored"
        for rendition in manifest.renditions.values():
            await self._backend.store.head(ObjectRef(rendition.bucket, rendition.key))
        self.taken.append(event)
        return "id"


def publisher(backend: Backend, *targets: Target) -> EventPublisher:
    return EventPublisher(
        targets, backend.store, CatalogInForce(Catalog({each.name: each for each in BUILT_IN}, ())), NO_BASE
    )


@pytest.mark.parametrize("outcome", ["done", "failed"])
async def test_each_target_gets_the_job_as_it_is_answered(backend: Backend, outcome: str) -> None:
    renderer = FakeRenderer(*[RenderRefused("corrupt", "no picture")] * (outcome == "failed"))
    targets = [Target(backend), Target(backend)]
    async with consuming(backend, renderer, announcers=[publisher(backend, *targets)]):
        await upload(backend)
        await settled(backend, dead=int(outcome == "failed"))
    for target in targets:
        [event] = target.taken
        assert event.type == f"job.{outcome}"
        job = json.loads(event.body)
        assert (job["id"], job["status"]) == (KEY.partition("/")[2], outcome)
        assert job["original"]["content_type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (BackendUnavailable("away"), "warning"),
        (NotSent("too many"), "warning"),
        (SendRefused("no such topic"), "error"),
        (AccessDenied("no"), "error"),
    ],
)
async def test_a_target_that_is_away_for_a_minute_has_nothing_made_twice(
    backend: Backend, error: BackendError, level: str
) -> None:
    renderer = FakeRenderer()
    end = anyio.current_time() + 60
    away = Target(backend, lambda _: error if anyio.current_time() < end else None)
    there = Target(backend)
    with capture_logs() as logs:
        async with consuming(backend, renderer, announcers=[publisher(backend, there, away)], max_receive_count=None):
            await upload(backend)
            await settled(backend, within_s=600)
    assert {line["log_level"] for line in logs if line["event"] == "job.not_announced"} == {level}
    assert renderer.renders == 1
    assert away.asked > 2
    assert len(away.taken) == 1
    assert len(there.taken) == away.asked, "the others get it again"
    assert len({(event.id, event.body) for event in (*there.taken, *away.taken)}) == 1


async def test_each_send_is_told_to_observers_with_its_attempt(backend: Backend) -> None:
    observed = Observed()
    target = Target(backend, lambda asked: BackendUnavailable("away") if asked < 3 else None)
    with observed_by([observed]):
        async with consuming(backend, FakeRenderer(), announcers=[publisher(backend, target)]):
            await upload(backend)
            await settled(backend, within_s=600)
    told = [each for each in observed.happened if isinstance(each, Told)]
    assert [(each.by, each.ending) for each in told] == [("event", "failed")] * 2 + [("event", "done")]
    assert [each.attempt for each in told] == [1, 2, 3]


class Losing(Target):
    """Takes each event, and loses the first answer."""

    async def send(self, event: JobEvent) -> str:
        await super().send(event)
        if self.asked == 1:
            raise BackendUnavailable("the answer is lost")
        return "id"


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("outcome", ["done", "failed"])
async def test_wherever_a_request_fails_each_target_has_the_event_and_with_the_same_id(
    backend: Backend, place: int, outcome: str, *, taken: bool
) -> None:
    renderer = FakeRenderer(*[RenderRefused("corrupt", "no picture")] * (outcome == "failed"))
    targets = [Target(backend) for _ in range(3)]
    targets[place] = (
        Losing(backend) if taken else Target(backend, lambda asked: BackendUnavailable("away") if asked == 1 else None)
    )
    async with consuming(backend, renderer, announcers=[publisher(backend, *targets)]):
        await upload(backend)
        await settled(backend, dead=int(outcome == "failed"), within_s=60)
    assert renderer.renders == 1
    assert [len(target.taken) for target in targets] == [1 if n == place and not taken else 2 for n in range(3)]
    assert {event.type for target in targets for event in target.taken} == {f"job.{outcome}"}
    assert len({event.id for target in targets for event in target.taken}) == 1


async def test_one_whose_receives_are_used_up_meanwhile_is_told_of_as_a_dead_letter(tmp_path: Path) -> None:
    renderer = FakeRenderer()
    async with open_local(tmp_path / "data", clock=SystemClock(), max_receive_count=2) as backend:
        away = Target(backend, lambda asked: BackendUnavailable("away") if asked < 3 else None)
        async with consuming(backend, renderer, announcers=[publisher(backend, away)], max_receive_count=2):
            await upload(backend)
            await settled(backend, within_s=1200)
    assert renderer.renders == 1
    assert [event.status for event in away.taken] == ["done"]
