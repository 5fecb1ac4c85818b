"""SIGHUP at a real service: presets are read again, and a file that is wrong or gone changes nothing."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.long
async def test_presets_are_read_again_and_the_service_goes_on_with_the_last_good_ones(tmp_path: Path) -> None:
    config = tmp_path / "thumbq.toml"
    config.write_text("[presets.thumbnail]\nwidth = 40\n")
    environment = {"THUMBQ_LOCAL": str(tmp_path / "data"), "THUMBQ_CONFIG": str(config)}
    async with opened(tmp_path, environment) as place:
        replica = await place.replica(processes=1)

        async def width() -> int:
            job = await place.upload(replica, images.photo_jpeg(640, 480))
            made = (await place.finished(replica, job, within_s=20))["renditions"]
            return int(made["thumbnail"]["width"])

        async def reloaded(event: str, number: int) -> None:
            replica.signal(signal.SIGHUP)
            await until(lambda: len(replica.events(event)) == number, within_s=10, what=replica.stderr)

        assert await width() == 40
        config.write_text('[presets.thumbnail]\nwidth = 50\n[[routes]]\nprefix = "uploads/"\npresets = ["thumbnail"]\n')
        await reloaded("settings.read", 1)
        assert await width() == 50
        config.write_text("[presets.thumbnail]\nwidth = 0\n")
        await reloaded("settings.not_read", 1)
        assert await width() == 50
        config.write_text(f"max_uploads = {'[' * 5000}{']' * 5000}")
        await reloaded("settings.not_read", 2)
        config.rename(tmp_path / "gone")
        await reloaded("settings.not_read", 3)
        assert await width() == 50
        replica.signal(signal.SIGTERM)
        assert await replica.ended(within_s=20) == 0


@pytest.mark.long
async def test_a_preset_that_goes_while_its_job_renders_is_made_and_is_unknown_from_then_on(tmp_path: Path) -> None:
    config = tmp_path / "thumbq.toml"
    config.write_text('[presets.small]\nwidth = 8\n[[routes]]\nprefix = "uploads/"\npresets = ["small"]\n')
    environment = {"THUMBQ_LOCAL": str(tmp_path / "data"), "THUMBQ_CONFIG": str(config)}
    async with opened(tmp_path, environment) as place:
        replica = await place.replica(processes=1)
        body = images.photo_jpeg(640, 480)
        frozen = replica.freeze_renders()
        began = await place.upload(replica, body)
        await place.in_flight(1)
        waits = await place.upload(replica, body)
        config.write_text('[presets.large]\nwidth = 80\n[[routes]]\nprefix = "uploads/"\npresets = ["large"]\n')
        replica.signal(signal.SIGHUP)
        await until(lambda: replica.events("settings.read"), within_s=10, what=replica.stderr)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        made = [(await place.finished(replica, job, within_s=20))["renditions"] for job in (began, waits)]
        assert made[0].keys() == {"small"}
        # It was asked for by no name: what it gets is decided when it begins.
        assert made[1].keys() <= {"small", "large"}
        form = {"file": body.decode("latin-1"), "presets": "small"}
        async with place.session.post(f"{replica.url}/upload", data=form) as answer:
            assert answer.status == 400
        async with place.backend() as backend:
            await backend.queue.send(f'{{"key": "uploads/{began}", "presets": ["small"]}}')
        await until(lambda: replica.events("job.failed"), within_s=10, what=replica.stderr)
        assert [line["code"] for line in replica.events("job.failed")] == ["unknown-preset"]
