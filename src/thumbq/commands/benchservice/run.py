"""The order of a measurement: for each mix a replica, a warm-up, the jobs, and the removal of what they left."""

from __future__ import annotations

import platform
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from thumbq.backends import description, open_backend, version
from thumbq.bench.figures import NotMeasured
from thumbq.bench.servicefigures import SERVICE_LEGEND, ServiceMeasured
from thumbq.commands.bench import machine
from thumbq.commands.benchservice.jobs import BenchJobs
from thumbq.commands.benchservice.loads import Amount, load_of_files, load_of_mix
from thumbq.commands.benchservice.replica import check_system, running
from thumbq.errors import Problem, SetupError
from thumbq.settings import only_queue

__all__ = ["Amount", "bench_files", "bench_mixes", "document"]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thumbq.bench.mixes import Mix
    from thumbq.commands.benchservice.loads import Load
    from thumbq.commands.benchservice.replica import Replica, Serve
    from thumbq.settings import Settings

    Result = ServiceMeasured | NotMeasured
    Report = Callable[[Result], None]
    Stage = Callable[[str, int, int], None]
    Progress = Callable[[str, str, int, int], None]

_SAMPLE_S: Final = 1.0
_QUIET_S: Final = 3.0
"""All messages are acknowledged by then, and the next jobs find a service that waits."""


async def bench_mixes(
    settings: Settings, mixes: Sequence[Mix], amount: Amount, *, serve: Serve, report: Report, progress: Progress
) -> None:
    """Measure generated jobs, each mix by a replica of its own; ``report`` gets each result at once.

    ``progress`` gets the mix, a stage, and how many jobs of how many that has done. ``serve`` gives the command of a
    replica; see ``running``. Raises SetupError before anything is started; ReplicaEnded, Stuck, and what the backend
    raises.
    """
    await _check(settings)
    for mix in mixes:
        progress(mix.name, "drawing originals", 0, 0)
        load = await load_of_mix(mix, amount)
        await _bench(settings, load, serve=serve, report=report, progress=progress)


async def bench_files(
    settings: Settings, paths: Sequence[Path], amount: Amount, *, serve: Serve, report: Report, progress: Progress
) -> None:
    """Measure jobs whose originals are files; ``report`` also gets each file that is no image. Else as above."""
    await _check(settings)
    load = await load_of_files(paths, amount, max_bytes=settings.max_source_bytes, report=report)
    if load is not None:
        await _bench(settings, load, serve=serve, report=report, progress=progress)


def document(settings: Settings, results: Sequence[Result], *, warm: int) -> dict[str, Any]:
    """Return all results, and what they were measured on, for JSON."""
    return {
        "versions": {"thumbq": version(), "python": platform.python_version()},
        "machine": machine(),
        "service": {name: value for name, value in description(settings).items() if name != "version"},
        "warm": warm,
        "legend": dict(SERVICE_LEGEND),
        "results": [result.document() for result in results],
    }


async def _check(settings: Settings) -> None:
    """Raise SetupError where nothing can be measured: no /proc, or a queue with messages, which would be eaten."""
    check_system()
    problems = []
    names: list[str | None] = [table.name for table in settings.queues]
    for queue in names or [None]:
        of_queue = only_queue(settings, queue)
        async with open_backend(of_queue) as backend:
            counts = await backend.queue.counts()
        if number := counts.visible + counts.in_flight + counts.delayed:
            what = f"the queue of {_place(of_queue)} has messages ({number}), and their jobs would be done, too"
            problems.append(Problem(what, "wait until they are done, or name another queue or directory"))
    if problems:
        raise SetupError(problems)


def _place(settings: Settings) -> str:
    return str(settings.default_queue.queue or settings.local)


async def _bench(settings: Settings, load: Load, *, serve: Serve, report: Report, progress: Progress) -> None:
    stage = partial(progress, load.mix)
    try:
        async with open_backend(settings) as backend:
            jobs = BenchJobs(settings, backend)
            try:
                measured = await _measured(settings, load, jobs, serve, stage)
            finally:
                with anyio.CancelScope(shield=True):
                    stage("removing originals, renditions and manifests", 0, 0)
                    left = await jobs.remove()
                if left:
                    text = f"{left} messages are not removed: another receiver has them, and finds no original"
                    report(NotMeasured(load.mix, None, "messages-left", text))
            report(measured if jobs.failed is None else NotMeasured(load.mix, None, *jobs.failed))
    except ExceptionGroup as group:  # of the task groups in which jobs are stored, sent and waited for
        raise _first(group) from group


async def _measured(settings: Settings, load: Load, jobs: BenchJobs, serve: Serve, stage: Stage) -> ServiceMeasured:
    stage("looking for other replicas", 0, 0)
    if not await jobs.is_alone(load.bodies[0]):
        what = f"another replica takes jobs from the queue of {_place(settings)}"
        raise SetupError([Problem(what, "stop it, or name another queue or directory")])
    stage("starting the service", 0, 0)
    counted, within_s = settings.local is None, settings.shutdown_deadline_s
    async with running(serve, counted=counted, within_s=within_s) as replica:
        try:
            await _run(jobs, replica, load.bodies, load.warm, partial(stage, "warming up"))
            before = replica.usage()
            seconds, pss_bytes = await _run(jobs, replica, load.bodies, load.jobs, partial(stage, "measuring"))
            used = replica.usage().since(before)
        finally:
            stage("stopping the service", 0, 0)
    start_s = replica.start.parent_s + replica.start.render_s
    return ServiceMeasured(load.mix, load.files, load.jobs, load.bytes, seconds, used, start_s, pss_bytes)


async def _run(
    jobs: BenchJobs, replica: Replica, bodies: Sequence[bytes], number: int, progress: Callable[[int, int], None]
) -> tuple[float, int | None]:
    """Have so many jobs done; returns the seconds that took, and the service's memory at its most."""
    done, peak = 0, replica.pss_bytes()

    def one_done() -> None:
        nonlocal done
        done += 1
        progress(done, number)

    async def sample() -> None:
        nonlocal peak
        while True:
            replica.check()
            now = replica.pss_bytes()
            peak = None if peak is None or now is None else max(peak, now)
            await anyio.sleep(_SAMPLE_S)

    progress(0, number)
    if not number:
        return 0.0, peak
    sources = await jobs.store(bodies, number)
    began_at = time.time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sample)
        await jobs.send(sources)
        ended_at = await jobs.wait(sources, one_done)
        await anyio.sleep(_QUIET_S)
        tasks.cancel_scope.cancel()
    return ended_at - began_at, peak


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
