"""SIGHUP at a real service: presets are read again, and a file that is wrong or gone changes nothing."""

from __future__ import annotations

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
        config.rename(tmp_path / "gone")
        await reloaded("settings.not_read", 2)
        assert await width() == 50
        replica.signal(signal.SIGTERM)
        assert await replica.ended(within_s=20) == 0
