"""`thumbq reconcile` as a user types it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import signal
from functools import partial
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread

from support.patience import until
from support.pictures import images
from support.replicas.place import AWS_IS_LONG
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws
from thumbq.core.job import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.replicas.place import Place

on_local = pytest.mark.parametrize("place", ["local"], indirect=True)


async def put(place: Place, names: Iterable[str]) -> None:
    async with place.backend() as backend, anyio.create_task_group() as tasks:
        for key in names:
            ref = ObjectRef(backend.bucket, key)
            tasks.start_soon(partial(backend.store.put, ref, images.small_jpeg(), content_type="image/jpeg"))


@AWS_IS_LONG
async def test_an_upload_whose_message_was_lost_is_found_queued_and_done(place: Place) -> None:
    replica = await place.replica()
    job_id = await place.upload(replica, images.photo_jpeg(640, 480))
    failed = await place.upload(replica, images.truncated_jpeg())
    for name in (job_id, failed):
        await place.finished(replica, name, within_s=20)
    await put(place, ["uploads/lost-1", "uploads/lost-2"])

    assert (await place.command("reconcile")).stdout.splitlines()[-1].endswith(b", 0 originals without a manifest")
    dry = await place.command("reconcile", "--older-than", "0s", "--json")
    assert dry.returncode == 0
    assert [json.loads(line)["key"] for line in dry.stdout.splitlines()] == ["uploads/lost-1", "uploads/lost-2"]
    assert b"4 keys, 2 originals without a manifest; nothing was changed, --apply queues them" in dry.stderr
    applied = await place.command("reconcile", "--older-than", "0", "--apply")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.splitlines()[-1] == b"4 keys, 2 originals without a manifest, 2 queued"
    await until(lambda: len(replica.events("job.done")) == 3, within_s=20, what=replica.stderr)
    assert b" 0 originals" in (await place.command("reconcile", "--older-than", "0", "--apply")).stdout


@on_local
async def test_ctrl_c_says_how_to_go_on_and_together_both_runs_find_all(place: Place) -> None:
    names = [f"uploads/it's {index:04}" for index in range(400)]
    await put(place, names)
    command = [THUMBQ, "reconcile", "--older-than=0", "--after", "uploads/it's 0009", "--json"]
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)  # it cannot print all before the signal has come
    environment = without_aws(os.environ) | place.environment
    process = await anyio.open_process(command, env=environment, stdout=writer, stderr=PIPE)
    os.close(writer)
    async with process:
        printed = await to_thread.run_sync(os.read, reader, 100)
        process.send_signal(signal.SIGINT)
        while more := await to_thread.run_sync(os.read, reader, 4096):
            printed += more
        os.close(reader)
        assert process.stderr is not None
        said = b"".join([chunk async for chunk in process.stderr]).decode()
        assert await process.wait() == 130
    found = [json.loads(line)["key"] for line in printed.splitlines()]
    assert 0 < len(found) < 390
    next_command = re.search(r"to go on: (thumbq .*)\n", said)
    assert next_command, said
    words = shlex.split(next_command[1])
    assert words == ["thumbq", "reconcile", "--older-than=0", "--json", "--after", found[-1]]
    rest = await place.command(*words[1:])
    assert [*found, *(json.loads(line)["key"] for line in rest.stdout.splitlines())] == names[10:]


@on_local
async def test_only_the_prefixes_asked_for_are_looked_under(place: Place) -> None:
    await put(place, ["pngfiles/cat.png", "uploads/a", "cat.png"])
    done = await place.command("reconcile", "--older-than", "0", "--prefix", "pngfiles/")
    assert [line.split("\t")[2:] for line in done.stdout.decode().splitlines()[:-1]] == [["pngfiles/cat.png"]]
    assert done.stdout.startswith(b"20")
