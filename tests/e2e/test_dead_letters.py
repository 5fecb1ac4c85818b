"""`thumbq dlq` as a user types it, beside real replicas, on the local backend and on S3 and SQS."""

from __future__ import annotations

import json
import os
import pty
import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import AWS_IS_LONG
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws
from thumbq.core import keys
from thumbq.core.deadletter import Note
from thumbq.core.job import ObjectRef

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.replicas.place import Place
    from thumbq.ports import DeadLetters

on_local = pytest.mark.parametrize("place", ["local"], indirect=True)


async def bury(place: Place, number: int) -> None:
    numbers = iter(range(number))

    async def send(dead_letters: DeadLetters) -> None:
        for index in numbers:
            note = Note("truncated", f"the image ends early {'猫' * 50}", f"m-{index}", 2)
            await dead_letters.send(f"uploads/{index}", note.encode())

    async with place.backend() as backend, anyio.create_task_group() as tasks:
        assert backend.dead_letters is not None
        for _ in range(8):  # more at once would wait for moto longer than a request may
            tasks.start_soon(send, backend.dead_letters)


async def visible(place: Place) -> int:
    """Return how many dead letters others can see now."""
    seen = set()
    async with place.backend() as backend:
        assert backend.dead_letters is not None
        while letters := await backend.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=30):
            seen |= {letter.id for letter in letters}
    return len(seen)


def lines(done: CompletedProcess[bytes]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@AWS_IS_LONG
async def test_fail_look_mend_redrive_done(place: Place) -> None:
    replica = await place.replica()
    broken = await place.upload(replica, images.truncated_jpeg())
    assert (await place.finished(replica, broken, within_s=20))["error"]["code"] == "truncated"
    async with place.backend() as backend:
        asked_for = await backend.queue.send('{"key": "holiday/late.jpg"}')
    await until(lambda: len(replica.events("message.buried")) == 2, within_s=20, what="two burials")

    async def both() -> dict[str, Any] | None:
        found = {line["key"]: line for line in lines(await place.command("dlq", "list", "--json"))}
        return found if len(found) == 2 else None

    listed = await until(both, within_s=90, what="both dead letters")
    assert {key: line["code"] for key, line in listed.items()} == {
        keys.upload_key(broken): "truncated",
        "holiday/late.jpg": "source-missing",
    }
    assert listed["holiday/late.jpg"]["message_id"] == asked_for
    shown = await place.command("dlq", "show", asked_for)
    assert shown.returncode == 0
    assert b'\n{"key": "holiday/late.jpg"}\n' in shown.stdout

    async with place.backend() as backend:
        for key in listed:
            photo = images.photo_jpeg(640, 480)
            await backend.store.put(ObjectRef(backend.bucket, key), photo, content_type="image/jpeg")
    by_id = await place.command("dlq", "redrive", asked_for, "not-there")
    assert by_id.returncode == 1
    assert by_id.stdout.splitlines()[-1] == b"redriven: 1"
    assert b"not-there: there is no such dead letter" in by_id.stderr
    everything = await place.command("dlq", "redrive", "--all", "--rate", "100")
    assert (everything.returncode, everything.stdout.splitlines()[-1]) == (0, b"redriven: 1"), everything.stderr

    async def broken_is_done() -> bool:
        return bool((await place.job(replica, broken))["status"] == "done")

    await until(broken_is_done, within_s=20, what=replica.stderr)
    await until(lambda: len(replica.events("job.done")) == 2, within_s=20, what=replica.stderr)
    await place.queue_empty()


@AWS_IS_LONG
async def test_ctrl_c_in_a_listing_gives_everything_back_at_once(place: Place) -> None:
    await bury(place, 120)
    environment = without_aws(os.environ) | place.environment
    process = await anyio.open_process([THUMBQ, "dlq", "list", "--json"], env=environment, stderr=None)
    async with process:
        assert process.stdout is not None
        await process.stdout.receive()
        process.send_signal(signal.SIGINT)
        async for _ in process.stdout:
            pass
        assert await process.wait() == 130
    assert await visible(place) == 120


@on_local
async def test_a_purge_asks_on_a_terminal(place: Place) -> None:
    await bury(place, 3)
    for answer, code, left in ((b"n\n", 1, 3), (b"y\n", 0, 0)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        done = await place.command("dlq", "purge", "--all", stdin=theirs)
        os.close(ours)
        os.close(theirs)
        assert done.returncode == code, done.stderr
        assert b"Remove 3 dead letters for good?" in done.stderr
        assert (await place.counts()).dead == left


@on_local
async def test_the_table_fits_its_terminal(place: Place, tmp_path: Path) -> None:
    await bury(place, 5)
    ours, theirs = pty.openpty()
    done = await place.command("dlq", "list", cwd=tmp_path, stdout=theirs, COLUMNS="60")
    assert done.returncode == 0, done.stderr
    rows = os.read(ours, 65_536).decode().splitlines()
    os.close(ours)
    os.close(theirs)
    assert len(rows) == 1 + 2 * 5
    assert all(len(row) + row.count("猫") <= 60 for row in rows[1:])
    assert "local/uploads/" in rows[2]


@on_local
async def test_a_listing_whose_reader_has_gone_stops_and_gives_back(place: Place) -> None:
    await bury(place, 40)
    reader, writer = os.pipe()
    os.close(reader)
    done = await place.command("dlq", "list", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
    assert await visible(place) == 40
