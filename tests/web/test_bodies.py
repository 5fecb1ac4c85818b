"""Reading a body: its wait for the client is bounded, and what is there needs none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from support.virtual_time import on_virtual_time
from thumbq.errors import UploadRefused
from thumbq.web.admission import RunningUploads
from thumbq.web.bodies import read
from thumbq.web.problems import ProblemRaised
from thumbq.web.uploadlimits import UploadLimits

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from thumbq.web.admission import RunningUpload

LIMITS = UploadLimits(max_file_bytes=1 << 20, max_concurrent=4, stall_timeout_s=3.0)


class Body:
    total_bytes = 0


def upload_of(uploads: RunningUploads) -> Any:
    return uploads.upload(cast("Any", Body()), 1 << 20)


async def reads(upload: RunningUpload, reading: Coroutine[Any, Any, bytes]) -> bytes:
    return await read(upload, reading, what="upload", if_broken="It is cut off.")


async def after(*waits_s: float, then: bytes = b"bytes") -> bytes:
    for wait_s in waits_s:
        await anyio.sleep(wait_s)
    return then


def test_bytes_that_are_there_are_read_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        with upload_of(RunningUploads(LIMITS)) as upload:
            monkeypatch.setattr(type(upload), "waiting", None)
            assert await reads(upload, after()) == b"bytes"

    on_virtual_time(work)


def test_all_waits_of_a_read_have_one_bound() -> None:
    async def work() -> None:
        with upload_of(RunningUploads(LIMITS)) as upload:
            assert await reads(upload, after(1.0, 1.0, 0.9)) == b"bytes"
            with pytest.raises(UploadRefused) as refused:
                await reads(upload, after(1.0, 1.0, 1.1))
            assert refused.value.code == "upload-stalled"
            assert anyio.current_time() == pytest.approx(2.9 + LIMITS.stall_timeout_s)

    on_virtual_time(work)


@pytest.mark.parametrize("waits_s", [(), (1.0,), (1.0, 1.0)])
def test_a_body_that_breaks_is_told_wherever_it_does(waits_s: tuple[float, ...]) -> None:
    async def breaks() -> bytes:
        await after(*waits_s)
        raise ConnectionResetError

    async def work() -> None:
        with upload_of(RunningUploads(LIMITS)) as upload:
            with pytest.raises(UploadRefused) as refused:
                await reads(upload, breaks())
            assert (refused.value.code, refused.value.text) == ("incomplete-body", "It is cut off.")

    on_virtual_time(work)


def test_a_read_that_waits_is_cut_off_and_one_that_need_not_wait_is_not() -> None:
    async def work() -> None:
        uploads = RunningUploads(LIMITS)
        with upload_of(uploads) as upload:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cut_off_after, uploads, 1.0)
                with pytest.raises(ProblemRaised):
                    await reads(upload, after(0.5, 2.0))
            assert await reads(upload, after()) == b"bytes"
            with pytest.raises(ProblemRaised):
                await reads(upload, after(0.1))

    async def cut_off_after(uploads: RunningUploads, wait_s: float) -> None:
        await anyio.sleep(wait_s)
        uploads.cut_off()

    on_virtual_time(work)


def test_a_read_sees_the_cancellation_of_its_task() -> None:
    seen: list[str] = []

    async def cleans_up() -> bytes:
        try:
            await after(0.5, 100.0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise
        raise AssertionError

    async def work() -> None:
        with upload_of(RunningUploads(LIMITS)) as upload:
            reading = asyncio.ensure_future(reads(upload, cleans_up()))
            await anyio.sleep(1.0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert seen == ["cleaned up"]

    on_virtual_time(work)
