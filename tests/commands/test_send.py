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
