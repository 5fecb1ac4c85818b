"""Who is told of a job's end: after its manifest is stored, before its message goes, and at least once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.doubles.consuming import consuming, record, settled, upload
from support.doubles.rendering import FakeRenderer
from thumbq.errors import BackendUnavailable, RenderRefused

if TYPE_CHECKING:
    from thumbq.core.manifest import Manifest
    from thumbq.ports import Backend


class Listener:
    """Keeps what it is told, and fails as often as it is asked to."""

    def __init__(self, backend: Backend, *, failures: int = 0) -> None:
        self.told: list[Manifest] = []
        self._backend = backend
        self._failures = failures

    async def announce(self, manifest: Manifest, *, attempt: int) -> None:
        assert attempt >= 1
        assert await record(self._backend, manifest.source.key) == manifest, "told before it was stored"
        assert (await self._backend.queue.counts()).in_flight == 1, "told after the message was gone"
        self.told.append(manifest)
        if self._failures:
            self._failures -= 1
            raise BackendUnavailable("nobody listens")


@pytest.mark.parametrize("outcome", ["done", "failed"])
async def test_each_is_told_once_of_a_job_that_has_ended(backend: Backend, outcome: str) -> None:
    renderer = FakeRenderer(*[RenderRefused("corrupt", "no picture")] * (outcome == "failed"))
    listeners = [Listener(backend), Listener(backend)]
    async with consuming(backend, renderer, announcers=listeners):
        await upload(backend)
        await settled(backend, dead=int(outcome == "failed"))
    assert [[told.status for told in listener.told] for listener in listeners] == [[outcome], [outcome]]


@pytest.mark.parametrize("outcome", ["done", "failed"])
async def test_who_could_not_be_told_is_told_later_and_nothing_is_made_again(backend: Backend, outcome: str) -> None:
    renderer = FakeRenderer(*[RenderRefused("corrupt", "no picture")] * (outcome == "failed"))
    listener = Listener(backend, failures=2)
    async with consuming(backend, renderer, announcers=[listener]):
        await upload(backend)
        await settled(backend, dead=int(outcome == "failed"), within_s=60)
    assert renderer.renders == 1
    assert [told.status for told in listener.told] == [outcome] * 3
    assert len({told.finished_at for told in listener.told}) == 1
