"""What `thumbq bench render` does."""

from __future__ import annotations

import platform
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread
from pydantic import TypeAdapter

from thumbq.backends import version
from thumbq.bench.figures import LEGEND, NOT_GENERATED, Measured, Memory, NotMeasured, Timing
from thumbq.bench.renderfunction import NamedRenderFunction
from thumbq.commands import files
from thumbq.commands.files import text_of
from thumbq.core.preset import THUMBNAIL
from thumbq.errors import JobFailed, RenderKilled, UploadRefused
from thumbq.pool import PoolConfig
from thumbq.pool.procfs import forget_peak, peak_resident_bytes, resident_bytes
from thumbq.pool.renderpool import RenderPool
from thumbq.rendering import render_limits, render_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from thumbq.bench.cases import Case
    from thumbq.core.preset import Preset
    from thumbq.pool import SandboxMode
    from thumbq.ports import Rendered
    from thumbq.settings import Settings

_ROOM_BYTES: Final = 4 << 30
"""The memory limit of a render process that generates inputs, or renders them in other ways than thumbq."""

_PATIENCE_S: Final = 3_600
_TIMING: Final = TypeAdapter(Timing)


async def bench_cases(
    settings: Settings,
    cases: Iterable[Case],
    *,
    presets: Sequence[Preset],
    runs: int,
    report: Callable[[Measured | NotMeasured], None],
) -> None:
    """Generate inputs and measure their renders; ``report`` gets each result at once.

    ``presets`` are for cases that have none of their own.
    """
    for case in cases:
        draw = partial(drawn, case)
        report(await _measure(settings, case.name, None, draw, presets=case.presets or presets, runs=runs))


async def bench_files(
    settings: Settings,
    paths: Iterable[Path],
    *,
    presets: Sequence[Preset],
    runs: int,
    report: Callable[[Measured | NotMeasured], None],
) -> None:
    """Measure the renders of files; ``report`` gets each result at once, also of a file that cannot be rendered."""
    for path in paths:
        read = partial(to_thread.run_sync, partial(files.read, path, max_bytes=settings.max_source_bytes))
        report(await _measure(settings, text_of(path.name), text_of(path), read, presets=presets, runs=runs))


def document(results: Sequence[Measured | NotMeasured], *, runs: int, quick: bool) -> dict[str, Any]:
    """Return all results, the versions and the machine, for JSON."""
    libraries = next((result.timing.libraries for result in results if isinstance(result, Measured)), {})
    return {
        "versions": {"thumbq": version(), "python": platform.python_version(), **libraries},
        "machine": machine(),
        "runs": runs,
        "quick": quick,
        "legend": dict(LEGEND),
        "not_generated": dict(NOT_GENERATED),
        "results": [result.document() for result in results],
    }


def machine() -> dict[str, str]:
    """Return what it was measured on, for JSON."""
    return {"cpu": _cpu_model(), "platform": platform.platform()}


async def _measure(
    settings: Settings,
    name: str,
    file: str | None,
    body_of: Callable[[], Awaitable[bytes]],
    *,
    presets: Sequence[Preset],
    runs: int,
) -> Measured | NotMeasured:
    try:
        body = await body_of()
        # First as in service: an input that is refused, or kills its render process, is not rendered in any other way.
        rendered, memory = await _one_job(settings, body, presets)
        timing = await _timing(settings, body, presets, runs)
    except (JobFailed, RenderKilled, UploadRefused) as refusal:
        return NotMeasured(name, file, refusal.code, refusal.text)
    return Measured(name, file, len(body), rendered, timing, memory)


async def drawn(case: Case) -> bytes:
    """Return the file of a case."""
    # No foreign input is decoded here, and Pillow may load its encoders.
    async with _pool(NamedRenderFunction("thumbq.bench.samples", "make", case=case), sandbox="off") as pool:
        made = await _rendered(pool, b"", [THUMBNAIL])
    return made.images[0].body


async def _one_job(settings: Settings, body: bytes, presets: Sequence[Preset]) -> tuple[Rendered, Memory | None]:
    """Render in a fresh render process, as a worker's first job; its memory is what the kernel reports."""
    async with render_pool(settings.model_copy(update={"processes": 1})) as pool:
        (pid,) = pool.pids()
        idle_bytes = resident_bytes(pid)
        forget_peak(pid)
        rendered = await _rendered(pool, body, presets)
        peak_bytes = peak_resident_bytes(pid)
    return rendered, None if idle_bytes is None or peak_bytes is None else Memory(idle_bytes, peak_bytes)


async def _timing(settings: Settings, body: bytes, presets: Sequence[Preset], runs: int) -> Timing:
    render = NamedRenderFunction("thumbq.bench.timing", "timed", runs=runs, limits=render_limits(settings))
    async with _pool(render, sandbox=settings.sandbox) as pool:
        timed = await _rendered(pool, body, presets)
    return _TIMING.validate_json(timed.images[0].body)


def _pool(render: NamedRenderFunction, *, sandbox: SandboxMode) -> RenderPool:
    config = PoolConfig(processes=1, memory_limit_bytes=_ROOM_BYTES, timeout_s=_PATIENCE_S, sandbox=sandbox)
    return RenderPool(config, render=render)


async def _rendered(pool: RenderPool, body: bytes, presets: Sequence[Preset]) -> Rendered:
    with pool.source() as source:
        source.write(body)
        async with pool.acquire() as process:
            return await process.render(source, presets)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
