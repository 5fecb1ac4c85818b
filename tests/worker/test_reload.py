"""Presets and routes are read again at SIGHUP: new jobs have them, jobs that run end with what they began with."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio
import pytest
from structlog.testing import capture_logs

from support.doubles.consuming import consuming, put, record, settled
from support.doubles.rendering import FakeRenderer
from support.patience import within
from thumbq.core.catalog import CatalogInForce
from thumbq.core.preset import Preset
from thumbq.errors import Problem, SetupError
from thumbq.process import at_hangups
from thumbq.settings import Settings
from thumbq.settingsreload import SettingsReload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.ports import Backend

OLD, NEW = Preset(name="thumbnail", width=100), Preset(name="thumbnail", width=200)


@pytest.fixture
def _hangups_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


async def test_a_job_that_runs_ends_with_its_presets_and_the_next_one_has_the_new(backend: Backend) -> None:
    settings = Settings(presets={"thumbnail": OLD, "gone": Preset(name="gone", width=1)}, routes=())
    catalogs = CatalogInForce(settings.catalog)
    renderer = FakeRenderer(60.0)
    async with consuming(backend, renderer, catalogs=catalogs):
        await put(backend, "uploads/first")
        await backend.queue.send('{"key": "uploads/first", "presets": ["thumbnail", "gone"]}')
        await anyio.sleep(30)
        assert renderer.renders == 1
        catalogs.change(Settings(presets={"thumbnail": NEW}, routes=()).catalog)
        await put(backend, "uploads/second")
        await backend.queue.send("uploads/second")
        await settled(backend, within_s=120)
    first, second = await record(backend, "uploads/first"), await record(backend, "uploads/second")
    assert first is not None
    assert second is not None
    assert first.recipes == {
        "thumbnail": OLD.fingerprint,
        "gone": settings.presets["gone"].fingerprint,
    }
    assert second.recipes == {"thumbnail": NEW.fingerprint}


@pytest.mark.real_time
@pytest.mark.usefixtures("_hangups_as_before")
async def test_a_hangup_puts_presets_and_routes_in_force_and_a_wrong_file_changes_nothing() -> None:
    settings = Settings(presets={"thumbnail": OLD})
    read: list[Settings | SetupError] = [
        Settings(presets={"thumbnail": NEW}, max_uploads=1, log_level="debug"),
        SetupError([Problem("thumbq.toml: it is wrong", "mend it")]),
    ]

    def again() -> Settings:
        found = read.pop(0)
        if isinstance(found, SetupError):
            raise found
        return found

    reload = SettingsReload(settings, again)
    names = reload.catalogs.preset_names
    async with anyio.create_task_group() as tasks:
        await tasks.start(at_hangups, reload.and_of(None))
        with capture_logs() as lines:
            for number in (1, 2):
                os.kill(os.getpid(), signal.SIGHUP)
                with within(5):
                    while len(lines) < number:
                        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    done, refused = lines
    assert (done["event"], done["restart_for"]) == ("settings.read", ["max_uploads", "log_level"])
    assert set(done["presets"]) == set(names)
    assert (refused["event"], refused["log_level"]) == ("settings.not_read", "error")
    assert refused["problems"] == ["thumbq.toml: it is wrong"]
    assert reload.catalogs.current.presets["thumbnail"] == NEW


def test_without_a_file_nothing_is_read_again() -> None:
    assert SettingsReload(Settings(), None).and_of(None) == []
