from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from support.pictures import images
from thumbq.backends import open_backend
from thumbq.commands.send import send
from thumbq.core.uploadoptions import NO_OPTIONS
from thumbq.settings import load

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.commands.send import Sent


async def test_a_send_that_is_stopped_reports_each_file_that_it_stored_and_queued(tmp_path: Path) -> None:
    settings = load(local=str(tmp_path / "data"))
    files = [tmp_path / f"{number}.jpg" for number in range(30)]
    for file in files:
        file.write_bytes(images.small_jpeg())
    sent: list[Sent] = []
    with anyio.CancelScope() as scope:

        def report(one: Sent) -> None:
            sent.append(one)
            scope.cancel()

        await send(settings, files, prefix="uploads/", options=NO_OPTIONS, report=report)
    assert 1 <= len(sent) < len(files)
    async with open_backend(settings) as backend:
        stored = await backend.store.list(backend.bucket, prefix="uploads/")
        assert {entry.key for entry in stored} == {one.key for one in sent}
        assert (await backend.queue.counts()).visible == len(sent)


async def test_files_that_are_sent_again_under_a_key_are_sent_once_and_other_files_are_not(tmp_path: Path) -> None:
    settings = load(local=str(tmp_path / "data"))
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file in files:
        file.write_bytes(images.small_jpeg())

    async def sent(prefix: str, *paths: Path) -> dict[str, Sent]:
        found: dict[str, Sent] = {}
        await send(
            settings,
            paths,
            prefix=prefix,
            options=NO_OPTIONS,
            report=lambda one: found.update({one.file: one}),
            idempotency_key=f"key of {prefix}",
        )
        return found

    for prefix in ("uploads/", "pngfiles/"):
        [first] = (await sent(prefix, files[0])).values()
        both = await sent(prefix, *files)
        assert both[first.file] == first
        assert await sent(prefix, *files) == both
        other = await sent(prefix, *reversed(files))
        assert all("another upload" in (one.error or "") for one in other.values())
    async with open_backend(settings) as backend:
        assert (await backend.queue.counts()).visible == 4
