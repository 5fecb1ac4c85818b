"""A local directory is backed up while it is served, and an older database put back, by the documented commands."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread

from support.documents import OPERATIONS, example
from support.patience import until
from support.pictures import images
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws

if TYPE_CHECKING:
    from support.replicas.place import Place

BACKUP = example(OPERATIONS, "Backup", "sh")
RESTORE = example(OPERATIONS, "Restore", "sh")
RECOVERY = example(OPERATIONS, "An older database", "sh")


async def ran(script: str, place: Place, directory: Path) -> str:
    """Run a documented script in the folder of ``directory``, which stands for ./thumbq-data."""
    environment = without_aws(os.environ) | place.environment
    environment["PATH"] = f"{Path(THUMBQ).parent}{os.pathsep}{environment['PATH']}"
    done = await anyio.run_process(
        ["bash", "-euc", script.replace("./thumbq-data", f"./{directory.name}")],
        cwd=directory.parent,
        env=environment,
        check=False,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def age(directory: Path) -> None:
    """Make all files two hours older."""
    for path in directory.glob("objects/*/*"):
        os.utime(path, (time.time() - 7200,) * 2)


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_an_older_database_put_back_as_documented_costs_nothing(place: Place) -> None:
    directory = Path(place.environment["THUMBQ_LOCAL"])
    replica = await place.replica()
    before = await place.upload(replica, images.photo_jpeg(320, 240))
    await place.finished(replica, before, within_s=20)
    # the original, its rendition and its manifest
    assert await ran(BACKUP, place, directory) == "./backup: the database and 3 files, 3 of them hard links\n"
    restore = RESTORE.replace("./thumbq-data-restored", "./restored")
    assert await ran(restore, place, directory) == "restored: the database and 3 files\n"
    after = await place.upload(replica, images.photo_jpeg(240, 320))
    whole = await place.finished(replica, after, within_s=20)
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=20) == 0
    age(directory)

    replace, recover = RECOVERY.split("thumbq local recover", 1)
    await ran(replace, place, directory)
    replica = await place.replica()
    [moved] = await until(lambda: replica.events("orphans.moved_aside"), within_s=60, what=replica.stderr)
    assert moved["files"] == 3
    assert len(list((directory / "lost-and-found").iterdir())) == 3

    found = await ran("thumbq local recover --json --local ./thumbq-data", place, directory)
    assert f"uploads/{after}" in {json.loads(line)["key"] for line in found.splitlines()}
    lines = (await ran(f"thumbq local recover{recover}", place, directory)).splitlines()
    assert "3 lost files, 3 brought back" in lines
    assert lines[-1] == "2 keys, 0 originals without a manifest, 0 queued"
    assert await place.job(replica, after) == whole
    assert list((directory / "lost-and-found").iterdir()) == []


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_directory_that_was_moved_away_is_told_by_livez_and_one_put_back_is_well(place: Place) -> None:
    directory = Path(place.environment["THUMBQ_LOCAL"])
    replica = await place.replica()

    async def health(path: str) -> tuple[int, dict[str, str]]:
        async with place.session.get(f"{replica.url}{path}") as answer:
            return answer.status, await answer.json(content_type=None)

    async def both(status: int) -> bool:
        return [(await health(path))[0] for path in ("/livez", "/readyz")] == [status] * 2

    assert await health("/readyz") == (200, {"status": "ok", "store": "ok", "queue": "ok"})
    away = await to_thread.run_sync(directory.rename, directory.parent / "away")
    await until(partial(both, 503), within_s=30, what=replica.stderr)
    assert "restart" in (await health("/livez"))[1]["detail"]
    await to_thread.run_sync(away.rename, directory)
    await until(partial(both, 200), within_s=30, what=replica.stderr)
    job = await place.upload(replica, images.photo_jpeg(320, 240))
    assert (await place.finished(replica, job, within_s=60))["status"] == "done"


def without_root_s_rights() -> None:
    """Have the program that is executed next heed permissions, also as root (capabilities(7), capsh(1))."""
    drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (dac_override, dac_read_search):
            assert libc.prctl(drop_from_bounding_set, capability, 0, 0, 0) == 0


@pytest.mark.parametrize("part", [pytest.param("", marks=pytest.mark.long), "objects/7f"])
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_directory_that_may_not_be_written_to_is_not_served(place: Place, part: str) -> None:
    directory = Path(place.environment["THUMBQ_LOCAL"])
    async with place.backend():
        pass
    kept = directory / part
    kept.chmod(0o555)
    try:
        served = await to_thread.run_sync(
            partial(
                subprocess.run,
                [THUMBQ, "serve", "--port", "0"],
                env=without_aws(os.environ) | place.environment,
                check=False,
                capture_output=True,
                text=True,
                preexec_fn=without_root_s_rights,
                timeout=60,
            )
        )
    finally:
        kept.chmod(0o755)
    assert served.returncode == 2
    assert str(kept) in served.stderr
    assert "fix: " in served.stderr
