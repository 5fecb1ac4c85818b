"""What the kernel lets a process do, asked from inside: render, and next to nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from dataclasses import replace
from multiprocessing import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.patience import until
from support.pictures import images
from support.processes import hostile_render
from support.processes.marked_pool import ONE_PROCESS, render, whole
from support.replicas.replica import running
from thumbq.core.preset import Preset
from thumbq.errors import RenderKilled, RenderRefused
from thumbq.pool import cpulimit
from thumbq.pool.channel import SMALL_BYTES
from thumbq.pool.executor import clean_environment
from thumbq.pool.procfs import cpu_s
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

PRESETS = [
    Preset(name="jpeg", format="jpeg", width=40, progressive=True, keep_copyright=True),
    Preset(name="png", format="png", width=40, fit="cover", height=20, sharpen=50),
    Preset(name="webp", format="webp", width=40, animated=True),
    Preset(name="avif", format="avif", width=40, quality=95),
    Preset(name="auto", format="auto", width=40, animated=True, lossless=True),
]
MAY = {
    "a thread": "done",
    "a signal to itself": "done",
    "32 GiB of addresses": "ENOMEM",
    "change the original": "EBADF",
    "map the original to change it": "EACCES",
    "io_uring": "ENOSYS",
}


def hostile_pool(*, timeout_s: float = 20) -> RenderPool:
    return RenderPool(replace(ONE_PROCESS, timeout_s=timeout_s, sandbox="required"), render=hostile_render.render)


async def told(pool: RenderPool, mark: str) -> Any:
    return json.loads((await render(pool, mark.encode())).images[0].body)


async def test_hostile_code_in_a_process_reaches_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with hostile_pool() as pool:
            found = await told(pool, f"attempt {server.getsockname()[1]}" + SMALL_BYTES * " ")
            assert found == dict.fromkeys(found, "EPERM") | MAY
            assert len(found) > 25


@pytest.mark.parametrize("name", hostile_render.FATAL)
async def test_a_process_that_starts_a_program_or_reaches_into_another_process_dies_of_it(name: str) -> None:
    async with hostile_pool() as pool:
        with pytest.raises(RenderKilled, match="SIGSYS: it tried what no render does") as killed:
            await told(pool, f"fatal {name}")
        assert killed.value.code == "render-crashed"
        await whole(pool, 1)


@pytest.mark.parametrize(("padding", "files"), [(0, 0), (SMALL_BYTES, 1)])
async def test_a_process_holds_its_pipes_and_a_large_original_and_nothing_else(padding: int, files: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        async with hostile_pool() as pool:
            held = await told(pool, "holdings" + padding * " ")
    # From and to the parent: the end of the parent, the end of the fork server, jobs, replies; /dev/null for input,
    # output and what decoders complain of, but for one more pipe, which hears that of faxes.
    assert held == {"sockets": 1, "pipes": 5, "files": files, "devices": 1}


def test_what_our_starter_left_open_for_us_is_not_passed_on() -> None:
    ours, theirs, answer = os.pipe(), os.pipe(), os.pipe()
    os.set_inheritable(ours[0], True)  # noqa: FBT003 - it takes no keyword
    script = f"import os; os.write({answer[1]}, bytes(map(int, os.listdir('/dev/fd'))))"
    try:
        with clean_environment():
            arguments = [sys.executable, "-S", "-c", script]
            pid = util.spawnv_passfds(os.fsencode(sys.executable), arguments, [theirs[0], answer[1]])
        assert os.waitpid(pid, 0)[1] == 0
        there = set(os.read(answer[0], 1000))
        assert {theirs[0], answer[1]} <= there
        assert there - {theirs[0], answer[1]} <= {0, 1, 2, 3, 4, 5} - {ours[0]}
    finally:
        for fd in (*ours, *theirs, *answer):
            os.close(fd)


async def test_the_fork_server_is_not_shut_in_and_its_processes_are() -> None:
    async with hostile_pool() as pool:
        assert pool.unconfined() is None
        (process,) = pool.pids()
        inside = status(process)
        assert (inside["Seccomp"], inside["NoNewPrivs"]) == ("2", "1")
        assert status(int(inside["PPid"]))["Seccomp"] == status(os.getpid())["Seccomp"]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def originals() -> Iterator[tuple[str, bytes]]:
    scene = images.scene(160, 120)
    yield "JPEG", images.photo_jpeg(160, 120, 6, icc_profile=images.display_p3_profile())
    yield "JPEG", images.photo_jpeg(160, 120, progressive=True)
    yield "JPEG", images.encoded(scene.convert("CMYK"), "JPEG")
    yield "PNG", images.png_with_alpha(160, 120)
    yield "PNG", images.encoded(scene.convert("P"), "PNG", exif=images.exif(3))
    yield "GIF", images.animated_gif(160, 120)
    yield "WEBP", images.encoded(scene, "WEBP", exif=images.exif(6))
    yield "AVIF", images.encoded(scene, "AVIF", icc_profile=images.display_p3_profile())
    yield "HEIF", images.turned_heic()
    yield "TIFF", images.encoded(scene, "TIFF", compression="tiff_lzw")
    yield "TIFF", images.encoded(scene, "TIFF", compression="jpeg")
    yield "TIFF", images.encoded(scene.convert("1"), "TIFF", compression="group4")
    yield "BMP", images.encoded(scene, "BMP")


async def test_in_the_sandbox_every_format_renders_to_every_other_and_nothing_is_missed() -> None:
    async with hostile_pool() as pool:
        for image_format, original in originals():
            rendered = await render(pool, original, *PRESETS)
            assert rendered.format == image_format
            assert [image.width for image in rendered.images] == [40] * len(PRESETS)
            # What is cut off takes other ways through the decoders.
            with pytest.raises(RenderRefused):
                await render(pool, original[: len(original) // 2], *PRESETS)
        assert await told(pool, "seen") == [], "Python loads or opens this only now: rehearse it"


async def test_in_the_sandbox_the_limit_of_cpu_time_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpulimit, "MARGIN_S", -20)
    async with hostile_pool() as pool:
        with pytest.raises(RenderKilled, match="more CPU time") as killed:
            await told(pool, "spin")
        assert killed.value.code == "decode-timeout"


@pytest.mark.parametrize("mark", ["answer and burn", "answer and burn deaf"])
async def test_a_process_that_works_without_a_job_is_replaced(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends it; one that takes no signals gets no other job."""
    monkeypatch.setattr(cpulimit, "MARGIN_S", 0)
    async with hostile_pool() as pool:
        (burning,) = pool.pids()
        await told(pool, mark)
        used_s = cpu_s(burning) or 0
        if mark == "answer and burn":
            await until(lambda: pool.pids() != (burning,), within_s=10, what="the end of the process")
        else:
            await until(lambda: (cpu_s(burning) or 0) > used_s + 0.1, within_s=10, what="work")
            assert pool.pids() == (burning,)
            await told(pool, "holdings")
        assert await whole(pool, 1) != (burning,)


@pytest.fixture
def no_libseccomp(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the dynamic linker finds a libseccomp that is none."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "libseccomp.so.2").touch()
    return {"THUMBQ_LOCAL": str(tmp_path / "data"), "LD_LIBRARY_PATH": str(tmp_path / "broken")}


async def test_without_libseccomp_a_service_starts_and_warns_once(
    tmp_path: Path, no_libseccomp: dict[str, str]
) -> None:
    with running(tmp_path / "replica", no_libseccomp | {"THUMBQ_PROCESSES": "2"}) as replica:
        await replica.ready("listening on")
        [advice] = replica.events("service.warning")
        assert "without a sandbox: " in advice["problem"]
        assert "libseccomp.so.2: file too short" in advice["problem"]
        assert "install libseccomp" in advice["fix"]
        replica.signal(signal.SIGTERM)
        assert await replica.ended(within_s=10) == 0


async def test_without_libseccomp_a_service_whose_sandbox_is_required_does_not_start(
    tmp_path: Path, no_libseccomp: dict[str, str]
) -> None:
    with running(tmp_path / "replica", no_libseccomp | {"THUMBQ_SANDBOX": "required"}) as replica:
        assert await replica.ended(within_s=30) == 2
        assert "install libseccomp" in replica.stderr()
