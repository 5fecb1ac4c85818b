"""A local directory is backed up while it is served, and an older database put back, by the documented commands."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
import pytest

from support.documents import OPERATIONS, example
from support.patience import until
from support.pictures import images
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws

if TYPE_CHECKING:
    from support.replicas.place import Place

BACKUP = example(OPERATIONS, "Backup", "sh")
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
